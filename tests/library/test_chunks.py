"""Outcomes of chunks: what was written is read again, and nothing else is taken for one."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from mrnn.images.finding import Member
from mrnn.library.chunks import Ledger
from mrnn.library.contents import Content, File
from mrnn.library.describing import Described

M = 3
DIGESTS = st.binary(min_size=32, max_size=32)
FAULTS = st.tuples(st.text(max_size=9), st.text(max_size=9))
FRESH = settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def a_ledger(folder: Path, identity: str = "model", with_captions: bool = True) -> Ledger:
    folder.mkdir(exist_ok=True)
    return Ledger(folder, identity, with_captions, M)


def a_file(name: str = "a.jpg") -> File:
    return File(Path("/photos") / name, 5, 6)


def some_files(count: int) -> list[File]:
    return [a_file(f"{i:03}.jpg") for i in range(count)]


def an_outcome(files: list[File]) -> Described:
    """Every third file cannot be opened, every fifth is no picture."""
    read = [
        replace(file, fault=("empty", "the file is empty"))
        if i % 3 == 1
        else replace(file, digest=bytes([i] * 32))
        for i, file in enumerate(files)
    ]
    contents = [
        Content(file.digest, fault=("damaged", "the image is damaged"))
        if i % 5 == 2
        else Content(file.digest, size=(4, 3 + i), caption=("a dog", 1.5 + i))
        for i, file in enumerate(read)
        if file.digest
    ]
    sound = sum(content.fault is None for content in contents)
    return Described(read, contents, np.arange(sound * M).reshape(sound, M).astype(np.float16))


def same(one: Described | None, other: Described) -> bool:
    return (
        one is not None
        and (one.files, one.contents) == (other.files, other.contents)
        and one.vectors.dtype == np.float16
        and one.vectors.tobytes() == other.vectors.tobytes()
    )


CONTENTS = st.one_of(
    st.builds(Content, DIGESTS, fault=FAULTS),
    st.builds(
        Content,
        DIGESTS,
        size=st.tuples(st.integers(1, 9999), st.integers(1, 9999)),
        caption=st.none() | st.tuples(st.text(max_size=9), st.floats(1, allow_nan=False)),
    ),
)


@FRESH
@given(
    outcomes=st.lists(
        st.one_of(st.tuples(st.none(), FAULTS), st.tuples(DIGESTS, st.none())), min_size=1
    ),
    contents=st.lists(CONTENTS),
    data=st.data(),
)
def test_what_was_written_is_read_again(outcomes, contents, data, tmp_path):
    ledger = a_ledger(tmp_path / "incoming")
    files = some_files(len(outcomes))
    sound = sum(content.fault is None for content in contents)
    numbers = data.draw(st.lists(st.floats(width=16), min_size=sound * M, max_size=sound * M))
    vectors = np.array(numbers, dtype=np.float16).reshape(sound, M)
    read = [replace(f, digest=d, fault=x) for f, (d, x) in zip(files, outcomes, strict=True)]
    chunk, written = ledger.chunk(files), Described(read, contents, vectors)
    ledger.write(chunk, written)
    assert same(a_ledger(tmp_path / "incoming").read(chunk), written)


def test_infinite_perplexities_and_odd_names_survive(tmp_path):
    ledger = a_ledger(tmp_path)
    picture = Member(Path("/photos/\udcff.tar"), "\udc80.jpg", 512, 7)
    file = File(picture, 7, 8, b"d" * 32)
    content = Content(b"d" * 32, size=(1, 2), caption=("", math.inf))
    chunk = ledger.chunk([replace(file, digest=None)])
    written = Described([file], [content], np.full((1, M), np.inf, dtype=np.float16))
    ledger.write(chunk, written)
    assert same(ledger.read(chunk), written)
    assert chunk.name.isascii()


@pytest.mark.parametrize(
    "changed",
    [
        replace(a_file(), size=6),
        replace(a_file(), mtime_ns=7),
        replace(a_file(), size=None),
        a_file("b.jpg"),
        File(Member(Path("/photos/a.tar"), "a.jpg", 512, 5), 5, 6),
    ],
)
def test_a_chunk_is_of_files_as_they_were(changed, tmp_path):
    ledger = a_ledger(tmp_path)
    name = ledger.chunk([a_file()]).name
    assert ledger.chunk([changed]).name != name
    before, after = ([some_files(1)[0], file] for file in (a_file(), changed))
    assert ledger.chunk(before).name != ledger.chunk(after).name
    assert a_ledger(tmp_path).chunk([a_file()]).name == name


def test_a_member_is_known_by_where_it_lies_in_its_shard(tmp_path):
    files = [File(Member(Path("/a.tar"), "a.jpg", offset, 5), 5, 6) for offset in (512, 1024)]
    names = {a_ledger(tmp_path).chunk([file]).name for file in files}
    assert len(names) == 2


def test_a_chunk_is_of_one_model_with_or_without_captions(tmp_path):
    ledgers = a_ledger(tmp_path), a_ledger(tmp_path, "other"), a_ledger(tmp_path, "model", False)
    assert len({ledger.chunk([a_file()]).name for ledger in ledgers}) == 3


def test_any_damage_makes_it_no_outcome(tmp_path):
    ledger, files = a_ledger(tmp_path), some_files(8)
    chunk = ledger.chunk(files)
    ledger.write(chunk, an_outcome(files))
    path = tmp_path / chunk.name
    whole = path.read_bytes()
    draw = np.random.default_rng(0)
    for _ in range(300):
        torn = bytearray(whole)
        match draw.integers(3):
            case 0:
                torn[draw.integers(len(torn))] ^= 1 << draw.integers(8)
            case 1:
                del torn[draw.integers(len(torn)) :]
            case 2:
                torn[draw.integers(len(torn)) :] = draw.bytes(draw.integers(1, 50))
        path.write_bytes(torn)
        found = ledger.read(chunk)  # the padding of a header is nobody's
        assert found is None or (bytes(torn) != whole and same(found, an_outcome(files)))
    for content in (b"", b"\0" * 8, b"\xff" * 99, b"[" * 5000):
        path.write_bytes(content)
        assert ledger.read(chunk) is None
    path.unlink()
    assert ledger.read(chunk) is None
    path.mkdir()
    assert ledger.read(chunk) is None


def test_a_flipped_bit_in_a_vector_or_a_caption_is_seen(tmp_path):
    ledger, files = a_ledger(tmp_path), some_files(8)
    chunk = ledger.chunk(files)
    ledger.write(chunk, an_outcome(files))
    path = tmp_path / chunk.name
    whole = path.read_bytes()
    for place in (len(whole) - 1, whole.index(b"a dog") + 2):
        torn = bytearray(whole)
        torn[place] ^= 1
        path.write_bytes(torn)
        assert ledger.read(chunk) is None


def test_an_outcome_under_a_wrong_name_is_none(tmp_path):
    ledger, files = a_ledger(tmp_path), some_files(6)
    mine, other = ledger.chunk(files[:3]), ledger.chunk(files[3:])
    ledger.write(mine, an_outcome(files[:3]))
    (tmp_path / mine.name).rename(tmp_path / other.name)
    assert ledger.read(other) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda outcome: outcome["files"].pop(),
        lambda outcome: outcome["contents"].pop(0),
        lambda outcome: outcome["contents"].append(outcome["contents"][0]),
        lambda outcome: outcome["contents"][0].pop(),
        lambda outcome: outcome.pop("files"),
        lambda outcome: outcome.update(files=3),
        lambda outcome: outcome["files"][0].__setitem__(0, "not hexadecimal"),
    ],
)
def test_what_does_not_fit_is_no_outcome_whatever_its_digest(change, tmp_path, monkeypatch):
    ledger, files = a_ledger(tmp_path), some_files(3)
    chunk = ledger.chunk(files)
    ledger.write(chunk, an_outcome(files))
    path = tmp_path / chunk.name
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    outcome = json.loads(header["outcome"])
    change(outcome)
    monkeypatch.setattr("mrnn.library.chunks._digest", lambda text, vectors: "any")
    metadata = {"outcome": json.dumps(outcome), "digest": "any"}
    path.write_bytes(save(load(content), metadata))
    assert ledger.read(chunk) is None
    for vectors in (np.zeros((2, M)), np.zeros((2, M + 1), np.float16)):
        path.write_bytes(save({"vectors": vectors}, header | {"digest": "any"}))
        assert ledger.read(chunk) is None


def test_files_are_cut_in_order(tmp_path):
    files = some_files(10)
    chunks = list(a_ledger(tmp_path).cut(files, 4))
    assert [len(chunk.files) for chunk, _ in chunks] == [4, 4, 2]
    assert [file for chunk, _ in chunks for file in chunk.files] == files
    assert not any(done for _, done in chunks)
    assert list(a_ledger(tmp_path).cut([])) == []
    assert list(Ledger(tmp_path / "nowhere", "model", True, M).cut(files, 10))


@FRESH
@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=8),
    gone=st.sets(st.integers(0, 20)),
    kept=st.sets(st.integers(0, 7)),
    size=st.integers(1, 5),
)
def test_whatever_came_and_went_what_is_done_is_found(sizes, gone, kept, size, tmp_path_factory):
    """`gone` files were entered meanwhile, or are new in between: the others stay side by side."""
    folder = tmp_path_factory.mktemp("incoming")
    ledger, files = a_ledger(folder), some_files(sum(sizes))
    ends = np.cumsum(sizes)
    done = []
    for number, (end, length) in enumerate(zip(ends, sizes, strict=True)):
        if number in kept:
            done.append(ledger.chunk(files[end - length : end]))
            ledger.write(done[-1], an_outcome(list(done[-1].files)))
    now = [file for i, file in enumerate(files) if i not in gone]
    chunks = list(a_ledger(folder).cut(now, size))
    assert [file for chunk, _ in chunks for file in chunk.files] == now
    assert all(len(chunk.files) <= size for chunk, is_done in chunks if not is_done)
    expected = {chunk.name for chunk in done if set(chunk.files) <= set(now)}
    assert {chunk.name for chunk, is_done in chunks if is_done} == expected


def test_a_half_written_outcome_and_strange_names_are_passed_over(tmp_path):
    ledger, files = a_ledger(tmp_path), some_files(4)
    chunk = ledger.chunk(files)
    first = chunk.name.partition("-")[0]
    names = [f".{chunk.name}.new", f"{first}-x-y.safetensors", f"{first}-0-y.safetensors"]
    names += [f"{first}.safetensors", f"{first}-9-y.safetensors", "notes.txt", "-.safetensors"]
    for name in names:
        (tmp_path / name).write_text("?")
    assert [(c.name, done) for c, done in ledger.cut(files, 4)] == [(chunk.name, False)]


def test_clearing_leaves_what_is_not_ours(tmp_path):
    ledger, files = a_ledger(tmp_path / "incoming"), some_files(4)
    ledger.write(ledger.chunk(files), an_outcome(files))
    (tmp_path / "incoming" / f".{ledger.chunk(files).name}.new").write_bytes(b"torn")
    (tmp_path / "incoming" / "notes.txt").write_text("mine")
    ledger.clear()
    assert [path.name for path in (tmp_path / "incoming").iterdir()] == ["notes.txt"]
    (tmp_path / "incoming" / "notes.txt").unlink()
    ledger.clear()
    assert not (tmp_path / "incoming").exists()
    ledger.clear()
