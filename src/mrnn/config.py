"""Configuration as frozen plain data, so light that the command line can show defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from numbers import Integral, Real

from .errors import UsageError

SHIPPED = ("default", "plain")  # names of the bundles that come with the package

MAX_LENGTH = 30  # words of a caption; 9 of Flickr8K's 35,000 training and dev captions are longer

ENCODER = "efficientnet-lite2"  # unless another is named

WIDEST_BEAM = 100  # 64 images of so many hypotheses still fit into memory

CONSENSUS_BEAM = 10  # sentences among which a consensus is sought

MEMORY_GB = 2.0  # that scoring may take beside the model


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the network; the defaults are the paper's. Saved with the weights."""

    vocabulary: int = 0  # V, the four signs included; training fills it in from the data
    feature: int = 4096  # D, filled in from the encoder; 0 makes it RNN-Base
    embedding: int = 128  # E, word embedding I
    recurrent: int = 256  # R, word embedding II and the recurrent layer
    multimodal: int = 512  # M
    feature_norm: float = 30.0  # image features are scaled to this Euclidean length


@dataclass(frozen=True)
class DropoutShares:
    """Shares of units set to zero in training, in steps of 1/256."""

    words: float = 0.3  # of w(t)
    image: float = 0.3  # of the image feature
    multimodal: float = 0.6  # of m(t)

    def __post_init__(self) -> None:
        if not all(0 <= share < 0.99 for share in (self.words, self.image, self.multimodal)):
            raise UsageError("a dropout share must be at least 0 and below 0.99")


@dataclass(frozen=True)
class TrainConfig:
    """How to train; the bundle records it, but needs none of it to be used.

    The defaults are those for tens of thousands of sentences; `settings.suited` has others.
    """

    encoder: str = ENCODER  # a name, or the path of an ONNX file
    precision: int = 8  # bits of the image network where it is an EfficientNet-Lite; or 32
    epochs: int = 9  # passes over the sentences, at most
    patience: int = 2  # epochs without a better dev perplexity before training stops
    batch: int = 128  # sentences an update
    learning_rate: float = 2e-3  # the highest: it rises over the first tenth, then falls to zero
    l2: float = 1e-5  # lambda of eq. 6, with the cost in bits
    dropout: DropoutShares = field(default_factory=DropoutShares)
    clip: float = 5.0  # largest Euclidean norm of the gradient
    minimum_count: int = 5  # a word seen less often in training becomes the unknown word
    text_epochs: int = 3  # passes over sentences without pictures, before the others
    train_encoder: bool = False  # the image network, too, after the rest
    encoder_epochs: int = 4  # passes over the pictures for that
    encoder_learning_rate: float = 5e-5  # of the encoder's weights
    encoder_blocks: int = 4  # how many of the encoder's last blocks are trained
    prototypes: str = ""  # of words that captions lack: "imagenet" or a file; none
    prototype_epochs: int = 6  # passes over the captions, with stand-ins for other pictures
    prototype_strength: float = 10.0  # length of a prototype in a feature of length feature_norm
    # How far an image network that has learned goes from where it began, before words of
    # prototypes are learned: halfway it knows both (Wortsman et al. 2022, arXiv:2109.01903).
    encoder_share: float = 0.5
    split_seed: int = 1  # chooses dev and test pictures where the data does not
    seed: int = 1

    def __post_init__(self) -> None:
        counts = (self.epochs, self.patience, self.batch, self.minimum_count)
        if min(*counts, self.text_epochs, self.encoder_epochs, self.encoder_blocks) < 1:
            raise UsageError("epochs, patience, batch, minimum count and blocks must be at least 1")
        if self.prototype_epochs < 1 or not self.prototype_strength > 0:
            raise UsageError("epochs and strength of prototypes must be above 0")
        if not 0 <= self.encoder_share <= 1:
            raise UsageError("the encoder's share must be from 0 to 1")
        if self.precision not in (8, 32):
            raise UsageError(f"the precision must be 8 or 32 bits, not {self.precision}")
        rates = (self.learning_rate, self.encoder_learning_rate, self.clip)
        if not (min(rates) > 0 and self.l2 >= 0):
            raise UsageError("learning rates and clip must be above 0, l2 at least 0")
        if min(self.seed, self.split_seed) < 0:
            raise UsageError("a seed must be at least 0")


@dataclass(frozen=True)
class Decoding:
    """How captions are generated; greedy unless a beam or sampling is asked for.

    Raises UsageError for what is out of range or does not go together.

    >>> how = mrnn.Decoding(beam=5, n_best=3, prefix="two people")
    >>> print(captioner.caption("holiday.jpg", how))
    two people ...
    """

    beam: int = 1  # width; 1 is greedy
    n_best: int = 0  # how many of the beam's sentences to return
    ratio: float | None = None  # c of `guidance`; 0 is plain log P, None what suits the model
    consensus: bool = False  # order the beam's sentences by `consensus.Consensus`
    temperature: float | None = None  # sample at this temperature
    seed: int = 1  # of sampling
    prefix: str = ""  # the first words
    max_length: int = MAX_LENGTH  # words, the prefix included
    no_repeat: int = 3  # words in a row that no sentence says twice; 0 lets it
    alternatives: int = 0  # runners-up to return a word

    def __post_init__(self) -> None:
        self._require_types()
        if self.beam < 1 or self.max_length < 1:
            raise UsageError("beam and max length must be 1 or more")
        if min(self.n_best, self.alternatives, self.no_repeat) < 0:
            raise UsageError("n-best, alternatives and no-repeat must be 0 or more")
        if self.seed < 0:
            raise UsageError("a seed must be at least 0")
        if self.ratio is not None and not 0 <= self.ratio <= 1:
            raise UsageError(f"the ratio must be from 0 to 1, not {self.ratio}")
        if self.width > WIDEST_BEAM:
            raise UsageError(f"a beam of {self.width} is too wide; the widest is {WIDEST_BEAM}")
        if self.temperature is not None and not 0 < self.temperature < math.inf:
            raise UsageError(f"the temperature must be above 0, not {self.temperature}")
        if self.temperature is not None and (self.beam > 1 or self.n_best):
            raise UsageError("sampling goes with neither a beam nor n-best")
        if self.temperature is not None and self.consensus:
            raise UsageError("sampling does not go with consensus")
        if self.n_best > self.width:
            raise UsageError(
                f"n-best {self.n_best} needs a beam at least as wide, not {self.width}"
            )

    def _require_types(self) -> None:
        for name in ("beam", "n_best", "seed", "max_length", "no_repeat", "alternatives"):
            if not isinstance(value := getattr(self, name), Integral):
                raise UsageError(f"{name} must be a whole number, not {value!r}")
        for name in ("ratio", "temperature"):
            if not isinstance(value := getattr(self, name), Real | None):
                raise UsageError(f"{name} must be a number, not {value!r}")
        if not isinstance(value := getattr(self, "prefix"), str):  # noqa: B009 - of any type
            raise UsageError(f"prefix must be text, not {value!r}")

    @staticmethod
    def at_least(beam: int, n_best: int, consensus: bool) -> int:
        """A beam made wide enough for the n best, but where consensus sees to that itself."""
        return beam if beam < 1 or (consensus and beam == 1) else max(beam, n_best)

    @property
    def width(self) -> int:
        """Of the beam; with consensus, 1 stands for CONSENSUS_BEAM or as many as are wanted."""
        is_ours = self.consensus and self.beam == 1
        return max(CONSENSUS_BEAM, self.n_best) if is_ours else self.beam
