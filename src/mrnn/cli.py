"""The command line: one small function a command; heavy imports inside."""

from __future__ import annotations

import signal
from dataclasses import asdict, replace
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from . import encoders
from .config import MAX_LENGTH, MEMORY_GB, DropoutShares, ModelConfig, TrainConfig
from .console import INTERRUPTED, emit, exit_code, note, progress, reporting_errors
from .errors import DataError, ImageError, UsageError
from .images import SUFFIXES, FoundImages, find_images, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .captioner import Ranking
    from .datasets import Problem

app = typer.Typer(
    help="Explain images with a small multimodal recurrent neural network; offline, on a CPU.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Model = Annotated[
    str, typer.Option("--model", "-m", help="plain, default, or a model directory.", metavar="M")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.", metavar="D")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of all that is random.", metavar="N")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Images = Annotated[
    Optional[Path],
    typer.Option("--images", help="Folder of the pictures, if not beside the captions."),
]
Data = Annotated[Path, typer.Argument(help="Folder of a captioned data set.", metavar="DATA")]


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


@app.command()
@reporting_errors
def demo(
    paths: Annotated[
        Optional[list[Path]],
        typer.Argument(help="Photos; by default samples from scikit-image.", metavar="PATH"),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path(
        "demo.html"
    ),
    model: Model = "default",
    device: Device = "auto",
) -> int:
    """Caption real sample photos (or yours), rank the sentences, write demo.html."""
    from .captioner import load
    from .demo import run_demo, sample_photos

    found = find_images(paths if paths else sample_photos())
    _require_images(found, paths)
    captioner = load(model, device)
    failed = len(found.errors)
    for _, error in found.errors:
        note(f"mrnn: {error}")
    for line in run_demo(captioner, found.images, output):
        if isinstance(line, ImageError):
            note(f"mrnn: {line}")
            failed += 1
        else:
            print(line)
    return exit_code(len(found.images) + len(found.errors) - failed, failed)


@app.command()
@reporting_errors
def caption(
    paths: Annotated[list[Path], typer.Argument(help="Images and folders.", metavar="PATH")],
    beam: Annotated[int, typer.Option(help="Beam width; 1 is greedy.", metavar="N")] = 1,
    n_best: Annotated[int, typer.Option(help="Show the N best of the beam.", metavar="N")] = 0,
    sample: Annotated[bool, typer.Option("--sample", help="Draw the words at random.")] = False,
    temperature: Annotated[
        Optional[float],
        typer.Option(help="Of --sample, 1 if not given: below 1 safer, above bolder.", metavar="T"),
    ] = None,
    prefix: Annotated[str, typer.Option(help="The first words.", metavar="TEXT")] = "",
    max_length: Annotated[int, typer.Option(help="Most words.", metavar="N")] = MAX_LENGTH,
    sidecar: Annotated[
        bool,
        typer.Option(
            "--sidecar", help="Also write PATH.caption.txt; images that have it are done."
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write our own sidecars again.")
    ] = False,
    model: Model = "default",
    device: Device = "auto",
    seed: Annotated[Optional[int], typer.Option(help="Of --sample.", metavar="N")] = None,
    json: Json = False,
) -> int:
    """Write a sentence for each image."""
    from .captioner import Decoding, load
    from .records import caption_document, caption_lines
    from .sidecars import is_done, with_sidecars

    if not sample and (temperature is not None or seed is not None):
        raise UsageError("--temperature and --seed go with --sample")
    if overwrite and not sidecar:
        raise UsageError("--overwrite goes with --sidecar")
    how = Decoding(
        beam=max(beam, n_best) if beam > 0 else beam,
        n_best=n_best,
        temperature=(1.0 if temperature is None else temperature) if sample else None,
        seed=1 if seed is None else seed,
        prefix=prefix,
        max_length=max_length,
    )
    found = find_images(paths)
    _require_images(found, paths)
    images = found.images
    if found.others:
        note(f"{found.others} files are not images by their suffix: left out")
    if sidecar and not overwrite:
        images = tuple(image for image in images if not is_done(image))
        if len(images) < len(found.images):
            note(f"{len(found.images) - len(images)} images have a sidecar already: left out")
    captioner = load(model, device)
    captions = captioner.caption_many(images, how)
    results = zip(images, captions, strict=True)
    failed = 0
    with progress("captioning", beside_output=True) as show:
        for done, (image, result) in enumerate(
            chain(found.errors, with_sidecars(results) if sidecar else results), 1
        ):
            if isinstance(result, ImageError):
                failed += 1
                note(f"mrnn: {result}")
            if json:
                emit(caption_document(image, result, how.n_best > 0))
            elif not isinstance(result, ImageError):
                print(caption_lines(image, result))
            show(done, len(images) + len(found.errors))
    return exit_code(len(found.images) + len(found.errors) - failed, failed)


@app.command()
@reporting_errors
def score(
    image: Annotated[Path, typer.Argument(help="An image.", metavar="IMAGE")],
    sentences: Annotated[list[str], typer.Argument(help="Sentences.", metavar="SENTENCE")],
    model: Model = "default",
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Score sentences for an image: log P, perplexity, and log P(s|I)/P(s)."""
    from .captioner import load
    from .records import score_document

    scores = load(model, device).score(image, sentences)
    if json:
        emit({"image": str(image), "scores": [score_document(s) for s in scores]})
        return 0
    print(f"{'log P':>9} {'perplexity':>11} {'log ratio':>10}")
    for s in scores:
        print(
            f"{s.logprob:9.2f} {s.perplexity:11.2f} {s.log_ratio:+10.2f}  {printable(s.sentence)}"
        )
        if s.unknown:
            note(f"not in the vocabulary: {', '.join(s.unknown)}")
    return 0


@app.command()
@reporting_errors
def rank_sentences(
    image: Annotated[Path, typer.Argument(help="An image.", metavar="IMAGE")],
    sentences: Annotated[
        Path, typer.Option("--sentences", help="Text file, a sentence a line, UTF-8.")
    ],
    k: Annotated[int, typer.Option("-k", help="How many to show.", metavar="N", min=1)] = 10,
    model: Model = "default",
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Find the sentences that fit an image best, by P(s|I)/P(s)."""
    from .captioner import load
    from .datasets import read_sentences
    from .records import ranking_document

    lines, problems = read_sentences(sentences)
    _note_problems(problems)
    ranking = load(model, device).rank_sentences(image, lines, k)
    if json:
        emit(ranking_document(ranking, "sentence"))
    else:
        _print_ranking(ranking)
    return exit_code(len(lines), len(problems))


@app.command()
@reporting_errors
def rank_images(
    sentence: Annotated[str, typer.Argument(help="A sentence.", metavar="SENTENCE")],
    paths: Annotated[list[Path], typer.Argument(help="Images and folders.", metavar="PATH")],
    k: Annotated[int, typer.Option("-k", help="How many to show.", metavar="N", min=1)] = 10,
    model: Model = "default",
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Find the images that a sentence fits best, by perplexity."""
    from .captioner import load
    from .records import ranking_document

    found = find_images(paths)
    _require_images(found, paths)
    captioner = load(model, device)
    unknown = captioner.unknown_words(sentence)
    if unknown:
        note(f"not in the vocabulary: {', '.join(unknown)}")
    with progress("images") as on_progress:
        ranking = captioner.rank_images(sentence, found.images, k, on_progress)
    ranking = replace(
        ranking, errors=(*((str(path), error) for path, error in found.errors), *ranking.errors)
    )
    for _, error in ranking.errors:
        note(f"mrnn: {error}")
    if json:
        emit(ranking_document(ranking, "image"))
    else:
        _print_ranking(ranking)
    tried = len(found.images) + len(found.errors)
    return exit_code(tried - len(ranking.errors), len(ranking.errors))


@app.command()
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
    _note_problems(dataset.problems)
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


@app.command()
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
    _note_problems(problems)
    examples = dataset.split(split)[:limit]
    captioner = load(model, device)
    result = run(captioner, dataset.name, split, examples, plan, default_cache(), progress)
    for error in result.errors:
        note(f"mrnn: {error}")
    d = result.document
    if health and not d["health"]["sees_images"]:
        note("mrnn: the model ignores the pictures: other pictures do not make it worse")
    if json:
        emit(d)
    else:
        print("\n".join(evaluation_lines(d)))
    if report is not None:
        note(f"report: {printable(write_report(report, result))}")
    if record:
        save_bundle(with_scores(captioner.bundle, d), find_bundle(model))
    return exit_code(d["images"], len(problems) + len(result.errors))


@app.command()
@reporting_errors
def info(model: Model = "default", device: Device = "auto", json: Json = False) -> int:
    """What a model is, what it was trained on, its scores, and what it runs on here."""
    from .about import about

    document = about(model, device)
    if json:
        emit(document)
        return 0
    for section, values in document.items():
        print(section)
        for key, value in values.items():
            shown = value if not isinstance(value, dict) else " ".join(_flat(value))
            print(f"  {key:20} {printable(str(shown))}")
    return 0


@app.command()
@reporting_errors
def words(
    word: Annotated[str, typer.Argument(help="A word.", metavar="WORD")],
    k: Annotated[int, typer.Option("-k", help="How many.", metavar="N", min=1)] = 10,
    model: Model = "default",
    json: Json = False,
) -> int:
    """Nearest words in word embedding II, by Euclidean distance."""
    from .captioner import load

    nearest = load(model, "cpu").nearest_words(word, k)
    if json:
        results = [{"word": text, "distance": distance} for text, distance in nearest]
        emit({"query": word, "results": results})
        return 0
    for text, distance in nearest:
        print(f"{distance:8.3f}  {text}")
    return 0


@app.command()
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


def _flat(values: dict[str, Any]) -> list[str]:
    return [
        f"{key}={value}" if not isinstance(value, dict) else f"{key}({' '.join(_flat(value))})"
        for key, value in values.items()
    ]


def _require_images(found: FoundImages, paths: list[Path] | None) -> None:
    if not found.images and not found.errors:
        names = ", ".join(printable(path) for path in paths or ())
        raise DataError(f"{names}: no images there ({', '.join(sorted(SUFFIXES))})")


def _print_ranking(ranking: Ranking) -> None:
    print(f"{'log P':>9} {'perplexity':>11} {'log ratio':>10}")
    for m in ranking.matches:
        print(f"{m.logprob:9.2f} {m.perplexity:11.2f} {m.log_ratio:+10.2f}  {printable(m.item)}")


def _note_problems(problems: Sequence[Problem]) -> None:
    for problem in problems[:20]:
        note(f"mrnn: {problem}")
    if len(problems) > 20:
        note(f"mrnn: and {len(problems) - 20:,} more")


def main() -> None:
    """Run the command line; SIGTERM is taken like Ctrl-C, so that what can be saved is."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app(prog_name="mrnn")
