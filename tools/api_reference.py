"""Write the reference of the Python API as static pages: python tools/api_reference.py [FOLDER]

Nothing is fetched, neither now nor by the pages.
"""

import inspect
import re
import sys
import warnings
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path

import pdoc
from pdoc.doc_ast import walk_tree

TARGET = Path(__file__).parents[1] / "build" / "api"
MODULES = ("mrnn", "mrnn.datasets", "mrnn.server")  # what other programs are meant to use
_FIELD = re.compile(
    r"((?: {4}# .+\n)*) {4}(\w+): [^#\n]+?(?:  # (.+))?\n"
)  # comments above, beside


def explain_fields(data: type) -> None:
    """Have pdoc take the comments of a dataclass's fields for their docstrings."""
    found = walk_tree(data).var_docstrings
    for above, name, beside in _FIELD.findall(inspect.getsource(data)):
        if comment := " ".join([*re.findall("# (.+)", above), beside]).strip():
            found.setdefault(name, comment[0].upper() + comment[1:])


def write_pages(folder: Path) -> None:
    """Write a page a module: its public names with their docstrings, and an index."""
    for module in map(import_module, MODULES):
        for name in module.__all__:
            value = getattr(module, name)
            vars(module)[name] = value  # pdoc does not see what is found when it is used
            if is_dataclass(value):
                explain_fields(value)
    pdoc.render.configure(
        show_source=False, footer_text=f"mrnn {import_module('mrnn').__version__}"
    )
    others = "|".join(MODULES)
    pdoc.pdoc(*MODULES, rf"!(?!({others})$)", output_directory=folder)
    links = "".join(f'<li><a href="{m.replace(".", "/")}.html">{m}</a></li>' for m in MODULES)
    (folder / "index.html").write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>mrnn: the Python API</title>'
        f"<h1>mrnn: the Python API</h1><ul>{links}</ul></html>\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    warnings.simplefilter("error")
    target = Path(sys.argv[1]) if sys.argv[1:] else TARGET
    write_pages(target)
    print(target / "index.html")
