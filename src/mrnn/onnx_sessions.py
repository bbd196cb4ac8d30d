"""ONNX Runtime, as all of our graphs use it: on the CPU, or on a GPU where that is asked for."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import onnxruntime as ort

from .devices import is_quick_in_8_bits, processors, require_device
from .errors import UsageError
from .onnx_graphs import TYPES

_CUDA = "CUDAExecutionProvider"
_AS_FLOATS = "session.disable_quant_qdq"
_IN_8_BITS = b"QuantizeLinear"  # a node of any such graph
_SLOW = (
    "this processor has no AVX2 instructions: what is computed in 8 bits comes out as elsewhere, "
    "but slowly; of an image network, --precision 32 may be quicker"
)

Owner = TypeVar("Owner")
T = TypeVar("T")

_opened: WeakKeyDictionary[Any, dict[Any, Any]] = WeakKeyDictionary()


def choose_device(device: str) -> str:
    """Turn auto, cpu or cuda into cpu or cuda; auto is the GPU where ONNX Runtime can use one.

    Raises UsageError for another name, or a GPU that it cannot use.
    """
    require_device(device)
    can_cuda = _CUDA in ort.get_available_providers()
    if device == "cuda" and not can_cuda:
        raise UsageError(
            f"the installed ONNX Runtime {ort.__version__} cannot use a GPU; type: pip install "
            "onnxruntime-gpu, or leave --device out"
        )
    return "cuda" if can_cuda and device != "cpu" else "cpu"


def open_session(
    content: bytes,
    weights: Mapping[str, np.ndarray] | None = None,
    device: str = "cpu",
    threads: int | None = None,
) -> ort.InferenceSession:
    """Open a graph, and bind the weights that it names but does not hold.

    It runs on so many threads, or on one for every processor.

    Without `weights` the graph must hold all: what lies in other files is refused. Such a graph is
    somebody else's: if it is in 8 bits, its sums may saturate on processors without VNNI, so there
    they are made in 16 bits, which is slower and right; where ONNX Runtime cannot do so, floats are
    rounded to the steps of the graph instead. Any graph in 8 bits runs on any processor; a warning
    tells once that it is slow on this one.
    """
    if _IN_8_BITS in content and not is_quick_in_8_bits():
        warnings.warn(_SLOW, stacklevel=1)  # one place, one warning
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or processors()
    options.log_severity_level = 4  # what goes wrong is raised, not printed
    # Spinning threads would starve the decoding that runs beside.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.load_model_format", "ONNX")
    if weights is None:
        options.add_session_config_entry("session.x64quantprecision", "1")
        # Weights in other files are refused: nothing can lie below this path.
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", os.devnull
        )
    else:
        # In C order: ONNX Runtime takes the memory as it lies, whatever the strides say.
        values = [
            ort.OrtValue.ortvalue_from_numpy_with_onnx_type(
                np.asarray(weight, order="C"), TYPES[weight.dtype.name]
            )
            for weight in weights.values()
        ]
        options.add_external_initializers(list(weights), values)
    providers = [_CUDA, "CPUExecutionProvider"] if device == "cuda" else ["CPUExecutionProvider"]
    # Without the fallback, which would print, and try the same again.
    session = partial(ort.InferenceSession, content, options, providers, enable_fallback=False)
    if weights is not None or _IN_8_BITS not in content:
        return session()
    try:
        return session()
    except Exception:  # weights that share a zero point: findings/onnxruntime-shared-zero-point.sh
        options.add_session_config_entry(_AS_FLOATS, "1")
        return session()


def rounds_floats(session: ort.InferenceSession) -> bool:
    """Whether somebody else's graph in 8 bits runs in floats, since integers cannot be trusted."""
    try:
        return session.get_session_options().get_session_config_entry(_AS_FLOATS) == "1"
    except RuntimeError:  # nobody has set it
        return False


def opened_once(owner: Owner, open_for: Callable[[Owner], T]) -> T:
    """What `open_for` makes for a model, when it is first asked for; kept as long as the model."""
    known = _opened.setdefault(owner, {})
    if open_for not in known:
        known[open_for] = open_for(owner)
    return known[open_for]
