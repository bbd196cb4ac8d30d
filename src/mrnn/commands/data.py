"""The commands on captioned data sets, and `mrnn benchmark`; heavy imports inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ..config import MEMORY_GB, SHIPPED, Decoding, TrainConfig
from ..errors import BundleError, DataError, UsageError
from ..images.finding import printable
from ..model.directory import find_bundle
from .beforehand import (
    modules_for_data,
    require_dataset,
    require_folder,
    require_metrics,
    require_model,
    require_outside_libraries,
    require_place,
    require_readable,
)
from .console import (
    FAILED,
    PARTLY,
    emit,
    exit_code,
    note,
    note_problems,
    progress,
    reporting_errors,
)
from .options import Beam, Consensus, Data, Device, Images, Json, Model, NoRepeat, Precision, Ratio

if TYPE_CHECKING:
    from ..captioner import Captioner
    from ..datasets import Example
    from ..evaluation.reading import FeatureSource
    from ..model.chance import MatchChance


class Protocol(StrEnum):
    """The choices of --protocol."""

    coco = "coco"
    paper2014 = "paper2014"


class Retrieval(StrEnum):
    """The choices of --retrieval."""

    exact = "exact"
    two_stage = "two-stage"
    none = "none"


def _at_least(least: float, text: str) -> Any:
    return typer.Option(help=text, min=least, metavar="N")


@reporting_errors
def evaluate(
    data: Data,
    images: Images = None,
    split: Annotated[
        str, typer.Option(help="Pictures to measure on: train, dev or test.", metavar="NAME")
    ] = "dev",
    beam: Beam = 1,
    consensus: Consensus = False,
    ratio: Ratio = None,
    no_repeat: NoRepeat = Decoding.no_repeat,
    protocol: Annotated[
        Protocol,
        typer.Option(
            help="How captions are written and compared: as for COCO, or as in the paper."
        ),
    ] = Protocol.coco,
    context: Annotated[
        int, _at_least(0, "Words of the human sentence that are given, with --protocol paper2014.")
    ] = 0,
    retrieval: Annotated[
        Retrieval,
        typer.Option(
            help="How sentences and images are ranked: by all exact scores, in two stages, or not."
        ),
    ] = Retrieval.exact,
    memory: Annotated[
        float,
        typer.Option(help="Memory for scores, beside that of the model.", metavar="GB", min=0.05),
    ] = MEMORY_GB,
    limit: Annotated[
        Optional[int], typer.Option(help="Measure on the first N images only.", metavar="N", min=1)
    ] = None,
    health: Annotated[
        bool,
        typer.Option(
            "--health",
            help="Also measure whether the model looks at the pictures, by exchanging them.",
        ),
    ] = False,
    faithfulness: Annotated[
        bool,
        typer.Option(
            "--faithfulness",
            help="Also measure heat maps: what words lose when the hottest part is greyed.",
        ),
    ] = False,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Let --faithfulness measure quick maps, those of mrnn explain --quick."
        ),
    ] = False,
    meteor: Annotated[
        bool,
        typer.Option(
            "--meteor", help="Also measure METEOR; needs Java and the package pycocoevalcap."
        ),
    ] = False,
    report: Annotated[
        Optional[Path],
        typer.Option(
            help="Also write an HTML page with the figures and examples into this folder.",
            metavar="DIR",
        ),
    ] = None,
    record: Annotated[
        bool,
        typer.Option(
            "--record",
            help="Write the scores into the model's card; those of all of dev also tell how likely "
            "what a search finds is right.",
        ),
    ] = False,
    features: Annotated[
        Optional[Path],
        typer.Option(
            help="Image features computed elsewhere: FILE.npy, with names of pictures in FILE.txt.",
            metavar="FILE",
        ),
    ] = None,
    model: Model = "default",
    device: Device = "auto",
    precision: Precision = None,
    seed: Annotated[
        int,
        typer.Option(
            help="Number from which random choices of --health and --faithfulness follow.",
            metavar="N",
        ),
    ] = 1,
    json: Json = False,
) -> int:
    """Perplexity, caption metrics and retrieval both ways of a model on a split."""
    from ..evaluation.plan import Plan
    from ..records import evaluation_lines

    plan = Plan(
        Decoding(beam=beam, consensus=consensus, ratio=ratio, no_repeat=no_repeat),
        protocol.value,
        context,
        retrieval.value,
        memory * 1e9,
        health,
        meteor,
        seed,
        faithfulness,
        quick,
    )
    if record and plan.protocol != "coco":
        raise UsageError("--record goes with --protocol coco")
    if record and model in SHIPPED:
        raise UsageError(
            f"--record would write into the model {model}, which comes with mrnn: name one of your "
            "own with --model, or a copy of this one"
        )
    if faithfulness and features is not None:
        raise UsageError("--faithfulness needs the encoder: leave out --features")
    require_model(model, device, precision)
    require_dataset(data, images)
    _require_files(features, report, find_bundle(model) if record else None)
    require_metrics(meteor, modules_for_data(data))
    from ..captioner import load
    from ..datasets import read_dataset, split_name
    from ..evaluation.evaluation import evaluate as run
    from ..evaluation.report import write_report

    split = split_name(split)
    captioner = load(model, device, precision)
    dataset = read_dataset(data, images, _split_seed(captioner.bundle.training))
    problems = [p for p in dataset.problems if p.split in (None, split)]
    note_problems(problems)
    examples = dataset.split(split)[:limit]
    if report is not None:
        report.mkdir(parents=True, exist_ok=True)  # fails now rather than after minutes
    source = _source(features, captioner)
    result = run(captioner, dataset.name, split, examples, plan, source, progress)
    for error in result.errors:
        note(f"mrnn: {error}")
    d = result.document
    if health and d["health"]["sees_images"] is False:
        note("mrnn: the model ignores the pictures: other pictures do not make it worse")
    if json:
        emit(d)
    else:
        print("\n".join(evaluation_lines(d)))
    if record:
        of_dev = result.examples if split == "dev" and limit is None else ()
        _record(find_bundle(model), captioner, d, _chance(captioner, of_dev, source))
    if report is not None:
        note(f"report: {printable(write_report(report, result))}")
    return exit_code(d["images"], len(problems) + len(result.errors))


def _require_files(features: Path | None, report: Path | None, recorded: Path | None) -> None:
    """Raise DataError for what cannot be read or written, UsageError for a page in a library."""
    if features is not None:
        require_readable(features)
    if report is not None:
        require_outside_libraries(report)
        require_folder(report)
    if recorded is not None:
        require_place(recorded.resolve())


def _source(features: Path | None, captioner: Captioner) -> FeatureSource:
    """The features of a file, or those that the model's encoder computes."""
    from ..datasets.feature_files import FeatureFile
    from ..evaluation.reading import encoded_by
    from ..images.features import default_cache

    if features is None:
        return encoded_by(captioner.encoder, default_cache())
    file = FeatureFile.open(features)
    if file.encoder.dimension != captioner.encoder.dimension:
        raise UsageError(
            f"{printable(features)}: {file.encoder.dimension} numbers a picture; the model was "
            f"trained on {captioner.encoder.dimension}"
        )
    return file.lookup


def _chance(
    captioner: Captioner, dev: Sequence[Example], source: FeatureSource
) -> MatchChance | None:
    """The chances of a match that these dev pictures give, if there are enough of them."""
    from ..evaluation.match import LEAST, fit_match
    from ..evaluation.reading import read_pairs

    if not dev or captioner.model.config.feature == 0:
        return None
    pairs, _, _ = read_pairs(dev, captioner.vocabulary, source, lambda done, total: None)
    with progress("match", "sentences") as on_progress:
        chance = fit_match(captioner.bundle, pairs, on_progress=on_progress)
    if chance is None:
        note(
            f"mrnn: no chances of a match are recorded: the dev split has {len(dev):,} pictures, "
            f"and {LEAST} distinct ones are needed that tell right from wrong"
        )
    return chance


def _record(
    place: Path, captioner: Captioner, scores: Mapping[str, Any], chance: MatchChance | None
) -> None:
    """Add what was measured to a bundle as it is now: others may have added something, too.

    Raises BundleError where it is of another model by now.
    """
    from ..model.bundle import identity_of, load_bundle, save_bundle, with_scores

    bundle, precision = load_bundle(place), captioner.encoder.precision
    if identity_of(bundle, precision) != captioner.identity:
        raise BundleError(
            f"{printable(place)}: another model came there while this one was measured; nothing is "
            "recorded: give the command again"
        )
    if chance is not None:
        bundle = replace(bundle, chance=chance, match=None)
    save_bundle(with_scores(bundle, scores), place)


def _split_seed(training: Mapping[str, Any]) -> int:
    """What chose the splits that the model was trained on, where the data did not."""
    return int(training.get("config", {}).get("split_seed", TrainConfig.split_seed))


@reporting_errors
def benchmark(
    rows: Annotated[
        Optional[list[str]],
        typer.Argument(help="Rows of the table to measure; without any, all.", metavar="ROW..."),
    ] = None,
    data: Annotated[
        Optional[Path],
        typer.Option(help="Captioned data set for the rows about retrieval; without it, samples."),
    ] = None,
    json: Json = False,
) -> int:
    """Measure speeds on this machine, as ratios within one run."""
    if data is not None:
        require_dataset(data, None)
    from ..speed.benchmark import run_rows

    results = []
    for row in run_rows(rows or [], data):
        results.append(row)
        if not json:
            print(row.line(), flush=True)
    if json:
        emit({"rows": [asdict(row) for row in results]})
    return 0


@reporting_errors
def check(
    data: Data,
    images: Images = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Look at the captions only: no picture is opened.")
    ] = False,
    split_seed: Annotated[
        int,
        typer.Option(
            help="Number that chooses dev and test pictures where the data does not.",
            metavar="N",
            min=0,
        ),
    ] = TrainConfig.split_seed,
    json: Json = False,
) -> int:
    """Look through a captioned data set: what it holds, and every problem; nothing is changed.

    Exit code 3 when something will be skipped in training, 1 when training is impossible. The same
    picture twice, or in two splits, and captions that repeat are remarks, and no problem.
    """
    try:
        require_dataset(data, images)
        from ..datasets import read_dataset

        dataset = read_dataset(data, images, split_seed)
    except DataError as error:
        if json:
            from ..datasets.check import unusable

            emit(unusable(error))
        raise
    from ..datasets.check import check as run
    from ..datasets.check import check_lines

    arguments = [str(data)]
    arguments += ["--images", str(images)] if images is not None else []
    arguments += ["--split-seed", str(split_seed)] if split_seed != TrainConfig.split_seed else []
    d = run(dataset, quick, progress, [*filter(None, [images or data])], arguments)
    if json:
        emit(d)
    else:
        print("\n".join(check_lines(d)))
    if not d["trainable"]:
        return FAILED
    return PARTLY if d["problems"] else 0
