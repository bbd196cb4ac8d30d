"""A library that is watched: what comes, goes and is still being copied, without waiting."""

from __future__ import annotations

import shutil

import pytest

from libraries import seeing
from mrnn.errors import DataError
from mrnn.library import watching
from mrnn.library.library import Library
from mrnn.library.watching import PAUSE, watch

LATER = 1e10  # a clock by which all files are old


class OverError(Exception):
    """No more events."""


@pytest.fixture
def library(tmp_path):
    with Library.open(tmp_path / "library", seeing()) as opened:
        yield opened


@pytest.fixture
def photos(picture, tmp_path):
    picture("photos/a.png", seed=1)
    return tmp_path / "photos"


def told(library, photos, *events, clock=LATER):
    """What is done while one event after the other happens in the pauses."""
    pending = iter(events)
    pauses = []

    def wait(seconds):
        pauses.append(seconds)
        event = next(pending, None)
        if event is None:
            raise OverError
        event()

    found: list = []
    with pytest.raises(OverError):
        found.extend(watch(library, wait, lambda: clock, paths=[photos]))
    assert min(pauses) >= PAUSE
    return found


def nothing():
    """A pause in which nothing happens."""


def figures(done):
    return done.new, done.changed, done.deleted


def names(library):
    return sorted(file.picture.name for file, _ in library.files())


def test_what_comes_changes_and_goes(library, photos, picture):
    found = told(
        library,
        photos,
        nothing,
        nothing,
        lambda: picture("photos/sub/b.png", seed=2),
        nothing,
        lambda: picture("photos/a.png", seed=3),
        nothing,
        lambda: shutil.rmtree(photos / "sub"),
        nothing,
    )
    done = [figures(update) for update in found]
    assert done == [(1, 0, 0), (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    assert names(library) == ["a.png"]


def test_a_file_that_is_still_being_copied_is_waited_for(library, photos, tmp_path, picture):
    content = picture("whole.png", seed=4).read_bytes()
    target = photos / "b.png"

    def copy(part):
        with target.open("ab") as file:
            file.write(part)

    parts = [
        content[i : i + len(content) // 5 + 1]
        for i in range(0, len(content), len(content) // 5 + 1)
    ]
    found = told(library, photos, nothing, *(lambda p=part: copy(p) for part in parts), nothing)
    assert [figures(update) for update in found] == [(1, 0, 0), (0, 0, 0), (1, 0, 0)]
    assert not any(update.errors for update in found)
    assert not library.unreadable()


def test_what_was_known_stays_while_it_is_written_anew(library, photos, picture):
    other = picture("other.png", seed=5).read_bytes()
    known = []

    def write(size):
        (photos / "a.png").write_bytes(other[:size])
        known.append({file.picture.name: content.digest for file, content in library.files()})

    found = told(
        library,
        photos,
        nothing,
        lambda: picture("photos/b.png", seed=6),
        *(lambda size=size: write(size) for size in (40, 60, 80, 100)),
    )
    assert [figures(update) for update in found] == [(1, 0, 0), (0, 0, 0), (1, 0, 0)]
    assert [list(one) for one in known] == [
        ["a.png"],
        ["a.png", "b.png"],
        *[["a.png", "b.png"]] * 2,
    ]
    assert len({one["a.png"] for one in known}) == 1


@pytest.mark.parametrize("seconds", [PAUSE / 2, -3600])  # the latter: a server's clock is ahead
def test_at_first_the_clock_tells_what_is_still_being_copied(library, photos, seconds):
    changed = max((photos / "a.png").stat().st_ctime, (photos / "a.png").stat().st_mtime)
    found = told(library, photos, nothing, nothing, clock=changed + seconds)
    assert [figures(update) for update in found] == [(0, 0, 0), (1, 0, 0)]


def test_what_is_moved_is_told_as_moved(library, photos):
    found = told(
        library,
        photos,
        nothing,
        nothing,
        lambda: (photos / "a.png").rename(photos / "b.png"),
        nothing,
    )
    [*_, last] = found
    assert (last.new, last.moved, last.deleted, last.read) == (1, 1, 0, 0)
    assert names(library) == ["b.png"]


def test_a_bad_file_ends_nothing(library, photos, picture):
    def bad():
        (photos / "bad.jpg").write_text("no picture")

    found = told(library, photos, bad, nothing, lambda: picture("photos/c.png", seed=6), nothing)
    assert [len(update.errors) for update in found] == [0, 0, 1, 0]
    assert names(library) == ["a.png", "bad.jpg", "c.png"]


def test_what_fails_is_tried_again(library, photos, picture, monkeypatch):
    add, calls = library.add, []

    def held(**how):
        calls.append(how)
        if len(calls) in (2, 3):
            raise DataError("another process adds to this library; wait for it")
        return add(**how)

    monkeypatch.setattr(library, "add", held)
    found = told(library, photos, nothing, nothing, nothing, nothing)
    assert [type(done) for done in found[1:3]] == [DataError, DataError]
    assert figures(found[3]) == (0, 0, 0)
    assert len(calls) == 4  # and no more: there was nothing to do


def test_an_error_at_first_is_the_caller_s(library, tmp_path):
    with pytest.raises(DataError, match="absent: no such file or folder"):
        next(watch(library, paths=[tmp_path / "absent"]))
    assert not (tmp_path / "library").exists()


def test_nothing_is_written_where_nothing_happens(library, photos):
    versions = []
    told(
        library, photos, *[nothing] * 3, *[lambda: versions.append(library.catalogue.version())] * 4
    )
    assert len(set(versions)) == 1


@pytest.mark.parametrize("fails", [False, True])
def test_the_pause_grows_with_what_a_look_costs_alone(library, photos, picture, monkeypatch, fails):
    """An update of an hour, or one who takes an hour to read of it, makes no pause of a day."""
    clock = [0.0]
    add, look = library.add, watching._look

    def adding(*given, **how):
        clock[0] += 3600
        return add(*given, **how)

    def looking(*given):
        clock[0] += 2
        if fails:
            raise DataError("the disk is away")
        return look(*given)

    pauses: list[float] = []
    done: list = []

    def wait(seconds):
        pauses.append(seconds)
        picture("photos/b.png", seed=2)
        if len(pauses) == 4:
            raise OverError

    def read(news):
        clock[0] += 3600
        done.append(news)

    monkeypatch.setattr(watching.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(library, "add", adding)
    monkeypatch.setattr(watching, "_look", looking)
    with pytest.raises(OverError):
        list(map(read, watch(library, wait, lambda: LATER, paths=[photos])))
    assert len(done) == (5 if fails else 2)
    assert pauses == [40] * 4
