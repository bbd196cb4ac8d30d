"""Where `-o` may write: nothing of the user's is written over, and nothing into a library."""

from __future__ import annotations

import pytest

from command_lines import run
from libraries import save_seeing


@pytest.fixture
def model(tmp_path):
    return save_seeing(tmp_path / "model")


@pytest.fixture
def photos(picture, tmp_path):
    for i in range(2):
        picture(f"photos/{i}.png", seed=i)
    return tmp_path / "photos"


@pytest.fixture
def library(model, photos, tmp_path):
    folder = tmp_path / "library"
    assert run("index", photos, "--library", folder, "--model", model)[0] == 0
    return folder


@pytest.mark.parametrize("command", ["search", "demo"])
@pytest.mark.parametrize("name", ["catalogue.sqlite", "README", "page.txt", "a.jpg", "a.htm"])
def test_a_page_is_never_written_over_another_kind_of_file(library, photos, command, name):
    place = (library if name == "catalogue.sqlite" else photos) / name
    before = place.read_bytes() if place.exists() else None
    what = ("a dog", "-l", library) if command == "search" else (photos,)
    code, out, err = run(command, *what, "-o", place)
    assert (code, out) == (2, "")
    assert f"{name}: a page is written; choose a name that ends with .html" in err
    assert (place.read_bytes() if place.exists() else None) == before


def test_nothing_is_written_into_a_library(library, photos, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(library / "vectors")
    before = sorted(library.rglob("*"))
    for command in (("search", "a dog", "-l", library), ("demo", photos), ("explain", photos)):
        for place in (library / "pages", library, link / "pages"):
            page = place if command[0] == "explain" else place / "p.html"
            code, out, err = run(*command, "-o", page)
            assert (code, out) == (2, "")
            assert f"{page}: lies in the library {library}; choose another place" in err
    code, _, err = run("explain", photos / "1.png", "-o", library / "p.png")
    assert (code, "lies in the library" in err) == (2, True)
    code, _, err = run("evaluate", photos, "--report", library / "report")
    assert (code, "lies in the library" in err) == (2, True)
    assert sorted(library.rglob("*")) == before
