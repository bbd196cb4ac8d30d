"""Python as its docs show it: every public name has an example, and all of them run."""

from __future__ import annotations

import doctest
import io
import pydoc
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageOps

import mrnn

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
NAMES = [name for name in mrnn.__all__ if name != "__version__"]
METHODS = {
    mrnn.Captioner: (
        "caption",
        "caption_many",
        "explain",
        "rank_images",
        "rank_sentences",
        "score",
    ),
    mrnn.Library: ("add", "like", "search"),
}


@pytest.fixture(scope="module")
def shipped():
    return mrnn.load(device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, shipped):
    """The photos that the examples speak of, and a library of two."""
    folder = tmp_path_factory.mktemp("python")
    names = "holiday.jpg", "beach.jpg", "photos/a.jpg", "photos/b.jpg", "album/c.jpg"
    for seed, name in enumerate(names):
        draw = np.random.default_rng(seed)
        blocks = Image.fromarray(draw.integers(0, 256, (6, 8, 3), np.uint8))
        (folder / name).parent.mkdir(exist_ok=True)
        blocks.resize((320, 240)).save(folder / name, quality=90)
    with mrnn.Library.open(folder / "photos.library", shipped) as library:
        library.add([folder / "holiday.jpg", folder / "beach.jpg"])
    return folder


@pytest.fixture
def photos(folder, monkeypatch):
    monkeypatch.chdir(folder)


@pytest.mark.parametrize("name", [*NAMES, "mrnn"])
def test_every_public_name_has_an_example_that_runs(name, shipped, photos):
    thing = getattr(mrnn, name, mrnn)
    names = {"mrnn": mrnn, "captioner": shipped, "Path": Path}
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [t for t in finder.find(thing, name, module=False, globs=names) if t.examples]
    shown = {test.name for test in found}
    assert name in shown
    assert {f"{name}.{method}" for method in METHODS.get(thing, ())} <= shown
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    said: list[str] = []
    for test in found:
        runner.run(test, out=said.append)
    assert not runner.summarize(verbose=False).failed, "".join(said)


def test_the_page_runs(shipped, photos, capsys):
    """But for other people's packages, which the two tests below have."""
    names: dict[str, object] = {}
    for block in BLOCKS:
        if "pandas" not in block and "datasets" not in block:
            exec(block.replace("mrnn.load()", "shipped"), names | {"shipped": shipped}, names)
    said = capsys.readouterr().out
    assert "failed: missing gone.jpg: no such file" in said
    assert "perplexity" in said


def run_block(having: str, **names: object) -> dict[str, object]:
    """What the block of the page with these words leaves, its imports of other packages given."""
    [block] = [block for block in BLOCKS if having in block]
    for line in ("import pandas as pd", "from datasets import load_dataset"):
        block = block.replace(line, "")
    exec(block, names, names)
    return names


def test_a_table_of_a_folder(shipped, photos):
    """pandas makes a row of each object, and a column of each key that any of them has."""
    bad = Path("photos/bad.jpg")
    bad.write_bytes(b"no picture")
    table = run_block("pandas", captioner=shipped, pd=SimpleNamespace(DataFrame=list))["table"]
    bad.unlink()
    assert [row["image"] for row in table] == ["photos/a.jpg", "photos/b.jpg", "photos/bad.jpg"]
    assert [row["caption"] for row in table[:2]] == [
        shipped.caption(row["image"], alternatives=0).text for row in table[:2]
    ]
    assert table[2]["error"]["code"] == "not-an-image"


class Photos:
    """As `datasets` does: decoded pictures, upright, in a list of a column."""

    def __init__(self, name: str, data_dir: str, split: str) -> None:
        assert (name, split) == ("imagefolder", "train")
        self.paths = sorted(Path(data_dir).iterdir())

    def map(self, function, batched: bool, batch_size: int):
        assert batched
        images = [ImageOps.exif_transpose(Image.open(path)) for path in self.paths]
        return function({"image": [*images, Image.new("RGB", (0, 5))]})


def test_a_map_over_a_data_set(shipped, photos):
    names = run_block("datasets", captioner=shipped, load_dataset=Photos, mrnn=mrnn)
    paths = sorted(Path("photos").iterdir())
    assert names["photos"] == {"caption": [*map(str, shipped.caption_many(paths)), None]}


def test_a_photo_that_is_turned_by_hand_is_turned_once(shipped):
    """As the page does it, though Pillow keeps the sign of a photo that lies on its side."""
    turned = Image.Exif()
    turned[0x0112] = 6
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((320, 240)).save(buffer, "PNG", exif=turned)
    [line] = [line for line in PAGE.splitlines() if line.startswith("upright = ")]
    names = {"Image": Image, "ImageOps": ImageOps}
    exec(line.replace('"holiday.jpg"', "buffer"), names | {"buffer": buffer}, names)
    by_hand = names["upright"].rotate(90, expand=True)
    lying = Image.fromarray(pixels).resize((320, 240))
    assert shipped.caption(by_hand) == shipped.caption(np.asarray(lying))


def test_help_shows_the_public_names_alone():
    text = pydoc.plain(pydoc.render_doc(mrnn))
    inside = text.split("\nCLASSES\n")[1]
    shown = set(re.findall(r"^    class (\w+)", inside, re.MULTILINE))
    shown |= set(re.findall(r"^    (\w+)\(", inside.split("\nFUNCTIONS\n")[1], re.MULTILINE))
    assert shown == set(NAMES)
    assert set(dir(mrnn)) == set(mrnn.__all__)
