"""Describing: a picture's vector and caption depend on the picture alone; faults stop nothing."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset_layouts import jpeg, put, tar
from libraries import MULTIMODAL, seeing
from mrnn.captioner import Captioner
from mrnn.errors import DataError
from mrnn.images.features import BATCH
from mrnn.library import describing
from mrnn.library.contents import Content, File
from mrnn.library.describing import Described, caption_vectors, describe
from mrnn.library.scanning import scan


@pytest.fixture(scope="module")
def sight():
    return seeing()


def look(
    captioner: Captioner, files: list[File], captions: bool = True, known: tuple[bytes, ...] = ()
) -> Described:
    """All parts as one."""
    parts = list(describe(files, captioner, captions, known.__contains__))
    assert all(0 < len(part.files) <= BATCH for part in parts)
    return Described(
        [file for part in parts for file in part.files],
        [content for part in parts for content in part.contents],
        np.concatenate([part.vectors for part in parts]),
    )


def of(path: Path) -> File:
    return File(path, path.stat().st_size, 1)


def digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def test_each_as_if_it_were_alone(sight, picture):
    """The dumb twin: one picture after the other, by the captioner itself."""
    paths = [picture(f"{i}.jpg", seed=i) for i in range(BATCH + 5)]
    found = look(sight, [of(path) for path in paths])
    assert [file.picture for file in found.files] == paths
    assert [file.digest for file in found.files] == [digest(path) for path in paths]
    assert [content.digest for content in found.contents] == [digest(path) for path in paths]
    assert found.vectors.dtype == np.float16
    assert found.vectors.shape == (BATCH + 5, MULTIMODAL)
    for path, content, vector in zip(paths, found.contents, found.vectors, strict=True):
        assert content.size == (64, 48)
        assert content.row is None
        [term] = sight.terms_of(path)
        np.testing.assert_allclose(vector, term, rtol=2e-3, atol=2e-3)
        [caption] = sight.caption_terms(vector[None].astype(np.float32))
        assert content.caption == (caption.text, pytest.approx(caption.perplexity, rel=1e-5))
    assert len({content.caption for content in found.contents}) > 1


def test_the_same_bits_whoever_else_is_there(sight, picture):
    files = [of(picture(f"{i}.png", seed=i)) for i in range(9)]
    together = look(sight, files)
    for file, content, vector in zip(files, together.contents, together.vectors, strict=True):
        alone = look(sight, [file])
        assert alone.contents == [content]
        assert alone.vectors.tobytes() == vector.tobytes()
    backwards = look(sight, files[::-1])
    assert backwards.vectors[::-1].tobytes() == together.vectors.tobytes()
    np.testing.assert_array_equal(
        [c[1] for c in caption_vectors(sight, together.vectors[3:5])],
        [content.caption[1] for content in together.contents[3:5]],
    )


def test_without_captions(sight, picture):
    found = look(sight, [of(picture("a.jpg"))], captions=False)
    assert found.contents[0].caption is None
    assert len(found.vectors) == 1


INDEXED = """
import sys
from pathlib import Path
from mrnn import Library
Library.open(sys.argv[1]).add(sys.argv[2])
status = Path("/proc/self/status").read_text().splitlines()
print(*(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells memory on Linux only")
def test_a_library_of_photos_is_made_in_400_megabytes(tmp_path):
    for name, size in (("large", (4000, 3000)), ("small", (640, 480))):
        Image.effect_noise(size, 50).convert("RGB").save(tmp_path / f"{name}.jpg")
    for i in range(50):
        one = (tmp_path / ("small.jpg" if i % 20 else "large.jpg")).read_bytes()
        put(tmp_path / f"photos/{i}.jpg", one + bytes([i]))  # another file, the same picture
    done = subprocess.run(
        [sys.executable, "-c", INDEXED, tmp_path / "library", tmp_path / "photos"],
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 400_000


def test_nothing_to_do(sight):
    assert list(describe([], sight, True, lambda digest: False)) == []


def test_what_is_known_is_not_decoded(sight, picture, monkeypatch):
    a, b = picture("a.jpg"), picture("b.jpg", seed=1)
    decoded = []
    known = describing.decode_image
    monkeypatch.setattr(
        describing,
        "decode_image",
        lambda file, name, side: decoded.append(name) or known(file, name, side),
    )
    found = look(sight, [of(a), of(b)], known=(digest(a),))
    assert [file.digest for file in found.files] == [digest(a), digest(b)]
    assert [content.digest for content in found.contents] == [digest(b)]
    assert decoded == [str(b)]
    assert len(found.vectors) == 1


def test_faults_are_told_in_their_place(sight, picture, tmp_path):
    good = picture("good.jpg")
    bad = put(tmp_path / "bad.jpg", "not an image")
    short = put(tmp_path / "short.jpg", good.read_bytes()[:-60])
    empty = put(tmp_path / "empty.jpg", "")
    gone = File(tmp_path / "gone.jpg", 5, 1)
    files = [of(bad), gone, of(good), of(empty), of(short), File(tmp_path, 1, 1)]
    found = look(sight, files)
    assert [f.fault and f.fault[0] for f in found.files] == [
        None, "missing", None, "empty", None, "not-a-file",
    ]  # fmt: skip
    assert found.files[1].fault == ("missing", "no such file")
    assert [f.digest is None for f in found.files] == [False, True, False, True, False, True]
    faults = {content.digest: content.fault for content in found.contents}
    assert faults[digest(bad)] == (
        "not-an-image",
        "not an image in a known format (JPEG, PNG, WebP, ...)",
    )
    assert faults[digest(short)][0] == "damaged"
    assert faults[digest(good)] is None
    assert len(found.vectors) == 1
    assert found.contents[0].caption is None


def test_nothing_but_faults(sight, tmp_path):
    found = look(sight, [File(tmp_path / f"{i}.jpg", 1, 1) for i in range(3)])
    assert [file.fault for file in found.files] == [("missing", "no such file")] * 3
    assert (found.contents, found.vectors.shape) == ([], (0, MULTIMODAL))


def test_full_size_is_told_although_less_is_decoded(sight, tmp_path):
    path = tmp_path / "large.jpg"
    image = Image.effect_noise((640, 320), 50).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    image.save(path, exif=exif)
    [content] = look(sight, [of(path)]).contents
    assert content.size == (320, 640)


def test_members_of_a_tar_file(sight, tmp_path, picture):
    loose = picture("0.jpg")
    members = [("0.jpg", loose.read_bytes()), ("bad.jpg", b"no"), ("1.jpg", jpeg("1.jpg"))]
    shard = put(tmp_path / "a.tar", tar(members))
    files = list(scan([shard, loose]).files)
    found = look(sight, files)
    assert [content.fault is None for content in found.contents] == [True, True, False, True]
    assert found.files[0].digest == found.files[1].digest
    assert found.vectors[0].tobytes() == found.vectors[1].tobytes()


def test_a_tar_file_that_was_replaced_meanwhile(sight, tmp_path):
    shard = put(tmp_path / "a.tar", tar([(f"{i}.jpg", jpeg(f"{i}.jpg")) for i in range(3)]))
    files = list(scan([shard]).files)
    put(shard, tar([("other.txt", b"x" * 5000)])[:4000])
    found = look(sight, files)
    assert len(found.files) == 3
    assert found.vectors.shape[0] == 0
    shard.unlink()
    assert [file.fault[0] for file in look(sight, files).files] == ["missing"] * 3


def test_a_file_that_changes_while_it_is_read(sight, picture, monkeypatch):
    """What has the digest is what the vector is of: the file may be put back one day."""
    path, other = picture("a.png", seed=1), picture("b.png", seed=2)
    [expected] = look(sight, [of(path)]).vectors
    before, after = path.read_bytes(), other.read_bytes()
    known = describing.decode_image

    def change(*arguments: object) -> object:
        path.write_bytes(after)
        return known(*arguments)

    monkeypatch.setattr(describing, "decode_image", change)
    found = look(sight, [of(path)])
    assert path.read_bytes() == after
    assert found.files[0].digest == hashlib.sha256(before).digest()
    assert found.vectors[0].tobytes() == expected.tobytes()


class Failing(io.BytesIO):
    """A file on a disk that fails, from some byte on."""

    def read(self, size: int = -1) -> bytes:
        raise OSError(5, "Input/output error")


def test_a_disk_that_fails_is_no_damage_of_the_picture(sight, picture, monkeypatch):
    """It has a fault for now, and is tried again: nothing is remembered of its content."""
    path = picture("a.jpg")
    monkeypatch.setattr(Path, "open", lambda *_: Failing(b"x" * 50))
    found = look(sight, [of(path)])
    assert found.files[0].fault == ("unreadable", "cannot be read (Input/output error)")
    assert found.files[0].digest is None
    assert found.contents == []


def test_no_picture_is_as_large(sight, picture, monkeypatch):
    path = picture("a.jpg")
    monkeypatch.setattr(describing, "_LARGEST", path.stat().st_size - 1)
    [file] = look(sight, [of(path)]).files
    assert file.fault == ("too-large", f"larger than {path.stat().st_size - 1:,} bytes")
    monkeypatch.setattr(describing, "_LARGEST", path.stat().st_size)
    assert look(sight, [of(path)]).files[0].digest == digest(path)


def test_what_stops_the_catalogue_stops_the_stream(sight, picture):
    def fail(digest: bytes) -> bool:
        raise DataError("catalogue.sqlite: damaged")

    with pytest.raises(DataError, match="damaged"):
        list(describe([of(picture("a.jpg"))], sight, True, fail))


def test_odd_names_do_not_show_in_the_fault(sight, tmp_path):
    path = put(tmp_path / "a\n\udcff.jpg", "no")
    [content] = look(sight, [of(path)]).contents
    assert content == Content(digest(path), fault=content.fault)
    assert content.fault[1].startswith("not an image")
