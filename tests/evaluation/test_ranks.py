"""Retrieval metrics against twins that sort lists, and against values worked out by hand."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrnn.evaluation import ranks
from mrnn.evaluation.ranks import (
    best_items,
    chance_recall,
    image_ranks,
    kept,
    matches_curve,
    median_rank,
    own_sentence_ranks,
    recall_at,
    recall_curve,
    recall_table,
    sentence_ranks,
    shortlist_ranks,
)

# Two images; sentences 0 and 2 are of image 1, sentence 1 is of image 0.
SCORES = np.array([[0.1, 0.9, 0.5], [0.3, 0.3, 0.4], [0.7, 0.2, 0.7]])
IMAGES = np.array([1, 0, 1])


def naive_place(own, rivals):
    """The place of our score in a sorted list where rivals with the same score stand first."""
    return 1 + sorted([*rivals, own], reverse=True).index(own) + list(rivals).count(own)


def naive_image_ranks(scores, images):
    return [
        naive_place(row[image], [value for other, value in enumerate(row) if other != image])
        for row, image in zip(scores.tolist(), images, strict=True)
    ]


def naive_sentence_ranks(scores, images, compete=lambda query, image: True):
    found = []
    for query, column in enumerate(scores.T.tolist()):
        pairs = list(zip(column, images, strict=True))
        right = [value for value, image in pairs if image == query]
        wrong = [v for v, image in pairs if image != query and compete(query, image)]
        if right:
            found.append(naive_place(max(right), wrong))
    return found


@st.composite
def pairings(draw):
    """Scores with many ties and infinities; images with any number of sentences, also none."""
    sentences, count = draw(st.integers(1, 20)), draw(st.integers(1, 6))
    images = draw(st.lists(st.integers(0, count - 1), min_size=sentences, max_size=sentences))
    values = st.sampled_from([-np.inf, -1.5, 0.0, 0.25, 3.0, np.inf])
    flat = draw(st.lists(values, min_size=sentences * count, max_size=sentences * count))
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    return np.array(flat, dtype).reshape(sentences, count), np.array(images)


@pytest.fixture(params=[1, 7, 1 << 22], autouse=True, scope="module")
def _chunk(request):
    """Every test with one row at a time, with a few, and with all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "_CELLS", request.param)
        yield


@given(pairings())
@settings(deadline=None)
def test_ranks_equal_those_of_sorted_lists(pairing):
    scores, images = pairing
    assert image_ranks(scores, images).tolist() == naive_image_ranks(scores, images)
    assert sentence_ranks(scores, images).tolist() == naive_sentence_ranks(scores, images)


def test_golden_ranks():
    assert image_ranks(SCORES, IMAGES).tolist() == [1, 3, 3]
    # Image 0: 0.3 after 0.7; image 1: the better of 0.9 and 0.2; image 2 has no sentence.
    assert sentence_ranks(SCORES, IMAGES).tolist() == [2, 1]


def test_other_right_sentences_do_not_count():
    scores = np.array([[0.9], [0.8], [0.7]])
    images = np.array([0, 0, 0])
    assert sentence_ranks(scores, images).tolist() == [1]
    scores = np.array([[0.1, 0.0], [0.9, 0.0], [0.9, 0.0], [0.5, 0.0]])
    assert sentence_ranks(scores, np.array([0, 0, 0, 1])).tolist() == [1, 4]


def test_constant_scores_are_the_worst_of_all():
    scores, images = np.full((10, 5), 2.5), np.repeat(np.arange(5), 2)
    assert image_ranks(scores, images).tolist() == [5] * 10
    assert sentence_ranks(scores, images).tolist() == [9] * 5  # eight wrong ones stand before it


def test_one_image_one_sentence_and_seventeen():
    assert image_ranks(np.array([[-3.0]]), np.array([0])).tolist() == [1]
    assert sentence_ranks(np.array([[-3.0]]), np.array([0])).tolist() == [1]
    images = np.array([0] * 17 + [1])
    scores = np.zeros((18, 2))
    scores[16, 0], scores[17] = 1.0, [0.5, -1.0]
    assert sentence_ranks(scores, images).tolist() == [1, 18]
    assert image_ranks(scores, images)[-2:].tolist() == [1, 2]


def test_a_sentence_may_have_no_image_of_its_own_only_if_there_are_no_sentences():
    none = np.zeros((0, 3))
    assert image_ranks(none, np.zeros(0, int)).tolist() == []
    assert sentence_ranks(none, np.zeros(0, int)).tolist() == []


@st.composite
def located_pairings(draw):
    scores, images = draw(pairings())
    count = scores.shape[1]
    axes = st.sampled_from([(0, 0), (2, 0), (0, 3), (-1, 0), (3, 4), (0.6, 0.8)])
    features = draw(st.lists(axes, min_size=count, max_size=count))
    return scores, images, np.array(features, float), draw(st.integers(1, 7))


@given(located_pairings())
@settings(deadline=None)
def test_only_sentences_of_the_nearest_images_compete(drawn):
    scores, images, features, size = drawn
    units = [
        tuple(round(x / (sum(y * y for y in f) ** 0.5 or 1), 6) for x in f)
        for f in features.tolist()
    ]

    def among_the_nearest(query, image):
        def distance(other):
            gap = sum((a - b) ** 2 for a, b in zip(units[query], units[other], strict=True))
            return other != query, round(gap, 6), other

        return image in sorted(range(len(units)), key=distance)[:size]

    expected = naive_sentence_ranks(scores, images, among_the_nearest)
    assert shortlist_ranks(scores, images, features, size).tolist() == expected


def test_a_shortlist_of_all_is_no_shortlist_and_of_one_is_no_contest():
    draw = np.random.default_rng(0)
    scores, images = draw.normal(size=(30, 10)), np.repeat(np.arange(10), 3)
    features = draw.normal(size=(10, 4))
    full = sentence_ranks(scores, images)
    assert shortlist_ranks(scores, images, features).tolist() == full.tolist()
    assert shortlist_ranks(scores, images, features, size=1).tolist() == [1] * 10
    some = shortlist_ranks(scores, images, features, size=4)
    assert (some <= full).all()
    assert (some < full).any()


def test_the_length_of_a_feature_is_of_no_account_and_it_may_be_empty():
    scores = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    images = np.arange(3)
    features = np.array([[1.0, 0.0], [50.0, 1.0], [0.8, 0.6]], np.float16)
    assert shortlist_ranks(scores, images, features, size=2).tolist()[0] == 2  # image 1 is near
    features = np.array([[1.0, 0.0], [0.0, 50.0], [0.8, 0.6]], np.float16)
    scores[2, 0] = -1.0
    assert shortlist_ranks(scores, images, features, size=2).tolist()[0] == 1  # image 2 is nearer
    assert len(shortlist_ranks(scores, images, np.zeros((3, 0)), size=2)) == 3


def test_recall_and_median_by_hand():
    found = np.array([1, 2, 5, 6, 10, 11])
    assert recall_at(found, 1) == pytest.approx(100 / 6)
    assert recall_at(found, 5) == 50
    assert median_rank(found) == 5.5  # the mean of the middle two
    assert median_rank(np.array([9, 1, 4])) == 4
    table = recall_table(found)
    assert table == pytest.approx({"r1": 100 / 6, "r5": 50, "r10": 500 / 6, "med_r": 5.5})
    assert list(table) == ["r1", "r5", "r10", "med_r"]
    assert all(type(value) is float for value in table.values())  # for JSON


def test_without_queries_there_is_no_figure():
    nothing = np.zeros(0, int)
    assert recall_table(nothing) == {"r1": None, "r5": None, "r10": None, "med_r": None}
    for figure in (median_rank, lambda r: recall_at(r, 1), lambda r: recall_curve(r, 3)):
        with pytest.raises(ValueError, match="no ranks"):
            figure(nothing)


@given(st.integers(1, 4), st.integers(0, 3), st.integers(1, 7))
@settings(deadline=None, max_examples=30)
def test_chance_is_the_mean_over_all_orders(right, wrong, k):
    orders = list(permutations([True] * right + [False] * wrong))
    share = 100 * sum(any(order[:k]) for order in orders) / len(orders)
    assert chance_recall(np.array([right]), right + wrong, k) == pytest.approx(share)


def test_chance_is_the_mean_over_queries():
    assert chance_recall(np.array([1, 3]), 4, 1) == pytest.approx(50)
    assert chance_recall(np.ones(1000), 1000, 5) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="no ranks"):
        chance_recall(np.zeros(0, int), 5, 1)


@given(st.lists(st.integers(1, 8), min_size=1), st.integers(8, 12))
def test_the_curve_is_recall_at_every_number(found, candidates):
    found = np.array(found)
    retrieved, recall = recall_curve(found, candidates)
    assert retrieved == pytest.approx([100 * k / candidates for k in range(1, candidates + 1)])
    assert recall == pytest.approx([recall_at(found, k) for k in range(1, candidates + 1)])
    assert recall[-1] == 100


@pytest.mark.parametrize("outside", [0, 5])
def test_a_rank_outside_of_the_candidates_is_refused(outside):
    with pytest.raises(ValueError, match="between 1 and 4"):
        recall_curve(np.array([1, outside]), 4)


def test_best_items_come_in_order_and_equals_by_position():
    assert best_items(SCORES, 2).tolist() == [[1, 2], [2, 0], [0, 2]]
    assert best_items(SCORES.T, 9).tolist() == [[2, 1, 0], [0, 1, 2], [2, 0, 1]]
    assert best_items(np.zeros((2, 0)), 5).shape == (2, 0)


@given(pairings(), st.integers(1, 4), st.data())
@settings(deadline=None)
def test_kept_counts_the_exact_best_among_the_coarse_best(pairing, top, data):
    exact = pairing[0]
    order = data.draw(st.permutations(range(exact.size)))
    coarse = exact.reshape(-1)[order].reshape(exact.shape)
    candidates = (1, 2, 5)
    shares = np.zeros(3)
    for fine_row, coarse_row in zip(exact.tolist(), coarse.tolist(), strict=True):
        wanted = sorted(range(len(fine_row)), key=lambda i, r=fine_row: (-r[i], i))[:top]
        places = [
            naive_place(coarse_row[i], [v for j, v in enumerate(coarse_row) if j != i])
            for i in wanted
        ]
        shares += [sum(p <= c for p in places) / len(wanted) for c in candidates]
    assert kept(coarse, exact, top, candidates) == pytest.approx(100 * shares / len(exact))


def test_kept_by_hand():
    exact = np.array([[4.0, 3.0, 2.0, 1.0]])
    coarse = np.array([[1.0, 4.0, 3.0, 2.0]])
    assert kept(coarse, exact, 2, (1, 2, 3, 4, 9)) == (50, 50, 50, 100, 100)
    assert kept(exact, exact, 1, [1]) == (100,)
    with pytest.raises(ValueError, match="coarse scores"):
        kept(coarse, exact.T, 1, [1])


def test_not_a_number_is_never_ranked():
    for place in ((0, 0), (2, 2), (1, 2)):
        scores = SCORES.copy()
        scores[place] = np.nan
        for metric in (
            lambda s: image_ranks(s, IMAGES),
            lambda s: sentence_ranks(s, IMAGES),
            lambda s: shortlist_ranks(s, IMAGES, np.eye(3)),
            lambda s: best_items(s, 1),
            lambda s: kept(s, SCORES, 1, [1]),
            lambda s: kept(SCORES, s, 1, [1]),
        ):
            with pytest.raises(ValueError, match="not a number"):
                metric(scores)


@pytest.mark.parametrize("images", [[0, 1], [0, 1, 3], [0, 1, -1], [[0], [1], [2]]])
@pytest.mark.parametrize("metric", [image_ranks, sentence_ranks])
def test_pairings_that_do_not_fit_are_refused(metric, images):
    with pytest.raises(ValueError, match="image"):
        metric(SCORES, np.array(images))


def test_features_must_be_as_many_as_images():
    with pytest.raises(ValueError, match="2 features for 3 images"):
        shortlist_ranks(SCORES, IMAGES, np.eye(2))


@given(st.integers(1, 5), st.data())
def test_ranks_of_all_own_sentences_equal_naive_ones(images, data):
    """The others that score as much stand before; one's own follow each other."""
    owners = np.array(data.draw(st.lists(st.integers(0, images - 1), min_size=1, max_size=9)))
    cells = data.draw(st.lists(st.integers(0, 3), min_size=9 * images, max_size=9 * images))
    scores = np.array(cells, dtype=float).reshape(9, images)[: len(owners)]
    expected = []
    for s, image in enumerate(owners):
        before = 0
        for other, owner in enumerate(owners):
            mine, theirs = scores[s, image], scores[other, image]
            if owner != image:
                before += theirs >= mine
            elif other != s:
                before += theirs > mine or (theirs == mine and other < s)
        expected.append(1 + before)
    assert own_sentence_ranks(scores, owners).tolist() == expected


def test_the_first_of_an_images_own_sentences_has_its_rank():
    rng = np.random.default_rng(0)
    images = np.repeat(np.arange(8), 5)
    scores = rng.integers(0, 6, (40, 8)).astype(float)
    own = own_sentence_ranks(scores, images).reshape(8, 5).min(1)
    assert own.tolist() == sentence_ranks(scores, images).tolist()


def test_the_curve_of_matches_by_hand():
    """Two queries among 200 candidates, the one with three right items, the other with one."""
    curve = matches_curve(np.array([1, 3, 200, 2]), 2, 200)
    assert len(curve) == 100
    assert curve[0] == (1 + 1) / 2  # among the first 2: ranks 1 and 2
    assert curve[1] == 3 / 2
    assert curve[98] == 3 / 2
    assert curve[99] == 2
