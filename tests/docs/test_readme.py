"""The README tells the truth about files, install lines and commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from mrnn.commands.cli import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_file_tree_is_the_real_one():
    tree = README.split("## The files")[1].split("```")[1]
    package = ROOT / "src" / "mrnn"
    folder, listed = package, []
    for indent, name in re.findall(r"^(  |    )(\S+)  ", tree, re.MULTILINE):
        folder = package if len(indent) == 2 else folder
        listed.append(folder / name)
        assert listed[-1].exists(), name
        folder = folder / name if name.endswith("/") else folder
    modules = {path for path in package.rglob("*.py") if not path.name.startswith("__")}
    assert {path for path in listed if path.suffix == ".py"} == modules
    for name in re.findall(r"^([\w./]+)  ", tree, re.MULTILINE):
        assert (ROOT / name).exists()


def test_the_install_lines_are_those_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text().replace("$(BIN)", ".venv/bin")
    line = ".venv/bin/pip install -c constraints.txt '.[demo]'"
    assert line in README
    assert line in makefile
    assert "'.[demo,serve,dev]'" in README
    assert "'.[demo,serve,dev]'" in makefile


@pytest.mark.parametrize("line", re.findall(r"^    mrnn (.*)$", README, re.MULTILINE))
def test_every_command_shown_exists_with_its_options(line):
    words = line.split("#")[0].split()
    command = typer.main.get_command(app).commands[words[0]]
    known = {option for parameter in command.params for option in parameter.opts}
    used = {word for word in words[1:] if word.startswith("-")}
    assert used <= known
