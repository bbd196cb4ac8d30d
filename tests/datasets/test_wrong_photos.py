"""A caption never goes to another picture than its own: what cannot be told is reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dataset_layouts import base_name, put, put_pictures
from mrnn.datasets import DataSet, read_dataset


def said(dataset: DataSet) -> dict[str, list[str]]:
    """Captions by the paths of their pictures."""
    return {str(e.image): list(e.sentences) for e in dataset.examples}


def messages(dataset: DataSet) -> str:
    return "\n".join(map(str, dataset.problems))


def records(data: Path, *rows: dict[str, object]) -> Path:
    put(data / "captions.json", json.dumps(rows))
    return data


def test_an_id_beside_a_name_finds_no_other_picture(tmp_path):
    put_pictures(tmp_path / "images", ("4.jpg", "5.jpg"))
    records(
        tmp_path,
        {"image_id": 0, "image": "5.jpg", "caption": "of five"},
        {"image_id": 1, "image": "4.jpg", "caption": "of four"},
        {"image_id": 4, "image": "9.jpg", "caption": "of a missing one"},
    )
    dataset = read_dataset(tmp_path)
    assert said(dataset) == {
        str(tmp_path / "images/5.jpg"): ["of five"],
        str(tmp_path / "images/4.jpg"): ["of four"],
    }
    assert "9.jpg" in messages(dataset)


@pytest.mark.parametrize("other", ["1.JPG", "./1.jpg", "1", "1.jpg"])
def test_two_ids_of_one_file_however_it_is_written(tmp_path, other):
    put_pictures(tmp_path / "images", ("1.jpg", "2.jpg"))
    names = ("1.jpg", other, "2.jpg", "images/1.jpg")
    document = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
        "annotations": [{"image_id": i, "caption": f"A caption {i}"} for i in range(4)],
    }
    put(tmp_path / "captions.json", json.dumps(document))
    dataset = read_dataset(tmp_path)
    assert said(dataset) == {str(tmp_path / "images/2.jpg"): ["A caption 2"]}
    assert "stands for several pictures (0 and 1)" in messages(dataset)


def test_an_id_of_two_files_is_no_pictures(tmp_path):
    put_pictures(tmp_path / "images", ("1.jpg", "2.jpg", "3.jpg"))
    document = {
        "images": [
            {"id": 1, "file_name": "1.jpg"},
            {"id": "01", "file_name": "2.jpg"},
            {"id": 3, "file_name": "3.jpg"},
        ],
        "annotations": [{"image_id": i, "caption": f"Of {i}"} for i in (1, "01", 3)],
    }
    put(tmp_path / "captions.json", json.dumps(document))
    dataset = read_dataset(tmp_path)
    assert said(dataset) == {str(tmp_path / "images/3.jpg"): ["Of 3"]}
    assert messages(dataset).count("has several file_names; skipped") == 2


def test_karpathys_pictures_are_told_apart_by_cocoid(tmp_path):
    put_pictures(tmp_path / "images", ("1.jpg", "2.jpg"))
    images = [
        {"cocoid": i, "filename": name, "split": "train", "sentences": [{"raw": f"Of {i}"}]}
        for i, name in enumerate(("1.jpg", "1.jpg", "2.jpg"))
    ]
    put(tmp_path / "dataset.json", json.dumps({"images": images}))
    dataset = read_dataset(tmp_path)
    assert said(dataset) == {str(tmp_path / "images/2.jpg"): ["Of 2"]}
    assert "stands for several pictures" in messages(dataset)


def test_two_uploads_of_one_name_are_two_pictures(tmp_path):
    put_pictures(tmp_path / "images", ("1.jpg", "2.jpg"))
    names = ("12345678-1.jpg", "87654321-1.jpg", "11111111-2.jpg", "11111111-2.jpg")
    rows = [
        {"id": i, "image": f"/data/upload/1/{name}", "caption": f"Caption {i}"}
        for i, name in enumerate(names)
    ]
    expected = {str(tmp_path / "images/2.jpg"): ["Caption 2", "Caption 3"]}
    what = "stands for several pictures (12345678-1.jpg and 87654321-1.jpg)"
    records(tmp_path, *rows)
    assert said(read_dataset(tmp_path)) == expected
    assert what in messages(read_dataset(tmp_path))
    (tmp_path / "captions.json").unlink()
    lines = [",".join(map(str, row.values())) for row in rows]
    put(tmp_path / "captions.csv", "\n".join(["id,image,caption", *lines]))
    assert said(read_dataset(tmp_path)) == expected
    assert what in messages(read_dataset(tmp_path))


def test_classes_have_files_of_one_name(tmp_path):
    classes = {
        name: [{"filename": "1.jpg", "raw": f"Some {name}"}] for name in ("airport", "beach")
    }
    put(
        tmp_path / "captions.json",
        json.dumps({**classes, "lake": [{"filename": "2.jpg", "raw": "A lake"}]}),
    )
    put_pictures(tmp_path / "images", ("1.jpg", "2.jpg"))
    lake = {str(tmp_path / "images/2.jpg"): ["A lake"]}
    dataset = read_dataset(tmp_path)
    assert said(dataset) == lake
    assert all(f"{name}/1.jpg; its captions" in messages(dataset) for name in classes)
    put_pictures(tmp_path / "images/airport", ("1.jpg",))
    airport = {str(tmp_path / "images/airport/1.jpg"): ["Some airport"]}
    dataset = read_dataset(tmp_path)
    assert said(dataset) == lake | airport
    assert "beach/1.jpg; its captions are skipped" in messages(dataset)
    put_pictures(tmp_path / "images/beach", ("1.jpg",))
    dataset = read_dataset(tmp_path)
    assert said(dataset) == {
        **(lake | airport),
        str(tmp_path / "images/beach/1.jpg"): ["Some beach"],
    }
    assert dataset.problems == ()


def test_two_image_ids_of_one_file_in_records(tmp_path):
    put_pictures(tmp_path / "images", ("1.jpg", "2.jpg"))
    records(
        tmp_path,
        {"image_id": 1, "image": "1.jpg", "caption": "One"},
        {"image_id": 2, "image": "1.jpg", "caption": "Another"},
        {"image_id": 3, "image": "2.jpg", "caption": "The same", "id": 1},
        {"image_id": "3", "image": "2.jpg", "caption": "As before", "id": 2},
    )
    dataset = read_dataset(tmp_path)
    assert said(dataset) == {str(tmp_path / "images/2.jpg"): ["The same", "As before"]}
    assert "1.jpg stands for several pictures (1 and 2)" in messages(dataset)


@pytest.mark.parametrize("column", ["filepath", "folder", "dir", "subfolder"])
def test_a_folder_stands_beside_the_name(tmp_path, column):
    put_pictures(tmp_path / "images", ("1.jpg",))
    put_pictures(tmp_path / "images/cats", ("1.jpg",))
    rows = [
        {column: "cats", "filename": "1.jpg", "caption": "A cat"},
        {column: "dogs", "filename": "1.jpg", "caption": "A dog"},
        {column: "", "filename": "1.jpg", "caption": "Something"},
        {column: "images/cats/1.jpg", "filename": "1.jpg", "caption": "Its path"},
    ]
    expected = {
        str(tmp_path / "images/cats/1.jpg"): ["A cat", "Its path"],
        str(tmp_path / "images/1.jpg"): ["Something"],
    }
    records(tmp_path, *rows)
    assert said(read_dataset(tmp_path)) == expected
    assert "dogs/1.jpg; its captions are skipped" in messages(read_dataset(tmp_path))
    (tmp_path / "captions.json").unlink()
    lines = [",".join(row.values()) for row in rows]
    put(tmp_path / "captions.csv", "\n".join([f"{column},filename,caption", *lines]))
    assert said(read_dataset(tmp_path)) == expected
    assert "dogs/1.jpg; its captions are skipped" in messages(read_dataset(tmp_path))


def test_two_image_ids_of_one_file_in_a_table(tmp_path):
    put_pictures(tmp_path / "images", ("1.jpg", "2.jpg"))
    lines = [
        "1,1.jpg,One",
        "2,1.jpg,Another",
        "3,2.jpg,The same",
        "3,2.jpg,As before",
        ",2.jpg,Too",
    ]
    put(tmp_path / "captions.csv", "\n".join(["image_id,image,caption", *lines]))
    dataset = read_dataset(tmp_path)
    assert said(dataset) == {str(tmp_path / "images/2.jpg"): ["The same", "As before", "Too"]}
    assert "1.jpg stands for several pictures (1 and 2)" in messages(dataset)


def test_a_split_whose_folder_is_missing_takes_nothing_of_another(tmp_path):
    put_pictures(tmp_path / "val", ("1.jpg", "2.jpg", "3.jpg", "4.jpg"))
    (tmp_path / "val/3.jpg").rename(tmp_path / "val/COCO_val2014_3.jpg")
    put(tmp_path / "val.csv", "image,caption\n2.jpg,A val picture\n")
    lines = ["1.jpg,A train picture", "COCO_val2014_3.jpg,Of restval", "val/4.jpg,By its path"]
    put(tmp_path / "train.csv", "\n".join(["image,caption", *lines]))
    dataset = read_dataset(tmp_path)
    assert said(dataset) == {
        str(tmp_path / "val/2.jpg"): ["A val picture"],
        str(tmp_path / "val/COCO_val2014_3.jpg"): ["Of restval"],
        str(tmp_path / "val/4.jpg"): ["By its path"],
    }
    assert "no picture '1.jpg' of the train split" in messages(dataset)


def test_a_folder_of_another_split_may_be_named(tmp_path):
    put_pictures(tmp_path / "val", ("1.jpg", "2.jpg"))
    put(tmp_path / "c.csv", "image,caption,split\n1.jpg,For training,train\n2.jpg,For dev,val\n")
    assert said(read_dataset(tmp_path)) == {str(tmp_path / "val/2.jpg"): ["For dev"]}
    dataset = read_dataset(tmp_path, tmp_path / "val")
    assert (dataset.problems, dataset.counts()) == ((), {"train": 1, "dev": 1})


def test_a_text_of_two_pictures_is_of_neither_unless_they_are_copies(tmp_path):
    put_pictures(tmp_path, ("1.jpg", "2.jpg", "3.jpg"))
    (tmp_path / "2.jpg").rename(tmp_path / "1.png")
    put(tmp_path / "3.jpeg", (tmp_path / "3.jpg").read_bytes())
    put(tmp_path / "1.txt", "Of one of them")
    put(tmp_path / "3.txt", "Of a picture and its copy")
    dataset = read_dataset(tmp_path)
    assert {base_name(e.image) for e in dataset.examples} <= {"3.jpg", "3.jpeg"}
    assert messages(dataset).count("1.txt may be of 1.jpg and 1.png, which differ; skipped") == 2


def test_a_text_that_has_its_picture_goes_to_no_other(tmp_path):
    put_pictures(tmp_path, ("1.jpg", "2.jpg"))
    composed, apart = "caf\u00e9", "cafe\u0301"
    (tmp_path / "1.jpg").rename(tmp_path / f"{composed}.jpg")
    (tmp_path / "2.jpg").rename(tmp_path / f"{apart}.jpg")
    put(tmp_path / f"{composed}.txt", "Of the first")
    dataset = read_dataset(tmp_path)
    assert said(dataset) == {str(tmp_path / f"{composed}.jpg"): ["Of the first"]}
    assert f"no {apart}.txt with captions" in messages(dataset)
