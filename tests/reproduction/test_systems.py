"""The systems that learn: what lies in their files, and that what is restored is what learned."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

from conftest import TRAINING, WORDS, tiny_model
from mrnn.config import ModelConfig, TrainConfig
from mrnn.errors import BundleError
from mrnn.images.reading import Preprocessing
from mrnn.model.bundle import Bundle, EncoderIdentity
from mrnn.reproduction import systems
from mrnn.reproduction.paper_tables import TABLES
from mrnn.reproduction.systems import Ground
from mrnn.scoring.pairs import Pairs
from mrnn.training.material import Material
from mrnn.weight_files import from_safetensors, to_safetensors
from mrnn.words.packing import Corpus
from mrnn.words.text import SIGNS, Vocabulary

V, D = len(SIGNS + WORDS), 6
LEARNING = [s for s in dict.fromkeys(s for t in TABLES for s in t.systems) if s.needs_pytorch]

# Files that were written once are opened for good: these names and shapes must stay.
MRNN = {
    "embedding": (V, 128),
    "we": (256, 128),
    "we_bias": (256,),
    "ur": (256, 256),
    "vw": (512, 256),
    "vw_bias": (512,),
    "vr": (512, 256),
    "wo": (V, 512),
    "wo_bias": (V,),
}
LBL = {"wo": (V, 256), "wo_bias": (V,), "maps": (256, 5 * 256)}
FILES = {
    "lbl": {**LBL, "image_map": (256, 0)},
    "mlbl-b": {**LBL, "image_map": (256, D)},
    "mlbl-f": {**LBL, "image_map": (256, D), "through": (256, 256), "gate": (256, D)},
    "simple-rnn": {"words": (V, 256), "ur": (256, 256), "wo": (V, 256), "wo_bias": (V,)},
    "rnn-base": {**MRNN, "vi": (512, 0)},
    "m-rnn": {**MRNN, "vi": (512, D)},
    "devise-like": {"image_map": (V, D), "side.vectors": (V, V)},
    "sentence-rnn": {
        "image_map": (256, D),
        "side.embedding": (V, 256),
        "side.ur": (256, 256),
        "side.out": (256, 256),
    },
}


@pytest.fixture
def ground():
    rng = np.random.default_rng(0)
    sentences = [rng.integers(len(SIGNS), V, rng.integers(1, 7)).tolist() for _ in range(24)]
    pairs = Pairs(Corpus(sentences), np.arange(24) // 2, rng.random((12, D), dtype=np.float32))
    bundle = Bundle(
        tiny_model(V, D),
        Vocabulary(SIGNS + WORDS),
        EncoderIdentity("none", "", Preprocessing(size=1)),
        rng.random((4, D)).astype(np.float16),
        TRAINING,
    )
    material = Material(bundle, pairs, pairs, Corpus([]), (), (), np.arange(4), ())
    return Ground(material, TrainConfig(epochs=2), ModelConfig(), "cpu", 1e9)


def quiet(what, unit):
    return nullcontext(lambda *_: None)


def answers(system, ground, path):
    """All that a system says: of sentences, and of pairs."""
    pairs = ground.material.dev
    said = []
    if system.speaker:
        said += system.speaker(ground, path, quiet).logprobs(pairs)
    if system.ranker:
        said += [*system.ranker(ground, path, quiet).ranks(pairs, quiet)]
    return said


def test_these_are_the_systems_that_learn():
    assert {system.name for system in LEARNING} == FILES.keys()


@pytest.mark.parametrize("system", LEARNING, ids=lambda system: system.name)
def test_what_is_restored_is_what_learned(system, ground, tmp_path, monkeypatch):
    path = tmp_path / "weights.safetensors"
    first = answers(system, ground, path)
    arrays = from_safetensors(path.read_bytes())
    assert {name: array.shape for name, array in arrays.items()} == FILES[system.name]
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    monkeypatch.setattr("mrnn.reproduction.learners.likelihood.learned", None)
    monkeypatch.setattr("mrnn.reproduction.learners.joint_embedding.learned", None)
    again = answers(system, ground, path)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: {**a, "ur": a["ur"][:5]}, r"'ur' has shape \(5, 256\), the network says"),
        (lambda a: {**a, "ur": a["ur"] * np.float32(np.nan)}, "'ur' holds NaN"),
        (lambda a: {**a, "more": a["ur"]}, "unknown key 'more'"),
        (lambda a: {"ur": a["ur"]}, "missing key 'wo'"),
        (lambda a: {**a, "ur": a["ur"].astype(int)}, "'ur' is int64"),
    ],
    ids=["shape", "NaN", "more", "fewer", "integers"],
)
def test_weights_that_cannot_be_used_are_named(ground, tmp_path, change, message):
    path = tmp_path / "weights.safetensors"
    zeros = {name: np.zeros(shape, np.float32) for name, shape in FILES["simple-rnn"].items()}
    path.write_bytes(to_safetensors(change(zeros)))
    with pytest.raises(BundleError, match=rf"{path}: {message}.*; remove it, to learn it again"):
        systems.SIMPLE_RNN.speaker(ground, path, quiet)
