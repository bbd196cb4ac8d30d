"""What words look like before any picture was captioned with them: vectors among image features.

The classifier that an image network was trained with is a list of such vectors. Its row for a class
is a direction in which pictures of that class lie far from all others, and WordNet tells which
nouns stand for which classes. So not one picture is needed; Hendricks et al. 2016
(arXiv:1511.05284) and Venugopalan et al. 2017 (arXiv:1606.07770) learned such words from labelled
pictures and text.

Dimension key: N prototypes, D image feature.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np

from ..datasets.feature_files import FeatureFile
from ..errors import DataError, UsageError
from ..images.finding import printable
from ..images.networks import NETWORKS
from ..images.published import PACKAGES, classifier
from ..model.arrays import unit
from ..words.text import tokenise

CLASSES = "imagenet"  # the name of the classifier's rows, where a file could stand


@dataclass(frozen=True, eq=False)
class Prototypes:
    """Directions that words stand for, one or several a word."""

    vectors: np.ndarray  # (N, D) float32, of length 1
    rows: Mapping[str, tuple[int, ...]]  # the vectors of each word
    plurals: frozenset[str] = field(default=frozenset())  # those of the words that are
    names: tuple[str, ...] = ()  # words that are to be known even if no text has them


def open_prototypes(given: str, encoder: str, dimension: int) -> Prototypes:
    """The classifier's rows for `imagenet`, else the vectors of `FILE.npy` and `FILE.txt`.

    Raises UsageError for an encoder without a classifier at hand or vectors of another size than
    its features, DataError for a file that cannot be used.
    """
    if given != CLASSES:
        return _read(Path(given), dimension)
    if encoder not in PACKAGES:
        known = ", ".join(PACKAGES)
        raise UsageError(
            f"--prototypes {CLASSES}: no classifier is at hand for the encoder {encoder}; there is "
            f"one for {known}; for others give FILE.npy with a vector a word, and FILE.txt"
        )
    document = json.loads(files(__package__).joinpath("class_words.json").read_text("ascii"))
    words = document["words"]
    plurals = {word for word, of in words.items() if isinstance(of, str)}
    rows = {word: tuple(words[of] if word in plurals else of) for word, of in words.items()}
    names = tuple(dict.fromkeys(name for name in document["own"] if name))
    vectors = classifier(NETWORKS[encoder])
    return Prototypes(unit(vectors - vectors.mean(0)), rows, frozenset(plurals), names)


def _read(path: Path, dimension: int) -> Prototypes:
    file = FeatureFile.open(path, of="word")
    vectors = np.asarray(file.matrix, dtype=np.float32)
    if vectors.shape[1] != dimension:
        raise UsageError(
            f"--prototypes {printable(path)}: vectors of {vectors.shape[1]:,} numbers, but the "
            f"image features have {dimension:,}"
        )
    for name, row in file.rows.items():
        place = f"{printable(file.names_path)}:{row + 1}"
        if tokenise(name) != [name]:
            raise DataError(f"{place}: {printable(name)} is not one word in lower case")
        if not np.isfinite(vectors[row]).all() or not vectors[row].any():
            raise DataError(
                f"{place}: the vector of {printable(name)} (row {row} of {printable(path)}) holds "
                "NaN, infinite numbers or nothing but zeros"
            )
    rows = {name: (row,) for name, row in file.rows.items()}
    return Prototypes(unit(vectors), rows, names=tuple(rows))
