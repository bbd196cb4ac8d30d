"""Consensus: of the sentences of a beam, the one most like how similar pictures were described.

After Devlin et al. 2015 (arXiv:1505.04467) and Mao et al. 2015 (arXiv:1412.6632, sec. 8): the
training images nearest to a picture vote by their captions. Only n-grams that several images share
are kept of these, as CIDEr weighs them (Vedantam et al. 2015); short and common captions can be
pieced together from them, others cannot.

Dimension key: I training images, M multimodal layer, C components, G n-grams, E entries (n-grams
of all images together).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import chain

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..words.text import PADDING
from .arrays import unit
from .generate import Generated

IMAGES = 10_000  # training images that are kept, at most
_ORDERS = (1, 2, 3, 4)
_COMPONENTS = 96  # principal ones of image terms
_LEAST = 10  # images that an n-gram must be said of to be kept; in small sets one of each 500, or 2
_NGRAMS = 1 << 16  # kept at most, so that two bytes tell them apart
_NEIGHBOURS = 40
_SHARPNESS = 15.0  # a neighbour's vote grows by this factor e for each unit of cosine
_LENGTH = 6.0  # words by which a sentence may be too long or too short, as in CIDEr-D
_LEVELS = 255  # of a weight
_CODE = 127  # of a component

Sentence = Sequence[int]  # indices of words, without START and END
NGram = tuple[int, ...]


@dataclass(frozen=True)
class Consensus:
    """How training images were described, by n-grams; `gathered` makes it."""

    centre: np.ndarray  # (M,) float32, the mean image term
    basis: np.ndarray  # (C, M) float32, orthonormal
    codes: np.ndarray  # (I, C) int8, directions from the centre
    ngrams: np.ndarray  # (G, 4) int32, indices of words, shorter ones padded
    images_with: np.ndarray  # (G,) int32, how many of the I images were described with each
    starts: np.ndarray  # (I + 1,) int32, where the entries of each image begin
    entries: np.ndarray  # (E,) uint16, n-grams of each image
    weights: np.ndarray  # (E,) uint8, what they weigh in its mean caption, in 255ths
    lengths: np.ndarray  # (I,) float32, mean words of a caption

    def scores(self, term: np.ndarray, sentences: Sequence[Sentence]) -> list[float]:
        """How well each sentence agrees with the neighbours of an image term (M,): 0 to 4.

        The mean cosine with the neighbours' captions, summed over the four orders, less for a
        sentence longer or shorter than theirs.
        """
        neighbours, votes = self._neighbours(term)
        said = np.zeros(len(self.ngrams))
        for image, vote in zip(neighbours.tolist(), votes.tolist(), strict=True):
            part = slice(self.starts[image], self.starts[image + 1])
            said[self.entries[part]] += vote / _LEVELS * self.weights[part]
        length = float(votes @ self.lengths[neighbours])
        return [
            sum(x * said[self._places[g]] for g, x in self._vector(s) if g in self._places)
            * math.exp(-((len(s) - length) ** 2) / (2 * _LENGTH**2))
            for s in sentences
        ]

    def ordered(self, term: np.ndarray, sentences: Sequence[Generated]) -> list[Generated]:
        """The sentences for an image term (M,), those first on which its neighbours agree most.

        Complete ones come before those cut off, as in a beam.
        """
        scores = self.scores(term, [s.words[: len(s.words) - s.complete] for s in sentences])
        order = sorted(range(len(scores)), key=lambda i: (not sentences[i].complete, -scores[i]))
        return [sentences[i] for i in order]

    def _neighbours(self, term: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The nearest images (K,) and their votes (K,), which sum to 1."""
        direction = self.basis @ (term - self.centre)
        cosines = self._directions @ unit(direction[None])[0] / _CODE
        nearest = np.argsort(-cosines, kind="stable")[:_NEIGHBOURS]
        votes = np.exp(_SHARPNESS * (cosines[nearest] - cosines[nearest[0]]))
        return nearest, votes / votes.sum()

    def _vector(self, sentence: Sentence) -> Iterator[tuple[NGram, float]]:
        known, counts = self._places, self.images_with
        rarity = {
            ngram: math.log(len(self.codes) / (counts[known[ngram]] if ngram in known else 1))
            for ngram in _ngrams(sentence)
        }
        return _vector(sentence, rarity)

    @cached_property
    def _directions(self) -> np.ndarray:
        return self.codes.astype(np.float32)  # (I, C), once and not for every picture

    @cached_property
    def _places(self) -> Mapping[NGram, int]:
        rows = self.ngrams.tolist()
        return {tuple(word for word in row if word != PADDING): i for i, row in enumerate(rows)}

    def to_bytes(self) -> bytes:
        """The content of a file that `from_bytes` reads."""
        return save(
            {
                f.name: np.ascontiguousarray(getattr(self, f.name).astype(_STORED[f.name]))
                for f in fields(self)
            }
        )

    @classmethod
    def from_bytes(cls, content: bytes, vocabulary: int, multimodal: int) -> Consensus:
        """Check all of a file's content; raises ValueError."""
        try:
            found = load(content)
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"not a safetensors file ({error})") from None
        _check(found, vocabulary, multimodal)
        return cls(**{name: array.astype(_KINDS[name]) for name, array in found.items()})


_KINDS: Mapping[str, type[np.generic]] = {
    "centre": np.float32,
    "basis": np.float32,
    "codes": np.int8,
    "ngrams": np.int32,
    "images_with": np.int32,
    "starts": np.int32,
    "entries": np.uint16,
    "weights": np.uint8,
    "lengths": np.float32,
}
_STORED = {n: np.float16 if kind is np.float32 else kind for n, kind in _KINDS.items()}


def gathered(captions: Sequence[Sequence[Sentence]], terms: np.ndarray) -> Consensus:
    """From the captions of I images, one or more each, and the images' terms (I, M)."""
    images_with = Counter(
        ngram for several in captions for ngram in set(chain.from_iterable(map(_ngrams, several)))
    )
    rarity = {ngram: math.log(len(captions) / count) for ngram, count in images_with.items()}
    least = min(_LEAST, max(2, len(captions) // 500))
    frequent = [(g, n) for g, n in images_with.most_common(_NGRAMS) if n >= least]
    places = {ngram: i for i, (ngram, _) in enumerate(frequent)}
    entries: list[int] = []
    weights: list[float] = []
    starts = [0]
    for several in captions:
        mean: Counter[NGram] = Counter()
        for sentence in several:
            for ngram, x in _vector(sentence, rarity):
                mean[ngram] += x / len(several)  # type: ignore[assignment]
        # In the order of the table: that of the captions would give them away.
        kept = sorted((places[ngram], x) for ngram, x in mean.items() if ngram in places and x > 0)
        entries += [place for place, _ in kept]
        weights += [x for _, x in kept]
        starts.append(len(entries))
    terms = np.asarray(terms, dtype=np.float32)
    centre = terms.mean(0)
    basis = np.linalg.svd(terms - centre, full_matrices=False)[2][:_COMPONENTS]
    basis = basis.astype(np.float16).astype(np.float32)  # as they will be stored
    directions = unit((terms - centre.astype(np.float16)) @ basis.T)
    return Consensus(
        centre.astype(np.float16).astype(np.float32),
        basis,
        np.round(directions * _CODE).astype(np.int8),
        np.array([(*g, *[PADDING] * (4 - len(g))) for g in places], np.int32).reshape(-1, 4),
        np.array([n for _, n in frequent], np.int32),
        np.array(starts, np.int32),
        np.array(entries, np.uint16),
        np.clip(np.round(np.array(weights) * _LEVELS), 1, _LEVELS).astype(np.uint8),
        np.array([np.mean([len(s) for s in several]) for several in captions], np.float32),
    )


def _ngrams(sentence: Sentence) -> Iterable[NGram]:
    return chain.from_iterable(_of_order(sentence, n) for n in _ORDERS)


def _of_order(sentence: Sentence, order: int) -> Iterator[NGram]:
    return zip(*(sentence[i:] for i in range(order)), strict=False)


def _vector(sentence: Sentence, rarity: Mapping[NGram, float]) -> Iterator[tuple[NGram, float]]:
    """The n-grams of a sentence by count times rarity; those of each order have length 1."""
    for order in _ORDERS:
        weights = {g: n * rarity[g] for g, n in Counter(_of_order(sentence, order)).items()}
        norm = math.hypot(*weights.values())
        yield from ((ngram, weight / norm) for ngram, weight in weights.items() if norm)


def _check(found: Mapping[str, np.ndarray], vocabulary: int, multimodal: int) -> None:
    """Raise ValueError unless the arrays fit together, and the vocabulary and the model."""
    for name in sorted(found.keys() ^ _STORED.keys()):
        raise ValueError(f"{'unknown' if name in found else 'missing'} key {name!r}")
    for name, shape in _shapes(found, multimodal).items():
        array = found[name]
        if array.dtype != _STORED[name]:
            raise ValueError(f"{name!r} is {array.dtype}, not {np.dtype(_STORED[name])}")
        if array.shape != shape:
            raise ValueError(f"{name!r} has shape {array.shape}, not {shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name!r} holds NaN or infinite numbers")
    images, ngrams = len(found["codes"]), len(found["ngrams"])
    starts = found["starts"]
    if starts[0] != 0 or starts[-1] != len(found["entries"]) or (np.diff(starts) < 0).any():
        raise ValueError("'starts' does not cut 'entries' into parts")
    for name, least, below in (
        ("entries", 0, ngrams),
        ("ngrams", 0, vocabulary),
        ("images_with", 1, images + 1),
    ):
        if ((found[name] < least) | (found[name] >= below)).any():
            raise ValueError(f"{name!r} has a number that is not from {least} to {below - 1}")


def _shapes(found: Mapping[str, np.ndarray], multimodal: int) -> dict[str, tuple[int, ...]]:
    """What the shapes must be; the free ones are as some of the arrays have them."""
    components, images, ngrams, entries = (
        len(np.atleast_1d(found[name])) for name in ("basis", "codes", "ngrams", "entries")
    )
    return {
        "centre": (multimodal,),
        "basis": (components, multimodal),
        "codes": (max(images, 1), components),
        "ngrams": (ngrams, len(_ORDERS)),
        "images_with": (ngrams,),
        "starts": (images + 1,),
        "entries": (entries,),
        "weights": (entries,),
        "lengths": (images,),
    }
