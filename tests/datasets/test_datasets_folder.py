"""A folder of pictures with text files, and IAPR TC-12's folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset_layouts import folder, iapr, jpeg, only_problem, put, put_pictures, refused
from mrnn.datasets import DataSet, read_dataset


def places(dataset: DataSet) -> list[Path]:
    return [example.image for example in dataset.examples]


def test_folders_within_folders_and_no_splits(tmp_path):
    for path in ("1.jpg", "b/2.PNG", "b/3.jpeg", "b/deep/4.jpg"):
        put((tmp_path / path).with_suffix(".txt"), "A dog\n\n The dog \n")
        put(tmp_path / path, jpeg("0.jpg"))
    dataset = read_dataset(tmp_path)
    assert places(dataset) == [
        tmp_path / path for path in ("1.jpg", "b/2.PNG", "b/3.jpeg", "b/deep/4.jpg")
    ]
    assert {example.sentences for example in dataset.examples} == {("A dog", "The dog")}
    assert dataset.split_origin.startswith("a tenth of the pictures each")


@pytest.mark.parametrize("name", ["val", "dev", "valid", "validation"])
def test_top_folders_are_splits(tmp_path, name):
    data = folder(tmp_path / "birds")
    (data / "val").rename(data / name)
    put(data / "train" / "test" / "x.jpg", jpeg("0.jpg"))
    put(data / "train" / "test" / "x.txt", "A dog")
    assert read_dataset(data).counts() == {"train": 9, "dev": 3}


def test_pictures_and_texts_without_each_other(tmp_path):
    data = folder(tmp_path / "birds")
    put_pictures(data / "val", ("20.jpg",))
    put(data / "train" / "30.txt", "A dog\n")
    put(data / "extra" / "40.jpg", jpeg("40.jpg"))
    put(data / "extra" / "40.txt", "A dog\n")
    dataset = read_dataset(data)
    assert {str(problem): problem.split for problem in dataset.problems} == {
        f"{data}/train/30.txt: no picture of that name beside it; skipped": "train",
        f"{data}/val/20.jpg: no 20.txt with captions beside it; skipped": "dev",
        f"{data}/extra/40.txt:1: no split, while other pictures have one; skipped": None,
    }
    assert len(dataset.examples) == 11


@pytest.mark.parametrize("end", [".caption", ".jpg.txt", ".jpg.caption", ".CAPTION", ".TXT"])
def test_other_names_of_the_text(tmp_path, end):
    data = folder(tmp_path / "birds")
    for path in data.glob("*/*.txt"):
        path.rename(path.with_name(path.stem + end))
    dataset = read_dataset(data)
    assert dataset.problems == ()
    assert dataset.counts() == {"train": 8, "dev": 3}


@pytest.mark.parametrize(
    ("texts", "counts"),
    [
        (("3.caption", "3.txt"), "3.caption"),  # as the trainers of kohya have them
        (("3.jpg.caption", "3.txt"), "3.txt"),
        (("3.jpg.txt", "3.jpg.caption", "3.txt"), "3.txt"),
    ],
)
def test_of_several_texts_the_first_kind_counts_and_the_others_are_told(tmp_path, texts, counts):
    data = folder(tmp_path / "birds")
    for name in texts:
        put(data / "train" / name, "the sentence" if name == counts else "dog, snow")
    dataset = read_dataset(data)
    assert dataset.examples[3].sentences == ("the sentence",)
    assert len(dataset.examples) == 11
    [problem] = dataset.problems
    assert problem.place == str(data)
    count = len(texts) - 1
    assert problem.message.startswith(f"{count} texts of pictures that have another are not read")
    assert problem.message.endswith(f"(but {counts})")


def test_what_devices_keep_among_pictures_is_none_of_the_data(tmp_path):
    data = folder(tmp_path / "birds")
    before = places(read_dataset(data))
    for name in ("@eaDir/0.jpg", "#recycle", "__MACOSX"):
        put(data / "train" / name / "9.jpg", jpeg("9.jpg"))
        put(data / name / "9.txt", "A dog\n")
    dataset = read_dataset(data)
    assert dataset.problems == ()
    assert places(dataset) == before


def test_our_own_captions_are_none_of_the_data(tmp_path):
    data = folder(tmp_path / "birds")
    put(data / "train" / "0.jpg.caption.txt", "What mrnn said\n")
    dataset = read_dataset(data)
    assert dataset.problems == ()
    assert dataset.examples[0].sentences == ("A dog runs .", "The dog runs in the snow .")


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        (b"", "", "the file is empty; skipped"),
        (b" \n", "", "the file is empty; skipped"),
        ("A dog".encode("utf-16"), "", "not UTF-8 text, perhaps UTF-16; save it as UTF-8; skipped"),
        (b"\nA caf\xe9\n", ":2", "not UTF-8 (byte 0xe9); skipped"),
        (b"A dog\n...\n", ":2", "the caption has no words; skipped"),
        (b"A dog\nA \0 cat and a dog and a bird\n", ":2", "the caption holds a NUL character"),
    ],
)
def test_texts_that_cannot_be_used(tmp_path, content, place, message):
    data = folder(tmp_path / "birds")
    path = put(data / "train" / "3.txt", content)
    problem = only_problem(data)
    assert problem.place == f"{path}{place}"
    assert problem.message.startswith(message)
    assert len(read_dataset(data).examples) == (11 if content.startswith(b"A dog") else 10)


def test_links_are_followed_once(tmp_path):
    data = folder(tmp_path / "birds")
    put(tmp_path / "far" / "x.jpg", jpeg("0.jpg"))
    put(tmp_path / "far" / "x.txt", "A dog\n")
    (data / "train" / "far").symlink_to(tmp_path / "far")
    (data / "train" / "loop").symlink_to(data)
    dataset = read_dataset(data)
    assert len(dataset.examples) == 12
    assert data / "train" / "far" / "x.jpg" in places(dataset)


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    data = folder(tmp_path / "birds")
    put(data / "train" / "shut" / "x.jpg", jpeg("0.jpg"))
    sound = __import__("os").scandir

    def scandir(path):
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied")
        return sound(path)

    monkeypatch.setattr("os.scandir", scandir)
    problem = only_problem(data)
    assert str(problem) == f"{data}/train/shut: the folder cannot be read; skipped"
    assert len(read_dataset(data).examples) == 11


def test_texts_and_pictures_of_other_names_are_no_data_set(tmp_path):
    put_pictures(tmp_path)
    put(tmp_path / "notes.txt", "A dog\n")
    assert "no captions found" in refused(tmp_path)


@pytest.fixture
def release(tmp_path):
    return iapr(tmp_path / "iaprtc12")


def annotation(release: Path, number: int = 3) -> Path:
    return release / "annotations_complete_eng" / "00" / f"{number}.eng"


def test_the_folder_of_annotations_may_be_named(release):
    dataset = read_dataset(release / "annotations_complete_eng")
    assert dataset.examples == read_dataset(release).examples
    assert dataset.format == "IAPR TC-12"


def test_lists_choose_the_pictures(release):
    put(release / "iaprtc12_train_list.txt", "00/1\r\n2.jpg\n\nimages/00/3.jpg\n00/4.eng\n")
    dataset = read_dataset(release)
    assert dataset.problems == ()
    assert {path.name for path in places(dataset)} == {
        *("1.jpg", "2.jpg", "3.jpg", "4.jpg"),
        *("8.jpg", "9.jpg", "10.jpg"),
    }
    assert dataset.counts()["test"] == 3


def test_entries_of_lists_that_fit_nothing(release):
    path = put(release / "iaprtc12_train_list.txt", "0\n99\n01/1\n00/2\n00/2\na/b/c/\n")
    test_path = release / "iaprtc12_test_list.txt"
    put(test_path, test_path.read_text() + "00/2\n")
    assert [str(problem) for problem in read_dataset(release).problems] == [
        f"{path}:5: 00/2 is already in the train split; skipped",
        f"{path}:6: expected NN/ID or ID; skipped",
        f"{test_path}:4: 00/2 is already in the train split; skipped",
        f"{path}:2: no annotation of that name; skipped",
        f"{path}:3: no annotation of that name; skipped",
    ]


def test_without_lists_all_pictures_count(release):
    for path in release.glob("*_list.txt"):
        path.unlink()
    dataset = read_dataset(release)
    assert len(dataset.examples) == 11
    assert dataset.split_origin.startswith("a tenth of the pictures each")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<DESCRIPTION>A dog;\n  a\n cat ;</DESCRIPTION>", ("A dog", "a cat")),
        ("<DESCRIPTION>A dog</DESCRIPTION>", ("A dog",)),
        ("< description >A dog; ;; a cat;<NOTES>no</NOTES>", ("A dog", "a cat")),
        ("<DESCRIPTION>A dog; a cat;", ("A dog", "a cat")),
        ("<X>&<DESCRIPTION>Caf\xe9 & bar;</DESCRIPTION></Y>", ("Caf\xe9 & bar",)),
    ],
)
def test_annotations_are_read_tolerantly(release, text, expected):
    put(annotation(release, 0), text.encode("iso-8859-1"))
    dataset = read_dataset(release)
    assert dataset.problems == ()
    assert dataset.examples[0].sentences == expected
    assert dataset.examples[0].image == release / "images" / "00" / "0.jpg"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no <DESCRIPTION>; skipped"),
        ("A dog;", "no <DESCRIPTION>; skipped"),
        ("<DESCRIPTION> ; </DESCRIPTION>", "00/3.jpg has no caption; skipped"),
        ("<DESCRIPTION>A dog</DESCRIPTION><IMAGE>images/00/77.jpg</IMAGE>", "no picture "),
        ("<DESCRIPTION>A dog</DESCRIPTION><IMAGE>/etc/x.jpg</IMAGE>", "'/etc/x.jpg' leads outside"),
        (
            "<DESCRIPTION>A dog</DESCRIPTION><IMAGE>images/../../x</IMAGE>",
            "'../../x' leads outside",
        ),
    ],
)
def test_annotations_that_cannot_be_used(release, text, message):
    put(annotation(release), text)
    problem = only_problem(release)
    assert problem.place == str(annotation(release))
    assert problem.split == "train"
    assert problem.message.startswith(message)
    assert len(read_dataset(release).examples) == 10
