"""Where a model lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from mrnn.errors import BundleError
from mrnn.model.directory import find_bundle, require_directory


def test_shipped_names_and_directories(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_bundle("default") != find_bundle("plain")
    assert find_bundle("plain").parent.name == "bundles"
    assert find_bundle("some/dir") == Path("some/dir")
    (tmp_path / "plain").mkdir()
    assert find_bundle("plain").parent.name == "bundles"  # whatever folder we stand in
    assert find_bundle("./plain") == Path("plain")


def test_a_directory_must_be_there(tmp_path):
    require_directory(find_bundle("plain"))
    (tmp_path / "file").touch()
    for name in ("gone", "file"):
        with pytest.raises(BundleError, match=f"{name}: no such model directory .*default, plain"):
            require_directory(tmp_path / name)
