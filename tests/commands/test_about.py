"""`mrnn info` to read: what it holds as JSON, in words."""

from __future__ import annotations

import json
import re

import pytest

from command_lines import document, run
from libraries import save_seeing
from mrnn.commands.about import about_lines
from mrnn.model.bundle import save_bundle


@pytest.fixture(scope="module")
def shipped():
    """The document of the shipped model, and its lines."""
    return document("info", run("info", "--json")[1]), run("info")[1].splitlines()


def test_a_word_that_the_model_lacks_is_told_with_what_lists_them():
    code, _, told = run("words", "quokka")
    assert (code, "'quokka' is not a word" in told, "`mrnn words --list`" in told) == (
        2,
        True,
        True,
    )


def leaves(value):
    if isinstance(value, dict):
        for one in value.values():
            yield from leaves(one)
    else:
        yield value


def test_nothing_is_left_out(shipped):
    found, lines = shipped
    text = "\n".join(lines).replace(",", "")
    for section in ("model", "encoder", "training", "machine"):
        for value in leaves(found[section]):
            if isinstance(value, str):
                assert value.replace(",", "") in text
            elif (
                isinstance(value, int)
                and not isinstance(value, bool)
                and value != found["model"]["bytes"]
            ):
                assert re.search(rf"\b{value}\b", text), value


def test_values_stand_below_each_other(shipped):
    _, lines = shipped
    values = [line for line in lines if line.startswith("  ") and len(line.strip().split("  ")) > 1]
    assert len(values) > 60
    assert all(line[32:34] == "  " and line[34] != " " for line in values)


def test_words_and_units(shipped):
    _, lines = shipped
    told = {tuple(re.split(r" {2,}", line.strip(), maxsplit=1)) for line in lines}
    for line in (
        ("size on the disk", "19.3 MB"),
        ("precision", "8 bits"),
        ("side of the picture", "260 pixels"),
        ("recurrent layer", "256 numbers"),
        ("images", "6,000"),
        ("dropout", "words 0.3, image 0.3, multimodal layer 0.6"),
        ("train encoder", "no"),
        ("perplexity on dev", "15.32"),
        ("BLEU-1 to BLEU-4", "0.629, 0.446, 0.301, 0.202"),
        ("sentences for an image", "R@1 34.5%, R@5 63.8%, R@10 75.5%, median rank 3"),
        ("sentences for an image", "-"),
    ):
        assert line in told


def test_a_model_without_scores_and_pictures(tiny_bundle, tmp_path):
    save_bundle(tiny_bundle, tmp_path / "model")
    code, out, _ = run("info", "-m", tmp_path / "model")
    assert code == 0
    assert "  none yet; mrnn evaluate DATA --model M --record writes them" in out.splitlines()
    assert re.search(r"kind +RNN-Base\n", out)


def test_a_network_of_one_s_own(tmp_path):
    model = save_seeing(tmp_path / "model")
    out = run("info", "-m", model)[1]
    assert re.search(r"precision +32 bits\n", out)


def test_names_of_a_strange_model_cannot_steer_the_terminal():
    lines = list(about_lines({"training": {"da\x1bta": "b\x1b[31m", "n": {"\x07": [1, "\x1b"]}}}))
    assert not any("\x1b" in line or "\x07" in line for line in lines)


def test_json_is_what_it_was(shipped):
    found, _ = shipped
    assert list(found) == ["model", "encoder", "training", "scores", "machine"]
    assert json.dumps(found)
