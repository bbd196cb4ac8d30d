"""A library survives what befalls it: kills, full disks, lost and damaged files."""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import mrnn
from libraries import dump, seeing
from mrnn.errors import DataError
from mrnn.library import describing, vectors
from mrnn.library.catalogue import Catalogue
from mrnn.library.image_index import CODES_FROM
from mrnn.library.library import Library
from mrnn.library.vectors import VectorStore

SENTENCE = "a dog runs in the snow"
TESTS = Path(__file__).parents[1]

# Updates a library in forked children, each of which kills itself at the n-th time that it opens,
# renames or removes a file or speaks to SQLite, until one comes to its end; then swaps two folders
# and does so again. Prints how many were killed, how many of them in the middle of a transaction,
# and the exit code of the last.
DRIVER = """
import json, os, signal, sqlite3, sys
import filelock  # whose own files are not to be counted
from libraries import seeing
from mrnn.library import describing
from mrnn.library.library import Library
describing.BATCH = 2
library, photos, later, kills = json.loads(sys.argv[1])
captioner = seeing()
captioner.identity, captioner.prior_terms
connect = sqlite3.connect
killed = halves = 0

def update(kill):
    count = 0
    def step(*_):
        nonlocal count
        count += 1
        if count == kill:
            os.kill(os.getpid(), signal.SIGKILL)
    def watch(event, details):
        if event in ("open", "os.rename", "os.remove", "os.mkdir", "sqlite3.connect"):
            step()
    def watched(*arguments, **options):
        connection = connect(*arguments, **options)
        connection.execute("PRAGMA synchronous = 0")
        connection.set_trace_callback(step)
        return connection
    sqlite3.connect = watched
    sys.addaudithook(watch)
    Library.open(library, captioner).add([photos])

for part in kills:
    for kill in [*part, None]:
        child = os.fork()
        if not child:
            update(kill)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            break
        killed += 1
        halves += os.path.exists(library + "/catalogue.sqlite-journal")
    os.rename(photos, photos + ".before")
    os.rename(later, photos)
    os.rename(photos + ".before", later)
print(killed, halves, os.WEXITSTATUS(status))
"""


def killed_again_and_again(
    library: Path, photos: Path, later: Path, kills: list[list[int]]
) -> tuple[int, int]:
    """How many processes were killed, and how many of them left half a transaction behind."""
    folders = os.pathsep.join([os.fspath(Path(mrnn.__file__).parents[1]), os.fspath(TESTS)])
    told = json.dumps([*map(str, (library, photos, later)), kills])
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, told],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": folders},
        check=True,
    )
    killed, halves, code = map(int, done.stdout.split())
    assert code == 0, done.stderr
    return killed, halves


@pytest.fixture(scope="module")
def sight():
    return seeing()


@pytest.fixture
def photos(picture, tmp_path):
    for i in range(22):
        picture(f"{i % 3}/{i}.png", seed=i, folder=tmp_path / "photos")
    shutil.copy(tmp_path / "photos/0/0.png", tmp_path / "photos/2/copy.png")
    (tmp_path / "photos/1/bad.jpg").write_text("not an image")
    return tmp_path / "photos"


@pytest.fixture
def library(sight, tmp_path):
    with Library.open(tmp_path / "library", sight) as opened:
        yield opened


@pytest.fixture
def in_twos(monkeypatch):
    """Parts of two pictures, as the driver has them."""
    monkeypatch.setattr(describing, "BATCH", 2)


def test_killed_anywhere_it_ends_as_if_it_had_not_been(library, photos, tmp_path, in_twos, picture):
    later = tmp_path / "later"
    shutil.copytree(photos, later)
    for i in range(6):
        (later / f"{i % 3}/{i}.png").rename(later / f"{i}.png")
    for i in range(9, 12):
        (later / f"{i % 3}/{i}.png").unlink()
        os.utime(picture(f"0/{i + 3}.png", seed=i + 30, folder=later), (i, i))
    library.add([photos])
    swap(photos, later)
    library.add([photos])
    swap(photos, later)
    then = np.random.default_rng(3).integers(20, 75, 6)
    kills = [[2, 7, 12, 17, *range(40, 80)], then.tolist()]
    killed, halves = killed_again_and_again(tmp_path / "killed", photos, later, kills)
    assert killed > 15
    assert halves > 2
    assert dump(tmp_path / "killed") == dump(library.path)
    names = {path.name for path in (tmp_path / "killed").iterdir()}
    assert names == {".lock", "catalogue.sqlite", "vectors"}


def swap(one: Path, other: Path) -> None:
    one.rename(one.with_suffix(".before"))
    other.rename(one)
    one.with_suffix(".before").rename(other)


class Stop(BaseException):
    """As if the process had ended here."""


def stopping(call: Callable[..., object], at: int, when: str) -> Callable[..., object]:
    """A call that stops everything at its n-th time."""
    times = itertools.count(1)

    def step(*arguments: object) -> object:
        now = next(times)
        if now == at and when == "before":
            raise Stop
        result = call(*arguments)
        if now == at:
            raise Stop
        return result

    return step


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("owner", "call"),
    [
        (VectorStore, "write"),
        (Catalogue, "add_contents"),
        (Catalogue, "put_files"),
        (Catalogue, "drop_files"),
        (Catalogue, "add_roots"),
        (Catalogue, "begin_anew"),
    ],
)
def test_stopped_at_every_write(sight, photos, tmp_path, monkeypatch, in_twos, owner, call, when):
    """The twin in one process: each step fails once at each time that it is taken."""
    paths = [photos / "0"]
    with Library.open(tmp_path / "whole", sight) as library:
        library.add(paths)
    known = getattr(owner, call)
    stops = 0
    for at in (1, 2, 4):
        with monkeypatch.context() as patched, Library.open(tmp_path / "part", sight) as library:
            patched.setattr(owner, call, stopping(known, at, when))
            try:
                library.add(paths)
            except Stop:
                stops += 1
    assert stops > 0
    with Library.open(tmp_path / "part", sight) as library:
        library.add(paths)
        assert len(library.search(SENTENCE, 100).found) == 8
    assert dump(tmp_path / "part") == dump(tmp_path / "whole")


@pytest.fixture
def disk(tmp_path):
    """A disk of 192 KiB; only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=192k", "tmpfs", os.fspath(folder)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a disk can be mounted by root only")
    yield folder
    subprocess.run(["umount", "-l", os.fspath(folder)], check=True)


@pytest.mark.parametrize("room", [0, 8, 20, 36, 40, 44, 48, 52, 56, 60, 72])
def test_a_full_disk(disk, sight, photos, tmp_path, room):
    with Library.open(tmp_path / "whole", sight) as whole:
        whole.add([photos / "0"])
        whole.add([photos])
    with Library.open(disk / "library", sight) as library:
        library.add([photos / "0"])
        before = library.search(SENTENCE)
        free = shutil.disk_usage(disk).free // 1024
        (disk / "other").write_bytes(b"x" * 1024 * max(0, free - room))
        assert add_or_fault(library, [photos]) in ("full", None if room else "full")
        assert len(library.search(SENTENCE, 100).found) >= len(before.found)
        (disk / "other").unlink()
        library.add([photos])
        assert library.search(SENTENCE) == whole.search(SENTENCE)
    assert dump(disk / "library") == dump(tmp_path / "whole")


@pytest.mark.parametrize("room", [0, 4, 12, 24, 40])
def test_a_disk_that_is_full_from_the_beginning(disk, sight, photos, room):
    free = shutil.disk_usage(disk).free // 1024
    (disk / "other").write_bytes(b"x" * 1024 * (free - room))
    with Library.open(disk / "library", sight) as library:
        assert add_or_fault(library, [photos]) == "full"
        (disk / "other").unlink()
        library.add([photos])
        assert len(library.search(SENTENCE, 100).found) == 22


def add_or_fault(library: Library, paths: list[Path]) -> str | None:
    try:
        library.add(paths)
    except DataError as error:
        message = str(error)
        if message.startswith(str(library.path)) and message.isprintable():
            said = ("No space left on device", "disk is full", "database or disk is full")
            return "full" if any(words in message for words in said) else message
        return message
    return None


def test_vectors_that_cannot_be_written(library, photos, sight, monkeypatch):
    """The same without a disk."""
    library.add([photos / "0"])
    kept = dump(library.path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(vectors.os, "fsync", full)
        with pytest.raises(DataError) as caught:
            library.add([photos])
    assert str(caught.value) == (
        f"{library.path}: cannot be written (No space left on device); what was done so far is "
        "kept: make room, and give the same command again"
    )
    library.remove([photos / "1"])  # the root that was asked for stays
    assert dump(library.path)["files"] == kept["files"]
    assert dump(library.path)["vectors"] == kept["vectors"]


def test_a_disk_that_may_only_be_read(disk, sight, photos):
    with Library.open(disk / "library", sight) as library:
        library.add([photos])
        expected = library.search(SENTENCE)
    mode = ["mount", "-o", "remount,ro", os.fspath(disk)]
    subprocess.run(mode, check=True)
    with Library.open(disk / "library", sight) as library:
        assert library.search(SENTENCE) == expected
        assert len(library.like(photos / "0/0.png").found) == 10
        for use in (lambda: library.add([photos]), lambda: library.remove([photos])):
            with pytest.raises(DataError, match="cannot be written") as caught:
                use()
            assert str(disk / "library") in str(caught.value)
    said = pytest.raises(DataError, match=r"new: cannot be written \(Read-only file system\)")
    with Library.open(disk / "new", sight) as library, said:
        library.add([photos])


@pytest.mark.parametrize("occupied", ["file", "folder"])
def test_somebody_else_s_place(library, photos, occupied):
    if occupied == "file":
        library.path.write_text("mine")
        said = r"library: cannot be written \(File exists\)"
    else:
        (library.path / "mine").mkdir(parents=True)
        said = "library: holds other files, and no library; name another folder"
    with pytest.raises(DataError, match=said):
        library.add([photos])
    assert library.path.is_file() == (occupied == "file")
    if occupied == "folder":
        assert [path.name for path in library.path.iterdir()] == ["mine"]


def test_hidden_files_do_not_make_a_folder_somebody_else_s(library, photos):
    library.path.mkdir()
    (library.path / ".DS_Store").touch()
    assert library.add([photos]).read == 22


@pytest.mark.parametrize("damage", ["missing", "empty", "short", "middle"])
def test_lost_vectors_are_named_and_computed_anew(library, photos, sight, damage, monkeypatch):
    monkeypatch.setattr(vectors, "SHARD_ROWS", 8)
    monkeypatch.setattr(VectorStore.__init__, "__defaults__", (8,))
    library.add([photos])
    library.remove([photos / "0/0.png", photos / "2/copy.png"])
    expected = library.search(SENTENCE, 100).found
    captions = {f.key: c for f, c in library.files()}
    shard = library.path / "vectors" / ("00001.f16" if damage == "middle" else "00002.f16")
    if damage in ("missing", "middle"):
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[: 3 if damage == "short" else 0])
    said = "missing" if damage in ("missing", "middle") else "cut short"
    with Library.open(library.path, sight) as other:
        for use in (lambda: other.search(SENTENCE), lambda: other.like(photos / "1/1.png")):
            with pytest.raises(DataError, match=rf"0000\d.f16: {said}; run mrnn index again"):
                use()
        done = other.add()
        assert done.read == {"middle": 9}.get(damage, 7)
        found = other.search(SENTENCE, 100).found
        assert {one.picture: one.logprob for one in expected}.items() <= {
            one.picture: one.logprob for one in found
        }.items()
        now = {f.key: c for f, c in other.files()}
        for key, content in captions.items():
            assert now[key].digest == content.digest
            assert now[key].caption == content.caption
        assert other.add().read == 0


def test_lost_vectors_of_pictures_elsewhere(library, photos):
    library.add([photos / "0"])
    library.add([photos / "1"])
    expected = library.search(SENTENCE, 100)
    shutil.rmtree(library.path / "vectors")
    library.remove([photos / "absent"])  # mends nothing, and loses nothing
    library.add([photos / "1"])
    assert library.search(SENTENCE, 100) == expected


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_catalogue_is_told_or_does_no_harm(library, photos, sight, seed):
    lots = random.Random(seed)
    library.add([photos / "0"])
    library.close()
    path = library.path / "catalogue.sqlite"
    content = bytearray(path.read_bytes())
    used = [at for at, byte in enumerate(content) if byte]
    for at in lots.choices(used, k=lots.choice([1, 3, 9])):
        content[at] = lots.choice([content[at] ^ 1 << lots.randrange(8), lots.randrange(256)])
    if seed % 5 == 0:
        del content[lots.randrange(len(content)) :]
    for use in (
        lambda: len(library.search(SENTENCE).found) <= 8,
        lambda: len(library.like(photos / "0/0.png").found) <= 8,
        lambda: library.add([photos / "0"]).files == 8,
        lambda: library.remove([photos / "0"]) <= 9,
    ):
        path.write_bytes(content)
        assert fault_or(use) is True
        library.close()


def fault_or(use) -> bool:
    try:
        return use()
    except DataError as error:
        return "catalogue" in str(error) or "made with another model" in str(error)


def test_codes_are_made_for_many_and_belong_to_the_pictures(library, photos, sight, monkeypatch):
    monkeypatch.setattr("mrnn.library.library.CODES_FROM", 20)
    assert CODES_FROM > 20
    library.add([photos])
    codes = library.path / "codes.safetensors"
    first = codes.read_bytes()
    every = library.search(SENTENCE, 100).found
    assert len(every) == 22
    library.add()
    assert codes.read_bytes() == first
    library.remove([photos / "0"])
    rest = [(one.picture, one.logprob) for one in library.search(SENTENCE, 100).found]
    gone = {photos / f"0/{i}.png" for i in range(3, 22, 3)}
    moved = {photos / "0/0.png": photos / "2/copy.png"}
    assert rest == [
        (moved.get(one.picture, one.picture), one.logprob)
        for one in every
        if one.picture not in gone
    ]
    codes.unlink()
    codes.write_bytes(first[:99])
    with Library.open(library.path, sight) as other:
        results = other.search(SENTENCE, 100)
        assert results.note.startswith(f"{codes}: damaged; ")
        assert "mrnn index" in results.note
        assert [(one.picture, one.logprob) for one in results.found] == rest
        other.add([photos / "1"])
        assert other.search(SENTENCE, 100).found == results.found
        assert other.search(SENTENCE, 100).note == ""
