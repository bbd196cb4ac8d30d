"""Image networks in PyTorch: the same features as ever, gradients where they are wanted."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

import mrnn
from conftest import WORDS, tiny_model
from mrnn.errors import BundleError, UsageError
from mrnn.images.alexnet import SHAPES
from mrnn.images.efficientnet import Block, Convolution
from mrnn.images.eight_bits import as_floats, bindings, onnx_graph
from mrnn.images.encoders import Encoder, encoder_of, features_only, open_encoder
from mrnn.images.networks import ONNX, EncoderFile, Network, network
from mrnn.images.reading import Preprocessing
from mrnn.model.bundle import Bundle, EncoderIdentity, save_bundle
from mrnn.onnx_sessions import open_session
from mrnn.training.image_network import TrainableEncoder, in_torch, open_trainable, placed
from mrnn.training.rounding import in_eight_bits
from mrnn.weight_files import from_safetensors, to_safetensors
from mrnn.words.text import SIGNS, Vocabulary

LITE = "efficientnet-lite0"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, 3, 224, 224)).astype(np.float32)


def lite() -> TrainableEncoder:
    return open_trainable(LITE, open_encoder(LITE).file)


def toy() -> TrainableEncoder:
    """Of a network with four small stages, so that nothing takes long."""
    convolutions = [
        Convolution("a", "", 3, 4, 3, stride=2),
        Convolution("b", "", 4, 4, 3, groups=4, relu6=False),
        Convolution("c", "", 4, 8, 1),
        Convolution("d", "", 8, 5, 1),
    ]
    stages = tuple(Block((c,), residual=c.name == "b") for c in convolutions)
    found = Network("toy", stages, 5, Preprocessing(8), lambda: b"", has_positions=True)
    draw = torch.Generator().manual_seed(0)
    shapes = found.shapes.items()
    weights = {k: torch.randn(shape, generator=draw).numpy() / 3 for k, shape in shapes}
    return TrainableEncoder(found, weights)


def noise(count: int, seed: int) -> np.ndarray:
    """Pixels of `toy`."""
    codes = np.random.default_rng(seed).integers(0, 256, (count, 3, 8, 8))
    return ((codes - 127) / 128).astype(np.float32)


@pytest.mark.parametrize("last", [1, 2, 3, 4, None])
def test_gradients_flow_to_the_last_blocks_only(last):
    encoder = toy()
    learning = encoder.parameters(last)
    count = 4 if last is None else last
    assert len(learning) == 2 * count
    assert all(p.is_leaf and p.requires_grad for p in learning)
    before = encoder.weights()
    features = encoder.features(noise(6, 1))
    assert features.shape == (6, 5)
    features.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in learning)
    with torch.no_grad():
        for weight in learning:
            weight.sub_(0.1 * weight.grad)
    after = encoder.weights()
    changed = {name[0] for name in after if not np.array_equal(before[name], after[name])}
    assert changed == set("abcd"[-count:])


def test_what_is_frozen_keeps_no_graph():
    """Frozen blocks run as in inference: nothing of them is kept for the way back."""
    encoder, kept = toy(), []
    encoder.parameters(1)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        encoder.features(np.zeros((2, 3, 8, 8), np.float32))
    assert (2 * 4 * 4, 8) in kept  # what enters the last block
    assert (2, 3, 8, 8) not in kept
    assert (2, 4, 4, 4) not in kept


def test_until_asked_nothing_learns():
    assert not toy().features(np.zeros((1, 3, 8, 8), np.float32)).requires_grad


def test_fewer_blocks_may_learn_later():
    encoder = toy()
    every = encoder.parameters()
    [weight, bias] = encoder.parameters(1)
    assert [p.requires_grad for p in every] == 6 * [False] + 2 * [True]
    encoder.features(np.ones((1, 3, 8, 8), np.float32)).sum().backward()
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
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(2)).numpy()
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
    assert np.abs(saved["a.weight"]).sum() > 0
    saved["b.weight"][:] = 0
    assert encoder.weights()["b.weight"].any()


# In 8 bits


def rounded() -> TrainableEncoder:
    """`toy` in 8 bits."""
    plain = toy()
    whole = in_eight_bits(plain.network, plain.weights(), noise(16, 3))
    weights = as_floats(whole, plain.network.blocks)
    return TrainableEncoder(plain.network, weights, whole=whole)


@pytest.mark.parametrize("last", [1, 2, 3, 4])
def test_frozen_blocks_in_8_bits_give_what_they_will_give_in_use(last):
    """The twin: all blocks in 8 bits; those that learn here run in floats, and differ a little."""
    encoder, pixels = rounded(), noise(5, 4)
    encoder.parameters(last)
    network, whole = encoder.network, encoder.whole
    frozen = network.blocks[: 4 - last]
    found = encoder.positions(pixels).detach().numpy()
    session = open_session(
        onnx_graph(network.blocks, 8), bindings(whole, network.blocks, network.preprocessing)
    )
    [used] = session.run(["positions"], {"pixels": pixels})
    assert np.abs(found - used).max() < 0.1
    assert (encoder._run_frozen is not None) == bool(frozen)
    if frozen:
        entered = encoder._run_frozen(pixels)
        step, middle = whole[f"{frozen[-1].convolutions[-1].name}{'+' * frozen[-1].residual}.range"]
        codes = entered / step + middle
        np.testing.assert_allclose(codes, np.rint(codes), atol=1e-3)


def test_what_learns_after_frozen_blocks_in_8_bits_has_gradients():
    encoder = rounded()
    learning = encoder.parameters(2)
    encoder.features(noise(6, 5)).square().sum().backward()
    assert [bool(p.grad.any()) for p in learning] == [True] * 4


# The real ones.


def test_weights_of_a_file_give_the_features_of_the_encoder(pixels):
    trainable, encoder = lite(), open_encoder(LITE)
    assert trainable.network is network(LITE)
    expected = encoder.encode(pixels)
    assert expected.std() > 0.1
    np.testing.assert_allclose(trainable.features(pixels), expected, atol=1e-4)


def test_learning_begins_with_the_numbers_that_are_used():
    carried = from_safetensors(open_encoder(LITE).file.content)
    found = lite().weights()
    assert found.keys() == carried.keys()
    for name, weight in found.items():
        assert (weight.dtype, carried[name].dtype) == (np.float32, np.float16)
        assert np.array_equal(weight, carried[name])


def test_blocks_are_counted_from_the_stem_to_the_head():
    assert lite().blocks == 18
    assert len(network("efficientnet-lite2").stages) == 23
    assert len(network("alexnet").stages) == 7


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory) -> Encoder:
    """With random weights, such that no layer dies."""
    numbers = np.random.default_rng(0).normal(size=999_983).astype(np.float32)
    drawn = {}
    for name, shape in SHAPES.items():
        scale = (2 / np.prod(shape[1:])) ** 0.5 if shape[1:] else 0.1
        drawn[name] = (np.resize(numbers, shape) * scale).astype(np.float16)
    path = tmp_path_factory.mktemp("alexnet") / "weights.safetensors"
    path.write_bytes(to_safetensors(drawn))
    return open_encoder("alexnet", weights=path)


def test_alexnet_runs_in_both(alexnet, pixels):
    expected = alexnet.encode(pixels)
    assert expected.std() > 0.1
    trainable = open_trainable("alexnet", alexnet.file)
    [*_, bias] = trainable.parameters(1)
    found = trainable.features(pixels)
    np.testing.assert_allclose(found.detach(), expected, atol=1e-4)
    found.sum().backward()
    assert bias.grad.any()
    again = in_torch(alexnet, CPU)
    assert again.encode_positions is None
    np.testing.assert_allclose(again.encode(pixels), expected, atol=1e-4)


def learned(name: str = LITE) -> dict[str, np.ndarray]:
    """Weights as training might leave them."""
    encoder = open_trainable(name, open_encoder(name).file)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in encoder.parameters(3):
            weight.add_(torch.randn(weight.shape, generator=draw) * 0.02)
    return encoder.weights()


def test_the_encoder_of_learned_weights_is_that_of_their_halves(pixels):
    weights = learned()
    encoder = encoder_of(LITE, weights)
    trainable = open_trainable(LITE, encoder.file)
    for name, weight in trainable.weights().items():
        assert np.array_equal(weight, weights[name].astype(np.float16))
    expected = trainable.features(pixels).numpy()
    np.testing.assert_allclose(encoder.encode(pixels), expected, atol=1e-4)
    assert np.abs(expected - open_encoder(LITE).encode(pixels)).max() > 0.01
    positions = encoder.encode_positions(pixels)
    np.testing.assert_allclose(positions.mean(axis=1), expected, atol=1e-4)


def test_the_learned_encoder_is_known_by_its_bytes():
    encoder = encoder_of(LITE, learned())
    halves = {name: weight.astype(np.float16) for name, weight in learned().items()}
    assert encoder.file.content == to_safetensors(halves)
    assert encoder.digest == hashlib.sha256(encoder.file.content).hexdigest()
    assert encoder.digest == encoder_of(LITE, from_safetensors(encoder.file.content)).digest
    assert encoder.preprocessing == open_encoder(LITE).preprocessing


def test_an_encoder_that_did_not_learn_is_carried_as_it_was():
    assert encoder_of(LITE, lite().weights()).file.content == open_encoder(LITE).file.content


@pytest.mark.parametrize("value", [np.nan, np.inf, 70_000.0])
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

    again = open_trainable(LITE, captioner.bundle.encoder_file)
    assert encoder_of(LITE, again.weights()).file.content == encoder.file.content


def test_a_name_that_the_network_does_not_have_is_refused():
    file = open_encoder(LITE).file
    weights = from_safetensors(file.content)
    weights["_conv_foot.bias"] = weights.pop("_conv_head.bias")
    with pytest.raises(BundleError, match=r"unknown key '_conv_foot\.bias'"):
        open_trainable(LITE, replace(file, content=to_safetensors(weights)))


def test_a_bundles_weights_that_do_not_fit_are_named():
    file = open_encoder(LITE).file
    weights = from_safetensors(file.content)
    weights["_conv_head.bias"] = weights["_conv_head.bias"][:-1]
    content = to_safetensors(weights)
    with pytest.raises(BundleError) as caught:
        open_trainable(LITE, replace(file, content=content, place="model/encoder.safetensors"))
    assert str(caught.value) == (
        "model/encoder.safetensors: '_conv_head.bias' has shape (1279,), efficientnet-lite0 says "
        "(1280,); get a fresh copy of the bundle"
    )


@pytest.mark.parametrize("name", ["none", "vgg", "model.onnx", "features"])
def test_what_cannot_be_trained_is_refused(name):
    with pytest.raises(BundleError, match=f"encoder '{name}'; for efficientnet-lite0, .*, alexnet"):
        open_trainable(name, None)


# Encoders on a device


def test_an_encoder_in_torch_is_the_same_encoder(pixels):
    encoder = open_encoder(LITE)
    again = in_torch(encoder, CPU)
    assert replace(again, encode=None, encode_positions=None) == replace(
        encoder, encode=None, encode_positions=None
    )
    assert again.encode is not encoder.encode
    found, positions = again.encode(pixels), again.encode_positions(pixels)
    assert (found.dtype, positions.shape) == (np.float32, (2, 49, encoder.dimension))
    np.testing.assert_allclose(found, encoder.encode(pixels), atol=1e-4)
    np.testing.assert_allclose(positions, encoder.encode_positions(pixels), atol=1e-3)


def test_elsewhere_torch_runs_what_is_known_layer_by_layer():
    """Shown with a device that every machine has, and that keeps no numbers."""
    encoder, elsewhere = open_encoder(LITE), torch.device("meta")
    assert placed(encoder, CPU) is encoder
    assert placed(encoder, elsewhere).encode is not encoder.encode
    of_onnx = replace(encoder, name="mine.onnx", file=EncoderFile.of(ONNX, b""))
    for other in (open_encoder("none"), features_only(5), of_onnx):
        assert placed(other, elsewhere) is other


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_the_features_of_a_cpu(pixels):
    encoder = open_encoder(LITE)
    found = placed(encoder, torch.device("cuda")).encode(pixels)
    np.testing.assert_allclose(found, encoder.encode(pixels), atol=1e-2)
