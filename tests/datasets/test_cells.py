"""A cell that holds several captions gives all of them, or says that it cannot be read."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_layouts import LAYOUTS, put, put_pictures
from mrnn.datasets import read_dataset
from mrnn.datasets.cells import captions_in

fast = settings(deadline=None, max_examples=150)
captions = st.text("aé犬 '\"\\\n\t[](){},n", max_size=12)
ODD = "a list of captions that cannot be read"


@given(st.lists(captions, min_size=1, max_size=4))
@fast
def test_lists_as_python_numpy_and_json_write_them(said):
    assert list(captions_in(repr(said))) == said
    assert list(captions_in(repr(tuple(said)))) == said
    assert list(captions_in(json.dumps(said))) == said
    assert list(captions_in(json.dumps({"text": said}))) == said
    assert list(captions_in(repr({"text": said}))) == said
    assert list(captions_in(str(np.array(said, dtype=object)))) == said
    assert list(captions_in(repr(np.array(said, dtype=object)))) == said
    assert list(captions_in(str([np.str_(one) for one in said]))) == said
    assert list(captions_in(said)) == said


@given(st.text("[](){}'\"a, \\\n:", max_size=20) | st.text(max_size=20))
@fast
def test_any_text_is_captions_or_said_to_be_none(cell):
    found = captions_in(cell)
    assert isinstance(found, str) or all(isinstance(caption, str) for caption in found)


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("A dog", ["A dog"]),
        ("", [""]),
        ("[sic] a dog", ["[sic] a dog"]),
        ("(A dog)", ["(A dog)"]),
        ("[not a list]", ["[not a list]"]),
        ("array of dogs", ["array of dogs"]),
        ("['A dog'\n 'The dog']", ["A dog", "The dog"]),
        ('["A \\u00e9"]', ["A é"]),
        ('{"text": "A dog"}', ["A dog"]),
        ('[{"raw": "A dog"}, {"raw": "The dog"}]', ["A dog", "The dog"]),
        ({"text": ["A dog", "The dog"]}, ["A dog", "The dog"]),
        ("[u'A dog', U'The dog']", ["A dog", "The dog"]),
        ("[b'A dog', b'caf\\xc3\\xa9']", ["A dog", "café"]),
        ("b'A dog'", ["A dog"]),
        ("[['A dog'], ['The dog', 'It']]", ["A dog", "The dog", "It"]),
        ('[["A dog"], ["The dog"]]', ["A dog", "The dog"]),
        ("list(['A dog', 'The dog'])", ["A dog", "The dog"]),
        ("[list(['A dog', 'The dog'])]", ["A dog", "The dog"]),
        ("[array(['A dog'], dtype=object) array(['It'], dtype='<U2')]", ["A dog", "It"]),
        ("Index(['A dog', 'It'], dtype='object', name=None)", ["A dog", "It"]),
        ("deque(['A dog', 'It'], maxlen=2)", ["A dog", "It"]),
        ("\"['A dog', 'The dog']\"", ["A dog", "The dog"]),
        ('"[""A dog"", ""The dog""]"', ["A dog", "The dog"]),
        ("b'twas a dog", ["b'twas a dog"]),
        ("list(s) of dogs", ["list(s) of dogs"]),
        ("'(A) dog' it says", ["'(A) dog' it says"]),
        ("[list(['A dog', ...])]", ODD),
        ("[['A dog', 'The d", ODD),
        ("[u'A dog", ODD),
        ("Index(['A dog', ...", ODD),
        ([[[[[[[[[[["A dog"]]]]]]]]]]], "a caption that is not text"),
        ("['A dog', None]", "a caption that is not text"),
        ("['A dog', nan]", "a caption that is not text"),
        ("[1, 2]", "a caption that is not text"),
        ({"label": "A dog"}, "a caption that is not text"),
        (None, "a caption that is not text"),
        (7, "a caption that is not text"),
        ("['A dog', 'The d", ODD),
        ("['A dog''The dog']", ODD),
        ('{"text": ["A dog"', ODD),
        ("[" * 5000 + "'", ["[" * 5000 + "'"]),
    ],
)
def test_what_a_cell_holds(cell, found):
    held = captions_in(cell)
    assert (held if isinstance(held, str) else list(held)) == found


def test_a_long_cell_takes_no_longer_than_its_length():
    assert captions_in("['a'" + " ," * 60_000 + "x") == ODD
    assert captions_in("['" + "a" * 120_000) == ODD
    for many in ("[", "['", "'a' ", "list(", "b'", "\\", "['a', ", "['a'],", ", ", "'", '"', "]"):
        hostile = "['a'," + many * (120_000 // len(many))
        assert isinstance(captions_in(hostile), str)
        captions_in("list([" + hostile)
        captions_in('"' + hostile)
        captions_in('"[' + many * (120_000 // len(many)) + ']"')
        captions_in("{'text': [" + hostile)


@pytest.mark.parametrize(
    "name", [n for n in LAYOUTS if n not in ("Karpathy JSON", "IAPR TC-12", "WebDataset shards")]
)
def test_a_list_is_several_captions_in_every_layout(tmp_path, name):
    """What a caption of a file says if it is a list of captions that was written as text."""
    data = LAYOUTS[name](tmp_path / "birds")
    texts = {".csv", ".tsv", ".jsonl", ".json", ".txt", ".caption"}
    for path in (p for p in data.rglob("*") if p.suffix in texts and p.is_file()):
        said = path.read_text()
        path.write_text(said.replace("The dog runs in the snow .", "('The dog' 'Snow')"))
    sentences = [s for e in read_dataset(data).examples for s in e.sentences]
    if "The dog runs in the snow ." not in sentences:  # it is binary
        assert "The dog" in sentences
        assert "Snow" in sentences
    assert not any(sentence.startswith("(") for sentence in sentences)


def test_three_captions_of_a_cell_are_three(tmp_path):
    data = tmp_path / "birds"
    put_pictures(data, ("0.jpg", "1.jpg", "2.jpg"))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["image", "captions"])
    writer.writerow(["0.jpg", str(np.array(["A dog", "The dog's ball", "Dogs"]))])
    writer.writerow(["1.jpg", str(["A cat", "Cats"])])
    writer.writerow(["2.jpg", "['A cat', 'Ca"])
    put(data / "a.csv", text.getvalue())
    dataset = read_dataset(data)
    assert [e.sentences for e in dataset.examples] == [
        ("A dog", "The dog's ball", "Dogs"),
        ("A cat", "Cats"),
    ]
    [problem] = [p for p in dataset.problems if "no caption" not in p.message]
    assert problem.message == f"{ODD}; skipped"
