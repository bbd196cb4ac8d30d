"""Training by maximum likelihood: the cost of eq. 6, full back-propagation through time."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from .bundle import Bundle, EncoderIdentity, load_bundle, save_bundle
from .config import ModelConfig, TrainConfig
from .datasets import DataSet
from .devices import reduced_precision
from .encoders import Encoder
from .errors import BundleError, DataError, ImageError
from .features import OnProgress
from .images import printable
from .model import MRNN, Dropout
from .pairs import Pairs, read_pairs
from .scoring import tempered_perplexities, to_perplexity
from .text import Vocabulary

# A network trained this long on so few pictures is too sure of itself; one divisor of all logits,
# chosen on dev, takes that back, and is multiplied into the weights that are saved.
TEMPERATURES = (1.0, 1.04, 1.08, 1.12, 1.16, 1.2, 1.25, 1.3, 1.4, 1.5)
PRIOR_IMAGES = 1000  # training images whose features a bundle carries


@dataclass(frozen=True)
class Progress:
    """Where training stands after an update; the last one of an epoch has a dev perplexity."""

    epoch: int
    update: int  # since the beginning
    updates: int  # planned in all
    words: int  # trained on in this epoch
    seconds: float  # spent on them
    train_perplexity: float  # over this epoch so far, with dropout
    dev_perplexity: float | None = None
    temperature: float = 1.0  # the divisor of the logits that gives it
    is_best: bool = False


@dataclass(frozen=True)
class Trained:
    """What came of a training run."""

    bundle: Bundle  # the best by dev perplexity
    errors: tuple[ImageError, ...]  # images left out
    interrupted: bool  # by Ctrl-C; the bundle is usable all the same


def train(
    data: DataSet,
    encoder: Encoder,
    output: Path,
    sizes: ModelConfig,
    config: TrainConfig,
    cache: Path,
    device: torch.device,
    on_features: OnProgress,
    on_progress: Callable[[Progress], None],
) -> Trained:
    """Train on the train split, stop by the dev split, write the bundle to `output`.

    The bundle is written whenever the dev perplexity has improved, and a line of metrics an epoch
    to metrics.jsonl in the folder `training_folder(output)`. Ctrl-C ends training with a usable
    bundle. Raises BundleError when `output` exists, DataError when a split cannot be used.
    """
    if output.exists():
        raise BundleError(f"{printable(output)}: exists; name another directory, or remove it")
    metrics = training_folder(output) / "metrics.jsonl"
    try:  # now rather than after an hour of features
        metrics.parent.mkdir(parents=True, exist_ok=True)
        metrics.touch()
    except OSError as error:
        raise BundleError(f"{printable(metrics)}: cannot be written ({error.strerror})") from None
    bundle, pairs, dev, errors = _prepare(data, encoder, sizes, config, cache, on_features)
    model = bundle.model.to(device)

    def keep(epoch: int, score: float, temperature: float) -> None:
        reached = {"epoch": epoch, "dev_perplexity": score, "temperature": temperature}
        calibrated = MRNN(model.config)
        calibrated.load_state_dict(model.state_dict())
        calibrated.divide_logits(temperature)
        training = {**bundle.training, **reached}
        save_bundle(replace(bundle, model=calibrated, training=training), output)

    epoch, interrupted = 0, False
    with metrics.open("w", encoding="utf-8", buffering=1) as log:
        try:
            for progress in fit(model, pairs, dev, config):
                epoch = progress.epoch
                on_progress(progress)
                if progress.dev_perplexity is not None:
                    log.write(json.dumps(asdict(progress)) + "\n")
                    if progress.is_best:
                        keep(epoch, progress.dev_perplexity, progress.temperature)
        except KeyboardInterrupt:
            interrupted = True
            if not output.exists():
                keep(epoch, *calibrate(model, dev))
    if not output.exists():
        raise DataError("training diverged (no finite dev perplexity); lower the learning rate")
    return Trained(load_bundle(output), errors, interrupted)


def one_cycle(update: int, updates: int) -> float:
    """Share of the highest learning rate: up in the first tenth, down to zero, along cosines."""
    rise = max(1, updates // 10)
    if update < rise:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * update / rise)) / 2
    return (1 + math.cos(math.pi * (update - rise) / max(1, updates - rise))) / 2


def calibrate(model: MRNN, dev: Pairs) -> tuple[float, float]:
    """The lowest perplexity on dev over TEMPERATURES, and the temperature that gives it."""
    return min(zip(tempered_perplexities(model, dev, TEMPERATURES), TEMPERATURES, strict=True))


def _prepare(
    data: DataSet,
    encoder: Encoder,
    sizes: ModelConfig,
    config: TrainConfig,
    cache: Path,
    on_features: OnProgress,
) -> tuple[Bundle, Pairs, Pairs, tuple[ImageError, ...]]:
    """An untrained bundle, training and dev pairs, and the images left out."""
    train_split, dev_split = data.split("train"), data.split("dev")
    vocabulary = Vocabulary.build(
        (sentence for example in train_split for sentence in example.sentences),
        config.minimum_count,
    )
    pairs, used, errors = read_pairs(train_split, vocabulary, encoder, cache, on_features)
    dev, _, dev_errors = read_pairs(dev_split, vocabulary, encoder, cache, on_features)
    model = MRNN(replace(sizes, vocabulary=len(vocabulary), feature=encoder.dimension))
    model.initialise(torch.Generator().manual_seed(config.seed))
    prior = np.random.default_rng(config.seed).permutation(len(used))[:PRIOR_IMAGES]
    bundle = Bundle(
        model,
        vocabulary,
        EncoderIdentity(encoder.name, encoder.digest, encoder.preprocessing),
        np.asarray(pairs.features[np.sort(prior)], dtype=np.float16),
        {
            "data": data.name,
            "split": "train",
            "stopped_on": "dev",
            "images": len(used),
            "sentences": len(pairs.corpus),
            "config": asdict(config),
        },
    )
    return bundle, pairs, dev, (*errors, *dev_errors)


def training_folder(output: Path) -> Path:
    """Where the state of a training run is kept: beside its bundle, not in it."""
    return output.with_name(output.name + ".training")


def fit(model: MRNN, train: Pairs, dev: Pairs, config: TrainConfig) -> Iterator[Progress]:
    """Train `model` in place, an update at a time; stops early by dev perplexity.

    The caller keeps the weights at each `is_best`; those at the end may be later ones.
    """
    device = model.wo.device
    shuffle = np.random.default_rng(config.seed)
    dropout = Dropout(config.dropout, config.seed)
    # Coupled L2: the gradient of lambda ||theta||^2 in bits, brought to nats like the loss.
    decay = 2 * config.l2 * math.log(2)
    optimiser = torch.optim.Adam(
        model.parameters(), lr=config.learning_rate, weight_decay=decay, fused=True
    )
    updates = config.epochs * math.ceil(len(train.corpus) / config.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, partial(one_cycle, updates=updates))
    update, best, epochs_since = 0, math.inf, 0
    for epoch in range(1, config.epochs + 1):
        started, words, total = time.perf_counter(), 0, 0.0
        order = shuffle.permutation(len(train.corpus))
        for start in range(0, len(order), config.batch):
            chosen = order[start : start + config.batch]
            packed = train.corpus.pack(chosen)
            features = train.features_of(chosen, packed, device)
            packed = packed.to(device)
            with reduced_precision(device):
                logits = model(packed, model.image_terms(features, dropout), dropout)
                loss = F.cross_entropy(logits.float(), packed.targets)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimiser.step()
            schedule.step()
            update += 1
            words += len(packed.targets)
            total += loss.item() * len(packed.targets)
            seconds = time.perf_counter() - started
            progress = Progress(
                epoch, update, updates, words, seconds, to_perplexity(-total, words)
            )
            if start + config.batch < len(order):
                yield progress
        score, temperature = calibrate(model, dev)
        epochs_since = 0 if score < best else epochs_since + 1
        yield replace(progress, dev_perplexity=score, temperature=temperature, is_best=score < best)
        best = min(best, score)
        if epochs_since >= config.patience:
            return
