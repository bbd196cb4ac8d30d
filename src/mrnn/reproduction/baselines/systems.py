"""The systems of the paper's tables that can be run, and how each learns."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from ...config import ModelConfig, TrainConfig
from ...errors import BundleError, DivergedError
from ...files import write_whole
from ...images.reading import printable
from ...model.mrnn import MRNN
from ...scoring.pairs import Pairs
from ...scoring.ranking import Stage
from ...training.fit import Fit, captions_phase
from ...training.material import Material
from ...words.text import Vocabulary
from .back_off import BackOff
from .bag_of_words import BagOfWords
from .joint_embedding import AveragedWords, JointEmbedding, SentenceRNN, learn, word_vectors
from .log_bilinear import FactoredLogBilinear, LogBilinear
from .roles import (
    BackOffSpeaker,
    NeuralRanker,
    NeuralSpeaker,
    Ranker,
    ScoreRanker,
    Speaker,
    count,
    seen,
)
from .simple_rnn import SimpleRNN

_REPRESENTATION = 256  # of the log-bilinear models, and their factors
_JOINT = 256  # dimensions of the joint space, and of the recurrent layer of its sentences
_EPOCHS = 3 / 4  # of those of `mrnn train`, for language models: there are six to learn
_SIGMOID_RATE = 5  # times the learning rate of the others
_VECTOR = 200  # dimensions of the word vectors that are averaged


@dataclass(frozen=True)
class Ground:
    """What all systems learn from, and how those that need it learn."""

    material: Material
    config: TrainConfig
    sizes: ModelConfig  # of the recurrent networks
    device: torch.device
    memory: float  # bytes for scoring

    @property
    def vocabulary(self) -> Vocabulary:
        """The words that all systems know."""
        return self.material.bundle.vocabulary

    @property
    def generator(self) -> torch.Generator:
        """What first weights are drawn from, on the CPU."""
        return torch.Generator().manual_seed(self.config.seed)


Build = Callable[[Ground], Any]  # a network with its first weights


@dataclass(frozen=True)
class System:
    """A row of the tables that can be run."""

    name: str  # of its folder, for the weights
    title: str
    speaker: Callable[[Ground, Path, Stage], Speaker] | None = None
    ranker: Callable[[Ground, Path, Stage], Ranker] | None = None


def _back_off(order: int, ground: Ground, weights: Path, stage: Stage) -> BackOffSpeaker:
    train = ground.material.train.corpus
    sentences = train.sentences(np.arange(len(train)))
    return BackOffSpeaker(BackOff(sentences, order, len(ground.vocabulary)))


def _speaks(build: Build, ground: Ground, weights: Path, stage: Stage) -> NeuralSpeaker:
    return NeuralSpeaker(_language_model(build, ground, weights, stage))


def _speaks_simply(ground: Ground, weights: Path, stage: Stage) -> NeuralSpeaker:
    """The simple RNN: its sigmoids pass on a quarter of a gradient at most, a step."""
    faster = replace(ground.config, learning_rate=_SIGMOID_RATE * ground.config.learning_rate)
    return _speaks(_simple_rnn, replace(ground, config=faster), weights, stage)


def _finds(build: Build, ground: Ground, weights: Path, stage: Stage) -> NeuralRanker:
    model = _language_model(build, ground, weights, stage)
    return NeuralRanker(model, ground.material.bundle.prior, ground.memory)


def _language_model(build: Build, ground: Ground, weights: Path, stage: Stage) -> Any:
    """Learns as the m-RNN does: the weights of the best epoch on dev, with its temperature."""
    model = build(ground).to(ground.device)
    if _restored(model, weights):
        return model
    train, dev = (seen(p, model.config) for p in (ground.material.train, ground.material.dev))
    config = replace(ground.config, epochs=math.ceil(_EPOCHS * ground.config.epochs))
    fit = Fit(model, captions_phase(model, train, dev, config), config)
    best, temperature = {}, 1.0
    with stage("learning", "updates") as on_progress:
        for progress in fit.run():
            if progress.is_best:
                best = {name: value.clone() for name, value in model.state_dict().items()}
                temperature = progress.temperature
            on_progress(progress.update, progress.updates)
    if not best:
        raise DivergedError(
            f"{printable(weights.parent)}: learning diverged (no finite dev perplexity); "
            "another seed may do better, in another folder"
        )
    model.load_state_dict(best)
    model.divide_logits(temperature)
    _keep(model, weights)
    return model


def _embeds(build: Build, ground: Ground, weights: Path, stage: Stage) -> ScoreRanker:
    model = build(ground)  # so small that it stays on the CPU
    if not _restored(model, weights):
        with stage("learning", "updates") as on_progress:
            train, dev, config = ground.material.train, ground.material.dev, ground.config
            learn(model, train, dev, config.epochs, config.learning_rate, config.seed, on_progress)
        _keep(model, weights)
    return ScoreRanker(model.scores, count(model))


def _bag_of_words(ground: Ground, weights: Path, stage: Stage) -> ScoreRanker:
    model = BagOfWords(ground.material.train, len(ground.vocabulary))
    return ScoreRanker(model.scores, model.weights.size)


def _chance(ground: Ground, weights: Path, stage: Stage) -> ScoreRanker:
    def scores(pairs: Pairs) -> np.ndarray:
        shape = len(pairs.corpus), len(pairs.features)
        return np.random.default_rng(ground.config.seed).random(shape, dtype=np.float32)

    return ScoreRanker(scores, 0)


def _sizes(ground: Ground, feature: int, **sizes: int) -> ModelConfig:
    return replace(ground.sizes, vocabulary=len(ground.vocabulary), feature=feature, **sizes)


def _dimension(ground: Ground) -> int:
    return ground.material.bundle.model.config.feature


def _log_bilinear(ground: Ground, feature: int) -> ModelConfig:
    return _sizes(ground, feature, embedding=_REPRESENTATION, multimodal=_REPRESENTATION)


def _lbl(ground: Ground) -> LogBilinear:
    return LogBilinear(_log_bilinear(ground, 0)).initialise(ground.generator)


def _mlbl_b(ground: Ground) -> LogBilinear:
    return LogBilinear(_log_bilinear(ground, _dimension(ground))).initialise(ground.generator)


def _mlbl_f(ground: Ground) -> FactoredLogBilinear:
    config = _log_bilinear(ground, _dimension(ground))
    return FactoredLogBilinear(config).initialise(ground.generator)


def _simple_rnn(ground: Ground) -> SimpleRNN:
    return SimpleRNN(_sizes(ground, 0)).initialise(ground.generator)


def _rnn_base(ground: Ground) -> MRNN:
    return MRNN(_sizes(ground, 0)).initialise(ground.generator)


def _mrnn(ground: Ground) -> MRNN:
    return MRNN(_sizes(ground, _dimension(ground))).initialise(ground.generator)


def _devise(ground: Ground) -> JointEmbedding:
    vectors = word_vectors(ground.material.train.corpus, len(ground.vocabulary), _VECTOR)
    return JointEmbedding(AveragedWords(vectors), _dimension(ground), False, ground.generator)


def _sentence_rnn(ground: Ground) -> JointEmbedding:
    generator = ground.generator
    side = SentenceRNN(len(ground.vocabulary), _JOINT, _JOINT, generator)
    return JointEmbedding(side, _dimension(ground), True, generator)


CHANCE = System("random", "Random", ranker=_chance)
GT2 = System("back-off-gt2", "BACK-OFF GT2", partial(_back_off, 2))
GT3 = System("back-off-gt3", "BACK-OFF GT3", partial(_back_off, 3))
LBL = System("lbl", "LBL", partial(_speaks, _lbl))
MLBL_B = System("mlbl-b", "MLBL-B", partial(_speaks, _mlbl_b), partial(_finds, _mlbl_b))
MLBL_F = System("mlbl-f", "MLBL-F", partial(_speaks, _mlbl_f), partial(_finds, _mlbl_f))
SIMPLE_RNN = System("simple-rnn", "simple RNN (eq. 1)", _speaks_simply)
RNN_BASE = System("rnn-base", "RNN-Base", partial(_speaks, _rnn_base))
M_RNN = System("m-rnn", "m-RNN", partial(_speaks, _mrnn), partial(_finds, _mrnn))
BAG_OF_WORDS = System("bag-of-words", "bag of words", ranker=_bag_of_words)
DEVISE = System("devise-like", "DeViSE-like", ranker=partial(_embeds, _devise))
SENTENCE_RNN = System("sentence-rnn", "sentence RNN", ranker=partial(_embeds, _sentence_rnn))


def _keep(model: nn.Module, path: Path) -> None:
    tensors = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    write_whole(path, save(tensors))


def _restored(model: nn.Module, path: Path) -> bool:
    """Whether the weights were learned before; raises BundleError when they cannot be used."""
    if not path.exists():
        return False
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BundleError(f"{printable(path)}: {reason}; remove it, to learn it again") from None
    return True
