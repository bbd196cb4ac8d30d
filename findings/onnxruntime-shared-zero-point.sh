#!/usr/bin/env bash
# onnxruntime 1.31.1: with session.x64quantprecision=1, which keeps sums in 8 bits from saturating on processors
# without VNNI, a graph does not open whose int8 weights share one zero point ("Attempt to replace the existing
# tensor"), as in transformers from quantize_static. It opens without the option, with a zero point a
# weight, and with session.disable_quant_qdq=1, which computes in floats between the rounding.
# Exits 0 while it is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q onnxruntime==1.31.1 numpy==2.4.6 onnx==1.23.2
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

print("onnxruntime", ort.__version__)


def network(zero_points):
    """x times two int8 matrices, with the zero points of these names."""
    held = {
        "step": np.float32(0.02), "middle": np.uint8(128),
        **{name: np.int8(0) for name in zero_points},
        **{f"w{i}": np.full((6, 4), 127 - i, np.int8) for i in range(2)},
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "step", "middle"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "step", "middle"], ["seen"]),
    ]
    for i, zero_point in enumerate(zero_points):
        nodes += [
            helper.make_node("DequantizeLinear", [f"w{i}", "step", zero_point], [f"weight{i}"]),
            helper.make_node("MatMul", ["seen", f"weight{i}"], [f"y{i}"]),
        ]
    floats = lambda name, width: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", width])
    initializers = [numpy_helper.from_array(np.asarray(v), name) for name, v in held.items()]
    outputs = [floats("y0", 4), floats("y1", 4)]
    graph = helper.make_graph(nodes, "two", [floats("x", 6)], outputs, initializers)
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


def opens(content, **entries):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    for name, value in entries.items():
        options.add_session_config_entry(f"session.{name}", value)
    try:
        ort.InferenceSession(content, options, ["CPUExecutionProvider"])
    except Exception as error:
        assert "Attempt to replace the existing tensor" in str(error), error
        return False
    return True


shared, own = network(["zero", "zero"]), network(["zero", "zero2"])
for entries in ({}, {"x64quantprecision": "1"}, {"x64quantprecision": "1", "disable_quant_qdq": "1"}):
    print(entries, "shared:", opens(shared, **entries), " own:", opens(own, **entries))
assert opens(shared) and opens(own), "without the option both open"
assert opens(own, x64quantprecision="1"), "with a zero point a weight it opens"
assert not opens(shared, x64quantprecision="1"), "it opens now"
assert opens(shared, x64quantprecision="1", disable_quant_qdq="1"), "in floats it opens"
PYTHON
