"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

Model = Annotated[
    str, typer.Option("--model", "-m", help="plain, default, or a model directory.", metavar="M")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.", metavar="D")]
Precision = Annotated[
    Optional[int],
    typer.Option(
        "--precision",
        help="Bits of the image network: 8, which is several times as fast, or 32.",
        metavar="8|32",
        show_default="8 on a CPU, if the model has them",
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of all that is random.", metavar="N")]
Consensus = Annotated[
    bool,
    typer.Option(
        "--consensus",
        help="Of a beam's sentences (10 if not given), the one most like how similar pictures were "
        "described.",
    ),
]
NoRepeat = Annotated[
    int,
    typer.Option(
        "--no-repeat", help="Words in a row that no sentence says twice; 0 lets it.", metavar="N"
    ),
]
Ratio = Annotated[
    Optional[float],
    typer.Option(
        "--ratio",
        help="Choose words by log P(w|I) - C log P(w|usual image), from 0 (log P alone) to 1.",
        metavar="C",
        show_default="the model's",
    ),
]
Exclude = Annotated[
    Optional[list[str]],
    typer.Option(
        "--exclude",
        help="Leave out files and folders by this pattern of their names, or of paths below PATH "
        "if it has a slash; may be given several times. A library remembers them; '' ends that.",
        metavar="GLOB",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Paths = Annotated[
    list[Path],
    typer.Argument(help="Photos and folders; - for a list of them on stdin.", metavar="PATH..."),
]
Images = Annotated[
    Optional[Path],
    typer.Option("--images", help="Folder of the pictures, if not beside the captions."),
]
Data = Annotated[
    Path, typer.Argument(help="Captioned data set: a folder, or its caption file.", metavar="DATA")
]
