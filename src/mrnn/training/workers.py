"""The processes that train together: one, or those that `torchrun` has started.

Everything is written for any number of processes; with one, nothing is sent anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

_PATIENCE = timedelta(days=1)  # one process may compute features while the others wait


@dataclass(frozen=True)
class Workers:
    """A process among those that train together."""

    rank: int = 0  # from 0; the process of rank 0 writes and reports
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files and reports."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module, with its gradients averaged over the processes on the way back."""
        if self.count == 1:
            return module
        return nn.parallel.DistributedDataParallel(module)

    def sum(self, *values: float) -> tuple[float, ...]:
        """Each value summed over the processes."""
        if self.count == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64, device=_device())
        dist.all_reduce(total)
        return tuple(total.tolist())

    def from_leader(self, *values: float) -> tuple[float, ...]:
        """The values of the process that leads."""
        if self.count == 1:
            return values
        sent = torch.tensor(values, dtype=torch.float64, device=_device())
        dist.broadcast(sent, 0)
        return tuple(sent.tolist())

    def bytes_from_leader(self, content: bytes) -> bytes:
        """The bytes of the process that leads; the others may give any."""
        if self.count == 1:
            return content
        (length,) = self.from_leader(len(content))
        sent = torch.zeros(int(length), dtype=torch.uint8, device=_device())
        if length and self.leads:
            sent = torch.frombuffer(bytearray(content), dtype=torch.uint8).to(sent.device)
        if length:
            dist.broadcast(sent, 0)
        return sent.cpu().numpy().tobytes()

    @contextmanager
    def first_of_machine(self) -> Iterator[None]:
        """Lets one process a machine go first, and the others when it is done."""
        first = self.count == 1 or os.environ["LOCAL_RANK"] == "0"
        if not first:
            self.sum(0.0)
        yield
        if first:
            self.sum(0.0)


ALONE = Workers()


@contextmanager
def joined(device: torch.device) -> Iterator[Workers]:
    """The place of this process among those that torchrun has started; alone without torchrun.

    Messages go by nccl between GPUs, by gloo between CPUs.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield ALONE
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Workers(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def _device() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
