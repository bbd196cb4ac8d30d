"""Splits of pictures that come without: stable, seeded, and never empty where they must not be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_layouts import NAMES, put, put_pictures
from mrnn.datasets import SPLITS, read_dataset
from mrnn.datasets.splits import NO_SPLIT, complete_splits

TRAIN, DEV, TEST = range(3)
names_of_pictures = st.lists(st.text(max_size=8), max_size=40, unique=True)
fast = settings(deadline=None, max_examples=60)


def chosen(names: list[str], seed: int = 1) -> dict[str, int]:
    splits, _ = complete_splits(np.full(len(names), NO_SPLIT), names, seed)
    return dict(zip(names, splits.tolist(), strict=True))


def many(count: int) -> list[str]:
    return [f"{i}.jpg" for i in range(count)]


def test_a_tenth_each():
    splits = list(chosen(many(20_000)).values())
    assert 0.094 < splits.count(DEV) / 20_000 < 0.106
    assert 0.094 < splits.count(TEST) / 20_000 < 0.106


def test_the_choice_is_that_of_the_name_and_the_seed():
    """The place of 20.jpg in [0, 1) is .067, of 37.jpg .093, of 87.jpg .1001, of 11.jpg .166."""
    splits = chosen(many(100))
    expected = {"20.jpg": DEV, "37.jpg": DEV, "87.jpg": TEST, "11.jpg": TEST, "10.jpg": TRAIN}
    assert {name: splits[name] for name in expected} == expected
    assert chosen(many(200), seed=1) != chosen(many(200), seed=2)


@given(names_of_pictures, names_of_pictures, st.integers(0, 3))
@fast
def test_pictures_stay_where_they_are_when_others_come(names, others, seed):
    """But for those that had to fill up a small one."""
    names = many(300) + names
    both = [*names, *(set(others) - set(names))]
    before, after = chosen(names, seed), chosen(both[::-1], seed)
    assert {name: after[name] for name in names} == before


@pytest.mark.parametrize(
    ("count", "least"), [(2, 1), (20, 1), (21, 2), (60, 3), (100, 5), (400, 5)]
)
def test_chance_leaves_dev_half_of_its_tenth(count, least):
    for seed in range(40):
        splits = list(chosen(many(count), seed).values())
        assert splits.count(DEV) >= least
    fewest = min(list(chosen(many(count), seed).values()).count(DEV) for seed in range(40))
    assert count > 100 or fewest == least


def test_pictures_that_would_all_be_for_dev_or_for_test():
    """The places of 20.jpg, 37.jpg, 11.jpg and 21.jpg are .067, .093, .166 and .145."""
    assert chosen(["37.jpg", "20.jpg"]) == {"37.jpg": TRAIN, "20.jpg": DEV}
    assert chosen(["11.jpg", "21.jpg"]) == {"11.jpg": TRAIN, "21.jpg": DEV}
    assert chosen(["20.jpg"]) == {"20.jpg": TRAIN}


@given(names_of_pictures, st.integers())
@fast
def test_dev_and_train_have_a_picture_each(names, seed):
    splits = chosen(names, seed).values()
    assert set(splits) <= {TRAIN, DEV, TEST}
    if len(names) > 1:
        assert TRAIN in splits
        assert DEV in splits
    else:
        assert set(splits) <= {TRAIN}


@given(names_of_pictures, st.integers(0, 3))
@fast
def test_dev_is_taken_from_train_alone(names, seed):
    given_splits = np.array([TRAIN, TEST] * len(names))
    everything = [name + end for name in names for end in ("", "test")]
    splits, origin = complete_splits(given_splits, everything, seed)
    assert (splits[1::2] == TEST).all()
    assert TEST not in splits[::2]
    if len(names) > 1:
        assert {TRAIN, DEV} == set(splits[::2].tolist())
        assert origin == f"dev: a tenth of train, chosen by seed {seed}"


def test_large_sets_give_no_more_than_enough():
    names = many(100_000)
    splits, origin = complete_splits(np.full(len(names), NO_SPLIT), names, 1)
    for split in (DEV, TEST):
        assert 4700 < (splits == split).sum() < 5300
    assert origin == "about 5,000 of the pictures each for dev and test, chosen by seed 1"
    splits, origin = complete_splits(np.full(len(names), TRAIN), names, 1)
    assert 4700 < (splits == DEV).sum() < 5300
    assert origin == "dev: about 5,000 of train, chosen by seed 1"


@pytest.mark.parametrize("given_splits", [[TRAIN, DEV], [DEV], [TEST], [DEV, TEST], [0, 1, 2]])
def test_splits_of_the_data_are_left_alone(given_splits):
    splits, origin = complete_splits(np.array(given_splits), many(len(given_splits)), 1)
    assert splits.tolist() == given_splits
    assert origin == "given by the data"


def table(tmp_path, rows: str):
    put_pictures(tmp_path / "images")
    put(tmp_path / "captions.csv", "image,caption,split\n" + rows)
    return read_dataset(tmp_path)


def test_the_seed_is_an_argument(tmp_path):
    rows = "".join(f"{name},A dog,\n" for name in NAMES)
    table(tmp_path, rows)
    origins, splits = set(), set()
    for seed in range(1, 6):
        dataset = read_dataset(tmp_path, split_seed=seed)
        origins.add(dataset.split_origin)
        splits.add(tuple(example.split for example in dataset.examples))
        assert dataset.split("dev")
    assert len(origins) == 5
    assert len(splits) > 1


def test_rows_without_a_split_where_others_have_one(tmp_path):
    dataset = table(tmp_path, "0.jpg,A dog,train\n1.jpg,A cat,\n2.jpg,A cat,val\n")
    assert dataset.counts() == {"train": 1, "dev": 1}
    [problem] = dataset.problems
    assert str(problem) == (
        f"{tmp_path}/captions.csv:3: no split, while other pictures have one; skipped"
    )


def test_a_row_without_a_split_joins_those_of_its_picture(tmp_path):
    rows = "0.jpg,A dog,\n0.jpg,The dog,train\n1.jpg,A cat,dev\n1.jpg,The cat,\n"
    dataset = table(tmp_path, rows)
    assert dataset.problems == ()
    assert [e.sentences for e in dataset.examples] == [("A dog", "The dog"), ("A cat", "The cat")]
    assert [e.split for e in dataset.examples] == ["train", "dev"]


def test_a_picture_in_two_splits_stays_in_the_first(tmp_path):
    dataset = table(tmp_path, "0.jpg,A dog,train\n1.jpg,A cat,val\n0.jpg,The dog,val\n")
    [problem] = dataset.problems
    assert problem.split == "dev"
    assert str(problem) == (
        f"{tmp_path}/captions.csv:4: 0.jpg is already in the train split; skipped"
    )
    assert dataset.examples[0].sentences == ("A dog",)


def test_one_picture_is_for_training(tmp_path):
    dataset = table(tmp_path, "0.jpg,A dog,\n")
    assert dataset.counts() == {"train": 1}


def test_test_alone_is_left_for_evaluation(tmp_path):
    dataset = table(tmp_path, "0.jpg,A dog,test\n1.jpg,A cat,test\n")
    assert dataset.counts() == {"test": 2}
    assert dataset.split_origin == "given by the data"


def test_all_known_names_of_splits(tmp_path):
    words = ["train", "restval", "dev", "val", "valid", "validation", "test", " Test "]
    rows = "".join(f"{i}.jpg,A dog,{word}\n" for i, word in enumerate(words))
    dataset = table(tmp_path, rows + "8.jpg,A dog,held-out\n")
    assert dataset.counts() == {"train": 2, "dev": 4, "test": 2}
    [problem] = dataset.problems
    assert problem.message == "unknown split 'held-out'; skipped"
    assert tuple(dataset.counts()) == SPLITS
