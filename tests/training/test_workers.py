"""Several processes train like one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import mrnn
from mrnn.training.workers import Workers, joined

# Both processes fit the same model on their shares of each batch; the first one writes the weights.
TOGETHER = """
import json, sys
from contextlib import nullcontext
import numpy as np, torch
import mrnn.training.fit
from mrnn.config import DropoutShares, ModelConfig, TrainConfig
from mrnn.training.fit import Fit, captions_phase
from mrnn.training.network import TrainableMRNN
from mrnn.words.packing import Corpus
from mrnn.scoring.pairs import Pairs
from mrnn.training.workers import joined
torch.set_num_threads(1)
# bf16 would hide what is compared
mrnn.training.fit.reduced_precision = lambda device: nullcontext()
output = sys.argv[1]
draw = np.random.default_rng(0)
corpus = Corpus([draw.integers(4, 12, draw.integers(1, 9)).tolist() for _ in range(23)])
with joined(torch.device("cpu")) as workers:
    assert workers.bytes_from_leader(b"abc" if workers.leads else b"") == b"abc"
    assert workers.bytes_from_leader(b"") == b""
    for feature in (0, 6):
        features = draw.random((23, feature), dtype=np.float32)
        pairs = Pairs(corpus, np.arange(23), features)
        config = TrainConfig(epochs=3, batch=11, patience=9, dropout=DropoutShares(0, 0, 0))
        sizes = ModelConfig(12, feature, embedding=4, recurrent=5, multimodal=7)
        model = TrainableMRNN(sizes).initialise(torch.Generator().manual_seed(workers.rank))
        fit = Fit(model, captions_phase(model, pairs, pairs, config), config, workers)
        reports = [(p.words, p.train_perplexity, p.dev_perplexity or 0) for p in fit.run()]
        if workers.leads:
            weights = {name: value.tolist() for name, value in model.state_dict().items()}
            with open(f"{output}.{feature}", "w") as file:
                json.dump([weights, reports], file)
"""


def trained(tmp_path: Path, processes: int) -> list:
    script, output = tmp_path / "together.py", tmp_path / f"weights{processes}"
    script.write_text(TOGETHER)
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    subprocess.run(
        [sys.executable, *(torchrun if processes > 1 else []), str(script), str(output)],
        env={
            **os.environ,
            "PYTHONPATH": os.fspath(Path(mrnn.__file__).parents[1]),
            "OMP_NUM_THREADS": "1",
        },
        check=True,
        capture_output=True,
        timeout=120,
    )
    return [json.loads((tmp_path / f"{output.name}.{feature}").read_text()) for feature in (0, 6)]


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch cannot distribute")
def test_two_processes_equal_one_with_the_same_global_batch(tmp_path):
    """The last batch of an epoch has one sentence, so that one of the two has none."""
    for (ours, reports), (alone, reports_alone) in zip(
        trained(tmp_path, 2), trained(tmp_path, 1), strict=True
    ):
        for name, weights in alone.items():
            assert torch.allclose(
                torch.tensor(ours[name]), torch.tensor(weights), rtol=1e-4, atol=1e-5
            ), name
        for report, expected in zip(reports, reports_alone, strict=True):
            assert report == pytest.approx(expected, rel=1e-4)


def test_alone_nothing_is_sent(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    with joined(torch.device("cpu")) as workers:
        assert workers == Workers(0, 1)
    module = torch.nn.Linear(1, 1)
    assert workers.wrap(module) is module
    assert workers.leads
    assert workers.sum(1.5, 2.0) == (1.5, 2.0)
    assert workers.from_leader(3.0) == (3.0,)
    assert workers.bytes_from_leader(b"x") == b"x"
