"""Where PyTorch computes."""

from __future__ import annotations

import pytest
import torch

from mrnn.errors import UsageError
from mrnn.training.devices import choose_device, has_bf16, reduced_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(("asked", "found"), [("auto", "cuda"), ("cuda", "cuda"), ("cpu", "cpu")])
def test_a_gpu_is_used_where_there_is_one(monkeypatch, asked, found):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert choose_device(asked) == torch.device(found)


def test_each_process_of_torchrun_has_a_gpu_of_its_own(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setenv("LOCAL_RANK", "3")
    choose_device("auto")
    choose_device("cpu")
    assert chosen == [3]


def test_without_a_gpu_the_cpu_is_used_but_not_in_silence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == CPU
    with pytest.raises(UsageError, match="PyTorch finds no GPU here; type: mrnn info"):
        choose_device("cuda")
    with pytest.raises(UsageError, match="unknown device 'tpu'; known: auto, cpu, cuda"):
        choose_device("tpu")


@pytest.mark.parametrize("capability", ["avx512_bf16", "amx_bf16"])
def test_bf16_is_used_where_it_is_no_emulation(monkeypatch, capability):
    product = torch.ones(2, 2)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, capability: False})
    assert not has_bf16(CPU)
    with reduced_precision(CPU):
        assert (product @ product).dtype == torch.float32
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {capability: True})
    assert has_bf16(CPU)
    with reduced_precision(CPU):
        assert (product @ product).dtype == torch.bfloat16
