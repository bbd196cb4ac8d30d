"""How the language models of the tables learn: by likelihood, as the m-RNN of `mrnn train` does."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch

from ...config import ModelConfig, TrainConfig
from ...model.language_model import LanguageModel
from ...scoring.pairs import Pairs
from ...training.devices import choose_device
from ...training.fit import Fit, captions_phase

_EPOCHS = 3 / 4  # of those of `mrnn train`: there are six models to learn

Network = Callable[[ModelConfig], Any]  # a `Learner` of these sizes, and an `nn.Module` to draw


def learned(
    network: Network,
    sizes: ModelConfig,
    train: Pairs,
    dev: Pairs,
    config: TrainConfig,
    device: str,
    on_progress: Callable[[int, int], None],
) -> LanguageModel | None:
    """The model of the best epoch on dev, with its temperature; None if it diverges.

    `device` is "auto", "cpu" or "cuda".
    """
    drawn = network(sizes).initialise(torch.Generator().manual_seed(config.seed))
    learner = drawn.to(choose_device(device))
    config = replace(config, epochs=math.ceil(_EPOCHS * config.epochs))
    fit = Fit(learner, captions_phase(learner, train, dev, config), config)
    best, temperature = None, 1.0
    for progress in fit.run():
        if progress.is_best:
            best, temperature = deepcopy(learner), progress.temperature
        on_progress(progress.update, progress.updates)
    if best is None:
        return None
    best.divide_logits(temperature)
    return best.trained()
