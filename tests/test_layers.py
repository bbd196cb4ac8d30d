"""The rules of the source tree: who imports whom, how long files are, what import costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mrnn

SOURCE = Path(mrnn.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

# The table of ARCHITECTURE.md: a module imports only from the lines above its own.
ROWS = re.findall(
    r"^\| \d+ \| ([^|]*) \|", (SOURCE.parents[1] / "ARCHITECTURE.md").read_text(), re.MULTILINE
)
LAYERS = (("__init__",), *(re.findall(r"`(\w+)`", row) for row in ROWS), ("__main__",))
LEVEL = {module: level for level, modules in enumerate(LAYERS) for module in modules}


def imported(code: str) -> set[str]:
    """The mrnn modules that some code imports when it runs, at any depth."""
    found = set()

    def visit(node: ast.AST) -> None:
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                for child in node.orelse:
                    visit(child)
                return
            case ast.Import():
                found.update(n.name for n in node.names)
            case ast.ImportFrom(level=level, module=module):
                home = ".".join(filter(None, ("mrnn" if level else "", module)))
                found.update([home] if home != "mrnn" else [f"mrnn.{n.name}" for n in node.names])
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(code))
    ours = {name.partition(".")[2].split(".")[0] for name in found if name.split(".")[0] == "mrnn"}
    return {name if (SOURCE / f"{name}.py").exists() else "__init__" for name in ours}


def test_imports_are_found_wherever_they_stand():
    code = """
if TYPE_CHECKING:
    from .training import Progress
else:
    from .errors import DataError
import mrnn.text, torch
from mrnn import images, load
def late():
    from . import encoders
    from .model import MRNN
    from numpy import text
"""
    assert imported(code) == {"errors", "text", "images", "__init__", "encoders", "model"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_modules_import_only_from_lower_layers(path):
    assert path.stem in LEVEL, f"{path.name}: give it a place in LAYERS"
    wrong = {m for m in imported(path.read_text()) if LEVEL[m] >= LEVEL[path.stem]}
    assert not wrong, f"{path.name} imports {wrong}, which stand no lower"


def test_every_module_of_the_table_exists():
    assert {path.stem for path in FILES} >= set(LEVEL)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_are_short_and_named_by_what_they_hold(path):
    assert len(path.read_text().splitlines()) <= 500
    assert path.stem not in {"utils", "util", "misc", "helpers", "common"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_can_unpickle(path):
    forbidden = r"\b(import|from) _?c?pickle\b|weights_only\s*=\s*False|allow_pickle\s*=\s*True"
    assert not re.search(forbidden, path.read_text())


@pytest.mark.parametrize("module", ["mrnn", "mrnn.cli"])
def test_importing_is_cheap(module):
    code = f"import sys, {module}; print(*sorted({{'torch', 'onnxruntime'}} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(SOURCE.parent)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""
