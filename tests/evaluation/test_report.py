"""The report: what it says, what it escapes, and what it leaves alone."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from markup import Balanced
from mrnn.datasets import Example
from mrnn.errors import DataError
from mrnn.evaluation.evaluation import Evaluation
from mrnn.evaluation.ranks import Ranked, best_items, image_ranks, recall_table, sentence_ranks
from mrnn.evaluation.report import write_report

NULLS = dict.fromkeys(("r1", "r5", "r10", "med_r"))


def document(data="x", split="dev", **changes):
    return {
        "signature": {"protocol": "coco", "data": data, "split": split, "unknown": "counted <b>"},
        "split": split,
        "images": 4,
        "sentences": 9,
        "perplexity": 16.174,
        "bleu": {"1": 0.5891, "2": 0.413, "3": 0.277, "4": 0.1844},
        "bleu_paper": None,
        "rouge_l": None,
        "cider": None,
        "meteor": None,
        "image_to_text": NULLS,
        "text_to_image": NULLS,
        "distinct_captions": 3,
        "health": None,
        "seconds": {"features": 1.25},
        **changes,
    }


@pytest.fixture
def evaluation(picture):
    """Four pictures with 4, 3, 0 and 2 sentences, ranked by scores from a hat."""
    sentences = [
        [f"sentence {n} of {i}" for n in range(size)] for i, size in enumerate((4, 3, 0, 2))
    ]
    examples = [
        Example(picture(f"p{i}.png", seed=i), tuple(said), "dev")
        for i, said in enumerate(sentences)
    ]
    images = np.repeat(np.arange(4), [4, 3, 0, 2])
    scores = np.random.default_rng(0).normal(size=(9, 4))
    there = Ranked(sentence_ranks(scores, images), best_items(scores.T, 5))
    back = Ranked(image_ranks(scores, images), best_items(scores, 5))
    figures = document(
        data="flickr8k",
        image_to_text=recall_table(there.ranks),
        text_to_image=recall_table(back.ranks),
    )
    captions = ("a dog", "a cat", "snow", "a dog")
    return Evaluation(figures, tuple(examples), captions, back, there, ())


def with_figures(evaluation, data="flickr8k", **changes):
    """The same evaluation with some figures of its document changed."""
    signature = {**evaluation.document["signature"], "data": data}
    return replace(evaluation, document={**evaluation.document, "signature": signature, **changes})


def written(tmp_path, evaluation):
    return write_report(tmp_path / "report", evaluation).read_text()


def rows(html):
    """The lines of all tables of figures, as lists of cells."""
    found = []
    for line in re.findall(r"<tr.*?</tr>", html):
        cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line)
        found.append([re.sub(r"<sup>.*?</sup>", "", cell) for cell in cells])
    return found


def ours(html):
    return [rows(line)[0] for line in re.findall(r'<tr class="ours">.*?</tr>', html)]


def test_the_page_is_whole_and_asks_for_nothing(tmp_path, evaluation):
    html = written(tmp_path, evaluation)
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    assert "script" not in parser.seen
    assert not re.findall(r'(?:src|href)="(?!data:)', html)
    assert "<title>mrnn on flickr8k, dev split</title>" in html


def test_ours_stands_highlighted_among_the_published_rows(tmp_path, evaluation):
    html = written(tmp_path, with_figures(evaluation, images=400))
    figures = evaluation.document
    there, back = figures["image_to_text"], figures["text_to_image"]
    expected = [f"{d[k]:.1f}" for d in (there, back) for k in ("r1", "r5", "r10", "med_r")]
    retrieval, generation = ours(html)  # the other ways of ranking were not computed
    assert retrieval[:2] == ["ours, dev split", ""]
    assert retrieval[2:] == [
        text.removesuffix(".0") if place in {3, 7} else text for place, text in enumerate(expected)
    ]
    assert generation[2:] == ["16.17", ".589", ".413", ".277", ".184"]
    assert [
        "m-RNN, the paper",
        "AlexNet",
        "14.5",
        "37.2",
        "48.5",
        "11",
        "11.5",
        "31.0",
        "42.4",
        "15",
    ] in rows(html)
    assert ["m-RNN, the paper", "AlexNet", "24.39", ".578", "–", "–", "–"] in rows(html)
    assert "Ours is of the dev split, published rows are of the test split." in html
    assert html.count("<li>Mao et al. 2014, arXiv:1410.1090</li>") == 2
    among = "Recall in percent; ours among 400 images, 9 sentences"
    assert f"{among}, theirs among 1,000 images: the fewer, the easier. Ours is of" in html
    assert "<dt>Of 400 images, R@1 in %</dt>" in html
    assert "<dt>Of 9 sentences, R@1 in %</dt>" in html
    assert "the easier" not in written(tmp_path, with_figures(evaluation, images=1000))
    iapr = with_figures(evaluation, data="iaprtc12", images=400)
    assert "the easier" not in written(tmp_path, iapr)


@pytest.mark.parametrize("images", [99, 100])
def test_among_few_images_no_published_row_stands_beside_ours(tmp_path, evaluation, images):
    html = written(tmp_path, with_figures(evaluation, images=images))
    is_few = images < 100
    assert ("among fewer than 100 nearly everything is found" in html) == is_few
    assert ("m-RNN, the paper" in html) == ("later work" in html) == (not is_few)
    assert len(ours(html)) == 2


def test_a_random_order_is_worked_out_for_these_very_images(tmp_path, evaluation):
    [line] = [row for row in rows(written(tmp_path, evaluation)) if row[0] == "random order"]
    r1 = 100 * (4 + 3 + 2) / 9 / 3  # of three images with 4, 3 and 2 of 9 sentences
    assert line[2] == f"{r1:.1f}"
    assert line[6:] == ["25.0", "100.0", "100.0", "2.5"]


@pytest.mark.parametrize(
    ("name", "method", "note"),
    [
        ("Flickr8k", "UVSE, 2015 code", "test split."),
        ("flickr30k-images", "35.11", "test split."),
        ("iaprtc12", "6.92", "100 images nearest"),
        ("my birds", "UVSE, 2015 code", "of Flickr8K, another data set: for orientation only."),
    ],
)
def test_the_published_rows_are_those_of_the_data(tmp_path, evaluation, name, method, note):
    html = written(tmp_path, with_figures(evaluation, data=name, images=100))
    assert method in html
    assert "remembered" not in html
    assert note in html
    assert ("orientation" in html) == (name == "my birds")
    assert html.count("later work") == {"iaprtc12": 0, "flickr30k-images": 1}.get(name, 2)


def test_what_was_not_computed_is_left_out(tmp_path, evaluation):
    bare = replace(
        evaluation,
        document=document(bleu=None, perplexity=None, distinct_captions=None),
        text_to_image=None,
        image_to_text=None,
        captions=(),
    )
    html = written(tmp_path, bare)
    headings = re.findall(r"<h2>(.*?)</h2>", html)
    assert headings == ["Generation", "Protocol", "Time taken"]
    assert "<svg" not in html
    assert "<img" not in html
    assert "<dt>Perplexity" not in html
    assert ours(html) == [["ours, dev split", "", "–", "–", "–", "–", "–"]]


def test_all_readings_of_the_paper_stand_beside_its_rows(tmp_path, evaluation):
    readings = {
        "cumulative": {"own_reference": {"1": 0.5, "2": 0.25, "3": 0.1}, "all_references": {}},
        "individual": {"own_reference": {"1": 0.5, "2": 0.2}},
    }
    changed = with_figures(
        evaluation, bleu=None, bleu_paper=readings, perplexity_after_context=9.876
    )
    html = written(tmp_path, changed)
    name = "ours, "
    assert ours(html)[1:] == [
        [f"{name}cumulative, own reference", "", "16.17", ".500", ".250", ".100", "–"],
        [f"{name}cumulative, all references", "", "16.17", *"––––"],
        [f"{name}individual, own reference", "", "16.17", ".500", ".200", "–", "–"],
    ]
    assert "<dt>after the given words</dt><dd>9.88</dd>" in html


def test_other_ways_of_ranking_have_a_row_each(tmp_path, evaluation):
    raw = {"r1": 5.3, "r5": 12.0, "r10": 20.25, "med_r": 95}
    near = {"r1": 30.0, "r5": 40.0, "r10": 50.0, "med_r": 1234.5}
    changed = with_figures(evaluation, image_to_text_raw=raw, image_to_text_nearest_100=near)
    _, *others, _ = ours(written(tmp_path, changed))
    assert others == [
        ["ours, by P(s | I) alone", "", "5.3", "12.0", "20.2", "95", *"––––"],
        [
            f"ours, of the {evaluation.document['images']} nearest images",  # there are no more
            "",
            "30.0",
            "40.0",
            "50.0",
            "1,234.5",
            *"––––",
        ],
    ]


def test_health_sets_the_right_pictures_beside_shuffled_ones(tmp_path, evaluation):
    health = {
        "distinct_captions": 3,
        "perplexity_shuffled": 30.2,
        "image_to_text_shuffled": {"r1": 0.1, "r5": 0.5, "r10": 1.0, "med_r": 600},
        "text_to_image_shuffled": None,
        "sees_images": True,
    }
    nothing = {"image_to_text": NULLS, "text_to_image": NULLS}
    html = written(tmp_path, with_figures(evaluation, health=health, **nothing))
    assert "The model sees the pictures" in html
    assert ["shuffled", "30.20", "0.1", "0.5", "1.0", "600", *"––––"] in rows(html)
    assert ["the right ones", "16.17", *"––––––––"] in rows(html)
    blind = with_figures(evaluation, health={**health, "sees_images": False})
    assert "The model does not see the pictures" in written(tmp_path, blind)


def test_health_of_a_single_picture_is_left_out(tmp_path, evaluation):
    health = {
        "distinct_captions": 1,
        "perplexity_shuffled": None,
        "image_to_text_shuffled": NULLS,
        "text_to_image_shuffled": NULLS,
        "sees_images": None,
    }
    html = written(tmp_path, with_figures(evaluation, health=health))
    assert "Does it look?" not in html
    assert "see the pictures" not in html
    assert "<h2>Protocol</h2>" in html


def test_a_perplexity_that_there_is_not_is_left_out(tmp_path, evaluation):
    readings = {"cumulative": {"own_reference": {"1": 0.5, "2": 0.25, "3": 0.1}}}
    html = written(
        tmp_path,
        with_figures(evaluation, bleu=None, bleu_paper=readings, perplexity_after_context=None),
    )
    assert "<dt>Perplexity" in html
    assert "<dt>after the given words" not in html


def test_plots_show_recall_ranks_and_what_the_first_stage_keeps(tmp_path, evaluation):
    titles = re.findall(r"<figcaption>(.*?)</figcaption><svg", written(tmp_path, evaluation))
    ranks = ["Ranks of sentences for an image", "Ranks of images for a sentence"]
    assert titles == ["Recall", *ranks]
    kept = [{"candidates": 10, "top1": 90.0, "top10": 70.0}]
    stages = {"text_to_image": kept, "image_to_text": []}
    html = written(tmp_path, with_figures(evaluation, two_stage=stages))
    titles = re.findall(r"<figcaption>(.*?)</figcaption><svg", html)
    assert titles == ["Recall", *ranks, "Images kept by the first stage"]


def test_the_bars_hold_every_query_once(tmp_path, evaluation):
    found = np.array([1, 1, 2, 3, 4, 4, 4, 4, 2])
    ranked = replace(evaluation.text_to_image, ranks=found)
    html = written(tmp_path, replace(evaluation, text_to_image=ranked, image_to_text=None))
    bars = re.findall(r"<title>(\w+): ([\d.]+) %</title>", html)
    assert bars == [("1", "22.2"), ("2", "22.2"), ("4", "55.6")]


def test_few_images_have_no_worst_and_each_bar_once(tmp_path, evaluation):
    ranked = Ranked(np.array([1, 2]), np.array([[0, 1], [0, 1]]))
    few = [replace(example, sentences=("so",)) for example in evaluation.examples[:2]]
    html = written(tmp_path, Evaluation(document(), tuple(few), (), ranked, None, ()))
    assert "Some of the best" in html
    assert "The worst" not in html
    assert re.findall(r"<title>(\w+): ([\d.]+) %</title>", html) == [("1", "50.0"), ("2", "50.0")]


def test_all_text_is_escaped(tmp_path, evaluation, picture):
    bad = "<script>alert('1')</script> & \"so\""
    gone = tmp_path / "<script>gone.jpg"
    examples = [
        Example(picture("good.png"), (bad,), "dev"),
        Example(gone, (bad + "2",), "dev"),
    ]
    scores = np.eye(2)
    ranked = Ranked(image_ranks(scores, np.arange(2)), best_items(scores, 5))
    figures = document(data="<script>data", split="<script>")
    shown = Evaluation(figures, tuple(examples), (bad, bad), ranked, ranked, ())
    html = written(tmp_path, shown)
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt; &amp; &quot;so&quot;") > 5
    assert "counted &lt;b&gt;" in html
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []


def test_a_picture_that_is_gone_is_named_in_its_place(tmp_path, evaluation):
    evaluation.examples[0].image.unlink()
    evaluation.examples[1].image.write_bytes(b"no picture")
    html = written(tmp_path, evaluation)
    assert '<div class="missing">p0.png: cannot be read</div>' in html
    assert '<div class="missing">p1.png: cannot be read</div>' in html
    assert "<img" in html


def test_only_the_page_is_written_and_it_replaces_the_old_one(tmp_path, evaluation):
    folder = tmp_path / "some" / "folder"
    assert write_report(folder, evaluation) == folder / "index.html"
    (folder / "mine.txt").write_text("mine")
    (folder / "index.html").write_text("old")
    write_report(folder, evaluation)
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "mine.txt"]
    assert (folder / "mine.txt").read_text() == "mine"
    assert (folder / "index.html").read_text().startswith("<!doctype html>")


def test_a_page_that_cannot_be_written_names_the_place(tmp_path, evaluation):
    (tmp_path / "report").write_text("a file")
    with pytest.raises(DataError, match=r"report/index\.html: cannot be written \("):
        write_report(tmp_path / "report", evaluation)


def test_a_page_of_a_thousand_images_stays_small(tmp_path, picture):
    path = picture("noise.png")
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    examples = [Example(path, ("a", "b", "c", "d", "e"), "dev") for _ in range(1000)]
    best = np.tile(np.arange(5), (5000, 1))
    draw = np.random.default_rng(0)
    back = Ranked(draw.integers(1, 1001, 5000), best)
    there = Ranked(draw.integers(1, 4996, 1000), best[:1000])
    html = written(
        tmp_path, Evaluation(document(), tuple(examples), ("a",) * 1000, back, there, ())
    )
    assert len(html) < 6e6
    labels = re.findall(r"<title>(\w+): [\d.]+ %</title>", html)
    ends = "1 2 5 10 20 50 100 200 500 1k"
    assert labels == f"{ends} 2k 5k {ends}".split()
