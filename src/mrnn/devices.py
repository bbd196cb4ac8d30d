"""What a command may run on: which devices can be asked for, how many processors there are."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import UsageError

_DEVICES = ("auto", "cpu", "cuda")
_TOLD = Path("/proc/cpuinfo")  # on Linux


def require_device(device: str) -> None:
    """Raise UsageError for a device that nothing here knows."""
    if device not in _DEVICES:
        raise UsageError(f"unknown device {device!r}; known: {', '.join(_DEVICES)}")


def processors() -> int:
    """How many processors this process may use: those it is bound to, or OMP_NUM_THREADS if fewer.

    That is what Ray and torchrun set to the share of each of their processes.
    """
    available = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        available = len(os.sched_getaffinity(0))
    share = os.environ.get("OMP_NUM_THREADS", "")
    return min(available, int(share)) if share.isdecimal() and int(share) else available


def is_quick_in_8_bits() -> bool:
    """Whether this processor has AVX2; True where nothing tells, or where it is another kind."""
    try:
        lines = _TOLD.read_text(errors="replace").splitlines()
    except OSError:
        return True
    flags = next((line.split() for line in lines if line.startswith("flags")), ["avx2"])
    return "avx2" in flags


def require_precision(precision: int | None) -> None:
    """Raise UsageError for other bits of an image network than 8 and 32."""
    if precision not in (None, 8, 32):
        raise UsageError(f"--precision {precision}: an image network has 8 or 32 bits")
