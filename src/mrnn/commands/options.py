"""Options that several commands share, and the variables that they may come from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Optional

import typer

from ..images.finding import printable

MODEL, LIBRARY = "MRNN_MODEL", "MRNN_LIBRARY"  # environment variables; an empty one is not set

Paths = Annotated[
    list[Path],
    typer.Argument(help="Photos and folders; - for a list of them on stdin.", metavar="PATH..."),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="Which model: plain, default, or the folder of one of your own.",
        metavar="M",
        envvar=MODEL,
    ),
]
LibraryModel = Annotated[
    Optional[str],
    typer.Option(
        "--model",
        "-m",
        help="Which model: plain, default, or the folder of one of your own.",
        metavar="M",
        show_default=f"the library's own; without a library {MODEL}, or default",
    ),
]
LibraryFolder = Annotated[
    Path,
    typer.Option("--library", "-l", help="Folder of the library.", metavar="DIR", envvar=LIBRARY),
]
Device = Annotated[
    str,
    typer.Option(
        "--device", help="What to compute on: auto, cpu or cuda (an NVIDIA GPU).", metavar="D"
    ),
]
Precision = Annotated[
    Optional[int],
    typer.Option(
        "--precision",
        help="Bits of the numbers in the image network: 8, which is about twice as fast, or 32.",
        metavar="8|32",
        show_default="8 on a CPU, if the model has them",
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", help="Number from which all random choices follow.", metavar="N")
]
Beam = Annotated[
    int,
    typer.Option(
        "--beam",
        help="How many beginnings of a sentence are tried at once; 1 takes the likeliest word each "
        "time.",
        metavar="N",
    ),
]
Consensus = Annotated[
    bool,
    typer.Option(
        "--consensus",
        help="Take, of 10 sentences or as many as --beam says, the one that is most like what "
        "people wrote about similar pictures.",
    ),
]
NoRepeat = Annotated[
    int,
    typer.Option(
        "--no-repeat",
        help="So many words in a row are never said twice in a sentence; 0 allows it.",
        metavar="N",
    ),
]
Ratio = Annotated[
    Optional[float],
    typer.Option(
        "--ratio",
        help="How much more words count that suit this picture than those likely of any: chosen by "
        "log P(w|I) - C log P(w|usual image), C from 0 to 1.",
        metavar="C",
        show_default="the model's",
    ),
]
EXCLUDE = (
    "Leave out files and folders by this pattern of their names, or of paths below PATH if it has "
    "a slash; may be given several times."
)
Exclude = Annotated[
    Optional[list[str]],
    typer.Option(
        "--exclude",
        help=EXCLUDE,
        metavar="GLOB",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]
Images = Annotated[
    Optional[Path],
    typer.Option(
        "--images", help="Folder of the pictures, if they do not lie beside the captions."
    ),
]
Data = Annotated[
    Path, typer.Argument(help="Captioned data set: a folder, or its caption file.", metavar="DATA")
]


def default_model() -> str:
    """The model where no option names one and no library has its own."""
    return os.environ.get(MODEL) or "default"


def named_by(message: str) -> str:
    """What to add to a message that begins with a place which an environment variable names."""
    for variable in (MODEL, LIBRARY):
        place = printable(os.environ.get(variable, ""))
        if place and message.startswith((f"{place}:", f"{place}{os.sep}")):
            return f" ({variable} names it)"
    return ""
