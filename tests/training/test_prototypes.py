"""Words that have prototypes: of the classifier's classes, and of a file."""

from __future__ import annotations

import json
from importlib.resources import files

import numpy as np
import pytest

from mrnn.errors import DataError, UsageError
from mrnn.training.prototypes import open_prototypes

DOCUMENT = json.loads(files("mrnn.training").joinpath("class_words.json").read_text("ascii"))


@pytest.fixture(scope="module")
def classes():
    return open_prototypes("imagenet", "efficientnet-lite2", 1280)


def write(folder, vectors, names):
    np.save(folder / "looks.npy", np.asarray(vectors, dtype=np.float32))
    (folder / "looks.txt").write_text("".join(f"{name}\n" for name in names))
    return str(folder / "looks.npy")


def test_everyday_words_stand_for_their_classes(classes):
    counts = {"cat": 7, "bird": 59, "truck": 8, "pizza": 1, "guitar": 2, "food": 26, "dog": 118}
    assert {word: len(classes.rows[word]) for word in counts} == counts
    assert classes.rows["tabby"] == (281,)
    assert 281 in classes.rows["cat"]


def test_a_plural_stands_for_what_its_singular_does(classes):
    for plural, singular in (
        ("cats", "cat"),
        ("geese", "goose"),
        ("knives", "knife"),
        ("buses", "bus"),
    ):
        assert plural in classes.plurals
        assert classes.rows[plural] == classes.rows[singular]
    assert "glasses" not in classes.plurals  # a word of its own


def test_rows_are_directions_away_from_the_mean(classes):
    assert classes.vectors.shape == (1000, 1280)
    np.testing.assert_allclose(np.linalg.norm(classes.vectors, axis=1), 1, rtol=1e-5)
    # breeds of cats lie nearer to each other than to musical instruments
    cats, guitars = classes.vectors[[281, 282]], classes.vectors[[402, 546]]
    assert cats[0] @ cats[1] > 0.3 > abs(cats[0] @ guitars[0])


def test_the_list_of_words_is_sound():
    words, own = DOCUMENT["words"], DOCUMENT["own"]
    assert len(own) == 1000
    for word, rows in words.items():
        assert word.isascii()
        assert word == word.lower()
        if isinstance(rows, str):
            assert isinstance(words[rows], list), word
        else:
            assert rows == sorted(set(rows))
            assert 0 < len(rows) <= 130
            assert set(rows) <= set(range(1000))
    for row, name in enumerate(own):
        assert name is None or row in words[name]


def test_an_encoder_without_a_classifier_is_refused():
    with pytest.raises(UsageError) as caught:
        open_prototypes("imagenet", "alexnet", 4096)
    assert "no classifier is at hand for the encoder alexnet" in str(caught.value)
    assert "FILE.npy" in str(caught.value)


def test_a_file_has_a_vector_a_word(tmp_path):
    found = open_prototypes(write(tmp_path, [[3, 4], [0, 2]], ["guitar", "tuba"]), "fake", 2)
    assert found.rows == {"guitar": (0,), "tuba": (1,)}
    assert found.names == ("guitar", "tuba")
    np.testing.assert_allclose(found.vectors, [[0.6, 0.8], [0, 1]])


@pytest.mark.parametrize(
    ("vectors", "names", "error", "what"),
    [
        (
            [[1, 2, 3]],
            ["guitar"],
            UsageError,
            "vectors of 3 numbers, but the image features have 2",
        ),
        (
            [[1, 2], [3, 4]],
            ["guitar"],
            DataError,
            "1 names, but looks.npy has 2 rows; write the name of each row's word",
        ),
        ([[1, 2], [3, 4]], ["tuba", "tuba"], DataError, "looks.txt:2: tuba is in line 1 already"),
        (
            [[1, 2], [3, 4]],
            ["tuba", ""],
            DataError,
            "looks.txt:2: an empty line; write the word's name",
        ),
        ([[1, float("nan")]], ["tuba"], DataError, "looks.txt:1: the vector of tuba (row 0 of"),
        ([[1, 2], [0, 0]], ["a", "tuba"], DataError, "looks.txt:2: the vector of tuba (row 1 of"),
        ([[1, 2]], ["electric guitar"], DataError, "electric guitar is not one word in lower case"),
        ([[1, 2]], ["Guitar"], DataError, "Guitar is not one word in lower case"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path, vectors, names, error, what):
    with pytest.raises(error) as caught:
        open_prototypes(write(tmp_path, vectors, names), "fake", 2)
    assert what in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"no\.npy: cannot be read"):
        open_prototypes(str(tmp_path / "no.npy"), "fake", 2)
