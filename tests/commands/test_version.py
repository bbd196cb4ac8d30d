"""What the package shows of itself."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

import mrnn
from mrnn.commands.cli import app


def test_the_version_is_told():
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"mrnn {mrnn.__version__}\n")


def test_only_public_names_are_shown():
    assert sorted(dir(mrnn)) == sorted(mrnn.__all__)
    assert all(getattr(mrnn, name) is not None for name in dir(mrnn))
    assert (Path(mrnn.__file__).parent / "py.typed").exists()
