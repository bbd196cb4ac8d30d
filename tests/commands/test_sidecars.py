"""Sidecars: written whole or not at all, and never over a file that is not ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mrnn.commands.places import Held, written
from mrnn.commands.sidecars import has_caption, marked_sidecars, sidecar_of, write_sidecar
from mrnn.errors import ImageError
from mrnn.results import Caption


def caption(text: str = "a dog runs") -> Caption:
    return Caption(text, -3.0, 2.0, True, ())


def refused(image: Path) -> str:
    with pytest.raises(ImageError) as caught:
        write_sidecar(image, "a dog runs", 2.0)
    assert caught.value.code == "sidecar"
    assert str(caught.value).startswith(str(sidecar_of(image)))
    return str(caught.value)


def held(image: Path) -> Held:
    return marked_sidecars().look(image)


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith(".new")]


@pytest.fixture
def image(picture):
    return picture("photos/dog.jpg")


def test_name(tmp_path):
    assert sidecar_of(tmp_path / "a.b.jpg") == tmp_path / "a.b.jpg.caption.txt"


def test_written_and_recognised(image):
    assert held(image) is Held.NOTHING
    write_sidecar(image, "a dog runs", 12.345)
    first, second = sidecar_of(image).read_text().splitlines()
    assert first == "a dog runs"
    assert second.startswith("[mrnn ")
    assert second.endswith(", perplexity 12.35]")
    assert held(image) is Held.OURS
    assert sorted(path.name for path in image.parent.iterdir()) == [
        "dog.jpg",
        "dog.jpg.caption.txt",
    ]


@pytest.mark.parametrize("text", ["", "犬 が 走る", "[mrnn is a word]"])
def test_any_caption_is_recognised_again(image, text):
    write_sidecar(image, text, 1.0)
    assert held(image) is Held.OURS
    assert sidecar_of(image).read_text(encoding="utf-8").split("\n")[0] == text


def test_our_own_is_replaced(image):
    write_sidecar(image, "a cat sits", 3.0)
    write_sidecar(image, "a dog runs", 2.0)
    assert sidecar_of(image).read_text().startswith("a dog runs\n")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"my own words\n",
        b"two lines\nof my own\n",
        b"[mrnn 0.1.0, perplexity 2.00]\n",
        b"a dog\n[mrnn 0.1.0, perplexity 2.00]\nand my remark\n",
        b"\xff\xfe\n[mrnn \n",
    ],
)
def test_foreign_file_stays(image, content):
    sidecar_of(image).write_bytes(content)
    assert "left as it is" in refused(image)
    assert sidecar_of(image).read_bytes() == content
    assert not leftovers(image.parent)


def test_link_to_our_own_is_foreign(image, picture):
    other = picture("photos/cat.jpg")
    write_sidecar(other, "a cat sits", 3.0)
    sidecar_of(image).symlink_to(sidecar_of(other))
    refused(image)
    assert sidecar_of(image).is_symlink()
    assert sidecar_of(other).read_text().startswith("a cat sits\n")


def test_dangling_link_is_foreign(image, tmp_path):
    sidecar_of(image).symlink_to(tmp_path / "gone.txt")
    refused(image)
    assert not (tmp_path / "gone.txt").exists()


def test_folder_and_pipe_are_foreign(image, picture):
    sidecar_of(image).mkdir()
    refused(image)
    other = picture("photos/cat.jpg")
    os.mkfifo(sidecar_of(other))
    refused(other)


def test_temporary_name_is_not_followed(image, tmp_path):
    (tmp_path / "precious.txt").write_text("precious")
    temporary = image.parent / f".{sidecar_of(image).name}.new"
    temporary.symlink_to(tmp_path / "precious.txt")
    write_sidecar(image, "a dog runs", 2.0)
    assert (tmp_path / "precious.txt").read_text() == "precious"
    assert not sidecar_of(image).is_symlink()
    assert held(image) is Held.OURS


def test_leftover_of_a_killed_run_is_no_obstacle(image):
    (image.parent / f".{sidecar_of(image).name}.new").write_text("a do")
    write_sidecar(image, "a dog runs", 2.0)
    assert held(image) is Held.OURS
    assert not leftovers(image.parent)


def test_failed_write_keeps_the_old_one(image, monkeypatch):
    write_sidecar(image, "a cat sits", 3.0)

    def replace(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", replace)
    assert "cannot be written (No space left on device)" in refused(image)
    assert sidecar_of(image).read_text().startswith("a cat sits\n")
    assert not leftovers(image.parent)


def test_read_only_disk(image, monkeypatch):
    """There even removing a file that does not exist fails."""

    def read_only(method):
        def call(self, *given, **options):
            if self.parent == image.parent:
                raise OSError(30, "Read-only file system")
            return method(self, *given, **options)

        return call

    for name in ("open", "unlink", "replace"):
        monkeypatch.setattr(Path, name, read_only(getattr(Path, name)))
    assert "Read-only file system" in refused(image)


def test_name_too_long_for_a_sidecar(picture):
    image = picture("x" * 245 + ".jpg")
    assert not has_caption(image, "a dog runs")
    assert "File name too long" in refused(image)


def test_folder_gone(tmp_path):
    assert "No such file" in refused(tmp_path / "gone" / "dog.jpg")


def test_stream_goes_on_past_failures(image, picture):
    mine, last = picture("photos/cat.jpg"), picture("photos/last.jpg")
    sidecar_of(mine).write_text("my own words\n")
    error = ImageError("damaged", "bad.jpg: damaged")
    given = [
        (image, caption()),
        (mine, caption("a cat sits")),
        (Path("bad.jpg"), error),
        (last, caption()),
    ]
    results = list(written(given, [marked_sidecars()], False))
    assert [path for path, _ in results] == [path for path, _ in given]
    assert results[0] == given[0]
    assert isinstance(results[1][1], ImageError)
    assert results[1][1].code == "sidecar"
    assert results[2][1] is error
    assert results[3] == given[3]
    assert held(image) is Held.OURS
    assert held(last) is Held.OURS
    assert sidecar_of(mine).read_text() == "my own words\n"


def test_stream_writes_as_it_goes(image, picture):
    """Interrupted, what was yielded is on the disk."""
    second = picture("photos/cat.jpg")
    stream = written([(image, caption()), (second, caption())], [marked_sidecars()], False)
    next(stream)
    assert held(image) is Held.OURS
    assert held(second) is Held.NOTHING
