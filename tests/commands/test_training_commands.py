"""`mrnn train` leaves in the card the command that gives the model again."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from command_lines import run
from mrnn.commands.cli import app
from mrnn.commands.learned_from import image_side
from mrnn.commands.training import _command
from mrnn.datasets import read_dataset
from mrnn.errors import UsageError
from mrnn.model.bundle import load_bundle
from mrnn.training import image_network
from mrnn.training.settings import settle

TINY = ("--encoder", "none", "--epochs", "1", "--minimum-count", "1", "--multimodal", "8")


def test_the_card_says_the_command(flickr_layout, tmp_path, monkeypatch):
    monkeypatch.chdir(flickr_layout.parent)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "tiny.toml").write_text("embedding = 8\n")
    (tmp_path / "secret" / "more.txt").write_text("a dog sits\n")
    files = ("--config", tmp_path / "secret" / "tiny.toml", "--text", "secret/more.txt")
    words = ["train", flickr_layout, "-o", tmp_path / "my model", *files, *TINY]
    assert CliRunner().invoke(app, [*map(str, words)]).exit_code == 0
    command = load_bundle(tmp_path / "my model").training["command"]
    assert shlex.split(command) == [
        *("mrnn", "train", "birds", "--config", "tiny.toml", "--text", "more.txt"),
        *("--encoder", "none", "--epochs", "1", "--minimum-count", "1", "--multimodal", "8"),
        *("-o", "my model"),
    ]
    card = (tmp_path / "my model" / "README.md").read_text()
    assert f"Made by\n\n    {command}\n" in card
    assert "secret" not in card


def command(given=(), flags=(), data="data", output="model"):
    files = {name: several if isinstance(several, list) else [several] for name, several in given}
    return _command(Path(data), files, settle(dict(flags)), Path(output))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"config": Path("configs/default.toml")}, "--config configs/default.toml"),
        ({"config": Path("/home/me/own.toml")}, "--config own.toml"),
        ({"from": "plain"}, "--from plain"),
        ({"from": "./plain"}, "--from ./plain"),
        ({"from": "/home/me/plain"}, "--from ./plain"),
        ({"features": Path("private/feats.npy")}, "--features feats.npy"),
        ({"text": [], "images": Path("/photos")}, "--images photos"),
        ({"text": [Path("/a/b.txt"), Path("/c/d.txt")]}, "--text b.txt --text d.txt"),
    ],
)
def test_files_are_named_without_their_folders(given, words):
    assert command(given.items()) == f"mrnn train data {words} -o model"


def test_flags_are_as_they_were_given():
    flags = {"train-encoder": True, "learning-rate": 1e-3, "encoder": "/home/me/net.onnx"}
    assert shlex.split(command(flags=flags))[3:-2] == [
        *("--encoder", "net.onnx", "--learning-rate", "0.001", "--train-encoder"),
    ]


def test_a_gpu_that_is_not_there_is_missed_before_any_work(flickr_layout, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, _, err = run("train", flickr_layout, "-o", tmp_path / "model", "--device", "cuda")
    assert (code, err) == (
        2, "mrnn: PyTorch finds no GPU here; type: mrnn info, to see which build it is\n"
    )  # fmt: skip
    assert not (tmp_path / "model.training").exists()


def test_features_are_computed_where_learning_is(flickr_layout, monkeypatch):
    devices, data = [], read_dataset(flickr_layout)
    monkeypatch.setattr(image_network, "in_torch", lambda e, device: devices.append(device) or e)
    for name in ("cpu", "meta"):  # a device that every machine has stands for a GPU
        side = image_side(settle({}), None, None, None, data, torch.device(name))
        assert side.encoder.file is not None
    assert devices == [torch.device("meta")]


@pytest.mark.parametrize("encoder", ["none", "efficientnet-lite0"])
def test_eight_bits_that_cannot_be_are_said(flickr_layout, capsys, encoder):
    """Of its eight training pictures one is of one colour."""
    Image.new("RGB", (9, 9)).save(flickr_layout / "Flicker8k_Dataset" / "3.jpg")
    data, cpu = read_dataset(flickr_layout), torch.device("cpu")
    asked = settle({"encoder": encoder, "precision": 8})
    with pytest.raises(UsageError, match=rf"^8 bits need .* out: {encoder} stays in 32 bits$"):
        image_side(asked, None, None, None, data, cpu)
    assert image_side(settle({"encoder": encoder}), None, None, None, data, cpu)
    told = f"8 training pictures of more than one colour: {encoder} stays in 32 bits\n"
    assert capsys.readouterr().err.endswith(told) == (encoder != "none")


def test_a_name_that_is_no_text_is_shown_all_the_same(tmp_path):
    odd = os.fsdecode(b"caf\xe9\n`rm`")
    shown = command(data=tmp_path / odd, output=odd)
    assert "\n" not in shown
    shown.encode()
