"""What `mrnn train` learns from, by its options: pictures, words, a model; heavy imports inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BundleError, UsageError
from ..images.finding import printable
from ..training.settings import Settings, read_toml
from .beforehand import require_model
from .console import leads, note, note_problems

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
    from ..training.run_folder import RunFolder

_SIZES = ("embedding", "recurrent", "multimodal")


def beginning_of(start: str | None, settings: Settings) -> Captioner | None:
    """The model to go on from; raises UsageError when settings contradict it."""
    from ..captioner import load

    if start is None:
        return None
    require_model(start)
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


def as_they_are(
    settings: Settings, beginning: Captioner | None, features: Path | None, side: ImageSide
) -> Settings:
    """The settings with what a trained model, features or the image network have settled."""
    from ..images.encoders import FEATURES

    if beginning:
        sizes = {name: getattr(beginning.model.config, name) for name in _SIZES}
        encoder = {"encoder": beginning.encoder.name, "precision": beginning.encoder.precision}
        settings = settings.with_values(sizes | encoder, "--from")
    if features:
        settings = settings.with_values({"encoder": FEATURES}, "--features")
    return settings.with_values({"precision": side.encoder.precision}, "as the image network is")


def require_same_settings(run: RunFolder, settings: Settings, output: Path) -> None:
    """Raise BundleError where a finished training had other settings than those now asked for."""
    before = read_toml(run.settings) if run.settings.exists() else {}
    differ = [
        f"{name} {before[name]}, not {setting.value}"
        for name, setting in settings.by_name.items()
        if before.get(name, setting.value) != setting.value
    ]
    if differ:
        raise BundleError(
            f"{printable(output)}: this training is finished, and had other settings "
            f"({'; '.join(differ)}); to train with these, name another directory, or leave them out"
        )


def image_side(
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
    side = ImageSide(source, encoder)
    if beginning and (side.identity, encoder.dimension) != (
        beginning.bundle.encoder,
        beginning.encoder.dimension,
    ):
        raise UsageError("--features of another kind than those that --from was trained on")
    return side


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


def trainable_network(
    config: TrainConfig, images: ImageSide, device: torch.device
) -> TrainableEncoder | None:
    """The image network that is to be trained, too, if it is."""
    from ..training.image_network import open_trainable

    if not config.train_encoder:
        return None
    network = open_trainable(images.encoder.name, images.encoder.file, device)
    network.parameters(config.encoder_blocks)  # says now whether there are so many
    return network


def prototypes_of(config: TrainConfig, images: ImageSide) -> Prototypes | None:
    """How words look that captions lack, if they are to be learned."""
    from ..training.prototypes import open_prototypes

    if not config.prototypes:
        return None
    return open_prototypes(config.prototypes, images.encoder.name, images.encoder.dimension)


def sentences_of(texts: Sequence[Path]) -> list[str]:
    """The distinct sentences of all files, in their order."""
    from ..datasets import read_sentences

    every: dict[str, None] = {}
    for text in texts:
        sentences, problems = read_sentences(text)
        every.update(dict.fromkeys(sentences))
        if leads():
            note_problems(problems)
    return list(every)
