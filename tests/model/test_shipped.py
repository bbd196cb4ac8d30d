"""The shipped bundle, and captions of real photographs that come with scikit-image."""

from __future__ import annotations

from pathlib import Path

import pytest
import skimage

import mrnn
from mrnn.config import SHIPPED, Decoding
from mrnn.model.bundle import load_bundle, save_bundle
from mrnn.model.directory import find_bundle

PHOTOS = Path(skimage.__file__).parent / "data"


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_bundles_load_and_are_small(name):
    directory = find_bundle(name)
    bundle = load_bundle(directory)
    most = {"plain": 20_000_000, "default": 24_000_000}[name]
    assert sum(file.stat().st_size for file in directory.iterdir()) < most
    assert len(bundle.prior) == 1000
    assert bundle.training["split"] == "train"
    assert bundle.scores
    assert f"{bundle.scores[0]['perplexity']:.2f}" in (directory / "README.md").read_text()


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_bundles_are_as_they_would_be_saved(name, tmp_path):
    """But for the format of `plain`, which nothing has changed since."""
    save_bundle(load_bundle(find_bundle(name)), tmp_path / "again")
    for file in find_bundle(name).iterdir():
        saved = (tmp_path / "again" / file.name).read_bytes()
        if (name, file.name) == ("plain", "config.json"):
            saved = saved.replace(b'"format": 4', b'"format": 2')
        assert saved == file.read_bytes()


def test_the_default_model_says_cat_and_knows_what_it_knows():
    captioner = mrnn.load(device="cpu")
    for beam in (1, 5):
        caption = captioner.caption(PHOTOS / "chelsea.png", beam=beam)
        assert "cat" in caption.text.split()
        assert (caption.main_word, caption.strangeness) == ("cat", pytest.approx(1, abs=0.05))
        assert caption.sure > 0.6
    assert {"pizza", "guitar", "giraffe", "hippopotamus"} <= set(captioner.vocabulary.words)
    counts = captioner.vocabulary.captions_with
    assert counts("dog") > 1000
    assert (counts("giraffe"), counts("hippopotamus")) == (0, 0)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_bundles_say_what_a_match_is(name):
    match = load_bundle(find_bundle(name)).match
    assert (match.split, match.images, match.galleries[-1]) == ("dev", 1000, 999)
    assert 3 < match.at(10) < match.at(1000) < 9  # nats


def test_real_photographs_get_different_sensible_sentences():
    names = ("astronaut.png", "camera.png", "motorcycle_left.png")
    photos = [PHOTOS / name for name in names]
    captions = list(mrnn.load(device="cpu").caption_many(photos, beam=5))
    assert len({caption.text for caption in captions}) == len(names)
    for caption in captions:
        assert caption.complete
        assert 3 <= len(caption.text.split()) <= 20
        assert caption.perplexity < 16
    assert {"camera", "tripod"} & set(captions[1].text.split())
    assert "motorcycle" in captions[2].text
    # The likeliest sentences speak of people; by the ratio rarer things count more.
    likeliest = mrnn.load(device="cpu").caption_many(photos[:2], beam=5, ratio=0)
    people = {"woman", "man", "girl", "boy", "person", "lady"}
    assert all(people & set(caption.text.split()) for caption in likeliest)


def test_a_sentence_that_fits_scores_above_one_that_does_not():
    captioner = mrnn.load(device="cpu")
    fits, does_not = captioner.score(
        PHOTOS / "motorcycle_left.png", ["a man on a motorcycle", "two dogs run on the beach"]
    )
    assert fits.log_ratio > 0 > does_not.log_ratio


def test_beams_find_more_probable_sentences_than_greedy():
    captioner = mrnn.load(device="cpu")
    photos = [PHOTOS / name for name in ("astronaut.png", "chelsea.png", "coffee.png")]
    greedy = sum(c.logprob for c in captioner.caption_many(photos))
    beam = sum(c.logprob for c in captioner.caption_many(photos, Decoding(beam=5)))
    assert beam > greedy


def test_similar_words_are_near():
    near = [word for word, _ in mrnn.load(device="cpu").nearest_words("man", 15)]
    assert {"woman", "guy", "person", "boy", "lady", "girl", "men"} & set(near)
