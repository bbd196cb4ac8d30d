"""`mrnn index` and `mrnn search` as a stranger or a script uses them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import struct
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from PIL import Image

from command_lines import document as of_schema
from command_lines import run
from dataset_layouts import jpeg, put, tar
from libraries import as_format_1, chances, save_seeing, threshold
from mrnn.captioner import load
from mrnn.model.bundle import save_bundle
from mrnn.records import percent

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


def document(command: str, *arguments: object) -> dict:
    """The JSON of a command, checked against its schema."""
    code, out, err = run(command, *arguments, "--json")
    found = json.loads(out)
    schema = json.loads((SCHEMAS / f"{command}.json").read_text())
    jsonschema.validate(found, schema, jsonschema.Draft202012Validator)
    return {"exit code": code, "stderr": err, **found}


@pytest.fixture
def model(tmp_path):
    return save_seeing(tmp_path / "model", match=threshold())


@pytest.fixture
def photos(picture, tmp_path):
    for i in range(4):
        picture(f"{i}.png", seed=i, folder=tmp_path / "photos")
    shutil.copy(tmp_path / "photos/0.png", tmp_path / "photos/copy.png")
    return tmp_path / "photos"


@pytest.fixture
def library(model, photos, tmp_path):
    folder = tmp_path / "library"
    assert run("index", photos, "--library", folder, "--model", model)[0] == 0
    return folder


def test_index_tells_what_it_found(photos, model, tmp_path):
    put(photos / "notes.txt", "mine")
    (photos / "none").mkdir()
    folder = tmp_path / "library"
    code, out, err = run("index", photos, "-l", folder, "-m", model)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "5 files looked at: 5 new, 0 changed, 0 moved, 0 deleted; 4 pictures read; "
        "1 files of other kinds left out (1 .txt)",
        f"{folder}: 4 distinct pictures in 5 files, 0 of them cannot be read",
    ]
    (photos / "3.png").rename(photos / "moved.png")
    code, out, _ = run("index", "-l", folder)
    assert code == 0
    assert out.startswith(
        "5 files looked at: 1 new, 0 changed, 1 moved, 0 deleted; 0 pictures read"
    )


def test_index_as_json(photos, model, tmp_path):
    put(photos / "notes.txt", "mine")
    bad = put(photos / "b\udcffad.jpg", "no")
    found = document("index", photos, tmp_path / "absent", "-l", tmp_path / "l", "-m", model)
    assert found["exit code"] == 3
    assert [error["image"] for error in found.pop("errors")] == [str(tmp_path / "absent"), str(bad)]
    assert found["stderr"].splitlines() == [
        f"mrnn: {tmp_path}/absent: no such file or folder",
        f"mrnn: {photos}/b\\xffad.jpg: not an image in a known format (JPEG, PNG, WebP, ...)",
    ]
    counts = {k: v for k, v in found.items() if k not in ("stderr", "exit code")}
    assert counts == {
        "library": str(tmp_path / "l"),
        "files": 6, "pictures": 4, "unreadable": 1,
        "looked_at": 6, "new": 6, "changed": 0, "moved": 0, "deleted": 0, "read": 4, "others": 1,
        "other_suffixes": {".txt": 1},
        "left_out": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("names", "code"),
    [(["0.png"], 0), (["0.png", "bad.jpg"], 3), (["bad.jpg"], 1), (["absent"], 1)],
)
def test_exit_codes(photos, model, tmp_path, names, code):
    put(photos / "bad.jpg", "no")
    paths = [photos / name for name in names]
    assert run("index", *paths, "-l", tmp_path / "library", "-m", model)[0] == code


def test_members_that_are_left_out_are_told(model, tmp_path):
    shard = put(tmp_path / "a.tar", tar([("0.jpg", jpeg("0.jpg")), ("a.pkl", b""), ("b.pkl", b"")]))
    code, out, err = run("index", shard, "-l", tmp_path / "library", "-m", model)
    assert code == 3
    assert out.startswith("1 files looked at: 1 new")
    assert err.count("a pickle, which could run any code; skipped") == 2


def test_of_many_errors_some_are_printed(model, tmp_path):
    for i in range(25):
        header = struct.pack("<IiiHHIIIIII", 40, 9 + i, 9, 1, 24, 100 + i, 0, 0, 0, 0, 0)
        content = b"BM" + struct.pack("<IHHI", 999, 0, 0, 54) + header + bytes(999)
        (tmp_path / "photos").mkdir(exist_ok=True)
        (tmp_path / "photos" / f"{i:02}.bmp").write_bytes(content)
    code, _, err = run("index", tmp_path / "photos", "-l", tmp_path / "library", "-m", model)
    assert code == 1
    assert len(err.splitlines()) == 21
    assert err.splitlines()[-1] == "mrnn: and 5 more; --json lists all"


def test_files_of_one_kind_are_told_of_together(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    folder = tmp_path / "photos"
    for i in range(9):
        put(folder / f"{i}.heic", f"\0\0\0\x18ftypheic\0\0\0\0mif1heic{i}")
    put(folder / "raw.dng", "no matter")
    put(folder / "broken.jpg", "no picture")
    code, out, err = run("index", folder, "-l", tmp_path / "library", "-m", model)
    assert code == 1
    kind = "a HEIC picture, for which a reader has to be installed: pip install 'mrnn[heif]'"
    assert err.splitlines() == [
        f"mrnn: 9 files, the first of them {folder}/0.heic: {kind}; or save it as JPEG",
        f"mrnn: {folder}/broken.jpg: not an image in a known format (JPEG, PNG, WebP, ...)",
        "mrnn: --json lists all",
    ]
    assert "1 files of other kinds left out (1 .dng)" in out


def test_what_nothing_could_read_is_tried_again_when_something_can(model, tmp_path, monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    folder, library = tmp_path / "photos", tmp_path / "library"
    folder.mkdir()
    heif.from_pillow(Image.new("RGB", (40, 30), "red")).save(folder / "a.heic")
    with monkeypatch.context() as lacking:
        lacking.setitem(sys.modules, "pillow_heif", None)
        lacking.setattr("mrnn.library.indexing.readers", lambda: "mrnn 0.2.0, pillow 12.0.0")
        assert "pip install 'mrnn[heif]'" in run("index", folder, "-l", library, "-m", model)[2]
        assert run("index", "-l", library)[::2] == (0, "")  # is told once
    code, out, err = run("index", folder, "-l", library)
    assert (code, err) == (0, "")
    assert "0 new, 0 changed" in out
    assert "1 distinct pictures in 1 files" in out
    assert len(document("search", "-l", library, "a dog")["results"]) == 1
    assert document("index", "-l", library)["read"] == 0


def test_what_there_was_no_memory_for_is_tried_again(model, photos, tmp_path, monkeypatch):
    def full(*_):
        raise MemoryError

    with monkeypatch.context() as scarce:
        scarce.setattr("mrnn.images.reading.decode", full)
        code, _, err = run("index", photos, "-l", tmp_path / "library", "-m", model)
    assert code == 1
    assert "5 files, the first of them" in err
    assert "there is not enough memory to open it" in err
    assert "4 distinct pictures in 5 files" in run("index", "-l", tmp_path / "library")[1]


def test_captions_may_wait(photos, model, tmp_path):
    folder = tmp_path / "library"
    run("index", photos, "-l", folder, "-m", model, "--no-captions")
    assert {one["caption"] for one in document("search", "-l", folder, "a dog")["results"]} == {
        None
    }
    assert "read" in run("index", "-l", folder)[1]
    captions = [one["caption"] for one in document("search", "-l", folder, "a dog")["results"]]
    assert all(isinstance(caption, str) for caption in captions)


@pytest.mark.parametrize("named", ["absolute", "relative", "remembered"])
def test_sidecars(photos, model, tmp_path, monkeypatch, named):
    (photos / "sub").mkdir()
    monkeypatch.chdir(photos / "sub")
    folder = tmp_path / "library"
    put(photos / "1.png.caption.txt", "my own words\n")
    given = {"absolute": [photos], "relative": [".."], "remembered": []}[named]
    if not given:
        run("index", photos, "-l", folder, "-m", model)
    code, _, err = run("index", *given, "-l", folder, "-m", model, "--sidecar")
    assert code == 3
    assert "1.png.caption.txt: exists and is not ours; left as it is" in err
    assert (photos / "1.png.caption.txt").read_text() == "my own words\n"
    written = sorted(path.name for path in photos.glob("*.caption.txt"))
    assert written == [f"{n}.png.caption.txt" for n in ("0", "1", "2", "3", "copy")]
    found = document("search", "-l", folder, "a dog")["results"]
    for one in found:
        if not one["image"].endswith("1.png"):
            assert Path(one["image"] + ".caption.txt").read_text().startswith(one["caption"] + "\n")
    times = {path: path.stat().st_mtime_ns for path in photos.iterdir()}
    run("index", *given, "-l", folder, "--sidecar")
    assert times == {path: path.stat().st_mtime_ns for path in photos.iterdir()}


def test_a_sidecar_follows_its_photo(photos, model, tmp_path):
    folder = tmp_path / "library"
    run("index", photos, "-l", folder, "-m", model, "--sidecar")
    sidecar = photos / "2.png.caption.txt"
    _, rest = sidecar.read_text().split("\n", 1)
    sidecar.write_text("another caption\n" + rest)  # of another model, say
    assert run("index", "-l", folder, "--sidecar")[0] == 0
    found = document("search", "--like", photos / "2.png", "-l", folder)["results"][0]
    assert sidecar.read_text().startswith(found["caption"] + "\n")


def test_all_that_failed_is_in_the_json(photos, model, tmp_path):
    put(photos / "1.png.caption.txt", "my own words\n")
    shard = put(tmp_path / "a.tar", tar([("0.jpg", jpeg("0.jpg")), ("a.pkl", b"")]))
    folder = tmp_path / "library"
    found = document("index", photos, shard, "-l", folder, "-m", model, "--sidecar")
    assert [error["image"] for error in found["errors"]] == [
        f"{shard}:a.pkl",
        str(photos / "1.png"),
    ]
    assert [error["error"]["code"] for error in found["errors"]] == ["data", "sidecar"]


def test_what_is_left_out_is_told(photos, model, tmp_path):
    put(photos / "@eaDir" / "0.png", "no")
    folder = tmp_path / "library"
    found = document("index", photos, "-l", folder, "-m", model, "--exclude", "1.*")
    assert found["left_out"] == {"1.*": 1, "@eaDir": 1}
    assert found["stderr"] == "left out by their names: 1.* (1), @eaDir (1)\n"
    assert found["looked_at"] == 4
    again = run("index", "-l", folder)
    assert again[0] == 0
    assert again[1].startswith("4 files looked at: 0 new")
    assert run("index", "-l", folder, "--exclude", "")[1].startswith("5 files looked at: 1 new")


def test_problems_are_listed_without_opening_anything(photos, model, tmp_path, monkeypatch):
    put(photos / "more" / "bad.jpg", "no")
    folder = tmp_path / "library"
    code, out, err = run("index", photos, "-l", folder, "-m", model)
    assert code == 3
    assert out.endswith("1 of them cannot be read: mrnn index --problems lists them\n")
    assert (
        err
        == f"mrnn: {photos}/more/bad.jpg: not an image in a known format (JPEG, PNG, WebP, ...)\n"
    )
    assert run("index", "-l", folder)[::2] == (0, "")  # it was told
    monkeypatch.setattr("mrnn.captioner.load", None)
    expected = (0, err.removeprefix("mrnn: "), "")
    assert run("index", "--problems", "-l", folder) == expected
    assert run("index", photos / "more", "--problems", "-l", folder) == expected
    assert run("index", photos / "0.png", "--problems", "-l", folder) == (0, "", "")
    code, out, err = run("index", photos / "gone", "--problems", "-l", folder)
    none = f"mrnn: {photos}/gone: nothing of it is in the library\n"
    assert (code, out, err) == (1, "", none)
    code, out, _ = run("index", "--problems", "--json", "-l", folder)
    found = json.loads(out)
    jsonschema.validate(found, json.loads((SCHEMAS / "problems.json").read_text()))
    assert found["library"] == str(folder)
    assert [one["error"]["code"] for one in found["errors"]] == ["not-an-image"]


@pytest.mark.parametrize(
    "more",
    [
        ["--rebuild"],
        ["--sidecar"],
        ["--no-captions"],
        ["--exclude", "x"],
        ["--exclude", ""],
        ["--watch"],
        ["--ray", "local"],
    ],
)
def test_listing_and_taking_out_go_with_nothing_else(library, photos, more):
    before = run("search", "-l", library, "a dog")
    for option, does in (("--problems", "lists"), ("--forget", "takes out")):
        code, out, err = run("index", option, photos, "-l", library, *more)
        told = f"mrnn: {option} only {does}; it goes with PATHs and --json alone\n"
        assert (code, out, err) == (2, "", told)
    assert run("search", "-l", library, "a dog") == before


def test_listing_takes_nothing_out(library, photos):
    code, _, err = run("index", "--problems", "--forget", photos, "-l", library)
    assert (code, "--problems only lists" in err) == (2, True)
    assert run("index", "--problems", "-l", library.parent)[0] == 1


def test_a_library_of_before_is_told_of(library):
    as_format_1(library / "catalogue.sqlite")
    code, _, err = run("index", "-l", library)
    assert code == 0
    assert err == f"{library}: brought up to date; older versions cannot open it any more\n"


def test_a_search_of_one_picture_or_none(foretelling, photos):
    model = foretelling.parent / "sure"
    save_bundle(replace(load(model).bundle, chance=chances(-99.0)), model)
    for photo in [photos / "copy.png", *(photos / f"{i}.png" for i in range(3))]:
        run("index", "--forget", photo, "-l", foretelling)
    _, _, err = run("search", "-l", foretelling, "a dog runs")
    assert err == "the only picture is not more likely right than not (the best <1%)\n"
    run("index", "--forget", photos, "-l", foretelling)
    for sentence in ("a dog runs", "quokka"):
        code, _, err = run("search", "-l", foretelling, sentence)
        assert code == 0
        assert "the library has no pictures" in err


def test_a_library_whose_photos_lie_elsewhere_now(library, photos, tmp_path):
    photos.rename(tmp_path / "mounted")
    _, _, err = run("search", "-l", library, "a dog runs", "-k", 2)
    assert (
        "2 of the pictures found are not where they were; if their folder lies elsewhere now: "
        "mrnn index THAT-FOLDER, which decodes none of them again"
    ) in err.splitlines()
    assert "5 new, 0 changed, 4 moved" in run("index", tmp_path / "mounted", "-l", library)[1]
    code, out, err = run("search", "-l", library, "a dog runs", "-o", tmp_path / "found.html")
    assert code == 0
    assert "not where they were" not in err
    assert f"{tmp_path}/mounted/" in out
    assert f"{photos}/" not in out
    assert (tmp_path / "found.html").read_text().count("<img ") == 4


def test_forget(library, photos):
    code, out, _ = run("index", "-l", library, "--forget", photos / "1.png", photos / "2.png")
    assert (code, out) == (0, f"{library}: 2 files taken out, 3 left\n")
    assert len(document("search", "-l", library, "a dog")["results"]) == 2
    assert (photos / "1.png").exists()
    code, out, _ = run("index", "-l", library, "--forget", photos / "3.png", "--json")
    assert code == 0
    assert of_schema("forget", out) == {"library": str(library), "forgotten": 1, "files": 2}


def test_forget_needs_no_model(library, photos, model):
    shutil.rmtree(model)
    code, out, err = run("index", "-l", library, "--forget", photos / "1.png")
    assert (code, out, err) == (0, f"{library}: 1 files taken out, 4 left\n", "")
    code, _, err = run("index", "-l", library)
    assert code == 1
    assert "the model it was made with is not found" in err


def test_sidecars_pass_over_a_folder_that_cannot_be_entered(library, photos, monkeypatch):
    known = Path.stat

    def refuse(path, **options):
        if path.name == "2.png":
            raise PermissionError(13, "Permission denied")
        return known(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", refuse)
        code, out, err = run("index", photos, "-l", library, "--sidecar")
    assert code == 3
    assert "4 distinct pictures in 5 files" in out
    assert f"{photos}/2.png: cannot be read (Permission denied)" in err
    assert (photos / "3.png.caption.txt").exists()


def test_words_of_a_strange_catalogue_cannot_steer_the_terminal(library):
    with contextlib.closing(sqlite3.connect(library / "catalogue.sqlite")) as connection:
        connection.execute("UPDATE contents SET caption = 'a\x1b]0;owned\x07'")
        connection.commit()
    _, out, _ = run("search", "-l", library, "a dog")
    assert "\x1b" not in out
    assert "owned" in out


def test_search_prints_a_table(library, photos):
    code, out, err = run("search", "-l", library, "a dog runs", "-k", 3)
    header, *lines = out.splitlines()
    assert code == 0
    assert header.split() == [
        "log",
        "P",
        "perplexity",
        "log",
        "ratio",
        "match",
        "image:",
        "caption",
    ]
    assert len(lines) == 3
    found = document("search", "-l", library, "a dog runs", "-k", 3)["results"]
    for line, one in zip(lines, found, strict=True):
        logprob, perplexity, ratio, match, rest = line.split(maxsplit=4)
        assert float(logprob) == pytest.approx(one["logprob"], abs=0.01)
        assert float(perplexity) == pytest.approx(one["perplexity"], abs=0.01)
        assert float(ratio) == pytest.approx(one["log_ratio"], abs=0.01)
        assert match == ("yes" if one["match"] else "-")
        more = " (and 1 more of it)" if one["copies"] else ""
        assert rest == f"{one['image']}{more}: {one['caption']}"
    assert ("none of 4 pictures" in err) == (not any(one["match"] for one in found))


def test_search_as_json_is_what_rank_images_says(library, photos, model):
    """The dumb twin, through the command line."""
    found = document("search", "-l", library, "a dog runs in")
    assert (found["query"], found["pictures"], found["errors"]) == ("a dog runs in", 4, [])
    pictures = [photos / f"{i}.png" for i in range(4)]
    _, out, _ = run("rank-images", "a dog runs in", *pictures, "-m", model, "--json")
    twin = json.loads(out)["results"]
    assert [one["image"] for one in found["results"]] == [one["image"] for one in twin]
    for one, other in zip(found["results"], twin, strict=True):
        assert one["logprob"] == pytest.approx(other["logprob"], abs=1e-2)
        assert one["log_ratio"] == pytest.approx(other["log_ratio"], abs=1e-2)
        assert one["match"] == (one["log_ratio"] >= found["threshold"])
        assert one["similarity"] is None
    [copied] = [one for one in found["results"] if one["copies"]]
    assert (copied["image"], copied["copies"]) == (
        str(photos / "0.png"),
        [str(photos / "copy.png")],
    )


def test_search_like(library, photos, picture):
    found = document("search", "-l", library, "--like", photos / "2.png", "-k", 2)
    assert found["query"] == str(photos / "2.png")
    assert found["results"][0]["image"] == str(photos / "2.png")
    assert found["results"][0]["similarity"] == pytest.approx(1, abs=1e-3)
    assert (found["results"][0]["logprob"], found["threshold"]) == (None, None)
    code, out, err = run("search", "-l", library, "--like", photos / "2.png", "-k", 2)
    assert (code, err) == (0, "")
    header, first, _ = out.splitlines()
    assert header.split() == ["similarity", "image:", "caption"]
    assert first.split()[:2] == ["1.000", f"{photos}/2.png:"]


@pytest.fixture
def shelves(model, photos, tmp_path):
    """A library of three folders, whose photos are of two days, by their files."""
    for name, folder, day in (
        ("0.png", "2023/Rome", 1.684e9),  # 13 May 2023
        ("1.png", "2024", 1.7168e9),  # 27 May 2024
        ("2.png", "2024/Oslo", 1.7168e9),
    ):
        (photos / folder).mkdir(parents=True, exist_ok=True)
        (photos / name).rename(photos / folder / name)
        os.utime(photos / folder / name, (day, day))
    for name in ("3.png", "copy.png"):
        (photos / name).unlink()
    assert run("index", photos, "--library", tmp_path / "library", "--model", model)[0] == 0
    return tmp_path / "library"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"0.png", "1.png", "2.png"}),
        (["--since", "2024-01-01"], {"1.png", "2.png"}),
        (["--until", "2023-12-31"], {"0.png"}),
        (["--since", "2024-01-01", "--folder", "2024/Oslo"], {"2.png"}),
        (["--folder", "2024"], {"1.png", "2.png"}),
        (["--folder", "2024/"], {"1.png", "2.png"}),
        (["--folder", "PHOTOS/2023"], {"0.png"}),
        (["--folder", "PHOTOS/2024/../2023/Rome/"], {"0.png"}),
        (["--folder", "PHOTOS"], {"0.png", "1.png", "2.png"}),
        (["--since", "2024-01-01", "--folder", "2023"], set()),
        (["--since", "2024-01-02", "--until", "2024-01-01"], set()),
    ],
)
@pytest.mark.parametrize("by", ["sentence", "likeness"])
def test_search_among_some(shelves, photos, options, expected, by):
    options = [option.replace("PHOTOS", str(photos)) for option in options]
    what = ["a dog runs"] if by == "sentence" else ["--like", photos / "2024/1.png"]
    found = document("search", "-l", shelves, *what, *options)
    assert {Path(one["image"]).name for one in found["results"]} == expected
    assert found["pictures"] == len(expected)
    nothing = "no picture of the library is of this folder and these days\n"
    assert (nothing in found["stderr"]) == (not expected)


def test_a_folder_or_day_that_cannot_be_meant(shelves, photos, monkeypatch):
    def said(*options: object) -> str:
        code, out, err = run("search", "-l", shelves, "a dog", *options)
        assert (code, out) == (2, "")
        return err.removeprefix("mrnn: ")

    for option in ("--since", "--until"):
        for wrong in ("2024-02-30", "2024", "yesterday", "", "20240531"):
            assert said(option, wrong) == f"{option} takes a day, as 2024-05-31, not {wrong!r}\n"
    names = "2023, 2023/Rome, 2024, 2024/Oslo"
    unknown = "no photos of the library lie in a folder"
    for wrong in ("nowhere", "", "/", photos.parent, "2024/../../photos"):
        assert said("--folder", wrong) == f"{unknown} {str(wrong)!r}; it has {names}\n"
    assert said("--folder", "2024/Olso") == f"{unknown} '2024/Olso'; it has 2024/Oslo, 2024\n"
    monkeypatch.chdir(photos)  # a path counts from where one stands
    assert len(document("search", "-l", shelves, "a dog", "--folder", "2023")["results"]) == 1
    assert len(document("search", "-l", shelves, "a dog", "--folder", ".")["results"]) == 3
    for more in (photos / "2023", photos / "2024/1.png"):  # known by a name of their own, too
        run("index", more, "-l", shelves)
        for whole, count in ((".", 3), ("2024", 2)):
            found = document("search", "-l", shelves, "a dog", "--folder", whole)["results"]
            assert len(found) == count


def test_days_of_files_are_told_of(shelves):
    as_format_1(shelves / "catalogue.sqlite")
    found = document("search", "-l", shelves, "a dog", "--since", "2024-01-01")
    assert len(found["results"]) == 2
    told = (
        "this library does not tell when its photos were taken, but when their files were changed"
    )
    assert told in found["stderr"]
    assert told not in document("search", "-l", shelves, "a dog", "--folder", "2024")["stderr"]


def test_unknown_words_are_named(library):
    _, _, err = run("search", "-l", library, "a dog dogs zzzz\x1b")
    assert "not in the vocabulary (mrnn words --list): dogs, zzzz; " in err


def test_words_that_say_nothing_find_nothing(library):
    code, out, err = run("search", "-l", library, "zzzz")
    assert (code, out) == (1, "")
    assert "zzzz; nothing else in the sentence tells pictures apart\n" in err
    code, out, _ = run("search", "-l", library, "zzzz", "--json")
    found = json.loads(out)
    assert (code, found["results"], found["unknown"]) == (1, [], ["zzzz"])


def test_no_good_match_is_said(photos, tmp_path):
    model = save_seeing(tmp_path / "strict", match=threshold(50.0))
    run("index", photos, "-l", tmp_path / "library", "-m", model)
    _, out, err = run("search", "-l", tmp_path / "library", "a dog runs")
    best = document("search", "-l", tmp_path / "library", "a dog runs")["results"][0]["log_ratio"]
    assert "none of 4 pictures" in err
    assert "log-ratio of +50.00" in err
    assert f"(best {best:+.2f})" in err
    assert out.count(" - ") == 4


@pytest.fixture
def foretelling(photos, tmp_path):
    """A library whose first picture is likely right, to a model that knows chances."""
    model = save_seeing(tmp_path / "sure", chance=chances())
    run("index", photos, "-l", tmp_path / "told", "-m", model)
    ratio = document("search", "-l", tmp_path / "told", "a dog runs")["results"][0]["log_ratio"]
    captioner = load(model)
    save_bundle(replace(captioner.bundle, chance=chances(2 - ratio)), model)
    return tmp_path / "told"


def test_how_likely_a_picture_is_right_is_what_people_see(foretelling, tmp_path):
    page = tmp_path / "page.html"
    _, out, _ = run("search", "-l", foretelling, "a dog runs", "-o", page)
    found = document("search", "-l", foretelling, "a dog runs")["results"]
    header, *lines = out.splitlines()
    assert "ratio  right  image: caption" in header
    assert f"{found[0]['chance']:.0%}" == "88%"
    for line, one in zip(lines, found, strict=True):
        assert line.split()[3] == percent(one["chance"])
        assert one["match"] == (one["chance"] >= 0.5)
    html = page.read_text()
    assert "<strong>88% likely right</strong> · perplexity" in html
    assert html.count(" likely right</strong>") == len(found)
    assert html.count("<div class='right'>") == sum(one["match"] for one in found)
    assert "threshold" not in html


def test_that_nothing_is_likely_right_is_said(foretelling):
    model = foretelling.parent / "sure"
    save_bundle(replace(load(model).bundle, chance=chances(-99.0)), model)
    _, out, err = run("search", "-l", foretelling, "a dog runs")
    assert "none of 4 pictures is more likely right than not (the best <1%); the right one" in err
    assert out.count(" <1%  ") == 4


def test_why_nothing_can_be_told_of_words_from_text_is_said(foretelling, tmp_path):
    model = foretelling.parent / "sure"
    bundle = load(model).bundle
    captions = tuple(int(word != "runs") for word in bundle.vocabulary.words)
    vocabulary = replace(bundle.vocabulary, captions=captions)
    save_bundle(replace(bundle, vocabulary=vocabulary), model)
    page = tmp_path / "page.html"
    _, out, err = run("search", "-l", foretelling, "a dog runs", "-o", page)
    said = "known from text only: runs; how likely a picture is right cannot be told"
    assert said in err
    told = document("search", "-l", foretelling, "a dog runs")["from_text_only"]
    assert told == ["runs"]
    assert said in page.read_text()
    assert "likely right<" not in page.read_text()
    header, *lines = out.splitlines()
    cell = slice(header.index("right") - 1, header.index("image"))
    assert [line[cell].strip() for line in lines] == [""] * 4


def test_a_page_carries_its_pictures(library, photos, tmp_path):
    page = tmp_path / "page.html"
    code, _, err = run("search", "-l", library, "a dog & <snow>", "-o", page)
    assert code == 0
    assert f"page: {page}" in err
    text = page.read_text()
    assert text.count('<img src="data:image/jpeg;base64,') == 4
    assert "http://" not in text
    assert "https://" not in text
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in text
    assert "a dog &amp; &lt;snow&gt;" in text
    assert "<br>copy.png</p>" in text
    assert not re.search(r"<(script|link|iframe)", text)


def test_a_page_of_odd_names_and_lost_pictures(model, picture, tmp_path):
    odd = picture("<b onload=x>'\"&\udcff\n.png", seed=1, folder=tmp_path / "photos")
    lost = picture("lost.png", seed=2, folder=tmp_path / "photos")
    folder, page = tmp_path / "library", tmp_path / "p\udcffage.html"
    run("index", odd.parent, "-l", folder, "-m", model)
    lost.unlink()
    for query in (["a dog"], ["--like", odd]):
        code, out, err = run("search", "-l", folder, *query, "-o", page)
        assert code == 0
        assert "\\xff\\n.png" in out
        assert "\udcff" not in out + err
        text = page.read_text()
        assert "<b onload" not in text
        assert "&lt;b onload=x&gt;&#x27;&quot;&amp;\\xff\\n.png" in text
        assert text.count('<img src="data:') == 1
        assert "lost.png: cannot be read" in text


def test_a_page_that_cannot_be_written(library, tmp_path):
    code, out, err = run("search", "-l", library, "a dog", "-o", tmp_path / "absent" / "p.html")
    assert code == 1
    assert "p.html: cannot be written (No such file or directory)" in err
    assert out == ""  # told before the search


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("search", "a dog"), 2, "--library"),
        (("search", "-l", "{library}"), 2, "give either a sentence or --like PHOTO"),
        (("search", "-l", "{library}", "a", "--like", "b"), 2, "give either a sentence or --like"),
        (("search", "-l", "{library}", "a", "-k", "0"), 2, "-k"),
        (("search", "-l", "{library}", "..."), 2, "has no words to search for"),
        (("search", "-l", "{library}", "--like", "absent"), 1, "absent: no such file"),
        (("search", "-l", "absent", "a dog"), 1, "absent: no library there; make one: mrnn index"),
        (("search", "-l", "{library}", "a dog", "-m", "plain"), 1, "with another model ({model}, "),
        (("search", "-l", "{library}", "a dog", "-m", "absent"), 1, "absent"),
        (("index", "-l", "absent"), 2, "absent: no library there yet; say what to index: PATH"),
        (("index", "-l", "{library}", "-m", "plain"), 1, "anew for this one: mrnn index"),
        (("index", "-l", "{photos}", "{photos}"), 1, "holds other files, and no library"),
        (("index", "-l", "{library}", "--sidecar", "--no-captions"), 2, "does not go with --no-c"),
        (("index", "-l", "{library}", "--forget"), 2, "--forget needs the PATHs to take out"),
        (("index", "-l", "absent", "--forget", "a"), 1, "absent: no library there"),
        (("index", "-l", "{library}", "-m", "plain"), 1, "--rebuild --model plain"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    library, photos, model, monkeypatch, tmp_path, arguments, code, message
):
    monkeypatch.chdir(tmp_path)
    places = {"library": library, "photos": photos, "model": model}
    found, _, err = run(*(argument.format(**places) for argument in arguments))
    assert found == code
    assert message.format(**places) in " ".join(err.split())


def test_an_interrupted_rebuild_for_another_model_goes_on(library, photos, tmp_path, monkeypatch):
    other = save_seeing(tmp_path / "other", seed=5)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("mrnn.library.vectors.VectorStore.write", interrupt)
        code, _, err = run("index", "-l", library, "-m", other, "--rebuild")
    assert (code, err) == (130, "mrnn: interrupted\n")
    code, out, _ = run("index", "-l", library)
    assert code == 0
    assert "4 distinct pictures in 5 files" in out
    best = document("search", "-l", library, "a dog runs")["results"][0]
    twin = load(other).rank_images("a dog runs", sorted(photos.glob("*.png"))).matches[0]
    assert best["logprob"] == pytest.approx(twin.logprob, abs=1e-2)


def test_a_library_from_another_place(library, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = document("search", "-l", os.path.relpath(library), "a dog")
    assert len(found["results"]) == 4
    library.rename(tmp_path / "moved")
    assert document("search", "-l", "moved", "a dog")["results"] == found["results"]
