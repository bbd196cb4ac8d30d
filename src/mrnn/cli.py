"""The command line: all commands in the order of the help."""

from __future__ import annotations

import signal

import typer

from .data_commands import benchmark, check, evaluate
from .library_commands import index, search
from .photo_commands import caption, demo, explain, info, rank_images, rank_sentences, score, words
from .reproduction_commands import reproduce
from .server_commands import serve
from .training_commands import train

app = typer.Typer(
    help="Explain images with a small multimodal recurrent neural network; offline, on a CPU.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
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
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app(prog_name="mrnn")
