"""The systems of the paper's tables that can be run: of their weights, or learned first.

A network whose weights are in its file needs no PyTorch; only `learners` do, which are imported
where something has to learn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config import ModelConfig, TrainConfig
from ..errors import BundleError, DivergedError
from ..files import write_whole
from ..images.finding import printable
from ..model import mrnn
from ..model.mrnn import MRNN
from ..scoring.likelihoods import OnProgress
from ..scoring.pairs import Pairs
from ..scoring.ranking import Stage
from ..weight_files import Shape, check_arrays, from_safetensors, read_whole, to_safetensors
from ..words.text import Vocabulary
from .baselines import log_bilinear, simple_rnn
from .baselines.back_off import BackOff
from .baselines.bag_of_words import BagOfWords
from .baselines.joint_embedding import (
    averaging,
    averaging_shapes,
    reading,
    reading_shapes,
    word_vectors,
)
from .baselines.log_bilinear import FactoredLogBilinear, LogBilinear
from .baselines.roles import (
    BackOffSpeaker,
    NeuralRanker,
    NeuralSpeaker,
    Ranker,
    ScoreRanker,
    Speaker,
    seen,
)
from .baselines.simple_rnn import SimpleRNN

if TYPE_CHECKING:
    from ..training.material import Material

_REPRESENTATION = 256  # of the log-bilinear models, and their factors
_JOINT = 256  # dimensions of the joint space, and of the recurrent layer of its sentences
_SIGMOID_RATE = 5  # times the learning rate of the others
_VECTOR = 200  # dimensions of the word vectors that are averaged


@dataclass(frozen=True)
class Ground:
    """What all systems learn from, and how those that need it learn."""

    material: Material
    config: TrainConfig
    sizes: ModelConfig  # of the recurrent networks
    device: str  # "auto", "cpu" or "cuda": where the large ones learn
    memory: float  # bytes for scoring

    @property
    def vocabulary(self) -> Vocabulary:
        """The words that all systems know."""
        return self.material.bundle.vocabulary

    @property
    def dimension(self) -> int:
        """D, the size of an image feature."""
        return self.material.bundle.model.config.feature


def without_weights(start: MRNN | None, sizes: ModelConfig, seed: int) -> MRNN:
    """The model of `Ground.material`, all zeros: the systems bring weights of their own."""
    zeros = {name: np.zeros(shape) for name, shape in mrnn.shapes(sizes).items()}
    return mrnn.model_of(sizes, zeros)


@dataclass(frozen=True)
class System:
    """A row of the tables that can be run."""

    name: str  # of its folder, for the weights
    title: str
    speaker: Callable[[Ground, Path, Stage], Speaker] | None = None
    ranker: Callable[[Ground, Path, Stage], Ranker] | None = None
    needs_pytorch: bool = False  # to learn


@dataclass(frozen=True)
class Network:
    """A kind of network: its sizes and weights, what is made of them, and how it learns."""

    sizes: Callable[[Ground], ModelConfig]
    shapes: Callable[[ModelConfig], Mapping[str, Shape]]
    model: Callable[..., Any]  # of the sizes, and of the weights by name
    learn: Callable[[Ground, ModelConfig, OnProgress], Any]  # such a model; None if it diverges


def _model(network: Network, ground: Ground, weights: Path, stage: Stage) -> Any:
    """The model of the weights in a file; learned now, and written there, unless they are."""
    sizes = network.sizes(ground)
    if weights.exists():
        return network.model(sizes, **_read(weights, network.shapes(sizes)))
    with stage("learning", "updates") as on_progress:
        model = network.learn(ground, sizes, on_progress)
    if model is None:
        raise DivergedError(
            f"{printable(weights.parent)}: learning diverged (no finite dev perplexity); "
            "another seed may do better, in another folder"
        )
    write_whole(weights, to_safetensors(model.weights))
    return model


def _read(path: Path, shapes: Mapping[str, Shape]) -> dict[str, np.ndarray]:
    """Weights that were learned before; raises BundleError when they cannot be used."""
    try:
        arrays = from_safetensors(read_whole(path))
        check_arrays(arrays, shapes, "the network")
    except ValueError as error:
        raise BundleError(f"{printable(path)}: {error}; remove it, to learn it again") from None
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def _speaks(network: Network, ground: Ground, weights: Path, stage: Stage) -> NeuralSpeaker:
    return NeuralSpeaker(_model(network, ground, weights, stage))


def _finds(network: Network, ground: Ground, weights: Path, stage: Stage) -> NeuralRanker:
    model = _model(network, ground, weights, stage)
    return NeuralRanker(model, ground.material.bundle.prior, ground.memory)


def _embeds(network: Network, ground: Ground, weights: Path, stage: Stage) -> ScoreRanker:
    model = _model(network, ground, weights, stage)
    return ScoreRanker(model.scores, model.learned)


def _back_off(order: int, ground: Ground, weights: Path, stage: Stage) -> BackOffSpeaker:
    train = ground.material.train.corpus
    sentences = train.sentences(np.arange(len(train)))
    return BackOffSpeaker(BackOff(sentences, order, len(ground.vocabulary)))


def _bag_of_words(ground: Ground, weights: Path, stage: Stage) -> ScoreRanker:
    model = BagOfWords(ground.material.train, len(ground.vocabulary))
    return ScoreRanker(model.scores, model.weights.size)


def _chance(ground: Ground, weights: Path, stage: Stage) -> ScoreRanker:
    def scores(pairs: Pairs) -> np.ndarray:
        shape = len(pairs.corpus), len(pairs.features)
        return np.random.default_rng(ground.config.seed).random(shape, dtype=np.float32)

    return ScoreRanker(scores, 0)


def _blind(ground: Ground, **sizes: int) -> ModelConfig:
    return replace(ground.sizes, vocabulary=len(ground.vocabulary), feature=0, **sizes)


def _seeing(ground: Ground, **sizes: int) -> ModelConfig:
    return replace(_blind(ground, **sizes), feature=ground.dimension)


def _averaging(ground: Ground) -> ModelConfig:
    return _seeing(ground, embedding=min(_VECTOR, len(ground.vocabulary)))


def _learn_log_bilinear(ground: Ground, sizes: ModelConfig, on_progress: OnProgress) -> Any:
    from .learners.log_bilinear import TrainableLogBilinear

    return _by_likelihood(TrainableLogBilinear, ground, sizes, on_progress)


def _learn_factored(ground: Ground, sizes: ModelConfig, on_progress: OnProgress) -> Any:
    from .learners.log_bilinear import TrainableFactoredLogBilinear

    return _by_likelihood(TrainableFactoredLogBilinear, ground, sizes, on_progress)


def _learn_simple_rnn(ground: Ground, sizes: ModelConfig, on_progress: OnProgress) -> Any:
    from .learners.simple_rnn import TrainableSimpleRNN

    # Its sigmoids pass on a quarter of a gradient at most, a step.
    faster = replace(ground.config, learning_rate=_SIGMOID_RATE * ground.config.learning_rate)
    return _by_likelihood(TrainableSimpleRNN, replace(ground, config=faster), sizes, on_progress)


def _learn_mrnn(ground: Ground, sizes: ModelConfig, on_progress: OnProgress) -> Any:
    from ..training.network import TrainableMRNN

    return _by_likelihood(TrainableMRNN, ground, sizes, on_progress)


def _by_likelihood(
    network: Callable[[ModelConfig], Any],
    ground: Ground,
    sizes: ModelConfig,
    on_progress: OnProgress,
) -> Any:
    from .learners.likelihood import learned

    train, dev = (seen(p, sizes) for p in (ground.material.train, ground.material.dev))
    return learned(network, sizes, train, dev, ground.config, ground.device, on_progress)


def _learn_averaging(ground: Ground, sizes: ModelConfig, on_progress: OnProgress) -> Any:
    from .learners.joint_embedding import averaging_words, learned

    train, dev, config = ground.material.train, ground.material.dev, ground.config
    vectors = word_vectors(train.corpus, sizes.vocabulary, sizes.embedding)
    network = averaging_words(sizes, vectors, config.seed)
    return learned(network, False, train, dev, config, on_progress)


def _learn_reading(ground: Ground, sizes: ModelConfig, on_progress: OnProgress) -> Any:
    from .learners.joint_embedding import learned, reading_words

    train, dev, config = ground.material.train, ground.material.dev, ground.config
    network = reading_words(sizes, config.seed)
    return learned(network, True, train, dev, config, on_progress)


_of_words = partial(_blind, embedding=_REPRESENTATION, multimodal=_REPRESENTATION)
_with_image = partial(_seeing, embedding=_REPRESENTATION, multimodal=_REPRESENTATION)
_in_joint_space = partial(_seeing, embedding=_JOINT, recurrent=_JOINT)

_LBL = Network(_of_words, log_bilinear.shapes, LogBilinear, _learn_log_bilinear)
_MLBL_B = Network(_with_image, log_bilinear.shapes, LogBilinear, _learn_log_bilinear)
_MLBL_F = Network(_with_image, log_bilinear.factored_shapes, FactoredLogBilinear, _learn_factored)
_SIMPLE_RNN = Network(_blind, simple_rnn.shapes, SimpleRNN, _learn_simple_rnn)
_RNN_BASE = Network(_blind, mrnn.shapes, MRNN, _learn_mrnn)
_M_RNN = Network(_seeing, mrnn.shapes, MRNN, _learn_mrnn)
_AVERAGING = Network(_averaging, averaging_shapes, averaging, _learn_averaging)
_READING = Network(_in_joint_space, reading_shapes, reading, _learn_reading)


def _speaking(name: str, title: str, network: Network, finds: bool = False) -> System:
    ranker = partial(_finds, network) if finds else None
    return System(name, title, partial(_speaks, network), ranker, needs_pytorch=True)


def _embedding(name: str, title: str, network: Network) -> System:
    return System(name, title, ranker=partial(_embeds, network), needs_pytorch=True)


CHANCE = System("random", "Random", ranker=_chance)
GT2 = System("back-off-gt2", "BACK-OFF GT2", partial(_back_off, 2))
GT3 = System("back-off-gt3", "BACK-OFF GT3", partial(_back_off, 3))
LBL = _speaking("lbl", "LBL", _LBL)
MLBL_B = _speaking("mlbl-b", "MLBL-B", _MLBL_B, finds=True)
MLBL_F = _speaking("mlbl-f", "MLBL-F", _MLBL_F, finds=True)
SIMPLE_RNN = _speaking("simple-rnn", "simple RNN (eq. 1)", _SIMPLE_RNN)
RNN_BASE = _speaking("rnn-base", "RNN-Base", _RNN_BASE)
M_RNN = _speaking("m-rnn", "m-RNN", _M_RNN, finds=True)
BAG_OF_WORDS = System("bag-of-words", "bag of words", ranker=_bag_of_words)
DEVISE = _embedding("devise-like", "DeViSE-like", _AVERAGING)
SENTENCE_RNN = _embedding("sentence-rnn", "sentence RNN", _READING)
