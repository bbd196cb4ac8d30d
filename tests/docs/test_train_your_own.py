"""docs/train-your-own.md does what it says: every block is run, in its order."""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from typer.testing import CliRunner

import mrnn
from mrnn.commands.cli import app

PAGE = (Path(__file__).parents[2] / "docs" / "train-your-own.md").read_text()
PICTURES = 20
COLOURS = ("red", "blue", "green", "black")


def commands() -> list[str]:
    return re.findall(r"^    ((?:mrnn|torchrun) .*)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Shapes on white, each with two captions, as the page has them; and the page's files."""
    folder = tmp_path_factory.mktemp("own")
    images = folder / "my-pictures" / "images"
    images.mkdir(parents=True)
    draw = np.random.default_rng(0)
    rows = []
    for number in range(1, PICTURES + 1):
        image = Image.new("RGB", (96, 96), "white")
        colour = COLOURS[draw.integers(len(COLOURS))]
        shape = ("circle", "square")[draw.integers(2)]
        left, top = draw.integers(5, 40, 2).tolist()
        box = (left, top, left + 50, top + 50)
        pen = ImageDraw.Draw(image)
        (pen.ellipse if shape == "circle" else pen.rectangle)(box, fill=colour)
        image.save(images / f"{number:04}.jpg")
        rows += [
            (f"{number:04}.jpg", f"a {colour} {shape} on a white ground"),
            (f"{number:04}.jpg", f"one {colour} {shape}"),
        ]
    with (folder / "my-pictures" / "captions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "caption"), *rows])
    (folder / "sentences.txt").write_text("a red circle beside a blue square\none green circle\n")
    for name, content in re.findall(r"```toml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL):
        (folder / name).write_text(content)
    return folder


def test_the_page_has_the_blocks_that_are_run():
    assert len(commands()) == 11
    assert PAGE.count("```toml") == 1


@pytest.fixture(scope="module")
def outcome(folder):
    """Exit code and output of every command of the page, by the command."""
    before = Path.cwd()
    os.chdir(folder)
    results = {}
    try:
        for line in commands():
            words = shlex.split(line)
            if words[0] == "mrnn":
                done = CliRunner().invoke(app, words[1:], catch_exceptions=False)
                results[line] = (done.exit_code, done.stdout, done.stderr)
            else:
                run = [sys.executable, "-m", "torch.distributed.run", "--standalone", *words[1:]]
                source = os.fspath(Path(mrnn.__file__).parents[1])
                environment = {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}
                done = subprocess.run(
                    run, capture_output=True, text=True, env=environment, check=False
                )
                results[line] = (done.returncode, done.stdout, done.stderr)
    finally:
        os.chdir(before)
    return results


@pytest.mark.parametrize("line", commands())
def test_every_command_of_the_page_succeeds(outcome, line):
    code, out, err = outcome[line]
    assert code == 0, err
    assert out


def test_what_the_page_promises(outcome, folder):
    assert {path.name for path in (folder / "my-model.training").iterdir()} == {
        ".lock", "report.html", "config.toml", "finished.json", "metrics.jsonl", "split.tsv"
    }  # fmt: skip
    assert "seed = 2  # mine.toml\n" in (folder / "second.training" / "config.toml").read_text()
    first, again = (result for line, result in outcome.items() if "-o second" in line)
    assert again[1] == first[1]  # finished already: the same model
    assert (folder / "sees-better" / "encoder.safetensors").exists()
    assert (folder / "together" / "config.json").exists()
    found = next(v for k, v in outcome.items() if k.startswith("mrnn rank-images"))[1]
    assert len(found.splitlines()) == 1 + 5


def test_the_description_of_a_network_can_be_read():
    import json

    from mrnn.images.reading import Preprocessing

    [block] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert Preprocessing.from_json(json.loads(block)).size == 224
