"""Servers and a browser that all tests of the web page share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mrnn.commands.cli import app
from mrnn.commands.samples import sample_photos
from web_browser import Browser, require_chromium
from web_servers import KEY, address, save_sightless, serving


@pytest.fixture(scope="session")
def photos() -> list[Path]:
    return sample_photos()


@pytest.fixture(scope="session")
def servers(photos, tmp_path_factory):
    """The addresses of a server with a library, and of a sightless one that asks for a key."""
    require_chromium()
    folder = tmp_path_factory.mktemp("web")
    (folder / "photos").mkdir()
    for photo in photos:
        shutil.copy(photo, folder / "photos")
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
    browser.open(server)
    browser.until_text("#model", "words")
    yield browser
    assert browser.faults() == []
    asked = browser.run("return performance.getEntriesByType('resource').map(e => e.name)")
    assert asked
    assert [url for url in asked if not url.startswith((server, f"blob:{server}"))] == []
