#!/usr/bin/env bash
# Pillow 13.0.0 reads three sound layouts of TIFF as other pictures, without an error: 16 bits of grey whose 0 is
# white come out as a negative, uncompressed planes of 16 bits as halves of samples, and compressed floats with the most
# significant byte first with their bytes exchanged. Exits 0 while all three are misread.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import struct
import zlib

import numpy as np
import PIL
from PIL import Image

print("Pillow", PIL.__version__)


def tiff(planes, order, **tags):
    """A file of one directory with a strip for each plane (H, W)."""
    height, width = planes[0].shape
    entries = {256: (width,), 257: (height,), 278: (height,), **{int(k[1:]): v for k, v in tags.items()}}
    content = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 0))
    places = []
    for plane in planes:
        data = plane.astype(plane.dtype.newbyteorder(order)).tobytes()
        data = zlib.compress(data) if entries[259] == (8,) else data
        places.append((len(content), len(data)))
        content += data + bytes(len(data) % 2)
    entries[273], entries[279] = (tuple(part) for part in zip(*places))
    table = b""
    for tag, values in sorted(entries.items()):
        data = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            place, content = len(content), content + data
            data = struct.pack(order + "I", place)
        table += struct.pack(order + "HHI", tag, 4, len(values)) + data
    struct.pack_into(order + "I", content, 4, len(content))
    return bytes(content + struct.pack(order + "H", len(entries)) + table + bytes(4))


def read(content):
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image).astype(float)


ramp = np.linspace(0, 65535, 32 * 24).astype(np.uint16).reshape(24, 32)
negative = read(tiff([65535 - ramp], "<", _258=(16,), _259=(1,), _262=(0,), _277=(1,)))
print("0 is white: first and last sample", negative[0, 0], negative[-1, -1], "instead of", ramp[0, 0], ramp[-1, -1])
planes = [ramp, 65535 - ramp, ramp // 2]
apart = read(tiff(planes, "<", _258=(16,) * 3, _259=(1,), _262=(2,), _277=(3,), _284=(2,)))
print("planes apart: largest difference in levels", np.abs(apart - np.dstack(planes) // 256).max())
floats = ramp.astype(np.float32) / 65535
with np.errstate(all="ignore"):
    turned = read(tiff([floats], ">", _258=(32,), _259=(8,), _262=(1,), _277=(1,), _339=(3,)))
print("floats: first samples", turned[0, 1:4], "instead of", floats[0, 1:4])
wrong = [
    np.abs(negative - ramp).max() > 60000,
    np.abs(apart - np.dstack(planes) // 256).max() > 200,
    not np.allclose(turned, floats, atol=0.01),
]
assert all(wrong), f"it has changed: {wrong}"
PYTHON
