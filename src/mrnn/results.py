"""What a model tells of images: sentences, scores and rankings, as frozen plain data.

Each shows itself: `str` to read, `to_dict` as the JSON object that the command line writes, and
HTML in a notebook.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from .errors import ImageError
from .records import (
    caption_document,
    explanation_document,
    explanation_lines,
    percent,
    ranking_document,
    ranking_lines,
    ranking_notes,
    score_document,
)

_STRANGE = 0.99  # the strangeness from which on it is said
_SURE = 0.75  # the chance of the main word from which on a caption is called sure


@dataclass(frozen=True)
class Word:
    """A word with its log P in nats, given the words before it and the image.

    >>> mrnn.Word("dog", -0.5).text
    'dog'
    """

    text: str
    logprob: float
    given: bool = False  # part of a prefix that the caller gave
    alternatives: tuple[tuple[str, float], ...] = ()  # the most probable words here, with log P
    captions: int | None = None  # training captions that have it, where that was counted


@dataclass(frozen=True)
class Caption:
    """A generated sentence; `words` ends with ##END## unless it was cut off.

    Two are equal if they say the same, of whatever picture.

    >>> caption = captioner.caption("holiday.jpg")
    >>> print(caption, caption.words[-1].text)
    a ... ##END##
    >>> caption.to_dict()["image"]
    'holiday.jpg'
    """

    text: str
    logprob: float  # nats, the sum over words
    perplexity: float  # exp(-logprob / len(words))
    complete: bool
    words: tuple[Word, ...]
    n_best: tuple[Caption, ...] = ()
    main_word: str | None = None  # that the image speaks for most
    sure: float | None = None  # the chance that this word is right, where the model can tell
    strangeness: float | None = None  # share of dev images that are more like what was learned
    # The path of the image, as it was given; "<image>" or the like for one in memory.
    image: str = field(default="", compare=False)
    # A small JPEG of an image in memory, in base64, where one alone was captioned or explained.
    thumbnail: str = field(default="", compare=False, repr=False)
    # Whether the image was in memory: a file of its name may be another one.
    in_memory: bool = field(default=False, compare=False, repr=False)

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """What `mrnn caption --json` writes of it."""
        return caption_document(self.image, self, bool(self.n_best))

    def _repr_html_(self) -> str:
        from .pages.notebook import caption_html

        return caption_html(self)

    @property
    def is_from_text_only(self) -> bool:
        """Whether no training caption has the main word."""
        return any(w.text == self.main_word and w.captions == 0 for w in self.words)

    @property
    def certainty(self) -> str | None:
        """`sure`, `unsure` or, where a strange image is the reason, `outside what I know`.

        None where the model cannot tell. A main word with a high chance is as often right in
        strange images as in others, so that these are called sure, too (docs/new-words.md).
        """
        if self.sure is None:
            return None
        if self.sure >= _SURE:
            return "sure"
        return "outside what I know" if (self.strangeness or 0) >= _STRANGE else "unsure"

    @property
    def in_words(self) -> str:
        """How far it can be trusted for a page: the word first, then what it is of.

        The perplexity where the model knows no better.
        """
        if self.sure is None or self.certainty is None:
            return f"Perplexity {self.perplexity:.2f}"
        word = f"{self.certainty[0].upper()}{self.certainty[1:]}: {self.main_word}"
        told = f"{word}, {percent(self.sure)}"
        return f"{told}; known from text only" if self.is_from_text_only else told

    @property
    def how_sure(self) -> str:
        """How far it can be trusted, in a line of text; the perplexity where the model cannot tell.

        Contracts with others' scripts keep it as it is.
        """
        if self.sure is None:
            return f"perplexity {self.perplexity:.2f}"
        told = [f"{self.sure:.0%} sure of {self.main_word}"]
        if self.is_from_text_only:
            told.append("known from text only")
        if (self.strangeness or 0) >= _STRANGE:
            told.append("a strange photo")
        return "; ".join(told)


@dataclass(frozen=True)
class Score:
    """How well a sentence fits an image.

    >>> [score] = captioner.score("holiday.jpg", ["a dog on a quokka"])
    >>> score.unknown
    ('quokka',)
    """

    sentence: str
    logprob: float  # log P(s | I), nats
    perplexity: float
    # log P(s | I) - log P(s) of the known words: above 0, the image makes the sentence likelier.
    # None where it has unknown ones, and no other tells pictures apart.
    log_ratio: float | None
    words: tuple[Word, ...]
    unknown: tuple[str, ...]  # words outside the vocabulary: the unknown word in log P(s | I)

    def to_dict(self) -> dict[str, Any]:
        """What `mrnn score --json` writes of it, one of its `scores`."""
        return score_document(self)


@dataclass(frozen=True)
class Match:
    """A sentence or an image in its place among others.

    >>> best = captioner.rank_images("a dog", ["beach.jpg", "holiday.jpg"]).matches[0]
    >>> best.rank
    1
    """

    rank: int  # from 1
    item: str  # the sentence, or the path of the image; "<images[0]>" or the like for one in memory
    logprob: float  # log P(s | I), nats
    perplexity: float
    log_ratio: float  # log P(s | I) - log P(s)
    # A small JPEG of an image in memory, in base64, of the first few.
    thumbnail: str = field(default="", compare=False, repr=False)
    # Whether the image was in memory: a file of its name may be another one.
    in_memory: bool = field(default=False, compare=False, repr=False)


@dataclass(frozen=True)
class Ranking:
    """The best matches of a query, and the images that could not be read.

    >>> ranking = captioner.rank_images("a dog", ["beach.jpg", "gone.jpg"])
    >>> [match.item for match in ranking.matches]
    ['beach.jpg']
    >>> for image, error in ranking.errors:
    ...     print(error.code, error)
    missing gone.jpg: no such file
    """

    query: str  # the sentence, or the path of the image
    matches: tuple[Match, ...]
    errors: tuple[tuple[str, ImageError], ...] = ()  # by path
    unknown: tuple[str, ...] = ()  # words outside the vocabulary, which were left out
    items: Literal["image", "sentence"] = "image"  # what the matches are
    # Whether the image that is the query was in memory: a file of its name may be another one.
    in_memory: bool = field(default=False, compare=False, repr=False)

    def __str__(self) -> str:
        return "\n".join(ranking_lines(self) or ranking_notes(self))

    def to_dict(self) -> dict[str, Any]:
        """What `mrnn rank-images --json`, or `rank-sentences`, writes of it."""
        return ranking_document(self, self.items)

    def _repr_html_(self) -> str:
        from .pages.notebook import ranking_html

        return ranking_html(self)


@dataclass(frozen=True)
class Contributions:
    """Where a word's log P comes from, in nats above its log P at the baseline.

    The baseline has neither words before it nor this image, but the average training image.

    >>> explanation = captioner.explain("holiday.jpg", "a dog", quick=True)
    >>> word, why = explanation.caption.words[1], explanation.evidence[1]
    >>> parts = why.contributions
    >>> total = why.baseline + parts.last_word + parts.sentence + parts.image
    >>> abs(total - word.logprob) < 0.05
    True
    """

    last_word: float  # through Vw w(t)
    sentence: float  # through Vr r(t), all words so far
    image: float  # through VI I


@dataclass(frozen=True)
class Evidence:
    """Why a word was said.

    >>> [why, *_] = captioner.explain("holiday.jpg", "a dog", quick=True).evidence
    >>> len(why.heat) == len(why.heat[0])
    True
    """

    baseline: float  # log P of the word at the baseline, nats
    contributions: Contributions  # their sum and `baseline` make the word's log P
    heat: tuple[tuple[float, ...], ...]  # nats, H rows of W parts of the image; () without a map


@dataclass(frozen=True)
class Explanation:
    """A sentence about an image with the evidence for each of its words.

    >>> explanation = captioner.explain("holiday.jpg", "a dog", quick=True)
    >>> [word.text for word in explanation.caption.words]
    ['a', 'dog', '##END##']
    >>> explanation.method
    'positions'
    """

    caption: Caption  # its words come with their alternatives
    evidence: tuple[Evidence, ...]  # one a word, END included
    method: str  # how heat was made: "positions", "occlusion", or "none"
    area: tuple[float, float, float, float]  # left, top, right, bottom of the heat, shares of 1
    unknown: tuple[str, ...] = ()  # words of a given sentence outside the vocabulary

    def __str__(self) -> str:
        return "\n".join(explanation_lines(self.caption.image, self))

    def to_dict(self) -> dict[str, Any]:
        """What `mrnn explain --json` writes of it."""
        return explanation_document(self.caption.image, self, bool(self.caption.n_best))

    def _repr_html_(self) -> str:
        from .pages.notebook import explanation_html

        return explanation_html(self)
