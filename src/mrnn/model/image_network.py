"""The image network of a bundle, opened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import BundleError
from ..images.encoders import FEATURES, Encoder, features_only, reopen_encoder
from ..images.finding import printable
from .bundle import Bundle


def open_image_network(
    bundle: Bundle, directory: Path, device: str, precision: int | None
) -> Encoder:
    """The encoder of a bundle from this directory; raises BundleError where they do not fit."""
    identity, file = bundle.encoder, bundle.encoder_file
    encoder = (
        features_only(bundle.model.config.feature)
        if identity.name == FEATURES
        else reopen_encoder(
            identity.name, identity.digest, file, identity.preprocessing, device, precision
        )
    )
    ours = identity.preprocessing.size, bundle.model.config.feature
    theirs = encoder.preprocessing.size, encoder.dimension
    if ours != theirs:
        raise BundleError(
            f"{printable(directory)}: input {ours[0]} pixels and feature {ours[1]}, but "
            f"{encoder.name} has {theirs[0]} and {theirs[1]}; get a fresh copy of the bundle"
        )
    # The bundle's preprocessing rules, whatever the encoder's own default has become.
    return replace(encoder, preprocessing=identity.preprocessing)
