"""What looks like a list of a split, a folder of one or captions is read, or named."""

from __future__ import annotations

import json

import pytest

from dataset_layouts import (
    DEV,
    LAYOUTS,
    NAMES,
    TRAIN,
    base_name,
    coco,
    csv,
    flickr,
    folder,
    imagefolder,
    jpeg,
    json_lines,
    parquet,
    put,
    put_pictures,
    split_of,
    tar,
)
from mrnn.datasets import DataSet, read_dataset


def split_lists(data, *names):
    """The Flickr layout with lists of other names."""
    flickr(data)
    for old, new in zip(("train", "dev"), names, strict=True):
        (data / f"Flickr_8k.{old}Images.txt").rename(data / new)
    return read_dataset(data)


def named(dataset: DataSet) -> dict[str, str]:
    """Problems by the names of their files."""
    return {p.place.rpartition("/")[2]: p.message for p in dataset.problems}


@pytest.mark.parametrize(
    "names",
    [
        ("train_images.txt", "val_images.txt"),
        ("train.lst", "val.lst"),
        ("Flickr_30k.trainimages.txt", "Flickr_30k.valimages.txt"),
        ("train-list.txt", "dev-list.txt"),
        ("training.txt", "validation.txt"),
        ("karpathy_train_images.list", "karpathy_val_images.list"),
        ("TRAIN.TXT", "VAL.TXT"),
        ("trainset.txt", "testset.txt"),
    ],
)
def test_lists_of_splits_have_many_names(tmp_path, names):
    dataset = split_lists(tmp_path / "birds", *names)
    assert dataset.problems == ()
    other = "test" if "test" in names[1] else "dev"
    assert {base_name(e.image) for e in dataset.split(other)} == set(DEV)
    assert other == "test" or dataset.split_origin == "given by the data"


def test_a_list_may_name_the_folder_of_the_pictures(tmp_path):
    data = flickr(tmp_path / "birds")
    for path in data.glob("*Images.txt"):
        lines = path.read_text().splitlines()
        path.write_text("".join(f"Flicker8k_Dataset/{line}\n" for line in lines))
    dataset = read_dataset(data)
    assert (dataset.problems, dataset.counts()) == ((), {"train": 8, "dev": 3})


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("train.en.txt", "a list of the train split"),
        ("val.csv", "a list of the dev split"),
        ("more_captions.json", "captions"),
        ("metadata.parquet.txt", "captions"),
        ("test.xlsx", "a list of the test split"),
    ],
)
def test_what_is_not_read_is_named(tmp_path, name, what):
    data = flickr(tmp_path / "birds")
    put(data / name, "A dog runs here\n")
    dataset = read_dataset(data)
    assert len(dataset.examples) == 11
    message = named(dataset)[name]
    assert message.startswith(f"looks like {what}, but is not read: the data is taken for ")
    assert message.endswith("or name the file to be read instead")


@pytest.mark.parametrize(
    "name", ["README.txt", "notes.json", "Flickr8k.lemma.token.txt", "LICENSE.txt", "trained.txt"]
)
def test_what_looks_like_nothing_is_left_in_peace(tmp_path, name):
    data = flickr(tmp_path / "birds")
    put(data / name, "A dog runs here\n")
    assert read_dataset(data).problems == ()


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_list_beside_any_layout(tmp_path, name):
    """Where lists mean nothing, they are named."""
    data = LAYOUTS[name](tmp_path / "birds")
    if not data.is_dir():
        return
    put(data / "train.lst", "".join(f"{n}\n" for n in TRAIN))
    found = named(read_dataset(data))
    assert set(found) == (set() if "Flickr" in name else {"train.lst"}) or len(found) == len(TRAIN)


def test_coco_releases_have_nothing_that_is_named(tmp_path):
    data = LAYOUTS["COCO captions JSON"](tmp_path / "birds")
    for path in (data / "annotations").iterdir():
        path.rename(data / path.name)
    assert read_dataset(data).problems == ()


@pytest.mark.parametrize("other", ["training", "Train", "train"])
def test_metadata_in_folders_of_splits(tmp_path, other):
    data = imagefolder(tmp_path / "birds")
    (data / "train").rename(data / other)
    dataset = read_dataset(data)
    assert (dataset.problems, dataset.counts()) == ((), {"train": 8, "dev": 3})


def test_metadata_in_folders_inside_of_data(tmp_path):
    imagefolder(tmp_path / "birds" / "data")
    dataset = read_dataset(tmp_path / "birds")
    assert (dataset.problems, dataset.counts()) == ((), {"train": 8, "dev": 3})


def test_metadata_in_a_folder_that_is_no_split_is_named(tmp_path):
    data = imagefolder(tmp_path / "birds")
    put(data / "held-out" / "metadata.csv", "file_name,text\n0.jpg,A dog\n")
    [problem] = read_dataset(data).problems
    assert problem.place == f"{data}/held-out/metadata.csv"
    assert problem.message.startswith("looks like captions, but is not read")


@pytest.mark.parametrize("column", ["image_file_name", "file_names", "image_file_names"])
def test_columns_of_imagefolder(tmp_path, column):
    put_pictures(tmp_path)
    value = ["0.jpg"] if column.endswith("s") else "0.jpg"
    rows = [{column: value, "text": "A dog"}, {column: ["1.jpg", "2.jpg"], "text": "Two"}]
    put(tmp_path / "metadata.jsonl", "\n".join(map(json.dumps, rows)))
    dataset = read_dataset(tmp_path)
    assert [e.image.name for e in dataset.examples] == ["0.jpg"]
    [problem] = dataset.problems
    assert problem.message == f"no image in the column '{column}'; skipped"


@pytest.mark.parametrize("file", ["metadata.csv", "captions.csv"])
@pytest.mark.parametrize(
    ("train", "dev"),
    [("train", "val"), ("train2017", "val2017"), ("images/training", "images/dev")],
)
def test_folders_of_splits_that_the_names_tell(tmp_path, file, train, dev):
    """Nobody trains on pictures that lie in a folder for testing."""
    rows = []
    for name in NAMES:
        there = f"{train if name in TRAIN else dev}/{name}"
        put(tmp_path / there, jpeg(name))
        rows.append(f"{there},A dog\n")
    put(tmp_path / file, "file_name,text\n" + "".join(rows))
    dataset = read_dataset(tmp_path)
    assert dataset.split_origin == "by the folders of the pictures"
    assert {base_name(e.image) for e in dataset.split("train")} == set(TRAIN)
    assert {base_name(e.image) for e in dataset.split("dev")} == set(DEV)


def test_folders_of_one_split_tell_nothing(tmp_path):
    put_pictures(tmp_path / "test")
    put(tmp_path / "a.csv", "file,text\n" + "".join(f"test/{n},A dog\n" for n in NAMES))
    assert read_dataset(tmp_path).split_origin.startswith("a tenth of the pictures each")


def test_a_split_column_counts_more_than_folders(tmp_path):
    data = csv(tmp_path / "birds")
    (data / "images").rename(data / "test")
    assert read_dataset(data).counts() == {"train": 8, "dev": 3}


def test_folders_of_splits_inside_a_folder_of_pictures(tmp_path):
    folder(tmp_path / "birds" / "images")
    dataset = read_dataset(tmp_path / "birds")
    assert (dataset.problems, dataset.counts()) == ((), {"train": 8, "dev": 3})


@pytest.mark.parametrize("everything", ["captions", "all"])
def test_captions_that_two_files_have_count_once(tmp_path, everything):
    """Everything beside the splits."""
    put_pictures(tmp_path / "images")
    rows = [f"{name},A dog {name}\n" for name in NAMES] + ["0.jpg,A dog 0.jpg\n"]
    put(tmp_path / "train.csv", "image,caption\n" + "".join(rows[:8] + rows[11:]))
    put(tmp_path / "val.csv", "image,caption\n" + "".join(rows[8:11]))
    put(tmp_path / f"{everything}.csv", "image,caption\n" + "".join(rows) + "3.jpg,Something new\n")
    dataset = read_dataset(tmp_path)
    assert dataset.counts() == {"train": 8, "dev": 3}
    captions = [len(e.sentences) for e in dataset.examples]
    assert captions == [2, 1, 1, 2, *[1] * 7]  # who says the same in one file says it
    assert {str(p) for p in dataset.problems} == {
        f"{tmp_path}/{everything}.csv: 9 captions of {tmp_path}/train.csv again; counted once",
        f"{tmp_path}/{everything}.csv: 3 captions of {tmp_path}/val.csv again; counted once",
    }


def test_captions_as_json_lines_and_csv_count_once(tmp_path):
    data = imagefolder(tmp_path / "birds")
    path = data / "validation" / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    text = "".join(f"{row['file_name']},{row['text']}\n" for row in rows)
    put(path.with_suffix(".csv"), f"file_name,text\n{text}")
    dataset = read_dataset(data)
    path.with_suffix(".csv").unlink()
    assert dataset.examples == read_dataset(data).examples
    [problem] = dataset.problems
    table = path.with_suffix(".csv")
    assert str(problem) == f"{path}: 6 captions of {table} again; counted once"


def test_parts_with_a_hash_behind_their_numbers(tmp_path):
    data = parquet(tmp_path / "birds") / "data"
    for number, path in enumerate(sorted(data.glob("train-*"))):
        path.rename(path.with_name(f"{path.stem}-6f3344faa23e9b0{number}.parquet"))
    dataset = read_dataset(tmp_path / "birds")
    assert (dataset.problems, dataset.counts()) == ((), {"train": 8, "dev": 3})


def coco_with_splits(data, where, word=lambda name: "train" if name in TRAIN else "val"):
    """One file of COCO's whose images, or whose annotations, tell their split."""
    coco(data)
    both = [json.loads(p.read_text()) for p in sorted((data / "annotations").glob("captions_*"))]
    document = {kind: both[0][kind] + both[1][kind] for kind in ("images", "annotations")}
    names = {image["id"]: image["file_name"] for image in document["images"]}
    for one in document[where]:
        one["split"] = word(names[one.get("image_id", one["id"])])
    return put(data / "annotations" / "all.json", json.dumps(document))


@pytest.mark.parametrize("where", ["images", "annotations"])
def test_splits_in_coco(tmp_path, where):
    dataset = read_dataset(coco_with_splits(tmp_path / "birds", where))
    assert (dataset.problems, dataset.split_origin) == ((), "given by the data")
    assert {base_name(e.image) for e in dataset.split("dev")} == set(DEV)
    assert dataset.counts() == {"train": 8, "dev": 3}


def test_unknown_splits_in_coco_are_told(tmp_path):
    splits = {**dict.fromkeys(TRAIN, "train"), DEV[0]: "val"}
    path = coco_with_splits(tmp_path / "birds", "images", lambda n: splits.get(n, "spare"))
    dataset = read_dataset(path)
    assert dataset.counts() == {"train": 8, "dev": 1}
    assert [p.message for p in dataset.problems] == ["unknown split 'spare'; skipped"] * 2


def test_two_splits_of_a_picture_in_coco_are_told(tmp_path):
    path = coco_with_splits(tmp_path / "birds", "annotations")
    document = json.loads(path.read_text())
    document["annotations"][-1]["split"] = "train"
    put(path, json.dumps(document))
    [problem] = read_dataset(path).problems
    assert "is already in the dev split, where all of it is read" in problem.message
    assert problem.place.startswith(f"{path}: annotations[")


@pytest.mark.parametrize(
    "column", ["split", "Subset", "partition", "data_split", "data split", "phase", "fold"]
)
@pytest.mark.parametrize("layout", [csv, json_lines])
def test_columns_that_tell_splits(tmp_path, column, layout):
    data = layout(tmp_path / "birds")
    [path] = data.glob("captions.*")
    path.write_text(path.read_text().replace("split", column))
    rows = [json.loads(line) for line in path.read_text().splitlines() if line[0] == "{"]
    if rows:
        put(tmp_path / "array" / "captions.json", json.dumps(rows))
        (data / "photos").rename(tmp_path / "array" / "photos")
        assert read_dataset(tmp_path / "array").counts() == {"train": 8, "dev": 3}
        (tmp_path / "array" / "photos").rename(data / "photos")
    dataset = read_dataset(data)
    assert (dataset.problems, dataset.counts()) == ((), {"train": 8, "dev": 3})


@pytest.mark.parametrize("layout", [csv, json_lines])
def test_columns_that_may_tell_splits_and_do_not(tmp_path, layout):
    data = layout(tmp_path / "birds")
    [path] = data.glob("captions.*")
    text = path.read_text().replace("split", "dataset")
    path.write_text(text.replace('"train"', '"COCO"').replace(",train\n", ",COCO\n"))
    dataset = read_dataset(data)
    assert dataset.counts() == {"dev": 3}
    assert len(dataset.problems) == 8  # no split, while others have one
    dev = split_of(DEV[0])
    path.write_text(text.replace('"train"', '"COCO"').replace(f'"{dev}"', '"Flickr"'))
    if layout is csv:
        path.write_text(text.replace(",train\n", ",COCO\n").replace(f",{dev}\n", ",Flickr\n"))
    assert read_dataset(data).problems == ()


def test_a_column_of_words_of_splits_is_told(tmp_path):
    data = csv(tmp_path / "birds")
    path = data / "captions.csv"
    path.write_text(path.read_text().replace("split", "used for"))
    [problem] = read_dataset(data).problems
    assert str(problem) == (
        f"{path}: the column 'used for' seems to tell splits, but is not read; rename it to split"
    )
    path.write_text(path.read_text().replace(f",{split_of(DEV[0])}\n", ",bus\n"))
    assert read_dataset(data).problems == ()


def test_shards_whose_objects_tell_splits(tmp_path):
    members = []
    for name in NAMES:
        said = {"caption": "A dog", "split": "spare" if name == DEV[0] else split_of(name)}
        members += [(name, jpeg(name)), (f"{name[:-4]}.json", json.dumps(said).encode())]
    put(tmp_path / "a.tar", tar(members))
    dataset = read_dataset(tmp_path)
    assert dataset.counts() == {"train": 8, "dev": 2}
    [problem] = dataset.problems
    assert problem.message == "unknown split 'spare'; skipped"


def test_keys_of_shards_that_may_be_captions_are_told(tmp_path):
    said = json.dumps({"text": "Sale", "caption": "A dog", "description": "A dog"}).encode()
    put(tmp_path / "a.tar", tar([("1.jpg", jpeg("1.jpg")), ("1.json", said)]))
    dataset = read_dataset(tmp_path)
    assert [e.sentences for e in dataset.examples] == [("A dog",)]
    [problem] = dataset.problems
    assert problem.message == (
        "captions of 1 objects are those of caption, not text; rename the right key to caption"
    )


@pytest.mark.parametrize("is_array", [False, True])
def test_what_r_writes_for_an_empty_cell(tmp_path, is_array):
    """NA in capitals is no caption and no split; a word that is written otherwise is one."""
    put_pictures(tmp_path / "images")
    rows = [("0.jpg", "A dog", "train"), ("1.jpg", "NA", "train"), ("2.jpg", "Na", "NA")]
    text = "".join(",".join(row) + "\n" for row in [("image", "caption", "split"), *rows])
    keyed = [dict(zip(("image", "caption", "split"), row, strict=True)) for row in rows]
    put(tmp_path / ("a.json" if is_array else "a.csv"), json.dumps(keyed) if is_array else text)
    dataset = read_dataset(tmp_path)
    assert [e.sentences for e in dataset.examples] == [("A dog",)]
    assert [p.message for p in dataset.problems] == [
        "'NA' stands for no caption; skipped",
        "no split, while other pictures have one; skipped",
    ]


def test_ids_as_floats_write_them(tmp_path):
    """A column of numbers with a gap is of floats in pandas."""
    put_pictures(tmp_path / "images")
    put(tmp_path / "a.csv", "image_id,caption\n0.0,A dog\n1.0,A cat\n")
    dataset = read_dataset(tmp_path)
    assert (dataset.problems, len(dataset.examples)) == ((), 2)
    path = put(tmp_path / "a.jsonl", '{"image_id": 1.0, "caption": "A cat"}\n')
    assert [base_name(e.image) for e in read_dataset(path).examples] == ["1.jpg"]
    images = [{"id": i, "file_name": f"{i}.jpg"} for i in range(2)]
    said = [{"image_id": f"{i}.0", "caption": f"A dog {i}"} for i in range(2)]
    document = {"images": images, "annotations": said}
    dataset = read_dataset(put(tmp_path / "captions_a.json", json.dumps(document)))
    assert (dataset.problems, len(dataset.examples)) == ((), 2)


def test_versions_that_name_pictures_stay_names(tmp_path):
    put(tmp_path / "2.0.jpg", jpeg("2"))
    put(tmp_path / "a.csv", "image,caption\n2.0,A dog\n")
    dataset = read_dataset(tmp_path)
    assert (dataset.problems, [base_name(e.image) for e in dataset.examples]) == ((), ["2.0.jpg"])


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("splits.csv", "a list of splits"),
        ("split.json", "a list of splits"),
        ("trainval.txt", "a list of splits"),
        ("train_val.lst", "a list of splits"),
        ("eval.txt", "a list of splits"),
        ("splits/train.txt", "a list of the train split"),
        ("annotations/train_captions.csv", "captions"),
        ("annotations/train/captions.json", "captions"),
        ("images/captions.csv", "captions"),
        ("test/captions.csv", "captions"),
        ("validation/Metadata.jsonl", "captions"),
        ("train/a/metadata.jsonl", "captions"),
    ],
)
@pytest.mark.parametrize("layout", ["Flickr8K/30K release", "COCO captions JSON", "CSV"])
def test_lists_and_captions_in_folders_are_named(tmp_path, name, what, layout):
    data = LAYOUTS[layout](tmp_path / "birds")
    put(data / name, "{}\n")
    [problem] = read_dataset(data).problems
    assert problem.place == f"{data}/{name}"
    assert problem.message.startswith(f"looks like {what}, but is not read")


@pytest.mark.parametrize("name", ["retrieval.csv", "evaluation.json", "train/train_1.txt"])
def test_other_words_and_texts_of_pictures_are_left_in_peace(tmp_path, name):
    data = flickr(tmp_path / "birds")
    put(data / name, "A dog runs here\n")
    assert read_dataset(data).problems == ()


def test_many_files_alike_in_a_folder_are_one_problem(tmp_path):
    data = flickr(tmp_path / "birds")
    for number in range(20):
        put(data / "train" / f"caption_{number:02}.json", "{}")
    [problem] = read_dataset(data).problems
    assert problem.place == f"{data}/train/caption_00.json"
    assert "captions (and 19 others there), but is not read" in problem.message


def test_folders_that_hold_the_word_of_a_split_are_told(tmp_path):
    data = folder(tmp_path / "my_test_data")
    own = sorted(path for path in data.iterdir() if path.is_dir())
    for path in own:
        path.rename(path.with_name(f"my_{path.name}"))
    dataset = read_dataset(data)
    assert dataset.split_origin.startswith("a tenth of the pictures each")
    told = [p for p in dataset.problems if "is not read so; rename it to" in p.message]
    assert {p.place for p in told} == {f"{data}/my_{path.name}" for path in own}


@pytest.mark.parametrize(
    "write",
    [
        lambda name: [name.replace(".jpg", ".JPG")],
        lambda name: [f"Flicker8k_Dataset\\{name}"],
        lambda name: [f"{name}#{number}" for number in range(2)],
        lambda name: [f'"{name}"'],
        lambda name: [f"'{name}#0'"],
    ],
)
def test_names_in_lists_are_written_in_many_ways(tmp_path, write):
    data = flickr(tmp_path / "birds")
    for path in data.glob("*Images.txt"):
        names = path.read_text().split()
        path.write_text("".join(f"{line}\n" for name in names for line in write(name)))
    dataset = read_dataset(data)
    assert (dataset.problems, dataset.counts()) == ((), {"train": 8, "dev": 3})
    assert all(len(example.sentences) == 2 for example in dataset.examples)


def test_names_in_lists_that_differ_in_case_are_two(tmp_path):
    put(tmp_path / "a.jpg", jpeg("1"))
    put(tmp_path / "A.jpg", jpeg("2"))
    put(tmp_path / "x.token.txt", "a.jpg#0\tA dog\nA.jpg#0\tA cat\n")
    put(tmp_path / "train.txt", "a.jpg\n")
    put(tmp_path / "test.txt", "A.jpg\n")
    dataset = read_dataset(tmp_path)
    assert [e.sentences for e in dataset.split("test")] == [("A cat",)]
    assert dataset.problems == ()


@pytest.mark.parametrize("wrap", ["{}", "[{}]", '{{"caption": {}, "tags": "x"}}'])
def test_names_that_stand_twice_in_an_object(tmp_path, wrap):
    put_pictures(tmp_path)
    said = [("0.jpg", '"A dog"'), ("1.jpg", '"A cat"'), ("0.jpg", '"Dogs"')]
    rows = (f'"{name}": {wrap.format(caption)}' for name, caption in said)
    path = put(tmp_path / "a.json", "{" + ", ".join(rows) + "}")
    dataset = read_dataset(path)
    assert [e.sentences for e in dataset.examples] == [("A dog", "Dogs"), ("A cat",)]
    assert dataset.problems == ()
