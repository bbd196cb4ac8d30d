"""Figures that pages show of the shipped model are those that its bundle has recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "src" / "mrnn" / "bundles" / "default" / "config.json"
GREEDY, CONSENSUS = json.loads(CONFIG.read_text())["scores"]


def cells(page: str, name: str) -> list[str]:
    """Those of the one row of this name, without the words of `889 of 1,000`."""
    lines = (ROOT / page).read_text().splitlines()
    [row] = [line for line in lines if line.startswith(f"| {name} |")]
    return [cell.strip().replace(" of 1,000", "") for cell in row.split("|")[2:-1]]


def share(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


@pytest.mark.parametrize(("scores", "how"), [(GREEDY, "greedy"), (CONSENSUS, "consensus")])
def test_captions(scores, how):
    bleu = [share(scores["bleu"][n]) for n in "1234"]
    perplexity, distinct = f"{scores['perplexity']:.2f}", str(scores["distinct_captions"])
    rouge, cider = share(scores["rouge_l"]), share(scores["cider"])
    shown = cells("docs/results.md", f"`default`, {how}")
    assert shown == [perplexity, *bleu, rouge, cider, distinct]
    name = f"`default`, {how}".replace("consensus", "`--consensus`")
    assert cells("README.md", name) == [perplexity, bleu[0], bleu[3], cider, distinct]


def test_retrieval():
    found = []
    rows = {"a sentence of the photograph": "image_to_text"}
    rows["the photograph of a sentence"] = "text_to_image"
    for name, way in rows.items():
        scores = GREEDY[way]
        shown = [f"{scores[k]:.1f}" for k in ("r1", "r5", "r10")] + [f"{scores['med_r']:.0f}"]
        assert cells("README.md", name) == shown
        found += shown
    assert cells("docs/results.md", "`default`, two stages") == found
