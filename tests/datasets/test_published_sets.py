"""Published sets as they unpack: their folders and files, with invented pictures and captions.

docs/layouts.md has a row for each.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_layouts import (
    ALL,
    DEV,
    FIRST,
    NAMES,
    TRAIN,
    jpeg,
    put,
    put_pictures,
    refused,
    said,
    sentences,
)
from mrnn.datasets import read_dataset
from mrnn.images.reading import read_image

PARTS = (("train", TRAIN), ("val", DEV))


def coco_document(names: tuple[str, ...]) -> dict[str, list[dict[str, object]]]:
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    return {
        "images": images,
        "annotations": [
            {"id": 2 * i + n, "image_id": i, "caption": caption}
            for i, name in enumerate(names)
            for n, caption in enumerate(sentences(name))
        ],
    }


def pictures_alone(names: tuple[str, ...]) -> str:
    return json.dumps({"info": {}, "images": coco_document(names)["images"]})


def vizwiz(data: Path) -> Path:
    """VizWiz-Captions and nocaps: train/, val/, test/ beside annotations/."""
    for split, names in PARTS:
        put_pictures(data / split, names)
        put(data / "annotations" / f"{split}.json", json.dumps(coco_document(names)))
    return data


def stair(data: Path) -> Path:
    """STAIR Captions: COCO's form, and each file again with its captions in words."""
    for split, names in PARTS:
        put_pictures(data / f"{split}2014", names)
        for end in ("", "_tokenized"):
            document = json.dumps(coco_document(names))
            put(data / f"stair_captions_v1.2_{split}{end}.json", document)
    return data


def textcaps(data: Path) -> Path:
    """A row a caption; the captions of all rows of a picture stand in each of them, too."""
    for split, names in PARTS:
        put_pictures(data / "train_images", names)
        rows = [
            {
                "image_id": name[:-4],
                "image_classes": ["Dog"],
                "set_name": split,
                "image_name": name[:-4],
                "image_path": f"{split}/{name}",
                "caption_id": n,
                "caption_str": caption,
                "caption_tokens": caption.split(),
                "reference_strs": sentences(name),
                "reference_tokens": [caption.split() for caption in sentences(name)],
            }
            for name in names
            for n, caption in enumerate(sentences(name))
        ]
        document = {"dataset_type": split, "dataset_name": "textcaps", "data": rows}
        put(data / f"TextCaps_0.1_{split}.json", json.dumps(document))
    return data


def ai_challenger(data: Path) -> Path:
    """The captions of a picture in a list; a folder of pictures of a long name."""
    put_pictures(data / "caption_train_images_20170902")
    rows = [
        {"url": "https://example.org/1", "image_id": name, "caption": sentences(name)}
        for name in NAMES
    ]
    put(data / "caption_train_annotations_20170902.json", json.dumps(rows))
    return data


def rsicd(data: Path) -> Path:
    """RSICD, UCM-Captions, Sydney-Captions: Karpathy's form; pictures in RSICD_images or imgs."""
    put_pictures(data / "RSICD_images")
    images = [
        {
            "filename": name,
            "imgid": i,
            "split": dict.fromkeys(TRAIN, "train").get(name, "val"),
            "sentences": [{"tokens": s.split(), "raw": s, "imgid": i} for s in sentences(name)],
        }
        for i, name in enumerate(NAMES)
    ]
    put(data / "dataset_rsicd.json", json.dumps({"images": images, "dataset": "rsicd"}))
    return data


def nwpu(data: Path) -> Path:
    """NWPU-Captions: arrays by class, which is the folder of the pictures, too."""
    classes: dict[str, list[dict[str, object]]] = {"airport": [], "ship": []}
    for i, name in enumerate(NAMES):
        group = ("airport", "ship")[i % 2]
        put(data / "NWPU_images" / group / name, jpeg(name))
        raw, raw_1 = sentences(name)
        split = "train" if name in TRAIN else "val"
        row = {"filename": name, "imgid": i, "split": split, "raw": raw, "raw_1": raw_1}
        classes[group].append(row)
    put(data / "dataset_nwpu.json", json.dumps(classes))
    return data


def roco(data: Path) -> Path:
    """A line a caption, a blank after the tab; other lists of the same names beside it."""
    put_pictures(data / "images")
    put(data / "captions.txt", "".join(f"{n[:-4]}\t {sentences(n)[0]}\n" for n in NAMES))
    put(data / "keywords.txt", "".join(f"{n[:-4]}\tdog\tsnow\n" for n in NAMES))
    put(data / "cuis.txt", "".join(f"{n[:-4]}\tC0040405\n" for n in NAMES))
    return data


def redcaps(data: Path) -> Path:
    """A file a subreddit and year, pictures in a folder a subreddit, and no name of a file."""
    for group, names in (("birdpics_2019", NAMES[:5]), ("food_2020", NAMES[5:])):
        subreddit = group.partition("_")[0]
        rows = [
            {
                "image_id": name[:-4],
                "author": "somebody",
                "url": f"https://example.org/{name}",
                "raw_caption": sentences(name)[0].upper(),
                "caption": sentences(name)[0],
                "subreddit": subreddit,
                "score": 7,
            }
            for name in names
        ]
        document = {"info": {"version": "v1.0"}, "annotations": rows}
        put(data / "annotations" / f"{group}.json", json.dumps(document))
        for name in names:
            put(data / "images" / subreddit / name, jpeg(name))
    return data


def localized_narratives(data: Path) -> Path:
    """JSON lines in parts; COCO's ids as text, without the zeros of the names."""
    for split, names in PARTS:
        for name in names:
            put(data / f"{split}2017" / f"{int(name[:-4]):012}.jpg", jpeg(name))
        rows = [
            {
                "dataset_id": f"mscoco_{split}2017",
                "image_id": name[:-4],
                "annotator_id": 93,
                "caption": sentences(name)[0],
                "timed_caption": [{"utterance": "A dog", "start_time": 0.0, "end_time": 0.5}],
                "traces": [[{"x": 0.1, "y": 0.2, "t": 0.0}]],
                "voice_recording": f"coco_{split}/{name[:-4]}.ogg",
            }
            for name in names
        ]
        for number, part in enumerate((rows[:2], rows[2:])):
            path = data / f"coco_{split}_localized_narratives-{number:05}-of-00002.jsonl"
            put(path, "".join(json.dumps(row) + "\n" for row in part))
    return data


def kaggle(data: Path) -> Path:
    """Flickr8K as it is often copied."""
    put_pictures(data / "Images")
    rows = [f"{name},{caption}\n" for name in NAMES for caption in sentences(name)]
    put(data / "captions.txt", "image,caption\n" + "".join(rows))
    return data


NUMBERED = {f"{int(name[:-4]):012}.jpg": FIRST[name] for name in NAMES}
SETS: dict[Callable[[Path], Path], tuple[str, dict[str, tuple[str, ...]]]] = {
    vizwiz: ("COCO captions JSON", ALL),
    stair: ("COCO captions JSON", ALL),
    textcaps: ("JSON records", ALL),
    ai_challenger: ("JSON records", ALL),
    rsicd: ("Karpathy JSON", ALL),
    nwpu: ("JSON records", ALL),
    roco: ("lines of name and caption", FIRST),
    redcaps: ("JSON records", FIRST),
    localized_narratives: ("JSON lines", NUMBERED),
    kaggle: ("CSV", ALL),
}
WITHOUT_SPLITS = (ai_challenger, roco, redcaps, kaggle)


@pytest.mark.parametrize("published", SETS)
def test_all_pictures_and_captions_are_read(tmp_path, published):
    name, expected = SETS[published]
    dataset = read_dataset(published(tmp_path / "birds"))
    assert dataset.problems == ()
    assert dataset.format == name
    assert said(dataset) == expected
    assert all(read_image(example.image).size == (64, 48) for example in dataset.examples)
    if published not in WITHOUT_SPLITS:
        assert dataset.counts() == {"train": 8, "dev": 3}


def test_iu_x_ray_has_several_pictures_of_a_report(tmp_path):
    """annotation.json: by split; each picture has the report."""
    document: dict[str, list[dict[str, object]]] = {"train": [], "val": [], "test": []}
    for i, name in enumerate(NAMES):
        split = ("train", "val", "test")[i % 3]
        paths = [f"CXR{i}/{view}.jpg" for view in range(2)]
        for path in paths:
            put(tmp_path / "images" / path, jpeg(name))
        row = {"id": f"CXR{i}", "report": f"No. {i}", "image_path": paths, "split": split}
        document[split].append(row)
    put(tmp_path / "annotation.json", json.dumps(document))
    dataset = read_dataset(tmp_path)
    assert dataset.problems == ()
    assert dataset.counts() == {"train": 8, "dev": 8, "test": 6}
    assert {e.sentences for e in dataset.examples if e.image.parent.name == "CXR7"} == {("No. 7",)}


def test_a_split_by_the_key_of_an_array(tmp_path):
    put_pictures(tmp_path)
    document = {
        "train": [{"image": n, "caption": "A dog"} for n in TRAIN],
        "val": [{"image": n, "caption": "A cat"} for n in DEV],
    }
    put(tmp_path / "all.json", json.dumps(document))
    assert read_dataset(tmp_path).counts() == {"train": 8, "dev": 3}


def test_a_test_split_without_captions_beside_the_others(tmp_path):
    """VizWiz-Captions' annotations/test.json."""
    vizwiz(tmp_path)
    put_pictures(tmp_path / "test", ("11.jpg",))
    path = put(tmp_path / "annotations" / "test.json", pictures_alone(("11.jpg",)))
    dataset = read_dataset(tmp_path)
    assert said(dataset) == ALL
    assert [str(problem) for problem in dataset.problems] == [
        f"{path}: a list of pictures without annotations (captions); not read"
    ]


@pytest.mark.parametrize(
    ("annotations", "what"),
    [
        (None, "a list of pictures without annotations (captions)"),
        ([], "a list of pictures without annotations (captions)"),
        ([{"image_id": 1, "bbox": [0, 0, 1, 1]}], "its annotations are no captions"),
    ],
)
@pytest.mark.parametrize("name", ["nocaps_test_image_info.json", "test.json"])
def test_pictures_without_captions_are_refused(tmp_path, name, annotations, what):
    put_pictures(tmp_path / "images")
    document = json.loads(pictures_alone(NAMES))
    if annotations is not None:
        document["annotations"] = annotations
    path = put(tmp_path / name, json.dumps(document))
    for data in (path, tmp_path):
        assert refused(data) == f"{path}: {what}; name a file that has them"


def test_the_lists_of_pictures_of_coco_are_nothing_new(tmp_path):
    """They are released beside the captions."""
    data = stair(tmp_path)
    for name in ("image_info_test2014.json", "nocaps_test_image_info.json"):
        put(data / "annotations" / name, pictures_alone(("11.jpg",)))
    assert read_dataset(data).problems == ()


def test_coco_in_the_folder_of_all_pictures(tmp_path):
    """The folder above those of the splits is as good as none."""
    data = vizwiz(tmp_path / "birds")
    for folder in ("train", "val"):
        (data / folder).rename(put(tmp_path / "far" / "x", "").parent / folder)
    assert "none of the captions has a picture" in refused(data)
    dataset = read_dataset(data, tmp_path / "far")
    assert dataset.problems == ()
    assert said(dataset) == ALL


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("pascal50S.mat", "save it as a CSV file"),  # PASCAL-50S
        ("captions.xlsx", "save it as a CSV file"),
        ("captions.json.gz", "unpack it"),
        ("flickr8k.zip", "unpack it"),
        ("captions.pkl", "it could run any code; save a CSV file"),
    ],
)
def test_files_that_are_not_read_are_named_with_what_to_do(tmp_path, name, remedy):
    put_pictures(tmp_path)
    put(tmp_path / name, b"?")
    assert refused(tmp_path).endswith(f"; {name} is not read: {remedy}")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2.jpg A dog runs", "expected a picture's name, a tab and a caption; line skipped"),
        ("\tA dog runs", "expected a picture's name, a tab and a caption; line skipped"),
        ("99\tA dog runs", "no picture "),
        ("2\t", "the caption has no words; skipped"),
    ],
)
def test_an_odd_line_of_roco_costs_itself_alone(tmp_path, line, message):
    data = roco(tmp_path)
    path = data / "captions.txt"
    lines = path.read_text().splitlines()
    put(path, "\n".join([*lines[:2], line, *lines[3:]]))
    dataset = read_dataset(data)
    assert len(dataset.examples) == 10
    [problem] = [p for p in dataset.problems if p.place == f"{path}:3"]
    assert problem.message.startswith(message)


def test_lines_of_something_else_are_no_pairs(tmp_path):
    put_pictures(tmp_path)
    put(tmp_path / "captions.txt", "Made by hand.\nOn a\tday in snow\n")
    assert "no image column" in refused(tmp_path)
