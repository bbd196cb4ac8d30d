"""docs/photo-search.md does what it says: its commands and its Python are run, in their order."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mrnn.commands.cli import app
from mrnn.library import watching

PAGE = (Path(__file__).parents[2] / "docs" / "photo-search.md").read_text()
COMMANDS = re.findall(r"^    mrnn (.*)$", PAGE, re.MULTILINE)


@pytest.fixture
def folder(tmp_path, picture, monkeypatch):
    for name, seed in (("a", 1), ("b", 2), ("copy of b", 2), ("private/c", 3)):
        picture(f"photos/{name}.jpg", seed)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no picture")
    picture("holiday.jpg", seed=2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_of_the_page(folder, monkeypatch):
    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(
        watching, "watch", partial(watching.watch, wait=interrupted, now=lambda: 1e10)
    )
    monkeypatch.setenv("MRNN_LIBRARY", "photos.library")  # as the page has it
    assert [shlex.split(line)[0] for line in COMMANDS] == [
        *("index", "search", "search", "index", "index", "index", "search", "search", "search")
    ]
    outputs = []
    for line, code in zip(COMMANDS, (3, 0, 0, 0, 0, 130, 0, 0, 0), strict=True):
        result = CliRunner().invoke(app, shlex.split(line))
        assert result.exit_code == code, result.output
        outputs.append(result.output)
    assert "5 new" in outputs[0]
    assert "broken.jpg: not an image" in outputs[0]
    assert "3 distinct pictures in 5 files, 1 of them cannot be read" in outputs[3]
    assert "0 new" in outputs[3]
    assert outputs[1] == outputs[2]
    assert "1 files taken out, 4 left" in outputs[4]
    assert "1 new" in outputs[5]  # it was taken out, and lies there
    assert "found.html" in outputs[6]
    assert (folder / "found.html").read_text().count("<img ") == 3
    first = outputs[7].splitlines()[1]
    assert "1.000" in first
    assert "b.jpg (and 1 more of it)" in first
    [only] = [line for line in outputs[8].splitlines() if ".jpg" in line]
    assert "photos/private/c.jpg: " in only


def test_the_python_of_the_page(folder):
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, "photo-search.md", "exec"), {})
    lines = output.getvalue().splitlines()
    assert lines[0].startswith("5 0 0 0 ")
    assert [line.split()[0] for line in lines[1:4]] == ["1", "2", "3"]
    assert lines[4] == "()"
    assert lines[5].startswith("[1.0") or lines[5].startswith("[0.99")
