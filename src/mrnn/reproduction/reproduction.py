"""The paper's tables again: learn what is missing, measure it, and keep every figure at once.

The folder holds, for each system, its weights, what learning took, and its figures; what is there
already is not done again. So an interrupted reproduction goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..datasets import Example
from ..errors import DataError, UsageError
from ..evaluation.metrics import Words, bleu_signature
from ..evaluation.paper2014 import bleu_figures, perplexity_from, written
from ..evaluation.ranks import (
    image_ranks,
    matches_curve,
    own_sentence_ranks,
    recall_table,
    sentence_ranks,
    shortlist_ranks,
)
from ..files import LOCK, held, write_whole
from ..images.finding import printable
from ..scoring.pairs import Pairs
from ..scoring.ranking import Stage
from ..words.text import tokenise
from .baselines.roles import Ranker, Speaker
from .systems import Ground, System

_VERSION = 2  # of the systems: figures of others must not stand beside theirs
_GROUND, _LEARNED, _WEIGHTS = "ground.json", "learned.json", "weights.safetensors"
_LEARNED_KEYS = ("weights", "seconds", "has_file")
_KEYS = {
    "generation": ("perplexity", "perplexity_from_word_6", "bleu", "bleu_sampled"),
    "retrieval": ("image_to_text", "text_to_image", "image_to_text_nearest_100", "matches"),
}
CONTEXTS = (0, 5)  # words of the reference that are given: none, and as in Kiros et al. 2014

Role = TypeVar("Role", Speaker, Ranker)


@dataclass(frozen=True)
class Measured:
    """The pictures and sentences on which all systems are measured."""

    data: str
    split: str
    examples: Sequence[Example]  # in the order of the features
    pairs: Pairs

    @property
    def references(self) -> list[list[Words]]:
        """The words of all sentences, by image."""
        return [[tokenise(sentence) for sentence in e.sentences] for e in self.examples]


def require_usable(folder: Path) -> None:
    """Raise UsageError unless the folder is absent, empty, or of a reproduction."""
    if not folder.exists() or (folder / _GROUND).exists():
        return
    if not folder.is_dir() or any(entry.name != LOCK for entry in folder.iterdir()):
        why = f"holds something else (there is no {_GROUND})"
        raise UsageError(f"{printable(folder)}: {why}; name another folder")


def needs_pytorch(folder: Path, systems: Iterable[System]) -> bool:
    """Whether any of the systems has to learn by gradients; raises DataError for a damaged file."""
    return any(s.needs_pytorch and not _is_learned(_of(folder, s)) for s in systems)


@contextmanager
def opened(folder: Path, ground: Ground, measured: Measured) -> Iterator[Reproduction]:
    """The folder, made if absent, and held against other processes until the block ends.

    Raises UsageError when it holds figures of something else or another process is at work there,
    and OSError when it cannot be written.
    """
    require_usable(folder)
    ours = _identity(ground, measured)
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder) as is_free:
        if not is_free:
            raise UsageError(f"{printable(folder)}: another process is at work there; wait for it")
        if (folder / _GROUND).exists():
            _require_same(folder / _GROUND, ours)
        else:
            write_whole(folder / _GROUND, _json(ours))
        yield Reproduction(folder, ground, measured, ours)


class Reproduction:
    """A folder of systems with their figures; made by `opened`."""

    def __init__(
        self, folder: Path, ground: Ground, measured: Measured, facts: Mapping[str, Any]
    ) -> None:
        self._folder, self._ground, self._measured = folder, ground, measured
        self.facts = facts  # what the figures are of

    def generation(self, system: System, stage: Stage) -> dict[str, Any]:
        """Perplexity and BLEU of a system that speaks."""

        def measure() -> dict[str, Any]:
            assert system.speaker is not None  # noqa: S101 - tables of generation have speakers
            return self._spoken(self._restored_or_learned(system, system.speaker, stage), stage)

        return self._kept(system, "generation", measure)

    def retrieval(self, system: System, stage: Stage) -> dict[str, Any]:
        """Recall and median ranks of a system that finds."""
        return self._kept(
            system, "retrieval", lambda: self._found(self.ranker(system, stage), stage)
        )

    def has(self, what: str, systems: Sequence[System]) -> bool:
        """Whether the figures, "generation" or "retrieval", of all these systems are there."""
        return all(
            _is_learned(self._of(system)) and (self._of(system) / f"{what}.json").exists()
            for system in systems
        )

    def costs(self, system: System) -> dict[str, float]:
        """How many numbers a system learned, and the seconds that took."""
        return _read_costs(self._of(system))

    def ranker(self, system: System, stage: Stage) -> Any:
        """A system that finds, learned now unless it is there."""
        assert system.ranker is not None  # noqa: S101 - whoever asks for it knows that it has one
        return self._restored_or_learned(system, system.ranker, stage)

    def _restored_or_learned(
        self, system: System, learn: Callable[[Ground, Path, Stage], Role], stage: Stage
    ) -> Role:
        """Learned now, unless the weights and what learning took are there."""
        folder = self._of(system)
        folder.mkdir(parents=True, exist_ok=True)
        weights, told = folder / _WEIGHTS, folder / _LEARNED
        if not _is_learned(folder):
            for name in (*(f"{what}.json" for what in _KEYS), _LEARNED, _WEIGHTS):
                (folder / name).unlink(missing_ok=True)  # figures first: they are of these weights
        started = time.perf_counter()
        found = learn(self._ground, weights, stage)
        took = round(time.perf_counter() - started, 1)
        if not told.exists():
            facts = {"weights": found.weights, "seconds": took, "has_file": weights.exists()}
            write_whole(told, _json(facts))
        return found

    def _kept(
        self, system: System, what: str, measure: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """Figures from their file, or measured and written there."""
        file = self._of(system) / f"{what}.json"
        if not self.has(what, [system]):
            started = time.perf_counter()
            figures = measure()
            took = round(time.perf_counter() - started, 1)  # learning included
            write_whole(file, _json(figures | {"seconds": took}))
        return _read(file, _KEYS[what])

    def _spoken(self, speaker: Speaker, stage: Stage) -> dict[str, Any]:
        pairs, references = self._measured.pairs, self._measured.references
        logprobs = speaker.logprobs(pairs)
        seed = self._ground.config.seed

        def bleu(context: int, generator: np.random.Generator | None, what: str) -> dict[str, Any]:
            def write(
                images: np.ndarray, given: Sequence[Words], lengths: Sequence[int]
            ) -> list[list[str]]:
                step, state = speaker.begin(pairs.features[images])
                return written(step, state, self._ground.vocabulary, given, lengths, generator)

            with stage(what, "sentences") as on_progress:
                return bleu_figures(write, pairs, references, context, on_progress)

        return {
            "signature": bleu_signature(),
            "perplexity": _finite(perplexity_from(logprobs, 0)),
            "perplexity_from_word_6": _finite(perplexity_from(logprobs, 5)),
            "bleu": {str(n): bleu(n, None, "writing") for n in CONTEXTS},
            "bleu_sampled": bleu(0, np.random.default_rng(seed), "drawing words"),
        }

    def _found(self, ranker: Ranker, stage: Stage) -> dict[str, Any]:
        pairs = self._measured.pairs
        count = len(pairs.features)
        by_sentence, by_image = ranker.ranks(pairs, stage)
        features = pairs.features[np.arange(count)]
        images = image_ranks(by_sentence, pairs.images)
        own = own_sentence_ranks(by_image, pairs.images)
        return {
            "image_to_text": recall_table(sentence_ranks(by_image, pairs.images)),
            "text_to_image": recall_table(images),
            "image_to_text_nearest_100": recall_table(
                shortlist_ranks(by_image, pairs.images, features)
            ),
            "matches": {  # among the first 1%, 2%, ... 100%
                "image_to_text": matches_curve(own, count, len(own)),
                "text_to_image": matches_curve(images, len(images), count),
            },
        }

    def _of(self, system: System) -> Path:
        return _of(self._folder, system)


def _of(folder: Path, system: System) -> Path:
    return folder / "systems" / system.name


def _read_costs(folder: Path) -> dict[str, Any]:
    return _read(folder / _LEARNED, _LEARNED_KEYS)


def _is_learned(folder: Path) -> bool:
    """Whether a system need not learn: what learns within seconds keeps no file of weights."""
    if not (folder / _LEARNED).exists():
        return False
    return (folder / _WEIGHTS).exists() or not _read_costs(folder)["has_file"]


def _identity(ground: Ground, measured: Measured) -> dict[str, Any]:
    """What tells one reproduction from another."""
    pairs = measured.pairs
    hasher = hashlib.sha256(ground.material.fingerprint().encode())
    hasher.update(json.dumps(measured.references).encode())
    hasher.update(np.ascontiguousarray(pairs.features[np.arange(len(pairs.features))]).tobytes())
    return {
        "version": _VERSION,
        "data": measured.data,
        "split": measured.split,
        "images": len(measured.examples),
        "sentences": len(pairs.corpus),
        "vocabulary": len(ground.vocabulary),
        "encoder": ground.material.bundle.encoder.name,
        "config": asdict(ground.config),
        "fingerprint": hasher.hexdigest(),
    }


def _require_same(file: Path, ours: Mapping[str, Any]) -> None:
    theirs = _read(file)
    for name, value in ours.items():
        if theirs.get(name) != value:
            what = _difference(name, theirs.get(name), value)
            raise UsageError(f"{printable(file.parent)}: was made {what}; name another folder")


def _difference(name: str, theirs: Any, ours: Any) -> str:
    if name == "fingerprint":
        return "from other pictures, captions or features"
    if isinstance(theirs, dict):  # settings: the first that differs
        [name, *_] = [key for key, value in ours.items() if theirs.get(key) != value] or [name]
        theirs, ours = theirs.get(name), ours.get(name)
    return f"with another {name.replace('_', ' ')} ({theirs}, now {ours})"


def _read(file: Path, keys: Sequence[str] = ()) -> dict[str, Any]:
    """A file that we wrote; raises DataError when it is damaged."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(found, dict) and all(key in found for key in keys):
            return found
    except ValueError:
        pass
    raise DataError(f"{printable(file)}: damaged; remove {_remedy(file)}")


def _remedy(file: Path) -> str:
    if file.name == _GROUND:
        return "the folder, or name another: that file tells what all others are of"
    return "it, and it is made again"


def _finite(perplexity: float | None) -> float | None:
    return perplexity if perplexity is not None and math.isfinite(perplexity) else None


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, allow_nan=False) + "\n"
