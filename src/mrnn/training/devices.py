"""Where PyTorch computes: on which device, and how precisely."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

import torch

from ..devices import require_device
from ..errors import UsageError


def choose_device(device: str) -> torch.device:
    """Turn auto, cpu or cuda into a device; auto is the GPU where PyTorch finds one.

    Raises UsageError for another name, or a GPU that is not there.
    """
    require_device(device)
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise UsageError("PyTorch finds no GPU here; type: mrnn info, to see which build it is")
    if available and device != "cpu" and "LOCAL_RANK" in os.environ:  # one of torchrun's processes
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    return torch.device("cuda" if available and device != "cpu" else "cpu")


def has_bf16(device: torch.device) -> bool:
    """Whether matrix products in bf16 are done by the hardware, not emulated."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def reduced_precision(device: torch.device) -> AbstractContextManager[object]:
    """A context of bf16 matrix products where the hardware has them, fp32 elsewhere."""
    if has_bf16(device):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
