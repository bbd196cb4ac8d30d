"""Generation against plain Python loops over a step function that depends on every word so far."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrnn.model.arrays import log_softmax
from mrnn.model.generate import MAX_LENGTH, Rules, beam, greedy, of_lengths, sample
from mrnn.words.text import END, PADDING, START, UNKNOWN

V = 8  # four signs and four words
REAL = range(4, V)
SEEDS = st.integers(0, 10_000)
PREFIXES = st.lists(st.sampled_from([UNKNOWN, *REAL]), max_size=2)
fast = settings(deadline=None, max_examples=60)


class Table:
    """Random log P of the next word for every image and history; the state is both."""

    def __init__(self, seed=0, forbidden=0.0, end=0.0):
        logits = 1.5 * np.random.default_rng(seed).standard_normal((997, V))
        logits[:, [PADDING, START, UNKNOWN]] += forbidden
        logits[:, END] += end
        self.logp = log_softmax(logits)

    def start(self, *images):
        images = np.array(images, dtype=np.int64)
        return np.zeros_like(images), images  # the words so far as a number, the image

    def step(self, words, state):
        history, images = state
        history = (history * V + words) % 1_000_003
        return self.logp[(history * 31 + images * 101) % len(self.logp)], (history, images)

    def after(self, image, words):
        """Log P of the next word, (V,) a list."""
        state = self.start(image)
        for word in (START, *words):
            logp, state = self.step(np.array([word]), state)
        return logp[0].tolist()

    def logprobs(self, image, words):
        return [self.after(image, words[:i])[word] for i, word in enumerate(words)]

    def score(self, image, words):
        return sum(self.logprobs(image, words))


def allowed(words, no_repeat):
    """The words that may follow, none of which says something twice."""

    def repeats(word):
        runs = list(zip(*([*words, word][i:] for i in range(no_repeat)), strict=False))
        return len(runs) > 1 and runs[-1] in runs[:-1]

    return (END, *(word for word in REAL if not repeats(word)))


def naive_greedy(table, image, prefix, max_length, no_repeat=0):
    words = list(prefix)
    while True:
        logp = table.after(image, words)
        best = max(allowed(words, no_repeat), key=lambda word: logp[word])
        if best == END:
            return (*words, END)
        if len(words) == max_length:
            return tuple(words)
        words.append(best)


def naive_beam(table, image, width, n_best, prefix, max_length, no_repeat=0):
    """Beam search to the bitter end: no early stop, no arrays."""
    live, finished = [(table.score(image, prefix), tuple(prefix))], []
    for length in range(len(prefix), max_length + 1):
        candidates = []
        for score, words in live:
            logp = table.after(image, words)
            following = allowed(words, no_repeat)
            candidates += [(score + logp[word], (*words, word)) for word in following]
        candidates.sort(reverse=True)
        finished += [c for c in candidates[:width] if c[1][-1] == END]
        if length < max_length:
            live = [c for c in candidates if c[1][-1] != END][:width]
    return [words for _, words in (sorted(finished, reverse=True) + live)[:n_best]]


def brute_force(table, image, prefix, max_length):
    """All sentences: complete ones by probability, then those cut off."""
    tails = [t for n in range(max_length - len(prefix) + 1) for t in product(REAL, repeat=n)]
    complete = [(*prefix, *tail, END) for tail in tails]
    cut = [(*prefix, *tail) for tail in tails if len(prefix) + len(tail) == max_length]
    return [
        *sorted(complete, key=lambda words: -table.score(image, words)),
        *sorted(cut, key=lambda words: -table.score(image, words)),
    ]


def weighed(logp, state):
    """Words by something else than log P, some not at all."""
    _, images = state
    weights = np.where(logp >= logp.max(axis=1, keepdims=True) - 2, logp, -np.inf)
    return weights + 0.9 * np.sin(np.arange(V) + images[:, None])


def naive_beam_by_weights(table, image, width, max_length):
    """The same search as `naive_beam`, by what words weigh."""
    live, finished = [(0.0, ())], []
    for length in range(max_length + 1):
        candidates = []
        for score, words in live:
            logp = np.array([table.after(image, words)])
            logp[:, [PADDING, START, UNKNOWN]] = -np.inf
            weights = weighed(logp, (None, np.array([image])))[0]
            taken = [word for word in (END, *REAL) if weights[word] > -np.inf]
            candidates += [(score + weights[word], (*words, word)) for word in taken]
        candidates.sort(reverse=True)
        finished += [c for c in candidates[:width] if c[1][-1] == END]
        finished = sorted(finished, reverse=True)[:width]
        if length < max_length:
            live = [c for c in candidates if c[1][-1] != END][:width]
            if not live or (finished and finished[0][0] >= live[0][0]):
                break
    return [words for _, words in finished + live][:1]


def check(table, image, found, prefix, max_length):
    """What holds of every generated sentence, however it was made."""
    assert all(type(word) is int for word in found.words)
    assert found.words[: len(prefix)] == tuple(prefix)
    assert found.given == len(prefix)
    assert not {PADDING, START, UNKNOWN} & set(found.words[len(prefix) :])
    assert found.complete == (found.words[-1:] == (END,))
    spoken = found.words[:-1] if found.complete else found.words
    assert END not in spoken
    assert len(spoken) <= max_length
    assert found.complete or len(spoken) == max_length
    assert found.logprobs == pytest.approx(table.logprobs(image, found.words))
    assert found.logprob == pytest.approx(table.score(image, found.words))


@given(SEEDS, PREFIXES, st.integers(2, 9), st.integers(0, 4))
@fast
def test_greedy_equals_a_naive_loop(seed, prefix, max_length, no_repeat):
    table = Table(seed, end=-2.0 if no_repeat else 0.0)
    results = greedy(table.step, table.start(0, 1, 2), Rules(prefix, max_length, no_repeat))
    for image, found in enumerate(results):
        assert found.words == naive_greedy(table, image, prefix, max_length, no_repeat)
        check(table, image, found, prefix, max_length)


@given(SEEDS, PREFIXES, st.integers(2, 6))
@fast
def test_beam_of_width_1_is_greedy(seed, prefix, max_length):
    table = Table(seed)
    rules = Rules(prefix, max_length)
    expected = greedy(table.step, table.start(0, 1, 2), rules)
    assert beam(table.step, table.start(0, 1, 2), rules, 1) == [[found] for found in expected]


@given(SEEDS, PREFIXES, st.integers(2, 6), st.integers(1, 5), st.integers(0, 3), st.data())
@fast
def test_beam_equals_a_naive_search_for_every_image(
    seed, prefix, max_length, width, no_repeat, data
):
    table = Table(seed, end=-2.0 if no_repeat else 0.0)
    n_best = data.draw(st.integers(1, width))
    limits = prefix, max_length, no_repeat
    results = beam(table.step, table.start(0, 1, 2), Rules(*limits), width, n_best)
    for image, found in enumerate(results):
        assert [f.words for f in found] == naive_beam(table, image, width, n_best, *limits)
        for sentence in found:
            check(table, image, sentence, prefix, max_length)


@given(SEEDS, st.integers(2, 6), st.integers(1, 4))
@fast
def test_a_beam_by_weights_equals_a_naive_search(seed, max_length, width):
    """Log P is the model's own all the same."""
    table = Table(seed)
    results = beam(table.step, table.start(0, 1, 2), Rules((), max_length, weigh=weighed), width)
    for image, [found] in enumerate(results):
        assert [found.words] == naive_beam_by_weights(table, image, width, max_length)
        check(table, image, found, (), max_length)


@given(SEEDS, st.integers(2, 6))
@fast
def test_greedy_by_weights_is_a_beam_of_one(seed, max_length):
    table = Table(seed)
    rules = Rules((), max_length, weigh=weighed)
    found = greedy(table.step, table.start(0, 1, 2), rules)
    searched = beam(table.step, table.start(0, 1, 2), rules, 1)
    assert [[sentence] for sentence in found] == searched


def test_samples_are_drawn_by_weights():
    table, draws = Table(3), 10_000
    start, rules = table.start(*[0] * draws), Rules((5,), 2, weigh=weighed)
    found = sample(table.step, start, rules, np.random.default_rng(1))
    logp = np.array([table.after(0, [5])])
    logp[:, [PADDING, START, UNKNOWN]] = -np.inf
    weights = np.exp(weighed(logp, (None, np.array([0])))[0])
    shares = [sum(f.words[1] == word for f in found) / draws for word in range(V)]
    assert shares == pytest.approx((weights / weights.sum()).tolist(), abs=0.02)


@pytest.mark.parametrize("prefix", [(), (5,), (4, 7, 4)])
@pytest.mark.parametrize("seed", [0, 1])
def test_full_width_beam_finds_all_sentences_in_order(seed, prefix):
    table = Table(seed)
    expected = brute_force(table, 1, prefix, max_length=3)
    for n_best in (1, 3, 400):
        [found] = beam(table.step, table.start(1), Rules(prefix, 3), 400, n_best)
        assert [f.words for f in found] == expected[:n_best]
        for sentence in found:
            check(table, 1, sentence, prefix, 3)


@pytest.mark.parametrize("end", [-3.0, 0.0, 3.0])
def test_a_batch_equals_one_image_at_a_time(end):
    table, images = Table(7, end=end), range(9)
    rules = Rules((), 8)
    together = greedy(table.step, table.start(*images), rules)
    assert together == [greedy(table.step, table.start(i), rules)[0] for i in images]
    rules = Rules((6,), 8)
    together = beam(table.step, table.start(*images), rules, 3, 2)
    assert together == [beam(table.step, table.start(i), rules, 3, 2)[0] for i in images]


def test_forbidden_words_are_never_chosen_however_probable():
    table = Table(1, forbidden=20.0)
    start, rules = table.start(0, 1), Rules((), 5)
    results = greedy(table.step, start, rules)
    results += [found for [found] in beam(table.step, start, rules, 3)]
    results += sample(table.step, start, rules, np.random.default_rng(0))
    for image, found in zip((0, 1) * 3, results, strict=True):
        check(table, image, found, (), 5)  # their probability counts all the same
        assert found.logprobs[0] < -15


def test_a_certain_end_gives_the_empty_sentence():
    table = Table(1, end=50.0)
    [found] = greedy(table.step, table.start(0), Rules())
    assert found.words == (END,)
    assert found.complete
    assert beam(table.step, table.start(0), Rules(), 4) == [[found]]


def test_no_step_is_taken_after_the_last_sentence_has_ended():
    table, taken = Table(6, end=1.0), []

    def step(words, state):
        taken.append(len(words))
        return table.step(words, state)

    found = greedy(step, table.start(*range(5)), Rules())
    assert len(taken) == max(len(sentence.words) for sentence in found) < MAX_LENGTH
    taken.clear()
    found = beam(step, table.start(*range(5)), Rules(), 1)
    assert len(taken) == max(len(sentence.words) for [sentence] in found)
    # each row leaves the search as soon as its sentence has ended
    assert sum(taken) == sum(len(sentence.words) for [sentence] in found)


def test_an_improbable_end_is_cut_off_at_the_default_length():
    table = Table(1, end=-50.0)
    [found] = greedy(table.step, table.start(0), Rules())
    [[searched]] = beam(table.step, table.start(0), Rules(), 2)
    for sentence in (found, searched):
        assert len(sentence.words) == MAX_LENGTH
        check(table, 0, sentence, (), MAX_LENGTH)


def test_a_prefix_may_fill_the_sentence():
    table = Table(1, end=-50.0)
    rules = Rules((4, 5), 2)
    [found] = greedy(table.step, table.start(0), rules)
    assert (found.words, found.complete, found.given) == ((4, 5), False, 2)
    assert beam(table.step, table.start(0), rules, 3) == [[found]]


def test_what_a_step_returns_is_left_as_it_is():
    """A step may return what it keeps, and what nobody may write to."""
    table = Table(2)
    kept = table.logp[:3]
    kept.setflags(write=False)

    def step(words, state):
        return kept[: len(words)], state

    state = (np.zeros(3),)
    rules = Rules((5,), 6, 2)
    assert len(greedy(step, state, rules)) == 3
    assert len(sample(step, state, rules, np.random.default_rng(0))) == 3
    assert len(of_lengths(step, state, [(), (5,), (6,)], [3, 4, 5])) == 3
    [[found]] = beam(step, (np.zeros(1),), rules, 1)
    assert found == greedy(step, (np.zeros(1),), rules)[0]


def test_no_images_give_no_sentences():
    table = Table(1)
    state = tuple(part[:0] for part in table.start(0))
    assert greedy(table.step, state, Rules()) == []
    assert beam(table.step, state, Rules(), 2) == []
    assert sample(table.step, state, Rules(), np.random.default_rng(0)) == []


@given(SEEDS, PREFIXES, st.sampled_from([0.3, 1.0, 3.0]))
@fast
def test_samples_carry_the_models_own_probabilities(seed, prefix, temperature):
    table, generator = Table(seed), np.random.default_rng(seed)
    results = sample(table.step, table.start(0, 1, 2), Rules(prefix, 5), generator, temperature)
    for image, found in enumerate(results):
        check(table, image, found, prefix, 5)


@pytest.mark.parametrize("no_repeat", [1, 2, 3])
def test_no_sample_says_something_twice(no_repeat):
    table, generator = Table(3, end=-9.0), np.random.default_rng(1)
    results = sample(table.step, table.start(*range(50)), Rules((), 9, no_repeat), generator)
    for image, found in enumerate(results):
        check(table, image, found, (), 9)
        said = found.words[: len(found.words) - found.complete]
        runs = list(zip(*(said[i:] for i in range(no_repeat)), strict=False))
        assert len(set(runs)) == len(runs)


def test_sampling_follows_its_seed():
    table = Table(2)

    def draw(seed):
        generator = np.random.default_rng(seed)
        return sample(table.step, table.start(*range(20)), Rules(), generator)

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_sampling_at_a_low_temperature_is_greedy():
    table = Table(2)
    start, rules = table.start(*range(20)), Rules()
    for temperature in (1e-6, 1e-40, 5e-324):  # these last are 0 in float32
        found = sample(table.step, start, rules, np.random.default_rng(0), temperature)
        assert found == greedy(table.step, start, rules)


def test_sampling_at_a_high_temperature_takes_all_words_alike():
    table, draws = Table(2), 5000
    start, rules = table.start(*[0] * draws), Rules((5,), 2)
    found = sample(table.step, start, rules, np.random.default_rng(0), 1e300)
    shares = [sum(f.words[1] == word for f in found) / draws for word in (END, *REAL)]
    assert shares == pytest.approx([0.2] * 5, abs=0.03)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_sampled_frequencies_follow_the_temperature(temperature):
    table, draws = Table(3), 10_000
    generator = np.random.default_rng(1)
    found = sample(table.step, table.start(*[0] * draws), Rules((5,), 2), generator, temperature)
    logp = table.after(0, [5])
    weights = {word: math.exp(logp[word] / temperature) for word in (END, *REAL)}
    for word, weight in weights.items():
        share = sum(f.words[1] == word for f in found) / draws
        assert share == pytest.approx(weight / sum(weights.values()), abs=0.02)


def naive_of_length(table, image, prefix, length):
    words = list(prefix)
    while len(words) < length:
        logp = table.after(image, words)
        words.append(max(REAL, key=lambda word: logp[word]))
    return tuple(words[:length])


@given(SEEDS, st.lists(st.tuples(PREFIXES, st.integers(0, 6)), min_size=1, max_size=5))
@fast
def test_sentences_of_given_lengths_equal_a_naive_loop(seed, wanted):
    """Prefixes of any length, longer than the sentence too."""
    table, images = Table(seed), range(len(wanted))
    prefixes, lengths = zip(*wanted, strict=True)
    found = of_lengths(table.step, table.start(*images), prefixes, lengths)
    assert found == [
        naive_of_length(table, image, *each) for image, each in zip(images, wanted, strict=True)
    ]
    assert [len(words) for words in found] == list(lengths)


@given(SEEDS, PREFIXES)
@fast
def test_sentences_of_given_lengths_are_greedy_ones_until_they_end(seed, prefix):
    table = Table(seed, end=-3.0)
    spoken = [
        [word for word in found.words if word != END]
        for found in greedy(table.step, table.start(0, 1, 2), Rules(prefix, 9))
    ]
    found = of_lengths(
        table.step, table.start(0, 1, 2), [prefix] * 3, [len(words) for words in spoken]
    )
    assert [list(words) for words in found] == spoken


def test_end_and_unknown_words_are_never_taken_for_a_given_length():
    for table in (Table(1, end=50.0), Table(1, forbidden=50.0)):
        found = of_lengths(table.step, table.start(0, 1), [(), (UNKNOWN,)], [7, 7])
        assert set(found[0] + found[1][1:]) <= set(REAL)
        assert found[1][0] == UNKNOWN  # it was given


def test_words_of_a_given_length_are_drawn_as_often_as_they_are_probable():
    """Among words that can be said; after its prefix, which is kept."""
    table, rows = Table(3, end=2.0), 4000
    generator = np.random.default_rng(1)
    prefix = (5,)
    found = of_lengths(table.step, table.start(*[0] * rows), [prefix] * rows, [2] * rows, generator)
    assert {words[0] for words in found} == {5}
    shares = np.exp([float(table.after(0, [5])[word]) for word in REAL])
    shares /= shares.sum()
    counts = np.array([sum(words[1] == word for words in found) for word in REAL])
    assert counts.sum() == rows  # neither END nor a sign
    assert counts / rows == pytest.approx(shares, abs=0.03)


def test_no_sentences_of_given_lengths():
    table = Table(1)
    nothing = tuple(part[:0] for part in table.start(0))
    assert of_lengths(table.step, nothing, [], []) == []
    assert of_lengths(table.step, table.start(0, 1), [(), (4, 5)], [0, 0]) == [(), ()]
