"""What NumPy computes on processors with fewer instructions than ours."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from threadpoolctl import threadpool_info

OLDER = ("Nehalem", "Haswell")  # with SSE 4, with AVX 2
_NEWER = {"Haswell", "Zen", "SkylakeX", "Cooperlake", "SapphireRapids"}  # can do as these do
_ARE_THEY = """
from threadpoolctl import threadpool_info
import numpy
assert {processor!r} in [found.get("architecture") for found in threadpool_info()]
"""


def run_on(processor: str, code: str) -> None:
    """Run code with OpenBLAS as on another processor, and fail as it does."""
    if not _NEWER & {found.get("architecture") for found in threadpool_info()}:
        pytest.skip("only OpenBLAS on newer x86 processors can do as on older ones")
    environment = {**os.environ, "OPENBLAS_CORETYPE": processor}
    code = _ARE_THEY.format(processor=processor) + code
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert found.returncode == 0, found.stderr
