"""metrics.jsonl: what is written is read again; what is wrong is named with its line."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrnn.errors import DataError
from mrnn.training.run_records import (
    PHASES,
    EpochRecord,
    Sample,
    latest,
    read_records,
    record_line,
)

RECORD = EpochRecord(
    "captions", 2, 156, 702, 320_000, 17.5, 30.2, 20.1, 1.08, True, (Sample("a.jpg", "a dog", 3.5),)
)
WHOLE = st.integers(1, 2**63 - 1)
PERPLEXITIES = st.floats(1e-9, 1e299) | st.just(math.inf)
TEXTS = st.text(st.characters(exclude_categories=()), max_size=20)
RECORDS = st.builds(
    EpochRecord,
    st.sampled_from(PHASES),
    WHOLE,
    WHOLE,
    WHOLE,
    st.integers(0, 2**40),
    st.floats(0, 1e299),
    PERPLEXITIES,
    PERPLEXITIES,
    st.floats(0, 1e3),
    st.booleans(),
    st.lists(st.builds(Sample, TEXTS, TEXTS, PERPLEXITIES), max_size=3).map(tuple),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("run") / "metrics.jsonl"


def written(path, *records):
    path.write_text("".join(record_line(record) + "\n" for record in records))
    return path


@given(records=st.lists(RECORDS, max_size=4))
def test_what_is_written_is_read(path, records):
    assert read_records(written(path, *records)) == records


def test_a_line_is_strict_json_with_a_name_for_every_figure():
    line = record_line(replace(RECORD, dev_perplexity=math.nan, train_perplexity=math.inf))
    assert "\n" not in line
    values = json.loads(line, parse_constant=pytest.fail)
    assert values.pop("dev_perplexity") is values.pop("train_perplexity") is None
    expected = asdict(RECORD)
    assert values["samples"] == [{"image": "a.jpg", "caption": "a dog", "perplexity": 3.5}]
    for name, value in values.items():
        if name != "samples":
            assert expected[name] == value


def test_a_perplexity_that_is_not_finite_is_infinite(path):
    [read] = read_records(written(path, replace(RECORD, dev_perplexity=math.nan)))
    assert read == replace(RECORD, dev_perplexity=math.inf)


@given(RECORDS, st.data())
def test_a_last_line_that_breaks_off_is_ignored(path, last, data):
    line = record_line(last).encode()
    cut = data.draw(st.integers(0, len(line) - 1))
    written(path, RECORD)
    with path.open("ab") as file:
        file.write(line[:cut])
    assert read_records(path) == [RECORD]


def test_a_last_line_without_its_line_feed_counts(path):
    path.write_text(record_line(RECORD))
    assert read_records(path) == [RECORD]


def test_bytes_of_a_letter_cut_in_two_break_off_too(path):
    path.write_bytes(record_line(RECORD).encode() + b'\n{"phase": "\xc3')
    assert read_records(path) == [RECORD]


def test_an_empty_file_has_no_records(path):
    path.write_text("")
    assert read_records(path) == []


def changed(**changes):
    return json.dumps({**json.loads(record_line(RECORD)), **changes})


WRONG = {
    "": "column 1: Expecting value",
    "{": "column 2: Expecting property name",
    "[]": "expected an object with phase, epoch, update,",
    "3": "expected an object with phase",
    "\ufeff{}": "column 1: Unexpected UTF-8 BOM",
    '{"phase": "text"}': "expected an object with phase",
    changed(more=1): "expected an object with phase",
    changed(phase="dreams"): "phase: expected one of text, captions, encoder",
    changed(phase=None): "phase: expected one of",
    changed(epoch=0): "epoch: expected a whole number from 1",
    changed(update=0): "update: expected a whole number from 1",
    changed(updates="9"): "updates: expected a whole number from 1",
    changed(epoch=True): "epoch: expected a whole number",
    changed(words=-1): "words: expected a whole number from 0",
    changed(words=1.5): "words: expected a whole number",
    changed(words=10**30): "words: expected a whole number",
    changed(seconds=-1): "seconds: expected a number from 0",
    changed(seconds=None): "seconds: expected a number",
    changed(seconds=False): "seconds: expected a number",
    changed(seconds=10**400): "seconds: expected a number",
    changed(temperature="1"): "temperature: expected a number",
    changed(dev_perplexity="20"): "dev_perplexity: expected a number",
    changed(train_perplexity=0): "train_perplexity: expected a number above 0, or null",
    changed(seconds=1).replace('"seconds": 1', '"seconds": NaN'): "NaN is no JSON",
    changed(seconds=1).replace('"seconds": 1', '"seconds": 1e999'): "seconds: expected a number",
    changed(is_best=1): "is_best: expected true or false",
    changed(samples={}): "samples: expected a list",
    changed(samples=["a"]): "samples: expected an object with image, caption, perplexity",
    changed(
        samples=[{"image": 1, "caption": "", "perplexity": 1}]
    ): "samples: image: expected text",
    "[" * 100_000: "nested too deeply",
}


@pytest.mark.parametrize("line", WRONG, ids=lambda line: WRONG[line])
def test_a_wrong_line_is_named_with_the_remedy(path, line):
    good = record_line(RECORD)
    path.write_text(f"{good}\n{line}\n{good}\n")
    with pytest.raises(DataError) as raised:
        read_records(path)
    message = str(raised.value)
    assert f"metrics.jsonl:2: not an epoch of mrnn train ({WRONG[line]}" in message
    assert message.endswith("; take the line out, or move the file away")


def test_a_whole_last_line_that_is_no_record_is_an_error(path):
    path.write_text(record_line(RECORD) + "\n{}")
    with pytest.raises(DataError, match=r"metrics\.jsonl:2: not an epoch"):
        read_records(path)


def test_a_line_that_is_not_utf_8_is_named(path):
    path.write_bytes(b"\xff\n")
    with pytest.raises(DataError, match=r"metrics\.jsonl:1: .*\(not UTF-8\)"):
        read_records(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\\n\.jsonl: cannot be read \(No such file"):
        read_records(tmp_path / "gone\n.jsonl")


def attempt(path):
    try:
        return read_records(path)
    except DataError as error:
        return str(error)


@given(st.data())
def test_mutated_files_are_read_or_refused_in_one_line(path, data):
    content = bytearray((record_line(RECORD) + "\n").encode() * 2)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path.write_bytes(content)
    found = attempt(path)
    assert isinstance(found, list) or found.isprintable()


def test_an_epoch_trained_again_revokes_itself_and_all_after_it():
    def at(phase, epoch, words):
        return replace(RECORD, phase=phase, epoch=epoch, words=words)

    first = [at("text", 1, 1), at("captions", 1, 2), at("captions", 2, 3), at("captions", 3, 4)]
    again = [at("captions", 2, 5), at("encoder", 1, 6)]
    assert latest(first) == first
    assert latest(first + again) == [*first[:2], *again]
    assert latest([*first, at("captions", 3, 7)]) == [*first[:3], at("captions", 3, 7)]
    assert latest([*again, at("text", 1, 8)]) == [at("text", 1, 8)]
    assert latest([]) == []
