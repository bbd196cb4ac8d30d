"""The one picture that a name means is found; several are named, and none is guessed."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataset_layouts import jpeg, put, put_pictures, refused
from mrnn.datasets import DataSet, read_dataset
from mrnn.datasets.locating import Located, Locator

NFC, NFD = "Müller 1.jpg", unicodedata.normalize("NFD", "Müller 1.jpg")


def table(folder: Path, *names: str) -> Path:
    """A CSV file that says `picture N` of the Nth name."""
    rows = "".join(f'"{name}",picture {i}\n' for i, name in enumerate(names))
    return put(folder / "captions.csv", f"image,caption\n{rows}")


def said(dataset: DataSet) -> dict[str, str]:
    return {e.image.name: " / ".join(e.sentences) for e in dataset.examples}


@pytest.mark.parametrize(
    ("written", "there"),
    [
        (NFC, NFD),
        (NFD, NFC),
        ("a.jpg", "a.JPG"),
        ("A.JPG", "a.jpg"),
        ("a", "a.png"),
        ("a.jpeg", "a.jpg"),
        ("deep\\a.jpg", "deep/a.jpg"),
        ("Deep/a.jpg", "deep/A.jpg"),
        ("my%20photo.jpg", "my photo.jpg"),
        ("caf%C3%A9.jpg", unicodedata.normalize("NFD", "café.jpg")),
        ("/home/somebody/set/images/deep/a.jpg", "deep/a.jpg"),
        ("/home/somebody/a.jpg", "a.JPG"),
        ("C:\\Users\\me\\set\\a.jpg", "a.jpg"),
        ("file:///data/my%20photo.jpg", "my photo.jpg"),
        ("https://example.org/set/a.jpg", "a.jpg"),
        ("../images/a.jpg", "a.jpg"),
        ("./a.jpg", "a.jpg"),
    ],
)
def test_a_name_written_in_another_way(tmp_path, written, there):
    put(tmp_path / "images" / there, jpeg("1.jpg"))
    put(tmp_path / "images" / "other.jpg", jpeg("2.jpg"))
    table(tmp_path, written, "other.jpg")
    dataset = read_dataset(tmp_path)
    assert dataset.problems == ()
    assert dataset.examples[0].image == tmp_path / "images" / there
    assert dataset.examples[0].sentences == ("picture 0",)


def test_a_file_of_just_that_name_counts_first(tmp_path):
    for i, name in enumerate(("my%20photo.jpg", "my photo.jpg", "b.JPG", "b.jpg", "c.png")):
        put(tmp_path / name, jpeg(f"{i}.jpg"))
    put(tmp_path / "c", jpeg("7.jpg"))
    table(tmp_path, "my%20photo.jpg", "my photo.jpg", "b.JPG", "b.jpg", "c", "c.png")
    dataset = read_dataset(tmp_path)
    assert dataset.problems == ()
    assert said(dataset) == {
        "my%20photo.jpg": "picture 0",
        "my photo.jpg": "picture 1",
        "b.JPG": "picture 2",
        "b.jpg": "picture 3",
        "c": "picture 4",
        "c.png": "picture 5",
    }


@pytest.mark.parametrize(
    ("written", "there"),
    [
        ("a", ("a.jpg", "a.png")),
        ("A.jpg", ("a.jpg", "a.JPG")),
        ("/x/a.jpg", ("images/a.jpg", "photos/a.jpg")),
        ("a.jpg", ("images/a.jpg", "photos/a.jpg")),
        ("a.jpg", ("images/a.jpg", "a.jpg")),
        ("a.jpg", ("train2014/a.jpg", "val2014/a.jpg")),
    ],
)
def test_several_pictures_of_a_name_are_an_error_that_names_them(tmp_path, written, there):
    for i, name in enumerate((*there, "other.jpg")):
        put(tmp_path / name, jpeg(f"{i}.jpg"))
    table(tmp_path, written, "other.jpg")
    [problem] = read_dataset(tmp_path).problems
    assert problem.message.startswith(f"several pictures could be '{written}': ")
    assert all(str(tmp_path / name) in problem.message for name in there)
    assert "name one folder with --images" in problem.message
    dataset = read_dataset(tmp_path, tmp_path / Path(there[0]).parent)
    if len({Path(name).parent for name in there}) > 1 and Path(there[0]).parent != Path():
        assert said(dataset)["a.jpg"] == "picture 0"


def test_copies_of_a_picture_are_one(tmp_path):
    for folder in ("images", "photos"):
        put(tmp_path / folder / "0.jpg", jpeg("0.jpg"))
    table(tmp_path, "0.jpg")
    dataset = read_dataset(tmp_path)
    assert (dataset.problems, len(dataset.examples)) == ((), 1)


def test_the_folder_of_the_split_has_its_pictures(tmp_path):
    """Two folders with pictures of one name: each file's captions belong to its own."""
    for split, number in (("train2014", 1), ("val2014", 2)):
        put(tmp_path / split / "0.jpg", jpeg(f"{number}.jpg"))
        put(tmp_path / f"captions_{split}.csv", f"image,caption\n0.jpg,of {split}\n")
    dataset = read_dataset(tmp_path)
    assert dataset.problems == ()
    assert {e.image: (e.split, e.sentences) for e in dataset.examples} == {
        tmp_path / "train2014" / "0.jpg": ("train", ("of train2014",)),
        tmp_path / "val2014" / "0.jpg": ("dev", ("of val2014",)),
    }


@pytest.mark.parametrize("first", [0, 1])
def test_two_names_that_mean_two_pictures_never_share_one(tmp_path, first):
    put_pictures(tmp_path / "images", ("0.jpg", "1.jpg"))
    names = ["/set/cats/0.jpg", "/set/dogs/0.jpg"][:: 1 if first else -1]
    table(tmp_path, *names, "1.jpg")
    dataset = read_dataset(tmp_path)
    assert said(dataset) == {"1.jpg": "picture 2"}
    assert len(dataset.problems) == 2
    assert all("its captions are skipped" in problem.message for problem in dataset.problems)


@pytest.mark.parametrize("first", [0, 1])
def test_who_names_a_file_as_it_is_has_it(tmp_path, first):
    put_pictures(tmp_path / "images", ("0.jpg", "1.jpg"))
    names = ["0.png", "0.jpg"][:: 1 if first else -1]
    table(tmp_path, *names, "1.jpg")
    dataset = read_dataset(tmp_path)
    assert said(dataset) == {"0.jpg": f"picture {names.index('0.jpg')}", "1.jpg": "picture 2"}
    [problem] = dataset.problems
    assert problem.message.startswith("no picture '0.png': ")
    assert problem.message.endswith("is '0.jpg'; its captions are skipped")


def test_spellings_of_one_picture_are_one_picture(tmp_path):
    put_pictures(tmp_path / "images", ("0.jpg", "1.jpg"))
    table(tmp_path, "0.jpg", "0.JPG", "./0.jpg", "0", "1")
    dataset = read_dataset(tmp_path)
    assert dataset.problems == ()
    assert said(dataset) == {
        "0.jpg": "picture 0 / picture 1 / picture 2 / picture 3",
        "1.jpg": "picture 4",
    }


def test_one_picture_in_two_splits_by_two_spellings(tmp_path):
    put_pictures(tmp_path / "images", ("0.jpg", "1.jpg"))
    rows = "0.jpg,A dog,train\n1.jpg,A cat,val\nimages/0.jpg,The dog,val\n0.JPG,Dogs,test\n"
    put(tmp_path / "captions.csv", f"image,caption,split\n{rows}")
    dataset = read_dataset(tmp_path)
    assert dataset.counts() == {"train": 1, "dev": 1}
    assert [p.message for p in dataset.problems] == [
        "images/0.jpg is already in the train split; skipped",
        "0.JPG is already in the train split; skipped",
    ]


def test_nothing_outside_is_found(tmp_path):
    data = tmp_path / "birds"
    put_pictures(tmp_path, ("0.jpg",))
    put_pictures(data / "images", ("1.jpg",))
    table(data, str(tmp_path / "0.jpg"), "../0.jpg", "images/../../0.jpg", "1.jpg")
    dataset = read_dataset(data)
    assert said(dataset) == {"1.jpg": "picture 3"}
    assert len(dataset.problems) == 3
    assert all("leads outside the data folder; skipped" in p.message for p in dataset.problems)
    table(data, str(tmp_path / "0.jpg"))
    assert "name the folder of the pictures with --images" in refused(data)
    assert said(read_dataset(data, tmp_path)) == {"0.jpg": "picture 0"}


def test_texts_and_pictures_whose_names_look_the_same(tmp_path):
    put(tmp_path / NFC, jpeg("0.jpg"))
    put(tmp_path / NFD.replace(".jpg", ".txt"), "A dog\n")
    dataset = read_dataset(tmp_path)
    assert dataset.problems == ()
    assert said(dataset) == {NFC: "A dog"}


@given(st.text("aA./\\%20:~é\u0301\0\ud800", max_size=12))
@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_name_leads_to_a_picture_inside_or_to_a_reason(tmp_path, name):
    put_pictures(tmp_path, ("0.jpg",))
    home = tmp_path / "images"
    for there in ("a.jpg", "aé.jpg", "a 2/A.png"):
        if not (home / there).exists():
            put(home / there, jpeg("1.jpg"))
    found = Locator().find(name, (home,), None)
    if isinstance(found, Located):
        path = found.home / found.name
        assert path.is_file()
        assert home in path.parents
        assert ".." not in path.parts
    else:
        assert found.isprintable()
