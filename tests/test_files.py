"""Files written whole, and folders held against other processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from mrnn.files import LOCK, held, write_whole

_HOLDER = """
import sys
from pathlib import Path
from mrnn.files import held
with held(Path(sys.argv[1])) as is_held:
    print(is_held, flush=True)
    sys.stdin.readline()
"""
_WRITER = """
import sys
from pathlib import Path
from mrnn.files import held
folder = Path(sys.argv[1])
for _ in range(20):
    with held(folder, wait=True):
        number = int((folder / "number").read_text())
        (folder / "number").write_text("")
        (folder / "number").write_text(str(number + 1))
"""


_REWRITER = """
import sys
from pathlib import Path
from mrnn.files import write_whole
path = Path(sys.argv[1]) / "a"
for number in range(150):
    write_whole(path, str(number % 10) * 100_000)
    content = path.read_text()
    assert len(content) == 100_000 and len(set(content)) == 1
"""


def started(program: str, folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    command = [sys.executable, "-c", program, str(folder)]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@contextmanager
def another(folder: Path):
    """Another process that holds the folder, until it is told to end or is killed."""
    with started(_HOLDER, folder) as process:
        assert process.stdout.readline() == "True\n"
        try:
            yield process
        finally:
            process.kill()


def is_free(folder: Path) -> bool:
    with held(folder) as is_held:
        return is_held


def test_a_folder_is_held_against_another_process(tmp_path):
    with another(tmp_path) as process:
        assert not is_free(tmp_path)
        process.communicate("\n")
        assert is_free(tmp_path)


def test_and_against_oneself(tmp_path):
    with held(tmp_path) as first, held(tmp_path) as second:
        assert (first, second) == (True, False)
        assert not is_free(tmp_path)
    assert is_free(tmp_path)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_lets_go(tmp_path, sent):
    with another(tmp_path) as process:
        process.send_signal(sent)
        process.wait()
        assert is_free(tmp_path)


def test_what_goes_wrong_inside_lets_go_and_is_raised(tmp_path):
    with pytest.raises(KeyError), held(tmp_path):
        raise KeyError
    assert is_free(tmp_path)


def test_who_waits_gets_in_when_the_other_has_ended(tmp_path):
    with another(tmp_path) as process:
        process.stdin.write("\n")
        process.stdin.flush()
        with held(tmp_path, wait=True) as is_held:
            assert is_held


def test_who_wait_take_turns(tmp_path):
    """Two processes add to a number in a file: no addition is lost."""
    (tmp_path / "number").write_text("0")
    writers = [started(_WRITER, tmp_path) for _ in range(2)]
    for writer in writers:
        writer.communicate(timeout=60)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert (tmp_path / "number").read_text() == "40"


def test_a_lock_that_was_left_is_no_obstacle(tmp_path):
    (tmp_path / LOCK).write_text("of an older version")
    assert is_free(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]


def test_a_folder_that_cannot_be_written_is_an_error_at_once(tmp_path, monkeypatch):
    opened = os.open

    def read_only(path, flags, *mode, **options):
        if os.fspath(path).startswith(str(tmp_path)):
            raise OSError(30, "Read-only file system", path)
        return opened(path, flags, *mode, **options)

    monkeypatch.setattr(os, "open", read_only)
    for wait in (False, True):
        before = time.monotonic()
        with pytest.raises(OSError, match="Read-only file system"), held(tmp_path, wait):
            pytest.fail("it was not held")
        assert time.monotonic() - before < 10


def test_a_file_is_written_whole(tmp_path):
    write_whole(tmp_path / "a.txt", "h\xe9\n")
    write_whole(tmp_path / "b.bin", b"\x00\xff")
    assert (tmp_path / "a.txt").read_bytes() == b"h\xc3\xa9\n"
    assert (tmp_path / "b.bin").read_bytes() == b"\x00\xff"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.bin"]


@pytest.mark.parametrize("content", ["new", b"new"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, content):
    (tmp_path / "a").write_text("old")

    def replace(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "a", content)
    assert (tmp_path / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_two_that_write_a_file_disturb_each_other_not(tmp_path):
    writers = [started(_REWRITER, tmp_path) for _ in range(2)]
    for writer in writers:
        writer.communicate(timeout=60)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_nobody_may_list_is_written_all_the_same(tmp_path, monkeypatch):
    def closed(path, flags, *mode, **options):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "open", closed)
    write_whole(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"
