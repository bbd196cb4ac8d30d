"""How long large pictures take until the encoder can look at them, beside another checkout.

    git worktree add ../before COMMIT
    python benchmarks/decoding.py --before ../before [--rounds 9]

Makes pictures of 12 and 48 megapixels as phones and editors write them. Each is read by both
checkouts by turns, on one thread; what is printed is the median of the paired ratios, before over
now, the smallest and the largest, and how far the pixels differ (of 255).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from mrnn.measuring import timed

MEGAPIXELS_12, MEGAPIXELS_48 = (4032, 3024), (8064, 6048)
TURNED = Image.Exif()
TURNED[0x0112] = 6
JPEG = {"quality": 90, "subsampling": "4:2:0"}
READER = """
import io, sys, time
from pathlib import Path
import numpy as np
from mrnn.images.reading import Preprocessing, decode_image, preprocess
how = Preprocessing(size=260)
for line in sys.stdin:
    path, found = line.split()
    content = Path(path).read_bytes()
    started = time.perf_counter()
    pixels = preprocess(decode_image(io.BytesIO(content), path, how.least_side)[0], how)
    took = time.perf_counter() - started
    np.save(found, pixels * how.scale)
    print(took, flush=True)
"""


class Reader:
    """A process that reads pictures with one checkout."""

    def __init__(self, checkout: Path, found: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
        self._found = found
        self._process = subprocess.Popen(
            [sys.executable, "-c", READER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def seconds(self, picture: Path) -> float:
        """How long reading it took."""
        print(picture, self._found, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def pixels(self) -> np.ndarray:
        """Encoder input of the last picture but for the scale, (3, S, S); ends the process."""
        self._process.communicate()
        return np.load(self._found)


def write_pictures(folder: Path) -> list[Path]:
    """Smooth shapes with a sensor's noise, in several formats."""
    small, large = _photo(MEGAPIXELS_12), _photo(MEGAPIXELS_48)
    clear = small.copy()
    clear.putalpha(Image.linear_gradient("L").resize(small.size))
    small.resize((500, 375)).save(folder / "500x375.jpg", **JPEG)
    small.save(folder / "12.jpg", **JPEG)
    small.save(folder / "12-turned.jpg", exif=TURNED, **JPEG)
    small.save(folder / "12-progressive.jpg", progressive=True, **JPEG)
    large.save(folder / "48-turned.jpg", exif=TURNED, **JPEG)
    large.save(folder / "48-progressive.jpg", progressive=True, **JPEG)
    small.save(folder / "12.png", compress_level=1)
    small.save(folder / "12-turned.png", compress_level=1, exif=TURNED)
    clear.save(folder / "12-alpha.png", compress_level=1)
    small.save(folder / "12.webp", quality=85, method=0)
    clear.save(folder / "12-alpha.webp", quality=85, method=0)
    return sorted(folder.iterdir())


def _photo(size: tuple[int, int]) -> Image.Image:
    draw = np.random.default_rng(0)
    shapes = Image.fromarray(draw.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    noise = draw.integers(-6, 7, (size[1] // 2, size[0] // 2, 3), dtype=np.int16)
    pixels = np.asarray(shapes.resize(size, Image.Resampling.BICUBIC)).astype(np.int16)
    pixels += noise.repeat(2, axis=0).repeat(2, axis=1)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def main() -> None:
    """Make the pictures, compare, print a line a picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    checkouts = {"before": asked.before, "now": Path(__file__).resolve().parents[1]}
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        pictures.mkdir()
        took, paths = timed(lambda: write_pictures(pictures))
        print(f"{len(paths)} pictures made in {took:.0f} s")
        for path in paths:
            readers = {
                name: Reader(checkout, Path(folder) / f"{name}.npy")
                for name, checkout in checkouts.items()
            }
            rounds = [
                {name: readers[name].seconds(path) for name in sorted(readers, reverse=i % 2 == 1)}
                for i in range(asked.rounds + 1)
            ][1:]  # the first warms up
            ratios = [found["before"] / found["now"] for found in rounds]
            now = statistics.median(found["now"] for found in rounds) * 1000
            before, after = (reader.pixels() for reader in readers.values())
            apart = np.abs(before - after)
            print(
                f"{path.name:20} {statistics.median(ratios):5.2f} ({min(ratios):.2f} to "
                f"{max(ratios):.2f}), {now:.0f} ms now; pixels differ by {apart.mean():.2f}, "
                f"at most {apart.max():.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
