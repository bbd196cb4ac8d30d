"""The commands on captioned data sets, and `mrnn benchmark`; heavy imports inside."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from . import encoders
from .config import MEMORY_GB, DropoutShares, ModelConfig, TrainConfig
from .console import INTERRUPTED, emit, exit_code, note, note_problems, progress, reporting_errors
from .errors import UsageError
from .images import printable
from .options import Data, Device, Images, Json, Model, Seed


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


def _share(of: str) -> Any:
    return typer.Option(help=f"Dropout of {of}.", min=0, max=0.99, metavar="P")


@reporting_errors
def train(
    data: Data,
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory of the new model.")],
    images: Images = None,
    encoder: Annotated[
        str, typer.Option(help="Image encoder; none trains RNN-Base.", metavar="NAME")
    ] = encoders.DEFAULT,
    epochs: Annotated[
        int, _at_least(1, "Passes over the sentences, at most.")
    ] = TrainConfig.epochs,
    patience: Annotated[
        int, _at_least(1, "Epochs without a better dev perplexity before it stops.")
    ] = TrainConfig.patience,
    batch: Annotated[int, _at_least(1, "Sentences an update.")] = TrainConfig.batch,
    learning_rate: Annotated[float, _at_least(0, "The highest.")] = TrainConfig.learning_rate,
    l2: Annotated[float, _at_least(0, "Lambda of eq. 6.")] = TrainConfig.l2,
    dropout_words: Annotated[float, _share("w(t)")] = DropoutShares.words,
    dropout_image: Annotated[float, _share("the image feature")] = DropoutShares.image,
    dropout_multimodal: Annotated[float, _share("m(t)")] = DropoutShares.multimodal,
    minimum_count: Annotated[
        int, _at_least(1, "A rarer word becomes the unknown word.")
    ] = TrainConfig.minimum_count,
    embedding: Annotated[int, _at_least(1, "Word embedding I.")] = ModelConfig.embedding,
    recurrent: Annotated[
        int, _at_least(1, "Word embedding II and recurrent layer.")
    ] = ModelConfig.recurrent,
    multimodal: Annotated[int, _at_least(1, "Multimodal layer.")] = ModelConfig.multimodal,
    device: Device = "auto",
    seed: Seed = TrainConfig.seed,
) -> int:
    """Train a model on captioned images in the Flickr8K release layout."""
    from .console import training_progress
    from .datasets import read_dataset
    from .devices import choose_device
    from .features import default_cache
    from .training import train as run

    config = TrainConfig(
        epochs=epochs,
        patience=patience,
        batch=batch,
        learning_rate=learning_rate,
        l2=l2,
        dropout=DropoutShares(dropout_words, dropout_image, dropout_multimodal),
        minimum_count=minimum_count,
        seed=seed,
    )
    sizes = ModelConfig(
        embedding=embedding,
        recurrent=recurrent,
        multimodal=multimodal,
    )
    dataset = read_dataset(data, images)
    note_problems(dataset.problems)
    where = choose_device(device)
    opened = encoders.open_encoder(encoder, where.type)
    if opened.dimension:
        images_used = len(dataset.split("train")) + len(dataset.split("dev"))
        megabytes = 2 * images_used * opened.dimension / 1e6
        note(f"{images_used:,} images; their features take {megabytes:,.0f} MB in the cache")
    with progress("features") as on_features, training_progress() as on_progress:
        trained = run(
            dataset,
            opened,
            output,
            sizes,
            config,
            default_cache(),
            where,
            on_features,
            on_progress,
        )
    for error in trained.errors:
        note(f"mrnn: {error}")
    reached = trained.bundle.training
    print(f"{printable(output)}: dev perplexity {reached['dev_perplexity']:.2f}", end="")
    print(f", epoch {reached['epoch']}")
    if trained.interrupted:
        note("mrnn: interrupted; the best model so far is kept")
        return INTERRUPTED
    return exit_code(len(dataset.examples), len(dataset.problems) + len(trained.errors))


@reporting_errors
def evaluate(
    data: Data,
    images: Images = None,
    split: Annotated[str, typer.Option(help="train, dev or test.", metavar="NAME")] = "dev",
    beam: Annotated[int, typer.Option(help="Beam width; 1 is greedy.", metavar="N")] = 1,
    protocol: Annotated[
        Protocol, typer.Option(help="How captions are generated and compared.")
    ] = Protocol.coco,
    context: Annotated[
        int, _at_least(0, "Of paper2014: words of the reference that are given.")
    ] = 0,
    retrieval: Annotated[
        Retrieval, typer.Option(help="How sentences and images are ranked.")
    ] = Retrieval.exact,
    memory: Annotated[
        float, typer.Option(help="For scoring, beside the model.", metavar="GB", min=0.05)
    ] = MEMORY_GB,
    limit: Annotated[
        Optional[int], typer.Option(help="Only the first N images.", metavar="N", min=1)
    ] = None,
    health: Annotated[
        bool, typer.Option("--health", help="Also: does the model look at the pictures?")
    ] = False,
    meteor: Annotated[
        bool, typer.Option("--meteor", help="Also METEOR; needs Java and pycocoevalcap.")
    ] = False,
    report: Annotated[
        Optional[Path], typer.Option(help="Also write an HTML page.", metavar="DIR")
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Write the scores into the model's card.")
    ] = False,
    model: Model = "default",
    device: Device = "auto",
    seed: Annotated[int, typer.Option(help="Of --health.", metavar="N")] = 1,
    json: Json = False,
) -> int:
    """Perplexity, caption metrics and retrieval both ways of a model on a split."""
    from .bundle import find_bundle, save_bundle, with_scores
    from .captioner import Decoding, load
    from .datasets import read_dataset, split_name
    from .evaluation import Plan
    from .evaluation import evaluate as run
    from .features import default_cache
    from .records import evaluation_lines
    from .report import write_report

    plan = Plan(
        Decoding(beam=beam),
        protocol.value,
        context,
        retrieval.value,
        memory * 1e9,
        health,
        meteor,
        seed,
    )
    if record and plan.protocol != "coco":
        raise UsageError("--record goes with --protocol coco")
    split = split_name(split)
    dataset = read_dataset(data, images)
    problems = [p for p in dataset.problems if p.split in (None, split)]
    note_problems(problems)
    examples = dataset.split(split)[:limit]
    if report is not None:
        report.mkdir(parents=True, exist_ok=True)  # fails now rather than after minutes
    captioner = load(model, device)
    result = run(captioner, dataset.name, split, examples, plan, default_cache(), progress)
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
        save_bundle(with_scores(captioner.bundle, d), find_bundle(model))
    if report is not None:
        note(f"report: {printable(write_report(report, result))}")
    return exit_code(d["images"], len(problems) + len(result.errors))


@reporting_errors
def benchmark(
    rows: Annotated[
        Optional[list[str]],
        typer.Argument(help="Rows of the table; all by default.", metavar="ROW"),
    ] = None,
    data: Annotated[
        Optional[Path],
        typer.Option(help="Captioned pictures for the retrieval rows; samples without."),
    ] = None,
    json: Json = False,
) -> int:
    """Measure speeds on this machine, as ratios within one run."""
    from .benchmark import run_rows

    results = []
    for row in run_rows(rows or [], data):
        results.append(row)
        if not json:
            print(row.line(), flush=True)
    if json:
        emit({"rows": [asdict(row) for row in results]})
    return 0
