"""CSV, TSV, JSON lines and imagefolder's metadata: columns, delimiters, quotes, odd rows."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataset_layouts import imagefolder, put, put_pictures, refused
from mrnn.datasets import DataSet, read_dataset


@pytest.fixture
def data(tmp_path):
    """A folder with the pictures 0.jpg to 10.jpg."""
    put_pictures(tmp_path / "birds")
    return tmp_path / "birds"


def said(dataset: DataSet) -> dict[str, tuple[str, ...]]:
    return {example.image.name: example.sentences for example in dataset.examples}


def problems(dataset: DataSet) -> list[str]:
    """Line and message of each problem."""
    return [f"{p.place.rpartition(':')[2]}: {p.message}" for p in dataset.problems]


@pytest.mark.parametrize(
    "image",
    [
        *("image", "image_path", "image_name", "file_name", "filename", "file", "path", "img"),
        *("photo", "picture", "Image", " FILE NAME ", "image-path"),
    ],
)
@pytest.mark.parametrize(
    "caption", ["caption", "text", "sentence", "description", "comment", "raw"]
)
def test_names_of_columns(data, image, caption):
    put(data / "a.csv", f"id,{caption},{image}\n1,A dog,0.jpg\n2,A cat,1.jpg\n")
    assert said(read_dataset(data)) == {"0.jpg": ("A dog",), "1.jpg": ("A cat",)}


@pytest.mark.parametrize(
    "header", ["caption_1,caption_2", "caption1,caption2", "Caption,Caption 2", "caption,caption.1"]
)
def test_several_columns_of_captions(data, header):
    put(data / "a.csv", f"image,{header}\n0.jpg,A dog,The dog\n1.jpg,A cat,\n")
    dataset = read_dataset(data)
    assert said(dataset) == {"0.jpg": ("A dog", "The dog"), "1.jpg": ("A cat",)}
    assert problems(dataset) == ["3: the caption has no words; skipped"]


def test_a_list_of_captions_in_a_cell(data):
    """As Flickr30K lies on Hugging Face."""
    cell = json.dumps(["A dog", 'The "dog", again']).replace('"', '""')
    put(data / "a.csv", f'filename,raw,split\n0.jpg,"{cell}",train\n1.jpg,[not a list],val\n')
    assert said(read_dataset(data)) == {
        "0.jpg": ("A dog", 'The "dog", again'),
        "1.jpg": ("[not a list]",),
    }


@pytest.mark.parametrize(
    ("header", "what"),
    [("name,caption", "image"), ("image,label", "caption"), ("url,text", "image")],
)
@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_a_column_that_is_missing(data, header, what, suffix):
    first, second = header.split(",")
    content = {
        "csv": f"{first},{second}\nhttps://example.org/0.jpg,A dog\n",
        "tsv": f"{first}\t{second}\nhttps://example.org/0.jpg\tA dog\n",
        "jsonl": json.dumps({first: "https://example.org/0.jpg", second: "A dog"}),
    }
    path = put(data / f"a.{suffix}", content[suffix])
    message = refused(path)
    assert message.startswith(f"{path}:1: no {what} column; found {first}, {second}; ")
    assert message.endswith("picture" if what == "image" else "raw")
    assert refused(data) == message


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("image,caption,text", "caption and text may each be the caption column"),
        ("image,caption,caption", "caption and caption may each be the caption column"),
        ("image,path,caption", "image and path may each be the image column"),
        ("image,caption,split,set", "split and set may each be the split column"),
    ],
)
def test_columns_that_could_both_be_it(data, header, message):
    path = put(data / "a.csv", f"{header}\n0.jpg,A dog,The dog\n")
    assert refused(path) == f"{path}:1: {message}; rename all but one"


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
def test_delimiters_of_csv(data, delimiter):
    rows = [
        ["image", "split", "caption"],
        ["0.jpg", "train", "A dog, and; so"],
        ["1.jpg", "val", "A"],
    ]
    content = io.StringIO()
    csv.writer(content, delimiter=delimiter).writerows(rows)
    put(data / "a.csv", content.getvalue())
    assert said(read_dataset(data)) == {"0.jpg": ("A dog, and; so",), "1.jpg": ("A",)}


def test_the_csv_of_flickr30k(data):
    """Bars with spaces around them, and quotes that mean nothing; a row that lacks a bar."""
    rows = (
        '0.jpg| 0| A "dog runs .\n0.jpg| 1| " A dog sits .\n1.jpg| 4   A cat .\n2.jpg| 0| A cat .\n'
    )
    put(data / "results.csv", "image_name| comment_number| comment\n" + rows)
    dataset = read_dataset(data)
    assert said(dataset) == {"0.jpg": ('A "dog runs .', '" A dog sits .'), "2.jpg": ("A cat .",)}
    assert problems(dataset) == ["4: 2 cells where the header has 3; row skipped"]


def test_the_text_of_flickr8k_as_it_is_often_copied(data):
    (data / "Images").mkdir()
    for path in data.glob("*.jpg"):
        path.rename(data / "Images" / path.name)
    put(
        data / "captions.txt", 'image,caption\n0.jpg,A dog .\n0.jpg,"A dog , ""so"""\n1.jpg,A cat\n'
    )
    dataset = read_dataset(data)
    assert dataset.format == "CSV"
    assert said(dataset) == {"0.jpg": ("A dog .", 'A dog , "so"'), "1.jpg": ("A cat",)}
    assert read_dataset((data / "captions.txt").rename(data / "x.txt")).examples == dataset.examples


@pytest.mark.parametrize(
    ("file", "delimiter", "message"),
    [
        ("a.tsv", ",", "separated by commas, but .tsv stands for tabs; rename the file to .csv"),
        (
            "a.tsv",
            ";",
            "separated by semicolons, but .tsv stands for tabs; rename the file to .csv",
        ),
        ("captions.txt", "|", "separated by bars, but .txt stands for commas; rename the file to"),
    ],
)
def test_the_wrong_delimiter(data, file, delimiter, message):
    path = put(data / file, f"image{delimiter}caption\n0.jpg{delimiter}A dog\n")
    assert refused(path).startswith(f"{path}:1: the columns are {message}")


def test_rows_with_another_delimiter_than_the_header(data):
    path = put(data / "a.csv", "image,caption\n0.jpg\tA dog\n1.jpg\tA cat\n")
    assert f"{path}:2: 1 cells where the header has 2; row skipped" in refused(path)


def test_line_numbers_with_lines_inside_of_quotes(data):
    rows = '0.jpg,"A dog\nruns"\n\n1.jpg,"A\r\n\ncat"\n2.jpg,"...\n..."\n3.jpg,...\n'
    put(data / "a.csv", "image,caption\n" + rows)
    dataset = read_dataset(data)
    assert [s for e in dataset.examples for s in e.sentences] == ["A dog\nruns", "A\r\ncat"]
    assert problems(dataset) == [f"{line}: the caption has no words; skipped" for line in (8, 10)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('1.jpg,"A cat', "not a sound row"),
        ('1.jpg,"A" cat', "not a sound row (',' expected after '\"'); line skipped"),
        ("1.jpg,A cat, that sits", "3 cells where the header has 2; row skipped"),
        ("1.jpg", "1 cells where the header has 2; row skipped"),
        (",A cat", "no image in the column 'image'; skipped"),
        ("1.jpg,A\0cat", "the caption holds a NUL character; skipped"),
        ("1.jpg," + "cat " * 100_000, "not a sound row (field larger than field limit (131072))"),
        ("1.jpg," + "cat " * 1001, "the caption is longer than 1,000 words; skipped"),
        ("1\0.jpg,A cat", "leads outside the data folder; skipped"),
    ],
)
@pytest.mark.parametrize("later", ["2.jpg,A dog\n3.jpg,A dog\n", '2.jpg,"A dog"\n3.jpg,"A dog"\n'])
def test_an_odd_row_costs_itself_alone(data, row, message, later):
    put(data / "a.csv", f"image,caption\n0.jpg,A dog\n{row}\n{later}")
    dataset = read_dataset(data)
    assert said(dataset) == dict.fromkeys(("0.jpg", "2.jpg", "3.jpg"), ("A dog",))
    [problem] = dataset.problems
    assert problem.place == f"{data}/a.csv:3"
    assert message in problem.message


def test_a_byte_that_is_not_utf8_costs_its_row(data):
    put(data / "a.csv", b"image,caption\n0.jpg,A caf\xe9\n1.jpg,A cat\n")
    dataset = read_dataset(data)
    assert said(dataset) == {"1.jpg": ("A cat",)}
    assert problems(dataset) == ["2: not UTF-8 (byte 0xe9); skipped"]


@pytest.mark.parametrize("file", ["a.csv", "a.jsonl"])
def test_utf_16(data, file):
    content = "image,caption\n0.jpg,A dog\n" if file == "a.csv" else '{"image": "0.jpg"}'
    path = put(data / file, content.encode("utf-16"))
    assert refused(data) == f"{path}: not UTF-8 text, perhaps UTF-16; save it as UTF-8"


def test_byte_order_mark_windows_lines_and_spaces(data):
    content = b'\xef\xbb\xbfimage, caption\r\n0.jpg, "A dog, so"\r\n\r\n 1.jpg , A cat \r\n'
    put(data / "a.csv", content)
    assert said(read_dataset(data)) == {"0.jpg": ("A dog, so",), "1.jpg": ("A cat",)}


def test_quotes_mean_nothing_in_tsv(data):
    put(data / "a.tsv", 'image\tcaption\n0.jpg\t"A dog\n1.jpg\tA "cat" "\n')
    assert said(read_dataset(data)) == {"0.jpg": ('"A dog',), "1.jpg": ('A "cat" "',)}


@pytest.mark.parametrize("header", [",image,caption", "Unnamed: 0,image,caption", "image,caption,"])
@pytest.mark.parametrize("index", ["0", "keep", "val", ""])
def test_a_column_without_a_name_is_no_split(data, header, index):
    """As pandas writes its index."""
    at = header.split(",").index("image")
    rows = [["0.jpg", "A dog"], ["1.jpg", "A cat"]]
    lines = [",".join(row[:0] + [index] * (at == 1) + row + [index] * (at == 0)) for row in rows]
    put(data / "a.csv", "\n".join([header, *lines]))
    dataset = read_dataset(data)
    assert said(dataset) == {"0.jpg": ("A dog",), "1.jpg": ("A cat",)}
    assert dataset.problems == ()
    assert dataset.split_origin.endswith("chosen by seed 1")


def test_a_pandas_index_beside_a_split(data):
    put(data / "a.csv", ",image,caption,split\n0,0.jpg,A dog,train\n1,1.jpg,A cat,val\n")
    dataset = read_dataset(data)
    assert (dataset.problems, dataset.counts()) == ((), {"train": 1, "dev": 1})


def test_what_stands_for_an_empty_cell(data):
    rows = "0.jpg,A dog,NaN\n1.jpg,nan,nan\n2.jpg,A cat,None\n"
    put(data / "a.csv", "image,caption,split\n" + rows)
    dataset = read_dataset(data)
    assert said(dataset) == {"0.jpg": ("A dog",), "2.jpg": ("A cat",)}
    assert problems(dataset) == ["3: 'nan' stands for no caption; skipped"]


@pytest.mark.parametrize("first", ["sep=;", "sep=;\r", '"sep=;"', "\ufeffsep=;", "SEP=;"])
def test_the_line_that_excel_begins_with(data, first):
    rows = f"{first}\nimage;caption\n0.jpg;A dog, and so\n1.jpg;\n"
    put(data / "a.csv", rows)
    dataset = read_dataset(data)
    assert said(dataset) == {"0.jpg": ("A dog, and so",)}
    assert problems(dataset) == ["4: the caption has no words; skipped"]
    put(data / "a.csv", rows.replace(";", "\t"))
    assert said(read_dataset(data)) == {"0.jpg": ("A dog, and so",)}


def test_a_line_of_excel_and_nothing_else(data):
    path = put(data / "a.csv", "sep=;\n")
    assert refused(path).startswith(f"{path}:1: no image column; found sep=, ")


def test_quoted_cells_of_tsv(data):
    """As spreadsheets and pandas write them; a quote in a caption, or alone, stays."""
    rows = [
        'image\tcaption\n0.jpg\t"A dog\nthat ""runs"" fast"\n',
        '1.jpg\t"A cat" sits\n2.jpg\t"A cat\n3.jpg\tA "dog"\n4.jpg\t"Dogs"\n',
        '"5.jpg"\t"A\r\n\r\ncat"\n6.jpg\t"odd\n7.jpg\teven"\n8.jpg\t\n',
    ]
    put(data / "a.tsv", "".join(rows))
    dataset = read_dataset(data)
    assert said(dataset) == {
        "0.jpg": ('A dog\nthat "runs" fast',),
        "1.jpg": ('"A cat" sits',),
        "2.jpg": ('"A cat',),
        "3.jpg": ('A "dog"',),
        "4.jpg": ("Dogs",),
        "5.jpg": ("A\r\ncat",),  # blank lines are passed over
        "6.jpg": ('"odd',),
        "7.jpg": ('even"',),
    }
    assert problems(dataset) == ["13: the caption has no words; skipped"]


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file(data, content):
    path = put(data / "a.csv", content)
    assert refused(path) == refused(data) == f"{path}: the file is empty"


def test_a_header_without_rows(data):
    path = put(data / "a.csv", "image,caption\n")
    assert refused(path) == "birds/a.csv: no picture has a caption that can be used"


def test_several_files_without_a_usable_caption(data):
    for name in ("train", "val"):
        put(data / f"{name}.csv", "image,caption\n1.jpg,nan\n2.jpg,...\n")
    said = "birds: no picture has a caption that can be used; the first problem: "
    assert refused(data).startswith(said)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"a"', "not a JSON object (Expecting ':' delimiter, column 5); line skipped"),
        ("[1]", "not a JSON object; line skipped"),
        ("7", "not a JSON object; line skipped"),
        ("9" * 5000, "not a JSON object; line skipped"),
        ("[" * 100_000, "not a JSON object; line skipped"),
        ("{}", "no image column; found nothing; accepted names are image, "),
        ('{"url": "x", "captions": "A dog"}', "no image column; found url, captions; accepted"),
        ('{"image": "1.jpg", "path": "x", "captions": "A"}', "image and path may each be the"),
        ('{"image": 7, "captions": "A dog"}', "no image in the column 'image'; skipped"),
        ('{"image": null, "captions": "A dog"}', "no image in the column 'image'; skipped"),
        ('{"image": "1.jpg"}', "no caption column; found image; accepted names are caption, "),
        ('{"image": "1.jpg", "captions": 7}', "a caption that is not text; skipped"),
        ('{"image": "1.jpg", "captions": {"a": 1}}', "a caption that is not text; skipped"),
        ('{"image": "1.jpg", "captions": ["A", null]}', "a caption that is not text; skipped"),
        ('{"image": "1.jpg", "captions": []}', "1.jpg has no caption; skipped"),
        ('{"image": "1.jpg", "captions": ["A", "B"], "split": "x"}', "unknown split 'x'; skipped"),
        ('{"image": "1.jpg", "captions": "A", "split": 2}', "unknown split '2'; skipped"),
    ],
)
def test_odd_lines_of_json(data, line, message):
    sound = [
        '{"image": "0.jpg", "captions": ["A dog", "So"]}',
        '{"captions": "A", "image": "2.jpg"}',
    ]
    put(data / "a.jsonl", f"{sound[0]}\n{line}\n\n{sound[1]}\n")
    dataset = read_dataset(data)
    assert said(dataset) == {"0.jpg": ("A dog", "So"), "2.jpg": ("A",)}
    [problem] = problems(dataset)
    assert problem.startswith(f"2: {message}")


def test_tables_of_several_splits(data):
    put(data / "train.csv", "image,caption\n0.jpg,A dog\n1.jpg,A cat\n")
    put(data / "my-valid-set.csv", "image,caption\n2.jpg,A dog\n0.jpg,The dog\n")
    dataset = read_dataset(data)
    assert dataset.counts() == {"train": 2, "dev": 1}
    assert problems(dataset) == ["3: 0.jpg is already in the train split; skipped"]


def test_a_table_of_another_split_must_be_sound(data):
    put(data / "train.csv", "image,caption\n0.jpg,A dog\n1.jpg,A cat\n")
    path = put(data / "test.csv", "image,label\n2.jpg,dog\n")
    assert refused(data).startswith(f"{path}:1: no caption column; found image, label; ")


def test_two_tables_of_the_same_split(data):
    for name in ("a.csv", "b.csv"):
        put(data / name, "image,caption\n0.jpg,A dog\n")
    assert refused(data) == (
        f"{data}/b.csv: a.csv lies beside it; name the one to be read, or move the other"
    )
    assert read_dataset(data / "a.csv").name == "birds/a.csv"


def test_imagefolder_with_csv_and_pictures_in_folders(tmp_path):
    data = imagefolder(tmp_path / "birds")
    (data / "validation" / "metadata.jsonl").unlink()
    put_pictures(data / "validation" / "deep", ("9.jpg",))
    put(data / "validation" / "metadata.csv", "file_name,text\n8.jpg,A dog\ndeep/9.jpg,A cat\n")
    dataset = read_dataset(data)
    assert dataset.counts() == {"train": 8, "dev": 2}
    assert dataset.examples[-1].image == data / "validation" / "deep" / "9.jpg"


def test_imagefolder_without_splits(tmp_path):
    put_pictures(tmp_path / "images", ("0.jpg",))
    put_pictures(tmp_path, ("1.jpg", "2.jpg"))
    rows = [{"file_name": f"{i}.jpg", "text": "A dog"} for i in range(3)]
    put(tmp_path / "metadata.jsonl", "\n".join(map(json.dumps, rows)))
    dataset = read_dataset(tmp_path)
    assert dataset.format == "Hugging Face imagefolder"
    assert dataset.split_origin.endswith("chosen by seed 1")
    [problem] = dataset.problems  # pictures are nowhere but beside their metadata
    assert problem.message.startswith(f"no picture {tmp_path}/0.jpg")
    assert read_dataset(tmp_path / "metadata.jsonl").examples == dataset.examples


def test_imagefolder_of_classes_has_no_captions(tmp_path):
    data = imagefolder(tmp_path / "birds")
    for path in data.rglob("metadata.jsonl"):
        put(path, '{"file_name": "0.jpg", "label": 3}')
    path = data / "train" / "metadata.jsonl"
    assert refused(data).startswith(f"{path}:1: no caption column; found file_name, label; ")


def test_the_same_name_in_two_folders_is_two_pictures(tmp_path):
    data = imagefolder(tmp_path / "birds")
    put_pictures(data / "validation", ("0.jpg",))
    put(data / "validation" / "metadata.jsonl", '{"file_name": "0.jpg", "text": "A dog"}')
    dataset = read_dataset(data)
    assert dataset.problems == ()
    assert dataset.counts() == {"train": 8, "dev": 1}


cells = st.text('ab é"\n\r,;', max_size=8)


@given(st.lists(cells, min_size=1, max_size=6), st.sampled_from([",", ";", "\t"]))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_python_writes_is_read_again(data, captions, delimiter):
    content = io.StringIO()
    writer = csv.writer(content, delimiter=delimiter)
    writer.writerow(["image", "caption"])
    writer.writerows([f"{i}.jpg", f"A {caption}"] for i, caption in enumerate(captions))
    path = put(data / ("a.tsv" if delimiter == "\t" else "a.csv"), content.getvalue())
    dataset = read_dataset(path)
    assert dataset.problems == ()
    expected = {f"{i}.jpg": f"A {caption}".split() for i, caption in enumerate(captions)}
    assert {name: sentence.split() for name, (sentence,) in said(dataset).items()} == expected
