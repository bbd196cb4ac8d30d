"""Examples in a report: the right ones, under their true ranks."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from mrnn.datasets import Example
from mrnn.errors import ImageError
from mrnn.evaluation.ranks import Ranked
from mrnn.evaluation.showcase import generated, images_found, sentences_found
from mrnn.pages.html import picture as embed


def test_the_best_and_the_worst_are_shown_with_their_ranks(picture):
    size = 30
    examples = [
        Example(picture(f"q{i}.png", seed=i), (f"one of {i} .", f"two of {i} ."), "dev")
        for i in range(size)
    ]
    best = np.tile(np.arange(5), (2 * size, 1))
    there = Ranked(np.arange(size, 0, -1), best[:size])
    back = Ranked(np.repeat(np.arange(1, size + 1), 2), best)
    html = images_found(examples, back) + sentences_found(examples, there)
    places = re.findall(r"its own picture has rank (\d+) of 30", html)
    assert places == ["1", "2", "3", "30", "29", "28", "27", "26", "25"]
    places = re.findall(r"first right sentence at rank (\d+) of 60", html)
    assert places == ["1", "2", "3", "30", "29", "28", "27", "26", "25"]
    said = re.findall(r'<p class="said">(?:one|two) of (\d+) \.</p>', html)
    assert said == ["0", "1", "2", "29", "28", "27", "26", "25", "24"]
    # The sentence of picture 1: its own, then the others of 0 1 2 3 4 under their true ranks.
    cards = html.split("<article>")[1:]
    assert re.findall(r"<figcaption>(.*?)</figcaption>", cards[1]) == [
        "its own",
        "rank 1",
        "rank 3",
    ]
    assert re.findall(r"<figure class=\"right\"><img[^>]*alt=\"one of (\d+) \.\"", cards[1]) == [
        "1"
    ]
    # Sentences 0 to 4 are of pictures 0, 0, 1, 1, 2: none is right for picture 29, ranked best.
    assert "✓" not in cards[9]
    worst = next(card for card in cards[9:] if 'alt="one of 2 .' in card)
    assert re.findall(r'<li class="right">(.*?) ✓</li>', worst) == ["one of 2 ."]


def test_images_without_sentences_are_no_queries(picture):
    examples = [
        Example(
            picture(f"p{i}.png", seed=i), tuple(f"sentence {n} of {i}" for n in range(size)), "dev"
        )
        for i, size in enumerate((4, 3, 0, 2))
    ]
    best = np.array([[0], [4], [5], [8]])  # a row an image, but ranks of images 0, 1 and 3
    ranked = Ranked(np.array([1, 1, 2]), best)
    html = sentences_found(examples, ranked)
    shown = {
        re.search(r'alt="sentence 0 of (\d)"', card)[1]: (
            re.search(r"at rank (\d) of 9", card)[1],
            re.findall(r'<li class="right">sentence (\d of \d) ✓', card),
        )
        for card in html.split("<article>")[1:]
    }
    assert shown == {"0": ("1", ["0 of 0"]), "1": ("1", ["0 of 1"]), "3": ("2", ["1 of 3"])}


def test_captions_are_a_seeded_draw_beside_what_people_wrote(picture):
    path = picture("a.png")
    examples = [Example(path, (f"people {i} .",), "dev") for i in range(100)]
    captions = [f"caption {i} ." for i in range(100)]
    html = generated(examples, captions)
    shown = [int(n) for n in re.findall(r'<p class="said">caption (\d+) \.</p>', html)]
    people = [int(n) for n in re.findall(r"<li>people (\d+) \.</li>", html)]
    assert shown == people == sorted(set(shown))
    assert len(shown) == 24
    assert max(shown) > 60
    assert "24 of 100, drawn with seed 0" in html
    assert generated(examples, captions) == html


def test_embedded_pictures_are_as_small_as_asked(picture):
    path = picture("wide.jpg")
    Image.new("RGB", (900, 300)).save(path)
    for size, options in ((640, ()), (120, (120,))):
        html = embed(path, "wide", *options)
        data = base64.b64decode(re.search(r"base64,([^\"]*)", html)[1])
        assert max(Image.open(io.BytesIO(data)).size) == size
    with pytest.raises(ImageError):
        embed(path.with_name("gone.jpg"), "gone")
