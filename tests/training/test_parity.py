"""The contract of both sides: what learns in PyTorch is what is used in NumPy and ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from conftest import random_model
from mrnn.captioner import Captioner
from mrnn.config import SHIPPED, Decoding, ModelConfig
from mrnn.images.encoders import Encoder, reopen_encoder
from mrnn.images.reading import preprocess
from mrnn.model.bundle import Bundle, load_bundle
from mrnn.model.directory import find_bundle
from mrnn.model.generate import Rules, State, Step, beam, greedy
from mrnn.model.mrnn import MRNN, model_of
from mrnn.scoring.draws import permutation, uniform
from mrnn.scoring.pairs import Pairs
from mrnn.scoring.word_scores import score_words
from mrnn.training.image_network import in_torch
from mrnn.training.network import TrainableMRNN
from mrnn.words.packing import Corpus
from mrnn.words.text import UNKNOWN

SIZES = [
    ModelConfig(12, 6, embedding=4, recurrent=5, multimodal=7),
    ModelConfig(40, 0, embedding=16, recurrent=24, multimodal=32),  # RNN-Base
    ModelConfig(500, 1280, embedding=64, recurrent=96, multimodal=160),
    ModelConfig(2000),  # the paper's sizes
]


@pytest.fixture(scope="module", params=SHIPPED)
def bundle(request) -> Bundle:
    return load_bundle(find_bundle(request.param))


def drawn_model(config: ModelConfig) -> MRNN:
    """Far from uniform, biases and a recurrence that mixes."""
    model, rng = random_model(config, seed=1), np.random.default_rng(2)
    weights = {name: w + rng.normal(0, 0.05, w.shape) for name, w in model.weights.items()}
    return model_of(config, weights | {"wo": 2 * weights["wo"]})


def sentences_about(features: np.ndarray, vocabulary: int) -> Pairs:
    """1,000 random sentences of up to 20 words, unknown ones too, each about a random picture."""
    rng = np.random.default_rng(3)
    words = [rng.integers(UNKNOWN, vocabulary, rng.integers(0, 21)).tolist() for _ in range(1000)]
    return Pairs(Corpus(words), rng.integers(0, len(features), 1000), features)


@torch.inference_mode()
def assert_says_the_same(model: MRNN, pairs: Pairs) -> None:
    """Log P of every sentence within 1e-5 nats a word, scored as a user's are."""
    network, packed = TrainableMRNN.of(model), pairs.corpus.pack()
    features = torch.from_numpy(pairs.features_of(np.arange(len(pairs.corpus)), packed))
    logp = F.log_softmax(network(packed, network.image_terms(features)), dim=1).numpy()
    said = np.take_along_axis(logp, packed.targets[:, None], 1)[:, 0]
    expected = packed.by_sentence(said)
    assert np.mean(np.concatenate(expected)) < -1
    for ours, theirs in zip(score_words(model, pairs), expected, strict=True):
        assert len(ours.logprobs) == len(theirs)
        difference = (ours.logprobs - theirs).sum(dtype=np.float64)
        assert abs(difference) <= 1e-5 * len(theirs)


@pytest.mark.parametrize("config", SIZES, ids=lambda c: f"{c.vocabulary}x{c.feature}")
def test_random_models_say_the_same_with_and_without_gradients(config):
    features = np.random.default_rng(4).random((50, config.feature), dtype=np.float32)
    assert_says_the_same(drawn_model(config), sentences_about(features, config.vocabulary))


def test_shipped_models_say_the_same_with_and_without_gradients(bundle):
    pairs = sentences_about(bundle.prior, len(bundle.vocabulary))
    assert_says_the_same(bundle.model, pairs)


def encoder_of(bundle: Bundle) -> Encoder:
    e = bundle.encoder
    return reopen_encoder(e.name, e.digest, bundle.encoder_file, e.preprocessing, precision=32)


def test_shipped_encoders_see_the_same(bundle):
    encoder, rng = encoder_of(bundle), np.random.default_rng(5)
    blocks = rng.integers(0, 256, (4, 9, 12, 3), dtype=np.uint8)
    photos = [Image.fromarray(each).resize((400, 300)) for each in blocks]
    pixels = np.stack([preprocess(photo, encoder.preprocessing) for photo in photos])
    learns = in_torch(encoder, torch.device("cpu"))
    expected = learns.encode(pixels)
    assert expected.std() > 0.1
    np.testing.assert_allclose(encoder.encode(pixels), expected, rtol=0, atol=1e-4)


def step_of(network: TrainableMRNN) -> Step:
    """Generation as the network that learns would do it, eq. 2 and 3."""

    @torch.inference_mode()
    def step(words: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        before, terms = map(torch.from_numpy, state)
        w = network.word_representation(torch.from_numpy(words))
        r = F.relu(before @ network.ur.T + w)
        x = F.linear(w, network.vw, network.vw_bias) + F.linear(r, network.vr) + terms
        return F.log_softmax(network.logits(x), dim=1).numpy(), (r.numpy(), state[1])

    return step


def test_shipped_models_caption_alike_word_for_word(bundle):
    how, features = Decoding(), bundle.prior[:200].astype(np.float32)
    step, state = Captioner(bundle, encoder_of(bundle)).begin(features)
    network = TrainableMRNN.of(bundle.model)
    with torch.inference_mode():
        terms = network.image_terms(torch.from_numpy(features)).numpy()
    theirs = step_of(network), (bundle.model.initial_state(len(features)), terms)
    rules = Rules((), how.max_length, how.no_repeat)

    one, other = greedy(step, state, rules), greedy(*theirs, rules)
    assert len({each.words for each in one}) > 50
    assert [each.words for each in one] == [each.words for each in other]

    one, other = beam(step, state, rules, 5), beam(*theirs, rules, 5)
    assert [best.words for [best] in one] == [best.words for [best] in other]


@pytest.mark.parametrize("seed", [0, 1, 77])
def test_scoring_draws_what_pytorch_draws(seed):
    """Anchors, and the images that stand for P(s), are those of cards and libraries made before."""

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    for count in (0, 1, 2, 1000):
        expected = torch.randperm(count, generator=generator())
        assert np.array_equal(permutation(count, seed), expected.numpy())
    for shape in ((1, 1), (3, 5), (50, 1000)):
        expected = torch.rand(shape, generator=generator())
        assert np.array_equal(uniform(shape, seed), expected.numpy())
