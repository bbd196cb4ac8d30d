"""docs/captions-in-files.md shows commands that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from mrnn.commands.cli import app

PAGE = (Path(__file__).parents[2] / "docs" / "captions-in-files.md").read_text()
OPTIONS = {
    option
    for parameter in typer.main.get_command(app).commands["caption"].params
    for option in parameter.opts
}


@pytest.mark.parametrize("line", re.findall(r"mrnn caption (.*)$", PAGE, re.MULTILINE))
def test_the_options_of_commands_exist(line):
    used = {word for word in line.split("#")[0].split() if word.startswith("-") and word != "-"}
    assert used <= OPTIONS


def test_every_place_is_told():
    places = ("--csv", "--sidecar", "--sidecar-suffix", "--xmp", "--xmp-name", "--embed")
    assert set(places) <= OPTIONS
    assert all(f"`{place}`" in PAGE or f"`{place} " in PAGE for place in places)
