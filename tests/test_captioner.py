"""The Captioner: captions, scores and their bookkeeping, with the real encoder."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import mrnn
from conftest import WORDS
from mrnn.bundle import Bundle, EncoderIdentity, save_bundle
from mrnn.captioner import Decoding
from mrnn.errors import BundleError, ImageError, UsageError
from mrnn.text import SIGNS


@pytest.mark.parametrize(
    "how",
    [Decoding(), Decoding(beam=3, n_best=3), Decoding(temperature=2.0), Decoding(prefix="a dog")],
)
def test_a_caption_has_the_log_probability_that_score_gives_it(captioner, picture, how):
    photo = picture("a.jpg")
    caption = captioner.caption(photo, how)
    for one in (caption, *caption.n_best):
        assert one.logprob == pytest.approx(sum(word.logprob for word in one.words))
        assert one.perplexity == pytest.approx(math.exp(-one.logprob / len(one.words)))
        assert one.text.split() == [w.text for w in one.words if w.text != "##END##"]
        assert one.complete == (one.words[-1].text == "##END##")
        if one.complete:
            [score] = captioner.score(photo, [one.text])
            assert score.logprob == pytest.approx(one.logprob, abs=1e-4)
            assert score.unknown == ()


def test_a_prefix_is_kept_and_marked(captioner, picture):
    caption = captioner.caption(picture("a.jpg"), Decoding(prefix="The dog"))
    assert caption.text.startswith("the dog")
    assert [word.given for word in caption.words[:3]] == [True, True, False]


def test_options_may_be_given_by_name(captioner, picture):
    photo = picture("a.jpg")
    by_name = captioner.caption(photo, beam=3, n_best=2)
    assert by_name == captioner.caption(photo, Decoding(beam=3, n_best=2, alternatives=4))
    assert len(by_name.n_best) == 2
    [many] = captioner.caption_many([photo], beam=3)
    assert many.text == by_name.text
    with pytest.raises(TypeError, match="beams"):
        captioner.caption_many([photo], beams=3)


def test_alternatives_are_the_most_probable_words(captioner, picture):
    caption = captioner.caption(picture("a.jpg"), Decoding(alternatives=3))
    for word in caption.words:
        logprobs = [logprob for _, logprob in word.alternatives]
        assert len(logprobs) == 3
        assert logprobs == sorted(logprobs, reverse=True)
        assert logprobs[0] >= word.logprob - 1e-5


def test_many_images_keep_their_order_and_errors_their_place(captioner, picture, tmp_path):
    photos = [picture(f"{i}.jpg", seed=i) for i in range(3)]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not an image")
    results = list(captioner.caption_many([photos[0], broken, photos[1], "absent", photos[2]]))
    assert [isinstance(r, ImageError) for r in results] == [False, True, False, True, False]
    alone = [captioner.caption(photo, Decoding()) for photo in photos]
    assert [r.text for r in results if not isinstance(r, ImageError)] == [c.text for c in alone]
    assert "broken.jpg" in str(results[1])


def test_sampling_follows_the_seed(captioner, picture):
    photo = picture("a.jpg")
    texts = [
        captioner.caption(photo, Decoding(temperature=3.0, seed=seed)).text
        for seed in (1, 1, 2, 3, 4)
    ]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


def test_the_log_ratio_is_against_the_prior(captioner, picture):
    [score] = captioner.score(picture("a.jpg"), ["a dog runs"])
    with_prior = [
        captioner.score_feature(feature.astype(np.float32), ["a dog runs"])[0].logprob
        for feature in captioner.bundle.prior
    ]
    prior = math.log(sum(map(math.exp, with_prior)) / len(with_prior))
    assert score.log_ratio == pytest.approx(score.logprob - prior, abs=1e-4)


def test_log_ratios_of_many_are_those_of_score(captioner):
    features = np.random.default_rng(5).random((3, 1280)).astype(np.float32)
    sentences = ["a dog runs", "the cat", ""]
    ratios = captioner.log_ratios(features, sentences)
    for i, feature in enumerate(features):
        scores = captioner.score_feature(feature, sentences)
        assert ratios[:, i] == pytest.approx([s.log_ratio for s in scores], abs=1e-3)


@pytest.mark.parametrize("sentence", ["", "zebra quagga", "a dog " * 100, "A DOG, runs!"])
def test_any_sentence_can_be_scored(captioner, picture, sentence):
    [score] = captioner.score(picture("a.jpg"), [sentence])
    assert math.isfinite(score.logprob)
    assert score.sentence == sentence
    assert score.words[-1].text == "##END##"
    assert score.unknown == tuple(w for w in sentence.lower().split() if w in {"zebra", "quagga"})


def test_no_sentences_no_scores(captioner, picture):
    assert captioner.score(picture("a.jpg"), []) == []


def test_nearest_words_equal_a_plain_search(captioner):
    w = captioner.model.word_representation(torch.arange(len(captioner.vocabulary)))
    dog = captioner.vocabulary.index("dog")
    distances = {
        word: float((w[i] - w[dog]).norm())
        for i, word in enumerate(captioner.vocabulary.words)
        if word not in SIGNS and word != "dog"
    }
    expected = sorted(distances.items(), key=lambda item: item[1])[:3]
    found = captioner.nearest_words("Dog", 3)
    assert [word for word, _ in found] == [word for word, _ in expected]
    assert [d for _, d in found] == pytest.approx([d for _, d in expected])
    assert len(captioner.nearest_words("dog", 100)) == len(WORDS) - 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": 0}, "must be 1 or more"),
        ({"beam": 101}, "too wide"),
        ({"n_best": 4, "beam": 3}, "needs a beam at least as wide"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"temperature": 1.0, "beam": 3}, "sampling goes with neither"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        Decoding(**options)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (Decoding(prefix="a zebra"), "does not know the word 'zebra'"),
        (Decoding(prefix="a dog runs", max_length=2), "longer than the 2 words"),
    ],
)
def test_a_prefix_that_cannot_be_is_refused(captioner, picture, how, message):
    with pytest.raises(UsageError, match=message):
        captioner.caption(picture("a.jpg"), how)


def test_load_finds_a_directory_and_refuses_other_encoder_weights(tiny_bundle, tmp_path, picture):
    save_bundle(tiny_bundle, tmp_path / "model")
    assert mrnn.load(tmp_path / "model").caption(picture("a.jpg")).words
    other = EncoderIdentity("none", "f" * 64, tiny_bundle.encoder.preprocessing)
    save_bundle(
        Bundle(
            tiny_bundle.model,
            tiny_bundle.vocabulary,
            other,
            tiny_bundle.prior,
            {**tiny_bundle.training},
        ),
        tmp_path / "other",
    )
    with pytest.raises(BundleError, match="other weights of none"):
        mrnn.load(tmp_path / "other")


def test_a_gpu_that_is_not_there_is_a_clear_error():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UsageError, match="finds no GPU"):
        mrnn.load(device="cuda")
