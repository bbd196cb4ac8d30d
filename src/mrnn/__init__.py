"""mrnn: explain images with a small multimodal recurrent neural network (arXiv:1410.1090).

>>> captioner = mrnn.load()
>>> print(captioner.caption("holiday.jpg"))
a ...

docs/python.md tells the rest.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# Since 1.29 ONNX Runtime reports processes and errors to its maker, over the network, unless it is
# told not to before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from .captioner import Captioner, load
    from .config import Decoding
    from .errors import (
        BundleError,
        DataError,
        DependencyError,
        ImageError,
        MrnnError,
        UsageError,
    )
    from .library.found import Found, Results
    from .library.library import Library
    from .library.timeline import Filter
    from .results import (
        Caption,
        Contributions,
        Evidence,
        Explanation,
        Match,
        Ranking,
        Score,
        Word,
    )

_HOMES = {
    **dict.fromkeys(("Captioner", "load"), "captioner"),
    "Decoding": "config",
    **dict.fromkeys(
        ("BundleError", "DataError", "DependencyError", "ImageError", "MrnnError", "UsageError"),
        "errors",
    ),
    **dict.fromkeys(("Found", "Results"), "library.found"),
    "Library": "library.library",
    "Filter": "library.timeline",
    **dict.fromkeys(
        (
            *("Caption", "Contributions", "Evidence", "Explanation", "Match", "Ranking"),
            *("Score", "Word"),
        ),
        "results",
    ),
}
__all__ = [
    "BundleError",
    "Caption",
    "Captioner",
    "Contributions",
    "DataError",
    "Decoding",
    "DependencyError",
    "Evidence",
    "Explanation",
    "Filter",
    "Found",
    "ImageError",
    "Library",
    "Match",
    "MrnnError",
    "Ranking",
    "Results",
    "Score",
    "UsageError",
    "Word",
    "__version__",
    "load",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    # Public names are found when they are first used: importing mrnn imports no torch.
    if name == "__version__":
        from importlib import metadata  # takes as long as all of NumPy

        return metadata.version("mrnn")
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
