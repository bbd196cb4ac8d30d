"""`mrnn score` of one photo, as ever, and of several."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from command_lines import document, run
from libraries import save_seeing
from mrnn.commands import scoring


@pytest.fixture
def model(tmp_path):
    return save_seeing(tmp_path / "model")


@pytest.fixture
def photos(picture, tmp_path):
    for i in range(3):
        picture(f"photos/sub/{i}.png" if i else "photos/0.png", seed=i)
    return tmp_path / "photos"


def test_of_several_photos_each_has_what_it_has_alone(model, photos):
    sentences = ("--sentence", "a dog runs", "--sentence", "a cat in the snow")
    code, out, err = run("score", photos, *sentences, "-m", model)
    assert (code, err) == (0, "")
    header, *lines = out.splitlines()
    assert header.split() == ["log", "P", "perplexity", "log", "ratio"]
    names = ["0.png", "sub/1.png", "sub/2.png"]
    for i, name in enumerate(names):
        alone = run("score", photos / name, "a dog runs", "a cat in the snow", "-m", model)[1]
        assert lines[3 * i : 3 * i + 3] == [f"{photos}/{name}", *alone.splitlines()[1:]]
    _, out, _ = run("score", photos, *sentences, "-m", model, "--json")
    for name, line in zip(names, out.splitlines(), strict=True):
        found = document("score", line)
        alone = run(
            "score", photos / name, "a dog runs", "a cat in the snow", "-m", model, "--json"
        )
        assert line == alone[1].strip()
        assert found["image"] == f"{photos}/{name}"


def test_sentences_may_come_after_a_folder(model, photos):
    expected = run("score", photos, "--sentence", "a dog", "-m", model)
    assert expected[0] == 0
    assert run("score", photos, "a dog", "-m", model) == expected


def test_a_folder_of_one_photo_is_a_folder(model, photos):
    (photos / "sub/1.png").unlink()
    assert f"{photos}/sub/2.png\n" in run("score", photos / "sub", "a dog", "-m", model)[1]


def test_sentences_of_a_file(model, photos, tmp_path):
    file = tmp_path / "sentences.txt"
    file.write_bytes(b"a dog\n\ncaf\xe9\nthe snow\n")
    options = ("--sentences", file, "--sentence", "a cat", "-m", model, "--json")
    code, out, err = run("score", photos / "0.png", *options)
    scores = document("score", out)["scores"]
    assert (code, [s["sentence"] for s in scores]) == (3, ["a cat", "a dog", "the snow"])
    assert "sentences.txt:3: not UTF-8 (byte 0xe9); line skipped" in err


@pytest.mark.parametrize(("good", "code"), [([], 1), (["photos"], 3)])
def test_a_bad_photo_never_stops_the_others(model, photos, tmp_path, good, code):
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    paths = [bad, tmp_path / "absent.jpg", *(tmp_path / name for name in good)]
    found = run("score", *paths, "--sentence", "a dog", "-m", model, "--json")
    documents = [document("score", line) for line in found[1].splitlines()]
    assert (found[0], len(documents)) == (code, 2 + 3 * len(good))
    assert [d["error"]["code"] for d in documents[:2]] == ["not-an-image", "missing"]
    assert all("scores" in d for d in documents[2:])
    assert found[2].splitlines() == [
        f"mrnn: {bad}: not an image in a known format (JPEG, PNG, WebP, ...)",
        f"mrnn: {tmp_path}/absent.jpg: no such file",
    ]


def test_unknown_words_are_named_once_for_all_photos(model, photos):
    code, _, err = run("score", photos, "a zebra", "a dog", "-m", model)
    assert (code, err) == (0, "not in the vocabulary: zebra\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photos"], "there are no sentences: give them after the photo, or by --sentence TEXT"),
        *(
            (
                ["photos/0.png", path, "a dog"],
                f"{path}: a sentence is expected after the photo; for several photos and folders "
                "give each sentence by --sentence TEXT",
            )
            for path in ("photos/sub/1.png", "misspelt.JPG", "photos/", "photos/sub", "-")
        ),
    ],
)
@pytest.mark.usefixtures("photos")
def test_sentences_are_told_from_photos(monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("score", *arguments, "-m", "absent")
    assert (code, out, message in err) == (2, "", True)


def test_a_name_that_is_no_picture_may_be_a_sentence(model, photos, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dog").mkdir()
    code, out, _ = run("score", photos / "0.png", "dog", "a cat/dog", "a" * 999, "-m", model)
    assert (code, len(out.splitlines())) == (0, 4)
    code, out, _ = run("score", photos / "0.png", "--sentence", "a dog no.jpg", "-m", model)
    assert (code, len(out.splitlines())) == (0, 2)


def test_what_cannot_be_read_is_told_before_a_model_is_opened(photos, monkeypatch, model):
    monkeypatch.setattr("mrnn.captioner.load", None)
    code, _, err = run("score", photos, "--sentences", "gone.txt", "-m", model)
    assert (code, "gone.txt: cannot be read" in err) == (1, True)


def test_progress_is_told(model, photos, monkeypatch):
    shown = []

    @contextmanager
    def progress(what, beside_output):
        yield lambda done, total: shown.append((what, done, total))

    monkeypatch.setattr(scoring, "progress", progress)
    run("score", photos, "a dog", "-m", model)
    assert shown == [("scoring", 1, 3), ("scoring", 2, 3), ("scoring", 3, 3)]
