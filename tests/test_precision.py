"""The image network in 8 bits or 32, as a user asks for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mrnn
from command_lines import document, run
from conftest import SMOOTH, TRAINING, WORDS, tiny_model
from mrnn.errors import DataError, UsageError
from mrnn.images.eight_bits import as_floats
from mrnn.images.encoders import Encoder, encoder_of, whole_encoder
from mrnn.images.features import cached_features
from mrnn.images.reading import preprocess, read_image
from mrnn.model.bundle import Bundle, EncoderIdentity, load_bundle, save_bundle
from mrnn.words.text import SIGNS, Vocabulary
from whole_networks import drawn, lite

LITE = "efficientnet-lite0"


def saved(folder: Path, encoder: Encoder) -> Path:
    vocabulary = Vocabulary(SIGNS + WORDS)
    model = tiny_model(len(vocabulary), encoder.dimension, 2, **SMOOTH)
    identity = EncoderIdentity(encoder.name, encoder.digest, encoder.preprocessing)
    prior = np.random.default_rng(0).random((5, encoder.dimension)).astype(np.float16)
    save_bundle(
        Bundle(model, vocabulary, identity, prior, TRAINING, encoder_file=encoder.file), folder
    )
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A bundle in 8 bits."""
    return saved(tmp_path_factory.mktemp("whole") / "model", whole_encoder(LITE, drawn(lite(), 1)))


@pytest.fixture(scope="module")
def floats(tmp_path_factory) -> Path:
    """A bundle as of before there were 8 bits."""
    encoder = encoder_of(LITE, as_floats(drawn(lite(), 1), lite()))
    return saved(tmp_path_factory.mktemp("floats") / "model", encoder)


def test_eight_bits_are_the_default_where_they_are_to_be_had(whole, floats):
    assert mrnn.load(whole, "cpu").encoder.precision == 8
    assert mrnn.load(whole, "cpu", 32).encoder.precision == 32
    assert mrnn.load(whole, "auto", 8).device == "cpu"
    assert mrnn.load(floats, "cpu").encoder.precision == 32
    assert mrnn.load(floats, "cpu", 32).encoder.precision == 32
    with pytest.raises(UsageError, match=r"^--precision 8 was not made of this image network; lea"):
        mrnn.load(floats, "cpu", 8)
    with pytest.raises(UsageError, match=r"^--precision 16: an image network has 8 or 32 bits$"):
        mrnn.load(whole, "cpu", 16)


def test_a_bundle_in_8_bits_is_smaller_and_comes_back_as_it_was(whole, floats, tmp_path):
    small, large = (sum(f.stat().st_size for f in d.iterdir()) for d in (whole, floats))
    assert small < 0.6 * large
    bundle = load_bundle(whole)
    save_bundle(bundle, tmp_path / "again")
    for file in whole.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def test_what_is_known_of_pictures_names_the_precision(whole, picture, tmp_path):
    one, other = mrnn.load(whole, "cpu"), mrnn.load(whole, "cpu", 32)
    assert one.identity != other.identity
    path = picture("a.jpg", seed=1)
    for captioner in (one, other):
        rows, _ = cached_features([path], captioner.encoder, tmp_path / "cache", lambda *_: None)
        expected = captioner.encoder.encode(np.stack([_pixels(path, captioner)]))[0]
        assert np.array_equal(rows[np.array([0])][0], expected.astype(np.float16))
    assert len(list((tmp_path / "cache").iterdir())) == 2


def _pixels(path: Path, captioner: mrnn.Captioner) -> np.ndarray:
    how = captioner.encoder.preprocessing
    return preprocess(read_image(path, at_least=how.least_side), how)


@pytest.mark.parametrize("precision", [8, 32])
def test_a_library_is_opened_again_in_its_precision(whole, picture, tmp_path, precision):
    path, folder = picture("a.jpg", seed=1), tmp_path / "library"
    with mrnn.Library.open(folder, mrnn.load(whole, "cpu", precision)) as library:
        library.add([path])
    with mrnn.Library.open(folder, device="cpu") as library:
        assert library.captioner.encoder.precision == precision
        assert len(library.search("a bird", 1).found) == 1
        assert library.like(path, 1).found[0].picture == path
    other = 40 - precision
    with (
        mrnn.Library.open(folder, device="cpu", precision=other) as library,
        pytest.raises(DataError, match="made with another model"),
    ):
        library.search("a bird", 1)


def test_commands_take_it(whole, floats, picture):
    path = picture("a.jpg", seed=1)
    for wish in ([], ["--precision", 8], ["--precision", 32]):
        code, out, _ = run("caption", path, "--model", whole, *wish)
        assert code == 0
        assert out.startswith(str(path))
        code, out, _ = run("info", "--model", whole, "--json", *wish)
        assert document("info", out)["encoder"]["precision"] == (wish or [0, 8])[1]
    code, _, error = run("caption", path, "--model", floats, "--precision", 8)
    assert (code, "was not made of this image network; leave it out" in error) == (2, True)
    for command in (["search", "a bird", "--library", "nowhere"], ["caption", path]):
        code, _, error = run(*command, "--precision", 7)
        assert (code, "--precision 7: an image network has 8 or 32 bits" in error) == (2, True)


def test_the_two_say_nearly_the_same(whole, picture):
    """Only tensors are rounded: P of a sentence hardly moves."""
    path = picture("a.jpg", seed=1)
    [one], [other] = (
        mrnn.load(whole, "cpu", bits).score(path, ["a bird on a tree"]) for bits in (8, 32)
    )
    assert one.perplexity == pytest.approx(other.perplexity, rel=0.05)
