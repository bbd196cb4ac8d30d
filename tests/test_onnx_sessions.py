"""Sessions of ONNX Runtime: on what they run, and what is bound to them."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from mrnn import devices, onnx_sessions
from mrnn.errors import UsageError
from mrnn.onnx_graphs import bound, constant, graph, node
from mrnn.onnx_sessions import choose_device, open_session, rounds_floats

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


@pytest.mark.parametrize(
    ("providers", "asked", "found"),
    [
        ([CPU], "auto", "cpu"),
        ([CPU], "cpu", "cpu"),
        ([CUDA, CPU], "auto", "cuda"),
        ([CUDA, CPU], "cuda", "cuda"),
        ([CUDA, CPU], "cpu", "cpu"),
    ],
)
def test_a_device_is_chosen_by_what_is_installed(monkeypatch, providers, asked, found):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    assert choose_device(asked) == found


def shared_zero_point(weights: Sequence[np.ndarray]) -> bytes:
    """x (R, 6) times matrices of int8 that have one zero point, side by side."""
    held = {"step": np.float32(1), "middle": np.uint8(0), "zero": np.int8(0)}
    held |= {f"w{i}": weight for i, weight in enumerate(weights)}
    nodes = [
        node("QuantizeLinear", ["x", "step", "middle"], "q"),
        node("DequantizeLinear", ["q", "step", "middle"], "seen"),
    ]
    for i in range(len(weights)):
        nodes.append(node("DequantizeLinear", [f"w{i}", "step", "zero"], f"weight{i}"))
        nodes.append(node("MatMul", ["seen", f"weight{i}"], f"y{i}"))
    nodes.append(node("Concat", [f"y{i}" for i in range(len(weights))], "y", axis=1))
    constants = [constant(name, np.asarray(value)) for name, value in held.items()]
    return graph(nodes, {"x": ("R", 6)}, {"y": ("R", "C")}, constants)


@pytest.mark.parametrize(("count", "in_floats"), [(1, False), (2, True), (3, True)])
def test_weights_that_share_a_zero_point_are_right_in_floats(count, in_floats):
    """ONNX Runtime cannot open them as it should: findings/onnxruntime-shared-zero-point.sh."""
    weights = [np.full((6, 4), 127 - i, dtype=np.int8) for i in range(count)]
    session = open_session(shared_zero_point(weights))
    [found] = session.run(["y"], {"x": np.full((3, 6), 255, dtype=np.float32)})
    expected = np.concatenate([255 * w.sum(axis=0, dtype=np.int64) for w in weights])
    assert np.array_equal(found, np.tile(expected, (3, 1)))
    assert rounds_floats(session) == in_floats


def test_a_graph_of_ours_is_no_other_s():
    assert not rounds_floats(product(np.ones((4, 2), np.float32)))


def test_a_gpu_that_cannot_be_used_says_what_to_type(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])
    with pytest.raises(UsageError, match=r"cannot use a GPU; type: pip install onnxruntime-gpu, o"):
        choose_device("cuda")


@pytest.mark.parametrize("device", ["gpu", "CPU", "cuda:0", ""])
def test_a_device_of_another_name_is_refused(device):
    with pytest.raises(UsageError, match=rf"unknown device '{device}'; known: auto, cpu, cuda"):
        choose_device(device)


@pytest.mark.parametrize("processors", [1, 3])
def test_a_session_runs_on_the_processors_it_may_use(monkeypatch, processors):
    monkeypatch.setattr(onnx_sessions, "processors", lambda: processors)
    session = product(np.ones((4, 2), np.float32))
    assert session.get_session_options().intra_op_num_threads == processors
    assert session.get_providers() == [CPU]


def product(weight: np.ndarray) -> onnxruntime.InferenceSession:
    """x (R, 4) times a weight that is bound."""
    content = graph(
        [node("MatMul", ["x", "w"], "y")],
        {"x": ("R", weight.shape[0])},
        {"y": ("R", weight.shape[1])},
        [bound("w", weight.shape)],
    )
    return open_session(content, {"w": weight})


@pytest.mark.parametrize("columns", [1, 2, 1000])
def test_what_was_bound_may_change_or_go(columns):
    """A session that only pointed at the weights would give other numbers, or worse."""
    weight = np.random.default_rng(0).standard_normal((300, columns), dtype=np.float32)
    x = np.random.default_rng(1).standard_normal((5, 300), dtype=np.float32)
    session, expected = product(weight), x @ weight
    weight[:] = 0
    np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, rtol=1e-4, atol=1e-4)
    del weight
    gc.collect()
    np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, rtol=1e-4, atol=1e-4)


def rounding() -> bytes:
    """A graph in 8 bits."""
    held = [constant("step", np.array(1, np.float32)), constant("middle", np.array(0, np.uint8))]
    return graph(
        [
            node("QuantizeLinear", ["x", "step", "middle"], "q"),
            node("DequantizeLinear", ["q", "step", "middle"], "y"),
        ],
        {"x": ("N",)},
        {"y": ("N",)},
        held,
    )


@pytest.mark.parametrize(
    ("told", "is_quick"),
    [
        ("processor\t: 0\nflags\t\t: fpu sse4_2 avx avx2 bmi1\n", True),
        ("processor\t: 0\nflags\t\t: fpu sse4_2 avx\n", False),
        ("processor\t: 0\nFeatures\t: fp asimd asimddp\n", True),
        ("", True),
        (None, True),
    ],
    ids=["AVX2", "AVX", "ARM", "nothing", "no Linux"],
)
def test_8_bits_on_a_processor_without_the_instructions_are_warned_of(
    monkeypatch, tmp_path, told, is_quick
):
    if told is not None:
        (tmp_path / "cpuinfo").write_text(told)
    monkeypatch.setattr(devices, "_TOLD", tmp_path / "cpuinfo")
    warned = nullcontext() if is_quick else pytest.warns(UserWarning, match=r"no AVX2 .* slowly")
    with warned:
        session = open_session(rounding())
    [found] = session.run(None, {"x": np.array([0.4, 2.6, 300], np.float32)})
    assert found.tolist() == [0, 3, 255]
    product(np.ones((4, 2), np.float32))  # floats are as quick as ever


def test_what_is_no_network_is_an_error_and_prints_nothing(capfd):
    with pytest.raises(Exception, match=r"INVALID_PROTOBUF|protobuf"):
        open_session(b"not a network at all")
    assert capfd.readouterr() == ("", "")


def test_weights_are_bound_by_their_values_however_they_lie_in_memory():
    """ONNX Runtime 1.31 takes the memory of an array as it lies: findings/."""
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    content = graph(
        [node("MatMul", ["x", "weight"], "y")],
        {"x": ("N", 2)},
        {"y": ("N", 3)},
        [bound("weight", (2, 3))],
    )
    x = np.array([[1, 10]], dtype=np.float32)
    for laid in (weights, np.asfortranarray(weights), weights.T.copy().T, weights[::-1][::-1]):
        [y] = open_session(content, {"weight": laid}).run(None, {"x": x})
        assert y.tolist() == (x @ weights).tolist()


@pytest.mark.parametrize("module", ["onnx_sessions", "images.onnx_networks", "commands.about"])
def test_onnx_runtime_keeps_no_reports_for_its_maker(tmp_path, module):
    home = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "APPDATA", "LOCALAPPDATA"), str(tmp_path))
    source = str(Path(onnx_sessions.__file__).parents[1])
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": source, **home}
    command = [sys.executable, "-c", f"import mrnn.{module}, onnxruntime"]
    subprocess.run(command, check=True, env=environment)
    assert list(tmp_path.iterdir()) == []  # without the variable: an id of this machine, a queue
