"""Write docs/cli.md from the commands: python tools/cli_reference.py [--print]"""

import re
import subprocess
import sys
from pathlib import Path

TARGET = Path(__file__).parents[1] / "docs" / "cli.md"


def reference() -> str:
    """The reference in Markdown, as Typer writes it, but for first sentences that it breaks off."""
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
    text = made.stdout.rstrip() + "\n"
    sections = re.findall(r"^## `mrnn (\S+)`\n\n(.+?\.)\s", text, re.MULTILINE | re.DOTALL)
    for name, sentence in sections:
        begun = re.search(rf"^\* `{name}`: .*$", text, re.MULTILINE)
        text = text.replace(begun[0], f"* `{name}`: {' '.join(sentence.split())}", 1)
    return text


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        print(reference(), end="")
    else:
        TARGET.write_text(reference(), encoding="utf-8")
