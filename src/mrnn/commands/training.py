"""`mrnn train`; heavy imports inside."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ..config import SHIPPED
from ..errors import UsageError
from ..images.finding import printable
from ..training.installed import require_pytorch
from ..training.settings import Settings, defaults, settle
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
from .options import Data, Device, Images

if TYPE_CHECKING:
    import torch

    from ..captioner import Captioner
    from ..config import TrainConfig
    from ..datasets import DataSet
    from ..evaluation.reading import FeatureSource
    from ..images.encoders import Encoder
    from ..training.image_network import TrainableEncoder
    from ..training.material import ImageSide
    from ..training.prototypes import Prototypes
    from ..training.run_records import EpochRecord
    from ..training.training import Listeners, Plan, Trained

_DEFAULTS = defaults()
_SIZES = ("embedding", "recurrent", "multimodal")
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
    return _setting(name, f"Dropout of {of}.", "P", min=0, max=0.99)


@reporting_errors
def train(
    context: typer.Context,
    data: Data,
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory of the new model.")],
    images: Images = None,
    config: Annotated[
        Optional[Path], typer.Option(help="Settings in a TOML file.", metavar="FILE")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an interrupted training stopped.")
    ] = False,
    start: Annotated[
        Optional[str],
        typer.Option("--from", help="Go on from a trained model; its words are kept.", metavar="M"),
    ] = None,
    text: Annotated[
        Optional[list[Path]],
        typer.Option(
            help="Sentences without pictures, one a line; learned first, or with --prototypes. "
            "May be given several times.",
            metavar="FILE",
        ),
    ] = None,
    prototypes: Annotated[
        Optional[str],
        typer.Option(
            "--prototypes",
            help="How words look that no caption has, so that they are learned from --text: "
            "imagenet, the classes of the image network's classifier; or FILE.npy with a vector "
            "a word, and FILE.txt.",
            metavar="imagenet|FILE",
            show_default="none",
        ),
    ] = None,
    prototype_epochs: Annotated[
        Optional[int], _count("prototype-epochs", "Passes over the captions with --prototypes.")
    ] = None,
    prototype_strength: Annotated[
        Optional[float],
        _setting("prototype-strength", "Length of a prototype in a feature of 30.", "X", min=0),
    ] = None,
    features: Annotated[
        Optional[Path],
        typer.Option(help="Features computed elsewhere: FILE.npy and FILE.txt.", metavar="FILE"),
    ] = None,
    encoder: Annotated[
        Optional[str],
        _setting(
            "encoder",
            "efficientnet-lite0, -lite1, -lite2, alexnet, or an .onnx file; none trains RNN-Base.",
            "NAME",
        ),
    ] = None,
    encoder_weights: Annotated[
        Optional[Path], typer.Option(help="Weights of alexnet.", metavar="FILE")
    ] = None,
    precision: Annotated[
        Optional[int],
        _setting(
            "precision",
            "Bits of the image network, 8 or 32; 8 is several times as fast.",
            "8|32",
        ),
    ] = None,
    train_encoder: Annotated[
        Optional[bool],
        typer.Option("--train-encoder", help="Train the image network, too, after the rest."),
    ] = None,
    epochs: Annotated[
        Optional[int], _count("epochs", "Passes over the sentences, at most.")
    ] = None,
    patience: Annotated[
        Optional[int], _count("patience", "Epochs without a better dev perplexity.")
    ] = None,
    batch: Annotated[Optional[int], _count("batch", "Sentences an update.")] = None,
    minimum_count: Annotated[
        Optional[int], _count("minimum-count", "A rarer word becomes the unknown word.")
    ] = None,
    learning_rate: Annotated[
        Optional[float], _setting("learning-rate", "The highest.", "X", min=0)
    ] = None,
    l2: Annotated[Optional[float], _setting("l2", "Lambda of eq. 6.", "X", min=0)] = None,
    clip: Annotated[
        Optional[float], _setting("clip", "Largest norm of the gradient.", "X", min=0)
    ] = None,
    dropout_words: Annotated[Optional[float], _share("dropout-words", "w(t)")] = None,
    dropout_image: Annotated[Optional[float], _share("dropout-image", "the image feature")] = None,
    dropout_multimodal: Annotated[Optional[float], _share("dropout-multimodal", "m(t)")] = None,
    text_epochs: Annotated[
        Optional[int], _count("text-epochs", "Passes over the sentences of --text.")
    ] = None,
    encoder_epochs: Annotated[
        Optional[int], _count("encoder-epochs", "Passes over the pictures with --train-encoder.")
    ] = None,
    encoder_learning_rate: Annotated[
        Optional[float], _setting("encoder-learning-rate", "Of the image network.", "X", min=0)
    ] = None,
    encoder_blocks: Annotated[
        Optional[int], _count("encoder-blocks", "Its last blocks, which are trained.")
    ] = None,
    encoder_share: Annotated[
        Optional[float],
        _setting(
            "encoder-share",
            "With --prototypes: how far from the published image network to one that has learned.",
            "P",
            min=0,
            max=1,
        ),
    ] = None,
    embedding: Annotated[Optional[int], _count("embedding", "Word embedding I.")] = None,
    recurrent: Annotated[
        Optional[int], _count("recurrent", "Word embedding II and recurrent layer.")
    ] = None,
    multimodal: Annotated[Optional[int], _count("multimodal", "Multimodal layer.")] = None,
    split_seed: Annotated[
        Optional[int],
        _setting("split-seed", "Chooses dev and test pictures where the data does not.", min=0),
    ] = None,
    seed: Annotated[Optional[int], _setting("seed", "Seed of all that is random.", min=0)] = None,
    checkpoint_minutes: Annotated[
        float, typer.Option(help="Between checkpoints.", metavar="N", min=0)
    ] = 5,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write TensorBoard events.")
    ] = False,
    device: Device = "auto",
) -> int:
    """Train a model on captioned images; `mrnn check` tells what is recognised.

    Everything about the run lies in the folder OUTPUT.training: settings, metrics, report.html.
    """
    require_pytorch()
    from ..datasets import read_dataset
    from ..training.devices import choose_device
    from ..training.run_folder import RunFolder, training_folder
    from ..training.training import Plan
    from ..training.training import train as run

    flags = {name: context.params[name.replace("-", "_")] for name in _DEFAULTS}
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
    beginning = _beginning(start, settings)
    side = _image_side(settings, encoder_weights, features, beginning, dataset, where)
    settings = _as_they_are(settings, beginning, features)
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
        text=_sentences(text or []),
        prototypes=_prototypes(training, side),
        start=beginning.bundle if beginning else None,
        trainable=_network(training, side, where),
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
    if images.dimension:
        used = len(data.split("train")) + len(data.split("dev"))
        megabytes = 2 * used * images.dimension / 1e6
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


def _beginning(start: str | None, settings: Settings) -> Captioner | None:
    """The model to go on from; raises UsageError when settings contradict it."""
    from ..captioner import load

    if start is None:
        return None
    captioner = load(start, "cpu")
    there = asdict(captioner.model.config)
    there |= {"encoder": captioner.encoder.name, "precision": captioner.encoder.precision}
    for name in (*_SIZES, "encoder", "precision"):
        wanted = settings.by_name[name]
        if wanted.origin != "default" and wanted.value != there[name]:
            raise UsageError(
                f"--from {printable(start)} has {name} {there[name]}, not {wanted.value}"
            )
    return captioner


def _as_they_are(
    settings: Settings, beginning: Captioner | None, features: Path | None
) -> Settings:
    """The settings with what a trained model or a file of features has settled already."""
    from ..images.encoders import FEATURES

    if beginning:
        sizes = {name: getattr(beginning.model.config, name) for name in _SIZES}
        encoder = {"encoder": beginning.encoder.name, "precision": beginning.encoder.precision}
        settings = settings.with_values(sizes | encoder, "--from")
    if features:
        settings = settings.with_values({"encoder": FEATURES}, "--features")
    return settings


def _image_side(
    settings: Settings,
    weights: Path | None,
    features: Path | None,
    beginning: Captioner | None,
    data: DataSet,
    device: torch.device,
) -> ImageSide:
    """Where the features come from: a file, the encoder of a trained model, or a named one."""
    from ..datasets.feature_files import FeatureFile
    from ..evaluation.reading import encoded_by
    from ..images.encoders import FEATURES, open_encoder
    from ..images.features import default_cache
    from ..model.bundle import EncoderIdentity
    from ..training.image_network import placed
    from ..training.material import ImageSide

    name = settings.by_name["encoder"]
    if (features or beginning) and weights:
        raise UsageError("--encoder-weights goes with neither --from nor --features")
    if features and name.origin == "flag":
        raise UsageError("--features come without an encoder; leave --encoder out")
    if beginning and beginning.encoder.name == FEATURES and not features:
        raise UsageError("--from was trained on features computed elsewhere; give --features, too")
    source: FeatureSource
    if features:
        file = FeatureFile.open(features)
        encoder, source = file.encoder, file.lookup
    else:
        if beginning:
            encoder = beginning.encoder
        else:
            encoder = _in_precision(settings, open_encoder(name.value, weights=weights), data)
        if encoder.remark and leads():
            note(f"{printable(name.value)}: {encoder.remark}")
        source = encoded_by(placed(encoder, device), default_cache())
    identity = EncoderIdentity(encoder.name, encoder.digest, encoder.preprocessing)
    if beginning and (identity, encoder.dimension) != (
        beginning.bundle.encoder,
        beginning.encoder.dimension,
    ):
        raise UsageError("--features of another kind than those that --from was trained on")
    return ImageSide(source, identity, encoder.dimension, encoder.file)


def _in_precision(settings: Settings, encoder: Encoder, data: DataSet) -> Encoder:
    """The encoder in 8 bits where that is wished and can be; raises UsageError where it cannot."""
    from ..images.published import PACKAGES
    from ..training.rounding import rounded_encoder

    wish, seed = settings.by_name["precision"], settings.by_name["seed"].value
    if wish.value == 32:
        return encoder
    pictures = [example.image for example in data.split("train")]
    found = rounded_encoder(encoder, pictures, seed)
    if found.precision == 8:
        return found
    why = "8 bits need an EfficientNet-Lite and 8 training pictures of more than one colour"
    if wish.origin == "flag":
        raise UsageError(f"{why}; leave --precision 8 out: {encoder.name} stays in 32 bits")
    if encoder.name in PACKAGES and leads():
        note(f"{why}: {encoder.name} stays in 32 bits")
    return found


def _network(
    config: TrainConfig, images: ImageSide, device: torch.device
) -> TrainableEncoder | None:
    """The image network that is to be trained, too, if it is."""
    from ..training.image_network import open_trainable

    if not config.train_encoder:
        return None
    network = open_trainable(images.identity.name, images.file, device)
    network.parameters(config.encoder_blocks)  # says now whether there are so many
    return network


def _prototypes(config: TrainConfig, images: ImageSide) -> Prototypes | None:
    """How words look that captions lack, if they are to be learned."""
    from ..training.prototypes import open_prototypes

    if not config.prototypes:
        return None
    return open_prototypes(config.prototypes, images.identity.name, images.dimension)


def _sentences(texts: Sequence[Path]) -> list[str]:
    """The distinct sentences of all files, in their order."""
    from ..datasets import read_sentences

    every: dict[str, None] = {}
    for text in texts:
        sentences, problems = read_sentences(text)
        every.update(dict.fromkeys(sentences))
        if leads():
            note_problems(problems)
    return list(every)
