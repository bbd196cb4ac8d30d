"""What a caption says is read without HTML; what is no caption is not learned."""

from __future__ import annotations

import html

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_layouts import LAYOUTS, put
from mrnn.datasets import read_dataset, read_sentences
from mrnn.datasets.captions import fault, plain
from mrnn.errors import DataError

fast = settings(deadline=None, max_examples=150)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("a &quot;big&quot; dog &amp; it&#39;s ball", 'a "big" dog & it\'s ball'),
        ("a &amp;quot;big&amp;quot; dog", 'a "big" dog'),
        ("a caf&eacute; &#x72AC;", "a café 犬"),
        ("a dog<br>runs<br/>fast</p>", "a dog runs fast"),
        ('<p class="x">a &lt;b&gt;dog&lt;/b&gt;</p>', "a  dog"),
        ("a < b and c > d", "a < b and c > d"),
        ("AT&T, black&white; R&D", "AT&T, black&white; R&D"),
        ("&notanentity; &", "&notanentity; &"),
        ("  A dog .  ", "A dog ."),
    ],
)
def test_html(written, said):
    assert plain(written) == said


@given(st.text("ab&<>\"'é;# ", max_size=30).map(str.strip))
@fast
def test_what_is_escaped_is_read_again(text):
    assert plain(html.escape(text)) == plain(text)


@pytest.mark.parametrize(
    "caption",
    [
        *("COCO_val2014:sentid:123456", "1000268201_693b08cb0e.jpg#0", "img/00012", "123456"),
        *("https://example.org/a", "photo.jpg", "9f86d081884c7d659a2feaa0c55ad015"),
    ],
)
def test_references_are_no_captions(caption):
    assert fault(caption) == f"'{caption}' is a reference to something elsewhere, not a sentence"


@pytest.mark.parametrize("caption", ["NaN", "None", "null", "<NA>", "n/a"])
def test_what_programs_write_for_nothing(caption):
    assert fault(caption) == f"'{caption}' stands for no caption"


@pytest.mark.parametrize(
    "caption",
    [
        *("dog", "7", "24/7", "16:9", "iPhone12", "T-shirt", "and/or", "none of them", "2024"),
        *("一只狗在跑123456", "see https://example.org/a", "a:b", "dog.", "supercalifragilistic"),
    ],
)
def test_what_may_be_said(caption):
    assert fault(caption) is None


@pytest.mark.parametrize("name", LAYOUTS)
def test_no_reader_learns_html(tmp_path, name):
    data = LAYOUTS[name](tmp_path / "birds")
    written = [p for p in data.rglob("*") if p.suffix not in {".jpg", ".tar", ".parquet", ".arrow"}]
    for path in filter(lambda p: p.is_file() and b"in the snow" in p.read_bytes(), written):
        text = path.read_bytes()
        if name != "IAPR TC-12":  # where a tag ends the description
            text = text.replace(b"in the snow", b"in the<br>snow")
        path.write_bytes(text.replace(b"The ", b"The&nbsp;"))
    for example in read_dataset(data).examples:
        for sentence in example.sentences:
            assert "nbsp" not in sentence
            assert "<" not in sentence


def test_sentences_without_pictures_are_read_so_too(tmp_path):
    path = put(tmp_path / "a.txt", "A dog &amp; a cat\nThe<br>dog\n")
    assert read_sentences(path) == (["A dog & a cat", "The dog"], [])


def test_a_column_of_references_is_refused_with_the_reason(tmp_path):
    data = LAYOUTS["CSV"](tmp_path / "birds")
    rows = "".join(f"{i}.jpg,set_one:sentid:{900 + i}\n" for i in range(9))
    put(data / "captions.csv", "image,caption\n" + rows)
    with pytest.raises(DataError, match="'set_one:sentid:900' is a reference to something else"):
        read_dataset(data)
