"""Chunks of files that the workers of a cluster describe, and the ledger of those that are done.

A chunk's outcome is one file in a folder that all machines share, written as a whole: what is there
is done. Its name tells what it is the outcome of, so that whoever resumes takes it, or leaves it:

    <first file>-<number of files>-<SHA-256 of files, model and captions>.safetensors

    header     what became of each file, and the contents found, as JSON, with a digest of all
    vectors    (n, M) fp16, of the contents without a fault, in their order

Dimension key: n new pictures of a chunk, M multimodal layer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..files import write_whole
from .contents import Content, Fault, File
from .describing import Described

CHUNK = 256  # files: some seconds of a processor
_SUFFIX = ".safetensors"
_FORMAT = 2


@dataclass(frozen=True)
class Chunk:
    """Files that are described together, in their order."""

    name: str  # of its outcome
    files: tuple[File, ...]


class Ledger:
    """The folder of the outcomes of one model: workers write, the driver reads and removes."""

    def __init__(self, folder: Path, identity: str, with_captions: bool, dimension: int) -> None:
        self._folder = folder
        self._kind = json.dumps([_FORMAT, identity, with_captions])
        self._dimension = dimension

    def cut(self, files: Sequence[File], size: int = CHUNK) -> Iterator[tuple[Chunk, bool]]:
        """Files as chunks of at most `size`, in order, each with whether it is done.

        Those that lie in the folder now, of an earlier run, are cut out as they were, wherever
        they begin: files that came or went before them do not matter.
        """
        there = self._there()
        fresh: list[File] = []
        position = 0
        while position < len(files):
            done = self._done_at(files, position, there) if there else None
            if fresh and (done or len(fresh) == size):
                yield self.chunk(fresh), False
                fresh = []
            if done:
                yield done, True
                position += len(done.files)
            else:
                fresh.append(files[position])
                position += 1
        if fresh:
            yield self.chunk(fresh), False

    def chunk(self, files: Sequence[File]) -> Chunk:
        """The chunk of some files, as they were when they were last looked at."""
        hasher = hashlib.sha256(self._kind.encode())
        for file in files:
            hasher.update(_stamp(file))
        return Chunk(f"{_first(files[0])}-{len(files)}-{hasher.hexdigest()}{_SUFFIX}", tuple(files))

    def write(self, chunk: Chunk, described: Described) -> None:
        """Put down what became of a chunk, as a whole or not at all; raises OSError."""
        outcome = {
            "chunk": chunk.name,
            "files": [[_hex(file.digest), file.fault] for file in described.files],
            "contents": [
                [c.digest.hex(), c.size, c.caption, c.fault, c.taken] for c in described.contents
            ],
        }
        text, vectors = json.dumps(outcome), np.ascontiguousarray(described.vectors)
        metadata = {"outcome": text, "digest": _digest(text, vectors)}
        write_whole(self._folder / chunk.name, save({"vectors": vectors}, metadata))

    def read(self, chunk: Chunk) -> Described | None:
        """What became of a chunk; None where that is not there, or damaged in any way."""
        try:
            content = (self._folder / chunk.name).read_bytes()
            vectors = load(content)["vectors"]
            length = int.from_bytes(content[:8], "little")
            header = json.loads(content[8 : 8 + length])["__metadata__"]
            is_whole = header["digest"] == _digest(header["outcome"], vectors)
            described = _described(chunk, json.loads(header["outcome"]), vectors)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError):
            return None
        sound = sum(content.fault is None for content in described.contents)
        fits = vectors.dtype == np.float16 and vectors.shape == (sound, self._dimension)
        return described if is_whole and fits else None

    def remove(self, chunk: Chunk) -> None:
        """Forget a chunk that is safe elsewhere, or that was not what it should be."""
        (self._folder / chunk.name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all that is left of this and earlier runs, and the folder."""
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if path.name.removesuffix(".new").endswith(_SUFFIX):
                    path.unlink(missing_ok=True)
            with suppress(OSError):  # somebody keeps something else there
                self._folder.rmdir()

    def _there(self) -> dict[str, set[str]]:
        """Names of what is done, by what they say of their first file."""
        there: dict[str, set[str]] = {}
        if self._folder.is_dir():
            for path in self._folder.glob(f"*{_SUFFIX}"):
                there.setdefault(path.name.partition("-")[0], set()).add(path.name)
        return there

    def _done_at(
        self, files: Sequence[File], position: int, there: dict[str, set[str]]
    ) -> Chunk | None:
        """The chunk that begins here and is done."""
        for name in sorted(there.get(_first(files[position]), ())):
            count = name.split("-")[1]
            if count.isdecimal() and int(count) > 0:
                chunk = self.chunk(files[position : position + int(count)])
                if chunk.name == name:
                    return chunk
        return None


def _stamp(file: File) -> bytes:
    """What a file is known by again."""
    return json.dumps([len(file.key), *file.marks]).encode() + file.key


def _first(file: File) -> str:
    return hashlib.sha256(_stamp(file)).hexdigest()[:16]


def _digest(text: str, vectors: np.ndarray) -> str:
    return hashlib.sha256(text.encode() + vectors.tobytes()).hexdigest()


def _described(chunk: Chunk, outcome: Any, vectors: np.ndarray) -> Described:
    """An outcome from JSON; raises what not fitting values raise."""
    if outcome["chunk"] != chunk.name:
        raise ValueError("the outcome of another chunk")
    files = [
        replace(file, digest=None if digest is None else bytes.fromhex(digest), fault=_fault(fault))
        for file, (digest, fault) in zip(chunk.files, outcome["files"], strict=True)
    ]
    contents = [
        Content(
            bytes.fromhex(digest),
            size=size and (size[0], size[1]),
            caption=caption and (caption[0], caption[1]),
            fault=_fault(fault),
            taken=taken,
        )
        for digest, size, caption, fault, taken in outcome["contents"]
    ]
    return Described(files, contents, vectors)


def _fault(values: Sequence[str] | None) -> Fault | None:
    return None if values is None else (values[0], values[1])


def _hex(digest: bytes | None) -> str | None:
    return None if digest is None else digest.hex()
