"""Without PyTorch, learning says what to type, and does nothing."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from command_lines import run
from mrnn.errors import UsageError
from mrnn.training.installed import require_pytorch

MESSAGE = "learning needs PyTorch, which is not installed; type: pip install 'mrnn[train]'"


@pytest.fixture
def without_pytorch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # neither found nor imported any more


def test_what_is_missing_is_said(without_pytorch):
    with pytest.raises(UsageError) as caught:
        require_pytorch()
    assert str(caught.value) == MESSAGE


def test_it_is_looked_for_without_being_imported(monkeypatch):
    asked = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: asked.append(name) or object())
    require_pytorch()
    assert asked == ["torch"]


@pytest.mark.parametrize("command", ["train", "reproduce"])
def test_commands_that_learn_end_before_they_begin(without_pytorch, tmp_path, command):
    """Whatever else is wrong: the data is not even there."""
    found = run(command, tmp_path / "nowhere", "-o", tmp_path / "model")
    assert found == (2, "", f"mrnn: {MESSAGE}\n")
    assert not list(tmp_path.iterdir())
