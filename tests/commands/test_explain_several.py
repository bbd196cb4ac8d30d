"""`mrnn explain` of several photos, and the folder of their pages."""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager
from urllib.parse import unquote

import pytest

from command_lines import document, run
from libraries import save_seeing
from mrnn.commands import explaining


@pytest.fixture
def model(tmp_path):
    return save_seeing(tmp_path / "model")


@pytest.fixture
def photos(picture, tmp_path):
    for i, name in enumerate(("a.png", "sub/a.png", "sub/<b>%20&.png")):
        picture(f"photos/{name}", seed=i)
    return tmp_path / "photos"


def pages(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_each_has_what_it_has_alone(model, photos):
    code, out, err = run("explain", photos, "-m", model, "--json")
    assert (code, err) == (0, "")
    names = ["a.png", "sub/<b>%20&.png", "sub/a.png"]
    for name, line in zip(names, out.splitlines(), strict=True):
        assert document("explain", line)["image"] == f"{photos}/{name}"
        assert line == run("explain", photos / name, "-m", model, "--json")[1].strip()
    tables = [run("explain", photos / name, "-m", model)[1] for name in names]
    assert run("explain", *(photos / name for name in names), "-m", model)[1] == "".join(tables)


def test_a_folder_gets_a_page_for_each(model, photos, tmp_path):
    folder, one = tmp_path / "new/pages", tmp_path / "one.html"
    code, out, err = run("explain", photos, "-m", model, "-o", folder, "--sentence", "a dog")
    assert (code, out) == (0, "")
    names = ["a.png.html", "explained.html", "sub/<b>%20&.png.html", "sub/a.png.html"]
    assert pages(folder) == names
    assert f"written: {folder}/sub/a.png.html\n" in err
    run("explain", photos / "sub/a.png", "-m", model, "-o", one, "--sentence", "a dog")
    assert (folder / "sub/a.png.html").read_bytes() == one.read_bytes()
    contents = (folder / "explained.html").read_text()
    links = re.findall(r'href="\./([^"]+)"', contents)
    assert sorted({unquote(link) for link in links}) == [names[0], *names[2:]]
    assert "<b>" not in contents
    assert contents.count("<img ") == 3
    assert str(tmp_path) not in contents


def test_photos_of_one_name_have_two_pages(model, photos, tmp_path):
    (tmp_path / "pages").mkdir()
    both = photos / "a.png", photos / "sub/a.png"
    assert run("explain", *both, "-m", model, "-o", tmp_path / "pages")[0] == 0
    assert pages(tmp_path / "pages") == ["a.png-2.html", "a.png.html", "explained.html"]


def test_pages_that_are_there_stay(model, photos, picture, tmp_path):
    """Another photo may have had the name, and the contents would lack it."""
    folder, other = tmp_path / "pages", tmp_path / "other"
    picture("other/sub/a.png", seed=7)
    assert run("explain", photos, "-m", model, "-o", folder)[0] == 0
    before = {path: path.read_bytes() for path in folder.rglob("*.html")}
    for again, page in ((photos, "a.png.html"), (other, "sub/a.png.html")):
        code, out, err = run("explain", again, "-m", "absent", "-o", folder)
        told = f"mrnn: {folder}/{page}: is there already; name another folder, or take it away\n"
        assert (code, out, err) == (2, "", told)
    picture("other/b.png")
    code, _, err = run("explain", other / "b.png", "-m", model, "-o", folder)
    assert (code, "explained.html: is there already" in err) == (2, True)
    assert {path: path.read_bytes() for path in folder.rglob("*.html")} == before
    empty = tmp_path / "mine"
    empty.mkdir()
    (empty / "explained.html").symlink_to("nowhere")
    assert run("explain", photos, "-m", model, "-o", empty)[0] == 2


def test_a_photo_without_a_suffix_is_not_the_contents(model, photos, tmp_path):
    shutil.copy(photos / "a.png", named := photos / "explained")
    folder = tmp_path / "pages"
    assert run("explain", named, photos, "-m", model, "-o", folder)[0] == 0
    assert (folder / "explained-2.html").exists()
    assert 'href="./explained-2.html"' in (folder / "explained.html").read_text()


def test_a_bad_photo_never_stops_the_others(model, photos, tmp_path):
    (photos / "bad.jpg").write_text("no picture")
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "sub").touch()  # nothing can be written there
    code, out, err = run(
        "explain", tmp_path / "absent.png", photos, "-m", model, "-o", folder, "--json"
    )
    documents = [document("explain", line) for line in out.splitlines()]
    codes = [d.get("error", {}).get("code") for d in documents]
    assert (code, codes) == (3, ["missing", None, "not-an-image", "page", "page"])
    assert f"mrnn: {folder}/sub/a.png.html: cannot be written (File exists)" in err
    assert "sub/a.png.html" not in (folder / "explained.html").read_text()


def test_nothing_is_written_where_all_failed(model, tmp_path):
    names = tmp_path / "a.jpg", tmp_path / "b.jpg"
    code, out, err = run("explain", *names, "-m", model, "-o", tmp_path / "pages")
    assert (code, out, len(err.splitlines())) == (1, "", 2)
    assert not (tmp_path / "pages").exists()


@pytest.mark.parametrize("name", ["out.png", "out.html"])
def test_a_single_file_is_for_one_photo(photos, tmp_path, name):
    code, out, err = run("explain", photos, "-m", "absent", "-o", tmp_path / name)
    assert (code, out) == (2, "")
    assert f"{name}: is for one photo; for several name a folder" in err


def test_a_folder_that_cannot_be_made_is_told_before(photos, tmp_path):
    (tmp_path / "file").touch()
    code, _, err = run("explain", photos, "-m", "absent", "-o", tmp_path / "file")
    assert (code, err) == (1, f"mrnn: {tmp_path}/file: File exists\n")


def test_progress_is_told(model, photos, monkeypatch):
    shown = []

    @contextmanager
    def progress(what, beside_output):
        yield lambda done, total: shown.append((what, done, total))

    monkeypatch.setattr(explaining, "progress", progress)
    run("explain", photos, "--exclude", "<b>*", "-m", model)
    assert shown == [("explaining", 1, 2), ("explaining", 2, 2)]


def test_a_sentence_among_the_photos_is_told_how_to_be_given(model, photos, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    told = "mrnn: {}: if it is a sentence to explain, say --sentence TEXT"
    for text in ("a dog", "dog", "A dog runs in the snow."):
        code, out, err = run("explain", photos / "a.png", text, "-m", model)
        assert (code, out != "") == (3, True)  # of the photo
        assert err.splitlines() == [told.format(text), f"mrnn: {text}: no such file"]
    _, _, err = run("explain", photos / "a.png", "a dog", "-o", "a.html")
    assert err.startswith(told.format("a dog"))
    for path in ("absent.jpg", tmp_path / "absent", "photos"):
        assert "--sentence" not in run("explain", photos / "a.png", path, "-m", model)[2]
    _, _, err = run("explain", photos / "a.png", "a", "--sentence", "a dog", "-m", model)
    assert "TEXT" not in err
