"""configs/: the settings of the shipped bundles, with which their cards' commands make them."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path

import pytest

from mrnn.config import SHIPPED
from mrnn.model.bundle import load_bundle
from mrnn.model.directory import find_bundle
from mrnn.training.settings import read_toml, settle

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_bundle_was_made_with_the_settings_of_its_name(name):
    bundle = load_bundle(find_bundle(name))
    settings = settle({}, ROOT / "configs" / f"{name}.toml")
    now, then = asdict(settings.train_config()), bundle.training["config"]
    assert {key: now[key] for key in then} == then
    sizes = settings.model_config()
    for size in ("embedding", "recurrent", "multimodal"):
        assert getattr(sizes, size) == getattr(bundle.model.config, size)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_says_the_command(name):
    command = load_bundle(find_bundle(name)).training["command"]
    assert f"Made by\n\n    {command}\n" in (find_bundle(name) / "README.md").read_text()
    words = shlex.split(command)
    assert words[:3] == ["mrnn", "train", "flickr8k"]
    assert words[-2:] == ["-o", name]
    if "--config" in words:
        assert words[words.index("--config") + 1] == f"configs/{name}.toml"
    if "--from" in words:  # what a file of settings makes, too
        began = words[words.index("--from") + 1].removeprefix("./")
        assert (ROOT / "configs" / f"{began}.toml").exists()


@pytest.mark.parametrize("path", sorted((ROOT / "configs").iterdir()), ids=lambda path: path.name)
def test_no_setting_is_left_to_defaults_that_may_change(path):
    """But for those of phases that the run does not have."""
    told = read_toml(path)
    left = settle({}).by_name.keys() - told.keys()
    absent = {"text-epochs"}
    absent |= set() if told.get("train-encoder") else {name for name in left if "encoder" in name}
    if not told.get("prototypes"):
        absent |= {name for name in left if "prototype" in name} | {"encoder-share"}
    assert left <= absent
