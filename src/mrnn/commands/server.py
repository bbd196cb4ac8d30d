"""The command that serves a model to other programs and to a browser; heavy imports inside."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ..devices import require_device, require_precision
from ..errors import DataError, UsageError
from ..images.finding import printable
from .beforehand import EXTRAS, require_library, require_model, require_modules
from .console import note, reporting_errors
from .options import LIBRARY, Device, LibraryModel, Precision, default_model

if TYPE_CHECKING:
    from ..captioner import Captioner
    from ..library.library import Library

_SHORTEST_KEY = 16  # characters
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@reporting_errors
def serve(
    library: Annotated[
        Optional[Path],
        typer.Option(
            "--library",
            "-l",
            help="Folder of a library, which can be searched then, too.",
            metavar="DIR",
            envvar=LIBRARY,
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(help="Address to listen at; one that other machines can reach needs a key."),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(help="Port to listen at; 0 takes a free one.", min=0, max=65535, metavar="P"),
    ] = 8000,
    key_file: Annotated[
        Optional[Path],
        typer.Option(help="File with the key that clients must send; or set MRNN_KEY."),
    ] = None,
    allow_host: Annotated[
        Optional[list[str]],
        typer.Option(
            help="Another name by which clients know this server; may be given several times.",
            metavar="NAME",
        ),
    ] = None,
    allow_origin: Annotated[
        Optional[list[str]],
        typer.Option(
            help="Another web site whose pages may ask this server; may be given several times.",
            metavar="https://SITE",
        ),
    ] = None,
    model: LibraryModel = None,
    device: Device = "auto",
    precision: Precision = None,
) -> int:
    """Answer other programs over HTTP, and show a web page to people."""
    for name in allow_host or ():
        if not re.fullmatch(r"[\w.-]+|\[[0-9a-fA-F:.]+\]", name):
            raise UsageError(f"--allow-host {name}: a name without scheme and port is expected")
    for origin in allow_origin or ():
        if not re.fullmatch(r"https?://[^/\s]+", origin):
            raise UsageError(f"--allow-origin {origin}: expected is https://SITE, and no path")
    key = _key(key_file)
    if key is None and not _is_loopback(host):
        raise UsageError(
            f"{host} can be reached from other machines: give a key, in a file that --key-file "
            "names or in MRNN_KEY"
        )
    require_modules("the server", EXTRAS["serve"])
    require_device(device)
    require_precision(precision)
    if library is not None:
        require_library(library)
    if library is None or model is not None:
        require_model(model or default_model())
    from ..server import Access, Limits, create_app
    from ..server.running import lan_address, listen, run

    with listen(host, port) as listening:
        captioner, opened = _open(library, model, device, precision)
        is_any = host in ("", "0.0.0.0", "::")  # noqa: S104 - never without a key
        named = lan_address(host) if is_any else _as_sent(host)
        hosts = dict.fromkeys(
            [*_LOOPBACK, *([named] if named else []), *(name.lower() for name in allow_host or ())]
        )
        limits = Limits()
        access = Access(tuple(hosts), tuple(map(str.lower, allow_origin or ())), key)
        port = listening.getsockname()[1]
        others = f"http://{named}:{port}/" if named and not _is_loopback(host) else None
        told = [f"http://localhost:{port}/"] if is_any else [f"http://{named}:{port}/"]
        if is_any and others:
            told.append(f"{others} on other machines of the network, with the key")
        ready = partial(_tell, told)
        app = create_app(captioner, opened, limits, access, ready, others)
        try:
            run(app, listening, limits)
        finally:
            if opened is not None:
                opened.close()
    return 0


def _as_sent(host: str) -> str:
    """A host as browsers write it in an address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower()
    return f"[{address}]" if address.version == 6 else str(address)


def _tell(addresses: Sequence[str]) -> None:
    for address in addresses:
        note(f"mrnn: {address}")


def _open(
    folder: Path | None, model: str | None, device: str, precision: int | None
) -> tuple[Captioner, Library | None]:
    """The model, and the library if there is one; each fault is told before anything is served."""
    from ..captioner import load
    from ..library.library import Library

    if folder is None:
        return load(model or default_model(), device, precision), None
    captioner = None if model is None else load(model, device, precision)
    library = Library.open(folder, captioner, device, precision)
    library.require_usable()
    return library.captioner, library


def _key(file: Path | None) -> str | None:
    """The key of a file, or else of the environment."""
    if file is None:
        key = os.environ.get("MRNN_KEY", "")
        place = "MRNN_KEY"
    else:
        place = printable(file)
        try:
            key = file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise DataError(f"{place}: cannot be read ({reason})") from None
        if not key:
            raise UsageError(f"{place}: the file is empty; write a key of your own into it")
    if not key:
        return None
    if len(key) < _SHORTEST_KEY or not (key.isascii() and key.isprintable()) or " " in key:
        raise UsageError(
            f"{place}: a key has {_SHORTEST_KEY} printable ASCII characters or more, no space"
        )
    return key


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
