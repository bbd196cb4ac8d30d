"""MRNN_MODEL and MRNN_LIBRARY: what need not be typed each time."""

from __future__ import annotations

import json

import pytest
import typer

from command_lines import run
from libraries import save_seeing, threshold
from mrnn.commands.cli import app
from mrnn.model.bundle import save_bundle


@pytest.fixture
def model(tmp_path):
    return save_seeing(tmp_path / "model", match=threshold())


@pytest.fixture
def photos(picture, tmp_path):
    picture("photos/a.png", seed=1)
    return tmp_path / "photos"


@pytest.fixture
def library(model, photos, tmp_path):
    assert run("index", photos, "-l", tmp_path / "library", "-m", model)[0] == 0
    return tmp_path / "library"


def test_a_default_model(model, photos, monkeypatch):
    expected = run("caption", photos, "-m", model)
    monkeypatch.setenv("MRNN_MODEL", str(model))
    assert run("caption", photos) == expected
    assert run("caption", photos, "-m", "absent")[0] == 1  # what is typed goes first
    kind = json.loads(run("info", "--json")[1])["model"]
    assert kind["directory"] == str(model)


def test_a_default_library(library, monkeypatch):
    expected = run("search", "a dog", "-l", library)
    assert expected[0] == 0
    monkeypatch.setenv("MRNN_LIBRARY", str(library))
    assert run("search", "a dog") == expected
    assert run("index")[1].startswith("1 files looked at: 0 new")
    assert run("search", "a dog", "-l", "absent")[0] == 1


def test_empty_values_count_as_not_set(library, photos, monkeypatch):
    monkeypatch.setenv("MRNN_MODEL", "")
    monkeypatch.setenv("MRNN_LIBRARY", "")
    assert json.loads(run("info", "--json")[1])["model"]["directory"].endswith("bundles/default")
    code, _, err = run("search", "a dog")
    assert (code, "--library" in err, "MRNN_LIBRARY" in err) == (2, True, True)


def test_a_library_s_own_model_goes_before_the_variable(library, model, monkeypatch, tmp_path):
    monkeypatch.setenv("MRNN_MODEL", str(tmp_path / "absent"))
    assert run("search", "a dog", "-l", library)[0] == 0
    assert run("index", "-l", library)[0] == 0


def test_a_new_library_is_made_with_the_variable_s_model(model, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("MRNN_MODEL", str(model))
    assert run("index", photos, "-l", tmp_path / "new")[0] == 0
    monkeypatch.delenv("MRNN_MODEL")
    assert run("search", "a dog", "-l", tmp_path / "new", "-m", model)[0] == 0


def test_faults_name_the_variable(photos, model, monkeypatch, tmp_path):
    monkeypatch.setenv("MRNN_MODEL", "absent")
    names = "no such model directory (shipped models: default, plain) (MRNN_MODEL names it)\n"
    for command in (["caption", photos], ["info"], ["index", photos, "-l", tmp_path / "l"]):
        assert run(*command) == (1, "", f"mrnn: absent: {names}")
    assert "MRNN_MODEL" not in run("info", "-m", "gone")[2]
    (model / "config.json").write_text("{")
    monkeypatch.setenv("MRNN_MODEL", str(model))
    code, _, err = run("caption", photos)
    assert (code, err.endswith("(MRNN_MODEL names it)\n")) == (1, True)
    monkeypatch.setenv("MRNN_LIBRARY", str(tmp_path / "nowhere"))
    code, _, err = run("search", "a dog")
    assert (code, err.endswith("(MRNN_LIBRARY names it)\n")) == (1, True)


def test_the_server_knows_them_too(tiny_bundle, tmp_path, monkeypatch):
    save_bundle(tiny_bundle, tmp_path / "model")
    monkeypatch.setenv("MRNN_LIBRARY", str(tmp_path / "nowhere"))
    code, _, err = run("serve")
    assert (code, "no library there" in err, "MRNN_LIBRARY names it" in err) == (1, True, True)
    monkeypatch.setenv("MRNN_LIBRARY", "")
    monkeypatch.setenv("MRNN_MODEL", "absent")
    assert run("serve")[2].endswith("(MRNN_MODEL names it)\n")


def test_help_names_them():
    options = [o for c in typer.main.get_command(app).commands.values() for o in c.params]
    assert {o.envvar for o in options if o.name == "library"} == {"MRNN_LIBRARY"}
    told = [f"{o.envvar} {o.show_default}" for o in options if o.name == "model"]
    assert len(told) == 12
    assert all("MRNN_MODEL" in text for text in told)
    help_text = run("search", "--help")[1]
    assert "env var: MRNN_LIBRARY" in help_text
