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

# The table of ARCHITECTURE.md: a district a row, which imports only from the rows above its own.
ROWS = re.findall(
    r"^\| (`.+?) \| (.+?) \| (no|yes|only .+?) \|$",
    (SOURCE.parents[1] / "ARCHITECTURE.md").read_text(),
    re.MULTILINE,
)
DISTRICTS = [re.findall(r"`([\w.]+)`", row[0]) for row in ROWS]
PYTORCH = {name: row[2] for row, names in zip(ROWS, DISTRICTS, strict=True) for name in names}
LEVEL = {name: level for level, names in enumerate(DISTRICTS) for name in names}


def district(module: str) -> str:
    """Its package, or itself where it lies in none."""
    return module.split(".", maxsplit=1)[0]


def module_name(path: Path) -> str:
    """As in the table: `text`, `datasets` for datasets/__init__.py, `datasets.lines`."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


NAMES = {module_name(path) for path in FILES}


def imported_names(code: str, path: Path = SOURCE / "anything.py") -> set[str]:
    """All that the code of a file imports when it runs, at any depth, by its whole name."""
    found = set()
    package = ("mrnn", *path.relative_to(SOURCE).parts[:-1])

    def visit(node: ast.AST) -> None:
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                for child in node.orelse:
                    visit(child)
                return
            case ast.Import():
                found.update(n.name for n in node.names)
            case ast.ImportFrom(level=level, module=module):
                above = package[: len(package) - level + 1] if level else ()
                home = ".".join(filter(None, (*above, module)))
                found.update(f"{home}.{n.name}" for n in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(code))
    return found


def imported(code: str, path: Path = SOURCE / "anything.py") -> set[str]:
    """The mrnn modules among them."""
    names = imported_names(code, path)
    return {module_of(name) for name in names if name.split(".")[0] == "mrnn"}


def module_of(name: str) -> str:
    """The module that holds `mrnn.module.name`, `mrnn.package.module` or the like."""
    parts = name.split(".")[1:]
    ends = range(len(parts), 0, -1)
    return next((m for end in ends if (m := ".".join(parts[:end])) in NAMES), "__init__")


def test_imports_are_found_wherever_they_stand():
    code = """
if TYPE_CHECKING:
    from .training.fit import Progress
else:
    from .errors import DataError
import mrnn.words.text, torch
from mrnn import records, load
def late():
    from .images import encoders
    from .model.mrnn import MRNN
    from numpy import text
"""
    inside = {"errors", "words.text", "records", "images.encoders", "model.mrnn"}
    assert imported(code) == {*inside, "__init__"}


def test_imports_inside_a_folder_are_resolved():
    code = """
from . import flickr
from .lines import read_lines
from ..errors import DataError
from .. import records, load
from mrnn.datasets import DataSet
import mrnn.datasets.entries
"""
    inside = {"datasets.flickr", "datasets.lines", "errors", "records", "__init__"}
    expected = inside | {"datasets", "datasets.entries"}
    assert imported(code, SOURCE / "datasets" / "anything.py") == expected
    assert imported(code, SOURCE / "datasets" / "__init__.py") == expected
    assert imported("from .datasets import flickr, DataSet") == {"datasets.flickr", "datasets"}


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_districts_import_only_from_lower_ones(path):
    name = module_name(path)
    if name in ("__init__", "__main__"):
        return
    assert district(name) in LEVEL, f"{name}: give it a place in the table of ARCHITECTURE.md"
    own = LEVEL[district(name)]
    wrong = {
        m
        for m in imported(path.read_text(), path)
        if m != "__init__" and LEVEL[district(m)] >= own and district(m) != district(name)
    }
    assert not wrong, f"{name} imports {wrong}, which stand no lower"


def test_nothing_imports_in_circles():
    """Inside a district, too, files use each other downwards."""
    arrows = {module_name(p): imported(p.read_text(), p) for p in FILES}
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join((*above, module))
        if module not in done:
            for other in arrows[module] - {"__init__", module}:
                visit(other, (*above, module))
            done.add(module)

    for module in arrows:
        visit(module, ())


def test_every_district_of_the_table_exists():
    assert set(LEVEL) == {district(name) for name in NAMES} - {"__init__", "__main__"}


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_inference_has_nothing_to_do_with_pytorch(path):
    """The wall: PyTorch is imported, even lazily, only where the table says so."""
    name = module_name(path)
    home, *inside = name.split(".")
    allowed = PYTORCH.get(home, "no")
    is_free = allowed == "yes" or (inside and f"`{inside[0]}`" in allowed)
    names = imported_names(path.read_text(), path)
    assert is_free or not {name for name in names if name.split(".")[0] == "torch"}


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_files_are_short_and_named_by_what_they_hold(path):
    assert len(path.read_text().splitlines()) <= 500
    assert path.stem not in {"utils", "util", "misc", "helpers", "common"}


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_nothing_can_unpickle(path):
    forbidden = r"\b(import|from) _?c?pickle\b|weights_only\s*=\s*False|allow_pickle\s*=\s*True"
    assert not re.search(forbidden, path.read_text())


@pytest.mark.parametrize("module", ["mrnn", "mrnn.commands.cli"])
def test_importing_is_cheap(module):
    code = f"import sys, {module}; print(*sorted({{'torch', 'onnxruntime'}} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(SOURCE.parent)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""
