"""What a model tells of images: sentences, scores and rankings, as frozen plain data."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ImageError

_STRANGE = 0.99  # the strangeness from which on it is said
_SURE = 0.75  # the chance of the main word from which on a caption is called sure


@dataclass(frozen=True)
class Word:
    """A word with its log P in nats, given the words before it and the image."""

    text: str
    logprob: float
    given: bool = False  # part of a prefix that the caller gave
    alternatives: tuple[tuple[str, float], ...] = ()  # the most probable words here, with log P
    captions: int | None = None  # training captions that have it, where that was counted


@dataclass(frozen=True)
class Caption:
    """A generated sentence; `words` ends with ##END## unless it was cut off."""

    text: str
    logprob: float  # nats, the sum over words
    perplexity: float  # exp(-logprob / len(words))
    complete: bool
    words: tuple[Word, ...]
    n_best: tuple[Caption, ...] = ()
    main_word: str | None = None  # that the image speaks for most
    sure: float | None = None  # the chance that this word is right, where the model can tell
    strangeness: float | None = None  # share of dev images that are more like what was learned

    def __str__(self) -> str:
        return self.text

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
        told = f"{self.certainty[0].upper()}{self.certainty[1:]}: {self.main_word}, {self.sure:.0%}"
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
    """How well a sentence fits an image."""

    sentence: str
    logprob: float  # log P(s | I), nats
    perplexity: float
    # log P(s | I) - log P(s) of the known words: above 0, the image makes the sentence likelier
    log_ratio: float
    words: tuple[Word, ...]
    unknown: tuple[str, ...]  # words outside the vocabulary: the unknown word in log P(s | I)


@dataclass(frozen=True)
class Match:
    """A sentence or an image in its place among others."""

    rank: int  # from 1
    item: str  # the sentence, or the path of the image
    logprob: float  # log P(s | I), nats
    perplexity: float
    log_ratio: float  # log P(s | I) - log P(s)


@dataclass(frozen=True)
class Ranking:
    """The best matches of a query, and the images that could not be read."""

    query: str
    matches: tuple[Match, ...]
    errors: tuple[tuple[str, ImageError], ...] = ()  # by path
    unknown: tuple[str, ...] = ()  # words of a sentence outside the vocabulary, which were left out


@dataclass(frozen=True)
class Contributions:
    """Where a word's log P comes from, in nats above its log P at the baseline.

    The baseline has neither words before it nor this image, but the average training image.
    """

    last_word: float  # through Vw w(t)
    sentence: float  # through Vr r(t), all words so far
    image: float  # through VI I


@dataclass(frozen=True)
class Evidence:
    """Why a word was said."""

    baseline: float  # log P of the word at the baseline, nats
    contributions: Contributions  # their sum and `baseline` make the word's log P
    heat: tuple[tuple[float, ...], ...]  # nats, H rows of W parts of the image; () without a map


@dataclass(frozen=True)
class Explanation:
    """A sentence about an image with the evidence for each of its words."""

    caption: Caption  # its words come with their alternatives
    evidence: tuple[Evidence, ...]  # one a word, END included
    method: str  # how heat was made: "positions", "occlusion", or "none"
    area: tuple[float, float, float, float]  # left, top, right, bottom of the heat, shares of 1
    unknown: tuple[str, ...] = ()  # words of a given sentence outside the vocabulary
