"""Pictures by date and folder: what is browsed, and what filters leave."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrnn.images.finding import Member
from mrnn.library.catalogue import open_catalogue
from mrnn.library.contents import Content, File
from mrnn.library.timeline import EVERY, Dated, Filter, Timeline, read_timeline

FACTS = {"model": "m", "identity": "i", "precision": "8"}


def digest(number: int) -> bytes:
    return bytes([number]) * 32


def ns(text: str) -> int:
    """A local time as an mtime."""
    return int(datetime.fromisoformat(text).timestamp()) * 10**9


@pytest.fixture
def timeline(tmp_path):
    """Make a timeline of places, each with a content's number, its date and the file's time."""

    def make(roots, *places):
        path = tmp_path / "catalogue.sqlite"
        path.unlink(missing_ok=True)
        with closing(open_catalogue(path, FACTS)) as catalogue:
            contents = {n: Content(digest(n), n, (4, 3), taken=taken) for _, n, taken, _ in places}
            with catalogue.transaction():
                catalogue.add_roots(map(Path, roots))
                catalogue.add_contents(contents.values(), 256)
                catalogue.put_files([
                    File(Path(place) if isinstance(place, str) else place, 9, mtime, digest(n))
                    for place, n, _, mtime in places
                ])  # fmt: skip
            with catalogue.reading():
                return read_timeline(catalogue)

    return make


def numbers(pictures) -> list[int]:
    return [picture.digest[0] for picture in pictures]


def test_newest_first_by_exif_or_else_by_the_oldest_file(timeline):
    made = timeline(
        ["/p"],
        ("/p/a.jpg", 1, "2024-05-31T10:00:00", ns("2026-01-01T00:00:00")),
        ("/p/b.jpg", 2, "", ns("2025-03-04T05:06:07")),
        ("/p/copy.jpg", 2, "", ns("2024-12-24T18:00:00")),
        ("/p/c.jpg", 3, None, ns("2023-01-01T12:00:00")),
        ("/p/d.jpg", 4, "2024-05-31T10:00:01", None),
        ("/p/e.jpg", 5, "", -5),
    )
    found = made.among(EVERY)
    assert numbers(found) == [2, 4, 1, 3, 5]
    assert [(p.when, p.is_taken) for p in found[:3]] == [
        ("2024-12-24T18:00:00", False),
        ("2024-05-31T10:00:01", True),
        ("2024-05-31T10:00:00", True),
    ]
    assert made.months == {"2024-12": 1, "2024-05": 2, "2023-01": 1, found[4].when[:7]: 1}
    assert made.of(digest(3)) is found[3]
    assert made.of(digest(9)) is None


def test_both_days_of_a_filter_count_and_folders_have_what_lies_below(timeline):
    made = timeline(
        ["/p"],
        ("/p/2024/Rome/a.jpg", 1, "2024-05-31T00:00:00", 0),
        ("/p/2024/b.jpg", 2, "2024-05-31T23:59:59", 0),
        ("/p/2024 b/c.jpg", 3, "2024-06-01T00:00:00", 0),
        ("/p/d.jpg", 4, "2024-05-30T23:59:59", 0),
        ("/p/2023/d.jpg", 4, "2024-05-30T23:59:59", 0),
    )
    last = date(2024, 5, 31)
    assert numbers(made.among(Filter(last, last))) == [2, 1]
    assert numbers(made.among(Filter(since=last))) == [3, 2, 1]
    assert numbers(made.among(Filter(until=date(2024, 5, 30)))) == [4]
    assert numbers(made.among(Filter(folder="2024"))) == [2, 1]
    assert numbers(made.among(Filter(last, folder="2024/Rome"))) == [1]
    assert numbers(made.among(Filter(folder="2023"))) == [4]
    assert numbers(made.among(Filter(folder="202"))) == []
    assert made.rows(Filter(folder="2024")).tolist() == [1, 2]
    assert made.folders == {"2023": 1, "2024": 2, "2024/Rome": 1, "2024 b": 1}


def test_folders_are_named_from_what_was_indexed_on(timeline, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ann"))
    shard = Path("/home/ann/s.tar")
    places = [
        ("/home/ann/Photos/2024/a.jpg", 1),
        ("/mnt/b/Photos/b.jpg", 2),
        ("/mnt/b/Photos/x/c.jpg", 3),
        ("/home/ann/d.jpg", 4),
        (Member(shard, "../../etc/./e.jpg", 0, 9), 5),
        (os.fsdecode(b"/mnt/b/Photos/\xff\x1b/f.jpg"), 6),
    ]
    roots = ["/home/ann/Photos", "/mnt/b/Photos", "/mnt/b/Photos/x", "/home/ann/d.jpg", str(shard)]
    made = timeline(roots, *((place, n, "", 0) for place, n in places))
    told = {picture.digest[0]: picture.folders for picture in made.among(EVERY)}
    assert told == {
        1: ("Photos/2024",),
        2: ("Photos (2)",),
        3: ("Photos (2)/x",),
        4: ("",),
        5: ("s.tar/etc",),
        6: ("Photos (2)/\\xff\\x1b",),
    }
    one = timeline(["/home/ann"], ("/home/ann/a.jpg", 1, "", 0), ("/home/ann/b/c.jpg", 2, "", 0))
    assert one.folders == {"b": 1}
    home = timeline(["/home/ann", "/mnt"], ("/home/ann/a.jpg", 1, "", 0), ("/mnt/c.jpg", 2, "", 0))
    assert home.folders == {"home": 1, "mnt": 1}


DAYS = st.dates(date(2024, 1, 1), date(2024, 1, 9))
FOLDERS = st.sampled_from(["", "a", "a/b", "ab"])


@given(
    st.lists(st.tuples(DAYS, FOLDERS), max_size=9),
    st.none() | DAYS,
    st.none() | DAYS,
    st.none() | FOLDERS,
)
def test_filters_are_those_of_the_dumb_twin(pictures, since, until, folder):
    made = Timeline(
        [
            Dated(i, digest(i), f"{day.isoformat()}T12:00:00", True, (place,))
            for i, (day, place) in enumerate(pictures)
        ],
        "vectors",
        True,
        lambda key: "",
    )
    expected = [
        i
        for i, (day, place) in enumerate(pictures)
        if (since is None or day >= since)
        and (until is None or day <= until)
        and (not folder or (place + "/").startswith(folder + "/"))
    ]
    assert made.rows(Filter(since, until, folder)).tolist() == expected
    assert sum(made.months.values()) == len(pictures)
