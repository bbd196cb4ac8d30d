"""The command line: all commands in the order of the help."""

from __future__ import annotations

import ctypes
import signal
from contextlib import suppress
from importlib import metadata
from typing import Annotated

import typer

from .captioning import caption
from .console import Quiet, Verbose, set_loudness
from .data import benchmark, check, evaluate
from .library import index, search
from .photos import demo, explain, info, rank_images, rank_sentences, score, words
from .reproduction import reproduce
from .server import serve
from .training import train

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"mrnn {metadata.version('mrnn')}")
        raise typer.Exit


@app.callback()
def whole(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", is_eager=True, callback=_show_version
        ),
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Explain images with a small multimodal recurrent neural network; offline, on a CPU."""
    set_loudness(quiet, verbose)


for command in (
    demo,
    caption,
    explain,
    score,
    rank_sentences,
    rank_images,
    index,
    search,
    serve,
    words,
    check,
    train,
    evaluate,
    reproduce,
    info,
    benchmark,
):
    app.command()(command)


def main() -> None:
    """Run the command line; SIGTERM is taken like Ctrl-C, so that what can be saved is."""
    _give_memory_back()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app(prog_name="mrnn")


_TRIM_THRESHOLD = -1  # M_TRIM_THRESHOLD of malloc.h
_KEPT = 128 << 10  # bytes


def _give_memory_back() -> None:
    """Let glibc give freed memory back at once; as a rule it comes to keep 64 MB for later."""
    with suppress(AttributeError, OSError, TypeError):  # other systems have their own ways
        ctypes.CDLL(None).mallopt(_TRIM_THRESHOLD, _KEPT)
