"""Features: in order, each content once, and a cache that survives all that befalls it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mrnn.errors import DataError, ImageError
from mrnn.files import held
from mrnn.images.encoders import Encoder, open_encoder
from mrnn.images.features import BATCH, cached_features, default_cache, encode_images, read_ahead
from mrnn.images.reading import Preprocessing, preprocess, read_image

SIZE = 3
DIMENSION = 3 * SIZE * SIZE
HOW = Preprocessing(SIZE)


def fake(on_batch: Callable[[int], None] = lambda count: None, **changes) -> Encoder:
    """An encoder whose feature is the tiny picture itself; `on_batch` sees each batch's size."""

    def encode(pixels: np.ndarray) -> np.ndarray:
        on_batch(len(pixels))
        return pixels.reshape(len(pixels), -1)

    def positions(pixels: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    encoder = Encoder("fake", "0" * 64, DIMENSION, HOW, encode, positions)
    return replace(encoder, **changes)


def expected(paths: list[Path], how: Preprocessing = HOW) -> np.ndarray:
    """The dumb twin: one picture after the other, no threads, no cache."""
    images = [preprocess(read_image(path, how.size), how) for path in paths]
    return np.stack(images).reshape(len(paths), -1).astype(np.float16)


def quiet(done: int, total: int) -> None:
    pass


def features(paths: list[Path], cache: Path, encoder: Encoder | None = None) -> np.ndarray:
    """All features from the cache; every path must be readable."""
    rows, errors = cached_features(paths, encoder or fake(), cache, quiet)
    assert errors == [None] * len(paths)
    return rows[np.arange(len(rows))]


def computed(paths: list[Path], cache: Path, **changes) -> int:
    """How many images the encoder was given; also checks what came out."""
    counts: list[int] = []
    encoder = fake(counts.append, **changes)
    found = features(paths, cache, encoder)
    np.testing.assert_array_equal(found, expected(paths, encoder.preprocessing))
    return sum(counts)


@pytest.fixture
def paths(picture):
    return [picture(f"{i}.png", seed=i) for i in range(6)]


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "features"


def files(cache: Path) -> tuple[Path, Path]:
    [folder] = cache.iterdir()
    return folder / "features.f16", folder / "digests.bin"


# encode_images


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_encode_images_keeps_order_with_errors_in_place(paths, tmp_path, monkeypatch, batch):
    monkeypatch.setattr("mrnn.images.features.BATCH", batch)
    (tmp_path / "bad.png").write_text("text")
    given = [paths[0], tmp_path / "bad.png", *paths[1:4], tmp_path / "gone.png", *paths[4:]]
    sizes: list[int] = []
    results = list(encode_images(given, fake(sizes.append)))
    assert [getattr(r, "code", None) for r in results] == (
        [None, "not-an-image", None, None, None, "missing", None, None]
    )
    assert str(results[1]).startswith(f"{given[1]}: ")
    found = np.stack([r for r in results if isinstance(r, np.ndarray)])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.astype(np.float16), expected(paths))
    assert sum(sizes) == len(paths)
    assert max(sizes) <= batch


def test_encode_images_of_nothing_and_of_errors_only(tmp_path):
    never = fake(lambda count: pytest.fail("encoded"))
    assert list(encode_images([], never)) == []
    [error] = encode_images([tmp_path / "gone.png"], never)
    assert isinstance(error, ImageError)


def test_a_picture_that_a_network_gives_no_numbers_for_is_named(paths, cache):
    sound = fake()

    def encode(pixels):
        found = sound.encode(pixels)
        for row, wrong in zip(found[1:], (np.nan, np.inf, -7e4), strict=False):
            row[0] = wrong
        return found

    encoder = replace(sound, encode=encode)
    results = list(encode_images(paths[:5], encoder))
    assert [getattr(r, "code", None) for r in results] == [None, *["bad-feature"] * 3, None]
    assert str(results[1]) == (
        f"{paths[1]}: the image network gives NaN for it, or numbers beyond fp16"
    )
    rows, errors = cached_features(paths[:5], encoder, cache, lambda done, total: None)
    assert [e and e.code for e in errors] == [None, *["bad-feature"] * 3, None]
    assert np.isfinite(rows[np.arange(2)]).all()


def test_encode_images_reads_a_stream_as_it_is_used(paths):
    taken = []

    def stream():
        for path in paths * 50:
            taken.append(path)
            yield path

    results = encode_images(stream(), fake())
    next(results)
    results.close()
    assert len(taken) <= 3 * BATCH


# cached_features


def test_features_are_those_of_the_images(paths, cache):
    found = features(paths, cache)
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, expected(paths))


def test_second_call_computes_nothing(paths, cache):
    assert computed(paths, cache) == 6
    assert computed(paths[::-1], cache) == 0


def test_only_new_images_are_computed(paths, cache):
    assert computed(paths[:2], cache) == 2
    assert computed(paths, cache) == 4


def test_rows_can_be_taken_in_any_order(paths, cache):
    rows, _ = cached_features(paths, fake(), cache, quiet)
    assert len(rows) == 6
    chosen = np.array([5, 0, 5])
    np.testing.assert_array_equal(rows[chosen], expected(paths)[chosen])
    assert rows[np.array([], dtype=int)].shape == (0, DIMENSION)


def test_same_content_under_two_names_is_computed_once(paths, cache, tmp_path):
    (tmp_path / "copy.jpg").write_bytes(paths[0].read_bytes())
    assert computed([paths[0], tmp_path / "copy.jpg", paths[1], paths[0]], cache) == 2


def test_changed_content_under_the_same_name_is_computed_again(paths, cache, picture):
    computed(paths, cache)
    picture("0.png", seed=77)
    assert computed(paths, cache) == 1


def test_other_encoder_or_preprocessing_has_a_cache_of_its_own(paths, cache):
    assert computed(paths, cache) == 6
    assert computed(paths, cache, digest="1" * 64) == 6
    assert computed(paths, cache, name="other") == 6
    assert computed(paths, cache, preprocessing=Preprocessing(SIZE, mean=0.0)) == 6
    assert computed(paths, cache, preprocessing=Preprocessing(SIZE, scale=1.0)) == 6
    wide = Preprocessing(SIZE + 1)
    assert computed(paths, cache, preprocessing=wide, dimension=3 * (SIZE + 1) ** 2) == 6
    assert computed(paths, cache) == 0


def test_unreadable_images_are_reported_in_their_place(paths, cache, tmp_path):
    (tmp_path / "bad.png").write_text("text")
    (tmp_path / "twin.png").write_text("text")
    given = [tmp_path / "bad.png", *paths[:3], tmp_path / "gone.png", tmp_path / "twin.png"]
    for _ in range(2):  # computed, then from the cache
        rows, errors = cached_features(given, fake(), cache, quiet)
        assert [getattr(e, "code", None) for e in errors] == (
            ["not-an-image", None, None, None, "missing", "not-an-image"]
        )
        for path, error in zip(given, errors, strict=True):
            assert error is None or str(error).startswith(f"{path}: ")
        np.testing.assert_array_equal(rows[np.arange(3)], expected(paths[:3]))
        assert len(rows) == 3


def test_no_readable_image_at_all(cache, tmp_path):
    rows, errors = cached_features([tmp_path / "gone.png"], fake(), cache, quiet)
    assert len(rows) == 0
    assert [type(error) for error in errors] == [ImageError]
    rows, errors = cached_features([], fake(), cache, quiet)
    assert (len(rows), errors) == (0, [])


def test_progress_counts_up_to_all(paths, cache):
    features(paths[:2], cache)
    seen = []
    cached_features(paths, fake(), cache, lambda done, total: seen.append((done, total)))
    assert seen == [(2, 6), (6, 6)]


def test_encoder_without_features_touches_no_file(cache, tmp_path):
    given = [tmp_path / "gone.png"] * 3
    rows, errors = cached_features(given, open_encoder("none"), cache, quiet)
    assert rows[np.arange(3)].shape == (3, 0)
    assert errors == [None] * 3
    assert not cache.exists()


def test_place_of_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path))
    assert default_cache() == tmp_path / "mrnn" / "features"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert default_cache() == tmp_path / "home" / ".cache" / "mrnn" / "features"


# What befalls a cache.


def test_interrupted_run_goes_on_where_it_was(picture, cache):
    many = [picture(f"many/{i}.png", seed=i) for i in range(2 * BATCH + 5)]
    calls: list[int] = []

    def interrupt(count: int) -> None:
        calls.append(count)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_features(many, fake(interrupt), cache, quiet)
    done = sum(calls[:2])
    assert done == 2 * BATCH
    assert computed(many, cache) == len(many) - done


@pytest.mark.parametrize("which", [0, 1], ids=["features", "digests"])
@pytest.mark.parametrize("change", [-1, -40, -(10**9), 1, 7, 31, 200])
def test_cut_or_grown_file_is_mended(paths, cache, which, change):
    computed(paths[:4], cache)
    path = files(cache)[which]
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(max(0, size + min(change, 0)))
        file.seek(0, os.SEEK_END)
        file.write(b"\x5a" * max(change, 0))
    computed(paths, cache)
    assert computed(paths, cache) == 0
    whole = [path.stat().st_size for path in files(cache)]
    assert whole == [6 * 2 * DIMENSION, 6 * 32]


def test_features_without_digests_are_those_of_a_killed_writer(paths, cache):
    computed(paths[:2], cache)
    rows, _ = files(cache)
    with rows.open("ab") as file:
        file.write(b"\xff" * (2 * DIMENSION + 5))
    assert computed(paths, cache) == 4


@pytest.mark.parametrize("which", [0, 1], ids=["features", "digests"])
def test_either_file_gone(paths, cache, which):
    computed(paths, cache)
    files(cache)[which].unlink()
    assert computed(paths, cache) == 6
    assert computed(paths, cache) == 0


def test_disk_full_keeps_what_was_there(paths, cache, monkeypatch):
    computed(paths[:3], cache)
    synced = os.fsync

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left on device") as caught:
        cached_features(paths, fake(), cache, quiet)
    assert "XDG_CACHE_HOME" in str(caught.value)
    monkeypatch.setattr(os, "fsync", synced)
    computed(paths, cache)
    assert computed(paths, cache) == 0


def test_disk_really_full(paths, cache):
    """A device on which every write fails stands in for the file of features."""
    if not Path("/dev/full").is_char_device():
        pytest.skip("no /dev/full here")
    computed(paths[:3], cache)
    rows, digests = files(cache)
    kept = rows.read_bytes()
    rows.unlink()
    rows.symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"features\.f16: cannot be written"):
        cached_features(paths, fake(), cache, quiet)
    rows.unlink()
    rows.write_bytes(kept)
    assert digests.stat().st_size % 32 == 0
    computed(paths, cache)


def test_place_that_cannot_be_made(paths, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be made"):
        cached_features(paths, fake(), tmp_path / "file", quiet)


def test_place_that_cannot_be_read(paths, cache):
    computed(paths, cache)
    _, digests = files(cache)
    digests.unlink()
    digests.mkdir()
    with pytest.raises(DataError, match=r"digests\.bin: cannot be read \(Is a directory\)"):
        cached_features(paths, fake(), cache, quiet)


_WRITER = """
import sys
from pathlib import Path
from test_features import computed
paths, cache = [Path(p) for p in sys.argv[2:]], Path(sys.argv[1])
for n in range(1, len(paths) + 1):
    computed(paths[:n], cache)
"""


def test_two_processes_at_once(paths, cache):
    here = Path(__file__).parent
    path = os.pathsep.join([os.fspath(here), os.fspath(here.parents[1] / "src")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, os.fspath(cache), *map(os.fspath, given)],
            env=environment,
        )
        for given in (paths, paths[::-1])
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    rows, digests = (path.stat().st_size for path in files(cache))
    assert rows % (2 * DIMENSION) == digests % 32 == 0
    assert rows // (2 * DIMENSION) == digests // 32 >= 6
    assert computed(paths, cache) == 0


def test_writers_interleaved(paths, cache):
    """Another run adds to the cache while this one computes: both rows count."""

    def other(count: int) -> None:
        features(paths[3:], cache)

    found = features(paths[:3], cache, fake(other))
    np.testing.assert_array_equal(found, expected(paths[:3]))
    assert computed(paths, cache) == 0


def test_writer_that_waits_for_the_lock_looks_again(paths, cache, monkeypatch):
    """Whoever held the lock has added rows, or left half of one: neither may be cut or mixed."""
    waits = []

    @contextmanager
    def late(folder: Path, wait: bool = False) -> Iterator[bool]:
        waits.append(wait)
        if len(waits) == 1:
            features(paths[3:], cache)
            with files(cache)[0].open("ab") as half:
                half.write(b"\xff" * 5)
        with held(folder, wait) as is_held:
            yield is_held

    monkeypatch.setattr("mrnn.images.features.held", late)
    np.testing.assert_array_equal(features(paths[:3], cache), expected(paths[:3]))
    assert waits == [True] * 2
    assert computed(paths, cache) == 0


@pytest.mark.parametrize("ahead", [1, 3, 100])
def test_read_ahead_keeps_the_order_and_does_not_run_off(ahead):
    asked: list[int] = []

    def numbers():
        for number in range(20):
            asked.append(number)
            yield number

    found = []
    for result in read_ahead(numbers(), lambda number: number**2, ahead):
        found.append(result)
        assert len(asked) <= len(found) + ahead
    assert found == [number**2 for number in range(20)]


def test_read_ahead_works_while_the_caller_does():
    second = threading.Event()

    def read(number: int) -> int:
        if number:
            second.set()
        return number

    results = read_ahead([0, 1], read, 2)
    assert next(results) == 0
    assert second.wait(10)
    assert list(results) == [1]


def test_read_ahead_hands_errors_on_and_ends():
    def read(number: int) -> int:
        if number == 2:
            raise DataError("no")
        return number

    results = read_ahead(range(9), read, 4)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(DataError, match="no"):
        next(results)
    assert list(results) == []
    assert list(read_ahead([], read, 4)) == []
