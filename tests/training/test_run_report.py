"""The page of a run: right figures after no, one and many epochs; all of its text escaped."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markup import Balanced
from mrnn.datasets import Example
from mrnn.errors import DataError
from mrnn.images.finding import Member, printable
from mrnn.pages import html as pages
from mrnn.training.report import run_page, sample_lines, write_run_report
from mrnn.training.run_records import EpochRecord, Sample

FACTS = [("batch", "128 (default)"), ("minimum count", "5 (suits the data)")]


def record(epoch=1, phase="captions", **changes):
    usual = EpochRecord(
        phase=phase,
        epoch=epoch,
        update=100 * epoch,
        updates=900,
        words=300_000,
        seconds=20.0,
        train_perplexity=40.0 - epoch,
        dev_perplexity=30.0 - epoch,
        temperature=1.08,
        is_best=True,
    )
    return replace(usual, **changes)


def saying(captions, image="a.jpg", phase="captions"):
    """Records whose epochs caption one picture."""
    return [
        record(
            epoch,
            phase,
            train_perplexity=40.0,
            dev_perplexity=30.0,
            samples=(Sample(image, caption, 3 + epoch / 100),),
        )
        for epoch, caption in enumerate(captions, 1)
    ]


def text_of(html):
    """What a person reads, a space between any two elements."""
    body = html.partition("<body>")[2]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def tiles(html):
    [block] = re.findall(r'<dl class="tiles">(.*?)</dl>', html)
    return dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", block))


def plots(html):
    return [ET.fromstring(figure) for figure in re.findall(r"<figure.*?</figure>", html)]


def titles(html):
    return [figure.find("figcaption").text for figure in plots(html)]


def labels(figure, kind):
    found = (t for t in figure.iter("text") if t.get("class") == kind)
    return [t.text for t in found]


def told(html):
    """(epochs, caption) of all rows below the newest caption, card by card."""
    return re.findall(r'<th scope="row">([^<]*)</th><td dir="auto">(.*?)</td>', html)


def assert_well_formed(html):
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    assert "script" not in parser.seen
    assert not re.findall(r'(?:src|href)="(?!data:)', html)


# The page as a whole


def test_a_run_without_an_epoch_has_a_page(picture):
    example = Example(picture("a.jpg"), ("A dog .",), "dev")
    html = run_page("birds", [], [example], FACTS, {"Images": 6000})
    assert_well_formed(html)
    assert "<title>birds</title>" in html
    assert "Training has begun; no epoch is done yet." in text_of(html)
    assert tiles(html) == {"Images": "6,000"}
    assert re.findall("<h2>(.*?)</h2>", html) == ["Sample captions", "Configuration"]
    assert 'alt="A dog ."' in html
    assert "<li><bdi>A dog .</bdi></li>" in html


def test_a_page_of_nothing_at_all_is_well_formed():
    html = run_page("birds", [], [], [])
    assert_well_formed(html)
    assert "<main>\n\n</main>" in html


def test_tiles_of_a_run_that_goes_on():
    records = [record(1, dev_perplexity=31.234), record(2, seconds=15, is_best=False)]
    html = run_page("birds", records, [], FACTS, {"images": 6000, "sentences": 30_000})
    assert_well_formed(html)
    assert tiles(html) == {
        "Best dev perplexity": "31.23",
        "Epoch": "2 of 9",
        "Words a second": "20,000",
        "Time for training": "35 s",
        "Time left, about": "1 min 45 s",
        "Images": "6,000",
        "Sentences": "30,000",
    }
    words = text_of(html)
    assert "Training goes on: 200 of 900 updates were done" in words
    assert "The best epoch is 1." in words


def test_more_updates_than_planned_leave_no_time_below_zero():
    shown = tiles(run_page("birds", [record(4, updates=100)], [], []))
    assert (shown["Epoch"], shown["Time left, about"]) == ("4 of 4", "0 s")


def test_a_run_that_is_over_says_why_and_has_no_time_left():
    html = run_page(
        "birds", [record(1), record(2)], [], [], ended="Training is over: no better epoch in 2 <b>."
    )
    assert "Training is over: no better epoch in 2 <b>. The best epoch is 2." in text_of(html)
    assert "goes on" not in html
    assert tiles(html)["Epoch"] == "2"
    assert "Time left, about" not in tiles(html)
    empty = text_of(run_page("birds", [], [], [], ended="Training was stopped."))
    assert "Training was stopped." in empty


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (7500, "2 h 05 min"),
        (3_600_000, "1,000 h 00 min"),
    ],
)
def test_time_is_told_in_the_units_that_matter(seconds, expected):
    html = run_page("birds", [record(seconds=float(seconds))], [], [])
    assert tiles(html)["Time for training"] == expected


def test_the_best_of_several_phases_is_the_last_one_that_was_best():
    records = [record(1, "text"), record(1), record(2, dev_perplexity=17.5)]
    records.append(record(1, "encoder", is_best=False))
    html = run_page("birds", records, [], [])
    assert tiles(html)["Best dev perplexity"] == "17.50"
    assert "The best epoch is 2 of phase captions." in text_of(html)
    assert tiles(html)["Epoch"] == "1 of 9"


def test_an_epoch_trained_again_counts_once():
    again = [record(1), record(2, seconds=50.0), record(3), record(2, dev_perplexity=9.0)]
    html = run_page("birds", again, [], [])
    assert html == run_page("birds", [again[0], again[3]], [], [])
    assert tiles(html)["Time for training"] == "40 s"


def test_the_configuration_is_listed_with_its_origin():
    html = run_page("birds", [], [], FACTS)
    assert "<dt>minimum count</dt><dd>5 (suits the data)</dd>" in html


# Curves


def test_loss_is_in_bits_and_the_best_epoch_is_marked():
    records = [
        record(1, train_perplexity=64.0, dev_perplexity=32.0),
        record(2, train_perplexity=32.0, dev_perplexity=16.0),
        record(3, train_perplexity=16.0, dev_perplexity=20.0, is_best=False),
    ]
    html = run_page("birds", records, [], [])
    loss, perplexity, speed = plots(html)
    assert titles(html) == ["Loss", "Perplexity", "Speed"]
    values = [
        dot.find("title").text for dot in loss.iter("circle") if dot.find("title") is not None
    ]
    train, dev = ["100: 6.00", "200: 5.00", "300: 4.00"], ["100: 5.00", "200: 4.00", "300: 4.32"]
    assert values == train + dev
    assert labels(loss, "start") == ["train", "dev", "best: epoch 2, 4.00"]
    assert labels(perplexity, "start") == ["train", "dev", "best: epoch 2, 16.00"]
    assert labels(speed, "start") == ["train"]
    assert [labels(p, "name")[1] for p in (loss, perplexity, speed)] == [
        "bits a word",
        "perplexity",
        "words/s",
    ]
    assert [t.text for t in speed.iter("title")][1:] == [f"{n}: 15,000.00" for n in (100, 200, 300)]


def test_a_first_epoch_far_off_does_not_flatten_the_others():
    dev = [400.0, *(20.0 - epoch / 15 for epoch in range(59))]
    records = [record(n, dev_perplexity=d, train_perplexity=1.1 * d) for n, d in enumerate(dev, 1)]
    loss, perplexity, speed = plots(run_page("birds", records, [], []))
    ticks = [float(text) for text in labels(perplexity, "end")]
    assert ticks[0] >= 10
    assert 20 < ticks[-1] <= 40
    assert float(labels(loss, "end")[-1]) >= math.log2(440)
    assert labels(speed, "end")[0] == "0"
    assert not list(speed.iter("circle"))  # too many for dots
    assert [t.text for t in speed.iter("text") if t.get("class") is None][-1] == "6,000"


def test_both_curves_stay_in_the_plot_when_one_lies_far_above():
    records = [record(n, dev_perplexity=10.0, train_perplexity=100.0 - n) for n in (1, 2)]
    _, perplexity, _ = plots(run_page("birds", records, [], []))
    assert float(labels(perplexity, "end")[-1]) >= 99


@pytest.mark.parametrize("lost", [math.inf, math.nan])
def test_epochs_that_diverged_are_left_out_of_the_curves(lost):
    bad = {"train_perplexity": lost, "dev_perplexity": lost, "is_best": False}
    html = run_page("birds", [record(1), record(2, **bad)], [], [])
    loss, _, speed = plots(html)
    assert [len(c) for c in loss.iter("polyline")] == [0, 0]
    assert [line.get("points").count(",") for line in loss.iter("polyline")] == [1, 1]
    assert [line.get("points").count(",") for line in speed.iter("polyline")] == [2]
    lone = run_page("birds", [record(1, **bad)], [], [])
    assert titles(lone) == ["Speed"]
    assert "Best dev perplexity" not in tiles(lone)
    assert "The best epoch is" not in lone
    half = run_page("birds", [record(1, dev_perplexity=lost)], [], [])
    assert labels(plots(half)[0], "start") == ["train"]


def test_phases_have_plots_of_their_own():
    records = [record(n, phase) for phase in ("text", "captions", "encoder") for n in (1, 2)]
    html = run_page("birds", records, [], [])
    headings = ["Sentences without pictures", "Captions of pictures", "Captions, with the encoder"]
    assert re.findall("<h3>(.*?)</h3>", html) == headings
    assert titles(html) == ["Loss", "Perplexity", "Speed"] * 3
    assert "<h3>" not in run_page("birds", records[:2], [], [])


def test_a_phase_of_few_updates_has_no_fractions_of_one():
    html = run_page("birds", [record(1, update=1, updates=9)], [], [])
    across = [t.text for t in plots(html)[0].iter("text") if t.get("class") is None]
    assert across == ["0", "1", "2", "3", "4", "5"]


def test_the_figures_of_the_curves_stand_in_a_table():
    records = [record(1, "text"), record(1), record(2, is_best=False, dev_perplexity=math.inf)]
    html = run_page("birds", records, [], [])
    rows = [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)
        for row in re.findall(r"<tr.*?</tr>", html.partition("Every epoch")[2])
    ]
    names = ["epoch", "updates", "train perplexity", "dev perplexity", "temperature", "words/s"]
    assert rows[0] == [*names, "time"]
    assert rows[1] == ["text, 1", "100", "39.00", "29.00", "1.08", "15,000", "20 s"]
    assert rows[3] == ["captions, 2", "200", "38.00", "inf", "1.08", "15,000", "20 s"]
    best = re.findall(r'<tr class="ours"><th scope="row">(.*?)</th>', html)
    assert best == ["text, 1", "captions, 1"]


# Sample captions


def test_the_newest_caption_stands_first_and_equal_ones_in_a_row_once(picture):
    path = picture("a.jpg")
    records = saying(["a man", "a dog", "a dog", "a dog runs", "a dog", "a dog"], printable(path))
    html = run_page("birds", records, [Example(path, ("A dog runs .", "Run !"), "dev")], [])
    [card] = re.findall(r"<article>.*?</article>", html)
    assert '<p class="said" dir="auto">a dog</p>' in card
    assert "epochs 5–6 · perplexity 3.06" in card
    assert re.findall(r"<bdi>(.*?)</bdi>", card) == ["A dog runs .", "Run !"]
    assert told(card) == [("epoch 4", "a dog runs"), ("epochs 2–3", "a dog"), ("epoch 1", "a man")]
    assert "<details>" not in card
    assert card.startswith('<article><img src="data:image/jpeg')


def test_many_captions_are_folded_away(picture):
    html = run_page("birds", saying([f"say {n}" for n in range(60)]), [], [])
    shown, _, folded = html.partition("<details><summary>and 55 more</summary>")
    assert [caption for _, caption in told(shown)] == [f"say {n}" for n in (58, 57, 56, 55)]
    assert [caption for _, caption in told(folded)][:55] == [f"say {n}" for n in range(54, -1, -1)]
    assert "before that" not in run_page("birds", saying(["one"]), [], [])


def test_phases_are_named_where_several_have_samples():
    records = saying(["a man", "a dog"]) + saying(["a dog", "snow"], phase="encoder")
    html = run_page("birds", records, [], [])
    assert "encoder, epoch 2 · perplexity" in html
    assert told(html) == [
        ("encoder, epoch 1", "a dog"),
        ("captions, epoch 2", "a dog"),
        ("captions, epoch 1", "a man"),
    ]
    alone = run_page("birds", [record(1, "text"), *saying(["a man"])], [], [])
    assert '<p class="dim">epoch 1 · perplexity' in alone


def test_every_picture_has_its_own_captions(picture):
    paths = [picture(name, seed=n) for n, name in enumerate(("x/a.jpg", "y/a.jpg"))]
    examples = [Example(path, (f"About {path.parent.name} .",), "dev") for path in paths]
    samples = [Sample(printable(path), f"says {path.parent.name}", 2.0) for path in paths]
    records = [record(1, samples=tuple(samples[::-1]))]
    html = run_page("birds", records, examples, [])
    cards = re.findall(r"<article>.*?</article>", html)
    assert len(cards) == 2
    for card, name in zip(cards, "xy", strict=True):
        assert f"says {name}" in card
        assert f"About {name} ." in card


def test_a_picture_that_cannot_be_read_shows_its_name(tmp_path, picture):
    bad = picture("bad <i>.jpg")
    bad.write_bytes(b"no picture")
    shard = Member(tmp_path / "gone.tar", "deep/a.jpg", 512, 10)
    examples = [Example(path, ("So .",), "dev") for path in (bad, tmp_path / "gone.jpg", shard)]
    html = run_page("birds", saying(["hm"], "far/away.jpg"), examples, [])
    shown = re.findall(r'<div class="missing">(.*?)</div>', html)
    assert shown == [
        "bad &lt;i&gt;.jpg: cannot be read",
        "gone.jpg: cannot be read",
        "deep/a.jpg: cannot be read",
        "away.jpg",  # of a data set that is not at hand
    ]


def test_nothing_said_is_said_in_words():
    html = run_page("birds", saying(["", "a dog"]), [], [])
    assert told(html) == [("epoch 1", "(no words)")]


def test_pictures_are_kept_small(picture):
    path = picture("a.png")
    pages.read_image(path).resize((1200, 800)).save(path)
    html = run_page("birds", [], [Example(path, ("So .",), "dev")], [])
    assert len(html) < 60_000


def test_a_picture_without_a_sentence_is_described_by_its_name(picture):
    html = run_page("birds", [], [Example(picture("a.jpg"), (), "dev")], [])
    assert 'alt="a.jpg"' in html


# Text from elsewhere


def test_all_text_is_escaped(tmp_path, picture):
    bad = "<script>alert('1')</script> & \"so\""
    image = Path(tmp_path / "<script>.jpg")
    examples = [Example(image, (bad,), "dev"), Example(picture("b.jpg"), (bad,), "dev")]
    samples = tuple(Sample(printable(example.image), bad, 2.0) for example in examples)
    records = [record(1, samples=samples), record(2, samples=(Sample(bad, bad, 2.0),))]
    html = run_page(bad, records, examples, [(bad, bad)], {bad: 1}, ended=bad)
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt; &amp; &quot;so&quot;") > 10
    assert_well_formed(html)


TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
FIGURE = st.floats(1e-3, 1e200) | st.just(math.inf)
RECORDS = st.lists(
    st.builds(
        record,
        st.integers(1, 5),
        st.sampled_from(["text", "captions", "encoder"]),
        update=st.integers(1, 2**62),
        updates=st.integers(1, 2**62),
        words=st.integers(0, 2**62),
        seconds=st.floats(0, 1e200),
        train_perplexity=FIGURE,
        dev_perplexity=FIGURE,
        is_best=st.booleans(),
        samples=st.lists(st.builds(Sample, TEXT, TEXT, FIGURE), max_size=2).map(tuple),
    ),
    max_size=4,
)


@settings(max_examples=60)
@given(RECORDS, TEXT)
def test_any_records_make_a_page(records, text):
    html = run_page(text, records, [], [(text, text)], ended=text)
    assert_well_formed(html)
    html.encode()
    for figure in plots(html):
        for line in figure.iter("polyline"):
            assert re.fullmatch(r"(-?[\d.e+]+,-?[\d.e+]+ ?)+", line.get("points"))
    for one in records:
        assert all(line.isprintable() for line in sample_lines(one))


# The file


def test_the_page_is_written_as_a_whole_and_replaced(tmp_path):
    folder = tmp_path / "birds.training"
    path = write_run_report(folder, "birds", [record(1)], [], FACTS)
    assert path == folder / "report.html"
    assert path.read_text() == run_page("birds", [record(1)], [], FACTS)
    write_run_report(folder, "birds", [record(1)], [], FACTS, {"Images": 8}, "interrupted")
    assert path.read_text() == run_page(
        "birds", [record(1)], [], FACTS, {"Images": 8}, "interrupted"
    )
    assert [p.name for p in folder.iterdir()] == ["report.html"]


def test_a_page_that_cannot_be_written_names_the_place(tmp_path):
    (tmp_path / "a\nfile").write_text("")
    with pytest.raises(DataError, match=r"a\\nfile/report\.html: cannot be written \("):
        write_run_report(tmp_path / "a\nfile", "birds", [], [], [])


def test_every_class_of_the_page_has_its_style(picture):
    example = Example(picture("a.jpg"), ("So .",), "dev")
    html = run_page("birds", saying("abcdefgh"), [example], FACTS)
    used = {name for names in re.findall(r'class="([^"]+)"', html) for name in names.split()}
    for name in used - {"figures", "d1", "c1"}:
        assert f".{name}" in pages._STYLE, name


# The terminal


def test_samples_in_the_terminal_are_a_short_line_each():
    one = record(
        samples=(
            Sample("/data/birds/a.jpg", "a dog\x1b[31m runs", 3.456),
            Sample("shard.tar:b.jpg", "", math.inf),
        )
    )
    assert sample_lines(one) == [
        "    a.jpg: a dog\\x1b[31m runs  (perplexity 3.46)",
        "    shard.tar:b.jpg: (no words)  (perplexity inf)",
    ]
    assert sample_lines(record()) == []
