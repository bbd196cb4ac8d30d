"""docs/train-your-own.md does what it says: every block is run, in its order."""

from __future__ import annotations

import csv
import json
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
from mrnn.images.encoders import open_encoder
from mrnn.images.onnx_files import read_onnx
from mrnn.images.reading import preprocess, read_image
from mrnn.onnx_graphs import node
from onnx_models import FLOAT, model, weight_elsewhere

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
    bring_a_network(folder / "clip")
    for name, content in re.findall(r"```toml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL):
        (folder / name).write_text(content)
    return folder


def bring_a_network(folder: Path) -> None:
    """As the page's export leaves it, here tiny: weights beside it, and Hugging Face's file."""
    folder.mkdir()
    name = "network.onnx"
    nodes = [
        node("GlobalAveragePool", ["pixels"], "pooled"),
        node("Flatten", ["pooled"], "means"),
        node("MatMul", ["means", "w"], "feature"),
    ]
    weights = [weight_elsewhere("w", [3, 8], f"{name}.data", offset=0, length=96)]
    floats = ("pixels", ["pictures", 3, 224, 224], FLOAT), ("feature", ["pictures", 8], FLOAT)
    (folder / name).write_bytes(model(nodes, floats[:1], floats[1:], weights))
    matrix = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    (folder / f"{name}.data").write_bytes(matrix.tobytes())
    theirs = {
        "image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 224}, "resample": 3,
        "crop_size": {"height": 224, "width": 224}, "do_center_crop": True, "do_normalize": True,
        "image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28],
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(theirs))


def test_the_page_has_the_blocks_that_are_run():
    assert len(commands()) == 12
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
    assert (folder / "sees-as-clip" / "encoder.onnx").exists()
    found = next(v for k, v in outcome.items() if k.startswith("mrnn rank-images"))[1]
    assert len(found.splitlines()) == 1 + 5


def test_the_description_of_a_network_can_be_read():
    from mrnn.images.reading import Preprocessing

    [block] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert Preprocessing.from_json(json.loads(block)).size == 224


# The Python of the page needs packages that mrnn does not: where they are not, only its names are
# checked. Tried with transformers 5.24, torch 2.13, onnx 1.23 and onnxscript 0.7.

SMALL = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "patch_size": 56}


def block(name: str) -> str:
    [found] = re.findall(rf"```python\n# {name}\n(.*?)```", PAGE, re.DOTALL)
    return found


def test_the_python_of_the_page_compiles_and_finds_what_is_ours():
    for name in ("export.py", "in_8_bits.py"):
        compile(block(name), name, "exec")
    ours = re.findall(r"^from mrnn.*$", block("in_8_bits.py"), re.MULTILINE)
    exec("\n".join(ours), found := {})
    assert found["read_onnx"] is read_onnx
    assert found["preprocess"] is preprocess


@pytest.mark.filterwarnings("ignore")  # of other people's exporters
def test_the_exports_of_the_page_give_the_features_of_pytorch(folder, tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    small = transformers.CLIPVisionConfig(
        **SMALL, intermediate_size=64, image_size=224, projection_dim=24
    )
    clip = transformers.CLIPVisionModelWithProjection(small).eval()
    dinov2 = transformers.Dinov2Model(transformers.Dinov2Config(**SMALL, image_size=448)).eval()
    clip.save_pretrained("openai/clip-vit-base-patch32")
    dinov2.save_pretrained("facebook/dinov2-small")
    transformers.CLIPImageProcessor().save_pretrained("openai/clip-vit-base-patch32")
    transformers.BitImageProcessor(size={"shortest_edge": 256}).save_pretrained(
        "facebook/dinov2-small"
    )
    exec(block("export.py"), {"__name__": "export"})
    pictures = sorted((folder / "my-pictures" / "images").iterdir())
    for name, output in (("clip", "image_embeds"), ("dinov2", "last_hidden_state")):
        encoder = open_encoder(f"{name}/network.onnx")
        how = encoder.preprocessing
        assert (how.size, how.crop) == (224, {"clip": 1.0, "dinov2": 0.875}[name])
        pixels = np.stack([preprocess(read_image(path), how) for path in pictures])
        with torch.no_grad():
            expected = getattr({"clip": clip, "dinov2": dinov2}[name](torch.tensor(pixels)), output)
        if name == "dinov2":
            assert "the first, the class token, is the feature" in encoder.remark
            expected = expected[:, 0]
        np.testing.assert_allclose(encoder.encode(pixels), expected.numpy(), atol=1e-4)
    (tmp_path / "my-pictures").symlink_to(folder / "my-pictures")
    exec(block("in_8_bits.py"), {"__name__": "in_8_bits"})
    whole, rounded = open_encoder("clip/network.onnx"), open_encoder("clip-8/network.onnx")
    pixels = np.stack([preprocess(read_image(p), whole.preprocessing) for p in pictures])
    a, b = whole.encode(pixels), rounded.encode(pixels)
    cosines = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosines.min() > 0.9
    np.testing.assert_array_equal(rounded.encode(pixels[:1])[0], b[0])
