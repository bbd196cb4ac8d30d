"""Faithfulness: the right parts are greyed, and the right words asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from libraries import bundle, seeing
from mrnn.captioner import Captioner
from mrnn.explanation.faithfulness import FUNCTION_WORDS, QUARTERS, measure, quarters
from mrnn.explanation.occlusion import cells, filled
from mrnn.images.encoders import open_encoder
from mrnn.images.reading import preprocess, read_image
from mrnn.model.bundle import EncoderIdentity
from mrnn.words.text import tokenise
from onnx_models import tiny

CAPTIONS = ["a dog runs in the snow", "the", "", "the cat sits"]
CONTENT = {0: [1, 2, 5], 3: [1, 2]}


def measured(captioner, pictures, captions, seed=1, **options):
    shown = []
    result = measure(
        captioner.model,
        captioner.encoder,
        captioner.vocabulary,
        captioner.prior_terms.mean(0),
        pictures,
        captions,
        seed,
        lambda done, total: shown.append((done, total)),
        **options,
    )
    assert shown == [(i + 1, len(pictures)) for i in range(len(pictures))]
    return result


@pytest.mark.parametrize("positions", [False, True])
def test_losses_are_those_of_one_greyed_picture_after_another(captioner, picture, positions):
    captioner = captioner if positions else seeing()
    photos = [picture(f"{i}.jpg", seed=i) for i in range(4)]
    found = measured(captioner, photos, CAPTIONS)
    how = captioner.encoder.preprocessing
    generator = np.random.default_rng(1)
    losses = {name: [] for name in QUARTERS}
    for i, places in CONTENT.items():
        pixels = preprocess(read_image(photos[i], at_least=how.least_side), how)
        explanation = captioner.explain(photos[i], CAPTIONS[i])
        for place in places:
            heat = np.array(explanation.evidence[place].heat)
            masks = cells(how.size, len(heat))
            chosen = zip(QUARTERS, quarters(heat, generator), strict=True)
            for name, parts in chosen:
                [grey] = filled(pixels, masks[parts].any(0)[None], how)
                feature = captioner.encoder.encode(grey[None])[0]
                [score] = captioner.score_feature(feature, [CAPTIONS[i]])
                before = explanation.caption.words[place].logprob
                losses[name].append(before - score.words[place].logprob)
    assert found["words"] == 5
    for name in QUARTERS:
        assert found[name] == pytest.approx(np.mean(losses[name]), abs=1e-4)
    if found["random"] > 0:
        assert found["ratio"] == pytest.approx(found["hottest"] / found["random"])
    else:
        assert found["ratio"] is None
    assert list(found) == ["words", *QUARTERS, "ratio"]


def test_hiding_what_spoke_for_a_word_hurts_most(picture):
    photos = [picture(f"{i}.jpg", seed=i) for i in range(12)]
    found = measured(seeing(), photos, ["a dog runs"] * 12)
    assert found["hottest"] > found["random"] > found["coldest"]


def test_maps_may_be_quick(tmp_path, picture):
    captioner = seeing_positions(tmp_path)
    photos = [picture("a.jpg"), picture("b.jpg", seed=1)]
    usual, quick = (measured(captioner, photos, ["a dog"] * 2, quick=q) for q in (False, True))
    assert usual["random"] != quick["random"]  # of 7 x 7 parts, of 2 x 2


def seeing_positions(folder):
    """A captioner whose encoder is a tiny ONNX network with 2 x 2 positions."""
    (folder / "net.onnx").write_bytes(tiny(("map",)))
    (folder / "net.json").write_text('{"size": 8, "mean": 127, "scale": 60}')
    encoder = open_encoder(str(folder / "net.onnx"))
    identity = EncoderIdentity(encoder.name, encoder.digest, encoder.preprocessing)
    return Captioner(bundle(identity, 3, 2, None, encoder), encoder)


def test_the_seed_draws_the_random_quarters(captioner, picture):
    photos = [picture("a.jpg")]
    first, again, other = (measured(captioner, photos, ["a dog runs"], s) for s in (1, 1, 2))
    assert first == again
    assert first["random"] != other["random"]
    for name in ("words", "hottest", "coldest"):
        assert first[name] == other[name]


def test_a_picture_that_cannot_be_read_is_left_out(captioner, picture, tmp_path):
    photo = picture("a.jpg")
    alone = measured(captioner, [photo], ["a dog runs"])
    assert measured(captioner, [tmp_path / "gone.jpg", photo], ["a cat", "a dog runs"]) == alone


def test_without_maps_or_content_words_there_is_no_figure(captioner, tiny_bundle, picture):
    photo = picture("a.jpg")
    assert measured(captioner, [photo, photo], ["the", ""]) is None
    assert measured(captioner, [], []) is None
    blind = Captioner(tiny_bundle, open_encoder("none"))
    assert measured(blind, [photo], ["a dog"]) is None


def test_no_ratio_to_nothing(captioner, picture):
    same = np.ones(1280, np.float32)
    encode = lambda pixels: np.tile(same, (len(pixels), 1))  # noqa: E731 - sees nothing
    positions = lambda pixels: np.tile(same, (len(pixels), 4, 1))  # noqa: E731
    encoder = replace(captioner.encoder, encode=encode, encode_positions=positions)
    blind = Captioner(captioner.bundle, encoder)
    found = measured(blind, [picture("a.jpg")], ["a dog"])
    assert (found["random"], found["ratio"]) == (0, None)


@given(
    st.integers(1, 9).flatmap(lambda side: arrays(float, (side, side), elements=st.floats(-5, 5))),
    st.integers(0, 99),
)
def test_quarters_are_of_one_size_and_in_their_order(heat, seed):
    found = quarters(heat, np.random.default_rng(seed))
    count = max(1, round(heat.size / 4))
    assert found.shape == (4, heat.size)
    assert set(found.sum(1)) == {count}
    hottest, _, _, coldest = (heat.ravel()[parts] for parts in found)
    assert hottest.min() >= np.sort(heat.ravel())[-count]
    assert coldest.max() <= np.sort(heat.ravel())[count - 1]


def test_a_moved_quarter_has_the_shape_of_the_hottest():
    heat = np.zeros((4, 4))
    heat[0, :2] = heat[1, :2] = 1
    places = set()
    for seed in range(200):
        moved = quarters(heat, np.random.default_rng(seed))[2].reshape(4, 4)
        rows, columns = np.flatnonzero(moved.any(1)), np.flatnonzero(moved.any(0))
        assert {tuple(rows), tuple(columns)} <= {(0, 1), (1, 2), (2, 3), (0, 3)}
        assert moved.sum() == 4
        places.add((*rows, *columns))
    assert len(places) == 16


def test_function_words_are_words_that_no_picture_shows():
    assert tokenise(" ".join(sorted(FUNCTION_WORDS))) == sorted(FUNCTION_WORDS)
    assert {"a", "the", "in", "is", "with", "his"} <= FUNCTION_WORDS
    assert not {"dog", "two", "red", "running", "man"} & FUNCTION_WORDS
