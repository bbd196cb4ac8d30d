"""Text: normalise, tokenise, and the frozen vocabulary."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from ..errors import BundleError, UsageError

PADDING, START, END, UNKNOWN = range(4)
SIGNS = ("##PADDING##", "##START##", "##END##", "##UNK##")
# Names of rules; a bundle says which it was trained with. In the first, what is not seen separates.
TOKENISERS = ("words-1", "words-2")
TOKENISER = TOKENISERS[-1]
KNOWN_TOKENISERS = f"this version has {' and '.join(TOKENISERS)}"


_ASCII_WORDS = re.compile("[a-z0-9]+")
# Soft hyphens, marks of direction, word joiners, byte order marks: no reader sees them.
_UNSEEN = re.compile(
    "[\u00ad\u061c\u180e\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]"
)
_JOINERS = re.compile("[\u200c\u200d]+")  # ZWNJ and ZWJ: they shape some letters
_ZWNJ = "\u200c"
_VIRAMA = 9  # the combining class of signs that let a letter join the next one
# Scripts written without spaces: each character, with its marks, is a word of its own.
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # ideographic iteration mark, zero
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),
    (0x3400, 0x9FFF),  # Han
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),  # half-width Katakana
    (0x20000, 0x3FFFF),
)


def tokenise(text: str, rules: str = TOKENISER) -> list[str]:
    """Split text into words: NFC, lower case, runs of letters or digits; all else separates.

    Combining marks stay with their letter, and characters of scripts written without spaces are
    words of their own. Characters of no width are left out, but for joiners that change how a word
    is written, as in Persian and Sinhala. For ASCII text this is exactly the runs of [a-z0-9].
    Raises UsageError for what is no text.
    """
    if not isinstance(text, str):
        raise UsageError(f"a sentence is text, and {type(text).__name__} is none: {text!r:.80}")
    if text.isascii():
        return _ASCII_WORDS.findall(text.lower())
    if rules != TOKENISERS[0]:
        # Lower case, which may add marks, and marks in one order before joiners are looked at.
        text = _JOINERS.sub(_kept_joiner, _lower(_UNSEEN.sub("", text)))
    words: list[str] = []
    before = ""  # what the character before was: "letter", "unspaced" or "" for a separator
    for character in _lower(text):
        kind = unicodedata.category(character)[0]
        if kind == "M" and before:
            words[-1] += character
        elif kind not in "LN":
            if before == "letter" and rules != TOKENISERS[0] and _JOINERS.match(character):
                words[-1] += character
            else:
                before = ""
        elif _is_unspaced(character):
            words.append(character)
            before = "unspaced"
        else:
            if before == "letter":
                words[-1] += character
            else:
                words.append(character)
            before = "letter"
    return words


def _lower(text: str) -> str:
    """Lower case, composed; that of a composed letter may be others that are not."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())


def _kept_joiner(found: re.Match[str]) -> str:
    """A joiner between letters that it shapes: after a virama, and ZWNJ in Arabic script."""
    before, after = (
        found.string[max(0, found.start() - 1) : found.start()],
        found.string[found.end() : found.end() + 1],
    )
    is_letter = after != "" and unicodedata.category(after)[0] == "L" and not _is_unspaced(after)
    if not before or not is_letter:
        return ""
    joiner = found[0][0]
    is_arabic = all(unicodedata.bidirectional(letter) == "AL" for letter in (before, after))
    is_kept = _has_virama(found.string, found.start()) or (joiner == _ZWNJ and is_arabic)
    return joiner if is_kept else ""


def _has_virama(text: str, end: int) -> bool:
    """Whether the letter that ends there has one among its marks, wherever it stands in order."""
    for place in range(end - 1, -1, -1):
        if unicodedata.combining(text[place]) == _VIRAMA:
            return True
        if unicodedata.category(text[place])[0] != "M" and not _JOINERS.match(text[place]):
            return False
    return False


def join(words: Sequence[str]) -> str:
    """Write words as a sentence: spaces between them, none between unspaced characters."""
    parts = list(words[:1])
    for before, word in pairwise(words):
        tight = _is_unspaced(before[0]) and _is_unspaced(word[0])
        parts.append(word if tight else f" {word}")
    return "".join(parts)


@dataclass(frozen=True)
class Vocabulary:
    """The words a model knows, by index; the four signs come first.

    `words` holds V strings; V includes the signs. `captions` tells how many training captions have
    each; it is empty where nobody knows, as in bundles of before. `tokeniser` names the rules by
    which sentences become such words.
    """

    words: tuple[str, ...]
    captions: tuple[int, ...] = ()
    tokeniser: str = TOKENISER
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.words[: len(SIGNS)] != SIGNS:
            raise BundleError(f"a vocabulary must begin with the signs {', '.join(SIGNS)}")
        index = {word: i for i, word in enumerate(self.words)}
        if len(index) != len(self.words):
            twice = next(word for word, count in Counter(self.words).items() if count > 1)
            raise BundleError(f"the vocabulary holds the word {twice!r} twice")
        if self.captions and len(self.captions) != len(self.words):
            raise BundleError(
                f"{len(self.words)} words, but captions are counted for {len(self.captions)}"
            )
        object.__setattr__(self, "_index", index)

    @classmethod
    def build(
        cls, sentences: Iterable[str], at_least: int, known: Vocabulary | None = None
    ) -> Vocabulary:
        """Collect the words seen `at_least` times, the most frequent first, ties by spelling.

        The words of a vocabulary that is `known` come before them, in its order; its rules hold.
        """
        rules = known.tokeniser if known else TOKENISER
        counts = Counter(word for sentence in sentences for word in tokenise(sentence, rules))
        before = known.words if known else SIGNS
        for word in before:
            counts.pop(word, None)
        kept = [(-count, word) for word, count in counts.items() if count >= at_least]
        return cls(before + tuple(word for _, word in sorted(kept)), tokeniser=rules)

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        """Read what `to_json` wrote; raises BundleError saying what is wrong."""
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:  # the latter: nested too deeply
            raise BundleError(f"not JSON ({error})") from None
        keys = set(content) if isinstance(content, dict) else set()
        if keys - {"captions"} != {"tokeniser", "words"}:
            raise BundleError('expected an object with the keys "tokeniser" and "words"')
        rules = content["tokeniser"]
        if rules not in TOKENISERS:
            raise BundleError(f"made with the tokeniser {rules!r}; {KNOWN_TOKENISERS}")
        words = content["words"]
        if not isinstance(words, list) or not all(isinstance(w, str) and w for w in words):
            raise BundleError('"words" must be a list of non-empty strings')
        captions = content.get("captions", [])
        if not isinstance(captions, list) or not all(
            type(count) is int and 0 <= count < 2**63 for count in captions
        ):
            raise BundleError('"captions" must be a list of whole numbers from 0')
        vocabulary = cls(tuple(words), tuple(captions), rules)
        for word in words[len(SIGNS) :]:
            if vocabulary.tokenise(word) != [word]:
                raise BundleError(f"{word!r} is not a word as the tokeniser makes them")
        return vocabulary

    def to_json(self) -> str:
        """Write as a JSON document, one word a line."""
        content: dict[str, Any] = {"tokeniser": self.tokeniser, "words": self.words}
        if self.captions:
            content["captions"] = self.captions
        return json.dumps(content, ensure_ascii=False, indent=0) + "\n"

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._index

    def index(self, word: str) -> int:
        """Index of a word, the unknown sign's for a word outside the vocabulary."""
        return self._index.get(word, UNKNOWN)

    def captions_with(self, word: str) -> int | None:
        """Training captions with a word; None for signs, and where nobody has counted."""
        index = self.index(word)
        return self.captions[index] if self.captions and index >= len(SIGNS) else None

    def counted(self, sentences: Iterable[str]) -> Vocabulary:
        """The same words, with how many of these sentences have each."""
        said = Counter(i for sentence in sentences for i in set(self.encode(sentence)))
        return replace(self, captions=tuple(said[i] for i in range(len(self))))

    def tokenise(self, sentence: str) -> list[str]:
        """A sentence as words, by the rules that this vocabulary was made with."""
        return tokenise(sentence, self.tokeniser)

    def encode(self, sentence: str) -> list[int]:
        """Indices of a sentence's words, without START and END."""
        return [self.index(word) for word in self.tokenise(sentence)]

    def encode_known(self, sentence: str) -> list[int]:
        """The same without the words that are not in the vocabulary."""
        return [self.index(word) for word in self.tokenise(sentence) if word in self]

    def unknown(self, sentence: str) -> tuple[str, ...]:
        """The words of a sentence that are not in the vocabulary."""
        return tuple(word for word in self.tokenise(sentence) if word not in self)

    def decode(self, indices: Iterable[int]) -> list[str]:
        """Words at the indices, signs included."""
        return [self.words[i] for i in indices]


def _is_unspaced(character: str) -> bool:
    code = ord(character)
    return code >= 0x0E00 and any(first <= code <= last for first, last in _UNSPACED)
