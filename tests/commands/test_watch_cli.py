"""`mrnn index --watch` as a person or a service sees it; the pauses are events."""

from __future__ import annotations

import json
from functools import partial

import pytest

from command_lines import document, run
from libraries import save_seeing
from mrnn.errors import DataError
from mrnn.library import watching
from mrnn.library.library import Library


@pytest.fixture
def folders(picture, tmp_path, monkeypatch):
    """A model, photos and what shall happen in the pauses; then Ctrl-C is pressed."""
    picture("photos/a.png", seed=1)
    events: list = []

    def wait(_):
        if not events:
            raise KeyboardInterrupt
        events.pop(0)()

    watch = partial(watching.watch, wait=wait, now=lambda: 1e10)
    monkeypatch.setattr(watching, "watch", watch)
    return save_seeing(tmp_path / "model"), tmp_path / "photos", tmp_path / "library", events


def nothing():
    """A pause in which nothing happens."""


def test_what_is_told(folders, picture):
    model, photos, library, events = folders
    events += [nothing, nothing, lambda: picture("photos/b.png", seed=2), nothing]
    events += [(photos / "a.png").unlink, (photos / "bad.jpg").touch, nothing]
    code, out, err = run("index", photos, "-l", library, "-m", model, "--watch")
    lines = out.splitlines()
    assert code == 130
    assert lines[0].startswith("1 files looked at: 1 new")
    assert lines[1] == f"{library}: 1 distinct pictures in 1 files, 0 of them cannot be read"
    assert [line.split("  ", 1)[1] for line in lines[2:]] == [
        "1 new, 0 changed, 0 moved, 0 deleted; 2 distinct pictures in 2 files",
        "0 new, 0 changed, 0 moved, 1 deleted; 1 distinct pictures in 1 files",
        "1 new, 0 changed, 0 moved, 0 deleted; 1 distinct pictures in 2 files",
    ]
    assert err.splitlines() == [
        "watching for changes, until Ctrl-C",
        f"mrnn: {photos}/bad.jpg: the file is empty",
        "watching is over",
    ]


def test_the_first_update_can_be_interrupted(folders, monkeypatch):
    model, photos, library, _ = folders

    def interrupted(self, **how):
        raise KeyboardInterrupt

    monkeypatch.setattr(Library, "add", interrupted)
    found = run("index", photos, "-l", library, "-m", model, "--watch")
    assert found == (130, "", "mrnn: interrupted\n")


def test_quiet_has_nothing_to_say_at_the_end(folders):
    model, photos, library, _ = folders
    code, _, err = run("index", photos, "-l", library, "-m", model, "--watch", "-q")
    assert (code, err) == (130, "")


def test_what_may_still_be_being_copied_is_told(folders, monkeypatch):
    model, photos, library, events = folders
    young = partial(watching.watch, now=lambda: (photos / "a.png").stat().st_ctime)
    monkeypatch.setattr(watching, "watch", young)
    events += [nothing, nothing]
    _, out, err = run("index", photos, "-l", library, "-m", model, "--watch")
    told = "watching for changes, until Ctrl-C; 1 files that are still being copied come next\n"
    assert told in err
    assert out.splitlines()[-1].endswith(
        "  1 new, 0 changed, 0 moved, 0 deleted; 1 distinct pictures in 1 files"
    )


def test_json_is_a_document_an_update(folders, picture):
    model, photos, library, events = folders
    events += [nothing, nothing, lambda: picture("photos/b.png", seed=2), nothing]
    _, out, _ = run("index", photos, "-l", library, "-m", model, "--watch", "--json")
    assert [document("index", line)["new"] for line in out.splitlines()] == [1, 1]


def test_sidecars_are_written_as_photos_come(folders, picture):
    model, photos, library, events = folders
    events += [nothing, nothing, lambda: picture("photos/b.png", seed=2), nothing]
    run("index", photos, "-l", library, "-m", model, "--watch", "--sidecar")
    assert sorted(path.name for path in photos.glob("*.txt")) == [
        "a.png.caption.txt",
        "b.png.caption.txt",
    ]


def test_what_fails_for_a_while_is_told_once(folders, monkeypatch):
    model, photos, library, events = folders
    add, calls = Library.add, []

    def held(self, **how):
        calls.append(how)
        if len(calls) in (2, 3):
            raise DataError("l: another process adds to this library; wait for it")
        return add(self, **how)

    monkeypatch.setattr(Library, "add", held)
    events += [nothing] * 5
    _, _, err = run("index", photos, "-l", library, "-m", model, "--watch")
    assert err.count("another process adds to this library") == 1
    assert len(calls) == 4


def test_a_wrong_name_leaves_no_library_behind(folders, tmp_path):
    model, photos, library, _ = folders
    wrong = [tmp_path / "wrong", tmp_path / "photos/a.png/x"]
    for more in ([], ["--watch"], ["--json"]):
        code, out, err = run("index", *wrong, "-l", library, "-m", model, *more)
        told = "; ".join(f"{path}: no such file or folder" for path in wrong)
        assert (code, out, err) == (1, "", f"mrnn: {told}\n")
        assert not library.exists()
    code, out, _ = run("index", wrong[0], photos, "-l", library, "-m", model, "--json")
    assert (code, json.loads(out)["pictures"]) == (3, 1)


def test_a_folder_that_can_be_no_library_is_told_before_a_model_is_opened(folders, monkeypatch):
    model, photos, library, _ = folders
    monkeypatch.setattr("mrnn.captioner.load", None)
    code, _, err = run("index", photos, "-l", photos, "-m", model)
    assert (code, "holds other files, and no library" in err) == (1, True)
    (library.parent / "file").touch()
    code, _, err = run("index", photos, "-l", library.parent / "file", "-m", model)
    assert (code, err) == (1, f"mrnn: {library.parent}/file: File exists\n")
