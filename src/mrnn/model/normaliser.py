"""The softmax's denominator: nearly all the work of scoring a sentence against an image.

Dimension key: R rows, each a prefix with an image; M multimodal layer; V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..devices import has_int8
from .language_model import JointModel

Normaliser = Callable[[Tensor], Tensor]  # m (R, M) -> log sum_v exp(Wo m + b)_v, (R,)

_EXP_BOUND = 87.0  # exp of a float32 neither overflows nor vanishes within it


def float_normaliser(model: JointModel) -> Normaliser:
    """In the precision of the model's weights."""
    weight, bias = model.wo.T, model.wo_bias
    is_safe = _is_safe(model)

    def normalise(m: Tensor) -> Tensor:
        logits = torch.addmm(bias, m, weight)  # (R, V)
        return logits.exp_().sum(1).log_() if is_safe else logits.logsumexp(1)

    return normalise


def int8_normaliser(model: JointModel) -> Normaliser:
    """With m and Wo rounded to 8 bits and an exact integer product, for processors that have it.

    m lies within a bound, so one step size fits all rows; Wo has a step size a word. On
    Flickr8K the result is within .02 of the precise one (docs/results.md).
    """
    m_step = model.bound / 127
    steps = model.wo.abs().amax(1).clamp_min(1e-30) / 127  # (V,)
    weight = (model.wo / steps[:, None]).round_().to(torch.int8).T  # (M, V)
    scale, bias = steps * m_step, model.wo_bias
    factors = bias.exp()
    is_safe = _is_safe(model)

    def normalise(m: Tensor) -> Tensor:
        rounded = (m * (1 / m_step)).round_().to(torch.int8)
        logits = torch._int_mm(rounded, weight).to(m.dtype).mul_(scale)
        return (logits.exp_() @ factors).log_() if is_safe else logits.add_(bias).logsumexp(1)

    return normalise


def fast_normaliser(model: JointModel) -> Normaliser:
    """The quickest that is good enough for a first pass over all pairs, and for log P(s)."""
    is_coarse = math.isfinite(model.bound) and has_int8(model.wo.device)
    return int8_normaliser(model) if is_coarse else float_normaliser(model)


def _is_safe(model: JointModel) -> bool:
    """Whether no sum of exponentials can overflow or vanish: a bound of m bounds every logit."""
    bound = model.bound * model.wo.abs().sum(1).max() + model.wo_bias.abs().max()
    return bool(bound + math.log(len(model.wo)) < _EXP_BOUND)
