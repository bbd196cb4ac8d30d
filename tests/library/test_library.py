"""The library: it tells what is there, reads nothing twice, and finds as ranking does."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from dataset_layouts import jpeg, put, tar
from libraries import (
    VOCABULARY,
    as_format_1,
    as_format_2,
    chances,
    dump,
    save_seeing,
    seeing,
    threshold,
)
from mrnn.captioner import Captioner, load
from mrnn.errors import DataError, ImageError, UsageError
from mrnn.images.finding import Member
from mrnn.library import describing
from mrnn.library.away import is_there
from mrnn.library.describing import describe
from mrnn.library.indexing import Indexed
from mrnn.library.library import Library
from mrnn.library.records import search_notes
from mrnn.library.thumbnails import Thumbnails
from mrnn.library.timeline import EVERY, Filter
from mrnn.results import Caption

SENTENCE = "a dog runs in the snow"


@pytest.fixture(scope="module")
def sight():
    return seeing()


@pytest.fixture
def photos(picture, tmp_path):
    """Six pictures, of which one lies there twice, and a file that is none."""
    for i in range(6):
        picture(f"{'ab'[i % 2]}/{i}.png", seed=i, folder=tmp_path / "photos")
    shutil.copy(tmp_path / "photos/a/0.png", tmp_path / "photos/b/copy.png")
    put(tmp_path / "photos/b/bad.jpg", "not an image")
    return tmp_path / "photos"


@pytest.fixture
def library(sight, tmp_path):
    with Library.open(tmp_path / "library", sight) as opened:
        yield opened


@contextlib.contextmanager
def nothing_is_opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def fail(picture: object) -> None:
        raise AssertionError(f"{picture} was opened")

    with monkeypatch.context() as patched:
        patched.setattr(describing, "open_picture", fail)
        yield


def interrupted(*arguments):
    """A describer that comes as far as two parts."""
    for number, part in enumerate(describe(*arguments)):
        if number == 2:
            raise KeyboardInterrupt
        yield part


def figures(done: Indexed) -> dict[str, int]:
    """What is not zero."""
    found = {name: value for name, value in vars(done).items() if isinstance(value, int)}
    return {name: value for name, value in found.items() if value}


def places(library: Library) -> dict[str, bytes | None]:
    return {str(file.picture): file.digest for file, _ in library.files()}


def found(library: Library, sentence: str = SENTENCE, k: int = 100) -> set[str]:
    """All places of the pictures that a search finds."""
    results = library.search(sentence, k).found
    return {str(place) for one in results for place in (one.picture, *one.copies)}


def captioned(captioner: Captioner, path: Path) -> Caption:
    """Of the vector as it is kept, with half the digits."""
    [caption] = captioner.caption_terms(
        captioner.terms_of(path).astype(np.float16).astype(np.float32)
    )
    return caption


def set_apart(path: Path) -> None:
    """Give a file that was written anew another time, however quickly it went."""
    times = path.stat()
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 10**9))


# What lies under the folders, and what was done about it.


def test_first_and_second_pass(library, photos, monkeypatch):
    put(photos / "notes.txt", "mine")
    done = library.add([photos])
    assert figures(done) == {"files": 8, "new": 8, "read": 6}
    assert done.others == {".txt": 1}
    [(path, error)] = done.errors
    assert (path, error.code) == (photos / "b/bad.jpg", "not-an-image")
    assert str(error).startswith(f"{photos}/b/bad.jpg: not an image")
    assert library.catalogue.counts() == {"files": 8, "pictures": 6, "unreadable": 1}
    assert library.catalogue.roots() == [photos]
    assert library.catalogue.rows() == list(range(6))  # a copy has no vector of its own
    assert library.catalogue.next_row() == 6
    kept = dump(library.path)
    with nothing_is_opened(monkeypatch):
        assert figures(library.add([photos])) == {"files": 8}
        assert library.add().errors == ()
    assert dump(library.path) == kept


def test_what_is_known_of_a_picture(library, photos, sight):
    library.add([photos])
    known = {str(file.picture): content for file, content in library.files(photos / "a")}
    assert sorted(known) == [f"{photos}/a/{i}.png" for i in (0, 2, 4)]
    for path, content in known.items():
        assert content.size == (64, 48)
        caption = captioned(sight, path)
        assert content.caption == (caption.text, pytest.approx(caption.perplexity, rel=1e-5))
        assert content.fault is None


def test_new_changed_moved_copied_and_deleted(library, photos, picture):
    library.add([photos])
    picture("b/new.png", seed=7, folder=photos)
    set_apart(picture("a/0.png", seed=8, folder=photos))
    (photos / "a/2.png").rename(photos / "b/moved.png")
    shutil.copy(photos / "a/4.png", photos / "b/more.png")
    (photos / "b/1.png").unlink()
    done = library.add()
    assert figures(done) == {
        "files": 9, "new": 3, "changed": 1, "moved": 1, "deleted": 1, "read": 2,
    }  # fmt: skip
    assert found(library) == {str(p) for p in photos.rglob("*.png")}
    assert len(library.search(SENTENCE, 100).found) == 7


def test_what_was_moved_copied_or_restored_is_not_decoded(library, photos, tmp_path, monkeypatch):
    library.add([photos])
    monkeypatch.setattr(describing, "decode_image", None)
    shutil.move(photos / "a", tmp_path / "elsewhere")
    assert figures(library.add())["deleted"] == 3
    assert not any("/a/" in path for path in found(library))
    assert figures(library.add([tmp_path / "elsewhere"])) == {"files": 3, "new": 3}
    shutil.copytree(tmp_path / "elsewhere", photos / "a")
    assert figures(library.add()) == {"files": 11, "new": 3}
    assert len(library.search(SENTENCE).found) == 6


@pytest.mark.parametrize("what", ["size", "mtime", "both"])
def test_size_or_time_tell_that_a_file_has_changed(library, picture, photos, what):
    library.add([photos])
    path = photos / "a/0.png"
    before = path.stat()
    if what != "mtime":
        picture("a/0.png", seed=9, folder=photos)
        path.write_bytes(path.read_bytes() + b"more")
    os.utime(path, ns=(1, before.st_mtime_ns + (what != "size")))
    done = library.add()
    assert figures(done) == {"files": 8, **({"changed": 1, "read": 1} if what != "mtime" else {})}


def overwrite(path: Path, content: bytes) -> None:
    with path.open("r+b") as file:
        file.write(content)


def put_in_its_place(path: Path, content: bytes) -> None:
    other = path.with_name(f"{path.name}.new")
    other.write_bytes(content)
    other.replace(path)


def test_edits_that_keep_size_and_time_are_seen(library, photos, monkeypatch):
    """Some tools turn a photo so; others put another file in its place."""
    path = photos / "a/0.png"
    path.write_bytes(path.read_bytes() + b"!")
    library.add([photos])
    before = path.stat()
    for write in (overwrite, put_in_its_place):
        write(path, path.read_bytes()[:-1] + write.__name__[:1].encode())
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_size == before.st_size
        assert figures(library.add()) == {"files": 8, "changed": 1, "read": 1}
    path.chmod(0o600)  # changes no picture
    assert figures(library.add()) == {"files": 8}
    with nothing_is_opened(monkeypatch):
        assert figures(library.add()) == {"files": 8}


def test_a_library_of_before_is_searched_and_brought_up_to_date(library, photos, monkeypatch):
    library.add([photos])
    library.close()
    as_format_1(library.path / "catalogue.sqlite")
    assert found(library) == {str(path) for path in photos.rglob("*.png")}
    library.close()
    with nothing_is_opened(monkeypatch):
        done = library.add()
    assert (done.files, done.new, done.changed, done.is_upgraded) == (8, 0, 0, True)
    (photos / "a/0.png").chmod(0o600)
    before = (photos / "a/0.png").stat()
    (photos / "a/0.png").write_bytes((photos / "a/0.png").read_bytes()[:-1] + b"?")
    os.utime(photos / "a/0.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    done = library.add()  # its time of change is known since
    assert (done.changed, done.is_upgraded) == (1, False)


@pytest.mark.parametrize("before", [as_format_1, as_format_2])
def test_dates_are_filled_in_by_the_next_index(library, photos, monkeypatch, before):
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "a camera"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2024:05:31 14:02:03"
    Image.new("RGB", (9, 7), "teal").save(photos / "b/dated.png", exif=exif)
    library.add([photos])
    expected = dump(library.path)
    [dated] = [p for p in library.timeline().among(EVERY) if p.is_taken]
    assert dated.when == "2024-05-31T14:02:03"
    library.close()
    before(library.path / "catalogue.sqlite")
    assert not library.timeline().is_dated
    assert not any(p.is_taken for p in library.timeline().among(EVERY))
    library.close()
    monkeypatch.setattr(describing, "decode_image", None)
    stages = []
    assert (
        library.add(
            stage=lambda name, unit: stages.append(name) or contextlib.nullcontext(max)
        ).read
        == 0
    )
    assert "dates" in stages
    assert dump(library.path) == expected
    assert library.timeline().of(dated.digest) == dated
    stages.clear()
    library.add(stage=lambda name, unit: stages.append(name) or contextlib.nullcontext(max))
    assert "dates" not in stages


def test_what_the_network_gives_no_numbers_for_is_a_fault(sight, photos, tmp_path):
    dark = photos / "a/dark.png"
    Image.new("RGB", (20, 20)).save(dark)

    def encode(pixels):
        found = sight.encoder.encode(pixels)
        found[pixels.max(axis=(1, 2, 3)) == pixels.min(axis=(1, 2, 3))] = np.nan
        return found

    nan = Captioner(sight.bundle, replace(sight.encoder, encode=encode))
    with Library.open(tmp_path / "library", nan) as library:
        [(place, error)] = [e for e in library.add([photos]).errors if e[1].code == "bad-feature"]
        assert place == dark
        told = "the image network gives NaN for it, or numbers beyond fp16"
        assert str(error) == f"{dark}: {told}"
        found = library.search(SENTENCE, 100).found
        assert len(found) == 6
        dark.unlink()
        with Library.open(tmp_path / "other", sight) as other:
            other.add([photos])
            assert [f.digest for f in found] == [
                f.digest for f in other.search(SENTENCE, 100).found
            ]
    Image.new("RGB", (20, 20)).save(dark)
    with Library.open(tmp_path / "alone", nan) as library:
        assert library.add([dark]).read == 0


def test_a_filter_is_as_if_the_library_lacked_the_rest(library, photos, tmp_path, sight):
    library.add([photos])
    rest = Filter(folder="b")
    with Library.open(tmp_path / "other", sight) as other:
        other.add([photos / "b"])
        expected, found = other.search(SENTENCE, 100), library.search(SENTENCE, 100, rest)
        assert found.pictures == expected.pictures < library.search(SENTENCE).pictures
        assert [f.digest for f in found.found] == [f.digest for f in expected.found]
        assert [f.logprob for f in found.found] == [f.logprob for f in expected.found]
        picture = photos / "a/0.png"
        near = [f.digest for f in library.like(picture, 100, rest).found]
        assert near == [f.digest for f in other.like(picture, 100).found]
    assert library.search(SENTENCE, 5, Filter(folder="nowhere")).found == ()
    assert library.like(picture, 5, Filter(since=date(2999, 1, 1))).found == ()


def test_a_filter_is_of_the_rows_of_now(library, photos, picture):
    library.add([photos])
    library.timeline()
    with Library.open(library.path, library.captioner) as other:
        picture("a/00.png", seed=99, folder=photos)  # the first row now, which moves the others
        other.add(rebuild=True)
    version, _, stale = library._newest._kept
    library._newest._kept = (version, math.inf, stale)  # as if it had taken long to read
    found = library.search(SENTENCE, 100, Filter(folder="b")).found
    assert {f.picture.parent.name for f in found} == {"b"}
    assert len(found) == 4


def test_the_timeline_follows_another_process(library, photos, picture):
    library.add([photos])
    before = len(library.timeline().among(EVERY))
    with Library.open(library.path, library.captioner) as other:
        picture("b/late.png", seed=77, folder=photos)
        other.add()
        assert len(other.timeline().among(EVERY)) == before + 1
    _, _, stale = library._newest._kept
    library._newest._kept = (-1, 0.0, stale)  # as if it had been read long ago
    assert len(library.timeline().among(EVERY)) == before + 1


def test_small_copies_go_with_their_pictures(library, photos):
    library.add([photos])
    kept = Thumbnails(library.path)
    alone = [d for d in library.timeline().among(EVERY) if len(d.folders) == 1]
    here, gone = alone[:2]
    for dated in (here, gone):
        kept.put(dated.digest, b"small")
    kept.put(b"?" * 32, b"nobody's")
    digests = {hashlib.sha256(p.read_bytes()).digest(): p for p in photos.rglob("*.png")}
    path = digests[gone.digest]
    path.unlink()
    library.add()
    assert kept.get(here.digest) == b"small"
    assert kept.get(gone.digest) is None
    assert kept.get(b"?" * 32) is None
    library.remove([photos])
    assert kept.get(here.digest) is None


def test_taking_out_of_a_library_of_before(library, photos):
    library.add([photos])
    library.close()
    as_format_1(library.path / "catalogue.sqlite")
    assert library.remove([photos / "a"]) == 3
    assert len(found(library)) == 4


def test_patterns_are_remembered(library, photos):
    done = library.add([photos], exclude=["a", "bad.*"])
    assert figures(done) == {"files": 4, "new": 4, "read": 4}
    assert done.left_out == {"a": 1, "bad.*": 1}
    assert figures(library.add()) == {"files": 4}
    assert figures(library.add(exclude=["b"])) == {
        "files": 3,
        "new": 3,
        "moved": 1,
        "deleted": 3,
        "read": 2,
    }
    assert library.add(exclude=[""]).files == 8


def test_what_is_no_filter_is_refused_and_an_empty_one_told(library, photos, picture):
    library.add([photos])
    for wrong in (None, {}, "a"):
        with pytest.raises(UsageError, match=r"among is a mrnn\.Filter, not "):
            library.search(SENTENCE, among=wrong)
    for wrong in ({"since": "2025"}, {"until": 2025}, {"folder": Path("a")}):
        with pytest.raises(UsageError, match=r"since and until are datetime|a folder is a name"):
            Filter(**wrong)
    nothing = library.search(SENTENCE, among=Filter(folder="nowhere"))
    assert str(nothing) == "no picture of the library is of this folder and these days"
    found = library.search(SENTENCE, 3)
    assert len(found) == 3
    assert list(found) == list(found.found)
    assert [one.to_dict() for one in found] == found.to_dict()["results"]


def test_a_single_pattern_is_one_and_not_its_letters(library, photos):
    library.add([photos])
    assert library.add([photos], exclude="bad.*").left_out == {"bad.*": 1}
    assert library.catalogue.exclude() == ["bad.*"]
    for wrong in (7, photos, [photos], b"*.png", [None]):
        with pytest.raises(UsageError, match=r"a pattern is text, and \w+ is none: exclude="):
            library.add([photos], exclude=wrong)
    assert library.catalogue.exclude() == ["bad.*"]


def test_a_pattern_that_is_a_path_from_here_is_remembered_elsewhere(library, photos, monkeypatch):
    monkeypatch.chdir(photos.parent)
    assert library.add([photos], exclude=[f"./{photos.name}/a"]).files == 5
    monkeypatch.chdir("/")
    done = library.add()
    assert (done.files, done.left_out) == (5, {str(photos / "a"): 1})


def test_what_a_nas_keeps_goes_from_a_library_that_has_it(library, photos, picture):
    picture("a/@eaDir/0.png/thumb.png", seed=8, folder=photos)
    library.add([photos / "a/@eaDir", photos])
    assert len(found(library)) == 8  # it was named
    library.remove([photos / "a/@eaDir"])
    done = library.add([photos])
    assert (done.files, done.left_out) == (8, {"@eaDir": 1})
    assert len(found(library)) == 7


def test_a_file_that_cannot_be_opened_is_told_once(library, photos, monkeypatch):
    (photos / "nowhere.png").symlink_to("absent.png")
    known = describing.open_picture

    def refuse(picture):
        if picture.name == "0.png":
            raise ImageError("unreadable", f"{picture}: permission denied")
        return known(picture)

    with monkeypatch.context() as patched:
        patched.setattr(describing, "open_picture", refuse)
        told = [sorted(path.name for path, _ in library.add([photos]).errors) for _ in range(3)]
    assert told == [["0.png", "bad.jpg", "nowhere.png"], [], []]
    listed = {path.name: str(error) for path, error in library.unreadable()}
    assert listed.keys() == {"0.png", "bad.jpg", "nowhere.png"}
    assert listed["0.png"] == f"{photos}/a/0.png: permission denied"
    assert listed["nowhere.png"] == f"{photos}/nowhere.png: no such file"
    assert [path.name for path, _ in library.unreadable([photos / "a", photos / "a"])] == ["0.png"]
    shutil.copy(photos / "a/2.png", photos / "absent.png")
    assert library.add().errors == ()
    assert [path.name for path, _ in library.unreadable()] == ["bad.jpg"]
    (photos / "absent.png").unlink()
    [(path, error)] = library.add().errors  # its disk may be away: what is known of it stays
    assert path == photos / "nowhere.png"
    assert str(error).endswith("no such file or folder; what the library knows of it stays")
    assert str(path) in places(library)


def test_a_picture_that_was_damaged_and_mended(library, photos):
    sound = (photos / "a/0.png").read_bytes()
    library.add([photos])
    (photos / "a/0.png").write_bytes(sound[:500])
    set_apart(photos / "a/0.png")
    done = library.add()
    assert [error.code for _, error in done.errors] == ["damaged"]
    assert str(photos / "a/0.png") not in found(library)
    assert str(photos / "b/copy.png") in found(library)
    put(photos / "a/0.png", sound)
    set_apart(photos / "a/0.png")
    done = library.add()
    assert (done.changed, done.read, done.errors) == (1, 0, ())
    assert str(photos / "a/0.png") in found(library)


def test_files_that_vanish_between_listing_and_reading(library, photos):
    def slow(files, *more):
        (photos / "a/0.png").unlink()
        yield from describe(files, *more)

    done = library.add([photos], describer=slow)
    assert {path.name: error.code for path, error in done.errors} == {
        "0.png": "missing",
        "bad.jpg": "not-an-image",
    }
    assert len(found(library)) == 6
    assert figures(library.add()) == {"files": 7, "deleted": 1}


def test_a_file_that_changes_after_it_was_listed_is_read_again(library, photos, picture):
    def slow(files, *more):
        set_apart(picture("a/0.png", seed=9, folder=photos))
        yield from describe(files, *more)

    library.add([photos], describer=slow)
    opened: list[Path] = []

    def noted(files, *more):
        opened.extend(file.picture for file in files)
        yield from describe(files, *more)

    assert figures(library.add(describer=noted)) == {"files": 8}
    assert opened == [photos / "a/0.png"]


def test_captions_later(library, photos, tmp_path, sight, monkeypatch):
    library.add([photos], captions=False)
    assert {content.caption for _, content in library.files()} == {None}
    assert library.search(SENTENCE).found[0].caption is None
    with nothing_is_opened(monkeypatch):
        library.add()
    with Library.open(tmp_path / "other", sight) as other:
        other.add([photos])
    assert dump(library.path) == dump(tmp_path / "other")
    assert library.search(SENTENCE).found[0].caption is not None


def test_without_captions_those_that_there_are_stay(library, photos, picture):
    library.add([photos])
    picture("a/new.png", seed=9, folder=photos)
    library.add(captions=False)
    captions = {f.picture.name: c.caption for f, c in library.files() if c and not c.fault}
    assert [name for name, caption in captions.items() if caption is None] == ["new.png"]


# Roots.


def test_roots_are_remembered_and_brought_up_to_date_alone(library, photos, picture):
    library.add([photos / "a"])
    library.add([photos / "b"])
    picture("a/new.png", seed=7, folder=photos)
    picture("b/new.png", seed=8, folder=photos)
    assert figures(library.add([photos / "b"]))["new"] == 1
    assert str(photos / "a/new.png") not in places(library)
    assert figures(library.add())["new"] == 1
    assert library.catalogue.roots() == [photos / "a", photos / "b"]


def test_what_lies_in_two_roots_counts_and_is_told_once(library, photos):
    done = library.add([photos, photos / "b", photos / "b/bad.jpg"])
    assert figures(done) == {"files": 8, "new": 8, "read": 6}
    assert len(done.errors) == 1
    (photos / "b/bad.jpg").unlink()
    assert figures(library.add()) == {"files": 7, "deleted": 1}
    assert library.catalogue.roots() == [photos, photos / "b"]


def test_paths_are_taken_as_they_are_meant(library, photos, monkeypatch):
    monkeypatch.chdir(photos / "a")
    library.add(["../b", "0.png", Path()])
    assert set(places(library)) == {str(p) for p in photos.rglob("*.*")}
    assert library.catalogue.roots() == [photos / "a", photos / "a/0.png", photos / "b"]


def test_a_root_that_is_not_there_for_a_while_loses_nothing(library, photos, tmp_path, monkeypatch):
    """A disk that is not mounted."""
    library.add([photos])
    kept = dump(library.path)
    photos.rename(tmp_path / "away")
    done = library.add()
    assert figures(done) == {}
    assert [(path, error.code) for path, error in done.errors] == [(photos, "missing")]
    assert str(done.errors[0][1]) == (
        f"{photos}: no such file or folder; its 8 files stay in the library, since their disk may "
        "be away; if the folder lies elsewhere now: mrnn index THAT-FOLDER; to take them out: mrnn "
        f"index --forget {photos}"
    )
    assert library.search(SENTENCE, 2).absent == 2
    assert dump(library.path) == kept
    assert len(library.search(SENTENCE).found) == 6
    (tmp_path / "away").rename(photos)
    with nothing_is_opened(monkeypatch):
        assert figures(library.add()) == {"files": 8}
    assert dump(library.path) == kept


def test_a_folder_that_is_mounted_elsewhere(library, photos, tmp_path, monkeypatch):
    """Its pictures are known by their content, and shown where they lie."""
    (photos / "b/bad.jpg").unlink()
    library.add([photos])
    before = library.search(SENTENCE, 100)
    photos.rename(tmp_path / "mounted")
    assert library.search(SENTENCE, 100).absent == 6
    monkeypatch.setattr(describing, "decode_image", None)
    done = library.add([tmp_path / "mounted"])
    assert figures(done) == {"files": 7, "new": 7, "moved": 6}
    after = library.search(SENTENCE, 100)
    assert after.absent == 0
    assert [one.logprob for one in after.found] == [one.logprob for one in before.found]
    assert all(is_there(place) for one in after.found for place in (one.picture, *one.copies))
    assert found(library) == {str(path) for path in (tmp_path / "mounted").rglob("*.png")}
    like = library.like(tmp_path / "mounted/a/0.png", 1).found[0]
    assert like.picture == tmp_path / "mounted/a/0.png"
    [(place, error)] = library.add().errors
    assert place == photos
    assert f"some are found elsewhere now, such as {tmp_path}/mounted/" in str(error)
    assert library.remove([photos]) == 7
    assert library.add().errors == ()


def test_a_tar_file_that_lies_elsewhere(library, tmp_path):
    shard = put(tmp_path / "a.tar", tar([(f"{i}.jpg", jpeg(f"{i}.jpg")) for i in range(2)]))
    library.add([shard])
    shard.rename(tmp_path / "b.tar")
    assert library.search(SENTENCE).absent == 2
    [(place, error)] = library.add().errors
    assert (place, "its 2 files stay" in str(error)) == (shard, True)
    assert figures(library.add([tmp_path / "b.tar"])) == {"files": 2, "new": 2, "moved": 2}
    assert {one.picture.shard for one in library.search(SENTENCE).found} == {tmp_path / "b.tar"}


@pytest.mark.parametrize("call", ["scandir", "stat"])
def test_a_folder_that_cannot_be_read_loses_nothing(library, photos, monkeypatch, call):
    library.add([photos])
    kept = dump(library.path)
    owner = {"scandir": os, "stat": Path}[call]
    known = getattr(owner, call)

    def refuse(path, **options):
        if photos / "b" in (Path(path), *Path(path).parents):
            raise PermissionError(13, "Permission denied")
        return known(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(owner, call, refuse)
        done = library.add()
    assert done.deleted == 0
    assert [error.code for _, error in done.errors] == ["unreadable"]
    assert dump(library.path) == kept


def test_one_file_that_cannot_be_looked_at_loses_nothing(library, photos, monkeypatch):
    library.add([photos])
    kept = dump(library.path)
    known = Path.stat

    def refuse(path, **options):
        if path.name == "0.png":
            raise PermissionError(13, "Permission denied")
        return known(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", refuse)
        done = library.add()
    assert figures(done) == {"files": 7}
    assert str(done.errors[0][1]) == (
        f"{photos}/a/0.png: cannot be read (Permission denied); what the library knows of it stays"
    )
    assert dump(library.path) == kept


def test_a_file_that_was_named_and_is_deleted(library, photos):
    library.add([photos / "a", photos / "b/1.png"])
    (photos / "b/1.png").unlink()
    done = library.add()
    assert figures(done) == {"files": 3, "deleted": 1}
    assert done.errors == ()
    assert library.catalogue.roots() == [photos / "a"]


def test_a_name_that_was_never_right_is_told_once(library, photos):
    done = library.add([photos / "a", photos / "absent"])
    assert [error.code for _, error in done.errors] == ["missing"]
    assert library.add().errors == ()
    assert library.catalogue.roots() == [photos / "a"]


def test_tar_files(library, tmp_path, picture):
    loose = picture("0.jpg", folder=tmp_path / "loose")
    shard = put(
        tmp_path / "a.tar",
        tar([("0.jpg", loose.read_bytes()), ("1.jpg", jpeg("1.jpg")), ("x.pkl", b"")]),
    )
    done = library.add([shard, loose.parent])
    assert figures(done) == {"files": 3, "new": 3, "read": 2}
    assert [str(p) for p in done.problems] == [
        f"{shard}:x.pkl: a pickle, which could run any code; skipped"
    ]
    assert found(library) == {f"{shard}:0.jpg", f"{shard}:1.jpg", str(loose)}
    assert figures(library.add()) == {"files": 3}
    put(shard, tar([("2.jpg", jpeg("2.jpg")), ("1.jpg", jpeg("1.jpg"))]))
    set_apart(shard)
    assert figures(library.add()) == {"files": 3, "new": 1, "deleted": 1, "read": 1}
    assert found(library) == {f"{shard}:1.jpg", f"{shard}:2.jpg", str(loose)}
    shard.rename(tmp_path / "away")
    assert [error.code for _, error in library.add().errors] == ["missing"]
    assert len(found(library)) == 3
    library.remove([shard])
    assert found(library) == {str(loose)}
    assert library.catalogue.roots() == [loose.parent]


def test_two_members_of_one_tar_file_that_are_the_same_picture(library, tmp_path):
    shard = put(tmp_path / "a.tar", tar([("0.jpg", jpeg("0.jpg")), ("a/0.jpg", jpeg("0.jpg"))]))
    library.add([shard])
    [one] = library.search(SENTENCE).found
    assert [picture.name for picture in (one.picture, *one.copies)] == ["0.jpg", "a/0.jpg"]
    assert isinstance(one.picture, Member)


def test_remove(library, photos):
    library.add([photos])
    assert library.remove([photos / "a", photos / "b/1.png", photos / "absent"]) == 4
    assert found(library) == {str(photos / "b" / n) for n in ("3.png", "5.png", "copy.png")}
    assert library.catalogue.counts() == {"files": 4, "pictures": 3, "unreadable": 1}
    assert library.catalogue.roots() == [photos]
    done = library.add()
    assert figures(done) == {"files": 8, "new": 4, "read": 3}  # 0.png is known as its copy
    assert len(library.search(SENTENCE).found) == 6


def test_a_single_path_is_one_path(library, photos):
    assert library.add(str(photos / "a")).files == 3
    assert library.add(photos / "b").files == 5
    assert library.remove(str(photos / "a/0.png")) == 1
    assert library.catalogue.counts()["files"] == 7


def test_nothing_is_made_where_there_is_nothing_to_remove_from(tmp_path, sight):
    with Library.open(tmp_path / "lirbary", sight) as library:
        with pytest.raises(DataError, match="no library there"):
            library.remove([tmp_path])
        with pytest.raises(DataError, match="no library there"):
            library.search(SENTENCE)
    assert not (tmp_path / "lirbary").exists()


def test_what_was_named_itself_below_a_folder_stays(library, photos, picture):
    picture("a/.hidden/7.png", seed=7, folder=photos)
    odd = put(photos / "a/8.heic", (photos / "a/0.png").read_bytes())
    shard = put(photos / "a/s.tar", tar([("9.jpg", jpeg("9.jpg"))]))
    library.add([photos / "a", photos / "a/.hidden", odd, shard])
    before = places(library)
    assert len(before) == 6
    assert figures(library.add([photos / "a"]))["files"] == 6
    assert places(library) == before


def test_an_emptied_folder_may_be_a_disk_that_is_away(library, photos):
    library.add([photos / "a", photos / "b"])
    before = places(library)
    shutil.move(photos / "a", photos.parent / "away")
    (photos / "a").mkdir()
    [(place, error)] = [e for e in library.add().errors if e[1].code == "empty"]
    assert place == photos / "a"
    assert "3 files stay" in str(error)
    assert f"--forget {photos / 'a'}" in str(error)
    assert places(library) == before
    (photos / "a").rmdir()
    shutil.move(photos.parent / "away", photos / "a")
    assert figures(library.add()) == {"files": 8}


def test_a_picture_that_can_be_read_at_last(library, photos, monkeypatch):
    bad = photos / "b/bad.jpg"
    content = (photos / "a/2.png").read_bytes()
    put(bad, content + b"!")  # another content than that of 2.png
    decode = describing.decode_image

    def poor(file, name, at_least=None):
        if name == str(bad):
            raise ImageError("too-large", f"{name}: too large for now")
        return decode(file, name, at_least)

    with monkeypatch.context() as patched:
        patched.setattr(describing, "decode_image", poor)
        assert [error.code for _, error in library.add([photos]).errors] == ["too-large"]
    bad.touch()
    assert figures(library.add()) == {"files": 8, "read": 1}
    assert library.catalogue.counts() == {"files": 8, "pictures": 7, "unreadable": 0}


def test_an_interrupted_rebuilding_goes_on_with_the_same_command(library, photos, in_twos):
    library.add([photos])
    before = library.search(SENTENCE)

    with pytest.raises(KeyboardInterrupt):
        library.add(rebuild=True, describer=interrupted)
    assert len(library.search(SENTENCE).found) == 4
    assert library.add(rebuild=True).read == 2
    assert library.search(SENTENCE) == before
    assert library.add(rebuild=True).read == 6  # this is another one
    assert [path.name for path in library.path.glob("vectors*")] == ["vectors-3"]


def test_who_searches_while_the_library_is_rebuilt(library, photos, sight):
    library.add([photos])
    with Library.open(library.path, sight) as reader:
        expected = reader.search(SENTENCE)
        stale = reader._now()
        library.remove([photos / "a"])
        library.add([photos], rebuild=True)
        assert (
            reader._results(SENTENCE, stale, {row: {} for row in range(6)}).found == ()
        )  # not those of other rows
        assert reader.search(SENTENCE) == expected


def test_codes_that_came_after_the_last_search(library, photos, monkeypatch):
    monkeypatch.setattr("mrnn.library.library.CODES_FROM", 10**9)
    library.add([photos])
    expected = library.search(SENTENCE)
    assert not library._now().index.is_approximate
    monkeypatch.setattr("mrnn.library.library.CODES_FROM", 1)
    with Library.open(library.path, library.captioner) as other:
        other.add()
    assert library.search(SENTENCE).note == ""
    assert library._now().index.is_approximate
    assert library.search(SENTENCE) == expected


def test_codes_of_other_centres_serve_on(library, photos, monkeypatch):
    """A library may be older than the way in which its centres are drawn now."""
    monkeypatch.setattr("mrnn.library.library.CODES_FROM", 1)
    library.add([photos])
    expected = library.search(SENTENCE)
    codes = library.path / "codes.safetensors"
    kept = codes.read_bytes()
    monkeypatch.setattr("mrnn.captioner.anchors", lambda terms, count: terms[:3] + 1)
    with Library.open(library.path, seeing()) as later:
        assert later.search(SENTENCE) == expected
        assert later._now().index.is_approximate
        later.add()
    assert codes.read_bytes() == kept


def test_remove_takes_the_roots_below(library, photos):
    library.add([photos / "a", photos / "b"])
    library.remove([photos])
    assert library.catalogue.roots() == []
    assert figures(library.add()) == {}
    assert library.search(SENTENCE).found == ()


# Models.


def test_another_model_is_refused_and_may_rebuild(library, photos, tmp_path, sight):
    library.add([photos / "a"])
    library.add([photos / "b"])
    other = seeing(seed=5)
    with Library.open(library.path, other) as opened:
        said = f"{library.path}: made with another model (unnamed, {sight.identity[:8]}; this one"
        for use in (
            lambda: opened.search(SENTENCE),
            lambda: opened.like(photos / "a/0.png"),
            lambda: opened.add([photos]),
        ):
            with pytest.raises(DataError) as caught:
                use()
            assert str(caught.value).startswith(said)
            assert f"mrnn index --library {library.path} --rebuild" in str(caught.value)
        done = opened.add([photos / "a"], rebuild=True)
        assert figures(done) == {"files": 8, "read": 6}
        with Library.open(tmp_path / "new", other) as new:
            new.add([photos / "a", photos / "b"])
            assert opened.search(SENTENCE) == new.search(SENTENCE)
            assert dump(opened.path) == dump(new.path)
        with pytest.raises(DataError, match="made with another model"):
            library.search(SENTENCE)


def test_the_model_is_found_again_from_anywhere(photos, tmp_path, monkeypatch):
    save_seeing(tmp_path / "m\udcffodel")
    monkeypatch.chdir(tmp_path)
    captioner = load("m\udcffodel")
    with Library.open(tmp_path / "library", captioner) as library:
        library.add([photos])
        expected = library.search(SENTENCE)
    monkeypatch.chdir("/")
    with Library.open(tmp_path / "library") as library:
        assert library.captioner.source == os.fspath(tmp_path / "m\udcffodel")
        assert library.search(SENTENCE) == expected
        assert library.add().read == 0


def test_a_model_that_is_gone(photos, tmp_path):
    model = save_seeing(tmp_path / "model")
    with Library.open(tmp_path / "library", load(model)) as library:
        library.add([photos])
    model.rename(tmp_path / "moved")
    with Library.open(tmp_path / "library") as library, pytest.raises(DataError, match="--model"):
        library.search(SENTENCE)
    with Library.open(tmp_path / "library", load(tmp_path / "moved")) as library:
        assert len(library.search(SENTENCE).found) == 6


def test_a_model_that_sees_nothing(tiny_bundle, tmp_path, sight):
    blind = Captioner(tiny_bundle, sight.encoder, sight.device)
    said = pytest.raises(UsageError, match="does not look at pictures; take another one")
    with Library.open(tmp_path / "library", blind) as library, said:
        library.add([tmp_path])
    assert not (tmp_path / "library").exists()


# Searching.


@pytest.mark.parametrize("sentence", [SENTENCE, "the cat", "a zebra sits!", "snow"])
def test_a_search_ranks_as_the_captioner_does(library, photos, sight, sentence):
    """The dumb twin: encode every picture again, score all exactly."""
    library.add([photos])
    twin = sight.rank_images(
        sentence, sorted((photos / "a").iterdir()) + sorted(photos.glob("b/?.png"))
    )
    results = library.search(sentence)
    assert [str(one.picture) for one in results.found] == [match.item for match in twin.matches]
    assert [one.rank for one in results.found] == list(range(1, 7))
    for one, match in zip(results.found, twin.matches, strict=True):
        assert one.logprob == pytest.approx(match.logprob, abs=1e-2)
        assert one.log_ratio == pytest.approx(match.log_ratio, abs=1e-2)
        assert one.perplexity == pytest.approx(match.perplexity, rel=1e-2)
        [score] = sight.score(
            one.picture, [sentence.replace("zebra ", "")]
        )  # not in the vocabulary
        assert one.logprob == pytest.approx(score.logprob, abs=1e-2)
        assert (one.match, one.similarity) == (None, None)
        assert one.caption == captioned(sight, one.picture).text
    assert (results.query, results.pictures, results.threshold) == (sentence, 6, None)
    assert results.note == ""


def test_copies_are_one_result(library, photos):
    library.add([photos])
    [one] = [one for one in library.search(SENTENCE).found if one.copies]
    assert (one.picture, one.copies) == (photos / "a/0.png", (photos / "b/copy.png",))


@pytest.mark.parametrize("k", [1, 3, 6, 10**6])
def test_k(library, photos, k):
    library.add([photos])
    every = library.search(SENTENCE, 100)
    assert library.search(SENTENCE, k).found == every.found[:k]
    assert library.search(SENTENCE, k).pictures == 6
    nearest = library.like(photos / "a/0.png", 100).found
    assert library.like(photos / "a/0.png", k).found == nearest[:k]


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one(library, photos, k):
    library.add([photos])
    for use in (lambda: library.search(SENTENCE, k), lambda: library.like(photos / "a/0.png", k)):
        with pytest.raises(UsageError, match=f"k must be a whole number, 1 or more, not {k}"):
            use()


def test_equal_pictures_in_different_files_tie(library, tmp_path, picture):
    picture("x.png", seed=1, folder=tmp_path / "photos")
    for name in ("a.png", "b.bmp", "c.png"):
        path = picture(name, seed=4, folder=tmp_path / "photos")
    path.write_bytes(path.read_bytes() + b"another file, the same picture")
    library.add([tmp_path / "photos"])
    results = library.search(SENTENCE).found
    same = [one for one in results if one.picture.name != "x.png"]
    assert [one.picture.name for one in same] == ["a.png", "b.bmp", "c.png"]
    assert len({one.logprob for one in same}) == len({one.log_ratio for one in same}) == 1
    assert [one.copies for one in same] == [()] * 3


def test_an_empty_library(library, tmp_path, photos):
    (tmp_path / "empty").mkdir()
    assert figures(library.add([tmp_path / "empty"])) == {}
    results = library.search(SENTENCE)
    assert (results.found, results.pictures) == ((), 0)
    assert library.like(photos / "a/0.png").found == ()


def test_words_that_the_model_lacks(library, photos):
    library.add([photos])
    results = library.search("a dogs runs in zzzzzz")
    assert results.unknown == ("dogs", "zzzzzz")
    assert {one.match for one in results.found} == {None}
    known = library.search("a runs in")
    assert (results.found, known.unknown) == (known.found, ())


def test_nothing_is_found_by_words_that_say_nothing(photos, tmp_path):
    with Library.open(tmp_path / "library", load(device="cpu")) as library:
        library.add([photos])
        results = library.search("a zzyzx on a quxquux")
        assert (results.found, results.unknown) == ((), ("zzyzx", "quxquux"))
        assert results.pictures == 6
        assert library.search("a dog").found


@pytest.mark.parametrize("sentence", ["", " ", "?!"])
def test_a_sentence_without_words(library, photos, sentence):
    library.add([photos])
    with pytest.raises(UsageError, match="has no words to search for"):
        library.search(sentence)


def test_models_of_before_have_a_threshold_and_no_chances(photos, tmp_path):
    with Library.open(tmp_path / "library", seeing()) as library:
        library.add([photos])
        ratios = [one.log_ratio for one in library.search(SENTENCE).found]
    assert sorted(ratios, reverse=True) == ratios
    slope = 2.0  # of log 6 pictures
    at = (ratios[1] + ratios[2]) / 2
    match = threshold(at - slope * math.log(6), slope)
    with Library.open(tmp_path / "library", seeing(match=match)) as library:
        results = library.search(SENTENCE)
        assert results.threshold == pytest.approx(at)
        assert [one.match for one in results.found] == [True, True, *[False] * 4]
        assert {one.chance for one in results.found} == {None}
        assert {one.match for one in library.like(photos / "a/0.png").found} == {None}


def knowing(chance, captions=()):
    captioner = seeing()
    vocabulary = replace(captioner.vocabulary, captions=captions)
    known = replace(captioner.bundle, vocabulary=vocabulary, chance=chance)
    return Captioner(known, captioner.encoder)


def test_chances_are_those_of_the_sentence_and_the_library(photos, tmp_path):
    chance = replace(chances(0.5, 2.0), pictures=-1.0, prior=0.1, pictures_of_a_word=0.5)
    captioner = knowing(chance)
    with Library.open(tmp_path / "library", captioner) as library:
        library.add([photos])
        results = library.search(SENTENCE)
        like = library.like(photos / "a/0.png").found
    says = captioner.trust.content_words
    words = max(1, sum(bool(says[word]) for word in captioner.vocabulary.encode(SENTENCE)))
    size = math.log(6)
    for one in results.found:
        prior = one.logprob - one.log_ratio
        x = 0.5 + 2 * one.log_ratio - size + (0.1 * prior + 0.5 * size) / words
        assert one.chance == pytest.approx(1 / (1 + math.exp(-x)), abs=1e-3)
        assert one.match == (one.chance >= 0.5) == (one.log_ratio >= results.threshold)
    assert {(one.chance, one.match) for one in like} == {(None, None)}


def test_a_match_is_more_likely_right_than_not(photos, tmp_path):
    with Library.open(tmp_path / "library", seeing()) as library:
        library.add([photos])
        ratios = [one.log_ratio for one in library.search(SENTENCE).found]
    at = (ratios[1] + ratios[2]) / 2
    with Library.open(tmp_path / "library", knowing(chances(-at))) as library:
        results = library.search(SENTENCE)
        assert results.threshold == pytest.approx(at)
        assert [one.match for one in results.found] == [True, True, *[False] * 4]
        chance = [one.chance for one in results.found]
        assert chance == sorted(chance, reverse=True)
        assert chance[1] > 0.5 > chance[2]


def test_words_that_no_caption_taught_have_no_chance(photos, tmp_path):
    """What was measured says nothing of them, nor of words that the model lacks."""
    word = VOCABULARY.index("runs")
    captions = tuple(int(i != word) for i in range(len(VOCABULARY)))
    with Library.open(tmp_path / "library", knowing(chances(), captions)) as library:
        library.add([photos])
        for sentence, is_known in (("a dog", True), ("a dog runs", False), ("a zzzz dog", False)):
            results = library.search(sentence)
            told = {(one.chance is not None, one.match is not None) for one in results.found}
            assert told == {(is_known, is_known)}
            assert (results.threshold is not None) == is_known
            assert results.from_text_only == (("runs",) if "runs" in sentence else ())


@pytest.mark.parametrize("known", [{"chance": chances(99.0)}, {"match": threshold(-99.0)}])
def test_words_that_tell_no_pictures_apart_have_no_chance(photos, tmp_path, known):
    """A word that every picture has as much of is no reason to think one right."""
    captioner = seeing()
    captioner = Captioner(replace(captioner.bundle, **known), captioner.encoder)
    says = captioner.trust.content_words
    assert [bool(says[VOCABULARY.index(word)]) for word in ("snow", "dog")] == [False, True]
    with Library.open(tmp_path / "library", captioner) as library:
        library.add([photos])
        for sentence, is_told in (("a snow", False), ("a dog", True)):
            results = library.search(sentence)
            assert {one.match for one in results.found} == {True if is_told else None}
            assert is_told or {one.chance for one in results.found} == {None}
            assert (results.threshold is not None) == is_told
            notes = "".join(search_notes(results))
            assert ("no word of it tells pictures apart" in notes) != is_told


def test_like_is_the_cosine_to_every_picture(library, photos, sight, picture):
    library.add([photos])
    query = picture("query.png", seed=11)
    [term] = sight.terms_of(query)
    paths = [photos / ("ab"[i % 2]) / f"{i}.png" for i in range(6)]
    terms = [sight.terms_of(path)[0] for path in paths]
    cosines = [t @ term / np.linalg.norm(t) / np.linalg.norm(term) for t in terms]
    results = library.like(query, 4)
    order = np.argsort(cosines)[::-1][:4]
    assert [one.picture for one in results.found] == [paths[i] for i in order]
    for one, i in zip(results.found, order, strict=True):
        assert one.similarity == pytest.approx(cosines[i], abs=1e-3)
        assert (one.logprob, one.match) == (None, None)
    assert (results.query, results.pictures) == (str(query), 6)
    [first] = library.like(paths[3], 1).found
    assert (first.picture, first.similarity) == (paths[3], pytest.approx(1, abs=1e-3))


def test_like_a_picture_that_cannot_be_read(library, photos):
    library.add([photos])
    with pytest.raises(ImageError, match=r"bad\.jpg: not an image"):
        library.like(photos / "b/bad.jpg")
    with pytest.raises(ImageError, match="no such file"):
        library.like(photos / "absent.jpg")


def test_there_is_no_library_yet(library, tmp_path):
    for use in (lambda: library.search(SENTENCE), lambda: list(library.files())):
        with pytest.raises(DataError, match=r"no library there; make one: mrnn index PATH"):
            use()
    with pytest.raises(UsageError, match="no library there yet; say what to index: PATH"):
        library.add()
    assert not (tmp_path / "library").exists()


def test_it_may_be_used_again_after_it_was_closed(library, photos):
    library.add([photos])
    before = library.search(SENTENCE)
    library.close()
    library.close()
    assert library.search(SENTENCE) == before


# One writer, many readers.


@pytest.fixture
def in_twos(monkeypatch):
    """Parts of two pictures."""
    monkeypatch.setattr(describing, "BATCH", 2)


def test_readers_see_each_part_when_it_is_written(library, photos, sight, in_twos):
    library.add([photos / "a/0.png"])
    seen = []
    with Library.open(library.path, sight) as reader:
        before = reader.search(SENTENCE)

        def watched(*arguments):
            for part in describe(*arguments):
                yield part
                results = reader.search(SENTENCE, 100)
                seen.append({str(one.picture) for one in results.found})
                assert results.pictures == len(results.found) == len(seen[-1])

        assert len(before.found) == 1
        library.add([photos], describer=watched)
        sizes = [len(names) for names in seen]
        assert sizes == sorted(sizes)
        assert (len(sizes), sizes[-1]) == (4, 6)
        assert all(one <= other for one, other in itertools.pairwise(seen))
        assert reader.search(SENTENCE) == library.search(SENTENCE)
        library.remove([photos / "a"])
        assert len(reader.search(SENTENCE).found) == 4
        assert reader.like(photos / "a/0.png", 1).found[0].picture == photos / "b/copy.png"


def test_a_second_writer_is_told(library, photos, sight):
    def interfering(*arguments):
        with Library.open(library.path, sight) as second:
            for use in (lambda: second.add([photos]), lambda: second.remove([photos])):
                with pytest.raises(DataError) as caught:
                    use()
                assert str(caught.value) == (
                    f"{library.path}: another process adds to this library; wait for it"
                )
        yield from describe(*arguments)

    library.add([photos], describer=interfering)
    with Library.open(library.path, sight) as second:
        assert figures(second.add()) == {"files": 8}


def test_what_was_done_before_an_error_counts(library, photos, in_twos):
    with pytest.raises(KeyboardInterrupt):
        library.add([photos], describer=interrupted)
    assert len(places(library)) == 4
    assert len(found(library)) == 4
    done = library.add()
    assert figures(done) == {"files": 8, "new": 4, "read": 2}


# Whatever happens to a folder, the library tells what is there.

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from("pqrs"), st.integers(0, 4)),
        st.tuples(
            st.sampled_from(["move", "copy"]), st.sampled_from("pqrs"), st.sampled_from("pqrs")
        ),
        st.tuples(st.sampled_from(["delete", "remove"]), st.sampled_from("pqrs"), st.just("")),
        st.tuples(st.just("add"), st.just(""), st.just("")),
    ),
    max_size=14,
)


@given(STEPS)
@example([("write", "p", 0), ("add", "", ""), ("delete", "p", "")])  # the folder is empty then
@settings(max_examples=12, deadline=None)
def test_after_each_update_the_catalogue_is_what_is_there(sight, steps):
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        (top / "photos").mkdir()
        with Library.open(top / "library", sight) as library:
            library.add([top / "photos"])
            model: dict[str, int] = {}
            known: dict[str, int] = {}  # what the library shall tell
            seen: set[int] = set()  # what it knows, though it may lie nowhere
            for clock, (step, one, other) in enumerate([*steps, ("add", "", "")], start=1):
                path = top / "photos" / f"{one}.png"
                if step == "write":
                    grey = Image.new("RGB", (5, 5), (40 * other, 10, 99))
                    grey.save(path)
                    os.utime(path, (clock, clock))
                    model[one] = other
                elif step in ("move", "copy") and one in model and one != other:
                    shutil.copy2(path, path.with_stem(other))
                    model[other] = model[one]
                    if step == "move":
                        path.unlink()
                        del model[one]
                elif step == "delete" and one in model:
                    path.unlink()
                    del model[one]
                elif step == "remove":
                    assert library.remove([path]) == (one in known)
                    known.pop(one, None)
                    seen = set(known.values())
                elif step == "add" and known and not model:
                    done = library.add()  # the folder is empty: its disk may be away
                    assert figures(done) == {}
                    assert [error.code for _, error in done.errors] == ["empty"]
                elif step == "add":
                    done = library.add()
                    assert done.files == len(model)
                    assert done.new == len(model.keys() - known.keys())
                    assert done.deleted + done.moved == len(known.keys() - model.keys())
                    assert done.read == len(set(model.values()) - seen)
                    known = dict(model)
                    seen |= set(model.values())
                counts = {
                    "files": len(known),
                    "pictures": len(set(known.values())),
                    "unreadable": 0,
                }
                assert library.catalogue.counts() == counts
            results = library.search(SENTENCE, 100).found
            expected: dict[int, set[str]] = {}
            for stem, seed in known.items():
                expected.setdefault(seed, set()).add(stem)
            together = [{p.stem for p in (one.picture, *one.copies)} for one in results]
            assert sorted(map(sorted, together)) == sorted(map(sorted, expected.values()))
            with Library.open(top / "fresh", sight) as fresh:
                fresh.add([top / "photos"])
                again = fresh.search(SENTENCE, 100).found if model else results
                assert {(one.picture, one.logprob) for one in again} == {
                    (one.picture, one.logprob) for one in results
                }
