"""Scanning: what lies under some paths, whatever is odd about it."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from dataset_layouts import jpeg, put, tar
from mrnn.images.finding import Member
from mrnn.library.scanning import Scan, scan


def names(found: Scan, top: Path) -> list[str]:
    return [os.path.relpath(os.fsdecode(file.key), top) for file in found.files]


def unseen(found: Scan) -> dict[Path, tuple[str, str]]:
    return {path: (error.code, str(error)) for path, error in found.unseen}


@pytest.fixture
def album(tmp_path):
    """Files with suffixes of pictures: what is in them is not looked at here."""
    for name in ("b.jpg", "a/c.PNG", "a/d.jpg", "notes.txt", ".hidden/e.jpg", "a/.f.jpg"):
        put(tmp_path / "album" / name, name)
    return tmp_path / "album"


def test_files_with_size_and_time_in_sorted_order(album):
    os.utime(album / "a" / "d.jpg", ns=(1, 123456789))
    found = scan([album])
    assert names(found, album) == ["a/c.PNG", "a/d.jpg", "b.jpg"]
    assert (found.files[1].size, found.files[1].mtime_ns) == (7, 123456789)
    assert all(file.digest is None and file.fault is None for file in found.files)
    assert (found.unseen, found.problems, found.others, found.left_out) == ((), (), {".txt": 1}, {})
    status = (album / "b.jpg").stat()
    assert (found.files[2].ctime_ns, found.files[2].inode) == (status.st_ctime_ns, status.st_ino)


def test_what_lies_under_several_paths_counts_once(album):
    found = scan([album / "a", album, album / "b.jpg", album])
    assert sorted(names(found, album)) == ["a/c.PNG", "a/d.jpg", "b.jpg"]


def test_a_file_that_is_named_need_not_look_like_a_picture(album):
    assert names(scan([album / "notes.txt"]), album) == ["notes.txt"]


def test_a_tar_file_is_read_when_it_is_named(album):
    dog, cat = jpeg("0.jpg"), jpeg("1.jpg")
    members = [("x/0.jpg", dog), ("x/0.txt", b"A dog"), ("y.pkl", b"no"), ("1.PNG", cat)]
    shard = put(album / "a.TAR", tar(members))
    os.utime(shard, ns=(1, 99))
    assert scan([album]).others == {".txt": 1, ".tar": 1}
    found = scan([album, shard])
    mine = [file for file in found.files if isinstance(file.picture, Member)]
    assert [(f.picture.name, f.size, f.mtime_ns) for f in mine] == [
        ("x/0.jpg", len(dog), 99),
        ("1.PNG", len(cat), 99),
    ]
    at = mine[1].picture.offset
    assert shard.read_bytes()[at : at + len(cat)] == cat
    assert mine[0].key == os.fsencode(shard) + b"\0x/0.jpg"
    [problem] = found.problems
    assert str(problem) == f"{shard}:y.pkl: a pickle, which could run any code; skipped"


def test_what_a_mac_or_a_nas_puts_into_a_tar_file_is_left_out(album):
    dog = jpeg("0.jpg")
    names_left_out = ["./._0.jpg", "__MACOSX/x/._0.jpg", "x/@eaDir/0.jpg/SYNOPHOTO_THUMB_M.jpg",
                      "$RECYCLE.BIN/1.jpg", "x/.trashed-17-0.jpg", "@eaDir/a.pkl"]  # fmt: skip
    shard = put(album / "a.tar", tar([(name, dog) for name in ["./0.jpg", *names_left_out]]))
    found = scan([shard], ["old"])
    assert [file.picture.name for file in found.files] == ["./0.jpg"]
    assert found.problems == ()
    assert found.left_out == {"old": 0, "__MACOSX": 1, "@eaDir": 2, "$RECYCLE.BIN": 1}
    shard = put(album / "b.tar", tar([("x/old/0.jpg", dog), ("x/1.jpg", dog), ("../2.jpg", dog)]))
    found = scan([album, shard], ["old", "d.*"])
    assert names(found, album) == ["a/c.PNG", "b.jpg", "b.tar\0x/1.jpg"]
    assert found.left_out == {"old": 1, "d.*": 1}
    [problem] = found.problems
    assert "leads outside" in str(problem)


def test_a_damaged_tar_file_gives_what_precedes(album):
    shard = put(album / "a.tar", tar([("0.jpg", jpeg("0.jpg")), ("1.jpg", jpeg("1.jpg"))])[:3000])
    found = scan([shard])
    assert [file.picture.name for file in found.files] == ["0.jpg"]
    [problem] = found.problems
    assert "the shard is damaged or cut short" in str(problem)


def test_a_folder_may_be_called_tar(album):
    shutil.copytree(album / "a", album / "b.tar")
    assert names(scan([album / "b.tar"]), album) == ["b.tar/c.PNG", "b.tar/d.jpg"]


@pytest.mark.parametrize(
    "name", ["absent", "absent.jpg", "absent.tar", "b.jpg/x.jpg", "b.jpg/x.tar"]
)
def test_what_is_missing(album, name):
    found = scan([album / "a", album / name])
    assert len(found.files) == 2
    [(path, (code, message))] = unseen(found).items()
    assert (path, code) == (album / name, "missing")
    assert message == f"{path}: no such file or folder"


@pytest.mark.parametrize("suffix", [".jpg", ".tar", ""])
def test_names_that_are_too_long_or_cannot_be(album, suffix):
    long, null = album / ("x" * 300 + suffix), album / f"a\0b{suffix}"
    found = scan([long, null, album / "b.jpg"])
    assert names(found, album) == ["b.jpg"]
    assert unseen(found)[long] == ("unreadable", f"{long}: cannot be read (File name too long)")
    assert unseen(found)[null][0] == "unreadable"
    assert unseen(found)[null][1].isprintable()


def test_names_in_any_encoding(tmp_path):
    odd = [
        b"\xff\xfe.jpg",
        b"a\nb.jpg",
        b"a\\x00b.jpg",
        "🐕‍🦺狗.jpg".encode(),
        b" .jpg",
        b"x" * 251 + b".jpg",
    ]
    for name in odd:
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    found = scan([tmp_path])
    assert sorted(file.key.rpartition(b"/")[2] for file in found.files) == sorted(odd)


def test_links_that_lead_round(album):
    (album / "round").symlink_to(album)
    (album / "a" / "up").symlink_to("..")
    (album / "self.jpg").symlink_to("self.jpg")
    (album / "nowhere.jpg").symlink_to("absent.jpg")
    (album / "link.jpg").symlink_to("b.jpg")
    found = scan([album])
    seen = ["a/c.PNG", "a/d.jpg", "b.jpg", "link.jpg", "nowhere.jpg", "self.jpg"]
    assert names(found, album) == seen
    assert {f.picture.name: (f.size, *f.fault) for f in found.files if f.fault} == {
        "self.jpg": (None, "unreadable", "cannot be read (Too many levels of symbolic links)"),
        "nowhere.jpg": (None, "missing", "no such file or folder"),
    }
    assert found.unseen == ()


@pytest.mark.parametrize("year", [1960, 2300])
def test_times_long_ago_and_far_away_fit_the_catalogue(album, year):
    seconds = (year - 1970) * 31_556_952
    os.utime(album / "b.jpg", ns=(0, seconds * 10**9 + 7))
    [file] = scan([album / "b.jpg"]).files
    assert 0 <= file.mtime_ns < 2**63
    os.utime(album / "b.jpg", ns=(0, seconds * 10**9 + 8000))
    assert scan([album / "b.jpg"]).files[0].mtime_ns == file.mtime_ns + 7993


def test_folders_that_are_nested_deeply(tmp_path):
    put(tmp_path / "a.jpg", "x")
    before = os.open(".", os.O_RDONLY)
    try:
        os.chdir(tmp_path)
        for _ in range(1100):
            os.mkdir("a")  # noqa: PTH102 - no path may be as long
            os.chdir("a")
    finally:
        os.fchdir(before)
        os.close(before)
    assert names(scan([tmp_path]), tmp_path) == ["a.jpg"]
    remove_deep(tmp_path / "a")


def remove_deep(top: Path) -> None:
    """What shutil.rmtree does not manage: it calls itself for every folder."""
    while top.exists():
        below, depth = top, 0
        while depth < 400 and (below / "a").exists():
            below, depth = below / "a", depth + 1
        below.rename(top.with_name("lower"))
        shutil.rmtree(top, ignore_errors=True)
        lower = top.with_name("lower")
        if not any(lower.iterdir()):
            lower.rmdir()
            return
        lower.rename(top)


def forbid(monkeypatch, folder: Path, call: str = "stat") -> None:
    """As if the folder might be listed and not entered; permissions do not bind who runs this."""
    known = Path.stat

    def refuse(path: Path, **options: object) -> os.stat_result:
        if folder in path.parents:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return known(path, **options)

    monkeypatch.setattr(Path, call, refuse)


def test_a_folder_that_may_be_listed_and_not_entered(album, monkeypatch):
    put(album / "a" / "deeper" / "g.jpg", "x")
    forbid(monkeypatch, album / "a")
    found = scan([album])
    assert names(found, album) == ["a/c.PNG", "a/d.jpg", "b.jpg"]
    why = ("unreadable", "cannot be read (Permission denied)")
    assert [file.fault for file in found.files] == [why, why, None]
    assert {path: code for path, (code, _) in unseen(found).items()} == {
        album / "a" / "deeper": "unreadable"
    }


def test_a_folder_that_may_not_be_listed(album, monkeypatch):
    known = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "a":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return known(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = scan([album])
    assert names(found, album) == ["b.jpg"]
    assert unseen(found) == {
        album / "a": ("unreadable", f"{album}/a: the folder cannot be read (Permission denied)")
    }


def test_files_that_vanish_while_the_folder_is_read(album, monkeypatch):
    known = os.scandir

    def vanish(path: Path) -> object:
        entries = known(path)
        (album / "a" / "d.jpg").unlink(missing_ok=True)
        return entries

    monkeypatch.setattr(os, "scandir", vanish)
    found = scan([album])
    assert "a/c.PNG" in names(found, album)
    assert "a/d.jpg" not in names(found, album)
    assert {code for code, _ in unseen(found).values()} <= {"missing"}


def test_many_files_in_one_folder(tmp_path):
    first = put(tmp_path / "many" / "0.jpg", "x")
    for number in range(1, 5_000):
        os.link(first, first.parent / f"{number}.jpg")
    found = scan([first.parent])
    assert len(found.files) == 5_000
    assert found.unseen == ()
