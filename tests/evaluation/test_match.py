"""The chance of a match against brute force: what is drawn, what is searched, what is fitted."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from conftest import TRAINING, WORDS, tiny_model
from mrnn.commands.cli import app
from mrnn.evaluation import match
from mrnn.evaluation.match import (
    KINDS,
    Found,
    Queries,
    chance_of,
    draw_queries,
    figures_of,
    fit_match,
    gallery_sizes,
    search_all,
)
from mrnn.images.encoders import FEATURES
from mrnn.images.reading import Preprocessing
from mrnn.model.bundle import Bundle, EncoderIdentity, load_bundle, save_bundle
from mrnn.model.chance import MatchChance
from mrnn.model.normaliser import float_normaliser
from mrnn.model.threshold import MatchThreshold
from mrnn.scoring import first_order
from mrnn.scoring.likelihoods import image_terms, log_likelihoods, log_prior
from mrnn.scoring.pairs import Pairs
from mrnn.scoring.trust import Trust
from mrnn.words.packing import Corpus
from mrnn.words.text import SIGNS, UNKNOWN, Vocabulary

THRESHOLD = MatchThreshold(1.5, 0.75, 95, "dev", 1000, 900, (10, 100))
CHANCE = MatchChance(-0.5, 0.7, -0.8, 2.4, 0.25, 0.7, "dev", 1000, 2000, (10, 100))
SENTENCES = [[4 + i % 8, *(4 + (i * j) % 8 for j in range(i % 6)), 4 + i // 8] for i in range(40)]
SIZE = 6  # of a feature


@pytest.fixture(autouse=True)
def _precise(monkeypatch):
    """All of it in fp32, for comparisons with exact scores."""
    for module in (match, first_order):
        monkeypatch.setattr(module, "fast_normaliser", float_normaliser)


def some_pairs(images: int = 40, seed: int = 1) -> Pairs:
    """A picture a sentence, every sentence another."""
    features = np.random.default_rng(seed).standard_normal((images, SIZE)).astype(np.float16)
    owners = np.arange(len(SENTENCES)) % images
    return Pairs(Corpus(SENTENCES), owners, features)


def seeing(captions: tuple[int, ...] = (), feature: int = SIZE) -> Bundle:
    """A model whose sentences depend on the picture."""
    vocabulary = Vocabulary(SIGNS + WORDS, captions)
    model = tiny_model(len(vocabulary), feature=feature)
    model.wo[:] *= 4
    prior = np.random.default_rng(5).standard_normal((12, feature)).astype(np.float16)
    identity = EncoderIdentity(FEATURES, "", Preprocessing(size=1))
    return Bundle(model, vocabulary, identity, prior, TRAINING)


@pytest.fixture
def all_say(monkeypatch):
    """Every word says something of a picture, the first word alone does not."""
    monkeypatch.setattr(Trust, "content_words", np.arange(4 + len(WORDS)) > 4)


def drawn(queries: Queries) -> list[list[int]]:
    return queries.corpus.sentences(np.arange(len(queries.corpus)))


# What is drawn


@pytest.mark.parametrize(
    ("most", "sizes"),
    [
        (19, (10, 19)),
        (30, (10, 30)),
        (31, (10, 30, 31)),
        (100, (10, 30, 100)),
        (999, (10, 30, 100, 300, 999)),
        (5000, (10, 30, 100, 300, 1000, 3000, 5000)),
    ],
)
def test_galleries_grow_by_about_three(most, sizes):
    assert gallery_sizes(most) == sizes


@given(st.integers(11, 10**6))
def test_sizes_rise_up_to_all_pictures(most):
    sizes = gallery_sizes(most)
    assert list(sizes) == sorted(set(sizes))
    assert (sizes[0], sizes[-1]) == (10, most)


def whole(sentences, images, count, bundle=None):
    """The whole sentences that are drawn, with their pictures."""
    found = draw_queries(bundle or seeing(), Corpus(sentences), np.array(images), count)
    return {
        tuple(words): np.flatnonzero(right).tolist()
        for words, right, kind in zip(drawn(found), found.right, found.kinds, strict=True)
        if kind == 0
    }


def test_a_sentence_of_several_pictures_is_one_query_right_of_all_of_them():
    sentences = [[5, 6], [7], [5, 6], [], [8, 8], [7, 7], [5, 6], [8, 8]]
    assert whole(sentences, [3, 1, 0, 2, 4, 1, 3, 5], 20) == {
        (5, 6): [0, 3],
        (7,): [1],
        (8, 8): [4, 5],
        (7, 7): [1],
    }


def test_words_that_a_search_does_not_judge_are_left_out():
    """The unknown word, and those that no training caption has."""
    sentences, images = [[UNKNOWN, 8], [8], [UNKNOWN], [9, 8, 7]], [0, 1, 2, 3]
    assert whole(sentences, images, 20) == {(8,): [0, 1], (9, 8, 7): [3]}
    counted = tuple(int(i != 9) for i in range(4 + len(WORDS)))
    assert whole(sentences, images, 20, seeing(counted)) == {(8,): [0, 1], (8, 7): [3]}


def test_a_sentence_that_tells_nothing_apart_is_no_query():
    sentences = [[5]] * 4 + [[6]] * 3 + [[7]]
    for count, expected in ((30, {6, 7}), (40, {5, 6, 7}), (8, {7})):
        assert whole(sentences, range(8), count).keys() == {(word,) for word in expected}
    nothing = draw_queries(seeing(), Corpus([[], []]), np.array([0, 1]), 30)
    assert len(nothing.words) == len(nothing.corpus) == 0
    assert nothing.right.shape == (0, 30)


@pytest.mark.usefixtures("all_say")
def test_parts_are_right_of_the_pictures_whose_sentences_have_their_words():
    """Words that say nothing (4) need not be there, and stand in beginnings alone."""
    pairs = some_pairs(20)
    found = draw_queries(seeing(), pairs.corpus, pairs.images, 20)
    assert set(found.kinds) == {0, 1, 2, 3}
    of_picture = [{word for words in SENTENCES[i::20] for word in words} for i in range(20)]
    seen = set()
    for words, kind, count, right in zip(
        drawn(found), found.kinds, found.words, found.right, strict=True
    ):
        telling = [word for word in words if word != 4]
        seen.add((KINDS[kind], len(words)))
        assert count == max(1, len(telling))
        if kind == 0:
            assert words in SENTENCES
            continue
        assert right.tolist() == [set(telling) <= these for these in of_picture]
        if KINDS[kind] == "beginning":
            assert any(sentence[: len(words)] == words for sentence in SENTENCES)
            assert telling
        else:
            assert (len(words), telling) == (kind, words)
    assert {one for one in seen if one[0] != "sentence"} == {
        ("word", 1),
        ("two words", 2),
        ("beginning", 2),
        ("beginning", 3),
        ("beginning", 4),
    }


def test_queries_are_distinct_and_drawn_by_the_seed():
    sentences = [[4 + i // 64 % 8, 4 + i // 8 % 8, 4 + i % 8, 4 + i % 5] for i in range(300)]
    corpus, images = Corpus(sentences), np.arange(300) % 50

    def some(seed):
        return drawn(draw_queries(seeing(), corpus, images, 50, 40, seed))

    assert some(1) == some(1) != some(2)
    assert len({tuple(words) for words in some(1)}) == len(some(1))
    found = draw_queries(seeing(), corpus, images, 50, 40)
    assert np.bincount(found.kinds).max() == 10


@pytest.mark.usefixtures("all_say")
def test_single_words_end_when_there_are_no_more():
    """There are eight words, and fewer are drawn than were wanted."""
    pairs = some_pairs()
    found = draw_queries(seeing(), pairs.corpus, pairs.images, 40)
    assert 1 <= np.count_nonzero(found.kinds == 1) < len(WORDS)


@given(
    st.integers(2, 30).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), min_size=1))
    ),
    st.integers(0, 99),
)
def test_a_gallery_is_one_own_picture_and_then_others_in_random_order(images_own, seed):
    images, own = images_own
    right = np.isin(np.arange(images), list(own))
    first, *others = match._gallery(right, images - 1, np.random.default_rng(seed))
    assert first in own
    assert sorted([first, *others]) == list(range(images))
    again = match._gallery(right, images // 2, np.random.default_rng(seed))
    assert again.tolist() == [first, *others[: images // 2]]


def test_every_picture_gets_into_small_galleries():
    right = np.arange(8) == 3
    first = [match._gallery(right, 2, np.random.default_rng(s))[1] for s in range(400)]
    counts = np.bincount(first, minlength=8)
    assert counts[3] == 0
    assert counts[np.arange(8) != 3].min() > 30  # 57 of each in the mean


# What is searched


@pytest.mark.parametrize("memory", [2e8, 30_000])
def test_what_is_found_equals_brute_force(monkeypatch, memory):
    monkeypatch.setattr(match, "_MEMORY", memory)
    monkeypatch.setattr(match, "FOUND", 4)
    bundle, pairs = seeing(), some_pairs(25)
    model, terms = bundle.model, image_terms(bundle.model, pairs.features)
    queries = draw_queries(bundle, pairs.corpus, pairs.images, 25)
    sizes, seed, steps = (3, 10, 24), 7, []
    found = search_all(
        bundle, queries, terms, sizes, seed, lambda *step: steps.append(step), candidates=24
    )
    prior = log_prior(model, queries.corpus, image_terms(model, bundle.prior))
    naive = log_likelihoods(model, queries.corpus, terms) - prior[:, None]
    rows = 0
    for s, right in enumerate(queries.right):
        gallery = match._gallery(right, 24, np.random.default_rng((seed, s)))
        here = found.chosen(found.query == s)
        np.testing.assert_allclose(here.log_prior, prior[s], atol=1e-4)
        for size in sizes:
            of_size = here.chosen(here.pictures == size)
            count = min(size, 4)
            assert of_size.place.tolist() == 2 * list(range(count))
            for start in (0, 1):
                among = gallery[start : start + size]
                best = among[np.argsort(-naive[s, among], kind="stable")][:count]
                part = slice(start * count, (start + 1) * count)
                np.testing.assert_allclose(of_size.log_ratio[part], naive[s, best], atol=1e-4)
                assert of_size.is_right[part].tolist() == right[best].tolist()
                rows += count
    assert len(found.query) == rows
    assert steps[-1] == (len(queries.words), len(queries.words))
    assert len(steps) == 1 if memory == 2e8 else len(steps) > 3


def test_the_picture_that_was_described_is_missing_from_half_of_the_searches():
    """A whole sentence of one picture: among all, it is right once, in the first half alone."""
    bundle, pairs = seeing(), some_pairs(25)
    terms = image_terms(bundle.model, pairs.features)
    queries = draw_queries(bundle, pairs.corpus, pairs.images, 25)
    found = search_all(bundle, queries, terms, (24,), candidates=24)
    is_whole = queries.kinds[found.query] == 0
    rights = np.bincount(found.query[is_whole & found.is_right])
    assert set(rights) <= {0, 1}
    assert 0 < rights.sum() < np.count_nonzero(queries.kinds == 0) + 1


# What is fitted


def searches(count: int = 4000, seed: int = 3) -> tuple[Queries, Found, np.ndarray]:
    """Pictures that were found, right by known chances, which are returned, too."""
    generator = np.random.default_rng(seed)
    words = generator.integers(1, 8, 200)
    queries = Queries(Corpus([[5]] * 200), np.zeros(200, int), words, np.zeros((200, 9), bool))
    query, pictures = generator.integers(0, 200, count), generator.choice([10, 100, 1000], count)
    ratio, prior = generator.normal(4, 3, count), generator.normal(-20, 5, count)
    rules = (
        CHANCE.rule(int(w), p, int(n))
        for w, p, n in zip(words[query], prior, pictures, strict=True)
    )
    chances = np.array([rule.chance(r) for rule, r in zip(rules, ratio, strict=True)])
    is_right = generator.random(count) < chances
    return queries, Found(query, pictures, query, ratio, prior, is_right), chances


def test_the_chances_that_answers_were_drawn_with_are_found_again():
    queries, found, chances = searches(40_000)
    fitted = chance_of(queries, found, 1000, (10, 1000))
    again = [
        fitted.rule(int(w), p, int(n)).chance(r)
        for w, p, n, r in zip(
            queries.words[found.query],
            found.log_prior,
            found.pictures,
            found.log_ratio,
            strict=True,
        )
    ]
    np.testing.assert_allclose(again, chances, atol=0.05)
    assert (fitted.split, fitted.images, fitted.sentences) == ("dev", 1000, 200)
    assert fitted.galleries == (10, 1000)
    assert figures_of(queries, found).shape == (40_000, 5)


def test_where_nothing_tells_right_from_wrong_there_are_no_chances():
    queries, found, chances = searches()
    upside_down = replace(found, is_right=chances < 0.3)
    for hopeless in (
        upside_down,  # the less likely the better: such a model cannot be used to search
        replace(found, is_right=np.zeros(len(chances), bool)),
        replace(found, is_right=np.ones(len(chances), bool)),
    ):
        assert chance_of(queries, hopeless, 1000, (10,)) is None


def test_chances_are_those_of_the_searches_that_were_made():
    bundle, pairs = seeing(), some_pairs(40)
    found = fit_match(bundle, pairs)
    assert found == fit_match(bundle, pairs)  # no chance but the seed's
    terms, which = np.unique(image_terms(bundle.model, pairs.features), axis=0, return_inverse=True)
    queries = draw_queries(bundle, pairs.corpus, which[pairs.images], 40)
    sizes = (10, 30, 39)
    again = chance_of(queries, search_all(bundle, queries, terms, sizes), 40, sizes)
    assert found == again
    if found:
        assert found != fit_match(bundle, pairs, seed=2)


def test_pictures_under_two_names_change_nothing():
    """The copy of its own picture is no wrong picture."""
    bundle, pairs = seeing(), some_pairs(40)
    twice = Pairs(
        Corpus(SENTENCES * 2),
        np.concatenate([pairs.images, pairs.images + 40]),
        np.concatenate([pairs.features] * 2),
    )
    queries = []

    def noted(bundle, queries_, terms, *rest):
        queries.append((queries_.right, terms))
        return search_all(bundle, queries_, terms, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(match, "search_all", noted)
        fit_match(bundle, twice)
    [(right, terms)] = queries
    assert (len(terms), right.shape[1]) == (40, 40)
    assert right.any(1).all()


def test_too_little_to_go_by_gives_no_chances(monkeypatch):
    """Twenty distinct pictures and twenty sentences are the least."""
    asked = []
    monkeypatch.setattr(match, "search_all", lambda *given: asked.append(given))
    monkeypatch.setattr(match, "chance_of", lambda *given: CHANCE)
    bundle, pairs = seeing(), some_pairs(40)
    assert fit_match(bundle, some_pairs(20)) == CHANCE
    assert len(asked) == 1
    assert fit_match(bundle, some_pairs(19)) is None
    copies = replace(pairs, features=pairs.features[np.arange(40) % 19])
    assert fit_match(bundle, copies) is None
    assert fit_match(bundle, replace(pairs, corpus=Corpus([[5, 6]] * 40))) is None
    assert len(asked) == 1


def test_a_model_that_sees_no_pictures_has_no_chances():
    pairs = replace(some_pairs(40), features=np.zeros((40, 0), np.float16))
    assert fit_match(seeing(feature=0), pairs) is None


# mrnn evaluate --record


@pytest.fixture
def described(tmp_path):
    """A model for features of 5 numbers, and 24 dev pictures with such features."""
    data = tmp_path / "birds"
    (data / "Flicker8k_Dataset").mkdir(parents=True)
    names = [f"{i}.jpg" for i in range(48)]
    words = [f"{WORDS[i % 8]} {WORDS[i // 8]}" for i in range(48)]
    captions = "".join(f"{n}#0\t{w}\n" for n, w in zip(names, words, strict=True))
    (data / "Flickr8k.token.txt").write_text(captions)
    (data / "Flickr_8k.trainImages.txt").write_text("\n".join(names[:24]) + "\n")
    (data / "Flickr_8k.devImages.txt").write_text("\n".join(names[24:]) + "\n")
    for name in names:
        (data / "Flicker8k_Dataset" / name).touch()
    values = np.random.default_rng(0).standard_normal((48, 5), dtype=np.float32)
    np.save(tmp_path / "feats.npy", values)
    (tmp_path / "feats.txt").write_text("\n".join(names) + "\n")
    vocabulary = Vocabulary(SIGNS + WORDS)
    training = {
        "data": "birds", "split": "train", "stopped_on": "dev", "images": 8, "sentences": 16,
        "config": {"seed": 1, "minimum_count": 1},
    }  # fmt: skip
    identity = EncoderIdentity(FEATURES, "", Preprocessing(size=1))
    model = tiny_model(len(vocabulary), feature=5, seed=2)
    save_bundle(
        Bundle(model, vocabulary, identity, values[:4].astype(np.float16), training),
        tmp_path / "model",
    )
    return data


def record(data: Path, *options: str) -> Bundle:
    model = data.parent / "model"
    features = ("--features", str(data.parent / "feats.npy"))
    command = ["evaluate", str(data), "-m", str(model), *features, "--record", *options]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return load_bundle(model)


def test_recording_the_dev_split_writes_the_chances(described, monkeypatch):
    seen = []

    def known(bundle, dev, on_progress):
        seen.append(len(dev.features))
        return CHANCE

    monkeypatch.setattr(match, "fit_match", known)
    model = described.parent / "model"
    save_bundle(replace(load_bundle(model), match=THRESHOLD), model)
    assert record(described, "--limit", "23").chance is None  # not all of dev
    assert record(described, "--split", "train").chance is None
    bundle = record(described, "--split", "val")
    assert (bundle.chance, bundle.match) == (CHANCE, None)  # in the place of the threshold
    assert len(bundle.scores) == 3
    assert seen == [24]
    card = (model / "README.md").read_text()
    assert "x = -0.50 +0.70 r -0.80 ln N + (2.40 +0.25 p +0.70 ln N) / w" in card
    assert "log-ratio of at least" not in card


def test_too_few_dev_pictures_leave_what_was_known(described):
    model = described.parent / "model"
    save_bundle(replace(load_bundle(model), match=THRESHOLD, chance=CHANCE), model)
    names = described / "Flickr_8k.devImages.txt"
    names.write_text("\n".join(names.read_text().split()[:19]) + "\n")
    bundle = record(described)
    assert (bundle.match, bundle.chance) == (THRESHOLD, CHANCE)
    assert len(bundle.scores) == 1


# tools/match_chances.py


@pytest.fixture(scope="module")
def tool():
    path = Path(__file__).parents[2] / "tools" / "match_chances.py"
    spec = importlib.util.spec_from_file_location("match_chances", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_halves_are_of_different_pictures(tool):
    bundle, pairs = seeing(), some_pairs(40)
    first, second = tool.halves(bundle, pairs)
    assert (first.images, first.sizes) == (second.images, second.sizes) == (20, (10, 19))
    whole_ones = [
        {tuple(w) for w, k in zip(drawn(h.queries), h.queries.kinds, strict=True) if k == 0}
        for h in (first, second)
    ]
    assert whole_ones[0].isdisjoint(whole_ones[1])
    assert whole_ones[0] | whole_ones[1] <= {tuple(s) for s in SENTENCES}


def test_how_far_chances_are_off_by_hand(tool):
    chances, is_right = np.array([0.02, 0.04, 0.95, 1.0]), np.array([False, True, True, True])
    assert tool.calibration_error(chances, is_right) == pytest.approx((0.94 + 0.05) / 4)
    told = -(math.log(0.98) + math.log(0.04) + math.log(0.95) + math.log(0.999)) / 4
    assert tool.log_loss(chances, is_right) == pytest.approx(told)


def test_the_tables_and_the_drawing(tool):
    """Of answers drawn by known chances, which a fit to them foretells."""
    queries, found, _ = searches(6000)
    found = replace(found, pictures=np.minimum(found.pictures, 499), place=np.arange(6000) % 3)
    kinds = np.arange(200) % len(KINDS)
    part = tool.Searches(replace(queries, kinds=kinds), found, 500, (10, 100, 499))
    chance = chance_of(part.queries, found, 500, (10, 100, 499))
    told = tool.foretold(chance, part, part)
    first, *lines = tool.table(told).splitlines()
    assert len(lines) == 1 + 3 * (1 + len(KINDS))
    assert first.count("|") == lines[-1].count("|")
    all_small = [cell.strip() for cell in lines[1].split("|")[1:-1]]
    small = told.where(told.pictures == 10)
    assert all_small[:3] == ["all", "10 to 30", f"{100 * small.is_right.mean():.1f}"]
    brier = [float(all_small[5]), float(all_small[6])]
    assert brier[0] == pytest.approx(np.square(small.chance - small.is_right).mean(), abs=1e-3)
    assert brier[0] < brier[1]  # the threshold tells less
    assert len(tool.table_of_first(told).splitlines()) == 2 + 3 * len(KINDS)
    drawing = tool.drawing(told)
    assert drawing.startswith("<svg xmlns=")
    assert ">words<" in drawing
