"""Learning words that no caption has: real captions and stand-ins together, at the paper's cost.

Half of the sentences without pictures are drawn evenly over the words that have prototypes, so that
a word said ten times is learned like one said a thousand times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
_SEEN = 100  # captions with a word, from which on they say how it looks,
_NARROW = 10  # unless it has so few prototypes that these say it better


def words_phase(
    model: TrainableMRNN,
    train: Pairs,
    dev: Pairs,
    text: Corpus,
    words: Wordstock,
    config: TrainConfig,
) -> Phase:
    """Learn the whole model from captions with their pictures and sentences with stand-ins."""
    seed = (config.seed, 3)
    taught = {
        word: rows
        for word, rows in words.prototypes.items()
        if words.seen[word] < _SEEN or len(rows) <= _NARROW
    }
    sentences, said = with_borrowed(
        text.sentences(np.arange(len(text))),
        taught,
        words.vectors,
        words.plurals,
        np.random.default_rng(seed),
    )
    sizes = model.config
    stand_ins = StandIns(
        train,
        sizes.vocabulary,
        sizes.feature_norm,
        taught,
        words.vectors,
        config.prototype_strength,
    )
    real = len(train.corpus)
    corpus = Corpus([*train.corpus.sentences(np.arange(real)), *sentences])
    named = sorted(said)

    def batches(epoch: int) -> list[np.ndarray]:
        generator = np.random.default_rng((*seed, epoch))
        others = _endless(len(text), generator)
        found = []
        for captions in shuffled(real, config.batch, (*seed, epoch, 0)):
            count = _STAND_INS * len(captions)
            evenly = count // 2 if named else 0
            places = [said[named[i]] for i in generator.integers(max(len(named), 1), size=evenly)]
            even = [some[generator.integers(len(some))] for some in places]
            drawn = np.array([*even, *(next(others) for _ in range(count - len(even)))])
            found.append(np.concatenate([captions, real + drawn]))
        return found

    def features(chosen: np.ndarray, packed: Packed, update: Sequence[int]) -> Tensor:
        found = np.empty((len(chosen), model.config.feature), dtype=np.float32)
        ordered = chosen[packed.order]
        is_real = ordered < real
        rows = train.features[train.images[ordered[is_real]]]
        found[is_real] = np.asarray(rows, dtype=np.float32)
        found[~is_real] = stand_ins.draw(
            corpus.sentences(ordered[~is_real]), np.random.default_rng(update)
        )
        return torch.from_numpy(found).to(model.wo.device)

    return Phase(
        "words",
        seed,
        config.prototype_epochs,
        config.prototype_epochs,  # what is learned of other things is not seen on dev
        corpus,
        batches,
        features,
        [Learned(list(model.parameters()), config.learning_rate, config.l2)],
        lambda: dev,
    )


def _endless(count: int, generator: np.random.Generator) -> Iterator[int]:
    """The positions 0..count-1 in a random order, and again in another."""
    while True:
        yield from generator.permutation(count).tolist()
