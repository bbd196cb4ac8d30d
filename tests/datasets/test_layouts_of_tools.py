"""What tools export, in their shape; each was tried once with the tool itself, of the version told.

docs/layouts.md has the same versions.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest

from dataset_layouts import (
    ALL,
    DEV,
    FIRST,
    NAMES,
    TRAIN,
    base_name,
    jpeg,
    put,
    put_pictures,
    refused,
    said,
    sentences,
    table,
    tar,
)
from mrnn.datasets import columnar, read_dataset
from mrnn.errors import DataError, DependencyError, ImageError, UsageError
from mrnn.images import parquet_pictures
from mrnn.images.finding import Member
from mrnn.images.reading import read_image


def datumaro(data: Path) -> Path:
    """datumaro 1.13.12, `coco_captions` with media: pictures under images/, a folder a subset.

    Ultralytics wants COCO in the same order.
    """
    for subset, names in (("train", TRAIN), ("val", DEV)):
        put_pictures(data / "images" / subset, names)
        images = [{"id": i + 1, "file_name": name} for i, name in enumerate(names)]
        annotations = [
            {"id": 9 * i + n, "image_id": i + 1, "category_id": 0, "caption": caption}
            for i, name in enumerate(names)
            for n, caption in enumerate(sentences(name))
        ]
        document = {"licenses": [], "categories": [], "images": images, "annotations": annotations}
        put(data / "annotations" / f"captions_{subset}.json", json.dumps(document))
    return data


def metadata(names: tuple[str, ...]) -> pyarrow.Table:
    """What img2dataset 1.47.0 tells of its pictures, in a Parquet file beside them."""
    return pyarrow.table(
        {
            "caption": [sentences(name)[0] for name in names],
            "url": [f"https://example.org/{name}" for name in names],
            "key": [f"{int(name[:-4]):06}" for name in names],
            "status": ["success"] * len(names),
            "width": [64] * len(names),
        }
    )


def img2dataset_files(data: Path) -> Path:
    """img2dataset 1.47.0, --output_format files."""
    for part, names in (("00000", TRAIN), ("00001", DEV)):
        for name in names:
            document = json.dumps({"caption": sentences(name)[0], "key": name[:-4]})
            put(data / part / name, jpeg(name))
            put(data / part / name.replace("jpg", "txt"), sentences(name)[0])
            put(data / part / name.replace("jpg", "json"), document)
        pyarrow.parquet.write_table(metadata(names), data / f"{part}.parquet")
        put(data / f"{part}_stats.json", json.dumps({"count": 9, "status_dict": {"success": 9}}))
    return data


def img2dataset_shards(data: Path) -> Path:
    """img2dataset 1.47.0, --output_format webdataset."""
    for part, names in (("00000", TRAIN), ("00001", DEV)):
        members: list[tuple[str, bytes]] = []
        for name in names:
            document = json.dumps({"caption": sentences(name)[0], "key": name[:-4]})
            members += [(name, jpeg(name)), (name.replace("jpg", "json"), document.encode())]
            members += [(name.replace("jpg", "txt"), sentences(name)[0].encode())]
        put(data / f"{part}.tar", tar(members))
        pyarrow.parquet.write_table(metadata(names), data / f"{part}.parquet")
        put(data / f"{part}_stats.json", json.dumps({"count": 9, "status_dict": {"success": 9}}))
    return data


def img2dataset_parquet(data: Path) -> Path:
    """img2dataset 1.47.0, --output_format parquet: the key is all that names a picture."""
    data.mkdir(parents=True)
    for part, names in (("00000", TRAIN), ("00001", DEV)):
        pictures = pyarrow.array([jpeg(name) for name in names], pyarrow.binary())
        keys = pyarrow.array(list(names))
        rows = metadata(names).set_column(2, "key", keys).append_column("jpg", pictures)
        pyarrow.parquet.write_table(rows, data / f"{part}.parquet", row_group_size=3)
        put(data / f"{part}_stats.json", json.dumps({"count": 9, "status_dict": {"success": 9}}))
    return data


def datasets_to_csv(data: Path) -> Path:
    """Hugging Face datasets 5.2.0, to_csv: a picture is the text of its structure."""
    put_pictures(data / "photos")
    text = io.StringIO()
    rows = [(f"{{'bytes': None, 'path': 'photos/{n}'}}", sentences(n)[0]) for n in NAMES]
    csv.writer(text).writerows([("image", "caption"), *rows])
    put(data / "list.csv", text.getvalue())
    return data


def datasets_to_json(data: Path) -> Path:
    """Hugging Face datasets 5.2.0, to_json."""
    put_pictures(data / "photos")
    rows = [
        {"image": {"bytes": None, "path": f"photos/{name}"}, "caption": sentences(name)}
        for name in NAMES
    ]
    put(data / "list.jsonl", "\n".join(map(json.dumps, rows)))
    return data


def datasets_to_parquet(data: Path) -> Path:
    """Hugging Face datasets 5.2.0, to_parquet: pictures that were named stay files."""
    put_pictures(data)
    pyarrow.parquet.write_table(table(NAMES, with_bytes=False), data / "all.parquet")
    return data


def datasets_metadata(data: Path) -> Path:
    """Hugging Face datasets 5.2.0, imagefolder with metadata.parquet."""
    for split, names in (("train", TRAIN), ("validation", DEV)):
        put_pictures(data / split, names)
        rows = pyarrow.table({"file_name": names, "text": [list(sentences(n)) for n in names]})
        pyarrow.parquet.write_table(rows, data / split / "metadata.parquet")
    return data


def datasets_converted(data: Path) -> Path:
    """What the Hugging Face hub makes of a data set: a folder a split, parts by number."""
    for split, parts in (("train", (TRAIN[:3], TRAIN[3:])), ("validation", (DEV,))):
        for number, names in enumerate(parts):
            put(path := data / split / f"{number:04}.parquet", b"")
            pyarrow.parquet.write_table(table(names), path)
    return data


def array(data: Path) -> Path:
    """BLIP's and LAVIS' annotations of training: a caption an object."""
    put_pictures(data / "images")
    rows = [
        {"caption": caption, "image": f"images/{name}", "image_id": f"tiny_{name[:-4]}"}
        for name in NAMES
        for caption in sentences(name)
    ]
    put(data / "captions.json", json.dumps(rows))
    return data


def llava(data: Path) -> Path:
    """LLaVA's blip_laion_cc_sbu_558k.json: a request, and the caption as its answer."""
    put_pictures(data / "images")
    rows = [
        {
            "id": name[:-4],
            "image": name,
            "conversations": [
                {"from": "human", "value": "Give a short account of it.\n<image>"},
                {"from": "gpt", "value": sentences(name)[0]},
            ],
        }
        for name in NAMES
    ]
    put(data / "chat.json", json.dumps(rows))
    return data


def messages(data: Path) -> Path:
    """The same in the form of chat models' templates."""
    put_pictures(data / "images")
    rows = [
        {
            "images": [f"images/{name}"],
            "messages": [
                {"role": "system", "content": "You describe pictures."},
                {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]},
                {"role": "assistant", "content": [{"type": "text", "text": sentences(name)[0]}]},
            ],
        }
        for name in NAMES
    ]
    put(data / "chat.json", json.dumps(rows))
    return data


def kohya(data: Path) -> Path:
    """kohya's merge_captions_to_metadata.py: by the name without its suffix; tags beside."""
    put_pictures(data)
    rows = {n[:-4]: {"caption": sentences(n)[0], "tags": "dog, snow"} for n in NAMES}
    put(data / "meta_cap.json", json.dumps(rows))
    return data


def kohya_full_paths(data: Path) -> Path:
    """The same by names that have a suffix."""
    put_pictures(data)
    put(data / "meta.json", json.dumps({n: {"caption": sentences(n)[0]} for n in NAMES}))
    return data


def captions_by_name(data: Path) -> Path:
    put_pictures(data / "images")
    put(data / "captions.json", json.dumps({name: sentences(name) for name in NAMES}))
    return data


def coco_results(data: Path) -> Path:
    """What a model said, as pycocoevalcap 1.2 reads it: ids of COCO's pictures alone."""
    rows = [{"image_id": int(name[:-4]), "caption": sentences(name)[0]} for name in NAMES]
    put(data / "results.json", json.dumps(rows))
    for name in NAMES:
        put(data / "val2014" / f"COCO_val2014_{int(name[:-4]):012}.jpg", jpeg(name))
    return data


def label_studio_rows() -> list[dict[str, object]]:
    """label-studio-sdk 2.1.2: the task's variable is `captioning`, pictures were uploaded."""
    return [
        {
            "captioning": f"/data/upload/1/{int(name[:-4]):08x}-{name}",
            "id": i + 1,
            "caption": {"text": sentences(name)} if i % 2 else sentences(name)[0],
            "annotator": 1,
            "created_at": "2026-01-01T00:00:00Z",
            "lead_time": 3.2,
        }
        for i, name in enumerate(NAMES)
    ]


def label_studio_json_min(data: Path) -> Path:
    put_pictures(data / "images")
    put(data / "result.json", json.dumps(label_studio_rows()).replace("/", "\\/"))
    return data


def label_studio_csv(data: Path, delimiter: str = ",") -> Path:
    put_pictures(data / "images")
    text = io.StringIO()
    rows = label_studio_rows()
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(sorted(rows[0]))
    for row in rows:
        values = [row[name] for name in sorted(row)]
        writer.writerow([json.dumps(v) if isinstance(v, dict) else v for v in values])
    put(data / "result.csv", text.getvalue())
    return data


def label_studio_tsv(data: Path) -> Path:
    """Its name is result.csv, too."""
    return label_studio_csv(data, "\t")


def label_studio_json(data: Path) -> Path:
    """All that Label Studio knows; what was cancelled is no annotation."""
    tasks = [
        {
            "id": row["id"],
            "data": {"captioning": row["captioning"]},
            "annotations": [
                {"was_cancelled": True, "result": [{"value": {"text": ["No"]}}]},
                {
                    "was_cancelled": False,
                    "result": [{"type": "textarea", "value": {"text": _texts(row["caption"])}}],
                },
            ],
        }
        for row in label_studio_rows()
    ]
    put_pictures(data / "images")
    put(data / "result.json", json.dumps(tasks))
    return data


def _texts(caption: object) -> object:
    return caption["text"] if isinstance(caption, dict) else [caption]


MIXED = {name: sentences(name)[: 1 + i % 2] for i, name in enumerate(NAMES)}
COCO_NAMES = {f"COCO_val2014_{int(n[:-4]):012}.jpg": sentences(n)[:1] for n in NAMES}
LAYOUTS: dict[Callable[[Path], Path], tuple[str, dict[str, tuple[str, ...]]]] = {
    datumaro: ("COCO captions JSON", ALL),
    img2dataset_files: ("folder of pictures and text files", FIRST),
    img2dataset_shards: ("WebDataset shards", FIRST),
    img2dataset_parquet: ("Parquet", FIRST),
    datasets_to_csv: ("CSV", FIRST),
    datasets_to_json: ("JSON lines", ALL),
    datasets_to_parquet: ("Parquet", ALL),
    datasets_metadata: ("Hugging Face imagefolder", ALL),
    datasets_converted: ("Parquet", ALL),
    array: ("JSON records", ALL),
    llava: ("JSON records", FIRST),
    messages: ("JSON records", FIRST),
    kohya: ("JSON records", FIRST),
    kohya_full_paths: ("JSON records", FIRST),
    captions_by_name: ("JSON records", ALL),
    coco_results: ("JSON records", COCO_NAMES),
    label_studio_csv: ("CSV", MIXED),
    label_studio_tsv: ("CSV", MIXED),
    label_studio_json_min: ("JSON records", MIXED),
    label_studio_json: ("JSON records", MIXED),
}
WITH_SPLITS = (datumaro, datasets_metadata, datasets_converted)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_pictures_and_captions_are_read(tmp_path, layout):
    name, expected = LAYOUTS[layout]
    dataset = read_dataset(layout(tmp_path / "birds"))
    assert dataset.problems == ()
    assert dataset.format == name
    assert said(dataset) == expected
    for example in dataset.examples:
        assert read_image(example.image).size == (64, 48)
    if layout in WITH_SPLITS:
        assert dataset.counts() == {"train": 8, "dev": 3}


def test_pictures_of_the_same_name_in_the_folders_of_two_subsets(tmp_path):
    """datumaro numbers the pictures of every subset anew."""
    for subset, name in (("train", "0.jpg"), ("val", "1.jpg")):
        put(tmp_path / "images" / subset / "x.jpg", jpeg(name))
        images = [{"id": 1, "file_name": "x.jpg"}]
        annotations = [{"image_id": 1, "caption": f"A dog of {subset}"}]
        document = json.dumps({"images": images, "annotations": annotations})
        put(tmp_path / "annotations" / f"captions_{subset}.json", document)
    found = {e.split: (e.image.parent.name, e.sentences) for e in read_dataset(tmp_path).examples}
    assert found == {
        "train": ("train", ("A dog of train",)),
        "dev": ("val", ("A dog of val",)),
    }


@pytest.mark.parametrize("uploaded", ["{key}-{name}", "{name}"])
def test_names_of_label_studio_with_and_without_what_it_puts_before(tmp_path, uploaded):
    label_studio_json_min(tmp_path)
    for path in (tmp_path / "images").iterdir():
        key = f"{int(path.stem):08x}"
        path.rename(path.with_name(uploaded.format(key=key, name=path.name)))
    dataset = read_dataset(tmp_path)
    assert dataset.problems == ()
    assert len(dataset.examples) == 11


def test_label_studio_with_files_of_its_own_disk(tmp_path):
    put_pictures(tmp_path / "my photos")
    rows = [
        {"photo_url": f"/data/local-files/?d=my%20photos/{name}", "caption": "A dog"}
        for name in NAMES
    ]
    put(tmp_path / "result.json", json.dumps(rows))
    assert len(read_dataset(tmp_path).examples) == 11


def test_results_beside_captions_of_coco_are_not_taken_for_captions(tmp_path):
    data = datumaro(tmp_path)
    put(data / "annotations" / "results.json", json.dumps([{"image_id": 1, "caption": "So"}]))
    dataset = read_dataset(data)
    assert (dataset.format, len(dataset.examples)) == ("COCO captions JSON", 11)


def turns(*texts: str) -> list[dict[str, str]]:
    return [
        {"from": "gpt" if number % 2 else "human", "value": text}
        for number, text in enumerate(texts)
    ]


def test_conversations_that_are_no_captions(tmp_path):
    """As in llava_v1_5_mix665k.json."""
    data = llava(tmp_path)
    rows = json.loads((data / "chat.json").read_text())
    rows[3]["conversations"] = turns("Is it a dog?", "Yes", "Where?", "In the snow")
    rows[4]["conversations"] = turns("Is it a dog?")
    rows[5]["image"] = ["5.jpg", "6.jpg"]
    del rows[6]["image"]
    path = put(data / "chat.json", json.dumps(rows))
    dataset = read_dataset(data)
    assert len(dataset.examples) == 7
    assert [str(problem) for problem in dataset.problems] == [
        f"{path}: [6]: no name of a picture; skipped",
        f"{path}: 3 conversations of several questions or pictures are not read; what is taken "
        "for a caption is the answer to the only question about one picture",
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (7, "expected an object with a picture and its captions; skipped"),
        (["1.jpg"], "expected an object with a picture and its captions; skipped"),
        ({"image": "1.jpg"}, "expected an object with a picture and its captions; skipped"),
        ({"caption": "A dog"}, "no name of a picture; skipped"),
        ({"image": None, "caption": "A dog"}, "no name of a picture; skipped"),
        ({"image": " ", "caption": "A dog"}, "no name of a picture; skipped"),
        ({"image": {"a": 1}, "caption": "A dog"}, "no name of a picture; skipped"),
        ({"image": "1.jpg", "caption": 7}, "a caption that is not text; skipped"),
        ({"image": "1.jpg", "caption": ["A", 7]}, "a caption that is not text; skipped"),
        ({"image": "1.jpg", "caption": None}, "1.jpg has no caption; skipped"),
        ({"image": "1.jpg", "caption": []}, "1.jpg has no caption; skipped"),
        ({"image": "1.jpg", "caption": "A", "split": "x"}, "unknown split 'x'; skipped"),
        (
            {"image": "../1.jpg", "caption": "A"},
            "'../1.jpg' leads outside the data folder; skipped",
        ),
        ({"image": "9.jpg", "caption": "A"}, "no picture "),
    ],
)
def test_an_odd_record_costs_itself_alone(tmp_path, row, message):
    put_pictures(tmp_path, ("0.jpg", "2.jpg"))
    sound = [{"image": name, "caption": "A dog"} for name in ("0.jpg", "2.jpg")]
    path = put(tmp_path / "a.json", json.dumps([sound[0], row, sound[1]]))
    dataset = read_dataset(tmp_path)
    assert said(dataset) == {"0.jpg": ("A dog",), "2.jpg": ("A dog",)}
    [problem] = dataset.problems
    assert problem.place == f"{path}: [1]"
    assert problem.message.startswith(message)


def test_of_several_keys_the_one_that_was_taken_is_told(tmp_path):
    put_pictures(tmp_path, ("0.jpg", "1.jpg"))
    rows = [{"image": f"{i}.jpg", "text": "SALE", "caption": "A dog"} for i in range(2)]
    path = put(tmp_path / "a.json", json.dumps(rows))
    dataset = read_dataset(tmp_path)
    assert said(dataset) == {"0.jpg": ("A dog",), "1.jpg": ("A dog",)}
    [problem] = dataset.problems
    assert str(problem) == (
        f"{path}: [0]: captions are those of caption, not text; rename the right key to caption"
    )


@pytest.mark.parametrize(
    "document",
    [
        {"builder_name": "x", "description": "", "features": {"caption": {"dtype": "string"}}},
        [{"url": "https://example.org/0.jpg", "caption": "A dog"}],
        {"train": [{"file": "0.jpg", "label": "dog"}]},
        {"0": {"tags": "dog, snow"}},
    ],
)
def test_json_of_something_else_is_passed_over(tmp_path, document):
    path = put(tmp_path / "x.json", json.dumps(document))
    assert refused(path).startswith(f"{path}: neither Karpathy's JSON (images with sentences) nor")
    array(tmp_path)
    assert len(read_dataset(tmp_path).examples) == 11


def test_an_array_that_is_cut_short(tmp_path):
    path = array(tmp_path) / "captions.json"
    content = path.read_bytes()
    for end in (400, len(content) - 2):
        put(path, content[:end])
        assert refused(tmp_path).startswith(f"{path}:1: not JSON (")


def test_json_lines_that_are_called_json(tmp_path):
    put_pictures(tmp_path)
    lines = [json.dumps({"image": name, "caption": "A dog"}) + "\n" for name in NAMES]
    path = put(tmp_path / "captions.json", "".join(lines))
    message = refused(path)
    assert message.startswith(f"{path}:2: not JSON (Extra data, column 1, byte ")
    assert message.endswith("; if it has an object a line, rename it to .jsonl")
    path.rename(path.with_suffix(".jsonl"))
    assert len(read_dataset(tmp_path).examples) == 11


def test_bytes_of_an_arrow_stream_are_read_where_they_lie(tmp_path):
    """save_to_disk of Hugging Face datasets 5.2.0: no pyarrow is needed to read the picture."""
    path = tmp_path / "data-00000-of-00001.arrow"
    with pyarrow.ipc.new_stream(str(path), table(NAMES).schema) as stream:
        stream.write_table(table(NAMES), max_chunksize=4)
    content = path.read_bytes()
    for example in read_dataset(tmp_path).examples:
        image = example.image
        assert isinstance(image, Member)
        assert content[image.offset : image.offset + image.size] == jpeg(base_name(image))


def test_a_compressed_arrow_file(tmp_path):
    path = tmp_path / "a.arrow"
    pyarrow.feather.write_feather(table(NAMES), str(path), compression="lz4")
    assert refused(path) == (
        f"{path}: its pictures are compressed, so that none can be sought; write it without "
        "compression"
    )
    pyarrow.feather.write_feather(table(NAMES), str(path), compression="uncompressed")
    assert said(read_dataset(path)) == ALL


def rows(names: tuple[str, ...], captions: list[str], paths: list[str | None]) -> pyarrow.Table:
    images = [
        {"bytes": jpeg(name) if name else None, "path": path}
        for name, path in zip(names, paths, strict=True)
    ]
    kind = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
    return pyarrow.table({"image": pyarrow.array(images, kind), "caption": captions})


@pytest.mark.parametrize("paths", [[None] * 4, ["x.jpg"] * 4, ["a/x.jpg", "b/x.jpg"] * 2])
def test_a_picture_is_its_bytes_whatever_it_is_called(tmp_path, paths):
    """A row a caption, and two pictures of one name: five captions are of one picture."""
    names = ("0.jpg", "0.jpg", "1.jpg", "0.jpg")
    pyarrow.parquet.write_table(
        rows(names, ["A dog", "The dog", "A cat", "Dog"], paths), tmp_path / "a.parquet"
    )
    dataset = read_dataset(tmp_path)
    assert dataset.problems == ()
    assert [e.sentences for e in dataset.examples] == [("A dog", "The dog", "Dog"), ("A cat",)]
    for example, name in zip(dataset.examples, ("0.jpg", "1.jpg"), strict=True):
        loose = put(tmp_path / name, jpeg(name))
        assert read_image(example.image).tobytes() == read_image(loose).tobytes()


def test_rows_without_a_picture_or_caption(tmp_path):
    """img2dataset keeps the rows whose pictures it could not have."""
    found = rows(("0.jpg", "", "1.jpg", "2.jpg"), ["A", "B", None, "C"], [None] * 4)
    pyarrow.parquet.write_table(found, path := tmp_path / "a.parquet")
    dataset = read_dataset(path)
    assert [e.sentences for e in dataset.examples] == [("A",), ("C",)]
    assert [str(problem) for problem in dataset.problems] == [
        f"{path}:2: no image in the column 'image'; skipped",
        f"{path}:3: a caption that is not text; skipped",
    ]


def test_a_caption_in_parquet_that_is_not_utf8(tmp_path):
    captions = pyarrow.array([b"A caf\xe9", b"A cat"]).cast(pyarrow.binary())
    found = rows(("0.jpg", "1.jpg"), ["", ""], [None] * 2).set_column(
        1, "caption", captions.view(pyarrow.string())
    )
    pyarrow.parquet.write_table(found, path := tmp_path / "a.parquet")
    dataset = read_dataset(path)
    assert [e.sentences for e in dataset.examples] == [("A cat",)]
    assert str(dataset.problems[0]) == f"{path}:1: not UTF-8 (byte 0xe9); skipped"


def test_several_columns_of_pictures(tmp_path):
    pictures = pyarrow.array([jpeg(name) for name in NAMES], pyarrow.binary())
    masks = pyarrow.array([b"mask"] * len(NAMES), pyarrow.binary())
    found = pyarrow.table({"mask": masks, "image": pictures, "caption": ["A dog"] * len(NAMES)})
    pyarrow.parquet.write_table(found, path := tmp_path / "a.parquet")
    dataset = read_dataset(path)
    assert len(dataset.examples) == 11
    assert read_image(dataset.examples[0].image).size == (64, 48)
    pyarrow.parquet.write_table(found.rename_columns(["mask", "photo_of_it", "caption"]), path)
    assert "no image column" in refused(path)


def test_groups_of_rows_that_are_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(columnar, "LARGEST_GROUP", 1000)
    pyarrow.parquet.write_table(table(NAMES), path := tmp_path / "a.parquet")
    assert refused(path).startswith(f"{path}: its groups of rows are too large to read one picture")
    assert refused(path).endswith("write it anew with row_group_size=100")


def test_a_parquet_file_that_changes_after_reading(tmp_path):
    pyarrow.parquet.write_table(table(NAMES), path := tmp_path / "a.parquet")
    images = [example.image for example in read_dataset(path).examples]
    assert read_image(images[0]).size == (64, 48)
    pyarrow.parquet.write_table(table(NAMES[:2][::-1]), path)
    for image in (images[0], images[5]):
        with pytest.raises(ImageError) as caught:
            read_image(image)
        assert caught.value.code == "damaged"
    put(path, b"PAR1")
    with pytest.raises(ImageError):
        read_image(images[1])


def test_groups_are_decoded_once_each_in_order(tmp_path, monkeypatch):
    pyarrow.parquet.write_table(table(NAMES), path := tmp_path / "a.parquet", row_group_size=2)
    decoded = []
    bytes_of = parquet_pictures.bytes_of
    monkeypatch.setattr(parquet_pictures, "bytes_of", lambda *a: decoded.append(1) or bytes_of(*a))
    for example in read_dataset(path).examples:
        read_image(example.image)
    assert len(decoded) == 6


@pytest.mark.parametrize(("layout", "suffix"), [(datasets_converted, ".parquet"), (None, ".arrow")])
def test_without_pyarrow_the_line_to_type_is_told(tmp_path, monkeypatch, layout, suffix):
    if layout is None:
        with pyarrow.ipc.new_stream(str(tmp_path / "a.arrow"), table(NAMES).schema) as stream:
            stream.write_table(table(NAMES))
    else:
        layout(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DependencyError) as caught:
        read_dataset(tmp_path)
    assert str(caught.value).endswith(
        f"{suffix} files need the package pyarrow; type: pip install 'mrnn[parquet]'"
    )


@pytest.mark.parametrize("layout", [img2dataset_files, img2dataset_shards])
def test_without_pyarrow_what_needs_none_is_read(tmp_path, monkeypatch, layout):
    """The Parquet files beside the pictures tell where they came from."""
    layout(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert said(read_dataset(tmp_path)) == FIRST


def test_images_does_not_go_with_pictures_inside(tmp_path):
    datasets_converted(tmp_path)
    with pytest.raises(UsageError, match=r"--images does not go with 0000\.parquet"):
        read_dataset(tmp_path, tmp_path)


def test_a_damaged_parquet_file(tmp_path):
    path = put(tmp_path / "a.parquet", b"PAR1 and nothing")
    with pytest.raises(DataError, match=r"a\.parquet: cannot be read \("):
        read_dataset(path)
