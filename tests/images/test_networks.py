"""How networks are run: a few pictures at a time, on whatever weights a bundle has."""

from __future__ import annotations

import numpy as np
import pytest

from mrnn.errors import BundleError
from mrnn.images import networks
from mrnn.images.networks import (
    SAFETENSORS,
    EncoderFile,
    at_once,
    flatten_positions,
    in_parts,
    network,
    read_weights,
    shared_out,
)
from mrnn.weight_files import to_safetensors


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 11])
@pytest.mark.parametrize("together", [1, 4])
def test_pictures_are_looked_at_a_few_at_a_time(count, together):
    seen = []

    def run(pixels):
        seen.append(len(pixels))
        return pixels.mean(axis=(2, 3))

    pixels = np.random.default_rng(0).random((count, 3, 2, 2))
    found = in_parts(run, together)(pixels)
    assert np.array_equal(found, pixels.mean(axis=(2, 3)))
    assert found.shape == (count, 3)
    assert sum(seen) == count
    assert max(seen) <= together
    assert len(seen) == max(1, -(-count // together))


@pytest.mark.parametrize(("processors", "together"), [(1, 4), (4, 4), (16, 16)])
def test_each_processor_has_a_picture(monkeypatch, processors, together):
    monkeypatch.setattr(networks, "processors", lambda: processors)
    assert at_once() == together


@pytest.mark.parametrize("processors", [1, 2, 3, 8, 32])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 16, 33, 70])
def test_pictures_are_shared_out_among_threads(monkeypatch, processors, count):
    monkeypatch.setattr(networks, "processors", lambda: processors)
    seen = []

    def run_on(threads):
        return lambda pixels: (seen.append((threads, len(pixels))), pixels.mean(axis=(2, 3)))[1]

    pixels = np.random.default_rng(0).random((count, 3, 2, 2))
    assert np.array_equal(shared_out(run_on)(pixels), pixels.mean(axis=(2, 3)))
    threads, sizes = zip(*seen, strict=True)
    assert sum(sizes) == count
    if 1 < processors <= count:
        assert set(threads) == {1}
        assert len(sizes) >= processors
        assert max(sizes) * processors <= max(16, processors)
        assert max(sizes) - min(sizes) <= 1
    else:
        assert set(threads) == {processors}
        assert max(sizes) <= 4


def test_what_goes_wrong_on_a_thread_is_raised(monkeypatch):
    monkeypatch.setattr(networks, "processors", lambda: 2)

    def fail(pixels):
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        shared_out(lambda threads: fail)(np.zeros((4, 3, 2, 2)))


def test_positions_are_flattened_row_by_row():
    positions = np.arange(24).reshape(1, 2, 3, 4)
    flat = flatten_positions(positions)
    assert flat.shape == (1, 12, 2)
    assert flat[0, 5].tolist() == positions[0, :, 1, 1].tolist()


def test_only_networks_known_layer_by_layer_have_an_architecture():
    assert network("alexnet").has_positions is False
    with pytest.raises(
        BundleError, match=r"for the encoder 'none'; for efficientnet-lite0, .*net$"
    ):
        network("none")


def halves(name: str) -> dict[str, np.ndarray]:
    return {key: np.zeros(shape, np.float16) for key, shape in network(name).shapes.items()}


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"_conv_head.bias": None}, "missing key '_conv_head.bias'"),
        ({"_conv_tail.bias": np.zeros(1)}, "unknown key '_conv_tail.bias'"),
        ({"_conv_head.bias": np.zeros(1, np.float16)}, "'_conv_head.bias' has shape (1,), efficie"),
        ({"_conv_head.bias": np.zeros(1280)}, "'_conv_head.bias' is float64, not float16 or"),
        ({"_conv_head.bias": np.full(1280, np.inf, np.float16)}, "'_conv_head.bias' holds NaN or"),
    ],
    ids=range(5),
)
def test_weights_that_do_not_fit_are_named(changes, what):
    weights = {k: v for k, v in (halves("efficientnet-lite0") | changes).items() if v is not None}
    file = EncoderFile.of(SAFETENSORS, to_safetensors(weights), "m/encoder.safetensors")
    with pytest.raises(BundleError) as caught:
        read_weights(network("efficientnet-lite0"), file)
    assert str(caught.value).startswith(f"m/encoder.safetensors: {what}")
    assert str(caught.value).endswith("; get a fresh copy of the bundle")


def test_a_network_is_opened_when_the_first_picture_comes(monkeypatch):
    opened = []
    whole = networks.open_session
    monkeypatch.setattr(networks, "processors", lambda: 2)
    monkeypatch.setattr(
        networks, "open_session", lambda *given: opened.append(given) or whole(*given)
    )
    lite0 = network("efficientnet-lite0")
    draw = np.random.default_rng(0)
    weights = {
        name: draw.normal(0, 0.05, shape).astype(np.float16) for name, shape in lite0.shapes.items()
    }
    file = EncoderFile.of(SAFETENSORS, to_safetensors(weights))
    encode, positions, bits = networks.open_known(lite0, file, "cpu")
    assert bits == 32
    assert opened == []
    pixels = draw.normal(size=(1, 3, 224, 224)).astype(np.float32)
    np.testing.assert_allclose(positions(pixels).mean(axis=1), encode(pixels), atol=1e-5)
    assert len(opened) == 1
    several = draw.normal(size=(3, 3, 224, 224)).astype(np.float32)
    together = encode(several)
    assert [given[3] for given in opened] == [2, 1]
    assert np.array_equal(together, np.concatenate([encode(one[None]) for one in several]))
