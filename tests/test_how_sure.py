"""What a caption says of itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from libraries import SIDE, seeing
from mrnn.captioner import Captioner
from mrnn.model.sureness import Sureness
from mrnn.records import caption_document
from mrnn.results import Caption, Word
from mrnn.server.answers import Trust


def caption(sure: float | None, strangeness: float | None = 0.5, captions: int = 9) -> Caption:
    words = (Word("a", -1.0), Word("cup", -0.5, captions=captions))
    main_word = None if sure is None else "cup"
    return Caption("a cup", -2.0, 2.718, True, words, (), main_word, sure, strangeness)


@pytest.mark.parametrize(
    ("sure", "strangeness", "certainty"),
    [
        (0.75, 0.5, "sure"),
        (0.749, 0.5, "unsure"),
        (0.92, 1.0, "sure"),  # as often right in strange images as in others
        (0.749, 0.99, "outside what I know"),
        (0.1, 0.9899, "unsure"),
        (0.1, None, "unsure"),
        (None, 1.0, None),
    ],
)
def test_sure_unsure_or_outside(sure, strangeness, certainty):
    found = caption(sure, strangeness)
    assert found.certainty == certainty
    assert caption_document("a.jpg", found, False).get("certainty") == certainty
    Trust(certainty=certainty)  # the server knows the word


def test_the_word_stands_before_the_figure():
    assert caption(0.92).in_words == "Sure: cup, 92%"
    assert caption(0.9999).in_words == "Sure: cup, >99%"
    assert caption(0.42, captions=0).in_words == "Unsure: cup, 42%; known from text only"
    assert caption(0.42, 1.0).in_words == "Outside what I know: cup, 42%"
    assert caption(None).in_words == "Perplexity 2.72"


def test_lines_for_scripts_are_as_they_were():
    assert caption(0.42, 1.0).how_sure == "42% sure of cup; a strange photo"
    assert caption(None).how_sure == "perplexity 2.72"


def test_no_figure_for_a_word_that_the_model_lacks():
    """What a sentence says most of its picture may be a word that nothing is known of."""
    known = seeing()
    bundle = replace(known.bundle, sureness=Sureness(0.0, 1.0, 1.0))
    captioner = Captioner(bundle, known.encoder)
    pixels = np.random.default_rng(0).random((3, SIDE, SIDE), dtype=np.float32)
    told = {
        sentence: captioner.explain_pixels(pixels, sentence, quick=True).caption
        for sentence in ("quokka", "dog")
    }
    assert (told["quokka"].main_word, told["quokka"].sure) == (None, None)
    assert told["dog"].main_word == "dog"
    assert told["dog"].sure is not None
