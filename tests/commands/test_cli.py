"""The command line as a stranger or a script uses it: output, JSON, exit codes, messages."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from command_lines import document, in_a_terminal, run
from libraries import save_seeing, seeing
from mrnn import Captioner, load
from mrnn.commands.cli import app
from mrnn.commands.demo import run_demo
from mrnn.model.bundle import load_bundle, save_bundle
from mrnn.speed import benchmark

ROOT = Path(__file__).parents[2]


@pytest.fixture
def model(tiny_bundle, tmp_path):
    save_bundle(tiny_bundle, tmp_path / "model")
    return tmp_path / "model"


def test_caption_prints_a_line_an_image(model, picture):
    a, b = picture("a.jpg"), picture("b.jpg")
    code, out, err = run("caption", a, b, "-m", model)
    assert code == 0
    assert [line.split(":")[0] for line in out.splitlines()] == [str(a), str(b)]
    assert "(perplexity " in out
    assert err == ""


def test_caption_json_is_a_document_an_image(model, picture):
    code, out, _ = run("caption", picture("a.jpg"), "-m", model, "--json", "--n-best", 3)
    found = document("caption", out)
    assert code == 0
    assert len(found["n_best"]) == 3
    assert sum(w["logprob"] for w in found["words"]) == pytest.approx(found["logprob"])
    assert found["complete"] == (found["words"][-1]["word"] == "##END##")


def test_words_of_a_prefix_are_marked_as_given(model, picture):
    _, out, _ = run("caption", picture("a.jpg"), "-m", model, "--json", "--prefix", "a dog")
    words = document("caption", out)["words"]
    assert [w.get("given") for w in words[:3]] == [True, True, None]


def test_demo_ranks_each_photo_s_sentences_by_log_ratio(captioner, picture, tmp_path):
    photos = [picture(f"{i}.jpg", seed=i) for i in range(3)]
    lines = list(run_demo(captioner, photos, tmp_path / "demo.html"))
    captions = [line.split(": ")[1].split("  (")[0] for line in lines[:3]]
    assert len(set(captions)) > 1
    for photo, line in zip(photos, lines[4:7], strict=True):
        feature = captioner.encoder.encode(captioner._look(photo).pixels[None])
        ratios = captioner.log_ratios(feature, captions)[:, 0]  # of an empty caption, too
        assert line == f"{photo.name}: {captions[ratios.argmax()]}  ({ratios.max():+.1f})"


def test_caption_goes_on_past_bad_files_and_says_so(model, picture, tmp_path):
    good, bad = picture("good.jpg"), tmp_path / "bad.jpg"
    bad.write_text("not an image")
    code, out, err = run("caption", bad, good, tmp_path / "absent.jpg", "-m", model, "--json")
    documents = [document("caption", line) for line in out.splitlines()]
    assert code == 3
    assert [d.get("error", {}).get("code") for d in documents] == ["not-an-image", None, "missing"]
    assert "bad.jpg: not an image" in err
    assert "absent.jpg: no such file" in err


def test_caption_exits_1_when_every_image_failed(model, tmp_path):
    assert run("caption", tmp_path / "absent.jpg", "-m", model)[0] == 1
    (tmp_path / "empty").mkdir()
    code, _, err = run("caption", tmp_path / "empty", "-m", model)
    assert code == 1
    assert "no images there" in err


def test_caption_of_a_folder_counts_what_is_no_image(model, picture, tmp_path):
    photo = picture("album/a.jpg")
    (photo.parent / "notes.txt").write_text("mine")
    code, out, err = run("caption", photo.parent, "-m", model)
    assert code == 0
    assert len(out.splitlines()) == 1
    assert "1 files are not images by their suffix" in err


def test_a_folder_without_what_a_pattern_matches(model, picture, tmp_path):
    for name in ("a.jpg", "b.png", "old/c.jpg", "@eaDir/a.jpg"):
        picture(f"photos/{name}")
    told = "left out by their names: *.png (1), @eaDir (1), old (1)\n"
    more = ("--exclude", "*.png", "--exclude", "old", "--model", model)
    code, out, err = run("caption", tmp_path / "photos", *more)
    assert (code, err) == (0, told)
    assert out.startswith(f"{tmp_path}/photos/a.jpg: ")
    assert out.count("\n") == 1
    code, _, err = run("caption", tmp_path / "photos", *more, "--exclude", "OLD")
    none = "mrnn: --exclude OLD leaves nothing out: no name or path is like it\n"
    assert (code, err) == (0, told + none)
    code, out, err = run("rank-images", "a dog", tmp_path / "photos", *more)
    assert (code, told in err) == (0, True)
    assert "b.png" not in out


def test_sidecars_are_written_once_and_never_over_others(model, picture):
    a, b = picture("album/a.jpg"), picture("album/b.jpg")
    foreign = b.with_name("b.jpg.caption.txt")
    foreign.write_text("my own words\n")
    code, out, err = run("caption", a.parent, "-m", model, "--sidecar")
    assert code == 3
    assert "exists and is not ours" in err
    assert foreign.read_text() == "my own words\n"
    assert a.with_name("a.jpg.caption.txt").read_text().splitlines()[0] in out
    code, out, err = run("caption", a, "-m", model, "--sidecar")
    assert (code, out) == (0, "")
    assert "1 images have their caption already" in err
    assert str(a) in run("caption", a, "-m", model, "--sidecar", "--overwrite")[1]


def test_a_file_name_cannot_write_to_the_terminal(model, picture):
    _, out, _ = run("caption", picture("a\x1b[31m[b].jpg"), "-m", model)
    assert "\x1b" not in out
    assert "[b].jpg" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--beam", 0), "must be 1 or more"),
        (("--sample", "--beam", 3), "sampling goes with neither"),
        (("--prefix", "a zebra"), "does not know the word 'zebra'"),
        (("--device", "tpu"), "unknown device 'tpu'"),
    ],
)
def test_options_that_make_no_sense_exit_2(model, picture, arguments, message):
    code, _, err = run("caption", picture("a.jpg"), "-m", model, *arguments)
    assert code == 2
    assert message in err


def test_a_bundle_that_is_not_there_exits_1(picture):
    code, _, err = run("caption", picture("a.jpg"), "-m", "nowhere")
    assert code == 1
    assert "nowhere: no such model directory (shipped models: default, plain)" in err


def test_score_prints_a_row_a_sentence_and_names_unknown_words(model, picture):
    photo = picture("a.jpg")
    code, out, err = run("score", photo, "a dog runs", "a zebra", "-m", model)
    assert code == 0
    rows = [line.split(maxsplit=3) for line in out.splitlines()[1:]]
    assert [sentence for _, _, _, sentence in rows] == ["a dog runs", "a zebra"]
    assert "not in the vocabulary: zebra" in err
    found = document("score", run("score", photo, "a zebra", "-m", model, "--json")[1])
    assert found["scores"][0]["unknown"] == ["zebra"]


def test_that_no_chances_are_recorded_is_said(flickr_layout, tmp_path):
    model = save_seeing(tmp_path / "sees")
    arguments = ("evaluate", flickr_layout, "-m", model, "--split", "dev", "--record")
    code, _, err = run(*arguments)
    assert code == 0
    assert "no chances of a match are recorded: the dev split has" in err
    assert "and 20 distinct ones are needed" in err
    assert load_bundle(model).chance is None


def test_evaluate_info_and_words_work_together(flickr_layout, model):
    code, out, _ = run("evaluate", flickr_layout, "-m", model, "--json", "--record")
    found = document("evaluate", out)
    assert code == 0
    assert (found["images"], found["sentences"], found["meteor"]) == (3, 6, None)
    assert load_bundle(model).scores[0]["perplexity"] == found["perplexity"]
    assert "distinct captions of 3" in (model / "README.md").read_text()
    info = document("info", run("info", "-m", model, "--json")[1])
    assert info["model"]["kind"] == "RNN-Base"
    [scores] = info["scores"].values()
    assert scores["perplexity"] == found["perplexity"]
    assert "RNN-Base" in run("info", "-m", model)[1]
    nearest = document("words", run("words", "dog", "-k", 2, "-m", model, "--json")[1])
    assert len(nearest["results"]) == 2
    assert len(run("words", "dog", "-k", 2, "-m", model)[1].splitlines()) == 2
    code, _, err = run("words", "zebra", "-m", model)
    assert (code, "'zebra' is not a word" in err) == (2, True)


def test_evaluate_with_a_beam_and_a_limit(flickr_layout, model):
    code, out, _ = run("evaluate", flickr_layout, "-m", model, "--beam", 2, "--limit", 2)
    assert code == 0
    assert "images=2" in out
    assert "beam 2" in out


def test_a_consensus_may_be_asked_for(flickr_layout, tmp_path, picture):
    seeing = save_seeing(tmp_path / "seeing")
    photo = picture("a.jpg")
    code, out, err = run("caption", photo, "-m", seeing, "--consensus", "--n-best", 3, "--json")
    assert (code, err) == (0, "")
    found = document("caption", out)
    expected = load(seeing).caption(photo, consensus=True, n_best=3)
    assert [c["caption"] for c in found["n_best"]] == [c.text for c in expected.n_best]
    code, out, _ = run(
        "evaluate", flickr_layout, "-m", seeing, "--consensus", "--retrieval", "none", "--json"
    )
    decoding = document("evaluate", out)["signature"]["decoding"]
    assert decoding == "beam 10 by consensus, no 3 words twice, at most 30 words"


def test_a_model_that_knows_no_descriptions_says_so(model, picture):
    code, _, err = run("caption", picture("a.jpg"), "-m", model, "--consensus")
    assert code == 2
    assert "how training images were described" in err


@pytest.mark.parametrize(
    "options",
    [
        ("--health",),
        ("--protocol", "paper2014", "--context", 2),
        ("--retrieval", "two-stage"),
        ("--retrieval", "none", "--beam", 2),
        ("--memory", 0.1),
    ],
)
def test_evaluate_gives_the_document_of_its_schema_and_lines_to_read(flickr_layout, model, options):
    code, out, _ = run("evaluate", flickr_layout, "-m", model, "--json", *options)
    found = document("evaluate", out)
    assert code == 0
    _, out, err = run("evaluate", flickr_layout, "-m", model, *options)
    shown = dict(line.split("  ", 1) for line in out.splitlines())
    assert float(shown["perplexity"]) == pytest.approx(found["perplexity"], abs=1e-3)
    assert ("images for a sentence" in shown) == ("none" not in options)
    assert ("BLEU-1..3 cumulative, own reference" in shown) == ("paper2014" in options)
    assert ("ROUGE-L, CIDEr-D" in shown) == ("paper2014" not in options)
    assert ("ignores the pictures" in err) == ("--health" in options)  # the model is RNN-Base


def test_evaluate_with_a_context_longer_than_every_reference(flickr_layout, model, tmp_path):
    options = ("-m", model, "--protocol", "paper2014", "--context", 30, "--report", tmp_path / "r")
    code, out, _ = run("evaluate", flickr_layout, *options, "--json")
    found = document("evaluate", out)
    assert (code, found["perplexity_after_context"]) == (0, None)
    code, out, _ = run("evaluate", flickr_layout, *options)
    shown = dict(line.split("  ", 1) for line in out.splitlines())
    assert code == 0
    assert shown["perplexity after context"].strip() == "-"
    assert shown["BLEU-1..3 individual, all references"].split() == ["1.000"] * 3
    assert "after the given words" not in (tmp_path / "r" / "index.html").read_text()


def test_health_of_a_single_picture_accuses_nobody(flickr_layout, model, tmp_path):
    options = ("-m", model, "--health", "--limit", 1, "--report", tmp_path / "r")
    code, out, err = run("evaluate", flickr_layout, *options, "--json")
    health = document("evaluate", out)["health"]
    assert code == 0
    assert health["sees_images"] is health["perplexity_shuffled"] is None
    assert "ignores the pictures" not in err
    code, out, err = run("evaluate", flickr_layout, *options)
    assert (code, "ignores the pictures" in err) == (0, False)
    assert "shuffled perplexity" in out
    assert "see the pictures" not in (tmp_path / "r" / "index.html").read_text()


def test_evaluate_refuses_an_infinite_memory(flickr_layout, model):
    code, out, err = run("evaluate", flickr_layout, "-m", model, "--memory", "inf")
    assert (code, out) == (2, "")
    assert "memory for scoring" in err


def test_a_report_that_cannot_be_written_is_said_before_the_work(flickr_layout, model, tmp_path):
    (tmp_path / "report").write_text("a file")
    code, out, err = run("evaluate", flickr_layout, "-m", model, "--report", tmp_path / "report")
    assert (code, out) == (1, "")
    assert "report: File exists" in err


def test_recorded_scores_of_another_way_of_ranking_are_kept(flickr_layout, model):
    for _ in range(2):
        for how in ("exact", "two-stage"):
            run("evaluate", flickr_layout, "-m", model, "--record", "--retrieval", how)
    found = [s["signature"]["retrieval"].split(",")[0] for s in load_bundle(model).scores]
    assert sorted(text.split(";")[0] for text in found) == ["exact", "two-stage"]
    assert (model / "README.md").read_text().count("- perplexity ") == 2


def test_what_others_recorded_meanwhile_stays(flickr_layout, model, monkeypatch):
    ours = Captioner.caption_features

    def meanwhile(*arguments, **options):
        monkeypatch.setattr(Captioner, "caption_features", ours)
        run("evaluate", flickr_layout, "-m", model, "--record", "--split", "train")
        return ours(*arguments, **options)

    monkeypatch.setattr(Captioner, "caption_features", meanwhile)
    assert run("evaluate", flickr_layout, "-m", model, "--record", "--split", "dev")[0] == 0
    assert [s["signature"]["split"] for s in load_bundle(model).scores] == ["train", "dev"]
    info = document("info", run("info", "-m", model, "--json")[1])["scores"]
    assert [score["signature"]["split"] for score in info.values()] == ["train", "dev"]
    assert [name.partition("; ")[2] for name in info] == [
        "split train; images 8",
        "split dev; images 3",
    ]


def test_nothing_is_recorded_in_another_model(flickr_layout, model, monkeypatch):
    ours, other = Captioner.caption_features, seeing(seed=9).bundle

    def meanwhile(*arguments, **options):
        save_bundle(other, model)
        return ours(*arguments, **options)

    monkeypatch.setattr(Captioner, "caption_features", meanwhile)
    code, out, err = run("evaluate", flickr_layout, "-m", model, "--record")
    assert code == 1
    assert "perplexity" in out  # what was measured is told
    assert err.endswith(
        f"mrnn: {model}: another model came there while this one was measured; nothing is "
        "recorded: give the command again\n"
    )
    assert load_bundle(model).scores == ()


def test_evaluate_writes_a_report(flickr_layout, model, tmp_path):
    page = tmp_path / "new" / "report"
    code, out, err = run("evaluate", flickr_layout, "-m", model, "--report", page, "--json")
    assert code == 0
    document("evaluate", out)
    assert f"report: {page / 'index.html'}" in err
    assert "data:image/jpeg;base64," in (page / "index.html").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--context", 2), "--context goes with --protocol paper2014"),
        (("--protocol", "paper2014", "--record"), "--record goes with --protocol coco"),
        (("--protocol", "paper2014", "--beam", 3), "leave out --beam"),
        (("--protocol", "other"), "paper2014"),
        (("--retrieval", "some"), "two-stage"),
    ],
)
def test_evaluate_refuses_options_that_do_not_go_together(flickr_layout, model, options, message):
    code, _, err = run("evaluate", flickr_layout, "-m", model, *options)
    assert code == 2
    assert message in err


@pytest.mark.parametrize("options", [(), ("-m", "plain"), ("-m", "default")])
def test_scores_are_not_recorded_in_what_is_shipped(flickr_layout, options, monkeypatch):
    monkeypatch.delenv("MRNN_MODEL", raising=False)
    code, out, err = run("evaluate", flickr_layout, "--record", *options)
    name = options[-1] if options else "default"
    assert (code, out) == (2, "")
    assert err == (
        f"mrnn: --record would write into the model {name}, which comes with mrnn: name one of "
        "your own with --model, or a copy of this one\n"
    )


def test_evaluate_says_which_splits_there_are(flickr_layout, model):
    code, _, err = run("evaluate", flickr_layout, "-m", model, "--split", "test")
    assert code == 1
    assert "no captioned images in the test split; it has train (8), dev (3)" in err


def test_rank_sentences_prints_the_best_first(model, picture, tmp_path):
    sentences = tmp_path / "sentences.txt"
    sentences.write_bytes(b"a dog runs\r\n\r\na cat sits\r\nthe snow\r\n")
    photo = picture("a.jpg")
    code, out, err = run("rank-sentences", photo, "--sentences", sentences, "-m", model)
    header, *rows = out.splitlines()
    assert (code, err) == (0, "")
    assert header.split() == ["log", "P", "perplexity", "log", "ratio"]
    ratios = [float(row.split()[2]) for row in rows]
    assert ratios == sorted(ratios, reverse=True)
    assert len(rows) == 3
    options = ("--sentences", sentences, "-k", 2, "-m", model, "--json")
    found = document("rank-sentences", run("rank-sentences", photo, *options)[1])
    assert found["query"] == str(photo)
    assert [r["rank"] for r in found["results"]] == [1, 2]
    assert found["results"][0]["sentence"] in rows[0]


def test_rank_sentences_skips_lines_it_cannot_use_and_exits_3(model, picture, tmp_path):
    sentences = tmp_path / "sentences.txt"
    sentences.write_bytes(b"a dog\n" + "caf\u00e9\n".encode("latin-1") + b"a dog\nthe cat\n")
    code, out, err = run("rank-sentences", picture("a.jpg"), "--sentences", sentences, "-m", model)
    assert code == 3
    assert "sentences.txt:2: not UTF-8 (byte 0xe9); line skipped" in err
    assert "sentences.txt:3" not in err  # a repeated line is no problem
    assert len(out.splitlines()) == 3


def test_rank_sentences_takes_repeated_lines_once_and_exits_0(model, picture, tmp_path):
    sentences = tmp_path / "sentences.txt"
    sentences.write_text("a dog runs\n\na dog runs\n. .\na dog runs\n")
    options = ("--sentences", sentences, "-m", model, "--json")
    code, out, err = run("rank-sentences", picture("a.jpg"), *options)
    assert (code, err) == (0, "")
    [found] = document("rank-sentences", out)["results"]
    assert found["sentence"] == "a dog runs"


def test_rank_sentences_of_utf_16_says_so(model, picture, tmp_path):
    sentences = tmp_path / "sentences.txt"
    sentences.write_text("a dog runs\nthe cat\n", encoding="utf-16")
    code, out, err = run("rank-sentences", picture("a.jpg"), "--sentences", sentences, "-m", model)
    assert (code, out) == (1, "")
    assert "sentences.txt: not UTF-8 text, perhaps UTF-16; save it as UTF-8" in err


def test_rank_sentences_of_an_unreadable_picture_still_gives_a_document(model, tmp_path):
    sentences, bad = tmp_path / "s.txt", tmp_path / "bad.jpg"
    sentences.write_text("a dog\n")
    bad.write_bytes(b"no picture")
    for photo, why in ((bad, "not-an-image"), (tmp_path / "absent.jpg", "missing")):
        options = (photo, "--sentences", sentences, "-m", model)
        code, out, err = run("rank-sentences", *options, "--json")
        assert code == 1
        found = document("rank-sentences", out)
        assert (found["query"], found["results"]) == (str(photo), [])
        [error] = found["errors"]
        assert (error["image"], error["error"]["code"]) == (str(photo), why)
        assert error["error"]["message"] in err
        assert run("rank-sentences", *options)[:2] == (1, "")


def test_rank_sentences_of_nothing_or_an_unreadable_picture_exits_1(model, picture, tmp_path):
    empty = tmp_path / "empty.txt"
    empty.write_text("\n \n")
    code, _, err = run("rank-sentences", picture("a.jpg"), "--sentences", empty, "-m", model)
    assert (code, "empty.txt: no sentence in the file" in err) == (1, True)
    full, bad = tmp_path / "s.txt", tmp_path / "bad.jpg"
    full.write_text("a dog\n")
    bad.write_bytes(b"no picture")
    code, _, err = run("rank-sentences", bad, "--sentences", full, "-m", model)
    assert (code, "bad.jpg" in err) == (1, True)


def test_rank_images_prints_the_best_first_and_reports_bad_ones(model, picture, tmp_path):
    photos = [picture(f"p/{i}.jpg", seed=i) for i in range(3)]
    (tmp_path / "p" / "bad.jpg").write_bytes(b"no picture")
    _, _, err = run("rank-images", "a dog in the zoo", tmp_path / "p", "-m", model)
    assert "not in the vocabulary (mrnn words --list): zoo; " in err
    code, out, err = run("rank-images", "a dog in the snow", tmp_path / "p", "-m", model)
    assert code == 3
    assert "bad.jpg" in err
    assert sorted(row.split()[-1] for row in out.splitlines()[1:]) == sorted(map(str, photos))
    options = (tmp_path / "p", tmp_path / "absent.jpg", "-m", model, "--json", "-k", 2)
    found = document("rank-images", run("rank-images", "a dog", *options)[1])
    assert found["query"] == "a dog"
    assert [r["rank"] for r in found["results"]] == [1, 2]
    assert len(found["errors"]) == 2


def test_rank_images_without_a_readable_one_exits_1(model, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    code, out, err = run("rank-images", "a dog", tmp_path / "bad.jpg", "-m", model, "--json")
    assert code == 1
    assert document("rank-images", out)["results"] == []
    code, _, err = run("rank-images", "a dog", tmp_path / "nowhere", "-m", model)
    assert (code, "nowhere" in err) == (1, True)


def test_demo_writes_a_page_with_the_pictures_in_it(model, picture, tmp_path):
    page = tmp_path / "demo.html"
    photo = picture("<b>&.jpg")
    code, out, _ = run("demo", photo, "-m", model, "-o", page)
    html = page.read_text()
    assert code == 0
    assert "perplexity" in out
    assert "data:image/jpeg;base64," in html
    assert "<b>&.jpg" not in html
    assert "&lt;b&gt;&amp;.jpg" in html
    assert 'src="http' not in html


def test_demo_of_a_folder_that_cannot_be_written(model, picture, tmp_path):
    code, _, err = run("demo", picture("a.jpg"), "-m", model, "-o", tmp_path / "no" / "demo.html")
    assert code == 1
    assert "demo.html: cannot be written" in err


def test_benchmark_prints_ratios_and_skipped_rows(monkeypatch):
    rows = {
        "one": lambda: benchmark.Row("one", "a over b", ">= 2", 2.5, {"a": 5.0, "b": 2.0}),
        "two": lambda: benchmark.Row("two", "c over d", ">= 2", skipped="d is not installed"),
    }
    monkeypatch.setattr(benchmark, "ROWS", rows)
    monkeypatch.setattr(benchmark, "RETRIEVAL_ROWS", {})
    assert run("benchmark")[1].splitlines() == [
        "one               2.50  (aim >= 2) a over b: a 5, b 2",
        "two            skipped: d is not installed",
    ]
    found = document("benchmark", run("benchmark", "two", "--json")[1])
    assert found["rows"][0]["ratio"] is None
    code, _, err = run("benchmark", "three")
    assert (code, "unknown row 'three'; known: one, two" in err) == (2, True)


def test_every_option_s_help_stands_alone():
    for name, command in typer.main.get_command(app).commands.items():
        for option in command.params:
            told = option.help or ""
            assert re.fullmatch(r"[A-Z].*\w[)'.]*\.", told), (name, option.name, told)
            assert not re.match(r"(Of|As|For|Its|Their|Between|Also:) ?", told), (name, option.name)
            assert len(told.split()) > 2 or option.name == "version", (name, option.name, told)


def test_the_reference_in_docs_is_the_parsers():
    command = [sys.executable, str(ROOT / "tools" / "cli_reference.py"), "--print"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    made = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert made.stdout == (ROOT / "docs" / "cli.md").read_text(), "type: make docs"
    assert not re.search(r"^\* `.*\.\.\.$", made.stdout, re.MULTILINE)  # whole sentences


def test_a_progress_bar_never_touches_the_data(model, picture):
    photos = [picture(f"{'long' * 30}{i}.jpg") for i in range(3)]
    out, shown = in_a_terminal("caption", *photos, "-m", model, "--json")
    assert [json.loads(line)["image"] for line in out.splitlines()] == [str(p) for p in photos]
    assert "captioning" in shown


@pytest.mark.parametrize("option", [("--temperature", 0.5), ("--seed", 3), ("--overwrite",)])
def test_options_without_what_they_belong_to_exit_2(model, picture, option):
    code, _, err = run("caption", picture("a.jpg"), "-m", model, *option)
    assert code == 2
    assert "go with --sample" in err or "goes with --csv, --sidecar" in err


def test_evaluate_reports_missing_pictures_of_its_split(flickr_layout, model):
    (flickr_layout / "Flicker8k_Dataset" / "0.jpg").unlink()  # train
    assert run("evaluate", flickr_layout, "-m", model, "--split", "val")[0] == 0
    (flickr_layout / "Flicker8k_Dataset" / "9.jpg").unlink()  # dev
    code, out, err = run("evaluate", flickr_layout, "-m", model)
    assert code == 3
    assert "images=2" in out
    assert "Flickr_8k.devImages.txt:2: no picture" in err
    assert run("evaluate", flickr_layout, "-m", model, "--split", "night")[0] == 2


def test_demo_reports_what_it_could_not_read(model, picture, tmp_path):
    code, out, err = run(
        "demo", picture("a.jpg"), tmp_path / "absent.jpg", "-m", model, "-o", tmp_path / "d.html"
    )
    assert code == 3
    assert "absent.jpg: no such file" in err
    assert "a.jpg: " in out
