"""How far a model can be trusted: its captions, and what a search finds by it.

Dimension key: B images, P real images of the prior, M multimodal layer.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from ..model.blocks import one_thread
from ..model.bundle import Bundle
from ..model.chance import MatchRule
from ..model.familiarity import Surroundings, strangeness, surroundings
from ..model.mrnn import g2
from ..model.normaliser import fast_normaliser
from ..model.sureness import main_word
from ..results import Caption, Word
from ..words.packing import Corpus
from ..words.text import END, SIGNS, UNKNOWN
from .content_words import content_words


class Trust:
    """What a bundle knows of its own captions and searches."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    @cached_property
    def usual_term(self) -> np.ndarray:
        """The image term (M,) of the usual image: the mean of training images."""
        return self._seen_terms.mean(0)

    @cached_property
    def content_words(self) -> np.ndarray:
        """Which words say something of a picture, (V,) bool."""
        return content_words(self._bundle.model, self._seen_terms)

    def is_taught(self, word: int) -> bool:
        """Whether captions taught a word, as far as they were counted; not the unknown word."""
        captions = self._bundle.vocabulary.captions
        return word != UNKNOWN and (not captions or captions[word] > 0)

    def from_text_only(self, sentence: str) -> tuple[str, ...]:
        """The known words of a sentence that no caption taught."""
        vocabulary = self._bundle.vocabulary
        known = vocabulary.encode_known(sentence)
        return tuple(vocabulary.decode(word for word in known if not self.is_taught(word)))

    def tells_apart(self, sentence: str) -> bool:
        """Whether any known word of a sentence says something of a picture."""
        known = self._bundle.vocabulary.encode_known(sentence)
        return bool(self.content_words[known].any())

    def match_rule(self, sentence: str, log_prior: float, pictures: int) -> MatchRule:
        """When a picture is a match that a sentence of this log P(s) finds among so many.

        Nobody can tell for sentences with unknown words or of none that says something, and how
        likely a match is right not for words that no caption has: what was measured says nothing
        of them.
        """
        bundle = self._bundle
        words = bundle.vocabulary.encode(sentence)
        if UNKNOWN in words or not self.tells_apart(sentence):
            return MatchRule()
        if bundle.chance is None:
            return MatchRule(None if bundle.match is None else bundle.match.at(pictures))
        if self.from_text_only(sentence):
            return MatchRule()
        return bundle.chance.rule(int(self.content_words[words].sum()), log_prior, pictures)

    def distances(self, terms: np.ndarray) -> np.ndarray:
        """How far each image lies from training images, by its terms (B, M): (B,)."""
        return self._surroundings.distances(terms)

    def strangeness(self, terms: np.ndarray) -> np.ndarray:
        """How unlike what was learned from each image is, by its terms (B, M): (B,) from 0 to 1.

        1 for all where the bundle does not know.
        """
        of_dev = self._bundle.distances
        if not of_dev:
            return np.ones(len(terms), dtype=np.float32)
        return strangeness(self.distances(terms), of_dev)

    def judged(self, captions: list[Caption], terms: np.ndarray) -> list[Caption]:
        """Captions with how sure they are and the `strangeness` of their image terms (B, M)."""
        if self._bundle.distances:
            pairs = zip(captions, self.strangeness(terms).tolist(), strict=True)
            captions = [replace(caption, strangeness=s) for caption, s in pairs]
        return [self._with_sureness(caption) for caption in captions]

    def main_word(self, caption: Caption) -> tuple[Word, float] | None:
        """The known word that gains most from the image, and how much; None where there is none."""
        vocabulary = self._bundle.vocabulary
        said = [word for word in caption.words if word.text != SIGNS[END]]
        known = [
            (word, gain)
            for word, gain in zip(said, self._gains(caption), strict=True)
            if word.text in vocabulary
        ]
        return known[main_word([gain for _, gain in known])] if known else None

    def _gains(self, caption: Caption) -> list[float]:
        """What the log P of each word, END left out, gains from the image over the usual one."""
        model = self._bundle.model
        said = [word for word in caption.words if word.text != SIGNS[END]]
        indices = [self._bundle.vocabulary.index(word.text) for word in said]
        packed = Corpus([indices]).pack()
        with one_thread():  # one sentence alone: the same digits in any company
            x = model.sentence_terms(packed)[: len(said)] + self.usual_term
            m = g2(x)
            logits = (m * model.wo[indices]).sum(1) + model.wo_bias[indices]
            usual = logits - fast_normaliser(model)(m)
        return [word.logprob - float(p) for word, p in zip(said, usual, strict=True)]

    @cached_property
    def _seen_terms(self) -> np.ndarray:
        """The image terms (P, M) of the prior's real images."""
        return self._bundle.model.image_terms(self._bundle.seen)

    @cached_property
    def _surroundings(self) -> Surroundings:
        return surroundings(self._seen_terms)

    def _with_sureness(self, caption: Caption) -> Caption:
        if self._bundle.sureness is None or (found := self.main_word(caption)) is None:
            return caption
        word, gain = found
        sure = self._bundle.sureness.chance(word.logprob, gain)
        return replace(caption, main_word=word.text, sure=sure)
