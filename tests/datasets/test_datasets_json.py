"""Karpathy's JSON and COCO's: real layouts, wrong shapes, and JSON that is broken."""

from __future__ import annotations

import json

import pytest

from dataset_layouts import base_name, coco, karpathy, only_problem, put, put_pictures, refused
from mrnn.datasets import read_dataset


@pytest.fixture
def split_file(tmp_path):
    """A data set of Karpathy's, its file and its document."""
    path = karpathy(tmp_path / "birds") / "dataset_tiny.json"
    return path, json.loads(path.read_text())


@pytest.fixture
def captions_file(tmp_path):
    """A COCO data set, the file of its training captions and the document in it."""
    path = coco(tmp_path / "birds") / "annotations" / "captions_train2014.json"
    return path, json.loads(path.read_text())


def test_restval_is_more_training_data(split_file):
    path, document = split_file
    assert {image["split"] for image in document["images"]} == {"train", "restval", "val"}
    assert read_dataset(path.parent).counts() == {"train": 8, "dev": 3}


def test_tokens_where_there_is_no_raw_text(split_file):
    path, document = split_file
    del document["images"][0]["sentences"][1]["raw"]
    document["images"][1]["sentences"] = [{"tokens": ["犬", "", "が", "走る"]}]
    put(path, json.dumps(document))
    first, second = read_dataset(path).examples[:2]
    assert first.sentences == ("A dog runs .", "the dog runs in the snow")
    assert second.sentences == ("犬が走る",)


def test_pictures_without_a_folder_of_their_own(split_file):
    path, document = split_file
    put_pictures(path.parent / "Flicker8k_Dataset")
    for image in document["images"]:
        del image["filepath"]
    put(path, json.dumps(document))
    dataset = read_dataset(path.parent)
    assert dataset.problems == ()
    assert {e.image.parent.name for e in dataset.examples} == {"Flicker8k_Dataset"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image: image.update(sentences=None), "expected an object with filename, split"),
        (lambda image: image.update(sentences={"raw": "A dog"}), "expected an object with"),
        (lambda image: image.pop("filename"), "expected an object with filename, split"),
        (lambda image: image.update(filename=7), "filename and filepath must be text"),
        (lambda image: image.update(filename=None), "filename and filepath must be text"),
        (lambda image: image.update(filepath=["a"]), "filename and filepath must be text"),
        (lambda image: image.update(split="held-out"), "unknown split 'held-out'"),
        (lambda image: image.update(split=["train"]), "unknown split '['train']'"),
        (lambda image: image.update(split=3), "unknown split '3'"),
        (lambda image: image["sentences"].append(7), "a sentence without raw text or tokens"),
        (lambda image: image["sentences"].append({"raw": 7}), "a sentence without raw text"),
        (lambda image: image["sentences"].append({"tokens": [7]}), "a sentence without raw text"),
        (lambda image: image["sentences"].append({"raw": " "}), "the caption has no words"),
    ],
)
def test_wrong_shapes_name_the_image(split_file, change, message):
    path, document = split_file
    change(document["images"][3])
    put(path, json.dumps(document))
    problem = only_problem(path)
    assert problem.place == f"{path}: images[3]"
    assert problem.message.startswith(message)
    assert problem.message.endswith("; skipped")
    assert len(read_dataset(path).examples) >= 10


@pytest.mark.parametrize("item", [None, 7, "x", [], {}, {"images": []}])
def test_items_that_are_no_images(split_file, item):
    path, document = split_file
    document["images"].insert(2, item)
    put(path, json.dumps(document))
    assert only_problem(path).place == f"{path}: images[2]"
    assert len(read_dataset(path).examples) == 11


def test_both_splits_of_a_picture(split_file):
    path, document = split_file
    again = {**document["images"][0], "split": "test"}
    put(path, json.dumps({"images": [*document["images"], again]}))
    problem = only_problem(path)
    assert str(problem) == (
        f"{path}: images[11]: val2014/0.jpg is already in the train split; skipped"
    )


def test_files_of_several_splits(split_file):
    path, document = split_file
    path.unlink()
    for image in document["images"]:
        del image["split"]
    for name, part in (("train", slice(8)), ("test", slice(8, None))):
        put(path.with_name(f"{name}.json"), json.dumps({"images": document["images"][part]}))
    assert read_dataset(path.parent).counts()["test"] == 3


@pytest.mark.parametrize("document", [[], 7, "images", None, {}, {"images": 7}, {"images": {}}])
def test_documents_of_something_else(tmp_path, document):
    path = put(tmp_path / "x.json", json.dumps(document))
    assert "neither Karpathy's JSON (images with sentences) nor COCO's" in refused(path)


def test_images_and_annotations_of_coco(captions_file):
    path, _ = captions_file
    dataset = read_dataset(path.parent.parent)
    assert dataset.counts() == {"train": 8, "dev": 3}
    assert dataset.examples[0].image.parent.name == "train2014"
    assert read_dataset(path.parent).examples == dataset.examples  # the folder of annotations


def test_one_file_of_coco(captions_file):
    path, _ = captions_file
    dataset = read_dataset(path)
    assert dataset.name == "annotations/captions_train2014.json"
    assert sum(dataset.counts().values()) == 8
    assert dataset.split_origin == "dev: a tenth of train, chosen by seed 1"
    other = path.with_name("captions_val2014.json")
    assert read_dataset(other).counts() == {"dev": 3}
    plain = path.rename(path.with_name("captions.json"))
    other.unlink()
    assert read_dataset(plain).split_origin.startswith("a tenth of the pictures each")


def test_coco_pictures_in_other_places(captions_file):
    path, _ = captions_file
    data = path.parent.parent
    expected = [e.sentences for e in read_dataset(data).examples]
    for part in ("train2014", "val2014"):
        for picture in list((data / part).iterdir()):
            put(data / "images" / picture.name, picture.read_bytes())
            picture.unlink()
        (data / part).rmdir()
        put(data / f"captions_{part}.json", (path.parent / f"captions_{part}.json").read_bytes())
    for left in path.parent.iterdir():
        left.unlink()
    assert [e.sentences for e in read_dataset(data).examples] == expected


def test_the_other_files_of_the_release_are_passed_over(captions_file):
    path, document = captions_file
    for name in ("instances_train2014.json", "person_keypoints_train2014.json"):
        put(path.with_name(name), json.dumps(document))
    assert len(read_dataset(path.parent.parent).examples) == 11


def test_two_files_of_one_split(captions_file):
    path, _ = captions_file
    other = put(path.with_name("captions_train2017.json"), path.read_bytes())
    assert refused(path.parent.parent).startswith(f"{other}: {path.name} lies beside it; ")


def test_an_image_id_twice(captions_file):
    path, document = captions_file
    document["images"][5]["id"] = document["images"][2]["id"]
    put(path, json.dumps(document))
    dataset = read_dataset(path.parent.parent)
    assert [str(problem) for problem in dataset.problems] == [
        f"{path}: images[2]: the id 72 has several file_names; skipped",
        f"{path}: images[5]: the id 72 has several file_names; skipped",
        f"{path}: annotations[5]: no image has the id 75; skipped",
        f"{path}: annotations[13]: no image has the id 75; skipped",
    ]
    assert not {"2.jpg", "5.jpg"} & {base_name(example.image) for example in dataset.examples}


def test_an_image_twice(captions_file):
    path, document = captions_file
    document["images"].append(document["images"][2])
    put(path, json.dumps(document))
    dataset = read_dataset(path.parent.parent)
    assert [str(problem) for problem in dataset.problems] == [
        f"{path}: images[8]: the id 72 stands twice; skipped"
    ]


def test_an_image_without_captions(captions_file):
    path, document = captions_file
    document["images"].append({"id": "99", "file_name": "new.jpg"})
    put(path, json.dumps(document))
    assert str(only_problem(path)) == f"{path}: images[8]: new.jpg has no caption; skipped"


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("images", None),
        ("images", {"file_name": "0.jpg"}),
        ("images", {"id": 1}),
        ("images", {"id": True, "file_name": "0.jpg"}),
        ("images", {"id": [1], "file_name": "0.jpg"}),
        ("images", {"id": 1, "file_name": None}),
        ("images", {"image_id": 70, "caption": "A dog"}),
        ("annotations", 7),
        ("annotations", [{"image_id": 70, "caption": "A dog"}]),
        ("annotations", {"image_id": 70}),
        ("annotations", {"caption": "A dog"}),
        ("annotations", {"image_id": {}, "caption": "A dog"}),
        ("annotations", {"image_id": 70, "caption": ["A dog"]}),
        ("annotations", {"id": 1, "file_name": "0.jpg"}),
    ],
)
def test_wrong_shapes_name_their_place(captions_file, key, wrong):
    path, document = captions_file
    document[key].insert(1, wrong)
    put(path, json.dumps(document))
    problem = only_problem(path)
    assert problem.place == f"{path}: {key}[1]"
    assert problem.message.startswith("expected an object with")
    assert sum(read_dataset(path).counts().values()) == 8


@pytest.mark.parametrize("write", [str, float, lambda number: f"{number:012}"])
@pytest.mark.parametrize("key", ["images", "annotations"])
def test_an_id_as_text_is_the_id_as_number(captions_file, key, write):
    path, document = captions_file
    expected = read_dataset(path)
    for item in document[key]:
        name = "id" if key == "images" else "image_id"
        item[name] = write(item[name])
    put(path, json.dumps(document))
    assert read_dataset(path) == expected


def test_a_name_of_two_ids_gives_captions_to_nobody(captions_file):
    """They were pictures of two folders; whose file it is, nobody knows."""
    path, document = captions_file
    document["images"].append({"id": 99, "file_name": "0.jpg"})
    document["annotations"].append({"image_id": 99, "caption": "A boat"})
    put(path, json.dumps(document))
    dataset = read_dataset(path)
    assert "0.jpg" not in {base_name(e.image) for e in dataset.examples}
    assert len(dataset.examples) == 7
    what = (
        "0.jpg stands for several pictures (70 and 99); write the folder before it, or one id a "
        "picture; skipped"
    )
    assert sorted((p.place, p.message) for p in dataset.problems) == [
        (f"{path}: images[0]", what),
        (f"{path}: images[8]", what),
    ]


def test_a_name_of_two_ids_in_karpathys_json(split_file):
    path, document = split_file
    document["images"].append({**document["images"][0], "imgid": 99})
    put(path, json.dumps(document))
    dataset = read_dataset(path)
    assert len(dataset.examples) == 10
    places = {f"{path}: images[0]", f"{path}: images[11]"}
    assert {p.place for p in dataset.problems} == places
    assert all("val2014/0.jpg stands for several pictures" in p.message for p in dataset.problems)


@pytest.mark.parametrize("mark", ["is_rejected", "is_precanned"])
def test_captions_that_their_data_set_rejects(captions_file, mark):
    path, document = captions_file
    for number, annotation in enumerate(document["annotations"]):
        annotation[mark] = number in (1, 2, 5)
    put(path, json.dumps(document))
    dataset = read_dataset(path)
    assert sum(len(e.sentences) for e in dataset.examples) == len(document["annotations"]) - 3
    [problem] = dataset.problems
    assert str(problem) == (
        f"{path}: 3 captions that are marked is_rejected or is_precanned; skipped"
    )


def test_ids_may_be_text(captions_file):
    path, document = captions_file
    for image in document["images"]:
        image["id"] = f"n{image['id']}"
    for annotation in document["annotations"]:
        annotation["image_id"] = f"n{annotation['image_id']}"
    put(path, json.dumps(document))
    assert read_dataset(path).problems == ()


def test_broken_json_names_line_column_and_byte(captions_file):
    path, document = captions_file
    text = json.dumps(document, indent=1, ensure_ascii=False).replace("A dog", "A café", 1)
    lines = text.splitlines()
    at = max(i for i, line in enumerate(lines) if line.strip() == "},")
    lines[at] = "} ;"
    put(path, "\n".join(lines))
    byte = len("\n".join(lines[:at]).encode()) + 3
    message = refused(path)
    assert message.startswith(f"{path}:{at + 1}: not JSON (Expecting ',' delimiter, column 3, byte")
    assert f"byte {byte:,})" in message
    assert message.endswith("; get a fresh copy")
    assert refused(path.parent.parent) == message


def test_json_that_is_cut_short_is_not_passed_over(captions_file):
    path, _ = captions_file
    content = path.read_bytes()
    for end in (1, 100, len(content) - 2):
        put(path, content[:end])
        assert f"{path}:1: not JSON" in refused(path.parent.parent)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"images": [' + b"[" * 100_000, "not a caption file (nested too deeply)"),
        (b'{"images": [' + b"9" * 5000 + b"]}", "not a caption file (Exceeds the limit"),
        (b'{"images": ["caf\xe9"]}', "not UTF-8 (byte 16 is 0xe9); save it as UTF-8"),
        (b"", "not JSON (Expecting value, column 1, byte 0)"),
        (b'\xef\xbb\xbf{"images": [] x}', "not JSON (Expecting ',' delimiter, column 15, byte 14)"),
    ],
)
def test_files_that_are_no_documents(tmp_path, content, message):
    path = put(tmp_path / "x.json", content)
    assert refused(path).startswith(f"{path}")
    assert message in refused(path)


def test_a_byte_order_mark_is_no_fault(captions_file):
    path, _ = captions_file
    expected = read_dataset(path)
    put(path, b"\xef\xbb\xbf" + path.read_bytes().replace(b", ", b",\r\n"))
    assert read_dataset(path).examples == expected.examples


def test_utf_16_json(captions_file):
    path, _ = captions_file
    put(path, path.read_text().encode("utf-16"))
    assert "not UTF-8" in refused(path)
