"""The image index against a loop over all pictures; its codes, their file, and what befalls it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from models import mild_model, some_terms
from mrnn.library import image_index
from mrnn.library.image_index import ImageIndex, build_index, candidates, open_index
from mrnn.library.vectors import Vectors, VectorStore
from mrnn.scoring.first_order import Linearised, anchors, first_order_likelihoods, linearise
from mrnn.words.packing import Corpus

M = 24
COUNT = 600  # pictures of most tests


class Counted(Vectors):
    """Vectors that know how often they were looked at."""

    looked_at = 0

    def __getitem__(self, rows):
        self.looked_at += len(rows)
        return super().__getitem__(rows)


def some_vectors(count: int = COUNT, dimension: int = M, seed: int = 1, shard: int = 256):
    """Pictures about a few centres, with components of falling variance."""
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((5, dimension))
    spread = draw.standard_normal((count, dimension)) / np.arange(1, dimension + 1)
    values = (centres[draw.integers(0, 5, count)] + spread).astype(np.float16)
    return in_shards(values, shard)


def in_shards(values: np.ndarray, shard: int = 256) -> Counted:
    shards = [values[start : start + shard] for start in range(0, len(values), shard)]
    return Counted(shards, values.shape[1], shard)


def everything(vectors: Vectors) -> np.ndarray:
    return Vectors.__getitem__(vectors, np.arange(len(vectors)))


def some_centres(vectors: Vectors, count: int = 4) -> np.ndarray:
    return anchors(everything(vectors).astype(np.float32), count)


def some_query(centres: np.ndarray, seed: int = 1) -> Linearised:
    draw = np.random.default_rng(seed)
    cells, dimension = centres.shape
    direction = draw.standard_normal((1, 1, dimension), dtype=np.float32)
    change = draw.standard_normal((cells, 1, dimension), dtype=np.float32)
    values = draw.standard_normal((cells, 1), dtype=np.float32)
    return Linearised(centres, values, direction + np.float32(0.3) * change)


def by_hand(vectors: Vectors, query: Linearised) -> np.ndarray:
    """The first-order score of each picture, one after the other, in float64."""
    centres, values, gradients = (
        part.astype(np.float64) for part in (query.centres, query.values, query.gradients)
    )
    scores = []
    for z in everything(vectors).astype(np.float64):
        cell = min(range(len(centres)), key=lambda a: ((z - centres[a]) ** 2).sum())
        scores.append(values[cell, 0] + gradients[cell, 0] @ (z - centres[cell]))
    return np.array(scores)


def best(scores: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    return np.sort(rows)[np.argsort(-scores[np.sort(rows)], kind="stable")][:count]


def few_looked_at(monkeypatch) -> None:
    """The index may look at few of our few pictures."""
    monkeypatch.setattr(image_index, "_LEAST_LOOKED_AT", 30)
    monkeypatch.setattr(image_index, "_LOOKED_AT", 3)
    monkeypatch.setattr(image_index, "_COMPONENTS", 12)
    monkeypatch.setattr(image_index, "_STRIDE", 2)


@pytest.fixture
def coded(tmp_path):
    """Make codes and open them: coded(vectors, centres, rows)."""

    def make(vectors, centres, rows=None) -> ImageIndex:
        build_index(vectors, centres, tmp_path / "codes")
        index = open_index(vectors, centres, tmp_path / "codes", rows)
        assert index.is_approximate
        assert index.note == ""
        vectors.looked_at = 0
        return index

    return make


# Every picture compared


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_exact_search_is_a_loop_over_pictures(data):
    pictures = data.draw(st.integers(1, 60))
    vectors = some_vectors(pictures, 5, seed=data.draw(st.integers(0, 99)), shard=16)
    centres = some_centres(vectors, data.draw(st.integers(1, 4)))
    query = some_query(centres, seed=data.draw(st.integers(0, 99)))
    rows = np.array(data.draw(st.permutations(range(pictures))))
    rows = rows[: data.draw(st.integers(0, pictures))]
    count = data.draw(st.integers(1, 70))
    found, scores = open_index(vectors, centres, rows=rows).search(query, count)
    right = by_hand(vectors, query)
    assert found.dtype == np.int64
    np.testing.assert_allclose(scores, right[found], atol=1e-4)
    np.testing.assert_allclose(scores, right[best(right, rows, count)], atol=1e-4)
    assert set(found) <= set(rows.tolist())
    assert len(set(found.tolist())) == len(found) == min(count, len(rows))


def test_scores_are_those_of_the_model():
    model = mild_model()
    terms = some_terms(model, 50)
    centres = anchors(terms, 3)
    corpus = Corpus([[4, 5, 6]])
    vectors = in_shards(terms.astype(np.float16))
    kept = everything(vectors).astype(np.float32)
    [right] = first_order_likelihoods(model, corpus, kept, centres)
    rows, scores = open_index(vectors, centres).search(linearise(model, corpus, centres), 50)
    np.testing.assert_allclose(scores, right[rows], atol=1e-4)
    np.testing.assert_array_equal(rows, np.argsort(-right, kind="stable"))


@pytest.mark.parametrize("block", [1, 7, 4096])
def test_blocks_change_nothing(monkeypatch, block):
    vectors = some_vectors(100)
    centres = some_centres(vectors)
    query = some_query(centres)
    rows, scores = open_index(vectors, centres).search(query, 30)
    again, _ = open_index(vectors, centres, rows=np.arange(100)[::-1]).search(query, 30)
    np.testing.assert_array_equal(again, rows)
    monkeypatch.setattr(image_index, "_BLOCK", block)
    again, same = open_index(vectors, centres).search(query, 30)
    np.testing.assert_array_equal(again, rows)
    np.testing.assert_allclose(same, scores, atol=1e-5)


def test_of_equal_pictures_the_first_come_first():
    values = np.repeat(everything(some_vectors(3)), 40, axis=0)
    vectors = in_shards(values)
    centres = some_centres(vectors, 1)
    rows, _ = open_index(vectors, centres).search(some_query(centres), 50)
    assert rows[:40].tolist() == list(range(rows[0], rows[0] + 40))
    assert rows[40:].tolist() == list(range(rows[40], rows[40] + 10))
    backwards = open_index(vectors, centres, rows=np.arange(len(vectors))[::-1])
    np.testing.assert_array_equal(backwards.search(some_query(centres), 50)[0], rows)


def test_an_empty_library_has_nothing():
    centres = some_centres(some_vectors(9))
    for vectors, rows in ((in_shards(np.empty((0, M), np.float16)), None), (some_vectors(9), [])):
        index = open_index(vectors, centres, rows=rows if rows is None else np.array(rows, int))
        for found in (index.search(some_query(centres), 5), index.nearest(np.ones(M), 5)):
            assert [len(part) for part in found] == [0, 0]


def test_a_query_of_other_centres_is_refused():
    vectors = some_vectors(50)
    centres = some_centres(vectors)
    index = open_index(vectors, centres)
    two = Linearised(centres, np.zeros((4, 2)), np.zeros((4, 2, M)))
    for query in (some_query(centres + 1), some_query(centres[:2]), two):
        with pytest.raises(ValueError, match="one sentence, linearised at its own centres"):
            index.search(query, 5)


# Pictures like a picture


@pytest.mark.parametrize("has_codes", [False, True])
def test_nearest_is_by_cosine(coded, has_codes):
    vectors = some_vectors()
    centres = some_centres(vectors)
    index = (coded if has_codes else open_index)(vectors, centres)
    values = everything(vectors).astype(np.float64)
    for term in (values[5], values[7] * 100, np.random.default_rng(2).standard_normal(M)):
        cosines = values @ term / np.linalg.norm(values, axis=1) / np.linalg.norm(term)
        rows, found = index.nearest(term, 20)
        assert len(set(rows.tolist())) == 20
        best = np.sort(cosines)[::-1][:20]  # two that are alike may change places
        np.testing.assert_allclose(cosines[rows], best, atol=1e-6)
        np.testing.assert_allclose(found, cosines[rows], atol=1e-5)


def test_nearest_by_codes_looks_at_cosines_not_at_products(coded, monkeypatch):
    few_looked_at(monkeypatch)
    values = everything(some_vectors()).astype(np.float32)
    values *= np.random.default_rng(3).uniform(0.2, 5, (COUNT, 1))
    vectors = in_shards(values.astype(np.float16))
    index = coded(vectors, some_centres(vectors))
    values = everything(vectors).astype(np.float64)
    kept = []
    for term in values[:40]:
        cosines = values @ term / np.linalg.norm(values, axis=1)
        rows, _ = index.nearest(term, 10)
        kept.append(np.isin(np.argsort(-cosines)[:10], rows).mean())
    assert np.mean(kept) > 0.95


def test_a_picture_without_a_direction_is_like_none(coded):
    values = everything(some_vectors())
    values[3] = 0
    vectors = in_shards(values)
    centres = some_centres(vectors)
    for index in (open_index(vectors, centres), coded(vectors, centres)):
        rows, cosines = index.nearest(np.zeros(M), 5)
        assert rows.tolist() == [0, 1, 2, 3, 4]
        assert not cosines.any()
        rows, cosines = index.nearest(np.ones(M), COUNT)
        assert cosines[rows == 3] == [0]


# Codes


def test_codes_keep_the_best_and_look_at_few(coded, monkeypatch):
    few_looked_at(monkeypatch)
    vectors = some_vectors()
    centres = some_centres(vectors)
    index = coded(vectors, centres)
    monkeypatch.setattr(image_index, "_BLOCK", 64)
    kept = []
    for seed in range(15):
        query = some_query(centres, seed)
        right = by_hand(vectors, query)
        rows, scores = index.search(query, 10)
        np.testing.assert_allclose(scores, right[rows], atol=1e-4)
        assert (np.diff(scores) <= 0).all()
        kept.append(np.isin(best(right, np.arange(COUNT), 10), rows).mean())
    assert np.mean(kept) > 0.97
    assert vectors.looked_at == 15 * 10 * 3


def test_codes_that_may_look_at_all_find_all(coded):
    vectors = some_vectors(500, seed=4)
    centres = some_centres(vectors)
    plain, index = open_index(vectors, centres), coded(vectors, centres)
    for count in (1, 37, 500, 900):
        for right, found in zip(
            plain.search(some_query(centres), count),
            index.search(some_query(centres), count),
            strict=True,
        ):
            np.testing.assert_array_equal(found, right)


def test_more_are_looked_at_when_more_are_wanted(coded, monkeypatch):
    few_looked_at(monkeypatch)
    vectors = some_vectors()
    centres = some_centres(vectors)
    index = coded(vectors, centres)
    assert len(index.search(some_query(centres), 50)[0]) == 50
    assert vectors.looked_at == 150
    index.nearest(np.ones(M), 1)
    assert vectors.looked_at == 150 + 30


def test_deleted_pictures_neither_come_out_nor_displace_others(coded, monkeypatch):
    few_looked_at(monkeypatch)
    vectors = some_vectors()
    centres = some_centres(vectors)
    query = some_query(centres)
    right = by_hand(vectors, query)
    order = np.argsort(-right)
    rows = np.random.default_rng(1).permutation(order[200:])  # far more went than are looked at
    found, scores = coded(vectors, centres, rows).search(query, 10)
    assert np.isin(found, order[200:212]).all()
    np.testing.assert_allclose(scores, right[found], atol=1e-4)
    assert vectors.looked_at == 30


def test_all_that_have_codes_may_be_deleted(coded, tmp_path):
    vectors = some_vectors()
    centres = some_centres(vectors)
    assert len(coded(vectors, centres, np.empty(0, int)).search(some_query(centres), 9)[0]) == 0
    index = open_index(vectors, centres, tmp_path / "codes", np.array([7, 3]))
    assert sorted(index.search(some_query(centres), 9)[0]) == [3, 7]


def test_pictures_added_since_are_all_compared(tmp_path, monkeypatch):
    few_looked_at(monkeypatch)
    vectors = some_vectors()
    centres = some_centres(vectors)
    build_index(in_shards(everything(vectors)[:500]), centres, tmp_path / "codes")
    index = open_index(vectors, centres, tmp_path / "codes")
    assert index.is_approximate
    found = []
    for seed in range(10):
        query = some_query(centres, seed)
        right = by_hand(vectors, query)
        vectors.looked_at = 0
        rows, _ = index.search(query, 10)
        assert vectors.looked_at == 30 + 100
        new = [row for row in best(right, np.arange(COUNT), 10) if row >= 500]
        assert np.isin(new, rows).all()
        found += new
    assert found
    living = np.arange(0, COUNT, 2)[::-1]  # in any order
    some = open_index(vectors, centres, tmp_path / "codes", living)
    assert np.isin(some.search(query, 200)[0], living).all()


def test_candidates_are_twice_the_square_root():
    assert [candidates(n) for n in (0, 1, 10_000, 10_001, 12_321, 10**6)] == [
        100, 100, 200, 200, 222, 2000,
    ]  # fmt: skip


def test_few_pictures_and_small_vectors_have_codes_too(coded):
    for count, dimension, cells in ((1, 3, 1), (2, 1, 2), (9, 130, 4)):
        vectors = some_vectors(count, dimension)
        centres = some_centres(vectors, cells)
        query = some_query(centres)
        rows, _ = coded(vectors, centres).search(query, 5)
        np.testing.assert_array_equal(rows, best(by_hand(vectors, query), np.arange(count), 5))


def test_equal_pictures_have_codes_too(coded):
    vectors = in_shards(np.ones((50, M), np.float16))
    centres = some_centres(vectors, 2)
    assert coded(vectors, centres).search(some_query(centres), 3)[0].tolist() == [0, 1, 2]


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0, 3.0]), max_size=300),
    st.integers(0, 40),
)
def test_the_highest_are_those_of_a_sort(scores, count):
    scores = np.array(scores, dtype=np.float32)
    right = np.sort(np.argsort(-scores, kind="stable")[:count])
    stride, image_index._STRIDE = image_index._STRIDE, 3
    try:
        np.testing.assert_array_equal(image_index._highest(scores, count), right)
    finally:
        image_index._STRIDE = stride


def test_the_highest_of_many():
    scores = np.random.default_rng(0).standard_normal(50_000).astype(np.float32)
    for values in (scores, np.sort(scores), np.round(scores, 1)):
        right = np.sort(np.argsort(-values, kind="stable")[:500])
        np.testing.assert_array_equal(image_index._highest(values, 500), right)
        assert len(image_index._above(values, 500)) < 25_000
    scores[:: image_index._STRIDE] += 100  # the sample misleads
    right = np.sort(np.argsort(-scores, kind="stable")[:5000])
    np.testing.assert_array_equal(image_index._highest(scores, 5000), right)


# The file


def test_the_file_is_small_and_the_same_for_the_same_pictures(tmp_path):
    vectors = some_vectors(3000, 200)
    centres = some_centres(vectors)
    seen = []
    build_index(vectors, centres, tmp_path / "a", lambda *progress: seen.append(progress))
    build_index(vectors, centres, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").stat().st_size < 3000 * 104 + 4 * 100 * 200 + 4 * 4 * 200 + 1000
    assert seen[-1] == (3000, 3000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_an_open_index_does_not_mind_a_new_file(tmp_path):
    vectors = some_vectors()
    centres = some_centres(vectors)
    build_index(vectors, centres, tmp_path / "codes")
    index = open_index(vectors, centres, tmp_path / "codes")
    before = index.search(some_query(centres), 20)
    build_index(in_shards(everything(vectors)[:100] * 3), centres, tmp_path / "codes")
    for old, new in zip(before, index.search(some_query(centres), 20), strict=True):
        np.testing.assert_array_equal(new, old)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    vectors = some_vectors()
    centres = some_centres(vectors)
    build_index(vectors, centres, tmp_path / "codes")
    before = (tmp_path / "codes").read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        build_index(some_vectors(seed=2), centres, tmp_path / "codes")
    assert [path.name for path in tmp_path.iterdir()] == ["codes"]
    assert (tmp_path / "codes").read_bytes() == before


def refused(vectors, centres, path: Path) -> str:
    """The note of an index that does without its codes, and finds what it finds without."""
    index = open_index(vectors, centres, path)
    assert not index.is_approximate
    query = some_query(centres)
    for found, right in zip(
        index.search(query, 20), open_index(vectors, centres).search(query, 20), strict=True
    ):
        np.testing.assert_array_equal(found, right)
    return index.note


def note(path: object, why: str) -> str:
    return f"{path}: {why}; search is slower until you run mrnn index again"


def test_no_file_is_no_fault(tmp_path):
    vectors = some_vectors()
    assert refused(vectors, some_centres(vectors), tmp_path / "none") == ""


def test_codes_of_another_library_are_left_alone(tmp_path):
    vectors = some_vectors()
    centres = some_centres(vectors)
    path = tmp_path / "codes\nof\udcff"
    build_index(vectors, centres, path)
    shown = f"{tmp_path}/codes\\nof\\xff"
    other = note(shown, "made for another library")
    assert refused(some_vectors(seed=2), centres, path) == other
    assert refused(in_shards(everything(vectors)[::-1]), centres, path) == other
    assert refused(in_shards(everything(vectors)[:-1]), centres, path) == other
    wider = some_vectors(dimension=M + 1)
    assert refused(wider, some_centres(wider), path) == note(shown, "damaged")


def test_codes_bring_their_own_centres(coded, monkeypatch, tmp_path):
    """Made when others were drawn than today: they serve as well."""
    few_looked_at(monkeypatch)
    vectors = some_vectors()
    centres = some_centres(vectors)
    coded(vectors, centres)
    for today in (centres + 1, centres[::-1], centres[:2]):
        index = open_index(vectors, today, tmp_path / "codes")
        assert (index.is_approximate, index.note) == (True, "")
        np.testing.assert_array_equal(index.centres, centres)
        query = some_query(index.centres)
        right = by_hand(vectors, query)
        rows, scores = index.search(query, 10)
        np.testing.assert_allclose(scores, right[rows], atol=1e-4)
        assert np.isin(best(right, np.arange(COUNT), 10), rows).mean() >= 0.9


def test_what_is_no_index_is_left_alone(tmp_path):
    vectors = some_vectors()
    centres = some_centres(vectors)
    assert refused(vectors, centres, tmp_path) == note(tmp_path, "not a regular file")
    path = tmp_path / "codes"
    path.write_text("hello")
    assert refused(vectors, centres, path) == note(path, "damaged")
    path.write_bytes(b"")
    assert refused(vectors, centres, path) == note(path, "damaged")
    save_file({"weight": np.zeros(3, np.float32)}, path)
    assert refused(vectors, centres, path) == note(path, "not an image index")
    os.mkfifo(tmp_path / "fifo")
    assert "not a regular file" in refused(vectors, centres, tmp_path / "fifo")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read_is_left_alone(tmp_path):
    vectors = some_vectors()
    centres = some_centres(vectors)
    build_index(vectors, centres, tmp_path / "codes")
    (tmp_path / "codes").chmod(0)
    assert "ermission denied" in refused(vectors, centres, tmp_path / "codes")


WRONG = {
    "codes": [
        lambda a: a[:-1],
        lambda a: a.astype(np.int32),
        lambda a: a[:, :5],
        lambda a: a[0, 0],
    ],
    "rows": [
        lambda a: a.astype(np.int64),
        lambda a: a + 1,
        lambda a: a - 1,
        lambda a: np.minimum(a, 5),
        lambda a: a[:0],
        lambda a: a[None],
    ],
    "lengths": [
        lambda a: a * 0,
        lambda a: a * 1e-30,
        lambda a: a.astype(np.float64),
        lambda a: a[1:],
        lambda a: a * np.nan,
    ],
    "starts": [
        lambda a: a[::-1],
        lambda a: a[[0, 2, 1, 3, 4]],
        lambda a: a + 1,
        lambda a: a[1:],
        lambda a: a * 0,
    ],
    "basis": [
        lambda a: a * np.nan,
        lambda a: a * np.inf,
        lambda a: a[:, 1:],
        lambda a: a.astype(np.float16),
    ],
    "centres": [
        lambda a: a[:2],
        lambda a: a[0],
        lambda a: a * np.nan,
        lambda a: a.astype(np.float64),
    ],
}


@pytest.mark.parametrize(
    ("name", "which"), [(name, i) for name, wrong in WRONG.items() for i in range(len(wrong))]
)
def test_arrays_are_checked(tmp_path, name, which):
    vectors = some_vectors()
    centres = some_centres(vectors)
    build_index(vectors, centres, tmp_path / "codes")
    arrays = load_file(tmp_path / "codes")
    arrays[name] = np.asarray(WRONG[name][which](arrays[name]), order="C")
    save_file(arrays, tmp_path / "wrong")
    wanted = note(tmp_path / "wrong", "damaged")
    assert refused(vectors, centres, tmp_path / "wrong") == wanted


def test_codes_that_tell_something_else_are_noticed(tmp_path):
    vectors = some_vectors()
    centres = some_centres(vectors)
    build_index(vectors, centres, tmp_path / "codes")
    arrays = load_file(tmp_path / "codes")
    arrays["codes"] = np.roll(arrays["codes"], 1, axis=0)
    save_file(arrays, tmp_path / "wrong")
    assert "made for another library" in refused(vectors, centres, tmp_path / "wrong")
    arrays = load_file(tmp_path / "codes")
    arrays["starts"][1:-1] = arrays["starts"][1]  # the codes are right, their cells are not
    save_file(arrays, tmp_path / "wrong")
    assert "made for another library" in refused(vectors, centres, tmp_path / "wrong")
    for cell in range(len(centres)):
        arrays = load_file(tmp_path / "codes")
        arrays["centres"][cell] += 1
        save_file(arrays, tmp_path / "wrong")
        assert "made for another library" in refused(vectors, centres, tmp_path / "wrong")


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damage_never_makes_a_wrong_score(tmp_path, data):
    vectors = some_vectors(60, 5)
    centres = some_centres(vectors, 2)
    path = tmp_path / "codes"
    if not path.exists():
        build_index(vectors, centres, path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = tmp_path / "damaged"
    damaged.unlink(missing_ok=True)
    damaged.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    index = open_index(vectors, centres, damaged, np.arange(0, 60, 2))
    query = some_query(index.centres)
    rows, scores = index.search(query, 40)
    assert sorted(rows) == list(range(0, 60, 2))
    np.testing.assert_allclose(scores, by_hand(vectors, query)[rows], atol=1e-4)
    assert (index.note == "") == index.is_approximate


def test_the_store_of_a_library_serves(tmp_path):
    values = everything(some_vectors())
    store = VectorStore(tmp_path / "vectors", M, shard_rows=100)
    store.write(0, values)
    centres = some_centres(in_shards(values))
    build_index(store.open(COUNT), centres, tmp_path / "codes")
    index = open_index(store.open(COUNT), centres, tmp_path / "codes")
    assert index.is_approximate
    right = open_index(in_shards(values), centres).search(some_query(centres), 300)
    for found, wanted in zip(index.search(some_query(centres), 300), right, strict=True):
        np.testing.assert_array_equal(found, wanted)
