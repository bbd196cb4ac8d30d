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
    save_bundle(load_bundle(find_bundle(name)), tmp_path / "again")
    for file in find_bundle(name).iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


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
def test_shipped_bundles_know_how_likely_what_they_find_is_right(name):
    chance = load_bundle(find_bundle(name)).chance
    assert (chance.split, chance.images, chance.galleries[-1]) == ("dev", 1000, 999)
    word, sentence = (
        [chance.rule(words, prior, count).threshold for count in (10, 1000)]
        for words, prior in ((1, -14.0), (6, -40.0))
    )
    assert 2 < word[0] < word[1] < word[0] + 1.5  # nats
    assert 2 < sentence[0] < sentence[1] - 3 < 9


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
