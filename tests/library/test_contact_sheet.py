"""The page of a search, which is meant to be sent: it tells nothing of whose pictures they are."""

from __future__ import annotations

import base64
import io
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from command_lines import run
from dataset_layouts import jpeg, put, tar
from libraries import save_seeing, threshold
from mrnn.library.found import Found, Results
from mrnn.library.records import contact_sheet


@pytest.fixture
def secret(tmp_path, monkeypatch):
    """A home folder whose name nobody shall read."""
    home = tmp_path / "ann-of-green-gables"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


def photo(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    told = Image.Exif()
    told[0x010E] = str(path)
    Image.fromarray(pixels).save(path, comment=str(path), exif=told)
    return path


def hidden_in(text):
    """All that a page carries, its pictures as they are, too."""
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    return text.encode() + b"".join(map(base64.b64decode, pictures))


@pytest.mark.parametrize("root", ["Photos", ".", ".."])
@pytest.mark.parametrize("query", [["a dog"], ["--like", "{home}/Photos/2019/a.jpg"]])
def test_a_page_tells_no_place_above_its_folder(secret, tmp_path, root, query):
    a = photo(secret / "Photos/2019/a.jpg", 1)
    shutil.copy(a, secret / "Photos/again.jpg")
    lost = photo(secret / "Photos/lost.jpg", 2)
    shard = put(secret / "shard.tar", tar([("train/0.jpg", jpeg("0.jpg"))]))
    library, page = tmp_path / "library", tmp_path / "page.html"
    model = save_seeing(tmp_path / "model", match=threshold())
    exclude = ("--exclude", "model*", "--exclude", "library")
    run("index", secret / root, shard, "-l", library, "-m", model, *exclude)
    (library / "codes.safetensors").write_text("damaged: a note would say where")
    lost.unlink()
    code, _, _ = run("search", "-l", library, "-o", page, *(w.format(home=secret) for w in query))
    text = page.read_text()
    assert code == 0
    assert text.count("<article>") == 3
    assert secret.name.encode() not in hidden_in(text)
    assert str(tmp_path).encode() not in hidden_in(text)
    below = "" if root == "Photos" else "Photos/"
    assert f"{below}2019/a.jpg<br>{below}again.jpg" in text
    assert "shard.tar: train/0.jpg" in text
    assert "lost.jpg: cannot be read" in text
    assert f"<title>{'Like a.jpg' if query[0] == '--like' else 'a dog'}</title>" in text


def test_what_lies_in_no_folder_of_the_library_is_told_by_its_name(secret):
    results = Results("a dog", (Found(1, secret / "a.jpg", (), None, 0.0, 1.0, 0.0),), 1)
    text = contact_sheet(results, [], "a dog")
    assert secret.name not in text
    assert "<p class='dim'>a.jpg</p>" in text


def test_a_picture_is_never_written_over_by_a_page(tmp_path):
    a = photo(tmp_path / "a.jpg", 1)
    before = a.read_bytes()
    for command in (["search", "-l", "absent", "--like", a], ["demo", a]):
        code, _, err = run(*command, "-o", a)
        assert (code, "choose a name that ends with .html" in err) == (2, True)
    assert a.read_bytes() == before


def test_a_page_s_pictures_can_be_opened(tmp_path):
    results = Results("q", (Found(1, photo(tmp_path / "a.jpg", 1), (), None, 0.0, 1.0, 0.0),), 1)
    [data] = re.findall(r"base64,([^\"]+)", contact_sheet(results, [tmp_path], "q"))
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (64, 48)
