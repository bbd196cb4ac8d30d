"""The encoder that a reproduction keeps: the same again, and what happens to a damaged one."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from conftest import shipped_encoder
from mrnn.errors import DataError
from mrnn.images.networks import ONNX, EncoderFile
from mrnn.reproduction.kept_encoder import keep_encoder, kept_encoder


@pytest.fixture(scope="module")
def encoder():
    return shipped_encoder()


@pytest.fixture
def folder(tmp_path, encoder):
    keep_encoder(tmp_path, encoder)
    return tmp_path


def test_what_is_kept_is_the_same_encoder(folder, encoder):
    found = kept_encoder(folder, encoder.name)
    assert (found.name, found.digest, found.dimension, found.preprocessing) == (
        encoder.name,
        encoder.digest,
        encoder.dimension,
        encoder.preprocessing,
    )
    side = encoder.preprocessing.size
    pixels = np.random.default_rng(0).random((1, 3, side, side), dtype=np.float32)
    assert np.array_equal(found.encode(pixels), encoder.encode(pixels))


def test_only_the_encoder_of_that_name_is_kept(folder, tmp_path):
    assert kept_encoder(folder, "alexnet") is None
    assert kept_encoder(tmp_path / "absent", "alexnet") is None


def test_an_encoder_is_kept_once(folder, encoder):
    before = (folder / "encoder.json").read_bytes()
    keep_encoder(folder, replace(encoder, digest="f" * 64))
    assert (folder / "encoder.json").read_bytes() == before


def test_an_onnx_file_stays_where_it_is(tmp_path, encoder):
    keep_encoder(tmp_path, replace(encoder, name="eye.onnx", file=EncoderFile.of(ONNX, b"graph")))
    keep_encoder(tmp_path, replace(encoder, name="none", file=None))
    assert not list(tmp_path.iterdir())


def _cut(folder):
    weights = folder / "encoder.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def _without_digest(folder):
    told = json.loads((folder / "encoder.json").read_text())
    (folder / "encoder.json").write_text(json.dumps({**told, "digest": None}))


@pytest.mark.parametrize(
    "damage",
    [
        _cut,
        _without_digest,
        lambda folder: (folder / "encoder.safetensors").unlink(),
        lambda folder: (folder / "encoder.json").write_bytes(b"\xff"),
        lambda folder: (folder / "encoder.json").write_text("[]"),
    ],
    ids=["cut", "without digest", "no weights", "not UTF-8", "a list"],
)
def test_a_damaged_one_is_named_and_removing_it_helps(folder, encoder, damage):
    damage(folder)
    with pytest.raises(DataError, match=r"encoder\.json: damaged \(.+\); remove it, and"):
        kept_encoder(folder, encoder.name)
    (folder / "encoder.json").unlink()
    assert kept_encoder(folder, encoder.name) is None
    keep_encoder(folder, encoder)
    assert kept_encoder(folder, encoder.name).digest == encoder.digest
