"""A caption never goes to another picture than its own: what cannot be told is reported."""

from __future__ import annotations

import json
from pathlib import Path

from dataset_layouts import put, put_pictures
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
