"""Weights of a network by the names and shapes that its NumPy side tells."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from ...weight_files import Shape


def add_parameters(network: nn.Module, shapes: Mapping[str, Shape]) -> None:
    """Give a network its weights, all 0."""
    for name, shape in shapes.items():
        network.register_parameter(name, nn.Parameter(torch.zeros(shape)))


def copied(network: nn.Module) -> dict[str, np.ndarray]:
    """A copy of all weights as they are."""
    return {name: weight.cpu().numpy().copy() for name, weight in network.state_dict().items()}


def draw_uniformly(weight: nn.Parameter, generator: torch.Generator) -> None:
    """Within what keeps the variance of a layer's output near that of its input."""
    bound = max(weight.shape[1], 1) ** -0.5
    weight.uniform_(-bound, bound, generator=generator)
