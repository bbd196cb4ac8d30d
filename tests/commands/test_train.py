"""`mrnn train` as a stranger or a script uses it, and its models as the other commands do."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from command_lines import WITH_SRC, document, in_a_terminal, run
from mrnn.datasets import read_dataset
from mrnn.model.bundle import load_bundle
from onnx_models import tiny


def test_what_was_trained_is_evaluated_and_known(flickr_layout, tmp_path):
    output = tmp_path / "model"
    code, out, err = run(
        "train", flickr_layout, "-o", output, "--encoder", "none", "--epochs", 2, "--batch", 4,
        "--minimum-count", 1,
    )  # fmt: skip
    assert code == 0, err
    assert "dev perplexity" in out
    assert "epoch 2" in err
    code, out, _ = run("evaluate", flickr_layout, "-m", output, "--json", "--record")
    found = document("evaluate", out)
    assert code == 0
    assert (found["images"], found["sentences"], found["meteor"]) == (3, 6, None)
    assert load_bundle(output).scores[0]["perplexity"] == found["perplexity"]
    assert "distinct captions of 3" in (output / "README.md").read_text()
    info = document("info", run("info", "-m", output, "--json")[1])
    assert info["model"]["kind"] == "RNN-Base"
    nearest = document("words", run("words", "dog", "-k", 2, "-m", output, "--json")[1])
    assert len(nearest["results"]) == 2


def test_train_with_problems_in_the_data_exits_3_and_names_them(flickr_layout, tmp_path):
    (flickr_layout / "Flicker8k_Dataset" / "0.jpg").unlink()
    code, _, err = run(
        "train", flickr_layout, "-o", tmp_path / "m", "--encoder", "none", "--epochs", 1
    )
    assert code == 3
    assert "Flickr_8k.trainImages.txt:1: no picture" in err


def test_train_without_data_exits_1(tmp_path):
    code, _, err = run("train", tmp_path / "absent", "-o", tmp_path / "m")
    assert code == 1
    assert "absent: no such folder" in err


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_in_training_exits_130_with_a_usable_model(flickr_layout, tmp_path, sent):
    output = tmp_path / "m"
    command = [
        sys.executable, "-m", "mrnn", "train", str(flickr_layout), "-o", str(output),
        "--encoder", "none", "--epochs", "100000", "--patience", "100000", "--minimum-count", "1",
    ]  # fmt: skip
    with subprocess.Popen(
        command, env=WITH_SRC, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr:
            if "epoch 2:" in line:
                process.send_signal(sent)
                break
        else:
            pytest.fail("it ended before it was interrupted")
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert load_bundle(output).training["epoch"] >= 1


def test_training_shows_its_progress_in_a_terminal(flickr_layout, tmp_path):
    out, shown = in_a_terminal(
        "train", flickr_layout, "-o", tmp_path / "m", "--encoder", "none", "--epochs", 2,
        "--batch", 4,
    )  # fmt: skip
    assert "dev perplexity" in out
    assert "words/s" in shown
    assert "epoch 2" in shown


def quick(data, output, *more: object) -> tuple[int, str, str]:
    return run(
        "train", data, "-o", output, "--encoder", "none", "--epochs", 1, "--embedding", 4,
        "--recurrent", 4, "--multimodal", 4, *more,
    )  # fmt: skip


def test_train_says_what_it_recognised_and_where_each_setting_comes_from(flickr_layout, tmp_path):
    (tmp_path / "mine.toml").write_text("seed = 3\nbatch = 8\n")
    code, out, err = quick(flickr_layout, tmp_path / "m", "--config", tmp_path / "mine.toml")
    assert code == 0
    assert re.fullmatch(r".*m: dev perplexity \d+\.\d\d, epoch 1\n", out)
    assert "birds: Flickr8K/30K release; images: train 8, dev 3; splits given by the data" in err
    assert "16 captions are few: --from default begins with a model that can write" in err
    assert "mine.toml: batch 8, seed 3" in err
    assert "suits 16 sentences: minimum-count 2" in err
    assert 'flag: encoder "none", epochs 1, embedding 4, recurrent 4, multimodal 4' in err
    assert "    8.jpg: " in err  # a sample caption
    config = load_bundle(tmp_path / "m").training["config"]
    assert (config["seed"], config["batch"], config["epochs"]) == (3, 8, 1)


def test_resume_takes_the_settings_of_the_interrupted_run(flickr_layout, tmp_path):
    output = tmp_path / "m"
    assert quick(flickr_layout, output, "--seed", 7)[0] == 0
    code, out, err = run("train", flickr_layout, "-o", output, "--resume")
    assert code == 0  # finished already
    assert "dev perplexity" in out
    assert "seed 7" in err
    assert load_bundle(output).training["config"]["seed"] == 7
    assert quick(flickr_layout, output, "--seed", 7, "--resume")[0] == 0


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("there", "there: exists; name another directory, or remove it"),
        ("begun", "begun.training: holds an interrupted training; go on with --resume"),
        (".", "not the name of a new directory"),
    ],
)
def test_a_place_that_is_taken_is_told_before_any_work(monkeypatch, tmp_path, output, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "begun.training").mkdir()
    (tmp_path / "begun.training/checkpoint.safetensors").touch()
    monkeypatch.setattr("mrnn.datasets.read_dataset", None)
    code, out, err = run("train", "there", "-o", output)
    assert (code in (1, 2), out, message in err) == (True, "", True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["begun.training", "there"]


def test_resume_says_that_a_finished_training_had_other_settings(flickr_layout, tmp_path):
    output = tmp_path / "m"
    assert quick(flickr_layout, output)[0] == 0
    before = (output / "model.safetensors").read_bytes()
    more = ("--resume", "--seed", 7, "--l2", 0.5)
    told = (
        f"mrnn: {output}: this training is finished, and had other settings (l2 1e-05, not 0.5; "
        "seed 1, not 7); to train with these, name another directory, or leave them out\n"
    )
    code, out, err = quick(flickr_layout, output, *more)
    assert (code, out, err.endswith(told)) == (1, "", True)
    (tmp_path / "mine.toml").write_text("l2 = 0.5\n")
    code, _, err = quick(flickr_layout, output, "--resume", "--config", tmp_path / "mine.toml")
    assert (code, "l2 1e-05, not 0.5" in err) == (1, True)
    assert (output / "model.safetensors").read_bytes() == before


def test_the_bits_of_a_network_of_one_s_own_are_told_as_they_are(flickr_layout, tmp_path):
    (tmp_path / "net.onnx").write_bytes(tiny())
    (tmp_path / "net.json").write_text('{"size": 8, "mean": 127, "scale": 60}')
    command = ("train", flickr_layout, "-o", tmp_path / "m", "--encoder", tmp_path / "net.onnx")
    code, _, err = run(*command, "--epochs", 1, "--multimodal", 4)
    assert (code, "precision 8" in err) == (0, False)
    assert "as the image network is: precision 32\n" in err
    assert load_bundle(tmp_path / "m").training["config"]["precision"] == 32
    assert run(*command, "--resume")[0] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--config", "gone.toml"], "gone.toml: cannot be read (No such file or directory)"),
        (["--dropout-image", "1"], "0.99"),
        (["--learning-rate", "0"], "--learning-rate is 0.0, not from 1e-12"),
        (["--train-encoder"], "no weights can be had or trained for the encoder 'none'"),
        (["--from", "gone"], "gone: no such model directory"),
        (["--text", "gone.txt"], "gone.txt: cannot be read"),
        (["--features", __file__], "--features come without an encoder; leave --encoder out"),
        (["--encoder-weights", __file__], "none takes no file of weights; only alexnet does"),
    ],
)
def test_wrong_options_of_train_are_named_before_anything_is_written(
    flickr_layout, tmp_path, options, message
):
    code, _, err = quick(flickr_layout, tmp_path / "m", *options)
    assert code in (1, 2)
    assert message in err
    assert not (tmp_path / "m").exists()
    assert not (tmp_path / "m.training").exists()


def test_a_model_to_go_on_from_keeps_its_sizes(flickr_layout, tmp_path):
    quick(flickr_layout, tmp_path / "a")
    code, _, err = run(
        "train", flickr_layout, "-o", tmp_path / "b", "--from", tmp_path / "a", "--multimodal", 9
    )
    assert code == 2
    assert f"--from {tmp_path / 'a'} has multimodal 4, not 9" in err
    code, _, _ = run("train", flickr_layout, "-o", tmp_path / "b", "--from", tmp_path / "a")
    assert code == 0
    assert load_bundle(tmp_path / "b").model.config.multimodal == 4
    assert "multimodal = 4  # --from" in (tmp_path / "b.training" / "config.toml").read_text()
    again = ("train", flickr_layout, "-o", tmp_path / "b", "--from", tmp_path / "a", "--resume")
    assert run(*again)[0] == 0


def test_features_of_others_train_and_are_evaluated(flickr_layout, tmp_path):
    features = tmp_path / "feats.npy"
    np.save(features, np.random.default_rng(0).random((11, 5), dtype=np.float32))
    (tmp_path / "feats.txt").write_text("".join(f"{i}.jpg\n" for i in range(11)))
    output = tmp_path / "m"
    code, _, err = run("train", flickr_layout, "-o", output, "--features", features, "--epochs", 1)
    assert code == 0, err
    assert load_bundle(output).encoder.name == "features"
    evaluate = ("evaluate", flickr_layout, "--model", output, "--retrieval", "none")
    code, _, _ = run(*evaluate, "--features", features)
    assert code == 0
    code, _, err = run(*evaluate)
    assert code != 0
    assert "mrnn evaluate --features FILE" in err
    np.save(features, np.zeros((11, 6), dtype=np.float32))
    code, _, err = run(*evaluate, "--features", features)
    assert code == 2
    assert "6 numbers a picture; the model was trained on 5" in err


def test_evaluate_uses_the_split_that_the_model_was_trained_with(flickr_layout, tmp_path):
    for path in flickr_layout.glob("*Images.txt"):
        path.unlink()
    quick(flickr_layout, tmp_path / "m", "--split-seed", 5)
    table = (tmp_path / "m.training" / "split.tsv").read_text().splitlines()
    dev = {line.split("\t")[0] for line in table if line.endswith("\tdev")}
    assert dev == {str(e.image) for e in read_dataset(flickr_layout, None, 5).split("dev")}
    assert dev != {str(e.image) for e in read_dataset(flickr_layout).split("dev")}
    _, out, _ = run(
        "evaluate", flickr_layout, "--model", tmp_path / "m", "--retrieval", "none", "--json"
    )
    assert document("evaluate", out)["images"] == len(dev)


def test_words_of_a_text_are_learned_from_prototypes_of_ones_own(flickr_layout, tmp_path):
    np.save(tmp_path / "looks.npy", np.eye(1, 4, dtype=np.float32))
    (tmp_path / "looks.txt").write_text("zebra\n")
    features = np.random.default_rng(0).normal(size=(11, 4)).astype(np.float32)
    np.save(tmp_path / "feats.npy", features)
    (tmp_path / "feats.txt").write_text("".join(f"{i}.jpg\n" for i in range(11)))
    for name, text in (
        ("a", "a zebra runs\nthe zebra sits\n"),
        ("b", "a zebra\nzebra in the snow\n"),
    ):
        (tmp_path / f"{name}.txt").write_text(text)
    code, _, err = run(
        "train", flickr_layout, "-o", tmp_path / "m", "--features", tmp_path / "feats.npy",
        "--prototypes", tmp_path / "looks.npy", "--text", tmp_path / "a.txt", "--text",
        tmp_path / "b.txt", "--epochs", 1, "--prototype-epochs", 2, "--minimum-count", 1,
    )  # fmt: skip
    assert code == 0, err
    assert "words epoch 2" in err
    bundle = load_bundle(tmp_path / "m")
    assert "zebra" in bundle.vocabulary
    assert bundle.training["text_sentences"] == 4
    assert "--text a.txt --text b.txt" in bundle.training["command"]
    assert "known from text only" in (tmp_path / "m" / "README.md").read_text()


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--prototypes", "imagenet"], "--prototypes needs sentences that say the words"),
        (["--prototypes", "no.npy", "--text", "TEXT"], "no.npy: cannot be read"),
        (["--prototypes", "imagenet", "--text", "TEXT", "--encoder", "none"], "no classifier"),
        (["--encoder-share", "1.5"], "1.5"),
        (["--prototype-strength", "0"], "--prototype-strength is 0"),
    ],
)
def test_prototypes_that_cannot_be_used(flickr_layout, tmp_path, options, what):
    (tmp_path / "text.txt").write_text("a zebra runs\n")
    given = [str(tmp_path / "text.txt") if option == "TEXT" else option for option in options]
    code, _, err = run("train", flickr_layout, "-o", tmp_path / "m", *given)
    assert code in (1, 2)
    assert what in err
    assert not (tmp_path / "m").exists()
