"""Whether what learning needs is installed; this file itself does without it."""

from __future__ import annotations

import importlib.util

from ..errors import UsageError


def require_pytorch() -> None:
    """Raise UsageError where PyTorch is missing; it is found, not imported: that takes a second."""
    if importlib.util.find_spec("torch") is None:
        raise UsageError(
            "learning needs PyTorch, which is not installed; type: pip install 'mrnn[train]'"
        )
