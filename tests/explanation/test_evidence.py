"""Evidence for every word, as a caller gets it: `Captioner.explain` with encoders of all kinds."""

from __future__ import annotations

from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image

import mrnn
from libraries import bundle
from mrnn.captioner import Captioner
from mrnn.config import Decoding
from mrnn.errors import ImageError, UsageError
from mrnn.explanation.occlusion import fit, random_quarters
from mrnn.images.encoders import features_only, open_encoder
from mrnn.images.reading import Preprocessing, preprocess, read_image
from mrnn.model.bundle import EncoderIdentity
from onnx_models import tiny

PHOTOS = Path(skimage.__file__).parent / "data"


def assert_adds_up(explanation, within=1e-3):
    """Parts sum to log P, and a map of positions to the image's part."""
    assert len(explanation.caption.words) == len(explanation.evidence)
    for word, evidence in zip(explanation.caption.words, explanation.evidence, strict=True):
        total = evidence.baseline + sum(astuple(evidence.contributions))
        assert total == pytest.approx(word.logprob, abs=within)
        if explanation.method == "positions":
            heat = np.sum(evidence.heat)
            assert heat == pytest.approx(evidence.contributions.image, abs=within)


@pytest.mark.parametrize("name", ["astronaut.png", "motorcycle_left.png", "camera.png"])
def test_parts_and_maps_add_up_on_real_photos(name):
    captioner = mrnn.load(device="cpu")
    photo = PHOTOS / name
    explanation = captioner.explain(photo, quick=True)
    assert explanation.caption == captioner.caption(photo)
    assert explanation.method == "positions"
    assert explanation.area == (0, 0, 1, 1)
    assert explanation.unknown == ()
    assert {np.shape(e.heat) for e in explanation.evidence} == {(9, 9)}
    assert_adds_up(explanation)


def test_what_the_motorcycle_is_seen_by_is_the_image():
    explanation = mrnn.load(device="cpu").explain(PHOTOS / "motorcycle_left.png", quick=True)
    at = [word.text for word in explanation.caption.words].index("motorcycle")
    parts = explanation.evidence[at].contributions
    assert parts.image > 3 > parts.last_word + parts.sentence
    heat = np.array(explanation.evidence[at].heat)
    assert heat[3:8].sum() > heat[:2].sum()  # it stands below the shelves


def test_the_baseline_knows_neither_words_nor_image(captioner, picture):
    one = captioner.explain(picture("a.jpg"), "a dog runs", quick=True)
    other = captioner.explain(picture("b.jpg", seed=1), "runs a dog", quick=True)
    of_one = dict(zip(("a", "dog", "runs", "END"), (e.baseline for e in one.evidence), strict=True))
    expected = [of_one["runs"], of_one["a"], of_one["dog"], of_one["END"]]
    assert [e.baseline for e in other.evidence] == pytest.approx(expected)


SENTENCES = ["a dog runs", "dog", "A zebra runs, runs, RUNS!", "snow " * 60, "ein Hund läuft"]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_given_sentence_has_the_log_probabilities_that_score_gives(captioner, picture, sentence):
    photo = picture("a.jpg")
    explanation = captioner.explain(photo, sentence, quick=True)
    [score] = captioner.score(photo, [sentence])
    caption = explanation.caption
    assert [w.text for w in caption.words] == [w.text for w in score.words]
    expected = [w.logprob for w in score.words]
    assert [w.logprob for w in caption.words] == pytest.approx(expected, abs=1e-5)
    assert caption.logprob == pytest.approx(score.logprob, abs=1e-4)
    assert caption.perplexity == pytest.approx(score.perplexity, rel=1e-4)
    assert caption.complete
    assert not any(word.given for word in caption.words)
    assert explanation.unknown == score.unknown
    for word in caption.words:
        assert len(word.alternatives) == 4
        assert word.logprob <= word.alternatives[0][1] + 1e-5
    assert_adds_up(explanation)


def test_a_given_sentence_may_be_one_that_the_model_would_write(captioner, picture):
    photo = picture("a.jpg")
    written = captioner.explain(photo, quick=True)
    given = captioner.explain(photo, written.caption.text, quick=True)
    assert given.caption.text == written.caption.text
    for a, b in zip(written.evidence, given.evidence, strict=False):
        assert astuple(a.contributions) == pytest.approx(astuple(b.contributions), abs=1e-4)
        assert np.allclose(a.heat, b.heat, atol=1e-5)


@pytest.mark.parametrize(
    "how",
    [Decoding(beam=3, n_best=2, alternatives=2), Decoding(prefix="a dog"), Decoding(max_length=2)],
)
def test_what_is_decoded_is_explained(captioner, picture, how):
    photo = picture("a.jpg")
    explanation = captioner.explain(photo, how=how, quick=True)
    assert explanation.caption == captioner.caption(photo, how)
    assert_adds_up(explanation)


def test_a_caption_that_was_cut_off_has_no_end(captioner, picture):
    explanation = captioner.explain(picture("a.jpg"), max_length=1, prefix="dog", quick=True)
    assert not explanation.caption.complete
    assert [word.text for word in explanation.caption.words] == ["dog"]
    assert len(explanation.evidence) == 1


def test_options_may_be_given_by_name(captioner, picture):
    photo = picture("a.jpg")
    assert captioner.explain(photo, prefix="the", quick=True) == captioner.explain(
        photo, how=Decoding(prefix="the", alternatives=4), quick=True
    )


@pytest.mark.parametrize(
    ("sentence", "prefix", "message"),
    [
        ("a dog", "a", "a sentence that is given has no prefix"),
        (None, "a zebra", "does not know the word 'zebra' of the prefix"),
        (None, "a " * 31, "longer than the 30 words allowed"),
    ],
)
def test_a_prefix_that_cannot_be_is_refused(captioner, picture, sentence, prefix, message):
    with pytest.raises(UsageError, match=message):
        captioner.explain(picture("a.jpg"), sentence, prefix=prefix)


def test_an_image_that_cannot_be_read(captioner, tmp_path):
    with pytest.raises(ImageError, match=r"gone\.jpg: no such file"):
        captioner.explain(tmp_path / "gone.jpg")


def test_pixels_are_explained_as_their_image(captioner, picture):
    photo = picture("a.jpg")
    how = captioner.encoder.preprocessing
    pixels = preprocess(read_image(photo, at_least=how.least_side), how)
    area = (0.1, 0.2, 0.8, 0.9)
    found = captioner.explain_pixels(pixels, "a dog", Decoding(), area, quick=True)
    expected = captioner.explain(photo, "a dog", Decoding(), quick=True)
    assert found == replace(expected, area=area)


def test_without_an_encoder_the_image_has_no_say(tiny_bundle, picture):
    captioner = Captioner(tiny_bundle, open_encoder("none"))
    explanation = captioner.explain(picture("a.jpg"), "a dog runs", quick=True)
    assert explanation.method == "none"
    assert [e.heat for e in explanation.evidence] == [()] * 4
    assert [e.contributions.image for e in explanation.evidence] == [0] * 4
    assert_adds_up(explanation)


def test_features_from_elsewhere_leave_nothing_to_explain(tmp_path, picture):
    identity = EncoderIdentity("features", "", Preprocessing(size=1))
    made = bundle(identity, 6, 1, None, features_only(6))
    captioner = Captioner(made, features_only(6))
    with pytest.raises(UsageError, match="has no encoder for pictures"):
        captioner.explain(picture("a.jpg"))


def occluded_one_by_one(captioner, photo, sentence, hidden, windows):
    """Log P lost a word and mask: grey drawn pixel by pixel, and `score` asked each time."""
    how = captioner.encoder.preprocessing
    pixels = preprocess(read_image(photo, at_least=how.least_side), how)

    def scored(some):
        [score] = captioner.score_feature(captioner.encoder.encode(some[None])[0], [sentence])
        return np.array([word.logprob for word in score.words])

    lost = []
    for parts in hidden:
        grey = pixels.copy()
        for y in range(how.size):
            for x in range(how.size):
                if parts[y * windows // how.size * windows + x * windows // how.size]:
                    for channel in range(3):
                        grey[channel, y, x] = (127 - how.mean[channel]) / how.scale[channel]
        lost.append(scored(pixels) - scored(grey))
    return np.stack(lost, 1)


def of_onnx(tmp_path, side, output="feature", **rules):
    """A captioner whose encoder is a tiny ONNX network of some input side."""
    (tmp_path / "net.onnx").write_bytes(tiny((output,), size=side))
    values = f'"size": {side}, "mean": [90, 100, 110], "scale": [50, 60, 70]'
    extra = "".join(f', "{key}": {value}' for key, value in rules.items())
    (tmp_path / "net.json").write_text(f"{{{values}{extra}}}")
    encoder = open_encoder(str(tmp_path / "net.onnx"))
    identity = EncoderIdentity(encoder.name, encoder.digest, encoder.preprocessing)
    made = bundle(identity, encoder.dimension, 2, None, encoder)
    return Captioner(made, encoder)


@pytest.mark.parametrize("side", [8, 14])
def test_without_positions_parts_of_the_image_are_hidden(tmp_path, picture, side, monkeypatch):
    quarters = random_quarters(7, 20)
    monkeypatch.setattr("mrnn.explanation.occlusion.random_quarters", lambda side: quarters)
    captioner = of_onnx(tmp_path, side)
    photo, sentence = picture("a.jpg"), "a dog sits"
    explanation = captioner.explain(photo, sentence)
    assert explanation.method == "occlusion"
    found = np.array([e.heat for e in explanation.evidence])
    lost = occluded_one_by_one(captioner, photo, sentence, quarters, 7)
    assert found.shape == (4, 7, 7)
    assert np.abs(found).max() > 0
    assert np.allclose(found.reshape(4, -1), lost @ fit(quarters, 7).T, atol=1e-4)
    assert_adds_up(explanation)


def test_quick_maps_are_of_positions_where_there_are_any(tmp_path, picture):
    captioner = of_onnx(tmp_path, 8, "map")
    photo = picture("a.jpg")
    usual = captioner.explain(photo, "a dog")
    quick = captioner.explain(photo, "a dog", quick=True)
    assert (usual.method, quick.method) == ("occlusion", "positions")
    assert [e.contributions for e in usual.evidence] == [e.contributions for e in quick.evidence]
    assert {np.shape(e.heat) for e in usual.evidence} == {(7, 7)}


def test_an_onnx_network_with_positions_has_a_map_of_them(tmp_path, picture):
    explanation = of_onnx(tmp_path, 8, "map").explain(picture("a.jpg"), "a dog", quick=True)
    assert explanation.method == "positions"
    assert {np.shape(e.heat) for e in explanation.evidence} == {(2, 2)}
    assert_adds_up(explanation)


@pytest.mark.parametrize("count", [1, 6])
def test_positions_that_are_no_square_are_not_drawn(captioner, picture, count):
    positions = lambda pixels: np.ones((len(pixels), count, 1280), np.float32)  # noqa: E731
    quick = lambda pixels: np.ones((len(pixels), 1280), np.float32)  # noqa: E731
    encoder = replace(captioner.encoder, encode=quick, encode_positions=positions)
    other = Captioner(captioner.bundle, encoder)
    assert other.explain(picture("a.jpg"), "a dog", quick=True).method == "occlusion"


def test_the_area_is_what_the_encoder_sees(tmp_path):
    captioner = of_onnx(tmp_path, 8, "map", crop=0.5)
    Image.new("RGB", (60, 40)).save(tmp_path / "wide.png")
    area = captioner.explain(tmp_path / "wide.png", "a", quick=True).area
    assert area == pytest.approx((20 / 60, 10 / 40, 40 / 60, 30 / 40))


def test_a_photo_on_its_side_is_explained_upright(tmp_path):
    captioner = of_onnx(tmp_path, 8, "map", crop=1.0)
    exif = Image.Exif()
    exif[274] = 6  # to be turned by 90 degrees
    Image.new("RGB", (60, 40)).save(tmp_path / "turned.jpg", exif=exif)
    area = captioner.explain(tmp_path / "turned.jpg", "a", quick=True).area
    assert area == pytest.approx((0, 10 / 60, 1, 50 / 60))
