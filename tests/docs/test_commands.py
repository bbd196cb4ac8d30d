"""Commands that the pages show exist, with their options."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from mrnn.commands.cli import app
from mrnn.speed.benchmark import RETRIEVAL_ROWS, ROWS

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "docs" / "cli.md"
PAGES = [ROOT / "README.md", *sorted(set(ROOT.glob("docs/*.md")) - {GENERATED})]


def shown(page: Path) -> list[str]:
    """Its command lines; a backslash at the end of one joins the next."""
    text = page.read_text().replace("\\\n", " ")
    return re.findall(r"^    (?:\w+=\S+ )*mrnn (.*)$", text, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_shown_exists_with_its_options(page):
    commands = typer.main.get_command(app).commands
    for line in shown(page):
        words = line.split("#")[0].replace("[", "").replace("]", "").split()
        if words[0] in ("--version", "--help", "--install-completion"):
            continue
        known = {o for parameter in commands[words[0]].params for o in parameter.opts}
        used = {word.split("=")[0] for word in words[1:] if re.match("--?[a-z]", word)}
        assert used <= known, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_row_of_the_benchmark_that_is_shown_exists(page):
    for line in shown(page):
        words = line.split("#")[0].split(" --")[0].split()
        assert words[0] != "benchmark" or set(words[1:]) <= {*ROWS, *RETRIEVAL_ROWS}, line
