"""A data set as a sequence, and the Flickr releases: each fault named with its place."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mrnn.datasets import DataSet, Problem, read_dataset
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


def test_a_dev_list_alone_is_for_evaluation(flickr_layout):
    train_list(flickr_layout).unlink()
    dataset = read_dataset(flickr_layout)
    assert dataset.counts() == {"dev": 3}
    assert dataset.split_origin == "given by the data"
    with pytest.raises(
        DataError, match=r"no captioned images in the train split; it has dev \(3\)"
    ):
        dataset.split("train")


def test_a_train_list_alone_gives_dev_too(flickr_layout):
    (flickr_layout / "Flickr_8k.devImages.txt").unlink()
    dataset = read_dataset(flickr_layout)
    assert dataset.split_origin == "dev: a tenth of train, chosen by seed 1"
    assert set(dataset.counts()) == {"train", "dev"}
    listed = {f"{i}.jpg" for i in range(8)}
    assert {*names(dataset, "train"), *names(dataset, "dev")} == listed


def test_no_split_list(flickr_layout):
    for path in flickr_layout.glob("*Images.txt"):
        path.unlink()
    dataset = read_dataset(flickr_layout)
    assert len(dataset.examples) == 11
    assert dataset.problems == ()
    assert dataset.split_origin == (
        "a tenth of the pictures each for dev and test, chosen by seed 1"
    )


@pytest.mark.parametrize("prefix", ["", "flickr30k_", "Flickr30k."])
def test_lists_as_flickr30k_has_them(flickr_layout, prefix):
    """Entries without `.jpg`, in files named after the split."""
    for old, new in (("train", "train"), ("dev", "val")):
        path = flickr_layout / f"Flickr_8k.{old}Images.txt"
        text = path.read_text().replace(".jpg", "")
        (flickr_layout / f"{prefix}{new}.txt").write_text(text)
        path.unlink()
    dataset = read_dataset(flickr_layout)
    assert dataset.counts() == {"train": 8, "dev": 3}
    assert dataset.problems == ()


def test_pictures_that_no_list_names_are_left_out_in_silence(flickr_layout):
    change(train_list(flickr_layout), "3.jpg\n", "")
    dataset = read_dataset(flickr_layout)
    assert dataset.problems == ()
    assert dataset.counts() == {"train": 7, "dev": 3}


def test_a_sequence_of_examples(flickr_layout):
    examples = read_dataset(flickr_layout).examples
    everything = list(examples)
    assert len(examples) == len(everything) == 11
    assert [examples[i] for i in range(11)] == everything
    assert examples[-1] == everything[-1]
    assert list(examples[2:9:3]) == everything[2:9:3]
    assert list(examples[:None]) == everything
    assert list(examples[5:][-2:]) == everything[-2:]
    assert list(reversed(examples)) == everything[::-1]
    assert everything[4] in examples
    assert examples.index(everything[4]) == 4
    assert examples == everything
    assert examples[:3] != everything[1:4]
    assert examples[:3] != everything
    assert not examples[:0]
    for index in (11, -12):
        with pytest.raises(IndexError):
            examples[index]


def test_a_split_is_such_a_sequence(flickr_layout):
    dataset = read_dataset(flickr_layout)
    dev = dataset.split("dev")
    assert [example.split for example in dev] == ["dev"] * 3
    assert dev[1:] == dataset.examples[9:]
    assert names(dataset, "dev") == [example.image.name for example in dev]


def test_data_sets_are_equal_if_all_they_hold_is(flickr_layout):
    first = read_dataset(flickr_layout)
    assert read_dataset(flickr_layout) == first
    change(captions(flickr_layout), "The dog runs", "The dog sits")
    assert read_dataset(flickr_layout) != first


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


def test_pictures_that_may_not_be_opened(flickr_layout, monkeypatch):
    sound = os.stat

    def stat(path, **options):
        if Path(path).parent.name == "Flicker8k_Dataset":
            raise PermissionError(13, "Permission denied")
        return sound(path, **options)

    monkeypatch.setattr("os.stat", stat)
    path = flickr_layout / "Flicker8k_Dataset" / "0.jpg"
    assert f"no picture {path} (Permission denied)" in refused(flickr_layout)


def test_no_such_folder(tmp_path):
    assert refused(tmp_path / "gone") == f"{tmp_path / 'gone'}: no such folder or file"
    assert "cannot be read (File name too long)" in refused(tmp_path / ("x" * 300))


def test_folder_that_cannot_be_listed(flickr_layout, monkeypatch):
    def scandir(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", scandir)
    assert refused(flickr_layout) == f"{flickr_layout}: cannot be read (Permission denied)"


def test_the_caption_file_itself(flickr_layout):
    dataset = read_dataset(captions(flickr_layout))
    assert dataset.name == "birds/Flickr8k.token.txt"
    assert dataset.examples == read_dataset(flickr_layout).examples


def test_two_caption_files(flickr_layout):
    other = flickr_layout / "second.token.txt"
    other.write_text("0.jpg#0\tA dog\n")
    assert refused(flickr_layout) == (
        f"{other}: Flickr8k.token.txt lies beside it; name the one to be read, or move the other"
    )
    assert len(read_dataset(captions(flickr_layout)).examples) == 11


def test_caption_files_of_several_splits(flickr_layout):
    for path in flickr_layout.glob("*Images.txt"):
        path.unlink()
    lines = captions(flickr_layout).read_text().splitlines(keepends=True)
    captions(flickr_layout).unlink()
    (flickr_layout / "val.token").write_text("".join(lines[:4]))
    (flickr_layout / "train.token").write_text("".join(lines[4:]))
    assert read_dataset(flickr_layout).counts() == {"train": 9, "dev": 2}


@pytest.mark.parametrize("content", ["", "\n \n\t\n", "\ufeff"])
def test_empty_caption_file(flickr_layout, content):
    captions(flickr_layout).write_text(content)
    assert refused(flickr_layout) == f"{captions(flickr_layout)}: the file is empty"


def test_caption_file_that_is_a_folder(flickr_layout):
    captions(flickr_layout).unlink()
    captions(flickr_layout).mkdir()
    message = refused(flickr_layout)
    assert message.startswith(f"{flickr_layout}: no captions found; looked for: a *.token.txt")


def test_list_that_is_not_utf8(flickr_layout):
    path = train_list(flickr_layout)
    path.write_bytes(b"0.jpg\n1.jpg\ncaf\xe9.jpg\n")
    message = refused(flickr_layout)
    assert message.startswith(f"{path}:3: not UTF-8 (byte 0xe9)")
    assert "save the file as UTF-8" in message


def test_caption_that_is_not_utf8(flickr_layout):
    path = captions(flickr_layout)
    path.write_bytes(path.read_bytes().replace(b"The cat", b"The caf\xe9", 1))
    assert str(only_problem(flickr_layout)) == f"{path}:4: not UTF-8 (byte 0xe9); skipped"
    assert read_dataset(flickr_layout).examples[1].sentences == ("A cat sits .",)


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
    assert str(problem) == f"{captions(flickr_layout)}:1: the caption has no words; skipped"
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


def data_or_error(data: Path) -> None:
    try:
        dataset = read_dataset(data)
    except DataError:
        return
    assert dataset.examples
    assert all(str(problem).isprintable() for problem in dataset.problems)
    for example in dataset.examples:
        assert data in example.image.parents
        assert example.image.is_file()
        assert example.sentences


def test_mutated_files(flickr_layout):
    source = random.Random(0)
    for path in sorted(flickr_layout.glob("*.txt")):
        sound = path.read_bytes()
        for _ in range(50):
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
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_as_captions(flickr_layout, content):
    captions(flickr_layout).write_bytes(content)
    data_or_error(flickr_layout)
