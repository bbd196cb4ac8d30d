"""`mrnn train`; heavy imports inside."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ..config import SHIPPED
from ..errors import UsageError
from ..images.finding import printable
from ..training.settings import Settings, defaults, settle
from .beforehand import (
    modules_for_data,
    modules_for_encoder,
    require_dataset,
    require_folder,
    require_modules,
    require_readable,
)
from .console import (
    INTERRUPTED,
    exit_code,
    leads,
    note,
    note_problems,
    progress,
    reporting_errors,
    training_progress,
)
from .learned_from import (
    as_they_are,
    beginning_of,
    image_side,
    prototypes_of,
    require_same_settings,
    sentences_of,
    trainable_network,
)
from .options import Data, Device, Images

if TYPE_CHECKING:
    from ..training.run_records import EpochRecord
    from ..training.training import Listeners, Plan, Trained

_DEFAULTS = defaults()
_BY_SIZE = ("epochs", "batch", "minimum-count")  # settings that suit the data's size


def _setting(name: str, help_text: str, metavar: str = "N", **limits: Any) -> Any:
    """An option whose value, when it is not given, is settled by `settle`."""
    default = "suits the data" if name in _BY_SIZE else str(_DEFAULTS[name])
    return typer.Option(
        f"--{name}", help=help_text, metavar=metavar, show_default=default, **limits
    )


def _count(name: str, help_text: str) -> Any:
    return _setting(name, help_text, min=1)


def _share(name: str, of: str) -> Any:
    return _setting(
        name, f"Share of {of} that is dropped at random while learning.", "P", min=0, max=0.99
    )


@reporting_errors
def train(
    context: typer.Context,
    data: Data,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the new model.")],
    images: Images = None,
    config: Annotated[
        Optional[Path],
        typer.Option(help="A TOML file with settings; options go before it.", metavar="FILE"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an interrupted training stopped.")
    ] = False,
    start: Annotated[
        Optional[str],
        typer.Option(
            "--from",
            help="Begin with a trained model, whose words are kept: plain, default, or a folder.",
            metavar="M",
        ),
    ] = None,
    text: Annotated[
        Optional[list[Path]],
        typer.Option(
            help="A text file of sentences without pictures, one a line: learned before the "
            "captions, or with --prototypes after them. May be given several times.",
            metavar="FILE",
        ),
    ] = None,
    prototypes: Annotated[
        Optional[str],
        typer.Option(
            "--prototypes",
            help="Learn words that no caption has from --text. How they look is told by imagenet, "
            "the classes of the image network's classifier, or by FILE.npy with a vector a word, "
            "and the words in FILE.txt.",
            metavar="imagenet|FILE",
            show_default="none",
        ),
    ] = None,
    prototype_epochs: Annotated[
        Optional[int],
        _count("prototype-epochs", "Passes over the captions while --prototypes are learned."),
    ] = None,
    prototype_strength: Annotated[
        Optional[float],
        _setting(
            "prototype-strength",
            "How strong --prototypes are in an image feature, whose length is 30.",
            "X",
            min=0,
        ),
    ] = None,
    features: Annotated[
        Optional[Path],
        typer.Option(
            help="Image features computed elsewhere: FILE.npy, with names of pictures in FILE.txt.",
            metavar="FILE",
        ),
    ] = None,
    encoder: Annotated[
        Optional[str],
        _setting(
            "encoder",
            "Image network: efficientnet-lite0, -lite1, -lite2, alexnet, an .onnx file, or none "
            "(RNN-Base, which sees nothing).",
            "NAME",
        ),
    ] = None,
    encoder_weights: Annotated[
        Optional[Path],
        typer.Option(help="File of the weights of alexnet, which no package has.", metavar="FILE"),
    ] = None,
    precision: Annotated[
        Optional[int],
        _setting(
            "precision",
            "Bits of the numbers in the image network: 8, which is about twice as fast, or 32.",
            "8|32",
        ),
    ] = None,
    train_encoder: Annotated[
        Optional[bool],
        typer.Option(
            "--train-encoder", help="Train the image network's last blocks, too, after the rest."
        ),
    ] = None,
    epochs: Annotated[Optional[int], _count("epochs", "Most passes over the captions.")] = None,
    patience: Annotated[
        Optional[int],
        _count("patience", "Passes without a better perplexity on dev, after which training ends."),
    ] = None,
    batch: Annotated[
        Optional[int], _count("batch", "Sentences that are learned from at once.")
    ] = None,
    minimum_count: Annotated[
        Optional[int],
        _count(
            "minimum-count", "How often a word must occur; a rarer one becomes the unknown word."
        ),
    ] = None,
    learning_rate: Annotated[
        Optional[float],
        _setting("learning-rate", "Highest learning rate of the model.", "X", min=0),
    ] = None,
    l2: Annotated[
        Optional[float],
        _setting("l2", "Penalty on large weights, lambda of the paper's eq. 6.", "X", min=0),
    ] = None,
    clip: Annotated[
        Optional[float],
        _setting("clip", "Largest norm of a gradient; a larger one is scaled down.", "X", min=0),
    ] = None,
    dropout_words: Annotated[
        Optional[float], _share("dropout-words", "the words' vectors w(t)")
    ] = None,
    dropout_image: Annotated[Optional[float], _share("dropout-image", "the image feature")] = None,
    dropout_multimodal: Annotated[
        Optional[float], _share("dropout-multimodal", "the multimodal layer m(t)")
    ] = None,
    text_epochs: Annotated[
        Optional[int], _count("text-epochs", "Passes over the sentences of --text.")
    ] = None,
    encoder_epochs: Annotated[
        Optional[int],
        _count("encoder-epochs", "Passes over the pictures while --train-encoder trains."),
    ] = None,
    encoder_learning_rate: Annotated[
        Optional[float],
        _setting(
            "encoder-learning-rate",
            "Highest learning rate of the image network with --train-encoder.",
            "X",
            min=0,
        ),
    ] = None,
    encoder_blocks: Annotated[
        Optional[int],
        _count(
            "encoder-blocks", "How many last blocks of the image network --train-encoder trains."
        ),
    ] = None,
    encoder_share: Annotated[
        Optional[float],
        _setting(
            "encoder-share",
            "With --prototypes: the share that is kept of what the image network has learned "
            "beyond the published one.",
            "P",
            min=0,
            max=1,
        ),
    ] = None,
    embedding: Annotated[
        Optional[int], _count("embedding", "Numbers of a word in word embedding I.")
    ] = None,
    recurrent: Annotated[
        Optional[int],
        _count("recurrent", "Numbers of a word in word embedding II, and of the recurrent layer."),
    ] = None,
    multimodal: Annotated[
        Optional[int], _count("multimodal", "Numbers of the multimodal layer.")
    ] = None,
    split_seed: Annotated[
        Optional[int],
        _setting(
            "split-seed",
            "Number that chooses dev and test pictures where the data does not.",
            min=0,
        ),
    ] = None,
    seed: Annotated[
        Optional[int], _setting("seed", "Number from which all random choices follow.", min=0)
    ] = None,
    checkpoint_minutes: Annotated[
        float,
        typer.Option(
            help="Minutes between checkpoints, from which --resume goes on.", metavar="N", min=0
        ),
    ] = 5,
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard", help="Also write events for TensorBoard into OUTPUT.training."
        ),
    ] = False,
    device: Device = "auto",
) -> int:
    """Train a model on captioned images; `mrnn check` tells what is recognised.

    Everything about the run lies in the folder OUTPUT.training: settings, metrics, report.html.
    """
    flags = {name: context.params[name.replace("-", "_")] for name in _DEFAULTS}
    _require_packages(flags, data, config, tensorboard, is_given=resume or bool(start or features))
    require_dataset(data, images)
    for file in (config, features, encoder_weights, *(text or ())):
        if file is not None:
            require_readable(file)
    require_folder(output.absolute().parent)
    from ..datasets import read_dataset
    from ..training.devices import choose_device
    from ..training.run_folder import RunFolder, open_run, require_free, training_folder
    from ..training.training import Plan
    from ..training.training import train as run

    is_new = output.name and not (os.path.lexists(output) or training_folder(output).exists())
    if leads() and not is_new:
        with open_run(output):
            require_free(output, resume)
    begun = RunFolder(training_folder(output)) if resume and output.name else None
    is_begun = begun is not None and (begun.is_unfinished or begun.is_finished)
    file = begun.settings if begun and is_begun and not config else config
    asked = settle(flags, file).train_config()
    if asked.prototypes and not text:
        raise UsageError("--prototypes needs sentences that say the words: give --text FILE, too")
    dataset = read_dataset(data, images, asked.split_seed)
    sentences = sum(len(example.sentences) for example in dataset.split("train"))
    settings = settle(flags, file, sentences, goes_on=start is not None)
    where = choose_device(device)
    beginning = beginning_of(start, settings)
    side = image_side(settings, encoder_weights, features, beginning, dataset, where)
    settings = as_they_are(settings, beginning, features, side)
    if begun and begun.is_finished and output.exists():
        require_same_settings(begun, settings, output)
    training = settings.train_config()
    files: dict[str, Sequence[Path | str | None]] = {
        "config": [config],
        "images": [images],
        "features": [features],
        "encoder-weights": [encoder_weights],
        "text": text or [],
        "from": [start],
    }
    command = _command(data, files, settings, output)
    plan = Plan(
        dataset,
        side,
        output,
        settings,
        where,
        text=sentences_of(text or []),
        prototypes=prototypes_of(training, side),
        start=beginning.bundle if beginning else None,
        trainable=trainable_network(training, side, where),
        resume=resume,
        checkpoint_minutes=checkpoint_minutes,
        tensorboard=tensorboard,
        command=command,
    )
    if leads():
        _announce(plan)
    with _listening() as listeners:
        trained = run(plan, listeners)
    return _conclude(plan, trained) if trained else 0


def _require_packages(
    flags: Mapping[str, Any], data: Path, config: Path | None, tensorboard: bool, is_given: bool
) -> None:
    """Raise DependencyError for packages that are missing; an image network may be given else."""
    modules = ["torch", *modules_for_data(data), *(["tensorboard"] if tensorboard else [])]
    if not is_given:
        modules += modules_for_encoder(settle(flags, config).by_name["encoder"].value)
    require_modules("mrnn train", modules)


def _command(
    data: Path,
    given: Mapping[str, Sequence[Path | str | None]],
    settings: Settings,
    output: Path,
) -> str:
    """What gives this model again. Others will read it: files and folders by their names alone."""
    words = ["mrnn", "train", data.absolute().name]
    for name, values in given.items():
        for value in values:
            if value is not None:
                words += [f"--{name}", _name(name, value)]
    for name, setting in settings.by_name.items():
        if setting.origin == "flag":
            words.append(f"--{name}")
            words += [] if setting.value is True else [_name(name, str(setting.value))]
    return printable(shlex.join([*words, "-o", output.absolute().name]))


def _name(option: str, value: Path | str) -> str:
    """The last part of a path; but settings lie in `configs`, and a bundle is no shipped one."""
    path = Path(value)
    if option == "config" and path.parent.name == "configs":
        return f"configs/{path.name}"
    if option == "from" and str(value) not in SHIPPED:
        return f"./{path.name}"
    return path.name


def _announce(plan: Plan) -> None:
    """Say what was recognised, and with which settings it is going to be trained."""
    from ..datasets.advice import few_captions

    data, images = plan.data, plan.images
    note_problems(data.problems)
    counts = ", ".join(f"{split} {count:,}" for split, count in data.counts().items())
    note(f"{data.name}: {data.format}; images: {counts}; splits {data.split_origin}")
    captions = sum(len(example.sentences) for example in data.split("train"))
    if plan.start is None and (hint := few_captions(captions)):
        note(hint)
    for line in plan.settings.lines():
        note(line)
    if dimension := images.encoder.dimension:
        used = len(data.split("train")) + len(data.split("dev"))
        megabytes = 2 * used * dimension / 1e6
        note(f"{used:,} images; their features take {megabytes:,.0f} MB")


def _conclude(plan: Plan, trained: Trained) -> int:
    for error in trained.errors:
        note(f"mrnn: {error}")
    if trained.was_finished:
        note("mrnn: this training was finished already; nothing was done")
    if trained.bundle:
        reached = trained.bundle.training
        print(f"{printable(plan.output)}: dev perplexity {reached['dev_perplexity']:.2f}", end="")
        print(f", epoch {reached['epoch']}")
    if trained.interrupted:
        kept = "the best model so far is kept" if trained.bundle else "there is no model yet"
        note(f"mrnn: interrupted; {kept}; the same command with --resume goes on")
        return INTERRUPTED
    return exit_code(len(plan.data.examples), len(plan.data.problems) + len(trained.errors))


@contextmanager
def _listening() -> Iterator[Listeners]:
    """Progress and sample captions on stderr, from the process that leads."""
    from ..training.report import sample_lines
    from ..training.training import Listeners

    if not leads():
        yield Listeners()
        return
    with (
        progress("features") as on_features,
        training_progress() as on_progress,
        progress("chance of a match", "sentences") as on_match,
    ):

        def on_epoch(record: EpochRecord) -> None:
            for line in sample_lines(record):
                note(line)

        yield Listeners(on_features, on_progress, on_epoch, on_match)
