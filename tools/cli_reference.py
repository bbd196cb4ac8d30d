"""Write docs/cli.md from the commands: python tools/cli_reference.py [--print]"""

import subprocess
import sys
from pathlib import Path

TARGET = Path(__file__).parents[1] / "docs" / "cli.md"


def reference() -> str:
    """The reference in Markdown, as Typer writes it."""
    command = [
        sys.executable,
        "-m",
        "typer",
        "mrnn.commands.cli",
        "utils",
        "docs",
        "--name",
        "mrnn",
    ]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    return made.stdout.rstrip() + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        print(reference(), end="")
    else:
        TARGET.write_text(reference(), encoding="utf-8")
