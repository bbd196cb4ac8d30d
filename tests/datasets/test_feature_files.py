"""Features computed elsewhere: what is found, what is refused, and in what words."""

from __future__ import annotations

import io
import os
import pickle
import random
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mrnn
from conftest import WORDS, tiny_model
from mrnn.captioner import Captioner
from mrnn.datasets.feature_files import FeatureFile
from mrnn.errors import DataError, ImageError, UsageError
from mrnn.images.finding import Member
from mrnn.images.reading import Preprocessing
from mrnn.model.bundle import Bundle, EncoderIdentity, save_bundle
from mrnn.words.text import SIGNS, Vocabulary

NAMES = ("a.jpg", "train/b.jpg", "train/c.jpg", "dev/c.jpg")
MATRIX = np.arange(12, dtype=np.float32).reshape(4, 3)
DATA = Path("/data/birds/images")


@pytest.fixture
def written(tmp_path):
    """Write a matrix and names: written(names=[...]) -> the path of the .npy file."""

    def write(matrix=MATRIX, names=NAMES, file: str = "feats.txt") -> Path:
        np.save(tmp_path / "feats.npy", matrix)
        text = names if isinstance(names, bytes) else "".join(f"{n}\n" for n in names).encode()
        (tmp_path / file).write_bytes(text)
        return tmp_path / "feats.npy"

    return write


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        FeatureFile.open(path)
    message = str(caught.value)
    assert message.startswith(str(path.with_suffix("")))
    assert message.isprintable()
    return message


def rows_of(path: Path, *images) -> list[list[float] | str]:
    """The feature of each image, or the code of its error."""
    features, errors = FeatureFile.open(path).lookup(images)
    found = iter(features[np.arange(len(features))].tolist())
    rows = [error.code if error else next(found) for error in errors]
    assert next(found, None) is None
    return rows


A, B, C, D = MATRIX.tolist()


# Looking up.


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_pictures_are_found_by_their_names_in_the_data(written, dtype):
    path = written(MATRIX.astype(dtype))
    wanted = [DATA / "dev/c.jpg", DATA / "a.jpg", DATA / "train/c.jpg"]
    assert rows_of(path, *wanted) == [D, A, C]


def test_a_whole_path_is_a_name_too(written):
    path = written(names=["/data/1.jpg", "./2.jpg", "/elsewhere/1.jpg", "4.jpg"])
    assert rows_of(path, Path("/data/1.jpg"), Path("2.jpg"), Path("/elsewhere/1.jpg")) == [A, B, C]


def test_the_longest_ending_wins(written):
    path = written(names=["c.jpg", "x/c.jpg", "y/x/c.jpg", "d.jpg"])
    wanted = [Path("/y/x/c.jpg"), Path("/z/x/c.jpg"), Path("/z/c.jpg")]
    assert rows_of(path, *wanted) == [C, B, A]


def test_the_last_part_is_enough_where_it_is_unique(written):
    path = written()
    assert rows_of(path, DATA / "b.jpg", DATA / "c.jpg") == [B, "no-feature"]


def test_members_of_shards(written):
    shard = Path("/data/train-0.tar")
    path = written(names=["train-0.tar/1.jpg", "sub/2.jpg", "3.jpg", "4.jpg"])
    wanted = [Member(shard, name, 0, 1) for name in ("1.jpg", "sub/2.jpg", "x/3.jpg")]
    assert rows_of(path, *wanted) == [A, B, C]


def test_what_is_missing_is_named_beside_what_is_found(written):
    file = FeatureFile.open(written())
    wanted = [DATA / "gone.jpg", DATA / "a.jpg", DATA / "c.jpg"]
    features, errors = file.lookup(wanted)
    assert features[np.array([0])].tolist() == [A]
    assert [e and e.code for e in errors] == ["no-feature", None, "no-feature"]
    assert str(errors[0]) == f"{wanted[0]}: {file.names_path}: its name is not there"
    assert "its name is there in several folders" in str(errors[2])


def test_two_pictures_cannot_have_one_feature(written):
    """By the last part alone, two folders with a 1.jpg each would get the same row."""
    path = written(names=["1.jpg", "2.jpg", "3.jpg", "4.jpg"])
    wanted = [Path("/d/train/1.jpg"), Path("/d/2.jpg"), Path("/d/dev/1.jpg")]
    assert rows_of(path, *wanted) == ["no-feature", B, "no-feature"]
    _, errors = FeatureFile.open(path).lookup(wanted)
    assert "row 0 fits this picture and others; name the folders, too" in str(errors[0])


def test_nor_can_those_of_two_splits_that_are_asked_for_one_after_the_other(written):
    file = FeatureFile.open(written(names=["1.jpg", "2.jpg", "3.jpg", "4.jpg"]))
    file.lookup([Path("/d/train/1.jpg"), Path("/d/train/2.jpg")])
    _, errors = file.lookup([Path("/d/dev/1.jpg"), Path("/d/dev/3.jpg")])
    assert [e and e.code for e in errors] == ["no-feature", None]
    assert "row 0 fits this picture and others; name the folders, too" in str(errors[0])


@pytest.mark.parametrize(
    ("name", "picture", "expected"),
    [
        ("train/1.jpg", "/d/dev/1.jpg", "no-feature"),
        ("a/Val/b/1.jpg", "/d/test/1.jpg", "no-feature"),
        ("validation/1.jpg", "/d/val/1.jpg", A),
        ("images/1.jpg", "/d/dev/1.jpg", A),
        ("train/1.jpg", "/d/1.jpg", A),
    ],
)
def test_a_name_of_another_split_is_another_picture(written, name, picture, expected):
    path = written(names=[name, "2.jpg", "3.jpg", "4.jpg"])
    assert rows_of(path, Path(picture), Path("/d/2.jpg")) == [expected, B]


def test_a_picture_may_be_asked_for_twice(written):
    assert rows_of(written(), DATA / "a.jpg", DATA / "a.jpg") == [A, A]


def test_nothing_found_shows_both_sides(written):
    file = FeatureFile.open(written(names=["1\x1b", "2", "3", "4"]))
    with pytest.raises(DataError) as caught:
        file.lookup([DATA / "a.jpg", DATA / "b.jpg"])
    assert str(caught.value) == (
        f"{file.names_path}: no line names any of the 2 pictures; the data has "
        f"{DATA / 'a.jpg'}, the file 1\\x1b; write the names as the data lists them"
    )


def test_no_pictures_no_features(written):
    features, errors = FeatureFile.open(written()).lookup([])
    assert (len(features), errors) == (0, [])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 70_000.0])
def test_a_row_of_no_numbers_is_an_error_of_its_picture(written, value):
    matrix = MATRIX.copy()
    matrix[1, 2] = value
    file = FeatureFile.open(written(matrix))
    features, errors = file.lookup([DATA / "a.jpg", DATA / "b.jpg", DATA / "dev/c.jpg"])
    assert features[np.arange(2)].tolist() == [A, D]
    assert [e and e.code for e in errors] == [None, "bad-feature", None]
    assert "row 1 holds NaN or numbers beyond fp16" in str(errors[1])


def test_many_pictures_with_progress(written):
    matrix = np.random.default_rng(0).normal(size=(2500, 3)).astype(np.float32)
    matrix[[7, 1500, 2499]] = np.nan
    file = FeatureFile.open(written(matrix, [f"{i}.jpg" for i in range(2500)]))
    order = np.random.default_rng(1).permutation(2500)
    seen = []
    features, errors = file.lookup(
        [DATA / f"{i}.jpg" for i in order], lambda done, total: seen.append((done, total))
    )
    sound = [i for i in order if np.isfinite(matrix[i]).all()]
    assert [bool(e) for e in errors] == [i in (7, 1500, 2499) for i in order]
    np.testing.assert_array_equal(features[np.arange(len(features))], matrix[sound])
    assert seen == [(1024, 2500), (2048, 2500), (2500, 2500)]


paths = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)


@given(
    st.lists(paths, min_size=1, max_size=6, unique=True), st.lists(paths, min_size=1, unique=True)
)
def test_any_lookup_equals_the_naive_one(names, wanted):
    file = FeatureFile(
        Path("f.txt"),
        np.arange(len(names))[:, None].astype(np.float32),
        {n: i for i, n in enumerate(names)},
    )

    def naive(path: str) -> str | None:
        endings = [n for n in names if f"/{path}".endswith(f"/{n}")]
        last = [n for n in names if Path(n).name == Path(path).name]
        return max(endings, key=len) if endings else last[0] if len(last) == 1 else None

    found = [naive(path) for path in wanted]
    expected = [n if n is not None and found.count(n) == 1 else None for n in found]
    try:
        features, errors = file.lookup([Path(p) for p in wanted])
    except DataError:
        assert found == [None] * len(found)
        return
    rows = iter(features[np.arange(len(features))][:, 0].tolist())
    assert [None if e else names[int(next(rows))] for e in errors] == expected


# Names.


def test_a_file_of_names_is_preferred(written, tmp_path):
    path = written()
    (tmp_path / "feats.names.txt").write_text("w.jpg\nx.jpg\ny.jpg\nz.jpg")
    assert rows_of(path, DATA / "z.jpg") == [D]


@pytest.mark.parametrize(
    "names", [b"a\r\nb\r\nc\r\nd\r\n", b"\xef\xbb\xbfa\nb\nc\nd", b" a\nb \nc\nd\n"]
)
def test_line_ends_and_marks_of_all_systems(written, names):
    assert rows_of(written(names=names), Path("a"), Path("b"), Path("d")) == [A, B, D]


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (NAMES[:3], "feats.txt: 3 names, but feats.npy has 4 rows"),
        ((*NAMES, "e.jpg"), "feats.txt: 5 names, but feats.npy has 4 rows"),
        (("a.jpg", "b.jpg", "", "c.jpg"), "feats.txt:3: an empty line"),
        (("a.jpg", "b.jpg", "c.jpg", "", ""), "feats.txt:4: an empty line"),
        (("a.jpg", "b.jpg", "a.jpg", "c.jpg"), "feats.txt:3: a.jpg is in line 1 already"),
        (("a.jpg", "b.jpg", "./b.jpg", "c.jpg"), "feats.txt:3: b.jpg is in line 2 already"),
        (b"a\nb\xff\nc\nd\n", "feats.txt:2: not UTF-8 (byte 0xff)"),
        (b"", "feats.txt: the file is empty"),
    ],
)
def test_wrong_names(written, names, what):
    assert what in refused(written(names=names))


def test_missing_names(written, tmp_path):
    path = written()
    (tmp_path / "feats.txt").unlink()
    assert "feats.txt: no such file; write the name of each row's picture there" in refused(path)


# The matrix.


def content(matrix: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, matrix)
    return file.getvalue()


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize(
    ("matrix", "what"),
    [
        (np.zeros(4, np.float32), "the shape is (4,), not (N, D)"),
        (np.zeros((4, 3, 2), np.float32), "the shape is (4, 3, 2), not (N, D)"),
        (np.zeros((0, 3), np.float32), "the shape is (0, 3)"),
        (np.zeros((4, 0), np.float32), "the shape is (4, 0)"),
        (np.float32(3), "the shape is ()"),
        (np.zeros((4, 3), np.int64), "holds int64, not float16, float32 or float64"),
        (np.zeros((4, 3), bool), "holds bool"),
        (np.zeros((4, 3), np.complex64), "holds complex64"),
        (np.zeros((4, 3), "U5"), "holds <U5"),
        (np.zeros((4, 3), [("x", "f4")]), "holds [('x', '<f4')]"),
        (np.asfortranarray(MATRIX), "column after column (Fortran order)"),
    ],
)
def test_a_matrix_of_another_kind(written, matrix, what):
    message = refused(written(matrix))
    assert what in message
    assert message.endswith("np.save(FILE, np.ascontiguousarray(features))")


@pytest.mark.parametrize("matrix", [np.zeros((1, 3), np.float32), np.zeros((3, 1), np.float32)])
def test_a_single_row_or_column_has_no_order(written, matrix):
    FeatureFile.open(written(np.asfortranarray(matrix), [f"{i}" for i in range(len(matrix))]))


@pytest.mark.parametrize("kind", ["objects", "pickle", "archive", "torch"])
def test_nothing_is_unpickled(written, tmp_path, kind):
    path = written()
    trap = Trap(tmp_path / "sprung")
    if kind == "objects":
        np.save(path, np.array([[trap] * 3] * 4))
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(trap))
    elif kind == "torch":
        with zipfile.ZipFile(path, "w") as archive:  # as PyTorch saves
            archive.writestr("archive/data.pkl", pickle.dumps(trap, protocol=2))
    else:
        with path.open("wb") as file:
            np.savez(file, np.array([trap]))
    (tmp_path / "sprung").unlink(missing_ok=True)
    assert "not a matrix in a .npy file" in refused(path)
    assert not (tmp_path / "sprung").exists()


def test_cut_and_missing_files(written):
    path = written()
    sound = path.read_bytes()
    for length in (0, 5, 50, len(sound) - 1):
        path.write_bytes(sound[:length])
        assert "not a matrix in a .npy file" in refused(path)
    path.unlink()
    assert "cannot be read (No such file or directory)" in refused(path)
    path.mkdir()
    assert "cannot be read (Is a directory)" in refused(path)


def test_a_matrix_larger_than_its_file_takes_no_memory(written):
    path = written()
    path.write_bytes(path.read_bytes().replace(b"(4, 3)", b"(4000000000000, 3)")[:128])
    assert "not a matrix" in refused(path)


def test_mutated_files_are_refused_or_read(written):
    path, source = written(), random.Random(0)
    sound = path.read_bytes()
    for _ in range(500):
        mutated = bytearray(sound)
        for _ in range(source.randint(1, 3)):
            mutated[source.randrange(130)] = source.randrange(256)
        path.write_bytes(mutated)
        try:
            file = FeatureFile.open(path)
        except DataError as error:
            assert str(error).isprintable()  # noqa: PT017
            assert len(str(error)) < 500  # noqa: PT017
        else:
            features, errors = file.lookup([DATA / "a.jpg", DATA / "dev/c.jpg"])
            assert all(e is None or e.code == "bad-feature" for e in errors)
            assert np.isfinite(features[np.arange(len(features))]).all()


def test_the_matrix_stays_on_the_disk(written):
    file = FeatureFile.open(written())
    assert isinstance(file.matrix, np.memmap)
    assert not file.matrix.flags.writeable


# Models of such features.


@pytest.fixture
def model(tmp_path, written) -> Captioner:
    encoder = FeatureFile.open(written()).encoder
    vocabulary = Vocabulary(SIGNS + WORDS)
    training = {"data": "birds", "split": "train", "stopped_on": "dev", "images": 8}
    training |= {"sentences": 16, "config": {"seed": 1, "minimum_count": 1}}
    identity = EncoderIdentity(encoder.name, encoder.digest, encoder.preprocessing)
    assert identity == EncoderIdentity("features", "", Preprocessing(size=1))
    network = tiny_model(len(vocabulary), feature=encoder.dimension)
    bundle = Bundle(network, vocabulary, identity, np.ones((4, 3), np.float16), training)
    save_bundle(bundle, tmp_path / "model")
    return mrnn.load(tmp_path / "model", device="cpu")


def test_a_model_of_features_captions_features(model, written):
    features, _ = FeatureFile.open(written()).lookup([DATA / "a.jpg", DATA / "b.jpg"])
    captions = model.caption_features(features[np.arange(2)])
    assert len(captions) == 2
    assert model.score_feature(MATRIX[0], ["a dog runs"])[0].logprob < 0


def test_a_model_of_features_refuses_pictures(model, picture, tmp_path):
    path = picture("a.jpg")
    refusal = (
        r"^this model was trained on features computed elsewhere.*mrnn evaluate --features FILE$"
    )
    for use in (
        lambda: model.caption(path),
        lambda: list(model.caption_many([tmp_path / "gone.jpg", path])),
        lambda: model.score(path, ["a dog"]),
        lambda: model.rank_images("a dog", [path]),
        lambda: model.rank_sentences(path, ["a dog"]),
    ):
        with pytest.raises(UsageError, match=refusal):
            use()
    with pytest.raises(ImageError):
        model.caption(tmp_path / "gone.jpg")


def test_the_card_says_so(model, tmp_path):
    card = (tmp_path / "model" / "README.md").read_text()
    assert (
        "- Encoder: features computed elsewhere; it knows no pictures, only such features." in card
    )
    assert os.listdir(tmp_path / "model").count("encoder.safetensors") == 0  # noqa: PTH208
    assert replace(model.bundle).encoder_file is None
