"""Text files: captions and lists line by line, sentences without pictures.

A line ends as on Unix, Windows or an old Mac, with a carriage return alone: nowhere else.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from ..errors import DataError
from ..images.finding import printable
from ..words.text import tokenise
from .captions import MOST_CHARACTERS, MOST_WORDS, plain
from .examples import Problem

_LONGEST = 1 << 20  # characters of a line
_END = re.compile("\r\n|\n|\r")


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a caption file with their numbers from 1, those that are blank left out.

    Bytes that are not UTF-8 become lone surrogates, so that only their own caption need be
    skipped. Raises DataError when the file cannot be read, is UTF-16 or has no line.
    """
    found = False
    try:
        with path.open("rb") as file:
            _refuse_utf_16(path, file)
            text = io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="")
            for number, line in enumerate(_bounded(text), 1):
                line = line.removeprefix("\ufeff") if number == 1 else line  # noqa: PLW2901
                if line.strip():
                    found = True
                    yield number, line
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read ({error.strerror})") from None
    if not found:
        raise DataError(f"{printable(path)}: the file is empty")


def read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 text file; raises DataError for an empty or undecodable one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read ({error.strerror})") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len(split_lines(content[: error.start].decode()))
        raise DataError(
            f"{printable(path)}:{line}: not UTF-8 (byte 0x{content[error.start]:02x}); "
            "save the file as UTF-8"
        ) from None
    lines = split_lines(text)
    if not any(line.strip() for line in lines):
        raise DataError(f"{printable(path)}: the file is empty")
    return lines


def split_lines(text: str) -> list[str]:
    """The lines of a text, without their ends."""
    return _END.split(text)


def read_sentences(path: Path) -> tuple[list[str], list[Problem]]:
    """Distinct sentences of a text file, one a line, in order.

    Lines without words are left out, repeated ones taken once; a line that is not UTF-8, or longer
    than a caption may be, is a Problem. Raises DataError when the file cannot be read or nothing is
    left.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read ({error.strerror})") from None
    if b"\0" in content:
        raise DataError(f"{printable(path)}: not UTF-8 text, perhaps UTF-16; save it as UTF-8")
    sentences: dict[str, None] = {}
    problems = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        place = f"{printable(path)}:{number}"
        try:
            sentence = plain(line.decode())
        except UnicodeDecodeError as error:
            byte = line[error.start]
            problems.append(Problem(place, f"not UTF-8 (byte 0x{byte:02x}); line skipped"))
            continue
        if len(sentence) > MOST_CHARACTERS or len(words := tokenise(sentence)) > MOST_WORDS:
            problems.append(Problem(place, f"longer than {MOST_WORDS:,} words; line skipped"))
        elif words:
            sentences[sentence] = None
    if not sentences:
        raise DataError(f"{printable(path)}: no sentence in the file; expected one a line, UTF-8")
    return list(sentences), problems


def _bounded(file: TextIO) -> Iterator[str]:
    """Lines with their ends, cut off where they are longer than any caption could be."""
    while line := file.readline(_LONGEST):
        rest = line
        while not rest.endswith(("\n", "\r")) and (rest := file.readline(_LONGEST)):
            pass
        yield line


def _refuse_utf_16(path: Path, file: BinaryIO) -> None:
    start = file.read(1000)
    file.seek(0)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff") or start.count(0) * 4 > len(start):
        raise DataError(f"{printable(path)}: not UTF-8 text, perhaps UTF-16; save it as UTF-8")
