"""Learning words that no caption has: real captions and stand-ins together, at the paper's cost.

Half of the sentences without pictures are drawn evenly over the words that have prototypes, so that
a word said ten times is learned like one said a thousand times.

Dimension key: D image feature, n sentences asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..config import TrainConfig
from ..scoring.pairs import Pairs
from ..words.packing import Corpus, Packed
from .borrowing import with_borrowed
from .fit import Learned, Phase, shuffled
from .material import Wordstock
from .network import TrainableMRNN
from .stand_ins import StandIns

_STAND_INS = 2  # for every real caption


class WordsPhase:
    """The phase, and what came of its sentences without pictures."""

    def __init__(
        self,
        model: TrainableMRNN,
        train: Pairs,
        dev: Pairs,
        text: Corpus,
        words: Wordstock,
        config: TrainConfig,
    ) -> None:
        self._model, self._train, self._config = model, train, config
        self._seed = (config.seed, 3)
        sentences, said = with_borrowed(
            text.sentences(np.arange(len(text))),
            words.prototypes,
            words.vectors,
            words.plurals,
            np.random.default_rng(self._seed),
        )
        self._own = len(text)  # the others are borrowed
        self._naming = np.unique([i for places in said.values() for i in places]).astype(np.int64)
        self._said = [np.array(said[word]) for word in sorted(said)]
        self._stand_ins = StandIns(
            train,
            model.config.vocabulary,
            model.config.feature_norm,
            words.prototypes,
            words.vectors,
            config.prototype_strength,
        )
        self._real = len(train.corpus)
        self._corpus = Corpus([*train.corpus.sentences(np.arange(self._real)), *sentences])
        self.phase = Phase(
            "words",
            self._seed,
            config.prototype_epochs,
            config.prototype_epochs,  # what is learned of other things is not seen on dev
            self._corpus,
            self._batches,
            self._features,
            [Learned(list(model.parameters()), config.learning_rate, config.l2)],
            lambda: dev,
        )

    def imagined(self, count: int) -> np.ndarray:
        """Features (n, D) float32 of sentences drawn as for an update."""
        generator = np.random.default_rng((*self._seed, 0, 1))
        return self._stand_ins.draw(self._sentences(self._drawn(count, generator)), generator)

    def described(self, count: int) -> tuple[list[list[int]], np.ndarray]:
        """Sentences that name what is learned, `count` at most, and their stand-ins (n, D)."""
        generator = np.random.default_rng((*self._seed, 0, 2))
        naming = self._naming[self._naming < self._own]
        sentences = self._sentences(np.sort(generator.permutation(naming)[:count]))
        return sentences, self._stand_ins.draw(sentences, generator)

    def _batches(self, epoch: int) -> list[np.ndarray]:
        seed = (*self._seed, epoch)
        generator = np.random.default_rng(seed)
        return [
            np.concatenate(
                [captions, self._real + self._drawn(_STAND_INS * len(captions), generator)]
            )
            for captions in shuffled(self._real, self._config.batch, (*seed, 0))
        ]

    def _drawn(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """Which sentences, (n,): half evenly over the words, the others from the text as it is."""
        evenly = count // 2 if self._said else 0
        words = generator.integers(max(1, len(self._said)), size=evenly)
        even = [self._said[word][generator.integers(len(self._said[word]))] for word in words]
        others = generator.integers(self._own, size=count - evenly)
        return np.concatenate([np.array(even, dtype=np.int64), others])

    def _sentences(self, drawn: np.ndarray) -> list[list[int]]:
        return self._corpus.sentences(self._real + drawn)

    def _features(self, chosen: np.ndarray, packed: Packed, update: Sequence[int]) -> Tensor:
        found = np.empty((len(chosen), self._model.config.feature), dtype=np.float32)
        ordered = chosen[packed.order]
        is_real = ordered < self._real
        rows = self._train.features[self._train.images[ordered[is_real]]]
        found[is_real] = np.asarray(rows, dtype=np.float32)
        found[~is_real] = self._stand_ins.draw(
            self._corpus.sentences(ordered[~is_real]), np.random.default_rng(update)
        )
        return torch.from_numpy(found).to(self._model.wo.device)
