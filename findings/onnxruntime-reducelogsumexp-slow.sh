#!/usr/bin/env bash
# onnxruntime 1.31.1: on the CPU, ReduceLogSumExp over the last axis takes several times as long as the six
# operations that it stands for (ReduceMax, Sub, Exp, ReduceSum, Log, Add), with the same result. Exporters
# write it for a softmax's denominator. Exits 0 while it takes more than three times as long.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q onnxruntime==1.31.1 numpy==2.4.6 onnx==1.20.0
"$folder/venv/bin/python" - <<'PYTHON'
import statistics
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

print("onnxruntime", ort.__version__, "onnx", onnx.__version__)


def session(nodes):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "V"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [-1])
    graph = helper.make_graph(nodes, "g", [x], [y], [axis])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


one = session([helper.make_node("ReduceLogSumExp", ["x", "axis"], ["y"])])
six = session([
    helper.make_node("ReduceMax", ["x", "axis"], ["most"]),
    helper.make_node("Sub", ["x", "most"], ["below"]),
    helper.make_node("Exp", ["below"], ["shares"]),
    helper.make_node("ReduceSum", ["shares", "axis"], ["sum"]),
    helper.make_node("Log", ["sum"], ["log"]),
    helper.make_node("Add", ["log", "most"], ["y"]),
])
x = np.random.default_rng(0).normal(size=(256, 4096)).astype(np.float32)
found = [s.run(None, {"x": x})[0] for s in (one, six)]
print("largest difference", float(np.abs(found[0] - found[1]).max()))
assert np.allclose(*found, atol=1e-4)
times = {"one": [], "six": []}
for _ in range(15):
    for name, s in (("one", one), ("six", six)):
        started = time.perf_counter()
        s.run(None, {"x": x})
        times[name].append(time.perf_counter() - started)
medians = {name: statistics.median(t) for name, t in times.items()}
ratio = medians["one"] / medians["six"]
print(f"ReduceLogSumExp {medians['one'] * 1e3:.2f} ms, six operations {medians['six'] * 1e3:.2f} ms: {ratio:.1f} times")
assert ratio > 3, "it has become quicker"
PYTHON
