"""The match threshold against brute force: what is drawn, what is scored, what is fitted."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from conftest import WORDS, tiny_model
from mrnn.commands.cli import app
from mrnn.evaluation import match
from mrnn.evaluation.match import (
    Queries,
    Ratios,
    best_ratios,
    draw_queries,
    fit_match,
    gallery_sizes,
)
from mrnn.images.encoders import FEATURES
from mrnn.images.reading import Preprocessing
from mrnn.model.bundle import Bundle, EncoderIdentity, load_bundle, save_bundle
from mrnn.model.normaliser import float_normaliser
from mrnn.model.threshold import MatchThreshold
from mrnn.scoring import first_order
from mrnn.scoring.likelihoods import image_terms, log_likelihoods, log_prior
from mrnn.scoring.pairs import Pairs
from mrnn.words.packing import Corpus
from mrnn.words.text import SIGNS, UNKNOWN, Vocabulary

THRESHOLD = MatchThreshold(1.5, 0.75, 95, "dev", 1000, 900, (10, 100))
SENTENCES = [[4 + i % 8, *(4 + (i * j) % 8 for j in range(i % 6)), 4 + i // 8] for i in range(40)]


@pytest.fixture(autouse=True)
def _precise(monkeypatch):
    """All of it in fp32, for comparisons with exact scores."""
    for module in (match, first_order):
        monkeypatch.setattr(module, "fast_normaliser", float_normaliser)


def some_pairs(images: int = 40, size: int = 6, seed: int = 1) -> Pairs:
    """A picture a sentence, every sentence another."""
    features = np.random.default_rng(seed).standard_normal((images, size)).astype(np.float16)
    owners = np.arange(len(SENTENCES)) % images
    return Pairs(Corpus(SENTENCES), owners, features)


def seeing_model():
    """A model whose sentences depend on the picture."""
    model = tiny_model()
    model.wo[:] *= 4
    return model


def prior_of(model, seed: int = 5):
    features = np.random.default_rng(seed).standard_normal((12, model.config.feature))
    return image_terms(model, features.astype(np.float16))


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


def test_a_sentence_of_several_pictures_is_one_query_with_all_of_them():
    sentences = [[5, 6], [7], [5, 6], [], [UNKNOWN, 8], [7, 7], [5, 6], [UNKNOWN, 8]]
    images = np.array([3, 1, 0, 2, 4, 1, 3, 5])
    found = draw_queries(Corpus(sentences), images, 20)
    drawn = found.corpus.sentences(np.arange(len(found.corpus)))
    by_words = {tuple(w): o.tolist() for w, o in zip(drawn, found.own, strict=True)}
    assert by_words == {(5, 6): [0, 3], (7,): [1], (UNKNOWN, 8): [4, 5], (7, 7): [1]}


def test_a_sentence_that_tells_nothing_apart_is_no_query():
    sentences = [[5]] * 4 + [[6]] * 3 + [[7]]
    images = np.arange(8)
    kept = {30: [[5], [6], [7]][1:], 40: [[5], [6], [7]], 8: [[7]]}
    for count, expected in kept.items():
        found = draw_queries(Corpus(sentences), images, count)
        assert found.corpus.sentences(np.arange(len(found.corpus))) == expected
    nothing = draw_queries(Corpus([[], []]), np.array([0, 1]), 30)
    assert len(nothing.own) == len(nothing.corpus) == 0


def test_queries_are_drawn_at_random_by_the_seed():
    corpus, images = Corpus([[4 + i // 8, 4 + i % 8] for i in range(64)]), np.arange(64)

    def drawn(seed):
        return [int(own[0]) for own in draw_queries(corpus, images, 64, 10, seed).own]

    assert drawn(1) == drawn(1)
    assert len(set(drawn(1))) == 10
    assert drawn(1) != drawn(2)
    assert drawn(1) != list(range(10))


@given(
    st.integers(2, 30).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), min_size=1))
    ),
    st.integers(1, 40),
    st.integers(0, 99),
)
def test_a_gallery_is_one_own_picture_and_then_others_in_random_order(images_own, most, seed):
    images, own = images_own
    found = match._gallery(images, np.array(sorted(own)), most, (seed, 0))
    assert found.shape == (1 + most,)
    assert found[0] in own
    others = found[1:][found[1:] >= 0].tolist()
    assert len(set(others)) == len(others) == min(most, images - len(own))
    assert not own & set(others)
    assert set(others) <= set(range(images))
    assert (found[1 + len(others) :] == -1).all()


def test_every_picture_gets_into_small_galleries():
    own = np.array([3])
    first = [match._gallery(8, own, 2, (1, s))[1] for s in range(400)]
    counts = np.bincount(first, minlength=8)
    assert counts[3] == 0
    assert counts[np.arange(8) != 3].min() > 30  # 57 of each in the mean


# What is scored


def naive_ratios(model, queries, terms, prior_terms):
    """log P(s | I) - log P(s) of all pairs: (S, I)."""
    prior = log_prior(model, queries.corpus, prior_terms)[:, None]
    return log_likelihoods(model, queries.corpus, terms) - prior


@pytest.mark.parametrize("memory", [2e8, 30_000])
def test_the_best_of_each_gallery_equals_brute_force(monkeypatch, memory):
    monkeypatch.setattr(match, "_MEMORY", memory)
    model, pairs = seeing_model(), some_pairs(25)
    terms, prior = image_terms(model, pairs.features), prior_of(model)
    queries = draw_queries(pairs.corpus, pairs.images, 25)
    assert {len(own) for own in queries.own} == {1}
    assert len(queries.own) > 30
    sizes, seed, steps = (3, 10, 24), 7, []
    found = best_ratios(
        model,
        queries,
        terms,
        prior,
        sizes,
        seed,
        lambda done, total: steps.append((done, total)),
        candidates=24,
    )
    naive = naive_ratios(model, queries, terms, prior)
    for s, own in enumerate(queries.own):
        assert found.own[s] == pytest.approx(naive[s, own[0]], abs=1e-4)
        drawn = match._gallery(25, own, 24, (seed, s))[1:]
        for g, size in enumerate(sizes):
            assert found.others[s, g] == pytest.approx(naive[s, drawn[:size]].max(), abs=1e-4)
        others = np.delete(naive[s], own)
        assert found.others[s, -1] == pytest.approx(others.max(), abs=1e-4)
    assert steps[-1] == (len(queries.own), len(queries.own))
    assert len(steps) == 1 if memory == 2e8 else len(steps) > 3


def test_all_pictures_of_a_sentence_stay_out_of_its_galleries():
    model, pairs = seeing_model(), some_pairs(25)
    terms, prior = image_terms(model, pairs.features), prior_of(model)
    corpus = Corpus(SENTENCES[:6])
    naive = naive_ratios(model, Queries(corpus, []), terms, prior)
    best = naive.argsort(1)[:, ::-1]  # the sentence is of its two best pictures
    found = best_ratios(
        model, Queries(corpus, list(best[:, :2])), terms, prior, (24,), candidates=24
    )
    expected = np.take_along_axis(naive, best[:, 2:3], 1)
    np.testing.assert_allclose(found.others, expected, atol=1e-4)
    alone = best_ratios(model, Queries(corpus, [np.arange(25)] * 6), terms, prior, (3, 24))
    assert (alone.others == -np.inf).all()
    np.testing.assert_allclose(alone.own, naive[:, 0], atol=1e-4)


def test_candidates_come_from_every_gallery():
    """With few candidates each, none is better than the truth, and most are the truth."""
    model, pairs = seeing_model(), some_pairs(40)
    model.vi[:] *= 0.05
    terms, prior = image_terms(model, pairs.features), prior_of(model)
    queries = draw_queries(pairs.corpus, pairs.images, 40)
    sizes = (10, 20, 39)
    exact = best_ratios(model, queries, terms, prior, sizes, candidates=39).others
    few = best_ratios(model, queries, terms, prior, sizes, candidates=3).others
    assert (few <= exact + 1e-4).all()
    assert np.isfinite(few).all()
    assert (few < exact - 1e-3).any()
    assert (np.isclose(few, exact, atol=1e-4).mean(0) > 0.5).all()


# What is fitted


def test_the_line_goes_through_the_percentiles(monkeypatch):
    """Best log-ratios whose 95th percentile is 2 + .5 log N, of which 5% lie far above."""
    seen = []

    def known(model, queries, terms, prior_terms, sizes, seed, on_progress):
        seen.append((len(terms), sizes, seed))
        below = np.linspace(-9, 0, 39)[:, None]
        return Ratios(
            np.zeros(41), 2 + 0.5 * np.log(sizes) + np.concatenate([below, [[50.0], [99.0]]])
        )

    def drawing(*given, **options):
        seen.append(options["seed"])
        return draw_queries(*given, **options)

    monkeypatch.setattr(match, "best_ratios", known)
    monkeypatch.setattr(match, "draw_queries", drawing)
    pairs = some_pairs(40)
    found = fit_match(seeing_model(), pairs, prior_of(seeing_model()), seed=3)
    queries = len(draw_queries(pairs.corpus, pairs.images, 40).own)
    assert found == MatchThreshold(2.0, 0.5, 95, "dev", 40, queries, (10, 30, 39))
    assert seen == [3, (40, (10, 30, 39), 3)]


def test_few_sentences_reach_it_without_their_picture():
    model, pairs = seeing_model(), some_pairs(40)
    prior = prior_of(model)
    found = fit_match(model, pairs, prior)
    assert found == fit_match(model, pairs, prior)  # no chance but the seed's
    assert found != fit_match(model, pairs, prior, seed=2)
    assert found.slope > 0
    assert (found.images, found.galleries, found.percentile) == (40, (10, 30, 39), 95)
    queries = draw_queries(pairs.corpus, pairs.images, 40)
    naive = naive_ratios(model, queries, image_terms(model, pairs.features), prior)
    best = np.array(
        [np.delete(row, own).max() for row, own in zip(naive, queries.own, strict=True)]
    )
    assert 0 < np.mean(best >= found.at(39)) < 0.15
    assert round(found.intercept, 4) == found.intercept
    assert round(found.slope, 4) == found.slope


def test_pictures_under_two_names_change_nothing():
    """The copy of its own picture is no wrong picture; the threshold would be far too high."""
    model, pairs = seeing_model(), some_pairs(40)
    twice = Pairs(
        Corpus(SENTENCES * 2),
        np.concatenate([pairs.images, pairs.images + 40]),
        np.concatenate([pairs.features] * 2),
    )
    assert fit_match(model, twice, prior_of(model)) == fit_match(model, pairs, prior_of(model))


def test_too_little_to_go_by_gives_no_threshold():
    model = seeing_model()
    prior = prior_of(model)
    assert fit_match(model, some_pairs(20), prior) is not None
    assert fit_match(model, some_pairs(19), prior) is None
    pairs = some_pairs(40)
    copies = replace(pairs, features=pairs.features[np.arange(40) % 19])
    assert fit_match(model, copies, prior) is None
    few = Pairs(Corpus(SENTENCES[:19]), np.arange(19), pairs.features)
    assert fit_match(model, few, prior) is None
    assert fit_match(model, replace(pairs, corpus=Corpus([[5, 6]] * 40)), prior) is None


def test_a_model_that_sees_no_pictures_has_no_threshold():
    model = tiny_model(feature=0)
    pairs = replace(some_pairs(40), features=np.zeros((40, 0), np.float16))
    assert fit_match(model, pairs, np.zeros((4, 7), np.float32)) is None


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


def test_recording_the_dev_split_writes_the_threshold(described):
    assert record(described, "--limit", "23").match is None  # not all of dev
    assert record(described, "--split", "train").match is None
    bundle = record(described, "--split", "val")
    assert (bundle.match.images, bundle.match.split) == (24, "dev")
    assert bundle.match.galleries == (10, 23)
    assert len(bundle.scores) == 3
    card = (described.parent / "model" / "README.md").read_text()
    assert f"at least {bundle.match.intercept:.2f} + {bundle.match.slope:.2f} ln N" in card


def test_too_few_dev_pictures_leave_a_threshold_as_it_was(described):
    model = described.parent / "model"
    save_bundle(replace(load_bundle(model), match=THRESHOLD), model)
    names = described / "Flickr_8k.devImages.txt"
    names.write_text("\n".join(names.read_text().split()[:19]) + "\n")
    bundle = record(described)
    assert bundle.match == THRESHOLD
    assert len(bundle.scores) == 1


# tools/match_rates.py


@pytest.fixture
def rates(monkeypatch):
    path = Path(__file__).parents[2] / "tools" / "match_rates.py"
    spec = importlib.util.spec_from_file_location("match_rates", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "SYNTHETIC", 10_050)
    return module


def test_half_of_the_pictures_come_with_their_sentences(rates):
    pairs = some_pairs(20)
    part = rates.part_of(pairs, np.array([3, 17]))
    assert part.corpus.sentences(np.arange(4)) == [SENTENCES[i] for i in (3, 17, 23, 37)]
    assert part.images.tolist() == [0, 1, 0, 1]
    assert np.array_equal(part.features, pairs.features[[3, 17]])


def test_other_pictures_with_the_same_sentence_are_its_own(rates):
    queries = Queries(Corpus([[5], [6]]), [np.array([1]), np.array([0])])
    more = Pairs(Corpus([[6], [7], [6], [6, 6]]), np.array([2, 1, 0, 3]), np.zeros((4, 6)))
    found = rates.among(queries, more, 10)
    assert [own.tolist() for own in found.own] == [[1], [0, 10, 12]]


def test_the_rates_are_shares_of_the_sentences(rates):
    model = seeing_model()
    asked, train = some_pairs(25), some_pairs(30, seed=9)
    prior = prior_of(model)
    seer = SimpleNamespace(model=model, prior_terms=prior)
    low, high = (
        {
            row[:2]: row[2:]
            for row in rates.measure(seer, replace(THRESHOLD, intercept=t), asked, train)
        }
        for t in (-1e5, 1e5)
    )
    assert list(low) == [
        ("dev", 10), ("dev", 24), ("dev + train", 10), ("dev + train", 100),
        ("dev + train", 1000), ("dev + train", 3000), ("dev + train", 6000),
        ("dev + synthetic", 10_000), ("dev + synthetic", 10_050),
    ]  # fmt: skip
    assert set(low.values()) == {(100.0, 0.0)}
    assert set(high.values()) == {(0.0, 100.0)}
