"""Commands as a person or a script runs them."""

from __future__ import annotations

from typer.testing import CliRunner

from mrnn.commands.cli import app


def run(*arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr
