"""The same tiny data set in every layout that mrnn reads: 8 training and 3 dev pictures.

Each function writes into a new folder and returns what DATA is; `LAYOUTS` has them by the name of
the format. Where a layout cannot say which pictures are for dev, mrnn chooses.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.ipc
import pyarrow.parquet
import pytest
from PIL import Image

from mrnn.datasets import DataSet, Problem, read_dataset
from mrnn.errors import DataError
from mrnn.images.finding import Picture

TRAIN = tuple(f"{i}.jpg" for i in range(8))
DEV = ("8.jpg", "9.jpg", "10.jpg")
NAMES = TRAIN + DEV


def sentences(name: str) -> tuple[str, str]:
    """What the data set says of a picture, in words of conftest.WORDS."""
    odd = int(Path(name).stem) % 2
    animal, verb = ("cat", "sits") if odd else ("dog", "runs")
    return f"A {animal} {verb} .", f"The {animal} {verb} in the snow ."


ALL = {name: sentences(name) for name in NAMES}
FIRST = {name: sentences(name)[:1] for name in NAMES}


def split_of(name: str) -> str:
    return "train" if name in TRAIN else "dev"


def jpeg(name: str) -> bytes:
    """A small picture of random blocks, another one for every name."""
    seed = int(Path(name).stem)
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(blocks).resize((64, 48)).save(buffer, "JPEG")
    return buffer.getvalue()


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def put_pictures(folder: Path, names: tuple[str, ...] = NAMES) -> None:
    for name in names:
        put(folder / name, jpeg(name))


def base_name(picture: Picture) -> str:
    """The name of a picture, whatever folders a layout puts it in."""
    return Path(picture.name).name


def said(dataset: DataSet) -> dict[str, tuple[str, ...]]:
    """Captions by the names of the pictures."""
    return {base_name(example.image): example.sentences for example in dataset.examples}


def flickr(data: Path) -> Path:
    put_pictures(data / "Flicker8k_Dataset")
    lines = [f"{name}#{i}\t{s}\n" for name in NAMES for i, s in enumerate(sentences(name))]
    put(data / "Flickr8k.token.txt", "".join(lines))
    put(data / "Flickr_8k.trainImages.txt", "".join(f"{name}\n" for name in TRAIN))
    put(data / "Flickr_8k.devImages.txt", "".join(f"{name}\n" for name in DEV))
    return data


def karpathy(data: Path) -> Path:
    put_pictures(data / "images" / "val2014")
    images = [
        {
            "filepath": "val2014",
            "filename": name,
            "imgid": i,
            "split": {"train": "restval" if i % 2 else "train", "dev": "val"}[split_of(name)],
            "sentids": [2 * i, 2 * i + 1],
            "sentences": [
                {"tokens": s.lower().split()[:-1], "raw": s, "imgid": i, "sentid": 2 * i + n}
                for n, s in enumerate(sentences(name))
            ],
        }
        for i, name in enumerate(NAMES)
    ]
    put(data / "dataset_tiny.json", json.dumps({"images": images, "dataset": "tiny"}))
    return data


def coco(data: Path) -> Path:
    for part, names in (("train2014", TRAIN), ("val2014", DEV)):
        put_pictures(data / part, names)
        images = [{"license": 1, "id": 70 + int(Path(n).stem), "file_name": n} for n in names]
        annotations = [
            {"image_id": image["id"], "id": 2 * image["id"] + i, "caption": s}
            for i in range(2)  # those of a picture do not lie together
            for image in images
            for s in [sentences(str(image["file_name"]))[i]]
        ]
        document = {"info": {"year": 2014}, "images": images, "annotations": annotations}
        put(data / "annotations" / f"captions_{part}.json", json.dumps(document))
        boxes = {"images": images, "annotations": [{"image_id": 70, "bbox": [0, 0, 1, 1]}]}
        put(data / "annotations" / f"instances_{part}.json", json.dumps(boxes))
    return data


def iapr(data: Path) -> Path:
    for i, name in enumerate(NAMES):
        folder, number = f"{i // 6:02}", Path(name).stem
        put(data / "images" / folder / name, jpeg(name))
        first, second = sentences(name)
        text = (
            f"<DOC>\n<DOCNO>annotations/{folder}/{number}.eng</DOCNO>\n<TITLE>Caf\xe9</TITLE>\n"
            f"<DESCRIPTION>{first};\n {second}; </DESCRIPTION>\n<NOTES></NOTES>\n"
            f"<IMAGE>images/{folder}/{name}</IMAGE>\n</DOC>\n"
        )
        path = data / "annotations_complete_eng" / folder / f"{number}.eng"
        put(path, text.encode("iso-8859-1"))
    train = [f"{i // 6:02}/{Path(name).stem}" for i, name in enumerate(TRAIN)]
    put(data / "iaprtc12_train_list.txt", "\n".join(train) + "\n")
    put(data / "iaprtc12_test_list.txt", "".join(f"{Path(n).stem}.jpg\n" for n in DEV))
    return data


def csv(data: Path) -> Path:
    put_pictures(data / "images")
    rows = [f'{name},"{s}",{split_of(name)}\n' for name in NAMES for s in sentences(name)]
    put(data / "captions.csv", "image,caption,split\n" + "".join(rows))
    return data


def tsv(data: Path) -> Path:
    put_pictures(data)
    rows = ["\t".join([split_of(name), name, *sentences(name)]) + "\n" for name in NAMES]
    put(data / "captions.tsv", "split\tfile_name\tcaption_1\tcaption_2\n" + "".join(rows))
    return data


def json_lines(data: Path) -> Path:
    put_pictures(data / "photos")
    rows = [
        {"image": f"photos/{name}", "captions": sentences(name), "split": split_of(name)}
        for name in NAMES
    ]
    put(data / "captions.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return data


def records(data: Path) -> Path:
    """A file a split, as BLIP and LAVIS have them."""
    put_pictures(data / "images")
    for split, names in (("train", TRAIN), ("val", DEV)):
        rows = [
            {"image": name, "caption": sentences(name), "image_id": f"tiny_{i}"}
            for i, name in enumerate(names)
        ]
        put(data / f"tiny_{split}.json", json.dumps(rows))
    return data


def table(names: tuple[str, ...], with_bytes: bool = True) -> pyarrow.Table:
    """Pictures and captions as Hugging Face's datasets keep them in Arrow."""
    images = [{"bytes": jpeg(name) if with_bytes else None, "path": name} for name in names]
    kind = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
    captions = [list(sentences(name)) for name in names]
    return pyarrow.table({"image": pyarrow.array(images, kind), "caption": captions})


def parquet(data: Path) -> Path:
    (data / "data").mkdir(parents=True)
    parts = {"train-00000-of-00002": TRAIN[:4], "train-00001-of-00002": TRAIN[4:]}
    for name, names in (*parts.items(), ("validation-00000-of-00001", DEV)):
        pyarrow.parquet.write_table(table(names), data / "data" / f"{name}.parquet")
    return data


def arrow(data: Path) -> Path:
    for split, names in (("train", TRAIN), ("validation", DEV)):
        path = data / split / "data-00000-of-00001.arrow"
        put(path, b"")
        with pyarrow.ipc.new_stream(str(path), (rows := table(names)).schema) as stream:
            stream.write_table(rows, max_chunksize=3)
        put(path.with_name("state.json"), json.dumps({"_data_files": [{"filename": path.name}]}))
        put(path.with_name("dataset_info.json"), json.dumps({"features": {"caption": {}}}))
    put(data / "dataset_dict.json", json.dumps({"splits": ["train", "validation"]}))
    return data


def folder(data: Path) -> Path:
    for split, names in (("train", TRAIN), ("val", DEV)):
        put_pictures(data / split, names)
        for name in names:
            text = "\n".join(sentences(name)) + "\n"
            put((data / split / name).with_suffix(".txt"), text)
    put(data / "README.txt", "Made by hand.\n")
    return data


def shards(data: Path) -> Path:
    for shard, names in (("train-000", TRAIN[:4]), ("train-001", TRAIN[4:]), ("val-000", DEV)):
        members: list[tuple[str, bytes]] = []
        for name in names:
            members.append((f"./{name}", jpeg(name)))
            if int(Path(name).stem) % 2:
                document = json.dumps({"caption": sentences(name), "width": 64})
                members.append((f"./{Path(name).stem}.json", document.encode()))
            else:
                text = "\n".join(sentences(name))
                members.append((f"./{Path(name).stem}.txt", text.encode()))
        put(data / f"{shard}.tar", tar(members))
    return data


def tar(members: list[tuple[str, bytes]]) -> bytes:
    """An uncompressed tar file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:") as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def imagefolder(data: Path) -> Path:
    for split, names in (("train", TRAIN), ("validation", DEV)):
        put_pictures(data / split, names)
        rows = [
            json.dumps({"file_name": name, "text": s}) + "\n"
            for name in names
            for s in sentences(name)
        ]
        put(data / split / "metadata.jsonl", "".join(rows))
    return data


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "Flickr8K/30K release": flickr,
    "Karpathy JSON": karpathy,
    "COCO captions JSON": coco,
    "JSON records": records,
    "IAPR TC-12": iapr,
    "CSV": csv,
    "TSV": tsv,
    "JSON lines": json_lines,
    "Parquet": parquet,
    "Arrow": arrow,
    "folder of pictures and text files": folder,
    "WebDataset shards": shards,
    "Hugging Face imagefolder": imagefolder,
}


def refused(data: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_dataset(data)
    assert str(caught.value).isprintable()
    return str(caught.value)


def only_problem(data: Path) -> Problem:
    [problem] = read_dataset(data).problems
    return problem
