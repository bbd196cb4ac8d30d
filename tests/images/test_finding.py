"""Pictures as files: which lie where, what is no file to read, how places are printed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrnn.errors import ImageError
from mrnn.images.finding import Member, Sieve, check_file, find_images, printable


def names(folder: Path, *paths: Path) -> list[str]:
    return [os.fspath(path.relative_to(folder)) for path in find_images(paths or [folder]).images]


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "tree"
    for name in (
        "b.JPG",
        "a/2.png",
        "a/10.webp",
        "a/notes.txt",
        "a/2.png.caption.txt",
        "a/2.png.xmp",
        "c.gif",
        ".hidden.jpg",
        ".d/e.jpg",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_recursive_sorted_hidden_skipped_others_counted(tree):
    found = find_images([tree])
    assert names(tree) == ["a/10.webp", "a/2.png", "b.JPG", "c.gif"]
    assert found.others == {".txt": 1}
    assert found.errors == ()


def test_explicit_files_are_always_listed_in_the_order_given(tree, tmp_path):
    given = [tree / "c.gif", tree / "a" / "notes.txt", tree / ".hidden.jpg", tmp_path / "gone.jpg"]
    found = find_images(given)
    assert list(found.images) == given
    assert (found.errors, found.others) == ((), {})


def test_explicit_hidden_folder_is_walked(tree):
    assert names(tree, tree / ".d") == [".d/e.jpg"]


def test_nothing_there(tmp_path):
    assert find_images([]).images == ()
    assert find_images([tmp_path]).images == ()


# What devices and programs keep among pictures, and what a person does not want.


PROGRAMS = (
    *("@eaDir", "#recycle", "#Recycle", "@Recycle", "$RECYCLE.BIN", "RECYCLER", "Thumbs"),
    *("@tmp", "@SynoResource", "_gsdata_", "Catalog Previews.lrdata"),
    *("__MACOSX", "System Volume Information", "lost+found", "#snapshot", "@__thumb"),
)


def test_what_devices_and_programs_keep_is_left_out_and_told(tree):
    for name in PROGRAMS:
        (tree / "a" / name / "deeper").mkdir(parents=True)
        (tree / "a" / name / "deeper" / "x.jpg").touch()
    for name in ("._b.JPG", ".trashed-1700000000-x.jpg", "Thumbs.db", "desktop.ini"):
        (tree / name).touch()
    found = find_images([tree])
    assert names(tree) == ["a/10.webp", "a/2.png", "b.JPG", "c.gif"]
    assert found.left_out == dict.fromkeys([*PROGRAMS, "Thumbs.db", "desktop.ini"], 1)
    assert sum(found.others.values()) == 1
    assert names(tree, tree / "a" / "@eaDir") == ["a/@eaDir/deeper/x.jpg"]  # it was named


def test_previews_in_a_library_of_photos_are_left_out(tree):
    for name in ("a/X.photoslibrary/originals", "a/X.photoslibrary/resources/derivatives",
                 "a/derivatives"):  # fmt: skip
        (tree / name).mkdir(parents=True)
        (tree / name / "x.jpg").touch()
    expected = ["X.photoslibrary/originals/x.jpg", "derivatives/x.jpg"]
    assert names(tree, tree / "a")[2:] == [f"a/{name}" for name in expected]
    assert names(tree, tree / "a" / "X.photoslibrary") == [f"a/{expected[0]}"]
    assert find_images([tree]).left_out == {"derivatives": 1}


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        (["*.gif"], ["a/10.webp", "a/2.png", "b.JPG"]),
        (["a"], ["b.JPG", "c.gif"]),
        (["a/"], ["b.JPG", "c.gif"]),
        (["a/*.png", "b.*"], ["a/10.webp", "c.gif"]),
        (["a/2.png", "./c.gif", "./2.png"], ["a/10.webp", "b.JPG"]),
        (["/a/2.png"], ["a/10.webp", "b.JPG", "c.gif"]),
        (["2.PNG", "*/a", ""], ["a/10.webp", "a/2.png", "b.JPG", "c.gif"]),
        (["?.*"], ["a/10.webp"]),
        (["[bc].*"], ["a/10.webp", "a/2.png"]),
        (["*"], []),
    ],
)
def test_patterns_leave_out_names_or_paths(tree, exclude, left):
    found = find_images([tree], exclude)
    assert [os.fspath(path.relative_to(tree)) for path in found.images] == left
    assert (sum(found.left_out.values()) > 0) == (len(left) < 4)
    assert find_images([tree / "c.gif"], exclude).images == (tree / "c.gif",)  # it was named


@pytest.mark.parametrize("start", ["./tree/", "tree/", "../{folder}/tree/", "{path}/tree/"])
def test_paths_that_a_shell_completes_leave_out_what_they_name(tree, tmp_path, monkeypatch, start):
    monkeypatch.chdir(tmp_path)
    start = start.format(folder=tmp_path.name, path=tmp_path)
    for root in (tree, Path("tree")):
        found = find_images([root], [f"{start}a/", f"{start}c.*"])
        assert [path.name for path in found.images] == ["b.JPG"]
        assert sorted(found.left_out.values()) == [1, 1]


def test_a_name_with_brackets_is_left_out_and_a_pattern_for_nothing_is_told(tree):
    (tree / "a").rename(tree / "[Raw] 1")
    found = find_images([tree], ["[Raw] 1", "B.jpg", "no/such", ""])
    assert [path.name for path in found.images] == ["b.JPG", "c.gif"]
    assert found.left_out == {"[Raw] 1": 1, "B.jpg": 0, "no/such": 0}


@given(st.text(st.characters(codec=None), max_size=8), st.text(max_size=5))
def test_a_member_of_a_tar_file_counts_as_in_a_folder(name, pattern):
    parts = [part for part in name.split("/") if part not in ("", ".")]
    sieve = Sieve((pattern,))
    taken = [sieve.takes(part, "/".join(parts[:at])) for at, part in enumerate(parts)]
    assert sieve.takes_member(name) == all(taken)
    assert sieve.takes_member(f"./{name}") == sieve.takes_member(name)


def test_links_to_files_are_followed_and_dangling_ones_listed(tree):
    (tree / "link.jpg").symlink_to(tree / "b.JPG")
    (tree / "lost.jpg").symlink_to(tree / "gone.jpg")
    assert names(tree)[-2:] == ["link.jpg", "lost.jpg"]


def test_loops_of_folder_links_end(tree):
    (tree / "a" / "up").symlink_to(tree)
    (tree / "z").symlink_to(tree / "a")
    (tree / "self").symlink_to("self")
    assert names(tree) == ["a/10.webp", "a/2.png", "b.JPG", "c.gif"]


def test_folder_link_out_of_the_tree_is_followed_once(tree, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.jpg").touch()
    for name in ("one", "two"):
        (tree / name).symlink_to(tmp_path / "other")
    assert names(tree) == ["a/10.webp", "a/2.png", "b.JPG", "c.gif", "one/x.jpg"]


def test_unreadable_folder_is_reported_and_the_others_go_on(tree, monkeypatch):
    listed = os.scandir

    def scandir(path):
        if Path(path).name == "a":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = find_images([tree])
    assert [path.name for path in found.images] == ["b.JPG", "c.gif"]
    [(path, error)] = found.errors
    assert path == tree / "a"
    assert error.code == "unreadable"
    assert str(error) == f"{tree / 'a'}: the folder cannot be read (Permission denied)"


def test_folder_that_may_be_listed_but_not_entered(tree, monkeypatch):
    looked = Path.stat

    def stat(self, **options):
        if self.parent.name == "a":
            raise PermissionError(13, "Permission denied")
        return looked(self, **options)

    monkeypatch.setattr(Path, "stat", stat)
    assert names(tree) == ["a/10.webp", "a/2.png", "b.JPG", "c.gif"]
    with pytest.raises(ImageError, match="cannot be opened") as caught:
        check_file(tree / "a" / "2.png")
    assert caught.value.code == "unreadable"


def test_impossible_names_are_listed_not_raised():
    given = [Path("x" * 300 + ".jpg"), Path("a\0b.jpg"), Path("\ud800.jpg")]
    assert list(find_images(given).images) == given


def test_a_folder_is_walked_in_order_however_deep(tmp_path):
    names = ["b/a.jpg", "b.jpg", "a/z/y.jpg", "a/b.jpg", "c/c/c/c/c.jpg", "a.jpg"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert find_images([tmp_path]).images == tuple(sorted(map(tmp_path.joinpath, names)))


def test_a_file_is_checked_without_being_opened(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_text("not even a picture")
    (tmp_path / "empty.jpg").touch()
    monkeypatch.setattr(Path, "open", None)
    check_file(tmp_path / "a.jpg")
    check_file(Member(tmp_path / "a.jpg", "b.jpg", 0, 4))
    faults = {
        tmp_path / "empty.jpg": "empty",
        Member(tmp_path / "a.jpg", "b.jpg", 0, 0): "empty",
        tmp_path / "gone.jpg": "missing",
        Member(tmp_path / "gone.tar", "b.jpg", 0, 4): "missing",
        tmp_path: "not-a-file",
    }
    for place, code in faults.items():
        with pytest.raises(ImageError) as caught:
            check_file(place)
        assert caught.value.code == code
        assert str(caught.value).startswith(f"{place}: ")


# Names.


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain name.jpg", "plain name.jpg"),
        ("Zürich 東京 🐕.jpg", "Zürich 東京 🐕.jpg"),
        ("\x1b]0;title\x07.jpg", "\\x1b]0;title\\x07.jpg"),
        ("two\nlines\r\t.jpg", "two\\nlines\\r\\t.jpg"),
        ("\x9b31m.jpg", "\\x9b31m.jpg"),
        ("gpj.\u202egnp", "gpj.\\u202egnp"),
        (os.fsdecode(b"caf\xe9.jpg"), "caf\\xe9.jpg"),
        ("\ud800.jpg", "\\ud800.jpg"),
        ("[red]x[/red].jpg", "[red]x[/red].jpg"),
    ],
)
def test_printable(name, shown):
    assert printable(name) == shown
    assert printable(Path("folder") / name) == f"folder/{shown}"


@given(st.text(st.characters(codec=None), max_size=20))
def test_printable_of_anything(text):
    shown = printable(text)
    assert shown.isprintable()
    shown.encode()
    if text.isprintable():
        assert shown == text
