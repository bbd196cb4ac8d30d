"""`mrnn reproduce` as a stranger uses it: tables, resuming, wrong inputs; on eleven pictures."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from mrnn.commands.cli import app
from mrnn.datasets import read_dataset
from mrnn.files import LOCK, held
from mrnn.reproduction import reproduction
from mrnn.reproduction.baselines.back_off import BackOff
from mrnn.reproduction.learners import likelihood
from mrnn.reproduction.paper_tables import TABLES
from mrnn.training.settings import settle
from mrnn.words.text import Vocabulary

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "reproduce.json"


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["reproduce", *map(str, arguments)], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(autouse=True)
def _few_epochs(monkeypatch):
    """Two epochs of everything: how well it is learned does not matter here."""
    monkeypatch.setattr("mrnn.commands.reproduction.settle", _settled_quickly)


def figures(text: str) -> str:
    """The tables without the times that learning took."""
    return text.partition("### The systems")[0]


def _settled_quickly(flags, file, sentences):
    return settle({**flags, "epochs": 2, "minimum-count": 1}, file, sentences)


def test_all_tables_in_all_their_forms(flickr_layout, picture, tmp_path):
    out = tmp_path / "out"
    photo = picture("own & only.jpg", seed=99)
    code, text, err = run(flickr_layout, "-o", out, "--json", "--picture", photo)
    assert (code, err) == (0, f"page: {out / 'index.html'}\n")
    found = json.loads(text)
    jsonschema.validate(found, json.loads(SCHEMA.read_text()), jsonschema.Draft202012Validator)
    assert json.loads((out / "tables.json").read_text()) == found
    assert (found["data"], found["split"], found["images"], found["sentences"]) == (
        "birds",
        "dev",
        3,
        6,
    )
    markdown = (out / "tables.md").read_text()
    page = (out / "index.html").read_text()
    for table in TABLES:
        rows = found["tables"][str(table.number)]
        assert [row["method"] for row in rows] == [row.title for row in table.rows]
        assert markdown.count(f"### Table {table.number}.") == 1
        assert page.count(f"<h2>Table {table.number}.") == 1
        for row, written in zip(table.rows, rows, strict=True):
            assert (written["ours"] is not None) == (row.system is not None)
            assert (written["published"] is not None) == (row.published is not None)
    costs = markdown.split("### The systems")[1]
    assert all(f"| {s.title} | " in costs for table in TABLES for s in table.systems)
    assert "<h2>Figure 3</h2>" in page
    assert "own &amp; only.jpg" in page
    assert page.count("data:image/jpeg") == 1
    assert not re.search(r"https?://(?!github|www.w3)", page)
    of_mrnn = [r for r in found["tables"]["1"] if r["system"] == "m-rnn"]
    argmax, drawn = (r["ours"] for r in of_mrnn)
    assert argmax["perplexity"] == drawn["perplexity"]
    assert argmax["bleu"]["0"] != argmax["bleu_sampled"]


def test_figures_are_those_of_the_system_on_the_split(flickr_layout, tmp_path):
    """The n-gram row again by hand: perplexity in both conventions, of the dev sentences."""
    _, text, _ = run(flickr_layout, "--table", 1, "-o", tmp_path / "out", "--json")
    row = next(r for r in json.loads(text)["tables"]["1"] if r["system"] == "back-off-gt3")
    data = read_dataset(flickr_layout)
    train = [s for example in data.split("train") for s in example.sentences]
    vocabulary = Vocabulary.build(train, 1)
    model = BackOff([vocabulary.encode(s) for s in train], 3, len(vocabulary))
    dev = [s for example in data.split("dev") for s in example.sentences]
    logprobs = [model.logprobs(vocabulary.encode(s)) for s in dev]
    for key, first in (("perplexity", 0), ("perplexity_from_word_6", 5)):
        after = [p for sentence in logprobs for p in sentence[first:]]
        assert row["ours"][key] == pytest.approx(math.exp(-sum(after) / len(after)))
    assert row["weights"] == model.size


def test_figures_are_of_the_best_epoch_at_its_temperature(flickr_layout, tmp_path, monkeypatch):
    """What stands in the table is the lowest dev perplexity that there was."""
    told = []

    class Watched(likelihood.Fit):
        def run(self):
            for progress in super().run():
                told[-1].append(progress)
                yield progress

    def watched(*arguments):
        told.append([])
        return Watched(*arguments)

    monkeypatch.setattr(likelihood, "Fit", watched)
    monkeypatch.setattr("mrnn.training.calibration.TEMPERATURES", (1.5,))
    monkeypatch.setattr(
        "mrnn.commands.reproduction.settle",
        lambda flags, file, sentences: settle(
            {**flags, "epochs": 30, "patience": 30, "learning-rate": 0.02, "minimum-count": 1},
            file,
            sentences,
        ),
    )
    _, text, _ = run(flickr_layout, "--table", 5, "-o", tmp_path / "out", "--json")
    rows = json.loads(text)["tables"]["5"][:2]
    for row, epochs in zip(rows, told, strict=True):
        best = min((p for p in epochs if p.dev_perplexity), key=lambda p: p.dev_perplexity)
        assert row["ours"]["perplexity"] == pytest.approx(best.dev_perplexity, rel=1e-4)
        assert best.temperature == 1.5
        assert epochs[-1].epoch == 23  # three quarters of 30


@pytest.fixture
def made(flickr_layout, tmp_path):
    """Table 5 of the eleven pictures."""
    assert run(flickr_layout, "--table", 5, "-o", tmp_path / "out")[0] == 0
    return tmp_path / "out"


def test_what_is_there_is_not_done_again(flickr_layout, made, monkeypatch):
    before = run(flickr_layout, "--table", 5, "-o", made)
    kept = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    monkeypatch.setattr(likelihood, "Fit", None)  # learning anew would fail
    monkeypatch.setattr(reproduction, "bleu_figures", None)
    assert run(flickr_layout, "--table", 5, "-o", made) == before
    assert {path: path.read_bytes() for path in made.rglob("*") if path.is_file()} == kept


def run_without_pytorch(*arguments: object) -> tuple[int, str, str]:
    """In a process of its own, in which PyTorch cannot be imported."""
    code = f"""
import sys
sys.modules["torch"] = None
from mrnn.commands import cli, reproduction
from mrnn.training.settings import settle
few = {{"epochs": 2, "minimum-count": 1}}
reproduction.settle = lambda flags, file, count: settle({{**flags, **few}}, file, count)
sys.argv = ["mrnn", "reproduce", *{list(map(str, arguments))!r}]
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_what_is_there_needs_no_pytorch(flickr_layout, made, picture):
    """The tables and the page again, a figure measured again, and a picture shown."""
    photo = picture("photo.jpg", seed=99)
    before = run(flickr_layout, "--table", 5, "-o", made, "--picture", photo)
    page = (made / "index.html").read_bytes()
    for system in ("m-rnn", "rnn-base"):
        (made / "systems" / system / "generation.json").unlink()
    (made / "index.html").unlink()
    again = run_without_pytorch(flickr_layout, "--table", 5, "-o", made, "--picture", photo)
    assert again == before
    assert (made / "index.html").read_bytes() == page


def test_without_pytorch_it_is_said_at_once_that_learning_needs_it(flickr_layout, made, tmp_path):
    """Before the data set is looked at; nothing is written."""
    (made / "systems" / "m-rnn" / "weights.safetensors").unlink()
    kept = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    told = "mrnn: mrnn reproduce needs the package torch; type: pip install 'mrnn[train]'\n"
    assert run_without_pytorch(tmp_path / "absent", "--table", 5, "-o", made) == (1, "", told)
    assert {path: path.read_bytes() for path in made.rglob("*") if path.is_file()} == kept
    fresh = tmp_path / "fresh"
    assert run_without_pytorch(flickr_layout, "-o", fresh) == (1, "", told)
    assert not fresh.exists()


def test_a_gpu_is_asked_for_only_by_what_learns(flickr_layout, made, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    before = run(flickr_layout, "--table", 5, "-o", made)
    assert run(flickr_layout, "--table", 5, "-o", made, "--device", "cuda") == before
    code, _, err = run(flickr_layout, "-o", tmp_path / "fresh", "--device", "cuda")
    assert (code, "PyTorch finds no GPU here" in err) == (2, True)
    code, _, err = run(flickr_layout, "--table", 5, "-o", made, "--device", "gpu")
    assert (code, "unknown device 'gpu'" in err) == (2, True)


def test_a_missing_figure_is_measured_again_from_the_weights(flickr_layout, made, monkeypatch):
    file = made / "systems" / "m-rnn" / "generation.json"
    before = json.loads(file.read_text())
    file.unlink()
    monkeypatch.setattr(likelihood, "Fit", None)
    assert run(flickr_layout, "--table", 5, "-o", made)[0] == 0
    after = json.loads(file.read_text())
    assert {**after, "seconds": 0} == {**before, "seconds": 0}


@pytest.mark.parametrize("calls", [1, 2])
def test_an_interrupted_run_goes_on(flickr_layout, tmp_path, monkeypatch, calls):
    """Ctrl-C while a system learns: what others reached is there, nothing half-written."""
    real, count = likelihood.Fit, []

    def interrupted(*arguments):
        count.append(1)
        if len(count) == calls:
            raise KeyboardInterrupt
        return real(*arguments)

    out = tmp_path / "out"
    monkeypatch.setattr(likelihood, "Fit", interrupted)
    code, text, err = run(flickr_layout, "--table", 5, "-o", out)
    assert (code, text, err) == (130, "", "mrnn: interrupted\n")
    files = sorted(path.name for path in out.rglob("*") if path.is_file())
    done = ["generation.json", "learned.json", "weights.safetensors"] if calls == 2 else []
    assert files == sorted([LOCK, "ground.json", "encoder.json", "encoder.safetensors", *done])
    monkeypatch.setattr(likelihood, "Fit", real)
    code, text, _ = run(flickr_layout, "--table", 5, "-o", out)
    assert (code, "Table 5" in text) == (0, True)
    fresh = run(flickr_layout, "--table", 5, "-o", tmp_path / "fresh")
    assert figures(fresh[1]) == figures(text)


def test_the_page_has_every_table_that_is_there(flickr_layout, made):
    """But what is printed is what was asked for."""
    code, text, _ = run(flickr_layout, "--table", 3, "-o", made)
    assert (code, re.findall("Table .", text)) == (0, ["Table 3"])
    page, file = (made / "index.html").read_text(), (made / "tables.md").read_text()
    # The four rankers of tables 3 and 4 are the same.
    assert re.findall("<h2>(Table .)", page) == ["Table 3", "Table 4", "Table 5"]
    assert re.findall("Table .", file) == ["Table 3", "Table 4", "Table 5"]


def test_weights_without_their_time_are_learned_again(flickr_layout, made):
    """As after a kill between the two: a time that was not measured must not be told."""
    system = made / "systems" / "m-rnn"
    for name in ("learned.json", "generation.json"):
        (system / name).unlink()
    before = (system / "weights.safetensors").stat().st_mtime_ns
    assert run(flickr_layout, "--table", 5, "-o", made)[0] == 0
    assert (system / "weights.safetensors").stat().st_mtime_ns > before
    assert (system / "learned.json").exists()


def test_a_folder_of_something_else_is_left_alone(flickr_layout, made, tmp_path):
    code, _, err = run(flickr_layout, "--table", 5, "-o", made, "--seed", 2)
    why = "was made with another seed (1, now 2); name another folder"
    assert (code, err) == (2, f"mrnn: {made}: {why}\n")
    own = tmp_path / "own"
    own.mkdir()
    (own / "thesis.txt").write_text("mine")
    code, _, err = run(flickr_layout, "--table", 5, "-o", own)
    why = "holds something else (there is no ground.json); name another folder"
    assert (code, err) == (2, f"mrnn: {own}: {why}\n")
    assert [path.name for path in own.iterdir()] == ["thesis.txt"]
    code, _, err = run(flickr_layout, "--table", 5, "-o", own / "thesis.txt")
    assert (code, err) == (2, f"mrnn: {own / 'thesis.txt'}: {why}\n")
    assert (own / "thesis.txt").read_text() == "mine"


def test_other_pictures_are_not_taken_for_these(flickr_layout, made, picture):
    """The names, captions and all else are as they were."""
    picture("9.jpg", seed=77, folder=flickr_layout / "Flicker8k_Dataset")
    code, _, err = run(flickr_layout, "--table", 5, "-o", made)
    assert (code, "was made from other pictures, captions or features" in err) == (2, True)


def test_two_at_once_do_not_work_in_one_folder(flickr_layout, made):
    with held(made) as is_free:
        assert is_free
        code, _, err = run(flickr_layout, "--table", 5, "-o", made)
    assert (code, err) == (2, f"mrnn: {made}: another process is at work there; wait for it\n")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff"])
@pytest.mark.parametrize("name", ["generation.json", "learned.json"])
def test_a_damaged_file_is_named_and_removing_it_helps(flickr_layout, made, name, content):
    file = made / "systems" / "m-rnn" / name
    before = run(flickr_layout, "--table", 5, "-o", made)
    file.write_bytes(content)
    code, _, err = run(flickr_layout, "--table", 5, "-o", made)
    assert (code, err) == (1, f"mrnn: {file}: damaged; remove it, and it is made again\n")
    file.unlink()
    code, text, _ = run(flickr_layout, "--table", 5, "-o", made)
    assert (code, figures(text)) == (0, figures(before[1]))


def test_a_damaged_ground_is_named(flickr_layout, made):
    (made / "ground.json").write_text("{")
    code, _, err = run(flickr_layout, "--table", 5, "-o", made)
    assert (code, "ground.json: damaged; remove the folder, or name another" in err) == (1, True)


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_damaged_weights_are_named(flickr_layout, made, damage):
    weights = made / "systems" / "m-rnn" / "weights.safetensors"
    (made / "systems" / "m-rnn" / "generation.json").unlink()
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    else:
        shutil.copy(made / "systems" / "rnn-base" / "weights.safetensors", weights)
    code, _, err = run(flickr_layout, "--table", 5, "-o", made)
    assert code == 1
    assert err.startswith(f"mrnn: {weights}: ")
    assert err.endswith("; remove it, to learn it again\n")
    weights.unlink()
    assert run(flickr_layout, "--table", 5, "-o", made)[0] == 0


def test_no_figures_of_weights_that_are_gone_stay(flickr_layout, made):
    """Learned anew for one table, a system is measured anew for the others, too."""
    assert run(flickr_layout, "--table", 3, "-o", made)[0] == 0
    system = made / "systems" / "m-rnn"
    (system / "weights.safetensors").unlink()
    (system / "retrieval.json").unlink()
    assert run(flickr_layout, "--table", 3, "-o", made)[0] == 0
    assert not (system / "generation.json").exists()


def test_a_bad_picture_does_not_stop_the_others(flickr_layout, picture, made, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    good = picture("good.jpg")
    code, _, err = run(flickr_layout, "--table", 5, "-o", made, "--picture", bad, "--picture", good)
    assert code == 3
    assert str(bad) in err
    page = (made / "index.html").read_text()
    assert (page.count("data:image/jpeg"), "good.jpg" in page) == (1, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--split", "test"), "no captioned images in the test split; it has train (8), dev (3)"),
        (("--split", "best"), "unknown split 'best'"),
        (("--encoder", "none"), "none sees nothing"),
        (("--encoder", "best"), "unknown encoder"),
        (("--memory", "0.05", "--table", "9"), "'9' is not one of"),
    ],
)
def test_wrong_options(flickr_layout, tmp_path, options, message):
    code, _, err = run(flickr_layout, "-o", tmp_path / "out", *options)
    assert code in (1, 2)
    assert message in err
    assert not (tmp_path / "out").exists()


def test_too_little_memory_is_told_before_any_work(flickr_layout, tmp_path, monkeypatch):
    monkeypatch.setattr("mrnn.scoring.ranking._MATRICES", 10**9)
    monkeypatch.setattr("mrnn.training.material.prepare", None)
    code, _, err = run(flickr_layout, "--table", 3, "-o", tmp_path / "out")
    assert (code, "ranking 6 sentences and 3 images takes" in err) == (2, True)


def test_a_system_that_diverges_does_not_stop_the_others(flickr_layout, tmp_path, monkeypatch):
    class Diverging(likelihood.Fit):
        def run(self):
            for progress in super().run():
                yield replace(progress, is_best=progress.is_best and self._model.config.feature > 0)

    monkeypatch.setattr(likelihood, "Fit", Diverging)
    out = tmp_path / "out"
    code, text, err = run(flickr_layout, "--table", 5, "-o", out, "--json")
    told, page = err.splitlines()
    assert (code, page) == (3, f"page: {out / 'index.html'}")
    assert told.startswith(f"mrnn: {out / 'systems' / 'rnn-base'}: learning diverged (")
    assert told.endswith("; another seed may do better, in another folder")
    blind, seeing, _ = json.loads(text)["tables"]["5"]
    assert (blind["ours"], blind["weights"]) == (None, None)
    assert seeing["ours"]["perplexity"]


def test_words_too_rare_to_be_known(flickr_layout, tmp_path, monkeypatch):
    monkeypatch.setattr("mrnn.commands.reproduction.settle", settle)
    captions = flickr_layout / "Flickr8k.token.txt"
    captions.write_text("".join(f"{i}.jpg#0\tword{i} other{i}\n" for i in range(11)))
    code, _, err = run(flickr_layout, "-o", tmp_path / "out")
    message = "no word is said 2 times in the training captions; more are needed, or a lower"
    assert (code, err) == (1, f"mrnn: birds: {message} minimum count\n")
