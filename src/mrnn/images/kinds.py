"""What kind of file it is, by its first bytes: the suffix says nothing, and messages name it.

Neither NumPy nor Pillow is imported here.
"""

from __future__ import annotations

HEAD = 144  # bytes of a file that are enough

HEIC, JPEG_XL, RAW, BMP, TIFF = "HEIC", "JPEG XL", "camera raw data", "BMP", "TIFF"
READABLE = frozenset({"JPEG", "PNG", "GIF", "WebP", "PPM", "AVIF", BMP, TIFF, HEIC, JPEG_XL})

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff\xf7", "JPEG-LS"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (12, b"CgBI", "PNG of an iPhone's app"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF8", "GIF"),
    (8, b"WEBP", "WebP"),
    (0, b"BM", BMP),
    (8, b"CR\x02", RAW),  # Canon; else it looks like a TIFF
    *((0, b"II" + version + b"\0", TIFF) for version in (b"*", b"+")),
    *((0, b"MM\0" + version, TIFF) for version in (b"*", b"+")),
    *((0, start, RAW) for start in (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")),
    (0, b"FUJIFILMCCD-RAW", RAW),
    (0, b"\xff\x0a", JPEG_XL),
    (4, b"JXL ", JPEG_XL),
    (4, b"jP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"II\xbc", "JPEG XR"),
    (0, b"8BPS", "Photoshop document"),
    (0, b"gimp xcf", "GIMP document"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"DDS ", "DDS"),
    (0, b"qoif", "QOI"),
    (0, b"BPG\xfb", "BPG"),
    (0, b"\0\0\1\0", "icon"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    (0, b"AT&TFORM", "DjVu"),
    (128, b"DICM", "DICOM"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"\x1aE\xdf\xa3", "video"),
    (8, b"AVI ", "video"),
    (0, b"PK\x03\x04", "ZIP archive"),
    (0, b"\x1f\x8b", "gzip archive"),
)
# The brand of files made of boxes (ISO/IEC 14496-12).
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"crx ": RAW} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), HEIC
)
_ANY = (b"mif1", b"mif2", b"msf1")  # brands of pictures of any coding


class Unsupported(Exception):  # noqa: N818 - nothing is wrong with the file
    """A sound picture of which nobody can tell what it shows, or that nothing here reads.

    The message goes on after the file's name, and holds the remedy.
    """


def kind_of(head: bytes) -> str | None:
    """The kind of file that begins with these HEAD bytes (or is no longer); None: not known."""
    if head[4:8] == b"ftyp":
        return _of_boxes(head)
    for at, signature, kind in _SIGNATURES:
        if head.startswith(signature, at):
            return kind
    if head[:1] == b"P" and head[1:2] in b"123456fF" and head[2:3].isspace():
        return "PPM"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "web page"
    return "SVG drawing" if text.startswith((b"<svg", b"<?xml")) else None


def _of_boxes(head: bytes) -> str:
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))]
    known = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
    if brands[0] in _BRANDS:
        return known[0]
    if brands[0] in _ANY:  # the first coding that is named; older files name none
        return known[0] if known else HEIC
    return "video"


def why_not(kind: str) -> str:
    """What to tell of a kind that no reader is there for."""
    if kind == RAW:
        return "camera raw data, which are not developed here; export it as JPEG, PNG or TIFF"
    article = "an" if kind[0] in "AEIO" or kind in ("SVG drawing", "icon") else "a"
    return f"{article} {kind}, not an image in a known format (JPEG, PNG, WebP, ...)"
