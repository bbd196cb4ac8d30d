"""Encoders that learn: the same features as ever, gradients where they are wanted."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

import mrnn
from conftest import WORDS, tiny_model
from mrnn.errors import BundleError, UsageError
from mrnn.images.encoders import encoder_of, network, open_encoder
from mrnn.model.bundle import Bundle, EncoderIdentity, save_bundle
from mrnn.training.trainable import TrainableEncoder, open_trainable
from mrnn.words.text import SIGNS, Vocabulary

LITE = "efficientnet-lite0"


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, 3, 224, 224)).astype(np.float32)


def toy() -> TrainableEncoder:
    """Of a network with four small stages, so that nothing takes long."""
    from mrnn.images.efficientnet import Block, Convolution
    from mrnn.images.networks import Network
    from mrnn.images.reading import Preprocessing

    convolutions = [
        Convolution("a", "", 3, 4, 3, stride=2),
        Convolution("b", "", 4, 4, 3, groups=4, relu6=False),
        Convolution("c", "", 4, 8, 1),
        Convolution("d", "", 8, 5, 1),
    ]
    stages = tuple(Block((c,), residual=c.name == "b") for c in convolutions)
    found = Network("toy", stages, 5, Preprocessing(8))
    draw = torch.Generator().manual_seed(0)
    weights = {k: torch.randn(shape, generator=draw) / 3 for k, shape in found.shapes.items()}
    return TrainableEncoder(found, weights, "cpu")


@pytest.mark.parametrize("last", [1, 2, 3, 4, None])
def test_gradients_flow_to_the_last_blocks_only(last):
    encoder = toy()
    learning = encoder.parameters(last)
    count = 4 if last is None else last
    assert len(learning) == 2 * count
    assert all(p.is_leaf and p.requires_grad for p in learning)
    before = encoder.weights()
    features = encoder.features(torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1)))
    assert features.shape == (6, 5)
    features.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in learning)
    with torch.no_grad():
        for weight in learning:
            weight.sub_(0.1 * weight.grad)
    after = encoder.weights()
    changed = {name[0] for name in after if not torch.equal(before[name], after[name])}
    assert changed == set("abcd"[-count:])


def test_what_is_frozen_keeps_no_graph():
    """Frozen blocks run as in inference: nothing of them is kept for the way back."""
    encoder, kept = toy(), []
    encoder.parameters(1)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        encoder.features(torch.zeros(2, 3, 8, 8))
    assert (2, 8, 4, 4) in kept  # what enters the last block
    assert (2, 3, 8, 8) not in kept
    assert (2, 4, 4, 4) not in kept


def test_until_asked_nothing_learns():
    assert not toy().features(torch.zeros(1, 3, 8, 8)).requires_grad


def test_fewer_blocks_may_learn_later():
    encoder = toy()
    every = encoder.parameters()
    [weight, bias] = encoder.parameters(1)
    assert [p.requires_grad for p in every] == 6 * [False] + 2 * [True]
    encoder.features(torch.ones(1, 3, 8, 8)).sum().backward()
    assert weight.grad is not None
    assert bias.grad is not None


@pytest.mark.parametrize("last", [0, -1, 5])
def test_there_must_be_so_many_blocks(last):
    with pytest.raises(UsageError, match=r"^toy has 4 blocks: train 1 to 4$"):
        toy().parameters(last)


def test_gradients_are_right():
    """Against differences, through padding, groups, stride and the residual."""
    encoder = toy()
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.mul_(0.5)
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    encoder.features(x).sum().backward()
    for weight in encoder.parameters():
        at = tuple(0 for _ in weight.shape)
        found = []
        for step in (1e-2, -2e-2):
            with torch.no_grad():
                weight[at] += step
                found.append(encoder.features(x).sum().item())
        with torch.no_grad():
            weight[at] += 1e-2
        assert weight.grad[at].item() == pytest.approx((found[0] - found[1]) / 2e-2, abs=0.02)


def test_weights_are_a_copy():
    encoder = toy()
    saved = encoder.weights()
    with torch.no_grad():
        encoder.parameters()[0].zero_()
    assert saved["a.weight"].abs().sum() > 0


# The real ones.


def test_folded_weights_give_the_features_of_the_encoder(pixels):
    trainable, encoder = open_trainable(LITE), open_encoder(LITE)
    assert (trainable.name, trainable.dimension) == (LITE, encoder.dimension)
    assert trainable.preprocessing == encoder.preprocessing
    expected = encoder.encode(pixels)
    assert expected.std() > 0.1
    np.testing.assert_allclose(trainable.features(torch.from_numpy(pixels)), expected, atol=1e-4)


def test_blocks_are_counted_from_the_stem_to_the_head():
    assert open_trainable(LITE).blocks == 18
    assert len(network("efficientnet-lite2").stages) == 23
    assert len(network("alexnet").stages) == 7


def learned(name: str = LITE) -> dict[str, torch.Tensor]:
    """Weights as training might leave them."""
    encoder = open_trainable(name)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in encoder.parameters(3):
            weight.add_(torch.randn(weight.shape, generator=draw) * 0.02)
    return encoder.weights()


def test_the_encoder_of_learned_weights_is_that_of_their_halves(pixels):
    weights = learned()
    encoder = encoder_of(LITE, weights)
    trainable = open_trainable(LITE, weights=encoder.file)
    carried = load(encoder.file.content)
    assert len(carried) == 2 * (3 + 3 + 1)  # weights and biases of the last three blocks
    for name, weight in trainable.weights().items():
        expected = weights[name].half() if name in carried else weights[name]
        assert torch.equal(weight, expected.float())
    expected = trainable.features(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(encoder.encode(pixels), expected, atol=1e-4)
    assert np.abs(expected - open_encoder(LITE).encode(pixels)).max() > 0.01
    positions = encoder.encode_positions(pixels)
    np.testing.assert_allclose(positions.mean(axis=1), expected, atol=1e-4)


def test_the_learned_encoder_is_known_by_its_bytes():
    weights = learned()
    encoder = encoder_of(LITE, weights)
    packaged = open_trainable(LITE).weights()
    own = {k: v.half() for k, v in weights.items() if not torch.equal(v, packaged[k])}
    assert encoder.file.content == save(own)
    assert encoder.digest == hashlib.sha256(encoder.file.content).hexdigest()
    assert encoder.digest == encoder_of(LITE, packaged | load(encoder.file.content)).digest
    assert encoder.preprocessing == open_encoder(LITE).preprocessing


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 70_000.0])
def test_weights_that_are_no_halves_make_no_encoder(value):
    weights = learned()
    weights["_conv_head.bias"][3] = value
    message = f"^{LITE}: '_conv_head.bias' holds NaN or numbers too large for fp16"
    with pytest.raises(BundleError, match=message):
        encoder_of(LITE, weights)


def test_a_saved_encoder_gives_the_same_bits(tmp_path, pixels, picture):
    """And training goes on from it."""
    encoder = encoder_of(LITE, learned())
    vocabulary = Vocabulary(SIGNS + WORDS)
    training = {"data": "birds", "split": "train", "stopped_on": "dev", "images": 8}
    training |= {"sentences": 16, "config": {"seed": 1, "minimum_count": 1}}
    bundle = Bundle(
        tiny_model(len(vocabulary), feature=encoder.dimension),
        vocabulary,
        EncoderIdentity(encoder.name, encoder.digest, encoder.preprocessing),
        np.ones((4, encoder.dimension), dtype=np.float16),
        training,
        encoder_file=encoder.file,
    )
    save_bundle(bundle, tmp_path / "model")
    captioner = mrnn.load(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(captioner.encoder.encode(pixels), encoder.encode(pixels))
    assert captioner.encoder.file == encoder.file
    assert captioner.encoder.digest == encoder.digest
    assert captioner.caption(picture("a.jpg")).words

    again = open_trainable(LITE, weights=captioner.bundle.encoder_file)
    assert encoder_of(LITE, again.weights()).file.content == encoder.file.content


def test_only_what_is_not_as_in_the_package_is_carried(pixels):
    original = open_trainable(LITE)
    weights = original.weights()
    weights["_conv_head.bias"] += 0.5
    original.parameters(1)
    encoder = encoder_of(LITE, weights)
    assert load(encoder.file.content).keys() == {"_conv_head.bias"}
    x = torch.from_numpy(pixels)
    again = open_trainable(LITE, weights=encoder.file)
    again.parameters(1)
    expected = original.weights()
    for name, weight in again.weights().items():
        assert torch.equal(weight, expected[name]) == (name != "_conv_head.bias")
    assert (again.features(x) > original.features(x)).any()


def test_a_name_that_the_network_does_not_have_is_refused():
    encoder = encoder_of(LITE, learned())
    broken = replace(encoder.file, content=save({"_conv_foot.bias": torch.zeros(3)}))
    with pytest.raises(BundleError, match=r"unknown key '_conv_foot\.bias'"):
        open_trainable(LITE, weights=broken)


def test_a_bundles_weights_that_do_not_fit_are_named():
    encoder = encoder_of(LITE, learned())
    tensors = load(encoder.file.content)
    tensors["_conv_head.bias"] = tensors["_conv_head.bias"][:-1].clone()
    broken = replace(encoder.file, content=save(tensors), place="model/encoder.safetensors")
    with pytest.raises(BundleError) as caught:
        open_trainable(LITE, weights=broken)
    assert str(caught.value) == (
        "model/encoder.safetensors: '_conv_head.bias' has shape (1279,), efficientnet-lite0 says "
        "(1280,); get a fresh copy of the bundle"
    )


def test_what_cannot_be_trained_is_refused():
    for name in ("none", "vgg", "model.onnx", "features"):
        with pytest.raises(
            BundleError, match=f"encoder '{name}'; for efficientnet-lite0, .*, alexnet"
        ):
            open_trainable(name)
    with pytest.raises(UsageError, match=f"{LITE} takes no file of weights; only alexnet does"):
        open_trainable(LITE, weights=Path("x"))
    with pytest.raises(UsageError, match="alexnet needs a file of weights"):
        open_trainable("alexnet")
