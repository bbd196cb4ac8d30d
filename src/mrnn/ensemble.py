"""Several m-RNNs as one.

The mean of the logits of K networks is the logit of one network K times as wide, whose We, Ur, Vw
and Vr are block-diagonal: whatever uses an m-RNN, the first-order index included, uses an ensemble.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from .model import MRNN


@torch.no_grad()
def as_one(members: Sequence[MRNN]) -> MRNN:
    """The network whose logits are the mean of the members'; a single one is returned itself.

    All members have the same sizes; the result has K times their embedding, recurrent and
    multimodal size, and weights of its own.
    """
    first, *others = members
    if not others:
        return first
    sizes = ("embedding", "recurrent", "multimodal")
    count, config = len(members), first.config
    wide = MRNN(replace(config, **{name: count * getattr(config, name) for name in sizes}))
    wide.to(first.wo.device)
    for name in ("we", "ur", "vw", "vr"):
        blocks = torch.block_diag(*(getattr(member, name) for member in members))
        getattr(wide, name).copy_(blocks)
    for name in ("we_bias", "vw_bias", "vi"):
        getattr(wide, name).copy_(torch.cat([getattr(member, name) for member in members]))
    wide.embedding.copy_(torch.cat([member.embedding for member in members], 1))
    wide.wo.copy_(torch.cat([member.wo for member in members], 1) / count)
    wide.wo_bias.copy_(torch.stack([member.wo_bias for member in members]).mean(0))
    return wide
