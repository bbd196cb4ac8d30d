"""Write a file as a whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Write under another name, then rename; raises OSError and leaves nothing.

    Text is written as UTF-8. Bytes are on the disk before they get the name: those are the files
    that take long to make again.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)  # of a run that was killed
        with fresh.open("xb") as file:  # never through a link
            file.write(content.encode() if isinstance(content, str) else content)
            if isinstance(content, bytes):
                file.flush()
                os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
