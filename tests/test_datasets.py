"""Data sets in the Flickr8K release layout: read in full, or each fault named with its place."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mrnn.datasets import DataSet, Problem, read_dataset, read_lines, read_sentences
from mrnn.errors import DataError, UsageError


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def captions(data: Path) -> Path:
    return data / "Flickr8k.token.txt"


def train_list(data: Path) -> Path:
    return data / "Flickr_8k.trainImages.txt"


def refused(data: Path, images: Path | None = None) -> str:
    with pytest.raises(DataError) as caught:
        read_dataset(data, images)
    assert str(caught.value).isprintable()
    return str(caught.value)


def only_problem(data: Path) -> Problem:
    [problem] = read_dataset(data).problems
    return problem


def names(dataset: DataSet, split: str) -> list[str]:
    return [example.image.name for example in dataset.split(split)]


def test_layout_is_read(flickr_layout):
    dataset = read_dataset(flickr_layout)
    assert dataset.name == "birds"
    assert dataset.problems == ()
    assert names(dataset, "train") == [f"{i}.jpg" for i in range(8)]
    assert names(dataset, "dev") == ["8.jpg", "9.jpg", "10.jpg"]
    first = dataset.examples[0]
    assert first.image == flickr_layout / "Flicker8k_Dataset" / "0.jpg"
    assert first.sentences == ("A dog runs .", "The dog runs in the snow .")
    assert first.split == "train"
    assert all(example.image.is_file() for example in dataset.examples)


def test_reading_changes_nothing(flickr_layout):
    def state():
        return {path: path.stat().st_mtime_ns for path in flickr_layout.rglob("*")}

    before = state()
    read_dataset(flickr_layout)
    assert state() == before


@pytest.mark.parametrize("alias", ["dev", "val", "valid", "validation"])
def test_names_of_the_dev_split(flickr_layout, alias):
    assert len(read_dataset(flickr_layout).split(alias)) == 3


def test_unknown_and_empty_splits(flickr_layout):
    dataset = read_dataset(flickr_layout)
    with pytest.raises(UsageError, match=r"unknown split 'training'; known: train, dev, test"):
        dataset.split("training")
    with pytest.raises(DataError, match="birds: no captioned images in the test split"):
        dataset.split("test")


def test_one_split_list_is_enough(flickr_layout):
    train_list(flickr_layout).unlink()
    assert len(read_dataset(flickr_layout).examples) == 3


def test_no_split_list(flickr_layout):
    for path in flickr_layout.glob("*Images.txt"):
        path.unlink()
    assert "Flickr_8k.trainImages.txt" in refused(flickr_layout)


def test_lemmatised_captions_of_the_release_are_passed_over(flickr_layout):
    (flickr_layout / "Flickr8k.lemma.token.txt").write_text("0.jpg#0\tA dog run .\n")
    assert read_dataset(flickr_layout).examples[0].sentences[0] == "A dog runs ."


def test_token_file_of_flickr30k(flickr_layout):
    captions(flickr_layout).rename(flickr_layout / "results_20130124.token")
    (flickr_layout / "Flicker8k_Dataset").rename(flickr_layout / "flickr30k-images")
    assert len(read_dataset(flickr_layout).examples) == 11


@pytest.mark.parametrize("folder", ["Flickr8k_Dataset", "images"])
def test_usual_picture_folders(flickr_layout, folder):
    (flickr_layout / "Flicker8k_Dataset").rename(flickr_layout / folder)
    assert read_dataset(flickr_layout).examples[0].image.parent == flickr_layout / folder


def test_pictures_beside_the_captions(flickr_layout):
    for path in list((flickr_layout / "Flicker8k_Dataset").iterdir()):
        path.rename(flickr_layout / path.name)
    (flickr_layout / "Flicker8k_Dataset").rmdir()
    assert len(read_dataset(flickr_layout).examples) == 11


def test_pictures_elsewhere(flickr_layout, tmp_path):
    (flickr_layout / "Flicker8k_Dataset").rename(tmp_path / "elsewhere")
    assert "--images" in refused(flickr_layout)
    dataset = read_dataset(flickr_layout, tmp_path / "elsewhere")
    assert dataset.examples[0].image == tmp_path / "elsewhere" / "0.jpg"


def test_picture_folder_that_is_not_there(flickr_layout, tmp_path):
    message = refused(flickr_layout, tmp_path / "gone")
    assert message.startswith(f"{tmp_path / 'gone'}: no such folder")
    assert "--images" in message


def test_picture_folder_that_cannot_be_listed(flickr_layout, monkeypatch):
    def iterdir(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert "Flicker8k_Dataset: cannot be read (Permission denied)" in refused(flickr_layout)


def test_no_such_folder(tmp_path, flickr_layout):
    assert refused(tmp_path / "gone") == f"{tmp_path / 'gone'}: no such folder"
    assert "no such folder" in refused(captions(flickr_layout))


def test_no_captions_and_too_many(flickr_layout):
    (flickr_layout / "second.token.txt").write_text("0.jpg#0\tA dog\n")
    assert "found 2" in refused(flickr_layout)
    (flickr_layout / "second.token.txt").unlink()
    captions(flickr_layout).unlink()
    assert "found 0" in refused(flickr_layout)


@pytest.mark.parametrize("content", ["", "\n \n\t\n", "\ufeff"])
def test_empty_caption_file(flickr_layout, content):
    captions(flickr_layout).write_text(content)
    assert refused(flickr_layout) == f"{captions(flickr_layout)}: the file is empty"


def test_caption_file_that_is_a_folder(flickr_layout):
    captions(flickr_layout).unlink()
    captions(flickr_layout).mkdir()
    assert "cannot be read (Is a directory)" in refused(flickr_layout)


@pytest.mark.parametrize("which", [captions, train_list])
def test_not_utf8_names_file_and_line(flickr_layout, which):
    path = which(flickr_layout)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"caf\xe9.jpg#0\tA caf\xe9\n", *lines[2:]]))
    message = refused(flickr_layout)
    assert message.startswith(f"{path}:3: not UTF-8 (byte 0xe9)")
    assert "save the file as UTF-8" in message


@pytest.mark.parametrize(
    "line",
    [
        "0.jpg A dog runs",
        "0.jpg\tA dog runs",
        "#0\tA dog runs",
        "\tA dog runs",
        "sub/0.jpg#0\tA dog runs",
    ],
)
def test_malformed_line(flickr_layout, line):
    change(captions(flickr_layout), "0.jpg#0\tA dog runs .", line)
    problem = only_problem(flickr_layout)
    assert problem.place == f"{captions(flickr_layout)}:1"
    assert "name.jpg#0<TAB>caption" in problem.message
    assert read_dataset(flickr_layout).examples[0].sentences == ("The dog runs in the snow .",)


def test_no_line_is_well_formed(flickr_layout):
    text = captions(flickr_layout).read_text().replace("#", " ")
    captions(flickr_layout).write_text(text)
    assert "expected `name.jpg#0<TAB>caption`" in refused(flickr_layout)


@pytest.mark.parametrize("caption", ["", " ", ". , !", "-"])
def test_caption_without_words(flickr_layout, caption):
    change(captions(flickr_layout), "A dog runs .", caption)
    problem = only_problem(flickr_layout)
    assert str(problem) == f"{captions(flickr_layout)}:1: the caption has no words; line skipped"
    assert len(read_dataset(flickr_layout).examples) == 11


def test_caption_with_tabs_and_other_scripts(flickr_layout):
    change(captions(flickr_layout), "A dog runs .", "  犬が走る\tこと 🐕 ")
    assert read_dataset(flickr_layout).examples[0].sentences[0] == "犬が走る\tこと 🐕"


def test_name_with_a_number_sign(flickr_layout):
    folder = flickr_layout / "Flicker8k_Dataset"
    (folder / "0.jpg").rename(folder / "0#1.jpg")
    text = captions(flickr_layout).read_text().replace("0.jpg#0", "0#1.jpg#0", 1)
    captions(flickr_layout).write_text(text)
    change(train_list(flickr_layout), "0.jpg", "0#1.jpg")
    assert read_dataset(flickr_layout).examples[0].image.name == "0#1.jpg"


def test_picture_missing(flickr_layout):
    (flickr_layout / "Flicker8k_Dataset" / "3.jpg").unlink()
    problem = only_problem(flickr_layout)
    assert problem.place == f"{train_list(flickr_layout)}:4"
    assert str(flickr_layout / "Flicker8k_Dataset" / "3.jpg") in problem.message
    assert "3.jpg" not in names(read_dataset(flickr_layout), "train")


def test_all_pictures_missing(flickr_layout):
    for path in (flickr_layout / "Flicker8k_Dataset").iterdir():
        path.unlink()
    assert "--images" in refused(flickr_layout)


def test_listed_without_a_caption(flickr_layout, picture):
    picture("new.jpg", folder=flickr_layout / "Flicker8k_Dataset")
    change(train_list(flickr_layout), "2.jpg\n", "2.jpg\nnew.jpg\n")
    problem = only_problem(flickr_layout)
    assert str(problem) == f"{train_list(flickr_layout)}:4: new.jpg has no caption; skipped"


def test_image_in_two_splits_stays_in_the_first(flickr_layout):
    """A dev picture that is also in training would make every dev figure too good."""
    path = flickr_layout / "Flickr_8k.devImages.txt"
    path.write_text("7.jpg\n" + path.read_text())
    problem = only_problem(flickr_layout)
    assert str(problem) == f"{path}:1: 7.jpg is already in the train split; skipped"
    dataset = read_dataset(flickr_layout)
    assert "7.jpg" in names(dataset, "train")
    assert "7.jpg" not in names(dataset, "dev")


def test_image_listed_twice(flickr_layout):
    change(train_list(flickr_layout), "0.jpg\n", "0.jpg\n0.jpg\n")
    assert "already in the train split" in only_problem(flickr_layout).message
    assert names(read_dataset(flickr_layout), "train").count("0.jpg") == 1


def test_empty_split_list(flickr_layout):
    train_list(flickr_layout).write_text("\n")
    assert refused(flickr_layout) == f"{train_list(flickr_layout)}: the file is empty"


def test_byte_order_mark_and_windows_lines(flickr_layout):
    expected = read_dataset(flickr_layout)
    for path in flickr_layout.glob("*.txt"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_dataset(flickr_layout) == expected


def test_blank_lines_and_no_last_newline(flickr_layout):
    expected = read_dataset(flickr_layout)
    for path in flickr_layout.glob("*.txt"):
        path.write_text("\n\n" + path.read_text().replace("\n", "\n\n").rstrip())
    assert read_dataset(flickr_layout) == expected


@pytest.mark.parametrize("name", ["../../x.jpg", "..", ".", "/etc/passwd", "a/../../x.jpg", "x\0"])
def test_names_that_lead_out_of_the_folder(flickr_layout, picture, name):
    picture("x.jpg", folder=flickr_layout.parent)
    with captions(flickr_layout).open("a") as file:
        file.write(f"{name}#0\tA dog runs .\n")
    with train_list(flickr_layout).open("a") as file:
        file.write(f"{name}\n")
    dataset = read_dataset(flickr_layout)
    assert len(dataset.examples) == 11
    assert {e.image.parent for e in dataset.examples} == {flickr_layout / "Flicker8k_Dataset"}
    assert dataset.problems
    assert all(str(problem).isprintable() for problem in dataset.problems)


def test_terminal_escapes_in_names_are_not_repeated(flickr_layout):
    with train_list(flickr_layout).open("a") as file:
        file.write("\x1b[31m.jpg\n")
    assert "\\x1b[31m.jpg has no caption" in only_problem(flickr_layout).message


def test_lines_are_split_at_newlines_only(tmp_path):
    (tmp_path / "a.txt").write_text("one\u2028still one\x0cand more\ntwo\r\n\n")
    assert read_lines(tmp_path / "a.txt") == ["one\u2028still one\x0cand more", "two", "", ""]


def data_or_error(data: Path) -> None:
    try:
        dataset = read_dataset(data)
    except DataError:
        return
    assert dataset.examples
    for example in dataset.examples:
        assert example.image.parent == data / "Flicker8k_Dataset"
        assert example.image.is_file()
        assert example.sentences


def test_mutated_files(flickr_layout):
    source = random.Random(0)
    for path in sorted(flickr_layout.glob("*.txt")):
        sound = path.read_bytes()
        for _ in range(120):
            content = bytearray(sound)
            for _ in range(source.randint(1, 5)):
                at = source.randrange(len(content))
                # Signs that mean something, more often than any byte.
                what = source.choice([*b"\n\t#\r\0/. \x1b", source.randrange(256)])
                content[at : at + source.randint(0, 2)] = bytes([what])
            path.write_bytes(content)
            data_or_error(flickr_layout)
        path.write_bytes(sound)


@given(st.binary(max_size=60) | st.text("0123.jpg#\t\na/ é", max_size=60).map(str.encode))
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_as_captions(flickr_layout, content):
    captions(flickr_layout).write_bytes(content)
    data_or_error(flickr_layout)


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
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
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
