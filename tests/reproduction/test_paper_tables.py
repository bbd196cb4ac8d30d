"""The tables of `mrnn reproduce`: what is measured of a ranker, and which figure stands where."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

from mrnn.evaluation.ranks import shortlist_ranks
from mrnn.reproduction import reproduction
from mrnn.reproduction.page import Result, document, markdown, write_tables
from mrnn.reproduction.paper_tables import (
    TABLE_1,
    TABLE_2,
    TABLE_3,
    TABLE_4,
    TABLE_5,
    TABLES,
    Table,
)
from mrnn.reproduction.reproduction import Measured, Reproduction
from mrnn.reproduction.systems import M_RNN, System
from mrnn.scoring.pairs import Pairs
from mrnn.words.packing import Corpus

FACTS = {
    "data": "birds",
    "split": "dev",
    "images": 100,
    "sentences": 4,
    "vocabulary": 9,
    "encoder": "eye",
}
LEARNED = {"weights": 1_500_000, "seconds": 12.3}


class Decided:
    """A ranker that orders images by one matrix and sentences by another."""

    weights = 7

    def ranks(self, pairs, stage):
        by_sentence = [[0.9, 0.5, 0.1], [0.2, 0.9, 0.5], [0.9, 0.5, 0.1], [0.1, 0.2, 0.9]]
        by_image = [[0.1, 0.9, 0.1], [0.2, 0.8, 0.2], [0.9, 0.7, 0.3], [0.8, 0.1, 0.9]]
        return np.array(by_sentence), np.array(by_image)


def test_what_is_measured_of_a_ranker(tmp_path, monkeypatch):
    """Four sentences of three images: ranks by hand."""
    monkeypatch.setattr(reproduction, "shortlist_ranks", partial(shortlist_ranks, size=2))
    features = np.array([[1, 0], [0, 1], [0.1, 1]], np.float32)
    pairs = Pairs(Corpus([[4], [5], [6], [7]]), np.array([0, 0, 1, 2]), features)
    made = Reproduction(tmp_path, None, Measured("birds", "dev", [], pairs), {})
    system = System("decided", "Decided", ranker=lambda ground, weights, stage: Decided())
    found = made.retrieval(system, None)
    # The images of the sentences stand at 1, 3, 2, 1.
    assert found["text_to_image"] == {"r1": 50, "r5": 100, "r10": 100, "med_r": 1.5}
    # The best sentences of the images stand at 3, 3, 1.
    first = pytest.approx(100 / 3)
    assert found["image_to_text"] == {"r1": first, "r5": 100, "r10": 100, "med_r": 3}
    # With those of the nearer other image only (image 2 for the first two): at 2, 1, 1.
    assert found["image_to_text_nearest_100"]["r1"] == pytest.approx(200 / 3)
    matches = found["matches"]
    assert [matches["image_to_text"][at] for at in (24, 99)] == pytest.approx([1 / 3, 4 / 3])
    assert [matches["text_to_image"][at] for at in (32, 99)] == pytest.approx([2 / 4, 1])
    costs = made.costs(system)
    assert (costs["weights"], costs["has_file"]) == (7, False)


def recalls(first: float) -> dict[str, float]:
    return {"r1": first, "r5": first + 1, "r10": first + 2, "med_r": first + 3.5}


FOUND = {
    "image_to_text": recalls(10),
    "text_to_image": recalls(20),
    "image_to_text_nearest_100": recalls(30),
    "matches": {"image_to_text": [1.0] * 100, "text_to_image": [0.5] * 100},
}


def said(first: float) -> dict[str, dict[str, dict[str, float]]]:
    def orders(start: float) -> dict[str, float]:
        return {str(n): start + n / 1000 for n in range(1, 5)}

    return {
        "cumulative": {"own_reference": orders(0.8), "all_references": orders(first)},
        "individual": {"own_reference": orders(0.9), "all_references": orders(first + 0.1)},
    }


SPOKEN = {
    "perplexity": 16.4,
    "perplexity_from_word_6": 18.25,
    "bleu": {"0": said(0.1), "5": said(0.7)},
    "bleu_sampled": said(0.3),
}


def results(table: Table) -> list[Result]:
    figures = FOUND if table.kind == "retrieval" else SPOKEN
    return [Result(r, figures, LEARNED) if r.system else Result(r, {}, {}) for r in table.rows]


def cells(table: Table, title: str) -> str:
    [line] = [
        line
        for line in markdown(FACTS, {table: results(table)}).splitlines()
        if line.startswith(f"| {title} |") and line.count("|") > 6
    ]
    return line.removeprefix(f"| {title} | ").removesuffix(" |")


@pytest.mark.parametrize(
    ("table", "title", "expected"),
    [
        (TABLE_1, "m-RNN", "6.92 .395 .183 .131 16.40 18.25 .101 .102 .103 .201 .202 .203"),
        (
            TABLE_1,
            "m-RNN, words drawn (sec. 6)",
            "– – – – 16.40 18.25 .301 .302 .303 .401 .402 .403",
        ),
        (TABLE_1, "LBL, updated in a footnote", "9.29 – – – – – – – – – – –"),
        (
            TABLE_2,
            "m-RNN",
            "20.9 43.8 54.4 8 13.2 31.2 40.8 21 30.0 31.0 32.0 33.5 20.0 21.0 22.0 23.5",
        ),
        (
            TABLE_3,
            "m-RNN",
            "14.5 37.2 48.5 11 11.5 31.0 42.4 15 10.0 11.0 12.0 13.5 20.0 21.0 22.0 23.5",
        ),
        (TABLE_3, "SDT-RNN, AlexNet", "4.5 18.0 28.6 – 6.1 18.5 29.0 –" + " –" * 8),
        (TABLE_5, "m-RNN on Flickr30K", "35.11 – – – – – – – – – – –"),
    ],
)
def test_every_figure_has_its_place(table, title, expected):
    assert cells(table, title).split(" | ") == expected.split()


@pytest.mark.parametrize("table", TABLES)
def test_where_published_figures_are_from_is_told(table):
    text = markdown(FACTS, {table: results(table)})
    rows = document(FACTS, {table: results(table)})["tables"][str(table.number)]
    for row in rows:
        if row["published"]:
            assert f": {row['published']['source']}\n" in text
    assert "remembered" not in text


@pytest.mark.parametrize("table", TABLES)
def test_among_few_images_published_figures_do_not_stand_beside_ours(table, tmp_path):
    few = FACTS | {"images": 99}
    text = markdown(few, {table: results(table)})
    assert "among fewer than 100 nearly everything is found" in text
    assert "published:" not in text
    assert "Published figures:" not in text
    first, *_ = (line for line in text.splitlines() if line.startswith("| m-RNN |"))
    whole = markdown(FACTS, {table: results(table)}).splitlines()
    same = next(line for line in whole if line.startswith("| m-RNN |"))
    published = 8 if table.kind == "retrieval" else 4
    assert first.split(" | ")[1:] == same.split(" | ")[1 + published :]
    shown = {line.split(" | ")[0] for line in text.splitlines()}
    for result in results(table):
        assert (f"| {result.row.title}" in shown) == (result.row.system is not None)
    page = write_tables(tmp_path, few, {table: results(table)}, []).read_text()
    assert "published:" not in page


def test_recall_stands_beside_how_many_were_searched(tmp_path):
    among = "recall in percent, ours among 100 images and 4 sentences."
    assert among in markdown(FACTS, {TABLE_3: results(TABLE_3)})
    assert among in write_tables(tmp_path, FACTS, {TABLE_3: results(TABLE_3)}, []).read_text()


def test_a_system_that_failed_leaves_dashes(tmp_path):
    tables = {
        table: [
            Result(result.row, {}, {}) if result.row.system is M_RNN else result for result in r
        ]
        for table, r in ((table, results(table)) for table in TABLES)
    }
    write_tables(tmp_path, FACTS, tables, [])
    found = json.loads((tmp_path / "tables.json").read_text())
    for rows in found["tables"].values():
        assert all((row["ours"] is None) == (row["system"] in (None, "m-rnn")) for row in rows)
    assert "| m-RNN | 6.92 | .395 | .183 | .131 | – | –" in (tmp_path / "tables.md").read_text()
    assert "<h2>Figure 3</h2>" in (tmp_path / "index.html").read_text()


def test_every_table_has_the_mrnn():
    """So that it is there to show pictures with, as in Fig. 1, whatever table is asked for."""
    assert all(M_RNN in table.systems for table in TABLES)


def test_the_tables_are_the_papers():
    assert [t.number for t in TABLES] == [1, 2, 3, 4, 5]
    assert [t.kind for t in TABLES] == ["generation", *["retrieval"] * 3, "generation"]
    assert {s.name for s in TABLE_1.systems} == {
        "back-off-gt2",
        "back-off-gt3",
        "lbl",
        "mlbl-b",
        "mlbl-f",
        "simple-rnn",
        "rnn-base",
        "m-rnn",
    }
    assert {s.name for s in TABLE_3.systems} == {s.name for s in TABLE_4.systems}
    assert {"random", "bag-of-words", "devise-like", "sentence-rnn", "m-rnn"} == {
        s.name for s in TABLE_3.systems
    }
    assert [s.name for s in TABLE_2.systems] == ["bag-of-words", "mlbl-b", "mlbl-f", "m-rnn"]
    assert [s.name for s in TABLE_5.systems] == ["rnn-base", "m-rnn"]
