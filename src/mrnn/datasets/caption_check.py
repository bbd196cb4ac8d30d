"""What `mrnn check` says of the captions of a data set: counts, words, scripts, repetitions."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ..config import MAX_LENGTH
from ..images.finding import Member
from ..words.scripts import script_shares
from ..words.text import tokenise
from . import SPLITS, DataSet

CUTS = (1, 2, 3, 5, 10)  # a word is kept that is seen so often in training
SHOWN = 5  # examples of what was found


class Captions:
    """What is kept of I images and their S captions: lengths, digests, counts of words."""

    def __init__(self, data: DataSet, on_progress: Callable[[int, int], None]) -> None:
        self._data = data
        self.folders: Counter[Path] = Counter()  # of the pictures; a shard is one, too
        self.words: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
        self.characters: Counter[str] = Counter()
        lengths, digests, rows, splits = array("q"), array("q"), array("q"), array("b")
        for row, example in enumerate(data.examples):
            image = example.image
            self.folders[image.shard if isinstance(image, Member) else image.parent] += 1
            splits.append(SPLITS.index(example.split))
            for sentence in example.sentences:
                words = tokenise(sentence)
                self.words[example.split].update(words)
                self.characters.update(sentence)
                lengths.append(len(words))
                digests.append(_digest(words))
                rows.append(row)
            on_progress(row + 1, len(data.examples))
        self.lengths = np.array(lengths)  # (S,) words
        self.digests = np.array(digests)  # (S,) equal for captions of the same words
        self.rows = np.array(rows)  # (S,) each one's image
        self.image_splits = np.array(splits)  # (I,) index into SPLITS
        self.splits = self.image_splits[self.rows]  # (S,)

    def of_split(self, split: str) -> np.ndarray:
        """The digests of a split's captions."""
        return self.digests[self.splits == SPLITS.index(split)]

    def first(self, split: str, digest: int) -> tuple[str, str]:
        """The first caption of a split with this digest, and its image."""
        is_one = (self.digests == digest) & (self.splits == SPLITS.index(split))
        example = self._data.examples[int(self.rows[np.argmax(is_one)])]
        text = next(s for s in example.sentences if _digest(tokenise(s)) == digest)
        return text, str(example.image)


def split_figures(captions: Captions) -> dict[str, dict[str, int]]:
    """Images and sentences of each split."""
    images = np.bincount(captions.image_splits, minlength=len(SPLITS)).tolist()
    sentences = np.bincount(captions.splits, minlength=len(SPLITS)).tolist()
    return {
        split: {"images": i, "sentences": s}
        for split, i, s in zip(SPLITS, images, sentences, strict=True)
    }


def caption_figures(captions: Captions) -> dict[str, Any]:
    """Captions an image, words a caption, scripts, and captions that occur more than once.

    Captions are the same when their words are, as the model sees them.
    """
    an_image = np.bincount(captions.rows, minlength=len(captions.image_splits))
    train = captions.of_split("train")
    _, times = np.unique(train, return_counts=True)
    repeated = int(times[times > 1].sum())
    return {
        "an_image": {
            "least": int(an_image.min()),
            "median": float(np.median(an_image)),
            "most": int(an_image.max()),
            "images_with_one": int((an_image == 1).sum()),
        },
        "words": {
            "median": float(np.median(captions.lengths)),
            "percentile_95": int(np.percentile(captions.lengths, 95, method="inverted_cdf")),
            "longest": int(captions.lengths.max()),
            "limit": MAX_LENGTH,
            "longer": int((captions.lengths > MAX_LENGTH).sum()),
            "share_longer": float((captions.lengths > MAX_LENGTH).mean()),
        },
        "repeated_in_train": {"sentences": repeated, "share": repeated / max(1, len(train))},
        "distinct_in_train": len(times),
        "scripts": script_shares(captions.characters),
        "shared": list(_shared(captions)),
    }


def vocabulary_figures(captions: Captions) -> list[dict[str, Any]]:
    """For each cut the words that training would keep, and the share of others held out."""
    train = captions.words["train"]
    return [
        {
            "minimum_count": cut,
            "words": sum(count >= cut for count in train.values()),
            **{
                f"unknown_{split}": _unknown(captions.words[split], train, cut)
                for split in SPLITS[1:]
            },
        }
        for cut in CUTS
    ]


def _unknown(held_out: Counter[str], train: Counter[str], cut: int) -> float | None:
    """The share of running words that are seen in training less often than `cut`."""
    unknown = sum(count for word, count in held_out.items() if train[word] < cut)
    return unknown / held_out.total() if held_out else None


def _shared(captions: Captions) -> Iterator[dict[str, Any]]:
    """Captions of a later split that an earlier one has, too."""
    for earlier, later in combinations(SPLITS, 2):
        own = captions.of_split(later)
        common = own[np.isin(own, captions.of_split(earlier))]
        if not len(common):
            continue
        examples: list[dict[str, str]] = []
        for digest in dict.fromkeys(common.tolist()):
            if len(examples) == SHOWN:
                break
            caption, image = captions.first(later, digest)
            _, other = captions.first(earlier, digest)
            examples.append({"caption": caption, "image": image, "other": other})
        yield {
            "split": later,
            "other_split": earlier,
            "sentences": len(common),
            "share": len(common) / len(own),
            "examples": examples,
        }


def _digest(words: list[str]) -> int:
    return hash(" ".join(words))  # 64 bits: enough to tell a million captions apart
