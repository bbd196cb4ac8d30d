"""`mrnn reproduce`; heavy imports inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ..config import ENCODER, MEMORY_GB
from ..errors import DivergedError, ImageError, UsageError
from ..images.finding import printable
from ..training.settings import settle
from .beforehand import modules_for_data, modules_for_encoder, require_modules
from .console import emit, exit_code, note, note_problems, progress, reporting_errors
from .options import Data, Device, Images, Json, Seed

if TYPE_CHECKING:
    from ..datasets import DataSet
    from ..images.encoders import Encoder
    from ..reproduction.page import Explained, Result
    from ..reproduction.paper_tables import Row, Table
    from ..reproduction.reproduction import Measured, Reproduction
    from ..reproduction.systems import Ground, System
    from ..scoring.ranking import Stage


class Which(StrEnum):
    """The choices of --table."""

    one = "1"
    two = "2"
    three = "3"
    four = "4"
    five = "5"
    all = "all"


@reporting_errors
def reproduce(
    data: Data,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder for the trained systems, their figures and the tables."
        ),
    ],
    table: Annotated[Which, typer.Option(help="Which table of the paper.")] = Which.all,
    images: Images = None,
    split: Annotated[
        Optional[str],
        typer.Option(
            help="Pictures to measure on: train, dev or test.",
            metavar="NAME",
            show_default="test if there is one, else dev",
        ),
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(
            help="Image network: efficientnet-lite0, -lite1, -lite2, alexnet, or an .onnx file.",
            metavar="NAME",
        ),
    ] = ENCODER,
    encoder_weights: Annotated[
        Optional[Path],
        typer.Option(help="File of the weights of alexnet, which no package has.", metavar="FILE"),
    ] = None,
    picture: Annotated[
        Optional[list[Path]],
        typer.Option(
            help="A picture to be shown as in the paper's Fig. 1; may be given several times.",
            metavar="IMAGE",
        ),
    ] = None,
    memory: Annotated[
        float,
        typer.Option(help="Memory for scores, beside that of the models.", metavar="GB", min=0.05),
    ] = MEMORY_GB,
    seed: Seed = 1,
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Run the systems of the paper's tables on a data set, beside the published figures.

    What is in the folder already is not done again: an interrupted run goes on where it stopped.
    """
    from ..datasets import read_dataset
    from ..reproduction.kept_encoder import keep_encoder
    from ..reproduction.page import document, markdown, write_tables
    from ..reproduction.paper_tables import TABLES
    from ..reproduction.reproduction import needs_pytorch, opened, require_usable
    from ..scoring.ranking import require_memory

    asked = [t for t in TABLES if table in (Which.all, str(t.number))]
    require_usable(output)  # first what may be wrong: before minutes of work
    learns = needs_pytorch(output, [system for t in asked for system in t.systems])
    modules = modules_for_data(data)
    if learns:
        modules += ["torch", *([] if output.exists() else modules_for_encoder(encoder))]
    if any(t.kind == "generation" for t in asked):
        modules.append("sacrebleu")
    require_modules("mrnn reproduce", modules)
    eye = _opened(encoder, encoder_weights, output, device, learns)
    if not eye.dimension:
        raise UsageError(f"--encoder {encoder} sees nothing; the tables need image features")
    dataset = read_dataset(data, images, seed)
    note_problems(dataset.problems)
    name = split or ("test" if "test" in dataset.counts() else "dev")
    if any(t.kind == "retrieval" for t in asked):
        examples = dataset.split(name)
        require_memory(sum(len(e.sentences) for e in examples), len(examples), memory * 1e9)
    ground, measured, errors = _prepared(dataset, name, eye, seed, device, memory * 1e9)
    for error in errors:
        note(f"mrnn: {error}")
    with opened(output, ground, measured) as reproduction:
        keep_encoder(output, eye)
        failed: set[System] = set()

        def results_of(tables: list[Table]) -> dict[Table, list[Result]]:
            return {t: [_result(reproduction, t, row, failed) for row in t.rows] for t in tables}

        results = results_of(asked)
        shown = _shown(picture or [], reproduction, ground, measured, eye, failed)
        others = [t for t in TABLES if t not in asked and reproduction.has(t.kind, t.systems)]
        page = write_tables(output, reproduction.facts, results | results_of(others), shown)
    if json:
        emit(document(reproduction.facts, results))
    else:
        print(markdown(reproduction.facts, results), end="")
    note(f"page: {printable(page)}")
    missed = len(picture or []) - len(shown)
    missing = len(dataset.problems) + len(errors) + len(failed) + missed
    return exit_code(len(measured.examples), missing)


def _opened(name: str, weights: Path | None, output: Path, device: str, learns: bool) -> Encoder:
    """The encoder that is kept in the folder, or the one that is named; on a GPU if that is there.

    `--device cuda` is asked of what learns: the rest of the work does without, too.
    """
    from ..images.encoders import open_encoder
    from ..onnx_sessions import choose_device
    from ..reproduction.kept_encoder import kept_encoder

    where = choose_device("auto" if device == "cuda" else device)
    kept = None if weights else kept_encoder(output, name, where)
    encoder = kept or open_encoder(name, where, weights)
    if encoder.remark:
        note(f"{printable(name)}: {encoder.remark}")
    if not learns:
        return encoder
    from ..training.devices import choose_device as choose_to_learn
    from ..training.image_network import placed

    return placed(encoder, choose_to_learn(device))


def _prepared(
    dataset: DataSet,
    split: str,
    encoder: Encoder,
    seed: int,
    device: str,
    memory: float,
) -> tuple[Ground, Measured, list[ImageError]]:
    """What the systems learn from and are measured on, and the pictures that cannot be read."""
    from ..config import ModelConfig
    from ..evaluation.reading import encoded_by, read_pairs
    from ..images.features import default_cache
    from ..reproduction.reproduction import Measured
    from ..reproduction.systems import Ground, without_weights
    from ..training.material import ImageSide, prepare

    sentences = sum(len(example.sentences) for example in dataset.split("train"))
    config = settle({"encoder": encoder.name, "seed": seed}, None, sentences).train_config()
    side = ImageSide(encoded_by(encoder, default_cache()), encoder)
    examples = dataset.split(split)
    with progress("features") as on_features:
        material = prepare(
            dataset, side, ModelConfig(), config, (), None, without_weights, on_features
        )
        vocabulary = material.bundle.vocabulary
        pairs, readable, errors = read_pairs(examples, vocabulary, side.source, on_features)
    ground = Ground(material, config, ModelConfig(), device, memory)
    errors = list({str(error): error for error in (*material.errors, *errors)}.values())
    return ground, Measured(dataset.name, split, readable, pairs), errors


def _result(reproduction: Reproduction, table: Table, row: Row, failed: set[System]) -> Result:
    """A row with its figures, measured now unless they are there; none for one that diverges."""
    from ..reproduction.page import Result

    if row.system is None or row.system in failed:
        return Result(row, {}, {})
    measure = reproduction.generation if table.kind == "generation" else reproduction.retrieval
    try:
        figures = measure(row.system, _stage(row.system))
    except DivergedError as error:
        note(f"mrnn: {error}")
        failed.add(row.system)
        return Result(row, {}, {})
    return Result(row, figures, reproduction.costs(row.system))


def _stage(system: System) -> Stage:
    """Shows what is being done with a system."""
    return lambda what, unit: progress(f"{system.title}: {what}", unit)


def _shown(
    pictures: Sequence[Path],
    reproduction: Reproduction,
    ground: Ground,
    measured: Measured,
    encoder: Encoder,
    failed: set[System],
) -> list[Explained]:
    """Pictures as in Fig. 1, by the m-RNN of the tables; those that cannot be read are left out."""
    from ..captioner import Captioner
    from ..reproduction.page import explained
    from ..reproduction.systems import M_RNN

    if not pictures or M_RNN in failed:
        return []
    model = reproduction.ranker(M_RNN, _stage(M_RNN)).model
    bundle = replace(ground.material.bundle, model=model)
    captioner = Captioner(bundle, encoder)
    sentences = [sentence for example in measured.examples for sentence in example.sentences]
    found = []
    for path in pictures:
        try:
            found.append(explained(captioner, path, sentences))
        except ImageError as error:
            note(f"mrnn: {error}")
    return found
