"""`mrnn explain`, its table, its JSON, its picture and its page."""

from __future__ import annotations

import io
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from libraries import save_seeing
from mrnn.captioner import load
from mrnn.commands.cli import app
from mrnn.errors import ImageError
from mrnn.explanation.page import explanation_page
from mrnn.explanation.picture import explanation_picture
from mrnn.model.bundle import save_bundle
from mrnn.records import explanation_document, explanation_lines
from mrnn.results import Word

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/schemas/explain.json").read_text())


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["explain", *map(str, arguments)], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def document(text: str) -> dict:
    found = json.loads(text)
    jsonschema.validate(found, SCHEMA, jsonschema.Draft202012Validator)
    return found


@pytest.fixture
def model(tmp_path):
    """A bundle that sees, with an ONNX file of its own and no positions."""
    return save_seeing(tmp_path / "model")


@pytest.fixture
def explained(captioner, picture):
    photo = picture("a.jpg")
    return photo, captioner.explain(photo, "a dog in the snow")


def test_the_table_has_a_line_a_word(model, picture):
    photo = picture("a.jpg")
    code, out, err = run(photo, "--sentence", "A dog RUNS", "-m", model)
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0].startswith(f"{photo}: a dog runs  (perplexity ")
    columns = ["P", "baseline", "last", "word", "sentence", "image", "considered"]
    assert lines[1].split() == columns
    assert [line.split()[0] for line in lines[2:]] == ["a", "dog", "runs", "##END##"]


def test_the_table_says_what_the_explanation_says(explained):
    photo, explanation = explained
    lines = explanation_lines(photo, explanation)[2:]
    for line, word, why in zip(lines, explanation.caption.words, explanation.evidence, strict=True):
        found = re.findall(r"[-+]?\d+\.\d\d", line)
        parts = why.contributions
        expected = (why.baseline, parts.last_word, parts.sentence, parts.image)
        assert [float(figure) for figure in found] == pytest.approx(expected, abs=0.0051)
        assert f"{math.exp(word.logprob):.0%}" in line
        for text, logprob in word.alternatives:
            assert f"{text} {math.exp(logprob):.0%}" in line


def test_json_is_of_its_schema_and_adds_up(model, picture):
    photo = picture("a.jpg")
    code, out, err = run(photo, "-m", model, "--json")
    found = document(out)
    assert (code, err) == (0, "")
    assert found["image"] == str(photo)
    assert found["heat"] == {"method": "occlusion", "area": [0, 0, 1, 1]}
    assert found["unknown"] == []
    for word in found["words"]:
        total = word["baseline"] + sum(word["contributions"].values())
        assert total == pytest.approx(word["logprob"], abs=1e-3)
        assert np.shape(word["heat"]) == (7, 7)
        assert len(word["alternatives"]) == 4
    assert sum(w["logprob"] for w in found["words"]) == pytest.approx(found["logprob"])


def test_quick_maps_may_be_asked_for(captioner, monkeypatch, picture):
    asked = []

    def explain(image, sentence, how, quick):
        asked.append((sentence, how.beam, how.prefix, how.alternatives, quick))
        raise ImageError("missing", "gone")

    monkeypatch.setattr(captioner, "explain", explain, raising=False)
    monkeypatch.setattr("mrnn.captioner.load", lambda *given: captioner)
    assert run(picture("a.jpg"), "--quick", "--beam", 3, "--prefix", "a")[0] == 1
    assert run(picture("a.jpg"), "--sentence", "")[0] == 1
    assert asked == [(None, 3, "a", 4, True), ("", 1, "", 4, False)]


def test_without_image_there_is_no_heat(tiny_bundle, tmp_path, picture):
    save_bundle(tiny_bundle, tmp_path / "base")
    _, out, _ = run(picture("a.jpg"), "-m", tmp_path / "base", "--json")
    found = document(out)
    assert found["heat"]["method"] == "none"
    assert {word["heat"] for word in found["words"]} == {None}
    assert {word["contributions"]["image"] for word in found["words"]} == {0}


def test_a_document_may_hold_the_n_best(captioner, picture):
    explanation = captioner.explain(picture("a.jpg"), beam=3, n_best=2)
    assert len(explanation_document("a", explanation, n_best=True)["n_best"]) == 2
    assert "n_best" not in explanation_document("a", explanation, n_best=False)


def test_a_prefix_and_a_beam_are_for_generated_sentences(model, picture):
    photo = picture("a.jpg")
    _, out, _ = run(photo, "-m", model, "--json", "--prefix", "a dog", "--beam", 2)
    assert [w.get("given") for w in document(out)["words"][:3]] == [True, True, None]
    for extra in (("--prefix", "a"), ("--beam", "2")):
        code, _, err = run("absent.jpg", "--sentence", "a dog", "-m", "absent", *extra)
        assert code == 2
        assert "--sentence goes with neither --prefix nor --beam" in err


def test_unknown_words_are_named(model, picture):
    photo = picture("a.jpg")
    code, out, err = run(photo, "--sentence", "a zebra", "-m", model, "--json")
    assert (code, err.strip()) == (0, "not in the vocabulary: zebra")
    assert document(out)["unknown"] == ["zebra"]


@pytest.mark.parametrize("json_too", [False, True])
def test_an_image_that_cannot_be_read(model, tmp_path, json_too):
    code, out, err = run(tmp_path / "gone.jpg", "-m", model, *(["--json"] if json_too else []))
    assert code == 1
    assert "gone.jpg: no such file" in err
    if json_too:
        assert document(out)["error"]["code"] == "missing"
    else:
        assert out == ""


@pytest.mark.parametrize("name", ["out", "out.jpg", "out.htm", "out.svg", ".png"])
def test_other_suffixes_are_refused_before_any_work(tmp_path, name):
    code, out, err = run("absent.jpg", "-m", "absent", "-o", tmp_path / name)
    assert (code, out) == (2, "")
    assert f"{name}: write to a name that ends with .png or .html" in err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_told_before_any_work(picture, tmp_path):
    code, out, err = run(picture("a.jpg"), "-m", tmp_path / "no-model", "-o", tmp_path / "x/a.png")
    assert (code, out) == (2, "")
    assert "a.png: there is no such folder; make it first" in err


def test_the_picture_itself_is_never_written_over(tmp_path):
    photo = tmp_path / "mine.png"
    Image.new("RGB", (8, 8)).save(photo)
    before = photo.read_bytes()
    (tmp_path / "link.png").symlink_to(photo)
    for name in ("mine.png", "link.png"):
        code, _, err = run(photo, "-m", "absent", "-o", tmp_path / name)
        assert code == 2
        assert "that is the picture itself; choose another name" in err
    assert photo.read_bytes() == before


@pytest.mark.parametrize("name", ["out.png", "out.HTML"])
def test_a_file_is_written_whole_or_not_at_all(model, picture, tmp_path, name):
    photo = picture("a.jpg")
    target = tmp_path / "made" / name
    target.parent.mkdir()
    code, out, err = run(photo, "-m", model, "-o", target)
    assert (code, out, err) == (0, "", f"written: {target}\n")
    assert [path.name for path in target.parent.iterdir()] == [name]
    code, out, _ = run(photo, "-m", model, "-o", target, "--json")
    assert document(out)["words"]


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def test_the_picture_has_a_tile_a_word(explained):
    photo, explanation = explained
    image = opened(explanation_picture(photo, explanation))
    assert image.format == "PNG"
    short = replace(
        explanation,
        caption=replace(explanation.caption, words=explanation.caption.words[:4]),
        evidence=explanation.evidence[:4],
    )
    less = opened(explanation_picture(photo, short))
    assert less.width == image.width
    assert less.height < image.height  # four in a row, six in two


def test_the_picture_shows_the_heat(explained):
    photo, explanation = explained
    cold = [tuple((-1.0, -1.0) for _ in range(2)) for _ in explanation.evidence]
    warm = [tuple((1.0, 1.0) for _ in range(2)) for _ in explanation.evidence]

    def drawn(heat):
        evidence = [replace(e, heat=h) for e, h in zip(explanation.evidence, heat, strict=True)]
        found = explanation_picture(photo, replace(explanation, evidence=tuple(evidence)))
        return np.asarray(opened(found)).astype(int)

    warmer = (drawn(warm) - drawn(cold))[:, :, 0] - (drawn(warm) - drawn(cold))[:, :, 2]
    assert warmer.min() == 0
    assert (warmer > 100).sum() > 0.9 * 6 * 64 * 48  # every pixel of the six small photos
    assert (drawn([()] * 6) != drawn(warm)).any()


@pytest.mark.parametrize("text", ["w" * 300, "狗" * 20, "a dog " * 10])
def test_any_sentence_can_be_drawn(captioner, picture, text):
    photo = picture("a.jpg")
    explanation = captioner.explain(photo, text)
    assert opened(explanation_picture(photo, explanation)).width > 0
    assert "<h1>" in explanation_page(photo, explanation)


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1)])
def test_any_photo_can_be_drawn(captioner, tmp_path, size):
    photo = tmp_path / "odd.png"
    Image.new("RGB", size).save(photo)
    explanation = captioner.explain(photo, "a")
    assert opened(explanation_picture(photo, explanation)).width > 0
    assert "<h1>" in explanation_page(photo, explanation)


class Page(HTMLParser):
    """The elements of a page: (tag, attributes), and all its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def found(self, tag, **attributes):
        return [a for t, a in self.elements if t == tag and attributes.items() <= a.items()]


def test_the_page_lets_a_word_be_chosen(explained):
    photo, explanation = explained
    html = explanation_page(photo, explanation)
    page = Page(html)
    buttons = page.found("input", type="radio", name="word")
    ids = [f"w{i}" for i in range(6)]
    assert [button["id"] for button in buttons] == ids
    assert [label["for"] for label in page.found("label")] == ids
    image_parts = [e.contributions.image for e in explanation.evidence]
    [chosen] = [b["id"] for b in buttons if "checked" in b]
    assert chosen == f"w{image_parts.index(max(image_parts))}"
    for i in range(6):
        assert f"#w{i}:checked ~ * .h{i}" in html
        assert len(page.found("img", **{"class": f"heat h{i}"})) == 1
        assert len(page.found("div", **{"class": f"why e{i}"})) == 1
    assert "(end)" in page.text
    for word, why in zip(explanation.caption.words, explanation.evidence, strict=True):
        assert f"probability {math.exp(word.logprob):.1%}" in page.text
        for nats in vars(why.contributions).values():
            assert f"{nats:+.2f}" in page.text


def test_the_page_asks_nobody_for_anything(explained):
    html = explanation_page(*explained)
    assert "<script" not in html
    assert "default-src 'none'; img-src data:" in html
    assert not re.search(r"(?:href|src)=\"(?!data:image/)", html)
    assert "url(" not in html


def test_heat_lies_where_the_encoder_looked(explained):
    photo, explanation = explained
    page = Page(explanation_page(photo, replace(explanation, area=(0.25, 0, 0.75, 1))))
    assert page.found("img", **{"class": "heat h0"})[0]["style"] == (
        "left:25.00%;top:0.00%;width:50.00%;height:100.00%"
    )


def test_names_and_words_are_text_and_nothing_else(explained, picture):
    _, explanation = explained
    photo = picture("<img src=x>&.jpg")
    evil = Word("<b>&", -1.0, alternatives=(("</table><script>", -1.0),))
    caption = replace(
        explanation.caption, text="</title><script>", words=(evil, *explanation.caption.words[1:])
    )
    odd = replace(explanation, caption=caption, unknown=("<i>zebra",))
    page = Page(explanation_page(photo, odd))
    assert not page.found("script")
    assert not page.found("b")
    assert not page.found("img", src="x")
    for text in ("<b>&", "</table><script>", "<img src=x>&.jpg", "<i>zebra"):
        assert text in page.text


def test_a_model_without_image_has_a_page_too(tiny_bundle, tmp_path, picture):
    save_bundle(tiny_bundle, tmp_path / "base")
    photo = picture("a.jpg")
    explanation = load(tmp_path / "base", "cpu").explain(photo, "a dog")
    page = Page(explanation_page(photo, explanation))
    assert "does not look at the picture" in page.text
    assert len(page.found("img")) == 1
    assert opened(explanation_picture(photo, explanation)).width > 0


def test_faithfulness_needs_the_encoder(tmp_path):
    command = ["evaluate", tmp_path, "--faithfulness", "--features", tmp_path / "f.npy"]
    result = CliRunner().invoke(app, [str(a) for a in command], catch_exceptions=False)
    assert result.exit_code == 2
    assert "--faithfulness needs the encoder: leave out --features" in result.stderr
