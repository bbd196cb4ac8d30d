"""A training run from captioned pictures to a bundle: phases, checkpoints, records.

The bundle is written whenever the dev perplexity has improved. What is needed to go on after an
interruption lies in the run's folder; once the run is finished, only its records stay there.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..captioner import Captioner
from ..datasets import DataSet, Example
from ..errors import BundleError, DataError, ImageError
from ..evaluation.match import fit_match
from ..evaluation.reading import encoded_by, read_pairs
from ..files import write_whole
from ..images.encoders import features_only, reopen_encoder
from ..images.features import OnProgress, default_cache
from ..images.finding import printable
from ..images.networks import SAFETENSORS, EncoderFile, network
from ..images.published import PACKAGES, packaged
from ..interruption import deferred_interrupts
from ..model.bundle import Bundle, load_bundle, recover_bundle, save_bundle
from ..model.consensus import IMAGES, Consensus, gathered
from ..scoring.likelihoods import image_terms
from ..scoring.pairs import Pairs
from .blending import drawn_back
from .calibration import calibrate
from .encoder_phase import EncoderPhase
from .fit import Fit, Phase, Progress, captions_phase, text_phase
from .image_network import TrainableEncoder, placed
from .judging import judged
from .material import ImageSide, Material, prepare
from .network import TrainableMRNN
from .prototypes import Prototypes
from .report import write_run_report
from .run_folder import Checkpoint, RunFolder, open_run, require_free, training_folder
from .run_records import EpochRecord, Sample, latest, read_records, record_line
from .settings import Settings
from .tensorboard import events
from .warm_start import first_model
from .words_phase import WordsPhase
from .workers import Workers, joined

_DIVERGED = "training diverged (no finite dev perplexity); lower the learning rate"
_DONE = "Training is over: all that was planned is done."  # on the run's page
_STOPPED = "Training was stopped; the same command with --resume goes on."
_SHARED = 2  # one in so many images of the prior is real where words have stand-ins
_DESCRIBED = 7000  # stand-ins that a consensus knows, too
_SAMPLES = 6  # dev pictures that are captioned after every epoch


@dataclass(frozen=True)
class Plan:
    """What to train, from what, and where to."""

    data: DataSet
    images: ImageSide
    output: Path  # directory of the bundle
    settings: Settings
    device: torch.device
    text: Sequence[str] = ()  # sentences without pictures, learned first or with prototypes
    prototypes: Prototypes | None = None  # of words that captions lack, learned last
    start: Bundle | None = None  # a trained model to go on from
    trainable: TrainableEncoder | None = None  # train the image network, too
    resume: bool = False  # go on where an interrupted run stopped
    checkpoint_minutes: float = 5.0  # between checkpoints; there is one after every epoch, too
    tensorboard: bool = False  # write events into the run's folder, too
    command: str = ""  # what gives the model again, for its card


@dataclass(frozen=True)
class Listeners:
    """Who is told how training goes."""

    on_features: OnProgress = lambda done, total: None
    on_progress: Callable[[Progress], None] = lambda progress: None
    on_epoch: Callable[[EpochRecord], None] = lambda record: None
    on_match: OnProgress = lambda done, total: None  # sentences, when training is over


@dataclass(frozen=True)
class Trained:
    """What came of a training run."""

    bundle: Bundle | None  # the best by dev perplexity; none if no picture was learned from yet
    errors: tuple[ImageError, ...]  # images left out
    interrupted: bool  # by Ctrl-C; the run can be resumed
    was_finished: bool = False  # already, so that nothing was done


def train(plan: Plan, listeners: Listeners = Listeners()) -> Trained | None:
    """Train on the train split, stop by the dev split, write the bundle to `plan.output`.

    Ctrl-C ends training between two updates, with a checkpoint and a usable bundle. Under torchrun
    all processes call this; those that do not lead get None. A run that is finished is resumed by
    doing nothing. Raises BundleError when the output exists and is not to be resumed, DataError
    when a split cannot be used.
    """
    with joined(plan.device) as workers, _run_folder(plan, workers) as folder:
        is_finished = plan.resume and folder.is_finished and plan.output.exists()
        (finished,) = workers.from_leader(float(is_finished))
        if finished:
            bundle = load_bundle(plan.output) if workers.leads else None
            return Trained(bundle, (), False, was_finished=True) if workers.leads else None
        content = folder.read() if workers.leads and folder.is_unfinished else b""
        content = workers.bytes_from_leader(content)
        checkpoint = folder.load(content) if content else None
        with workers.first_of_machine():
            material = prepare(
                plan.data,
                plan.images,
                plan.settings.model_config(),
                plan.settings.train_config(),
                plan.text,
                plan.start,
                first_model,
                listeners.on_features,
                plan.prototypes,
            )
        writes_events = plan.tensorboard and workers.leads
        with (
            events(folder.path) if writes_events else nullcontext() as write_events,
            deferred_interrupts() as wants_stop,
        ):
            run = _Run(plan, workers, folder, material, listeners, write_events)
            interrupted = run.go(checkpoint, wants_stop)
        if not workers.leads:
            return None
        if not plan.output.exists() and not interrupted:
            raise DataError(_DIVERGED)
        bundle = load_bundle(plan.output) if plan.output.exists() else None
        return Trained(bundle, material.errors, interrupted)


@contextmanager
def _run_folder(plan: Plan, workers: Workers) -> Iterator[RunFolder]:
    """The run's folder, locked by the process that leads once it is sure that nothing is lost."""
    if not workers.leads:
        yield RunFolder(training_folder(plan.output))
        return
    with open_run(plan.output) as folder:
        recover_bundle(plan.output)
        require_free(plan.output, plan.resume)
        yield folder


class _Run:
    """One run through the phases; what it writes is written by the process that leads."""

    def __init__(
        self,
        plan: Plan,
        workers: Workers,
        folder: RunFolder,
        material: Material,
        listeners: Listeners,
        write_events: Callable[[EpochRecord], None] | None,
    ) -> None:
        self._plan, self._workers, self._folder = plan, workers, folder
        self._material, self._listeners = material, listeners
        self._write_events = write_events
        self._config = plan.settings.train_config()
        self._model = TrainableMRNN.of(material.bundle.model).to(plan.device)
        # Gives a bundle the encoder and its features, where a phase changes them.
        self._with_features: Callable[[Bundle], Bundle] = lambda bundle: bundle
        self._words: WordsPhase | None = None  # once it has begun
        self._records: list[EpochRecord] = []
        self._command = plan.command
        self._identity = {
            "config": asdict(self._config) | asdict(plan.settings.model_config()),
            "sentences": material.sentences_fingerprint(),
            "material": material.fingerprint(),
        }

    def go(self, checkpoint: Checkpoint | None, wants_stop: Callable[[], bool]) -> bool:
        """Train from the checkpoint to the end; returns whether it was interrupted."""
        self._begin(checkpoint)
        try:
            is_done = self._through_phases(checkpoint, wants_stop)
        except KeyboardInterrupt:  # a second one, or one while nothing waits for it
            if self._workers.leads:
                self._write_report(_STOPPED)
            raise
        if self._workers.leads:
            self._write_report(_DONE if is_done else _STOPPED)
            if is_done:
                self._folder.finish(self._identity)
        return not is_done

    def _through_phases(
        self, checkpoint: Checkpoint | None, wants_stop: Callable[[], bool]
    ) -> bool:
        """Train through all phases; returns False when interrupted."""
        first = checkpoint.values["phase"] if checkpoint else 0
        for number, make in enumerate(self._phases()[first:], first):
            is_restored = checkpoint is not None and number == first
            phase = make(is_restored)
            fit = Fit(self._model, phase, self._config, self._workers, wants_stop)
            if checkpoint and is_restored:
                self._restore(fit, phase, checkpoint)
            elif self._workers.leads:
                self._save(number, fit, phase)
            if not self._through(number, fit, phase):
                return False
        if self._workers.leads and self._plan.output.exists():
            self._complete()
        return True

    def _phases(self) -> list[Callable[[bool], Phase]]:
        """What makes each phase, in order: a later one starts from what came of an earlier.

        The argument is whether a checkpoint of the phase is going to be restored.
        """
        m, config = self._material, self._config
        phases = [lambda _: captions_phase(self._model, m.train, m.dev, config)]
        if len(m.text) and m.words is None:
            phases.insert(0, lambda _: text_phase(self._model, m.text, m.dev, config))
        if self._plan.trainable:
            phases.append(self._encoder_phase)
        if m.words is not None:
            phases.append(self._words_phase)
        return phases

    def _encoder_phase(self, is_restored: bool) -> Phase:
        """The image network learns from where the best bundle stands."""
        assert self._plan.trainable is not None  # noqa: S101 - so says _phases
        best = math.inf
        if self._workers.leads and not is_restored:  # the others get its weights by joining
            bundle = self._best_so_far()
            self._model = TrainableMRNN.of(bundle.model).to(self._plan.device)
            best = bundle.training["dev_perplexity"]
        (best,) = self._workers.from_leader(best)
        network = EncoderPhase(
            self._model, self._plan.trainable, self._material, self._config, best
        )
        self._with_features = network.in_bundle
        return network.phase

    def _words_phase(self, is_restored: bool) -> Phase:
        """All words learn from where the best bundle stands, those without captions, too."""
        m, train, dev = self._material, self._material.train, self._material.dev
        assert m.words is not None  # noqa: S101 - so says _phases
        if self._workers.leads and not is_restored:
            bundle = self._best_so_far()
            self._model = TrainableMRNN.of(bundle.model).to(self._plan.device)
            self._blend(bundle.encoder_file)
        content = b""
        if self._workers.leads and self._folder.encoder.exists():
            content = self._folder.encoder.read_bytes()
        seen = m.bundle
        if content := self._workers.bytes_from_leader(content):
            file = EncoderFile.of(SAFETENSORS, content)
            identity = replace(m.bundle.encoder, digest=file.digest)
            seen = replace(m.bundle, encoder=identity, encoder_file=file)
            train = self._as_seen_by(seen, m.train_examples)
            dev = self._as_seen_by(seen, m.dev_examples)
        self._words = WordsPhase(self._model, train, dev, m.text, m.words, self._config)
        rows = m.prior_rows[::_SHARED]
        real = np.asarray(train.features[rows], dtype=np.float16)
        imagined = self._words.imagined(len(m.prior_rows) - len(rows)).astype(np.float16)
        self._with_features = lambda bundle: replace(
            bundle,
            encoder=seen.encoder,
            encoder_file=seen.encoder_file,
            prior=np.concatenate([real, imagined]),
            imagined=len(imagined),
        )
        return self._words.phase

    def _blend(self, learned: EncoderFile | None) -> None:
        """Keep an image network that has learned, drawn back to where it began, in the folder."""
        began, name = self._plan.images.encoder.file, self._plan.images.encoder.name
        if name in PACKAGES:
            began = packaged(network(name))
        if began is None or learned is None or began.content == learned.content:
            return
        pictures = [example.image for example in self._material.train_examples]
        share, seed = self._config.encoder_share, self._config.seed
        file = drawn_back(name, began, learned, share, pictures, seed).file
        assert file is not None  # noqa: S101 - it was made of weights
        write_whole(self._folder.encoder, file.content)

    def _best_so_far(self) -> Bundle:
        if not self._plan.output.exists():
            raise DataError(_DIVERGED)
        return load_bundle(self._plan.output)

    def _begin(self, checkpoint: Checkpoint | None) -> None:
        """Make the records ready; raises BundleError when the checkpoint is of another run."""
        folder = self._folder
        ours = self._workers.bytes_from_leader(json.dumps(self._identity).encode())
        _require_alike(json.loads(ours), self._identity)
        if checkpoint:
            _require_same(checkpoint.values["identity"], self._identity, self._plan.output)
            self._command = checkpoint.values.get("command", self._command)
        if not self._workers.leads:
            return
        if checkpoint and folder.metrics.exists():
            self._records = latest(read_records(folder.metrics))
        # The metrics come first: they tell that the folder is ours.
        write_whole(folder.metrics, "".join(record_line(r) + "\n" for r in self._records))
        if not checkpoint:
            write_whole(folder.settings, self._plan.settings.toml())
        write_whole(folder.split, _split_table(self._plan.data))
        self._write_report()

    def _through(self, number: int, fit: Fit, phase: Phase) -> bool:
        """Train through a phase; returns False when interrupted, with all that is needed saved."""
        saved = time.monotonic()
        for progress in fit.run():
            self._listeners.on_progress(progress)
            if not self._workers.leads:
                continue
            is_end = progress.dev_perplexity is not None
            if is_end:
                self._close_epoch(progress, fit)
            if is_end or time.monotonic() - saved > 60 * self._plan.checkpoint_minutes:
                self._save(number, fit, phase)
                saved = time.monotonic()
        if fit.was_stopped and self._workers.leads:
            self._save(number, fit, phase)
            if phase.name == "captions" and not self._plan.output.exists():
                self._keep(0, *calibrate(self._model, self._material.dev))
        return not fit.was_stopped

    def _close_epoch(self, progress: Progress, fit: Fit) -> None:
        if progress.is_best and progress.phase != "text":
            assert progress.dev_perplexity is not None  # noqa: S101 - at the end of an epoch
            self._keep(progress.epoch, progress.dev_perplexity, progress.temperature)
        record = EpochRecord(**vars(progress), samples=self._samples(fit))
        self._records.append(record)
        with self._folder.metrics.open("a", encoding="utf-8") as metrics:
            metrics.write(record_line(record) + "\n")
        self._write_report()
        if self._write_events:
            self._write_events(record)
        self._listeners.on_epoch(record)

    def _write_report(self, ended: str = "") -> None:
        training = self._material.bundle.training
        write_run_report(
            self._folder.path,
            self._plan.output.name,
            self._records,
            self._material.dev_examples[:_SAMPLES],
            self._plan.settings.facts(),
            {name: training[name] for name in ("images", "sentences")},
            ended,
        )

    def _samples(self, fit: Fit) -> tuple[Sample, ...]:
        """Captions of the same few dev pictures, by the model as it is."""
        assert fit.dev is not None  # noqa: S101 - on the process that leads
        shown = self._material.dev_examples[:_SAMPLES]
        rows = np.minimum(np.arange(len(shown)), len(fit.dev.features) - 1)  # one row for text
        captioner = Captioner(
            replace(self._material.bundle, model=self._model.trained()),
            features_only(self._model.config.feature),
        )
        found = captioner.caption_features(fit.dev.features[rows])
        return tuple(
            Sample(printable(example.image), caption.text, caption.perplexity)
            for example, caption in zip(shown, found, strict=True)
        )

    def _keep(self, epoch: int, score: float, temperature: float) -> None:
        """Write the bundle, with the logits divided by the temperature."""
        bundle = self._material.bundle
        calibrated = TrainableMRNN.of(self._model.trained())
        calibrated.divide_logits(temperature)
        reached: dict[str, Any] = {
            "epoch": epoch,
            "dev_perplexity": score,
            "temperature": temperature,
        }
        if self._command:
            reached["command"] = self._command
        training = {**bundle.training, **reached}
        bundle = replace(bundle, model=calibrated.trained(), training=training)
        save_bundle(self._with_features(bundle), self._plan.output)

    def _complete(self) -> None:
        """Give the best bundle what follows from it and the pictures: chances and consensus."""
        bundle = load_bundle(self._plan.output)
        dev = self._as_seen_by(bundle, self._material.dev_examples)
        chance = fit_match(bundle, dev, self._config.seed, self._listeners.on_match)
        consensus = self._consensus(bundle) if bundle.model.config.feature else None
        bundle = judged(bundle, dev, self._material.dev_examples)
        save_bundle(replace(bundle, chance=chance, consensus=consensus), self._plan.output)

    def _consensus(self, bundle: Bundle) -> Consensus:
        """How some of the training images, all if they are few, were described.

        With words that captions lack, some sentences are as good as captions of their stand-ins.
        """
        count = len(self._material.train_examples)
        drawn = np.random.default_rng(self._config.seed).permutation(count)[:IMAGES]
        examples = [self._material.train_examples[row] for row in np.sort(drawn)]
        pairs = self._as_seen_by(bundle, examples)
        starts = np.searchsorted(pairs.images, np.arange(len(examples) + 1))  # they never fall
        captions = [
            pairs.corpus.sentences(np.arange(start, end)) for start, end in pairwise(starts)
        ]
        terms = image_terms(bundle.model, pairs.features)
        if self._words:
            sentences, stand_ins = self._words.described(_DESCRIBED)
            captions += [[sentence] for sentence in sentences]
            terms = np.concatenate([terms, image_terms(bundle.model, stand_ins)])
        return gathered(captions, terms)

    def _as_seen_by(self, bundle: Bundle, examples: Sequence[Example]) -> Pairs:
        """Examples with features of the bundle's encoder, which may have learned."""
        identity, source = bundle.encoder, self._plan.images.source
        if identity != self._plan.images.identity:
            encoder = reopen_encoder(
                identity.name, identity.digest, bundle.encoder_file, identity.preprocessing
            )
            source = encoded_by(placed(encoder, self._plan.device), default_cache())
        on_features = self._listeners.on_features
        pairs, _, errors = read_pairs(examples, bundle.vocabulary, source, on_features)
        if errors:  # all could be read when training began
            raise DataError(f"{errors[0]}; --resume goes on once it can be read again")
        return pairs

    def _save(self, number: int, fit: Fit, phase: Phase) -> None:
        adam, counters = fit.state()
        values = {
            "identity": self._identity,
            "command": self._command,
            "phase": number,
            "counters": counters,
        }
        weights = {f"weights.{i}": w for i, w in enumerate(phase.weights)}
        self._folder.save(
            Checkpoint(values, weights | {f"adam.{name}": value for name, value in adam.items()})
        )

    def _restore(self, fit: Fit, phase: Phase, checkpoint: Checkpoint) -> None:
        with torch.no_grad():
            for i, weight in enumerate(phase.weights):
                weight.copy_(checkpoint.tensors[f"weights.{i}"])
        adam = {
            name.removeprefix("adam."): value
            for name, value in checkpoint.tensors.items()
            if name.startswith("adam.")
        }
        fit.restore(adam, checkpoint.values["counters"])


def _split_table(data: DataSet) -> str:
    """A line a picture: where it lies, and in which split."""
    return "".join(f"{printable(e.image)}\t{e.split}\n" for e in data.examples)


def _require_same(begun: Mapping[str, Any], now: Mapping[str, Any], output: Path) -> None:
    """Raise BundleError unless a run is gone on with as it was begun."""
    remedy = (
        f"give what was given then, or remove {printable(output)} and "
        f"{printable(training_folder(output))} to begin anew"
    )
    for name, value in now["config"].items():
        if begun["config"].get(name) != value:
            raise BundleError(
                f"the interrupted training had other settings ({name.replace('_', '-')} "
                f"{begun['config'].get(name)!r}, not {value!r}); {remedy}"
            )
    if begun["material"] != now["material"]:
        raise BundleError(
            "the interrupted training had other captions, pictures, --text, --from or encoder; "
            + remedy
        )


def _require_alike(first: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise DataError unless this process trains on what the first one does.

    Features are not compared: another kind of processor may round a few of them differently.
    """
    for name in ("config", "sentences"):
        if first[name] != now[name]:
            raise DataError(
                f"the processes that train together have different {name}; give all of them the "
                "same data and the same command"
            )
