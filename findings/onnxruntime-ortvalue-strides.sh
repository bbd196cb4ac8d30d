#!/usr/bin/env bash
# onnxruntime 1.31.1: OrtValue.ortvalue_from_numpy_with_onnx_type takes the memory of an array as it lies
# and ignores its strides. A transposed array, or one in Fortran order, becomes another matrix of the same
# shape, without an error; ortvalue_from_numpy copies and does not. Weights that are bound by
# add_external_initializers go through it: networks then compute wrong numbers in silence.
# Exits 0 while it is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q onnxruntime==1.31.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnxruntime as ort

FLOAT = 1  # of TensorProto.DataType
print("onnxruntime", ort.__version__, "numpy", np.__version__)
rows = np.arange(6, dtype=np.float32).reshape(2, 3)
columns = np.asfortranarray(rows)
assert np.array_equal(rows, columns)
typed = ort.OrtValue.ortvalue_from_numpy_with_onnx_type(columns, FLOAT).numpy()
plain = ort.OrtValue.ortvalue_from_numpy(columns).numpy()
print("given                              ", rows.tolist())
print("ortvalue_from_numpy                ", plain.tolist())
print("ortvalue_from_numpy_with_onnx_type ", typed.tolist())
assert np.array_equal(plain, rows), "ortvalue_from_numpy has changed"
assert typed.shape == rows.shape, "it keeps the shape"
assert not np.array_equal(typed, rows), "it heeds the strides now"
PYTHON
