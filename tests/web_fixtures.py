"""Servers and a browser that all tests of the web page share."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import pytest
from PIL import ExifTags, Image
from typer.testing import CliRunner

from mrnn.commands.cli import app
from mrnn.commands.samples import sample_photos
from web_browser import Browser, require_chromium, tiles
from web_servers import KEY, address, save_sightless, serving


@pytest.fixture(scope="session")
def photos() -> list[Path]:
    return sample_photos()


# Where the photos of the library lie, by their order, and when they were taken. One does not say.
SHELVES = (
    ("2023/Alps", "2023:02:03 09:00:00"),
    ("2024", "2024:05:31 10:00:00"),
    ("2024/Rome", "2024:05:31 18:30:00"),
    ("2024/Rome", None),
)
CHANGED = datetime(2024, 6, 1, 12)  # the file of that one


def shelve(photos: list[Path], folder: Path) -> None:
    """Put copies of photos, pixel for pixel, on the shelves."""
    for photo, (shelf, taken) in zip(photos, SHELVES, strict=True):
        exif = Image.Exif()
        exif[ExifTags.Base.Make] = "a camera"
        if taken:
            exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken
        copy = folder / shelf / photo.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(photo) as image:
            image.save(copy, exif=exif)
        os.utime(copy, (CHANGED.timestamp(), CHANGED.timestamp()))


@pytest.fixture(scope="session")
def servers(photos, tmp_path_factory):
    """The addresses of a server with a library, and of a sightless one that asks for a key."""
    require_chromium()
    folder = tmp_path_factory.mktemp("web")
    shelve(photos, folder / "photos")
    (folder / "key").write_text(KEY + "\n")
    (folder / "key").chmod(0o600)
    library, logs = folder / "library", (folder / "open.log", folder / "keyed.log")
    sightless = save_sightless(folder / "sightless")
    with serving(logs[1], "--model", sightless, "--key-file", folder / "key") as keyed:
        index = ["index", str(folder / "photos"), "--library", str(library)]
        assert CliRunner().invoke(app, index).exit_code == 0
        with serving(logs[0], "--library", library) as opened:
            yield address(opened, logs[0]), address(keyed, logs[1])


@pytest.fixture(scope="session")
def server(servers):
    return servers[0]


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    require_chromium()
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def page(server, browser):
    """The page just opened; after the test it must have kept to its rules."""
    browser.open(server + "#explain")
    browser.until_text("#model", "words")
    yield browser
    assert browser.faults() == []
    asked = browser.run("return performance.getEntriesByType('resource').map(e => e.name)")
    assert asked
    assert [url for url in asked if not url.startswith((server, f"blob:{server}"))] == []


@pytest.fixture
def grid(page):
    """The page at its Photos view, with all four photos."""
    page.go("#photos")
    tiles(page, 4)
    return page
