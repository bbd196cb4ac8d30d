"""Results show themselves: as JSON and text what the command line writes, and in notebooks."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image

from command_lines import document, run
from libraries import save_seeing
from markup import Balanced
from mrnn.captioner import load
from mrnn.errors import ImageError
from mrnn.library.library import Library
from mrnn.pages.notebook import SHOWN

SENTENCES = ["a dog runs", "the cat sits & zebras"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_seeing(tmp_path_factory.mktemp("results") / "model")


@pytest.fixture(scope="module")
def captioner(model):
    return load(model, "cpu")


@pytest.fixture
def photos(picture, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    return [picture("a.jpg"), bad, picture("b.jpg", seed=1)]


def test_captions_are_the_documents_of_the_command(model, captioner, photos):
    for given, options in (((), {}), (("--beam", 3, "--n-best", 2), {"beam": 3, "n_best": 2})):
        _, out, _ = run("caption", *photos, "-m", model, "--json", *given)
        found = [result.to_dict() for result in captioner.caption_many(photos, **options)]
        assert found == [document("caption", line) for line in out.splitlines()]
        alone = captioner.caption(photos[0], alternatives=0, **options).to_dict()
        assert alone == json.loads(out.splitlines()[0])


def test_scores_are_those_of_the_command(model, captioner, photos):
    _, out, _ = run("score", photos[0], *SENTENCES, "-m", model, "--json")
    scores = [score.to_dict() for score in captioner.score(photos[0], SENTENCES)]
    assert {"image": str(photos[0]), "scores": scores} == document("score", out)


def test_rankings_are_the_documents_of_the_command(model, captioner, photos, tmp_path):
    (tmp_path / "sentences.txt").write_text("\n".join(SENTENCES))
    _, out, _ = run(
        *("rank-sentences", photos[0], "--sentences", tmp_path / "sentences.txt"),
        *("-m", model, "--json"),
    )
    ranking = captioner.rank_sentences(photos[0], SENTENCES)
    assert ranking.to_dict() == document("rank-sentences", out)
    _, out, _ = run("rank-images", "a dog", *photos, "-m", model, "--json")
    ranking = captioner.rank_images("a dog", photos)
    assert ranking.to_dict() == document("rank-images", out)
    _, out, _ = run("rank-images", "a dog", *photos, "-m", model)
    assert str(ranking) == out.rstrip("\n")


def test_explanations_are_the_documents_of_the_command(model, captioner, photos):
    _, out, _ = run("explain", photos[0], "-m", model, "--json")
    why = captioner.explain(photos[0])
    assert why.to_dict() == document("explain", out)
    _, out, _ = run("explain", photos[0], "-m", model)
    assert str(why) == out.rstrip("\n")


def test_searches_are_the_documents_of_the_command(model, captioner, photos, tmp_path):
    place = tmp_path / "library"
    with Library.open(place, captioner) as library:
        library.add(photos)
        results = library.search("a dog"), library.like(photos[2])
    for asked, found in zip((("a dog",), ("--like", photos[2])), results, strict=True):
        _, out, _ = run("search", *asked, "-l", place, "-m", model, "--json")
        assert found.to_dict() == document("search", out)
        _, out, _ = run("search", *asked, "-l", place, "-m", model)
        assert str(found) == out.rstrip("\n")


def test_results_stay_plain_data(captioner, photos):
    content = photos[0].read_bytes()
    for result in (captioner.caption(content), captioner.explain(content)):
        assert json.loads(json.dumps(asdict(result)))
    assert json.loads(json.dumps(asdict(captioner.rank_sentences(content, SENTENCES))))


def shown(result) -> str:
    """The HTML of a result, with nothing that a notebook would have to fetch or to run."""
    html = result._repr_html_()
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    assert set(parser.seen) <= {
        *("div", "span", "img", "ol", "li", "br"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
    assert set(re.findall(r'src="(.{23})', html)) <= {"data:image/jpeg;base64,"}
    assert not re.search(r"<b>| id=| class=(?!\"missing)|http", html)
    return html


def test_a_caption_in_a_notebook(captioner, photos):
    caption = captioner.caption(photos[0], beam=3, n_best=3)
    html = shown(caption)
    assert html.count("<img") == 1
    for word in caption.words[:-1]:
        assert f">{word.text}</span>" in html
    assert "##END##" not in html
    for other in caption.n_best[1:]:
        assert f"<li>{other.text}</li>" in html
    assert caption.how_sure in html
    photos[0].unlink()
    assert "a.jpg: cannot be read" in shown(caption)


def test_the_picture_of_a_caption_is_its_own(captioner, photos, monkeypatch, tmp_path):
    """One in memory is kept small with it, and a file that has its name by chance is not shown."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (9, 9)).save(tmp_path / "<image>", "PNG")
    Image.new("RGB", (9, 9)).save(tmp_path / "<images[0]>", "PNG")
    large = Image.open(photos[0]).resize((1000, 500))
    caption = captioner.caption(large)
    assert len(caption.thumbnail) < 40_000
    assert "data:image" in shown(caption)
    [streamed] = captioner.caption_many([large])
    assert streamed.thumbnail == ""
    assert "<img" not in shown(streamed)
    assert "<img" not in shown(replace(caption, image="", thumbnail=""))


def test_a_file_that_has_the_name_of_a_picture_in_memory_is_not_shown(captioner, photos):
    """A member of an archive, and an image of Pillow that was changed since it was opened."""
    Image.new("RGB", (30, 20), "red").save(photos[0])
    blue, lime = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (30, 20), "blue").save(blue, "PNG")
    Image.new("RGB", (30, 20), "lime").save(lime, "PNG")
    blue.name = lime.name = str(photos[0])
    painted = Image.open(photos[0])
    painted.paste("black", (0, 0, 30, 20))
    pictures = [blue, lime, painted, photos[0]]
    for result in captioner.caption_many(pictures[:3]):
        assert result.image == str(photos[0])
        assert "<img" not in shown(result)
    for picture in pictures[:3]:
        assert "<img" not in shown(captioner.rank_sentences(picture, SENTENCES))
    ranking = captioner.rank_images("a", pictures)
    seen = []
    for content in re.findall(r"base64,([^\"]+)", shown(ranking)):
        kept = Image.open(io.BytesIO(base64.b64decode(content)))
        seen.append(tuple(round(level / 255) for level in kept.resize((1, 1)).getpixel((0, 0))))
    assert sorted(seen) == [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    assert {m.in_memory for m in ranking.matches if not m.thumbnail} == {False}


def test_a_ranking_in_a_notebook(captioner, photos):
    vars(captioner.trust)["content_words"] = np.ones(len(captioner.vocabulary), dtype=bool)
    sentences = shown(captioner.rank_sentences(photos[0], ["the cat <b> sits & zebras"]))
    assert sentences.count("<img") == 1
    assert "the cat &lt;b&gt; sits &amp; zebras" in sentences
    pictures = [*photos, photos[0].read_bytes(), "<b>.jpg"]
    images = shown(captioner.rank_images("a dog <b> zebra", pictures))
    assert images.count("<img") == 3
    assert "a dog &lt;b&gt; zebra" in images
    assert "not in the vocabulary" in images
    assert "bad.jpg: not an image" in images
    assert "&lt;b&gt;.jpg: no such file" in images
    assert ". &lt;images[3]&gt;" in images
    assert "<img" not in shown(captioner.rank_sentences(photos[0].read_bytes(), SENTENCES))


def test_a_ranking_shows_each_match_its_own_picture(captioner):
    colours = ["red", "lime", "blue"]
    pictures = [Image.new("RGB", (30, 20), colour) for colour in colours]
    ranking = captioner.rank_images("a", pictures)
    for match in ranking.matches:
        kept = Image.open(io.BytesIO(base64.b64decode(match.thumbnail)))
        seen = kept.resize((1, 1)).getpixel((0, 0))
        wanted = pictures[int(match.item[8])].getpixel((0, 0))
        assert np.abs(np.subtract(seen, wanted)).max() < 10
    assert shown(ranking).count("<img") == 3


def test_a_long_ranking_shows_its_beginning(captioner, photos):
    ranking = captioner.rank_images("a dog", [photos[0]] * (SHOWN + 4) + [photos[1]] * (SHOWN + 3))
    html = shown(ranking)
    assert html.count("<img") == SHOWN
    assert f"{SHOWN} of {SHOWN + 4} are shown" in html
    assert "and 3 more that cannot be read" in html


def test_an_explanation_in_a_notebook(captioner, photos):
    why = captioner.explain(photos[0], "a zebra <b> dog")
    html = shown(why)
    assert html.count("<img") == 1 + len(why.caption.words)
    assert "not in the vocabulary: zebra" in html
    in_memory = shown(captioner.explain(np.asarray(Image.open(photos[0])), "a dog"))
    assert in_memory.count("<img") == 1 + 3
    photos[0].unlink()
    gone = shown(why)  # heat over plain grey
    assert "a.jpg: cannot be read" in gone
    assert gone.count("<img") == len(why.caption.words)
    [first, *others] = why.evidence
    none = replace(why, evidence=(replace(first, heat=((0.0,),)), *others))  # no heat over it
    tile = re.search(r"data:image/jpeg;base64,([^'\"]+)", shown(none))[1]
    colours = np.asarray(Image.open(io.BytesIO(base64.b64decode(tile))), dtype=np.int64)
    assert np.ptp(colours, axis=2).max() <= 2


def test_a_search_in_a_notebook(captioner, photos, tmp_path):
    with Library.open(tmp_path / "library", captioner) as library:
        library.add([photos[0], photos[2]])
        found, like = library.search("a dog"), library.like(photos[0].read_bytes())
        nothing = library.search("zebra")
    assert shown(found).count("<img") == 2
    assert "similarity 1.000" in shown(like)
    assert "zebra" in shown(nothing)
    (photos[0]).unlink()
    assert "a.jpg: cannot be read" in shown(found)
    many = replace(found, found=found.found * SHOWN)
    assert f"{SHOWN} of {2 * SHOWN} are shown" in shown(many)


def test_where_nothing_is_found_the_text_says_why(captioner, photos, tmp_path):
    with Library.open(tmp_path / "library", captioner) as library:
        library.add(photos[0])
        found = str(library.search("zebra"))
    ranking = captioner.rank_images("zebra quagga", [photos[0]])
    assert ranking.matches == ()
    assert "not in the vocabulary" in found
    assert "zebra, quagga" in str(ranking)
    assert str(captioner.rank_images("a dog", [photos[1]])) == ""


def test_errors_have_the_document_of_a_caption_that_failed(captioner, photos):
    with pytest.raises(ImageError) as caught:
        captioner.caption(photos[1])
    [same] = captioner.caption_many([photos[1]])
    assert caught.value.to_dict() == same.to_dict()
    assert same.to_dict()["image"] == str(photos[1])
