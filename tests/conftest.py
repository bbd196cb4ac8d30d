"""Small pictures, data sets and bundles that the tests share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from mrnn.captioner import Captioner
from mrnn.config import ModelConfig
from mrnn.images.encoders import Encoder, reopen_encoder
from mrnn.images.reading import Preprocessing
from mrnn.model.bundle import Bundle, EncoderIdentity, load_bundle
from mrnn.model.consensus import Consensus, gathered
from mrnn.model.directory import find_bundle
from mrnn.model.mrnn import MRNN, model_of, shapes
from mrnn.words.text import SIGNS, Vocabulary

FLICKR8K = Path(__file__).parents[2] / "shared" / "flickr8k"
LONGEST = (
    "test_web.py",
    "test_web_library.py",
    "test_web_viewer.py",
    "test_web_selection.py",
    "test_server_faults.py",
    "test_openapi.py",
    "test_evaluation.py",
    "test_metrics_reference.py",
    "test_train_your_own.py",
    "test_interruption.py",
    "test_training.py",
)
WORDS = ("a", "dog", "cat", "runs", "sits", "in", "the", "snow")
TRAINING = {
    "data": "birds",
    "split": "train",
    "stopped_on": "dev",
    "images": 8,
    "sentences": 16,
    "config": {"seed": 1, "minimum_count": 1},
}


# How long an example takes says how busy the processors are, and nothing of the code.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items):
    """The longest files come first: no process is left with one when the others are through."""
    items.sort(key=lambda item: (*LONGEST, item.path.name).index(item.path.name))


@pytest.fixture(autouse=True, scope="session")
def _own_settings(tmp_path_factory):
    """No test, and no fixture of any scope, knows the user's feature cache, model or library."""
    cache = tmp_path_factory.getbasetemp() / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", os.fspath(cache))
        for variable in ("MRNN_MODEL", "MRNN_LIBRARY"):
            patch.delenv(variable, raising=False)
        yield


@pytest.fixture
def picture(tmp_path):
    """Make a small JPEG of random blocks: picture("a.jpg", seed=1)."""

    def make(name: str, seed: int = 0, folder: Path = tmp_path) -> Path:
        blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(blocks).resize((64, 48)).save(path)
        return path

    return make


@pytest.fixture
def flickr_layout(tmp_path, picture):
    """A tiny data set in the Flickr8K release layout: 8 training and 3 dev pictures."""
    data = tmp_path / "birds"
    names = [f"{i}.jpg" for i in range(11)]
    lines = []
    for i, name in enumerate(names):
        picture(name, seed=i, folder=data / "Flicker8k_Dataset")
        animal, verb = WORDS[1 + i % 2], WORDS[3 + i % 2]
        lines += [f"{name}#0\tA {animal} {verb} .", f"{name}#1\tThe {animal} {verb} in the snow ."]
    (data / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    (data / "Flickr_8k.trainImages.txt").write_text("\n".join(names[:8]) + "\n")
    (data / "Flickr_8k.devImages.txt").write_text("\n".join(names[8:]) + "\n")
    return data


# Sizes with which all rows of a block round alike on every processor, as those of real models do.
SMOOTH = {"recurrent": 4, "multimodal": 12}


def tiny_model(vocabulary: int = 12, feature: int = 6, seed: int = 0, **sizes: int) -> MRNN:
    config = ModelConfig(
        vocabulary, feature, **{"embedding": 4, "recurrent": 5, "multimodal": 7, **sizes}
    )
    return random_model(config, seed)


def random_model(config: ModelConfig, seed: int = 0) -> MRNN:
    """An untrained model, as learning begins: biases 0, Ur the identity."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in shapes(config).items():
        if len(shape) == 1:
            weights[name] = np.zeros(shape, dtype=np.float32)
        elif name == "embedding":
            weights[name] = rng.normal(0, 0.1, shape)
        else:
            bound = max(shape[1], 1) ** -0.5
            weights[name] = np.eye(*shape) if name == "ur" else rng.uniform(-bound, bound, shape)
    return model_of(config, weights)


def shipped_encoder() -> Encoder:
    """EfficientNet-Lite2 as the bundle `plain` carries it: no package, no PyTorch is needed."""
    found = load_bundle(find_bundle("plain"))
    identity = found.encoder
    return reopen_encoder(
        identity.name, identity.digest, found.encoder_file, identity.preprocessing
    )


def described(multimodal: int = 7) -> Consensus:
    """How 30 training images that nobody has seen were described, for a `tiny_model`."""
    rng = np.random.default_rng(0)
    first = len(SIGNS)
    captions = [[rng.integers(first, first + len(WORDS), 5).tolist()] for _ in range(30)]
    return gathered(captions, rng.normal(size=(30, multimodal)).astype(np.float32))


@pytest.fixture
def tiny_bundle():
    """An untrained RNN-Base that needs no encoder weights."""
    vocabulary = Vocabulary(SIGNS + WORDS)
    return Bundle(
        tiny_model(len(vocabulary), feature=0),
        vocabulary,
        EncoderIdentity("none", "", Preprocessing(size=1)),
        np.zeros((4, 0), dtype=np.float16),
        TRAINING,
    )


@pytest.fixture(scope="session")
def captioner():
    """An untrained m-RNN that sees: it says different things of different pictures."""
    vocabulary = Vocabulary(SIGNS + WORDS)
    encoder = shipped_encoder()
    model = tiny_model(len(vocabulary), feature=1280, seed=2, **SMOOTH)
    model.wo[:] *= 4  # an untrained model is flat; this one has opinions
    model.vi[:] = 10 * (model.vi - model.vi.mean(1, keepdims=True))  # blind to what all share
    prior = np.random.default_rng(0).random((5, 1280)).astype(np.float16)
    identity = EncoderIdentity(encoder.name, encoder.digest, encoder.preprocessing)
    consensus = described(SMOOTH["multimodal"])
    bundle = Bundle(
        model, vocabulary, identity, prior, {}, encoder_file=encoder.file, consensus=consensus
    )
    return Captioner(bundle, encoder)
