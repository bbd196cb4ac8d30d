#!/usr/bin/env bash
# Pillow 13.0.0: Exif whose only entries are in the Exif directory, such as DateTimeOriginal, is lost
# without a word where a picture is saved as PNG, AVIF or TIFF with `exif=`, and kept as JPEG and WebP.
# Image.Exif counts the entries of the first directory alone: with none it is false, and is passed over.
# TIFF loses the Exif directory of any Exif that was not read from a file. A tag in the first directory
# saves the date in PNG and AVIF, and not in TIFF.
# Exits 0 while it is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pillow==13.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import io

import PIL
from PIL import ExifTags, Image

TAKEN, MAKE = ExifTags.Base.DateTimeOriginal, ExifTags.Base.Make
print("Pillow", PIL.__version__)


def is_kept(kind, with_make):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[TAKEN] = "2024:05:31 14:02:03"
    if with_make:
        exif[MAKE] = "a camera"
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, kind, exif=exif)
    with Image.open(file) as image:
        return TAKEN in image.getexif().get_ifd(ExifTags.IFD.Exif)


found = {}
for kind in ("JPEG", "WEBP", "PNG", "AVIF", "TIFF"):
    found[kind] = is_kept(kind, False), is_kept(kind, True)
    print(f"{kind:5} the date alone is kept: {found[kind][0]!s:6} beside a tag of the first "
          f"directory: {found[kind][1]}")
expected = {"JPEG": (True, True), "WEBP": (True, True), "PNG": (False, True), "AVIF": (False, True),
            "TIFF": (False, False)}
assert found == expected, "this has changed"
PYTHON
