"""One phase of training, an update at a time: the cost of eq. 6, full back-propagation in time.

Every random choice is a function of the seed and of where training stands (phase, epoch, update,
process). So the state of a run is its weights, Adam's moments and a few counters: what is resumed
goes on as if it had never stopped, and there is no random state to keep.

Dimension key: B sentences of an update, D image feature.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import TrainConfig
from ..scoring.pairs import Pairs
from ..scoring.word_scores import to_perplexity
from ..words.packing import Corpus, Packed
from .calibration import calibrate
from .devices import reduced_precision
from .learner import Learner
from .network import Dropout, TrainableMRNN, on_device_of
from .workers import ALONE, Workers


@dataclass(frozen=True)
class Learned:
    """Weights that learn together."""

    weights: Sequence[nn.Parameter]
    rate: float  # the highest learning rate
    l2: float  # lambda of eq. 6


@dataclass(frozen=True)
class Phase:
    """What is learned in a stretch of training, from what, and how far."""

    name: str  # "text", "captions", "encoder" or "words"
    seed: tuple[int, ...]  # of its random choices
    epochs: int  # at most
    patience: int  # epochs without a better dev perplexity before it ends
    corpus: Corpus
    batches: Callable[[int], Sequence[np.ndarray]]  # an epoch's sentences, update by update
    # Of chosen sentences, packed; with a seed of the update's own: (B, D)
    features: Callable[[np.ndarray, Packed, Sequence[int]], Tensor]
    learned: Sequence[Learned]
    dev: Callable[[], Pairs]  # what is scored after each epoch
    to_beat: float = math.inf  # a dev perplexity that was reached before

    @property
    def weights(self) -> list[nn.Parameter]:
        """All weights that learn."""
        return [weight for learned in self.learned for weight in learned.weights]


@dataclass(frozen=True)
class Progress:
    """Where training stands after an update; the last one of an epoch has a dev perplexity."""

    phase: str
    epoch: int
    update: int  # since the beginning of the phase
    updates: int  # planned in the phase
    words: int  # trained on in this epoch
    seconds: float  # spent on them
    train_perplexity: float  # over this epoch so far, with dropout
    dev_perplexity: float | None = None
    temperature: float = 1.0  # the divisor of the logits that gives it
    is_best: bool = False


@dataclass
class _Counters:
    """Where a phase stands, between two updates."""

    epoch: int = 1
    position: int = 0  # updates done in this epoch
    words: int = 0  # in this epoch
    loss: float = 0.0  # in this epoch, nats
    seconds: float = 0.0  # in this epoch
    best: float = math.inf  # dev perplexity
    epochs_since: int = 0  # the best


class Fit:
    """Fits a model in one phase; between two updates its state can be saved and restored."""

    def __init__(
        self,
        model: Learner,
        phase: Phase,
        config: TrainConfig,
        workers: Workers = ALONE,
        wants_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._config, self._phase, self._workers = config, phase, workers
        self._wants_stop = wants_stop
        self._loss = workers.wrap(_SummedLoss(model, phase))
        self._weights = phase.weights
        self._counters = _Counters(best=phase.to_beat)
        self._model = model
        self.was_stopped = False
        self.dev: Pairs | None = None  # as scored after the last epoch, on the process that leads
        # Coupled L2: the gradient of lambda ||theta||^2 in bits, brought to nats like the loss.
        groups = [
            {"params": list(g.weights), "rate": g.rate, "weight_decay": 2 * g.l2 * math.log(2)}
            for g in phase.learned
        ]
        self._optimiser = torch.optim.Adam(groups, fused=True)

    def run(self) -> Iterator[Progress]:
        """Go on from the state: yields after every update, and stops early by dev perplexity.

        Whoever iterates keeps the weights at each `is_best`; those at the end may be later ones.
        Ends between two updates, and says so in `was_stopped`, when a process was asked to stop.
        """
        c = self._counters
        while c.epoch <= self._phase.epochs and c.epochs_since < self._phase.patience:
            batches = self._phase.batches(c.epoch)
            updates = self._phase.epochs * len(batches)
            while c.position < len(batches):
                done = (c.epoch - 1) * len(batches) + c.position
                self.was_stopped = self._update(batches[c.position], done, updates)
                c.position += 1
                if self.was_stopped:
                    return
                if c.position < len(batches):
                    yield self._progress(done + 1, updates)
            yield self._close_epoch(c.epoch * len(batches), updates)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Adam's moments by name, and the counters as plain data (`best` may be infinite)."""
        tensors = {
            f"{i}.{name}": value
            for i, weight in enumerate(self._weights)
            for name, value in self._optimiser.state[weight].items()
        }
        return tensors, dict(vars(self._counters))

    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        """Go back to what `state` gave; the weights themselves are the caller's."""
        self._counters = _Counters(**counters)
        for name, value in tensors.items():
            number, _, key = name.partition(".")
            weight = self._weights[int(number)]
            self._optimiser.state[weight][key] = value.to(weight.device)  # fused: all of them

    def _update(self, batch: np.ndarray, update: int, updates: int) -> bool:
        """Learn from some sentences; returns whether a process was asked to stop."""
        started = time.perf_counter()
        config, workers = self._config, self._workers
        # In order: where a picture's sentences are neighbours, only a cut sets them apart.
        mine = np.array_split(batch, workers.count)[workers.rank]
        share = 1.0 if len(mine) else 0.0  # with too few for all, some only lend a hand
        packed = self._phase.corpus.pack(mine if share else batch[:1])
        seed = (*self._phase.seed, update, workers.rank)
        dropout = Dropout(config.dropout, seed)
        loss = share * self._loss(mine if share else batch[:1], packed, dropout, seed)
        words, total, stop = workers.sum(
            share * len(packed.targets), loss.item(), float(self._wants_stop())
        )
        self._optimiser.zero_grad()
        (loss * (workers.count / words)).backward()  # wrapped, gradients are averaged
        torch.nn.utils.clip_grad_norm_(self._weights, config.clip)
        for group in self._optimiser.param_groups:
            group["lr"] = group["rate"] * one_cycle(update, updates)
        self._optimiser.step()
        self._counters.words += int(words)
        self._counters.loss += total
        self._counters.seconds += time.perf_counter() - started
        return stop > 0

    def _progress(self, update: int, updates: int) -> Progress:
        c = self._counters
        perplexity = to_perplexity(-c.loss, c.words)
        return Progress(self._phase.name, c.epoch, update, updates, c.words, c.seconds, perplexity)

    def _close_epoch(self, update: int, updates: int) -> Progress:
        progress = self._progress(update, updates)
        found = (0.0, 0.0)
        if self._workers.leads:
            self.dev = self._phase.dev()
            found = calibrate(self._model, self.dev)
        score, temperature = self._workers.from_leader(*found)
        c = self._counters
        is_best = score < c.best
        c.best = score if is_best else c.best
        c.epochs_since = 0 if is_best else c.epochs_since + 1
        c.epoch, c.position, c.words, c.loss, c.seconds = c.epoch + 1, 0, 0, 0.0, 0.0
        return replace(progress, dev_perplexity=score, temperature=temperature, is_best=is_best)


class _SummedLoss(nn.Module):
    """The sum of -log P over the words of a batch, in nats; it holds all weights of a phase."""

    def __init__(self, model: Learner, phase: Phase) -> None:
        super().__init__()
        self.model = model
        self.weights = nn.ParameterList(phase.weights)
        self._features = phase.features

    def forward(
        self, chosen: np.ndarray, packed: Packed, dropout: Dropout, seed: Sequence[int]
    ) -> Tensor:
        model, targets = self.model, on_device_of(self.model.wo, packed.targets)
        with reduced_precision(targets.device):
            features = self._features(chosen, packed, seed)
            logits = model(packed, model.image_terms(features, dropout), dropout)
            return F.cross_entropy(logits.float(), targets, reduction="sum")


def captions_phase(model: Learner, train: Pairs, dev: Pairs, config: TrainConfig) -> Phase:
    """Learn the whole model from sentences with their images."""
    seed = (config.seed, 1)
    return Phase(
        "captions",
        seed,
        config.epochs,
        config.patience,
        train.corpus,
        lambda epoch: shuffled(len(train.corpus), config.batch, (*seed, epoch)),
        lambda chosen, packed, _: torch.from_numpy(train.features_of(chosen, packed)).to(
            model.wo.device
        ),
        [Learned(list(model.parameters()), config.learning_rate, config.l2)],
        lambda: dev,
    )


def text_phase(model: TrainableMRNN, text: Corpus, dev: Pairs, config: TrainConfig) -> Phase:
    """Learn the language part from sentences without images: their image term is zero."""
    width = model.config.feature
    blind = Pairs(dev.corpus, np.zeros(len(dev.corpus), np.int64), np.zeros((1, width), np.float32))
    # Adam turns even the faint pull of L2 into full steps, and would wipe VI out meanwhile.
    learned = [weight for name, weight in model.named_parameters() if name != "vi"]
    seed = (config.seed, 0)
    return Phase(
        "text",
        seed,
        config.text_epochs,
        config.patience,
        text,
        lambda epoch: shuffled(len(text), config.batch, (*seed, epoch)),
        lambda chosen, packed, _: model.wo.new_zeros(len(chosen), width),
        [Learned(learned, config.learning_rate, config.l2)],
        lambda: blind,
    )


def shuffled(count: int, batch: int, seed: Sequence[int]) -> list[np.ndarray]:
    """The positions 0..count-1 in an order that the seed decides, cut into batches."""
    order = np.random.default_rng(seed).permutation(count)
    return [order[start : start + batch] for start in range(0, count, batch)]


def one_cycle(update: int, updates: int) -> float:
    """Share of the highest learning rate: up in the first tenth, down to zero, along cosines."""
    rise = max(1, updates // 10)
    if update < rise:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * update / rise)) / 2
    return (1 + math.cos(math.pi * (update - rise) / max(1, updates - rise))) / 2
