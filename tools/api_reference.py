"""Write the reference of the Python API as static pages: python tools/api_reference.py [FOLDER]

Nothing is fetched, neither now nor by the pages.
"""

import sys
import warnings
from importlib import import_module
from pathlib import Path

import pdoc

TARGET = Path(__file__).parents[1] / "build" / "api"
MODULES = ("mrnn", "mrnn.datasets", "mrnn.server")  # what other programs are meant to use


def write_pages(folder: Path) -> None:
    """Write a page a module: its public names with their docstrings, and an index."""
    for module in map(import_module, MODULES):
        for name in module.__all__:  # pdoc does not see names that are found when they are used
            vars(module)[name] = getattr(module, name)
    pdoc.render.configure(
        show_source=False, footer_text=f"mrnn {import_module('mrnn').__version__}"
    )
    others = "|".join(MODULES)
    pdoc.pdoc(*MODULES, rf"!(?!({others})$)", output_directory=folder)


if __name__ == "__main__":
    warnings.simplefilter("error")
    target = Path(sys.argv[1]) if sys.argv[1:] else TARGET
    write_pages(target)
    print(target / "index.html")
