"""Every layout gives the same data set, and no reader leaves its folder or ends in a traceback."""

from __future__ import annotations

import json
import os
import random
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dataset_layouts
from dataset_layouts import DEV, LAYOUTS, NAMES, TRAIN, base_name, put, put_pictures, sentences
from mrnn.datasets import DataSet, read_dataset
from mrnn.errors import DataError, UsageError
from mrnn.images.finding import Member, check_file
from mrnn.images.reading import read_image

layouts = pytest.mark.parametrize("name", LAYOUTS)
SELF_CONTAINED = (
    *("folder of pictures and text files", "WebDataset shards"),
    *("Parquet", "Arrow"),
)
# Where the names of pictures are written down, rather than being those of the files themselves.
naming = pytest.mark.parametrize("name", [n for n in LAYOUTS if n not in SELF_CONTAINED])
quiet = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def refused(data: Path, images: Path | None = None) -> str:
    with pytest.raises(DataError) as caught:
        read_dataset(data, images)
    assert str(caught.value).isprintable()
    return str(caught.value)


def caption_files(data: Path) -> list[Path]:
    """All files but the pictures."""
    return sorted(p for p in data.rglob("*") if p.is_file() and p.suffix != ".jpg")


def contents(data: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in caption_files(data)}


def check_lies_inside(dataset: DataSet, data: Path) -> None:
    assert len(dataset.examples) > 0
    for example in dataset.examples:
        image = example.image
        path = image.shard if isinstance(image, Member) else image
        assert ".." not in path.parts
        assert data in path.parents
        check_file(image)
        assert example.sentences
        assert all(sentence == sentence.strip() != "" for sentence in example.sentences)


def check_damaged(data: Path, home: Path) -> None:
    """Read a data set that was damaged: all it gives is usable, or a message says why not."""
    outcome = outcome_of(data)
    if isinstance(outcome, DataError):
        assert str(outcome).isprintable()
        assert len(str(outcome)) < 2000
        return
    for problem in outcome.problems:
        assert str(problem).isprintable()
        assert len(str(problem)) < 1000
    for example in outcome.examples:
        path = example.image.shard if isinstance(example.image, Member) else example.image
        assert home in path.parents
        assert ".." not in path.parts
        assert path.is_file()
        assert example.sentences


def outcome_of(data: Path) -> DataSet | DataError:
    try:
        return read_dataset(data)
    except DataError as error:
        return error


@layouts
def test_every_layout_is_recognised_and_read(tmp_path, name):
    dataset = read_dataset(LAYOUTS[name](tmp_path / "birds"))
    assert (dataset.name, dataset.format) == ("birds", name)
    assert dataset.problems == ()
    assert sorted(base_name(e.image) for e in dataset.examples) == sorted(NAMES)
    for example in dataset.examples:
        assert example.sentences == sentences(base_name(example.image))
        assert read_image(example.image).size == (64, 48)
    if name == "IAPR TC-12":  # it has train and test only
        assert [base_name(e.image) for e in dataset.split("test")] == sorted(DEV)
        assert dataset.split_origin == "dev: a tenth of train, chosen by seed 1"
    else:
        assert {base_name(e.image) for e in dataset.split("train")} == set(TRAIN)
        assert {base_name(e.image) for e in dataset.split("dev")} == set(DEV)
        assert dataset.split_origin == "given by the data"


@layouts
def test_reading_changes_nothing(tmp_path, name):
    def state():
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    data = LAYOUTS[name](tmp_path / "birds")
    before = state()
    first = read_dataset(data)
    assert state() == before
    assert read_dataset(data) == first


_opened: list[str] | None = None


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _opened is not None and event in ("open", "os.scandir", "os.listdir", "socket.connect"):
        _opened.append(str(arguments[0]))


sys.addaudithook(_watch)


@layouts
def test_nothing_outside_the_data_is_opened(tmp_path, name, monkeypatch):
    data = LAYOUTS[name](tmp_path / "birds")
    read_dataset(data)  # whatever Python itself opens once
    opened: list[str] = []
    monkeypatch.setitem(globals(), "_opened", opened)
    read_dataset(data)
    monkeypatch.undo()
    assert opened
    assert all(Path(path).is_relative_to(data) for path in opened)
    assert not any(path.endswith(".jpg") for path in opened)


@layouts
def test_notices_and_hidden_files_are_no_problems(tmp_path, name):
    data = LAYOUTS[name](tmp_path / "birds")
    expected = read_dataset(data)
    for path in ("README", "README.md", "LICENSE.txt", "readme.txt", ".DS_Store", ".git/x.txt"):
        put(data / path, "Made by hand.\n")
    put(data / ".hidden.csv", "image,caption\n0.jpg,A dog\n")
    assert read_dataset(data) == expected


HOSTILE = [
    "/etc/passwd",
    "../outside.jpg",
    "a/../../outside.jpg",
    "..",
    "C:/outside.jpg",
    "https://example.org/outside.jpg",
    "file:///etc/passwd",
    "~/../outside.jpg",
    "\\\\host\\outside.jpg",
    "..\\outside.jpg",
]


@naming
@pytest.mark.parametrize("hostile", HOSTILE)
def test_names_that_lead_outside(tmp_path, name, hostile):
    data = LAYOUTS[name](tmp_path / "birds")
    put(tmp_path / "outside.jpg", dataset_layouts.jpeg("0.jpg"))
    is_json = name in ("Karpathy JSON", "COCO captions JSON", "JSON records", "JSON lines")
    is_json = is_json or name == "Hugging Face imagefolder"
    old, new = b"3.jpg", hostile.encode()
    if is_json:
        old, new = b'"3.jpg"', json.dumps(hostile).encode()
    if name == "IAPR TC-12":
        old = b"images/00/3.jpg"
    for path, content in contents(data).items():
        path.write_bytes(content.replace(b'"photos/3.jpg"', old).replace(old, new))
    if name == "Karpathy JSON":  # the folder goes before the name
        path = data / "dataset_tiny.json"
        path.write_text(path.read_text().replace('"val2014"', '""'))
        put_pictures(data / "images")
    dataset = read_dataset(data)
    check_lies_inside(dataset, data)
    assert len(dataset.examples) == 10
    assert "3.jpg" not in {base_name(e.image) for e in dataset.examples}
    assert dataset.problems
    assert all(str(problem).isprintable() for problem in dataset.problems)
    if name != "Flickr8K/30K release":  # whose names have no folders at all
        assert any("leads outside the data folder" in p.message for p in dataset.problems)


@naming
def test_a_picture_that_is_missing(tmp_path, name):
    data = LAYOUTS[name](tmp_path / "birds")
    [path] = data.rglob("3.jpg")
    path.unlink()
    dataset = read_dataset(data)
    assert len(dataset.examples) == 10
    [problem] = dataset.problems
    assert problem.message == f"no picture {path}; its captions are skipped"
    assert problem.split == "train"
    place = Path(problem.place.split(":")[0])
    assert place in caption_files(data)


@naming
def test_no_picture_at_all_and_pictures_elsewhere(tmp_path, name):
    data = LAYOUTS[name](tmp_path / "birds")
    expected = read_dataset(data)
    elsewhere = tmp_path / "elsewhere"
    for path in list(data.rglob("*.jpg")):
        inside = path.relative_to(data)
        parts = inside.parts[1:] if inside.parts[0] in _PICTURE_FOLDERS else inside.parts
        target = elsewhere.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    message = refused(data)
    assert "none of the captions has a picture" in message
    assert message.endswith("name the folder of the pictures with --images")
    found = read_dataset(data, elsewhere)
    assert [e.sentences for e in found.examples] == [e.sentences for e in expected.examples]
    assert found.problems == ()
    assert all(elsewhere in e.image.parents for e in found.examples)
    assert refused(data, tmp_path / "gone") == (
        f"{tmp_path / 'gone'}: no such folder; name the folder of the pictures with --images"
    )


_PICTURE_FOLDERS = ("images", "Flicker8k_Dataset", "train2014", "val2014", "train", "validation")


@pytest.mark.parametrize("name", SELF_CONTAINED)
def test_pictures_elsewhere_make_no_sense_where_captions_lie_beside_them(tmp_path, name):
    data = LAYOUTS[name](tmp_path / "birds")
    with pytest.raises(UsageError, match="--images does not go with"):
        read_dataset(data, tmp_path)


@naming
def test_only_the_folder_given_is_searched(tmp_path, name):
    data = LAYOUTS[name](tmp_path / "birds")
    (tmp_path / "empty").mkdir()
    assert "none of the captions has a picture" in refused(data, tmp_path / "empty")


def test_two_formats_in_one_folder_are_not_guessed(tmp_path):
    data = dataset_layouts.csv(tmp_path / "birds")
    dataset_layouts.karpathy(data)
    assert refused(data) == (
        f"{data}: several kinds of captions: Karpathy JSON (dataset_tiny.json), CSV "
        f"(captions.csv); name the file to be read, for example {data}/dataset_tiny.json, or move "
        "the others"
    )
    for file, name in (("captions.csv", "CSV"), ("dataset_tiny.json", "Karpathy JSON")):
        dataset = read_dataset(data / file)
        assert dataset.format == name
        assert dataset.name == f"birds/{file}"
        assert len(dataset.examples) == 11


def test_any_two_layouts_in_one_folder(tmp_path):
    for first, make_first in LAYOUTS.items():
        for second, make_second in LAYOUTS.items():
            if first < second:
                data = make_second(make_first(tmp_path / f"{first}{second}".replace("/", "")))
                message = refused(data)
                assert first in message
                assert second in message


def test_nothing_to_be_recognised(tmp_path):
    data = tmp_path / "birds"
    put_pictures(data)
    put(data / "README.md", "Birds\n")
    put(data / "settings.json", '{"seed": 1}')
    put(data / "labels.csv", "file,label\n0.jpg,dog\n")
    message = refused(data)
    assert message.startswith(f"{data}: no captions found; looked for: ")
    for sign in ("*.token.txt", "captions_*.json", ".csv", "metadata.jsonl", "photo.txt", "*.tar"):
        assert sign in message
    (data / "empty").mkdir()
    assert "no captions found" in refused(data / "empty")
    assert "no captions found" in refused(data / "0.jpg")


def test_a_table_of_something_else_beside_the_captions(tmp_path):
    data = dataset_layouts.csv(tmp_path / "birds")
    put(data / "labels.csv", "file,label\n0.jpg,dog\n")
    put(data / "package.json", '{"images": []}')
    put(data / "notes.txt", "image,caption\n")
    assert read_dataset(data).problems == ()


@layouts
def test_mutated_files(tmp_path, name):
    data = LAYOUTS[name](tmp_path / "birds")
    source = random.Random(name)
    files = contents(data)
    for _ in range(30):
        path = source.choice(list(files))
        content = bytearray(files[path])
        ends = min(len(content), 3000)  # of a shard, mostly the headers
        for _ in range(source.randint(1, 5)):
            at = source.randrange(ends)
            # Signs that mean something, more often than any byte.
            what = source.choice([*b'\n\t#\r\0/. \x1b",;{}[]<>|\\', source.randrange(256)])
            content[at : at + source.randint(0, 2)] = bytes([what])
        if source.random() < 0.2:
            del content[source.randrange(len(content)) :]
        path.write_bytes(content)
        check_damaged(data, data)
        check_damaged(path, data)
        path.write_bytes(files[path])


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["0.jpg", "human", "gpt", "train"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("images", "annotations", "id", "image_id", "file_name", "filename"),
                    *("filepath", "caption", "sentences", "raw", "tokens", "split", "image"),
                    *("0.jpg", "data", "result", "conversations", "from", "value", "subreddit"),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from(["captions.json", "captions.jsonl", "metadata.jsonl"]))
@quiet
def test_any_json(tmp_path, document, file):
    path = put(tmp_path / "birds" / file, json.dumps(document))
    put(path.parent / "0.jpg", "x")
    check_damaged(path, path.parent)
    check_damaged(path.parent, path.parent)
    path.unlink()


@given(
    st.sampled_from(
        ["a.csv", "a.tsv", "a.txt", "a.jsonl", "a.json", "a.tar", "a.token", "a.parquet", "a.arrow"]
    ),
    st.binary(max_size=200)
    | st.text("image,caption\t|;\n\r\"'0.jpg#{}[]: é\0", max_size=200).map(str.encode),
)
@quiet
def test_any_bytes(tmp_path, file, content):
    path = put(tmp_path / "birds" / file, content)
    put(path.parent / "0.jpg", "x")
    check_damaged(path, path.parent)
    check_damaged(path.parent, path.parent)
    path.unlink()


def one_caption(data: Path, caption: str) -> DataSet:
    """A data set of two pictures, the first of which has this caption, too."""
    put_pictures(data, ("0.jpg", "1.jpg"))
    rows = [("0.jpg", "A dog"), ("0.jpg", caption), ("1.jpg", "A cat")]
    lines = [json.dumps({"image": image, "caption": text}) for image, text in rows]
    put(data / "captions.jsonl", "\n".join(lines))
    return read_dataset(data)


@pytest.mark.parametrize(
    ("caption", "message"),
    [
        ("", "the caption has no words"),
        (" . , !", "the caption has no words"),
        ("A\0dog", "the caption holds a NUL character"),
        ("dog " * 1001, "the caption is longer than 1,000 words"),
        ("dog " * 100_000, "the caption is longer than 1,000 words"),
        ("é" * 100_000, "the caption is longer than 1,000 words"),
        ("A \udce9 dog", "not UTF-8 (byte 0xe9)"),
        ("A \ud800 dog", "not Unicode"),
    ],
)
def test_captions_that_cannot_be_used(tmp_path, caption, message):
    dataset = one_caption(tmp_path / "birds", caption)
    [problem] = dataset.problems
    assert str(problem) == f"{tmp_path}/birds/captions.jsonl:2: {message}; skipped"
    assert dataset.examples[0].sentences == ("A dog",)
    assert len(dataset.examples) == 2


@pytest.mark.parametrize(
    "caption", ["dog " * 1000, "犬が走る", "  A\tdog \n", "A dog", "\x1b[31mA"]
)
def test_captions_that_can(tmp_path, caption):
    dataset = one_caption(tmp_path / "birds", caption)
    assert dataset.problems == ()
    assert dataset.examples[0].sentences == ("A dog", caption.strip())


def test_captions_that_are_all_the_same_are_kept(tmp_path):
    data = tmp_path / "birds"
    put_pictures(data)
    put(
        data / "captions.csv", "image,caption\n" + "".join(f"{n},A dog\n{n},A dog\n" for n in NAMES)
    )
    dataset = read_dataset(data)
    assert dataset.problems == ()
    assert {example.sentences for example in dataset.examples} == {("A dog", "A dog")}


def test_a_picture_without_any_sound_caption_is_blamed_once(tmp_path):
    data = tmp_path / "birds"
    put_pictures(data, ("0.jpg", "1.jpg"))
    put(data / "captions.csv", "image,caption\n0.jpg,...\n0.jpg,\n1.jpg,A cat\n")
    places = [problem.place for problem in read_dataset(data).problems]
    assert places == [f"{data}/captions.csv:2", f"{data}/captions.csv:3"]


def test_two_spellings_of_a_name_are_one_picture(tmp_path):
    data = tmp_path / "birds"
    put_pictures(data, ("0.jpg", "1.jpg"))
    put(data / "a.csv", "image,caption\n./0.jpg,A dog\n1.jpg,A cat\n0.jpg,The dog\n.//0.jpg,One\n")
    dataset = read_dataset(data)
    assert [e.sentences for e in dataset.examples] == [("A dog", "The dog", "One"), ("A cat",)]
    assert dataset.examples[0].image == data / "0.jpg"


@pytest.mark.parametrize("name", [".", "images", "x" * 300, "a\udcff.jpg", "\udcff/0.jpg"])
def test_names_that_are_no_picture(tmp_path, name):
    data = tmp_path / "birds"
    put_pictures(data / "images", ("0.jpg", "1.jpg"))
    rows = [{"image": name, "caption": "A dog"}, {"image": "0.jpg", "caption": "A dog"}]
    put(data / "a.jsonl", "\n".join(map(json.dumps, rows)))
    [problem] = read_dataset(data).problems
    assert problem.place == f"{data}/a.jsonl:1"
    assert "no picture" in problem.message
    assert str(problem).isprintable()


def test_a_picture_whose_name_is_not_utf8(tmp_path):
    data = tmp_path / "birds"
    put_pictures(data, ("0.jpg", "1.jpg"))
    (data / "0.jpg").rename(data / os.fsdecode(b"caf\xe9.jpg"))
    put(data / "a.csv", b"image,caption\ncaf\xe9.jpg,A dog\n1.jpg,A cat\n")
    dataset = read_dataset(data)
    assert dataset.problems == ()
    assert read_image(dataset.examples[0].image).size == (64, 48)


def test_a_link_is_followed_and_pictures_in_both_usual_places_are_found(tmp_path):
    data = tmp_path / "birds"
    put_pictures(tmp_path / "far", ("0.jpg", "1.jpg"))
    (data / "images").mkdir(parents=True)
    (data / "images" / "0.jpg").symlink_to(tmp_path / "far" / "0.jpg")
    (data / "1.jpg").symlink_to(tmp_path / "far" / "1.jpg")
    (data / "2.jpg").symlink_to(tmp_path / "gone.jpg")
    put(data / "a.csv", "image,caption\n0.jpg,A dog\n1.jpg,A cat\n2.jpg,A cat\n")
    dataset = read_dataset(data)
    assert [e.image for e in dataset.examples] == [data / "images" / "0.jpg", data / "1.jpg"]
    [problem] = dataset.problems
    assert problem.place.endswith("a.csv:4")


def test_a_caption_weighs_little_more_than_its_bytes(tmp_path):
    data, pictures, count = tmp_path / "birds", 100, 4_000
    for i in range(pictures):
        put(data / f"{i:03}.jpg", "x")
    caption = "A dog number 123456 runs through the deep snow of a winter day ."
    rows = "".join(f"{i % pictures:03}.jpg,{caption}\n" for i in range(count))
    put(data / "captions.csv", "image,caption\n" + rows)
    read_dataset(data)
    tracemalloc.start()
    try:
        dataset = read_dataset(data)
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(dataset.examples) == pictures
    assert kept / count < len(caption) + 50
    assert most / count < len(caption) + 130


@layouts
def test_carriage_returns_alone_end_lines(tmp_path, name):
    """Text that an old Mac or a spreadsheet saved: the same data set."""
    data = LAYOUTS[name](tmp_path / "birds")
    expected = [(base_name(e.image), e.sentences) for e in read_dataset(data).examples]
    for path in data.rglob("*"):
        if path.suffix.lower() in {".txt", ".csv", ".tsv", ".jsonl", ".json", ".caption"}:
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r"))
    dataset = read_dataset(data)
    assert dataset.problems == ()
    assert [(base_name(e.image), e.sentences) for e in dataset.examples] == expected
