"""Text files: lines with their numbers, sentences, and what is not text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mrnn.datasets import read_lines, read_sentences
from mrnn.datasets.lines import numbered_lines
from mrnn.errors import DataError


def test_lines_are_split_at_newlines_only(tmp_path):
    (tmp_path / "a.txt").write_text("one\u2028still one\x0cand more\ntwo\r\n\n")
    assert read_lines(tmp_path / "a.txt") == ["one\u2028still one\x0cand more", "two", "", ""]
    (tmp_path / "a.txt").write_bytes(b"one\rtwo\r\nthree\n\rfour\r")
    assert read_lines(tmp_path / "a.txt") == ["one", "two", "three", "", "four", ""]
    (tmp_path / "a.txt").write_bytes(b"one\rtwo\r\ncaf\xe9\r")
    with pytest.raises(DataError, match=r"a\.txt:3: not UTF-8 \(byte 0xe9\)"):
        read_lines(tmp_path / "a.txt")


def numbered(path: Path, content: bytes) -> list[tuple[int, str]]:
    path.write_bytes(content)
    return [(number, line.rstrip("\r\n")) for number, line in numbered_lines(path)]


def test_lines_are_numbered_and_blank_ones_left_out(tmp_path):
    path = tmp_path / "a.txt"
    expected = [(2, "one"), (4, "two\u2028still\x0ctwo"), (5, "three")]
    content = "\none\n \t\ntwo\u2028still\x0ctwo\nthree".encode()
    assert numbered(path, content) == expected
    assert numbered(path, content.replace(b"\n", b"\r\n")) == expected
    assert numbered(path, content.replace(b"\n", b"\r")) == expected  # as on an old Mac
    assert numbered(path, b"a\rb\r\n\rc\nd") == [(1, "a"), (2, "b"), (4, "c"), (5, "d")]
    assert numbered(path, b"\xef\xbb\xbf" + content) == expected
    assert numbered(path, b"\xef\xbb\xbfone") == [(1, "one")]


def test_bytes_that_are_not_utf8_stay_in_their_line(tmp_path):
    found = numbered(tmp_path / "a.txt", b"caf\xe9\nA dog\n")
    assert found == [(1, "caf\udce9"), (2, "A dog")]


def test_a_line_without_end_is_cut_and_the_next_one_is_whole(tmp_path):
    content = b"x" * (5 << 20) + b"\nA dog\n" + b"y" * (1 << 20)
    (one, first), *others, (last, third) = numbered(tmp_path / "a.txt", content)
    assert (one, len(first)) == (1, 1 << 20)
    assert others == [(2, "A dog")]
    assert (last, len(third)) == (3, 1 << 20)
    many = numbered(tmp_path / "a.txt", b"A dog\r" * 300_000)  # more than is read at once
    assert many == [(i + 1, "A dog") for i in range(300_000)]


@pytest.mark.parametrize("content", [b"", b"\n \t\r\n", b"\xef\xbb\xbf"])
def test_a_file_without_lines(tmp_path, content):
    with pytest.raises(DataError, match=r"a\.txt: the file is empty"):
        numbered(tmp_path / "a.txt", content)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_files_are_refused(tmp_path, encoding):
    with pytest.raises(DataError) as caught:
        numbered(tmp_path / "a.txt", "A dog runs\n".encode(encoding))
    path = tmp_path / "a.txt"
    assert str(caught.value) == f"{path}: not UTF-8 text, perhaps UTF-16; save it as UTF-8"


def test_a_file_that_cannot_be_read(tmp_path):
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "gone", "No such file")):
        with pytest.raises(DataError, match=rf"cannot be read \({reason}"):
            list(numbered_lines(path))


@pytest.fixture
def sentence_file(tmp_path):
    """Write bytes to a file of sentences: sentence_file(b"A dog\\n")."""

    def write(content: bytes) -> Path:
        path = tmp_path / "lines.txt"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize(
    "content",
    [
        b"A dog runs .\nThe cat\n",
        b"A dog runs .\nThe cat",
        b"\xef\xbb\xbfA dog runs .\r\nThe cat\r\n",
        b"\n\n  A dog runs .\t\n \nThe cat\n\n\n",
        b"A dog runs .\rThe cat\r",
    ],
)
def test_sentences_are_read(sentence_file, content):
    assert read_sentences(sentence_file(content)) == (["A dog runs .", "The cat"], [])


def test_sentences_keep_their_order_and_other_scripts(sentence_file):
    lines = ["zebra", "犬が走る", "a\u2028b\x0cc", "A dog", "a dog"]
    assert read_sentences(sentence_file("\n".join(lines).encode())) == (lines, [])


def test_repeated_lines_are_taken_once_and_only_undecodable_ones_are_named(sentence_file):
    path = sentence_file(b"\nA dog\r\nA caf\xe9\n. , !\nThe cat\n A dog \nThe cat\n\xff\n")
    sentences, problems = read_sentences(path)
    assert sentences == ["A dog", "The cat"]
    assert [str(problem) for problem in problems] == [
        f"{path}:3: not UTF-8 (byte 0xe9); line skipped",
        f"{path}:8: not UTF-8 (byte 0xff); line skipped",
    ]


def test_a_line_that_is_a_book_is_left_out_and_named(sentence_file):
    path = sentence_file(b"A dog\n" + b"and on " * 501 + b"\n" + b"x" * 20_001 + b"\nThe cat\n")
    sentences, problems = read_sentences(path)
    assert sentences == ["A dog", "The cat"]
    assert [str(problem) for problem in problems] == [
        f"{path}:{line}: longer than 1,000 words; line skipped" for line in (2, 3)
    ]


def test_a_file_of_one_line_many_times_is_one_sentence(sentence_file):
    assert read_sentences(sentence_file(b"A dog runs .\n" * 50)) == (["A dog runs ."], [])
    assert read_sentences(sentence_file(b"A dog\na dog\nA dog\n")) == (["A dog", "a dog"], [])


@pytest.mark.parametrize(
    "content",
    [
        "A dog\nThe cat\n".encode("utf-16"),
        "A dog\nThe cat\n".encode("utf-16-le"),
        "A dog\nThe cat\n".encode("utf-16-be"),
        b"A dog\n\0\nThe cat\n",
        b"A dog\nThe cat\n\0",
    ],
)
def test_utf_16_is_refused(sentence_file, content):
    path = sentence_file(content)
    with pytest.raises(DataError) as caught:
        read_sentences(path)
    assert str(caught.value) == f"{path}: not UTF-8 text, perhaps UTF-16; save it as UTF-8"


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf", b"...\n", b"\xe9\n"])
def test_a_file_without_sentences(sentence_file, content):
    path = sentence_file(content)
    with pytest.raises(DataError) as caught:
        read_sentences(path)
    assert str(caught.value) == (f"{path}: no sentence in the file; expected one a line, UTF-8")


def test_files_of_sentences_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"gone\.txt: cannot be read \(No such file"):
        read_sentences(tmp_path / "gone.txt")
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        read_sentences(tmp_path)
    with pytest.raises(DataError) as caught:
        read_sentences(tmp_path / "\x1b[31m.txt")
    assert str(caught.value).isprintable()


@given(
    st.binary(max_size=60)
    | st.lists(
        st.sampled_from([b"a dog", b"\n", b"\r", b" ", b"\xe9", b"\xef\xbb\xbf", b"\0", b"."])
    ).map(b"".join)
    | st.text("aé犬 .\t\r\n\u2028\xa0\x1c", max_size=60).map(str.encode)
)
@settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_bytes_as_sentences(sentence_file, content):
    path = sentence_file(content)
    try:
        sentences, problems = read_sentences(path)
    except DataError:
        return
    assert b"\0" not in content
    assert sentences
    assert len(set(sentences)) == len(sentences)
    for sentence in sentences:
        assert sentence == sentence.strip() != ""
        assert sentence.encode() in content
    assert all(problem.place.startswith(f"{path}:") for problem in problems)
    assert all("not UTF-8" in str(problem) for problem in problems)
    assert all(str(problem).isprintable() for problem in problems)
