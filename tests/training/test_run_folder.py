"""The folder of a training run: checkpoints are whole and strict, and one process holds it."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mrnn.errors import BundleError
from mrnn.files import LOCK
from mrnn.training import run_folder
from mrnn.training.run_folder import Checkpoint, RunFolder, open_run, training_folder

HERE = Checkpoint(
    {"phase": 1, "counters": {"best": float("inf"), "loss": 0.1 + 0.2}},
    {"weights.0": torch.arange(6.0).view(2, 3).T, "adam.0.step": torch.tensor(3.0)},
)


@pytest.fixture
def folder(tmp_path):
    with open_run(tmp_path / "model") as folder:
        yield folder


def test_a_checkpoint_comes_back_as_it_was(folder):
    assert not folder.is_unfinished
    folder.save(HERE)
    assert folder.is_unfinished
    found = folder.load(folder.read())
    assert found.values == HERE.values
    assert found.tensors.keys() == HERE.tensors.keys()
    assert all(torch.equal(found.tensors[name], HERE.tensors[name]) for name in HERE.tensors)
    assert not folder.is_finished
    folder.finish({})
    assert folder.is_finished
    assert not folder.is_unfinished


def test_a_full_disk_keeps_the_checkpoint_before(folder, monkeypatch):
    folder.save(HERE)
    before = folder.read()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BundleError, match=r"checkpoint.safetensors: cannot be written \(No space"):
        folder.save(Checkpoint({"phase": 2}, {}))
    assert folder.read() == before
    assert {path.name for path in folder.path.iterdir()} == {LOCK, "checkpoint.safetensors"}


@given(at=st.integers(0, 10**6), byte=st.integers(0, 255), cut=st.booleans())
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_damaged_checkpoint_is_named_or_read(folder, at, byte, cut):
    folder.save(HERE)
    content = bytearray(folder.read())
    at %= len(content)
    before = bytes(content)
    content[at] = byte
    message = None
    try:
        folder.load(bytes(content[:at] if cut else content))
    except BundleError as error:
        message = str(error)
    folder.finish({})
    assert (content[at : at + 1] == before[at : at + 1] and not cut) or message
    assert message is None or re.search(r"checkpoint.safetensors: .*; remove .* and train", message)


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        (Checkpoint({}, {"a": torch.tensor(float("nan"))}), "holds NaN"),
        (Checkpoint({"format": 2}, {}), "damaged, or made by another version"),
    ],
)
def test_what_cannot_be_gone_on_from_is_refused(folder, checkpoint, message):
    folder.save(checkpoint)
    with pytest.raises(BundleError, match=message):
        folder.load(folder.read())


def test_a_checkpoint_that_cannot_be_read(folder):
    with pytest.raises(BundleError, match=r"cannot be read \(No such file"):
        folder.read()


def test_another_process_waits_its_turn(folder, tmp_path):
    code = f"""
from pathlib import Path
from mrnn.training.run_folder import open_run
with open_run(Path({str(tmp_path / "model")!r})):
    print("inside")
"""
    source = Path(run_folder.__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.fspath(source)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.stdout == ""
    assert "model.training: another process trains this model" in done.stderr
    assert folder.path.exists()  # but for the lock empty as it is


def test_a_folder_made_for_nothing_goes_away_again_and_a_used_one_stays(tmp_path):
    with open_run(tmp_path / "model") as folder:
        assert folder.path == training_folder(tmp_path / "model") == tmp_path / "model.training"
    assert not folder.path.exists()
    with open_run(tmp_path / "model") as folder:
        folder.save(HERE)
    assert RunFolder(folder.path).is_unfinished


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(BundleError, match=r"model.training: cannot be written \(Not a directory"),
        open_run(tmp_path / "file" / "model"),
    ):
        pass
