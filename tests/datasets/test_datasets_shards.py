"""WebDataset shards: members by key, bytes by seeking, and whatever else a tar file may hold."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from dataset_layouts import jpeg, only_problem, put, refused, shards, tar
from mrnn.datasets import DataSet, Problem, read_dataset
from mrnn.datasets.shards import shard_pictures
from mrnn.errors import ImageError
from mrnn.images.features import cached_features, encode_images
from mrnn.images.finding import Member, Sieve, check_file, printable
from mrnn.images.reading import read_image

DOG, CAT = ("0.jpg", jpeg("0.jpg")), ("1.jpg", jpeg("1.jpg"))
SOUND = [DOG, ("0.txt", b"A dog\n"), CAT, ("1.json", b'{"caption": "A cat"}')]


def shard(folder: Path, *members: tuple[str, bytes], name: str = "a.tar") -> Path:
    return put(folder / name, tar(list(members)))


def said(dataset: DataSet) -> dict[str, tuple[str, ...]]:
    return {example.image.name: example.sentences for example in dataset.examples}


def test_one_shard_is_data_too(tmp_path):
    dataset = read_dataset(shard(tmp_path, *SOUND))
    assert said(dataset) == {"0.jpg": ("A dog",), "1.jpg": ("A cat",)}
    assert dataset.name == f"{tmp_path.name}/a.tar"
    assert dataset.split_origin.startswith("a tenth of the pictures each")


def test_names_of_shards_tell_splits(tmp_path):
    data = shards(tmp_path / "birds")
    (data / "val-000.tar").rename(data / "birds_test.tar")
    assert read_dataset(data).counts()["test"] == 3
    shard(data, ("20.jpg", jpeg("20.jpg")), ("20.txt", b"A dog"), name="more.tar")
    problem = only_problem(data)
    assert str(problem) == (
        f"{data}/more.tar:20.txt: no split, while other pictures have one; skipped"
    )


def test_folders_of_shards_tell_splits(tmp_path):
    """As the webdataset exporters write them; a folder of one split alone is split by lot."""
    data = shards(tmp_path / "birds")
    counts = read_dataset(data).counts()
    for name in ("train", "val"):
        (data / name).mkdir()
        for path in data.glob(f"{name}-*.tar"):
            path.rename(data / name / path.name.removeprefix(f"{name}-"))
    dataset = read_dataset(data)
    assert dataset.counts() == counts
    assert dataset.problems == ()
    alone = read_dataset(data / "train")
    assert len(alone.examples) == counts["train"]
    assert alone.split_origin.startswith("a tenth of the pictures each")


def test_pictures_are_read_where_they_lie(tmp_path):
    data = shards(tmp_path / "birds")
    for example in read_dataset(data).examples:
        image = example.image
        assert isinstance(image, Member)
        content = image.shard.read_bytes()[image.offset : image.offset + image.size]
        assert content == jpeg(image.name)
        loose = put(tmp_path / image.name, content)
        assert read_image(image) == read_image(loose)
        assert read_image(image, at_least=20).size == read_image(loose, at_least=20).size
        check_file(image)
    assert str(image) == f"{data}/val-000.tar:10.jpg" == printable(image)


def test_folders_in_a_shard_and_keys_up_to_the_first_dot(tmp_path):
    members = [("a/0.jpg", DOG[1]), ("a/0.txt", b"A dog"), ("b/0.jpg", CAT[1])]
    members += [("b/0.txt", b"A cat"), ("c.d/0.jpg", DOG[1]), ("c.d/0.seg.png", DOG[1])]
    dataset = read_dataset(shard(tmp_path, *members, ("c.d/0.txt", b"So")))
    assert said(dataset) == {"a/0.jpg": ("A dog",), "b/0.jpg": ("A cat",), "c.d/0.jpg": ("So",)}
    [problem] = dataset.problems
    assert problem.message == "1 members of other kinds (.seg.png) are not read"


@pytest.mark.parametrize("order", [(3, 0, 5, 4, 1, 2), (0, 1, 2, 3, 4, 5), (5, 4, 3, 2, 1, 0)])
@pytest.mark.parametrize(
    ("picture", "text"),
    [
        ("{}.jpg", "{}.txt"),
        ("{}.jpg", "{}.caption.txt"),
        ("{}.image.jpg", "{}.caption.txt"),
        ("{}.IMG.JPG", "{}.json"),
        ("{}.image.png", "{}.metadata.json"),
        ("2024.05.{}.jpg", "2024.05.{}.txt"),
        ("a.b/{}.jpg", "a.b/{}.caption"),
    ],
)
def test_members_in_any_order_and_with_words_between(tmp_path, picture, text, order):
    """As tar packs folders, and webdataset 1.0.2 writes `image.jpg` with `caption.txt`."""
    members = [(picture.format(key), jpeg(f"{key}.jpg")) for key in range(3)]
    for key in range(3):
        caption = f"A dog {key}"
        content = json.dumps({"caption": caption}) if text.endswith("json") else caption
        members.append((text.format(key), content.encode()))
    dataset = read_dataset(shard(tmp_path, *(members[i] for i in order)))
    assert dataset.problems == ()
    assert said(dataset) == {picture.format(key): (f"A dog {key}",) for key in range(3)}
    contents = dict(members)
    for example in dataset.examples:
        image = example.image
        content = image.shard.read_bytes()[image.offset : image.offset + image.size]
        assert content == contents[image.name]


def test_no_folder_of_pictures_is_asked_for(tmp_path):
    message = refused(shard(tmp_path, DOG, ("1.txt", b"A cat")))
    assert "the shard holds no text of that key" in message
    assert "--images" not in message


def test_numbers_between_are_other_pictures(tmp_path):
    """2024.05.01.jpg is not what 2024.05.02.txt says."""
    members = [("2024.05.01.jpg", DOG[1]), ("2024.05.02.txt", b"A cat")]
    dataset = read_dataset(shard(tmp_path, *SOUND, *members))
    assert said(dataset) == {"0.jpg": ("A dog",), "1.jpg": ("A cat",)}
    assert [problem.message for problem in dataset.problems] == [
        "the shard holds no text of that key; skipped",
        "the shard holds no picture of that key; skipped",
    ]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["k.image.png", "k.mask.png", "k.caption.txt", "k.tags.txt"], ["mask.png", "tags.txt"]),
        (["k.jpg", "k.mask.png", "k.txt", "k.caption.txt"], ["caption.txt", "mask.png"]),
        (["k.depth.png", "k.image.jpg", "k.txt", "k.json"], ["depth.png"]),
    ],
)
def test_of_several_members_the_one_with_a_known_word_counts(tmp_path, more, expected):
    members = [(n, b"A dog" if n.endswith("txt") else b"{}" if "js" in n else DOG[1]) for n in more]
    dataset = read_dataset(shard(tmp_path, *members))
    [example] = dataset.examples
    assert example.image.name in ("k.image.png", "k.jpg", "k.image.jpg")
    [problem] = dataset.problems
    assert all(f".{name}" in problem.message for name in expected)
    assert problem.message.startswith(f"{len(expected)} members of other kinds")


def test_several_members_of_unknown_words_are_not_guessed(tmp_path):
    members = [("k.left.jpg", DOG[1]), ("k.right.jpg", CAT[1]), ("k.txt", b"A dog")]
    dataset = read_dataset(shard(tmp_path, *SOUND, *members))
    [problem] = dataset.problems
    assert problem.message == "several pictures or texts of the same key; skipped"
    assert len(dataset.examples) == 2


@pytest.mark.parametrize("kind", ["jpg", "JPEG", "png", "webp"])
def test_kinds_of_pictures(tmp_path, kind):
    data = shard(tmp_path, (f"0.{kind}", DOG[1]), ("0.txt", b"A dog\n\n The dog \n"))
    assert read_dataset(data).examples[0].sentences == ("A dog", "The dog")


@pytest.mark.parametrize(
    "document",
    [
        {"caption": "A dog"},
        {"url": "https://example.org", "text": "A dog", "width": 3},
        {"captions": ["A dog"]},
        {"sentence": "A dog", "raw": 7},
    ],
)
def test_kinds_of_documents(tmp_path, document):
    data = shard(tmp_path, ("0.json", json.dumps(document).encode()), DOG)
    assert said(read_dataset(data)) == {"0.jpg": ("A dog",)}


def test_the_text_counts_where_both_are(tmp_path):
    """img2dataset writes the same caption into both."""
    data = shard(tmp_path, DOG, ("0.json", b'{"caption": "A dog"}'), ("0.txt", b"A dog"))
    assert said(read_dataset(data)) == {"0.jpg": ("A dog",)}


def test_lines_and_lists_of_a_shard(tmp_path):
    cells = [b"A dog\rThe dog\r", b"A dog\r\nThe dog", b"A dog\n\nThe dog\n"]
    members = [
        m for i, text in enumerate(cells) for m in ((f"{i}.jpg", DOG[1]), (f"{i}.txt", text))
    ]
    listed = json.dumps({"caption": "['A dog' 'The dog']"}).encode()
    put(tmp_path / "a.tar", tar([*members, ("3.jpg", DOG[1]), ("3.json", listed)]))
    dataset = read_dataset(tmp_path)
    assert dataset.problems == ()
    assert [e.sentences for e in dataset.examples] == [("A dog", "The dog")] * 4


@pytest.mark.parametrize(
    ("members", "place", "message"),
    [
        ([("2.txt", b"A dog")], "2.txt", "the shard holds no picture of that key"),
        ([("2.jpg", DOG[1])], "2.jpg", "the shard holds no text of that key"),
        ([("2.jpg", DOG[1]), ("2.txt", b" \n")], "2.txt", "the text is empty"),
        ([("2.jpg", DOG[1]), ("2.txt", b"A caf\xe9")], "2.txt", "not UTF-8 (byte 0xe9)"),
        ([("2.jpg", DOG[1]), ("2.txt", b"x" * (1 << 21))], "2.txt", "larger than 1,048,576 bytes"),
        ([("2.jpg", DOG[1]), ("2.json", b"{")], "2.json", "not JSON (Expecting property name"),
        ([("2.jpg", DOG[1]), ("2.json", b"[" * 99_999)], "2.json", "not JSON"),
        (
            [("2.jpg", DOG[1]), ("2.json", b"[]")],
            "2.json",
            "no caption; accepted keys are caption,",
        ),
        ([("2.jpg", DOG[1]), ("2.json", b'{"caption": 7}')], "2.json", "no caption; accepted keys"),
        ([("2.jpg", DOG[1]), ("2.json", b'{"captions": []}')], "2.json", "no caption; accepted"),
        ([("2.jpg", DOG[1]), ("2.png", DOG[1]), ("2.txt", b"A")], "2.jpg", "several pictures or"),
        (
            [("../2.jpg", DOG[1]), ("../2.txt", b"A")],
            "../2.jpg",
            "the name leads outside the shard",
        ),
        ([("/2.jpg", DOG[1])], "/2.jpg", "the name leads outside the shard"),
        ([("2.pkl", b"cos\nsystem\n")], "2.pkl", "a pickle, which could run any code"),
        ([("2.pth", b"")], "2.pth", "a pickle, which could run any code"),
        ([("2.cls", b"7")], None, "1 members of other kinds (.cls) are not read"),
        ([("0.jpg", CAT[1]), ("0.txt", b"Another")], "0.txt", "0.jpg stands twice in the shard"),
    ],
)
def test_members_that_cannot_be_used(tmp_path, members, place, message):
    data = shard(tmp_path, *SOUND, *members)
    dataset = read_dataset(data)
    assert said(dataset) == {"0.jpg": ("A dog",), "1.jpg": ("A cat",)}
    assert dataset.problems[0].place == (f"{data}:{place}" if place else str(tmp_path))
    assert dataset.problems[0].message.startswith(message)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices(tmp_path, kind):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:") as file:
        info = tarfile.TarInfo("2.jpg")
        info.type, info.linkname = kind, "/etc/passwd"
        file.addfile(info)
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        file.addfile(folder)
        for name, content in SOUND:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    data = put(tmp_path / "a.tar", buffer.getvalue())
    problem = only_problem(data)
    assert str(problem) == f"{data}:2.jpg: a link, device or sparse file; skipped"
    assert len(read_dataset(data).examples) == 2


@pytest.mark.parametrize("end", [700, 4000, 5600])
def test_a_shard_that_is_cut_short(tmp_path, end):
    data = shards(tmp_path / "birds")
    path = data / "train-000.tar"
    content = path.read_bytes()
    path.write_bytes(content[:end])
    dataset = read_dataset(data)
    assert len(dataset.problems) <= 2  # and the last member may lack its text
    [problem] = [p for p in dataset.problems if p.place == str(path)]
    assert problem.message.startswith("the shard is damaged or cut short (")
    assert problem.message.endswith("; what precedes is used")
    for example in dataset.examples:
        read_image(example.image)
    assert 7 <= len(dataset.examples) < 11


def test_a_shard_cut_between_members_lacks_its_end_mark(tmp_path):
    data = shard(tmp_path, *SOUND)
    content = data.read_bytes().rstrip(b"\0")
    data.write_bytes(content + bytes(-len(content) % 512))
    dataset = read_dataset(data)
    assert len(dataset.examples) == 2
    [problem] = dataset.problems
    assert "(no end mark)" in problem.message


def test_a_damaged_header_in_the_middle(tmp_path):
    data = shard(tmp_path, *SOUND)
    content = bytearray(data.read_bytes())
    at = content.index(b"1.jpg\0")
    content[at + 150] ^= 1  # in the checksum's block
    data.write_bytes(content)
    dataset = read_dataset(data)
    assert said(dataset) == {"0.jpg": ("A dog",)}
    assert "damaged or cut short" in dataset.problems[-1].message


@pytest.mark.parametrize(
    "size", [b"\xff" * 12, b"\xff" * 8 + b"\xff\xff\xfe\x00", b"\x80" + b"\x7f" * 11]
)
def test_sizes_that_are_none(tmp_path, size):
    """Below nothing, or far beyond the end of the file."""
    data = shard(tmp_path, DOG, ("0.txt", b"A dog"), CAT, ("1.txt", b"A cat\n"))
    content = bytearray(data.read_bytes())
    at = content.index(b"1.txt\0")
    content[at + 124 : at + 136] = size
    total = sum(content[at : at + 148]) + 8 * 32 + sum(content[at + 156 : at + 512])
    content[at + 148 : at + 156] = f"{total:06o}\0 ".encode()
    data.write_bytes(content)
    dataset = read_dataset(data)
    assert said(dataset) == {"0.jpg": ("A dog",)}
    assert any("damaged or cut short" in problem.message for problem in dataset.problems)


def test_a_picture_that_is_cut_short_is_left_out(tmp_path):
    data = shard(tmp_path, *SOUND, ("2.txt", b"A dog"), ("2.jpg", DOG[1]))
    data.write_bytes(data.read_bytes()[: data.read_bytes().index(b"2.jpg\0") + 700])
    assert said(read_dataset(data)) == {"0.jpg": ("A dog",), "1.jpg": ("A cat",)}


def test_a_long_shard_is_not_kept_in_memory(tmp_path):
    members = [(f"{i:04}.{kind}", b"A dog") for i in range(1000) for kind in ("jpg", "txt")]
    data = shard(tmp_path, *members)
    read_dataset(data)
    tracemalloc.start()
    try:
        dataset = read_dataset(data)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(dataset.examples) == 1000
    assert most < 600_000  # its members alone would be three times that


def test_compressed_shards(tmp_path):
    content = gzip.compress(tar(SOUND))
    for name in ("a.tar", "a.tar.gz", "a.tgz"):
        path = put(tmp_path / name, content)
        assert refused(path).endswith(
            f"{path}: a compressed shard, where no picture can be sought; unpack it to .tar"
        )
        assert "a compressed shard" in refused(tmp_path)
        path.unlink()


def test_one_compressed_shard_among_others(tmp_path):
    shard(tmp_path, *SOUND)
    put(tmp_path / "b.tar", gzip.compress(tar(SOUND)))
    put(tmp_path / "pictures.tar.gz", b"left from a download")
    dataset = read_dataset(tmp_path)
    assert len(dataset.examples) == 2
    [problem] = dataset.problems
    assert problem.place == f"{tmp_path}/b.tar"


def test_a_tar_file_of_something_else(tmp_path):
    shard(tmp_path, ("a.py", b""), ("0.jpg", DOG[1]), ("1.txt", b"A dog"))
    put(tmp_path / "captions.csv", "image,caption\n0.jpg,A dog\n")
    put(tmp_path / "0.jpg", DOG[1])
    assert read_dataset(tmp_path).format == "CSV"


def test_members_that_change_after_reading(tmp_path):
    data = shard(tmp_path, *SOUND)
    [first, second] = [example.image for example in read_dataset(data).examples]
    data.write_bytes(data.read_bytes()[: second.offset + 10])
    assert read_image(first).size == (64, 48)
    with pytest.raises(ImageError) as caught:
        read_image(second)
    assert caught.value.code == "damaged"
    assert str(caught.value).startswith(f"{data}:1.jpg: ")
    data.unlink()
    with pytest.raises(ImageError) as caught:
        read_image(first)
    assert caught.value.code == "missing"


def test_an_empty_member_and_one_that_is_no_picture(tmp_path):
    data = shard(tmp_path, ("0.jpg", b""), ("0.txt", b"A dog"), ("1.jpg", b"?"), ("1.txt", b"A"))
    codes = []
    for example in read_dataset(data).examples:
        with pytest.raises(ImageError) as caught:
            read_image(example.image)
        codes.append(caught.value.code)
    assert codes == ["empty", "not-an-image"]


def test_features_of_members_are_those_of_files(tmp_path, captioner):
    data = shards(tmp_path / "birds")
    images = [example.image for example in read_dataset(data).examples[:3]]
    loose = [put(tmp_path / image.name, jpeg(image.name)) for image in images]
    encoder = captioner.encoder
    for mine, theirs in zip(
        encode_images(images, encoder), encode_images(loose, encoder), strict=True
    ):
        assert (mine == theirs).all()
    _, errors = cached_features(images, encoder, tmp_path / "cache", lambda *_: None)
    assert errors == [None] * 3
    done: list[int] = []
    cached_features(loose, encoder, tmp_path / "cache", lambda n, _: done.append(n))
    assert done == [3]  # found by their bytes


def test_what_a_mac_or_a_nas_puts_into_a_shard_is_no_sample(tmp_path):
    name, content = DOG
    more = [(f"{folder}{name}", content) for folder in ("__MACOSX/", "@eaDir/", "x/.d/", "._")]
    data = shard(tmp_path, DOG, ("0.txt", b"A dog"), *more, ("__MACOSX/._0.txt", b"\0\5\x16\7"))
    dataset = read_dataset(data)
    assert [example.image.name for example in dataset.examples] == ["0.jpg"]
    assert dataset.problems == ()


def test_all_pictures_of_a_shard_captioned_or_not(tmp_path):
    data = shard(
        tmp_path, DOG, ("b/c.d.PNG", CAT[1]), ("2.txt", b"A dog"), ("notes", b"x"), ("3.pkl", b"x")
    )
    *found, problem = shard_pictures(data, Sieve())
    assert [member.name for member in found] == ["0.jpg", "b/c.d.PNG"]
    for member, content in zip(found, (DOG[1], CAT[1]), strict=True):
        assert data.read_bytes()[member.offset : member.offset + member.size] == content
    assert str(problem) == f"{data}:3.pkl: a pickle, which could run any code; skipped"


def test_pictures_of_a_damaged_shard(tmp_path):
    data = shard(tmp_path, DOG, CAT)
    whole = data.read_bytes()
    for size in (*range(0, len(whole), 301), len(whole)):
        data.write_bytes(whole[:size])
        found = list(shard_pictures(data, Sieve()))
        members = [one for one in found if isinstance(one, Member)]
        assert all(one.offset + one.size <= size for one in members)
        assert [one.name for one in members] == ["0.jpg", "1.jpg"][: len(members)]
        assert len(members) + sum(isinstance(one, Problem) for one in found) == len(found)
        assert len(members) == 2 or len(found) > len(members)
    with pytest.raises(FileNotFoundError):
        list(shard_pictures(tmp_path / "absent.tar", Sieve()))
