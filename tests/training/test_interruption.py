"""A training that is killed anywhere ends, resumed, with the very weights of one that was not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mrnn
from mrnn.training.run_folder import training_folder
from mrnn.training.run_records import read_records

# Trains in forked children, each of which kills itself at the n-th time that it opens, renames or
# removes a file; prints how often it took a new one until the training was finished.
DRIVER = """
import json, os, signal, sys
import torch
from mrnn.model import bundle
from mrnn import captioner
from mrnn.images import encoders
from mrnn.training import fit
from mrnn.training import training
from mrnn.training import image_network
from mrnn.commands.cli import app
torch.set_num_threads(1)
arguments, kills = json.loads(sys.argv[1])
runs = 0
for kill in [*kills, None]:
    runs += 1
    child = os.fork()
    if not child:
        count = 0
        def watch(event, details):
            global count
            if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"):
                count += 1
                if count == kill:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(watch)
        sys.stdout = sys.stderr = open(os.devnull, "w")
        try:
            app([*arguments, "--resume"] if runs > 1 else arguments)
        except SystemExit as end:
            os._exit(end.code)  # else ONNX Runtime waits for a thread that a fork leaves behind
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        break
print(runs, os.WEXITSTATUS(status))
"""


def drive(arguments: list[str], kills: list[int]) -> tuple[int, int]:
    """How many processes it took, and the exit code of the last one."""
    environment = {**os.environ, "PYTHONPATH": os.fspath(Path(mrnn.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps([arguments, kills])],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    runs, code = done.stdout.split()
    return int(runs), int(code)


@pytest.fixture
def features(flickr_layout, tmp_path):
    """Features of the little data set, so that the image is learned from without an encoder."""
    names = [f"{i}.jpg" for i in range(11)]
    np.save(tmp_path / "feats.npy", np.random.default_rng(0).random((11, 5), dtype=np.float32))
    (tmp_path / "feats.txt").write_text("\n".join(names) + "\n")
    return tmp_path / "feats.npy"


QUICK = ("--epochs", "3", "--batch", "3", "--minimum-count", "1", "--patience", "9")


def test_killed_at_random_points_it_ends_with_the_same_weights(flickr_layout, tmp_path, features):
    text = tmp_path / "text.txt"
    text.write_text("a dog sits\nthe cat runs in the snow\na cat sits in the snow\n")
    more = ("--features", str(features), "--text", str(text), "--text-epochs", "2")
    kills = np.random.default_rng(1).integers(20, 160, 4).tolist()
    whole, killed = both(flickr_layout, tmp_path, [*QUICK, *more], kills)
    for name in ("model.safetensors", "vocab.json", "config.json"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()


def test_killed_while_the_encoder_learns_it_ends_with_the_same_weights(flickr_layout, tmp_path):
    more = (
        "--encoder", "efficientnet-lite0", "--train-encoder", "--encoder-blocks", "1",
        "--encoder-learning-rate", "0.001", "--learning-rate", "0.01",
    )  # fmt: skip
    kills = np.random.default_rng(2).integers(150, 420, 2).tolist()
    whole, killed = both(flickr_layout, tmp_path, [*QUICK, *more], kills)
    for name in ("model.safetensors", "encoder.safetensors", "config.json"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()


def both(data: Path, folder: Path, options: list[str], kills: list[int]) -> tuple[Path, Path]:
    """A model trained in one go, and one whose training was killed again and again."""
    outputs = folder / "whole" / "model", folder / "killed" / "model"  # the command is in the card
    records = []
    for output, points in zip(outputs, ([], kills), strict=True):
        command = ["train", str(data), "-o", str(output), "--checkpoint-minutes", "0", *options]
        runs, code = drive(command, points)
        assert code == 0
        assert runs > 1 or not points
        assert not (training_folder(output) / "checkpoint.safetensors").exists()
        found = read_records(training_folder(output) / "metrics.jsonl")
        records.append([replace(record, seconds=0) for record in found])
    assert records[0] == records[1]
    return outputs
