"""Commands as a person or a script runs them."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import jsonschema
from typer.testing import CliRunner

from mrnn.commands.cli import app

ROOT = Path(__file__).parents[1]
WITH_SRC = {**os.environ, "PYTHONPATH": str(ROOT / "src")}  # for processes: what is tested here


def run(*arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def document(command: str, text: str) -> dict:
    """The JSON of a command, checked against its schema."""
    found = json.loads(text)
    schema = json.loads((ROOT / "docs" / "schemas" / f"{command}.json").read_text())
    jsonschema.validate(found, schema, jsonschema.Draft202012Validator)
    return found


def in_a_terminal(*arguments: object) -> tuple[str, str]:
    """Stdout, a pipe, and what a terminal at stderr showed of a command."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mrnn", *map(str, arguments)]
    environment = {**WITH_SRC, "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=theirs, text=True
    ) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # what Linux says at the end of a terminal
            while part := os.read(ours, 4096):
                shown += part
        out = process.stdout.read()
    os.close(ours)
    return out, shown.decode(errors="replace")
