"""Training the image network through the multimodal layer (paper sec. 5).

The sentences of a picture share an update, so that an epoch looks at every picture once, each time
at another part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..config import TrainConfig
from ..datasets import Example
from ..errors import ImageError
from ..images.eight_bits import kinds
from ..images.encoders import Encoder, encoder_of, whole_encoder
from ..images.features import encode_images, read_ahead, read_pixels
from ..images.finding import Picture
from ..model.bundle import Bundle
from ..scoring.pairs import Pairs
from ..words.packing import Packed
from .fit import Learned, Phase, shuffled
from .image_network import TrainableEncoder, placed
from .material import Material
from .network import TrainableMRNN
from .rounding import in_eight_bits, pixels_to_round_by
from .views import random_light, random_view

_MODEL_SHARE = 0.1  # of the learning rate, for a model that is trained already


class EncoderPhase:
    """The image network as it learns, and as the normal encoder that it would be saved as."""

    def __init__(
        self,
        model: TrainableMRNN,
        network: TrainableEncoder,
        material: Material,
        config: TrainConfig,
        to_beat: float,
    ) -> None:
        self._model, self._network, self._material = model, network, material
        self._config = config
        self._encoder: Encoder | None = None  # as of the last epoch's end
        self._epoch = 0  # for which batches were asked last
        how, began = network.network.preprocessing, network.whole
        pictures = _images(material.train_examples)
        self._pixels = None if began is None else pixels_to_round_by(pictures, how, config.seed)
        self.phase = Phase(
            "encoder",
            (config.seed, 2),
            config.encoder_epochs,
            config.encoder_epochs,  # it is worse at first: what it gains comes as the rate falls
            material.train.corpus,
            self._batches,
            self._features,
            [
                Learned(list(model.parameters()), config.learning_rate * _MODEL_SHARE, config.l2),
                # No L2: zero is not where a trained network should be drawn to.
                Learned(
                    network.parameters(config.encoder_blocks), config.encoder_learning_rate, 0.0
                ),
            ],
            self._dev,
            to_beat,
        )

    def in_bundle(self, bundle: Bundle) -> Bundle:
        """The bundle with the encoder as of the last epoch's end, and its features."""
        assert self._encoder is not None  # noqa: S101 - set at the end of the epoch
        identity = replace(bundle.encoder, digest=self._encoder.digest)
        examples = [self._material.train_examples[row] for row in self._material.prior_rows]
        prior = self._encoded(examples).astype(np.float16)
        return replace(bundle, encoder=identity, encoder_file=self._encoder.file, prior=prior)

    def _batches(self, epoch: int) -> list[np.ndarray]:
        """Sentences of whole pictures, `config.batch` of them or a few more or less."""
        self._epoch = epoch
        images = self._material.train.images  # (S,) never falling
        count = len(self._material.train_examples)
        each = max(1, round(self._config.batch * count / len(images)))
        starts = np.searchsorted(images, np.arange(count + 1))
        return [
            np.concatenate([np.arange(starts[i], starts[i + 1]) for i in some])
            for some in shuffled(count, each, (*self.phase.seed, epoch))
        ]

    def _features(self, chosen: np.ndarray, packed: Packed, _: Sequence[int]) -> Tensor:
        rows = self._material.train.images[chosen[packed.order]]
        distinct, which = np.unique(rows, return_inverse=True)
        features = self._network.features(self._views(distinct.tolist()))
        return features.index_select(0, torch.from_numpy(which).to(features.device))

    def _dev(self) -> Pairs:
        self._encoder = placed(self._learned(), self._model.wo.device)
        dev = self._material.dev
        return Pairs(dev.corpus, dev.images, self._encoded(self._material.dev_examples))

    def _learned(self) -> Encoder:
        """The encoder as a bundle will carry it, in 8 bits if it began so."""
        network, weights, began = (
            self._network.network,
            self._network.weights(),
            self._network.whole,
        )
        if began is None or self._pixels is None:
            return encoder_of(network.name, weights)
        last = network.blocks[: self._network.blocks - self._config.encoder_blocks]
        kept = {name: began[name] for name in kinds(last)}
        return whole_encoder(network.name, in_eight_bits(network, weights, self._pixels, kept))

    def _encoded(self, examples: Sequence[Example]) -> np.ndarray:
        """Features (I, D) float32 of pictures that could be read when training began."""
        assert self._encoder is not None  # noqa: S101 - set at the end of the epoch
        return np.stack([_sound(f) for f in encode_images(_images(examples), self._encoder)])

    def _views(self, rows: Sequence[int]) -> np.ndarray:
        """Encoder input (n, 3, S, S) of training pictures, other parts of them every epoch."""
        pictures = _images([self._material.train_examples[row] for row in rows])
        how, seed = self._network.network.preprocessing, (*self.phase.seed, self._epoch)

        def view(of: tuple[int, Picture]) -> np.ndarray:
            pixels = _sound(read_pixels(of[1], how))
            generator = np.random.default_rng((*seed, of[0]))
            return random_light(random_view(pixels, generator), generator)

        return np.stack(list(read_ahead(zip(rows, pictures, strict=True), view, len(rows))))


def _images(examples: Sequence[Example]) -> list[Picture]:
    return [example.image for example in examples]


def _sound(values: np.ndarray | ImageError) -> np.ndarray:
    if isinstance(values, ImageError):
        raise values
    return values
