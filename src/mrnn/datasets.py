"""Read captioned images into examples; a data set is read, never changed."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from .errors import DataError, UsageError
from .images import printable
from .text import tokenise

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Example:
    """One image with its sentences."""

    image: Path
    sentences: tuple[str, ...]
    split: str  # one of SPLITS


@dataclass(frozen=True)
class Problem:
    """Something in the data that is skipped, and why."""

    place: str  # file, and line where there is one
    message: str
    split: str | None = None  # None where it cannot be known

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


@dataclass(frozen=True)
class DataSet:
    """All examples of a data set, in the order of its files."""

    name: str
    examples: tuple[Example, ...]
    problems: tuple[Problem, ...]

    def split(self, name: str) -> tuple[Example, ...]:
        """The examples of a split; val, valid and validation mean dev."""
        name = split_name(name)
        chosen = tuple(example for example in self.examples if example.split == name)
        if not chosen:
            counts = Counter(example.split for example in self.examples)
            known = ", ".join(f"{s} ({counts[s]:,})" for s in SPLITS if counts[s])
            raise DataError(f"{self.name}: no captioned images in the {name} split; it has {known}")
        return chosen


def split_name(name: str) -> str:
    """The name of a split: val, valid and validation mean dev; raises UsageError."""
    name = {"val": "dev", "valid": "dev", "validation": "dev"}.get(name, name)
    if name not in SPLITS:
        raise UsageError(f"unknown split {name!r}; known: {', '.join(SPLITS)}")
    return name


def read_dataset(data: Path, images: Path | None = None) -> DataSet:
    """Read the Flickr8K release layout from a folder.

    `<anything>.token.txt` holds `name.jpg#0<TAB>caption` lines, `*.trainImages.txt` (and dev,
    test; those that exist) one name a line; pictures lie in `images`, or in the release's folder,
    or in `images/`, or beside the captions. Raises DataError when nothing can be used; a line or
    picture that cannot be used becomes a Problem.
    """
    if not data.is_dir():
        raise DataError(f"{printable(data)}: no such folder")
    found = sorted(data.glob("*.token.txt")) + sorted(data.glob("*.token"))
    captions = [path for path in found if ".lemma." not in path.name]  # the release has both
    if len(captions) != 1:
        raise DataError(
            f"{printable(data)}: expected one Flickr8k.token.txt (or *.token.txt) in the folder, "
            f"found {len(captions)}"
        )
    folder = _image_folder(data, images)
    problems: list[Problem] = []
    sentences = _read_captions(captions[0], problems)
    try:
        present = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise DataError(f"{printable(folder)}: cannot be read ({error.strerror})") from None
    examples = [
        Example(folder / name, tuple(sentences[name]), split)
        for name, split in _read_splits(data, sentences, present, folder, problems)
    ]
    if not examples:
        first = f" ({problems[0]})" if problems else ""
        raise DataError(f"{printable(data)}: none of the captions has a picture{first}; " + _HINT)
    return DataSet(printable(data.resolve().name), tuple(examples), tuple(problems))


def read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 text file; raises DataError for an empty or undecodable one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read ({error.strerror})") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{printable(path)}:{line}: not UTF-8 (byte 0x{content[error.start]:02x}); "
            "save the file as UTF-8"
        ) from None
    lines = text.replace("\r\n", "\n").split("\n")
    if not any(line.strip() for line in lines):
        raise DataError(f"{printable(path)}: the file is empty")
    return lines


def read_sentences(path: Path) -> tuple[list[str], list[Problem]]:
    """Distinct sentences of a text file, one a line, in order.

    Lines without words are left out, repeated ones taken once; a line that is not UTF-8 is a
    Problem. Raises DataError when the file cannot be read or nothing is left.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read ({error.strerror})") from None
    if b"\0" in content:
        raise DataError(f"{printable(path)}: not UTF-8 text, perhaps UTF-16; save it as UTF-8")
    sentences: dict[str, None] = {}
    problems = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        place = f"{printable(path)}:{number}"
        try:
            sentence = line.decode().strip()
        except UnicodeDecodeError as error:
            byte = line[error.start]
            problems.append(Problem(place, f"not UTF-8 (byte 0x{byte:02x}); line skipped"))
            continue
        if tokenise(sentence):
            sentences[sentence] = None
    if not sentences:
        raise DataError(f"{printable(path)}: no sentence in the file; expected one a line, UTF-8")
    return list(sentences), problems


_HINT = "name the folder of the pictures with --images"


def _image_folder(data: Path, images: Path | None) -> Path:
    if images is not None:
        if not images.is_dir():
            raise DataError(f"{printable(images)}: no such folder; " + _HINT)
        return images
    usual = ("Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k-images", "images")
    return next((data / name for name in usual if (data / name).is_dir()), data)


def _read_captions(path: Path, problems: list[Problem]) -> dict[str, list[str]]:
    sentences: dict[str, list[str]] = defaultdict(list)
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        place = f"{printable(path)}:{number}"
        key, tab, caption = line.partition("\t")
        name = key.rpartition("#")[0]
        if not tab or not name or Path(name).name != name:
            problems.append(Problem(place, "expected `name.jpg#0<TAB>caption`; line skipped"))
        elif not tokenise(caption):
            problems.append(Problem(place, "the caption has no words; line skipped"))
        else:
            sentences[name].append(caption.strip())
    return sentences


def _read_splits(
    data: Path,
    sentences: dict[str, list[str]],
    present: set[str],
    folder: Path,
    problems: list[Problem],
) -> list[tuple[str, str]]:
    """Names and splits of the images that have a picture and a caption."""
    chosen: dict[str, str] = {}
    listed = False
    for split in SPLITS:
        for path in sorted(data.glob(f"*{split}Images.txt")):
            listed = True
            for number, line in enumerate(read_lines(path), 1):
                name = line.strip()
                if not name:
                    continue
                place = f"{printable(path)}:{number}"
                if name in chosen:
                    problem = f"{printable(name)} is already in the {chosen[name]} split; skipped"
                elif name not in sentences:
                    problem = f"{printable(name)} has no caption; skipped"
                elif name not in present:
                    problem = f"no picture {printable(folder / name)}; its captions are skipped"
                else:
                    chosen[name] = split
                    continue
                problems.append(Problem(place, problem, split))
    if not listed:
        raise DataError(
            f"{printable(data)}: no split list; expected Flickr_8k.trainImages.txt and "
            "Flickr_8k.devImages.txt, one image name a line"
        )
    return list(chosen.items())
