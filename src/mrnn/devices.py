"""Which processors there are, and what they can do; torch is imported only when asked."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from .errors import UsageError

if TYPE_CHECKING:
    import torch


def processors() -> int:
    """How many processors this process may use: those it is bound to, or OMP_NUM_THREADS if fewer.

    That is what Ray and torchrun set to the share of each of their processes.
    """
    available = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        available = len(os.sched_getaffinity(0))
    share = os.environ.get("OMP_NUM_THREADS", "")
    return min(available, int(share)) if share.isdecimal() and int(share) else available


def choose_device(device: str) -> torch.device:
    """Turn auto, cpu or cuda into a device; auto is the GPU where PyTorch finds one.

    Raises UsageError for another name, or a GPU that is not there.
    """
    import torch

    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"unknown device {device!r}; known: auto, cpu, cuda")
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise UsageError("PyTorch finds no GPU here; type: mrnn info, to see which build it is")
    if available and device != "cpu" and "LOCAL_RANK" in os.environ:  # one of torchrun's processes
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    return torch.device("cuda" if available and device != "cpu" else "cpu")


def has_bf16(device: torch.device) -> bool:
    """Whether matrix products in bf16 are done by the hardware, not emulated."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def has_int8(device: torch.device) -> bool:
    """Whether 8-bit integer matrix products are done by special instructions of the CPU."""
    import torch

    if device.type != "cpu" or not hasattr(torch, "_int_mm"):
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))


def reduced_precision(device: torch.device) -> AbstractContextManager[object]:
    """A context of bf16 matrix products where the hardware has them, fp32 elsewhere."""
    import torch

    if has_bf16(device):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
