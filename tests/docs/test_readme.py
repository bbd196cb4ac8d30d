"""The README tells the truth about files and install lines, and its Python runs."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_tree_names_every_district_in_the_order_of_the_layers():
    tree = README.split("## Where things are")[1].split("```")[1]
    assert len(tree.strip().splitlines()) <= 25
    named = re.findall(r"^  (\w+)/ ", tree, re.MULTILINE)
    table = re.findall(r"^\| (`.+?) \|", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    layers = [name for row in table for name in re.findall(r"`(\w+)`", row)]
    package = ROOT / "src" / "mrnn"
    folders = {path.parent.name for path in package.rglob("__init__.py")} - {"mrnn"}
    assert named == [name for name in layers if name in named]
    assert set(named) == {name for name in folders if (package / name).is_dir()}
    for name in re.findall(r"^(?:  )?([\w./]+) ", tree, re.MULTILINE):
        assert (ROOT / name).exists() or (package / name).exists(), name


def test_the_install_lines_are_those_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text().replace("$(BIN)", ".venv/bin")
    for packages in (".", "--no-deps --no-compile scikit-image"):
        line = f".venv/bin/pip install -c constraints.txt {packages}"
        assert re.search(f"^    {re.escape(line)}(  |$)", README, re.MULTILINE)
        assert f"\t{line}\n" in makefile
    assert "'.[train,demo,serve,dev]'" in README
    assert "'.[train,demo,serve,dev]'" in makefile


def test_its_python_runs(tmp_path, picture, monkeypatch, capsys):
    for name in ("holiday.jpg", "a.jpg", "photos/b.jpg"):
        picture(name, seed=len(name))
    monkeypatch.chdir(tmp_path)
    [code] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert "failed: b.jpg: no such file" in lines
    assert lines[-1].startswith("1 ")
    assert f"photos{os.sep}b.jpg" in lines[-1]
