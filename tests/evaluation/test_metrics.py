"""Metrics against values worked out by hand, and against naive ones."""

from __future__ import annotations

import functools
import math
import os
import shlex
import sys
from collections import Counter

import pytest
import sacrebleu
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mrnn.errors import DependencyError
from mrnn.evaluation import metrics
from mrnn.evaluation.metrics import (
    bleu,
    bleu_signature,
    cider_d,
    distinct,
    meteor,
    paper_bleu,
    require_meteor,
    rouge_l,
)


def split(*sentences):
    return [sentence.split() for sentence in sentences]


def scores(candidates, references):
    found = bleu(candidates, references)
    assert list(found) == ["1", "2", "3", "4"]
    return list(found.values())


def test_repeated_words_are_clipped():
    candidates = split("the the the the the the the")
    references = [split("the cat is on the mat", "there is a cat on the mat")]
    assert scores(candidates, references) == pytest.approx([2 / 7, 0, 0, 0])


def test_orders_are_cumulative():
    candidates = split("a black dog runs in the snow")
    references = [split("a black dog runs through the snow")]
    assert scores(candidates, references) == pytest.approx(
        [
            6 / 7,
            (6 / 7 * 4 / 6) ** (1 / 2),
            (6 / 7 * 4 / 6 * 2 / 5) ** (1 / 3),
            (6 / 7 * 4 / 6 * 2 / 5 * 1 / 4) ** (1 / 4),
        ],
        rel=1e-8,
    )


def test_short_candidates_pay_a_penalty():
    found = scores(split("a dog runs"), [split("a dog runs in the snow")])
    assert found == pytest.approx([math.exp(1 - 6 / 3)] * 3 + [0])  # there is no 4-gram


@pytest.mark.parametrize(
    ("lengths", "penalty"),
    [((6, 9), math.exp(1 - 6 / 5)), ((1, 9), 1), ((4, 6), 1), ((6, 4), 1), ((5, 9), 1)],
)
def test_the_penalty_takes_the_closest_length_and_the_shorter_of_two(lengths, penalty):
    references = [[["a"] * length for length in lengths]]
    assert scores([["a"] * 5], references)[0] == pytest.approx(
        penalty * min(max(lengths), 5) / 5, rel=1e-8
    )


def test_counts_are_summed_over_the_corpus_and_references_may_differ_in_number():
    candidates = split("a dog runs", "two cats sit in snow")
    references = [
        split("a dog runs", "the dog is running", "dogs"),
        split("two cats play in the snow"),
    ]
    # 1-grams 3 + 4 of 8, 2-grams 2 + 1 of 6, 3-grams 1 + 0 of 4, 4-grams 0 of 2; 8 words for 9
    penalty = math.exp(1 - 9 / 8)
    assert scores(candidates, references) == pytest.approx(
        [
            penalty * 7 / 8,
            penalty * (7 / 8 * 3 / 6) ** (1 / 2),
            penalty * (7 / 8 * 3 / 6 * 1 / 4) ** (1 / 3),
            0,
        ],
        rel=1e-8,
    )


def test_the_same_words_score_one_and_other_words_zero():
    sentence = split("a dog runs in the snow")
    assert scores(sentence, [sentence]) == [1] * 4
    assert scores(split("z z z z z"), [sentence]) == [0] * 4
    assert scores([[]], [sentence]) == [0] * 4


def test_words_are_taken_as_they_are():
    assert scores([["don't", "run", ",", "Ä", "狗狗"]], [[["don't", "run", ",", "Ä", "狗狗"]]]) == (
        pytest.approx([1] * 4)
    )
    assert scores([["Dog"]], [[["dog"]]])[0] == 0
    assert scores([["x,y"]], [[["x", ",", "y"]]])[0] == 0


@pytest.mark.parametrize("length", [4, 5, 6, 7, 11, 30])
@pytest.mark.parametrize("count", [1, 3, 10])
def test_the_same_sentences_score_exactly_1(length, count):
    """Not exp(log(1)) with its rounding, which is above 1 and no BLEU."""
    same = [[f"w{i}" for i in range(start, start + length)] for start in range(count)]
    references = [[sentence] for sentence in same]
    assert scores(same, references) == [1] * 4
    assert all(type(value) is float for value in scores(same, references))
    readings = paper_bleu(same, same, references)
    for kind in readings.values():
        for reading in kind.values():
            assert list(reading.values()) == [1] * 3


def naive_bleu(candidates, references, order):
    matches, totals = [0] * order, [0] * order
    length = closest = 0
    for candidate, several in zip(candidates, references, strict=True):
        length += len(candidate)
        closest += min((abs(len(r) - len(candidate)), len(r)) for r in several)[1]
        for n in range(1, order + 1):

            def grams(words, n=n):
                return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))

            most = Counter()
            for reference in several:
                most |= grams(reference)
            matches[n - 1] += (grams(candidate) & most).total()
            totals[n - 1] += grams(candidate).total()
    if not all(matches):
        return 0
    precision = math.prod(m / t for m, t in zip(matches, totals, strict=True)) ** (1 / order)
    return precision * min(1, math.exp(1 - closest / length))


WORDS = st.lists(st.sampled_from("abc"), min_size=1, max_size=7)
SEGMENTS = st.lists(
    st.tuples(WORDS | st.just([]), st.lists(WORDS, min_size=1, max_size=4)), min_size=1, max_size=4
)


@given(SEGMENTS)
@settings(deadline=None, max_examples=100)
def test_bleu_equals_a_naive_one(segments):
    candidates, references = zip(*segments, strict=True)
    assert scores(candidates, references) == pytest.approx(
        [naive_bleu(candidates, references, order) for order in (1, 2, 3, 4)]
    )


def test_only_the_orders_asked_for_are_given():
    found = bleu(split("a b c d e"), [split("a b c x e")], (3, 1))
    assert found == pytest.approx({"3": (4 / 5 * 2 / 4 * 1 / 3) ** (1 / 3), "1": 4 / 5})


def individual_bleu(candidates, references):
    """Each order alone, of the protocol paper2014."""
    own = [several[0] if several else () for several in references]
    return paper_bleu(candidates, own, references)["individual"]["all_references"]


def test_individual_orders_stand_alone_and_each_pays_the_penalty():
    found = individual_bleu(split("a dog runs in"), [split("the dog runs in snow", "a b c d e f")])
    penalty = math.exp(1 - 5 / 4)
    assert found == pytest.approx(
        {"1": penalty, "2": penalty * 2 / 3, "3": penalty * 1 / 2}, rel=1e-8
    )


def test_an_order_alone_is_not_dragged_down_by_the_lower_ones():
    candidates, references = split("a b c", "x"), [split("a b c"), split("y")]
    assert individual_bleu(candidates, references) == pytest.approx({"1": 3 / 4, "2": 1, "3": 1})


@given(SEGMENTS)
@settings(deadline=None, max_examples=100)
def test_cumulative_bleu_is_made_of_the_individual_orders(segments):
    candidates, references = zip(*segments, strict=True)
    assume(any(candidates))
    length = sum(map(len, candidates))
    closest = sum(
        min((abs(len(r) - len(c)), len(r)) for r in several)[1] for c, several in segments
    )
    penalty = min(1, math.exp(1 - closest / length))
    precisions = [score / penalty for score in individual_bleu(candidates, references).values()]
    assert scores(candidates, references)[:3] == pytest.approx(
        [penalty * math.prod(precisions[:n]) ** (1 / n) for n in (1, 2, 3)]
    )


def test_the_papers_bleu_has_two_readings_and_two_sets_of_references():
    candidates = split("a dog runs", "the dog sat")
    own = split("a dog sits", "the dog runs")
    every = [own, own]
    assert paper_bleu(candidates, own, every) == {
        "cumulative": {
            "own_reference": {
                "1": pytest.approx(4 / 6),
                "2": pytest.approx((4 / 6 * 2 / 4) ** (1 / 2)),
                "3": 0,
            },
            "all_references": {
                "1": pytest.approx(5 / 6),
                "2": pytest.approx((5 / 6 * 3 / 4) ** (1 / 2)),
                "3": 0,
            },
        },
        "individual": {
            "own_reference": {"1": pytest.approx(4 / 6), "2": pytest.approx(2 / 4), "3": 0},
            "all_references": {"1": pytest.approx(5 / 6), "2": pytest.approx(3 / 4), "3": 0},
        },
    }


def test_rouge_l_takes_precision_and_recall_from_different_references():
    candidates = split("a dog runs in the snow")  # 6 words
    references = [split("a black dog runs through deep snow today", "runs in")]
    # a dog runs snow: 4 of 6 words, 4 of 8; runs in: 2 of 6 words, 2 of 2
    precision, recall = 4 / 6, 2 / 2
    expected = (1 + 1.44) * precision * recall / (recall + 1.44 * precision)
    assert rouge_l(candidates, references) == pytest.approx(expected, rel=1e-12)


def test_rouge_l_is_the_mean_over_the_images_whatever_their_references():
    candidates = split("a b", "z", "")
    references = [split("", "a b", "c"), split("a b"), split("a b", "b")]
    assert rouge_l(candidates, references) == pytest.approx(1 / 3)


def test_rouge_l_counts_words_in_order_only():
    assert rouge_l(split("a b c d"), [split("d c b a")]) == pytest.approx(1 / 4)
    assert rouge_l(split("a b a b"), [split("b a b a")]) == pytest.approx(3 / 4)


def naive_rouge_l(candidate, references):
    def common(first, second):  # the classical table, by its recurrence

        @functools.cache
        def cell(i, j):
            if not (i and j):
                return 0
            if first[i - 1] == second[j - 1]:
                return cell(i - 1, j - 1) + 1
            return max(cell(i - 1, j), cell(i, j - 1))

        return cell(len(first), len(second))

    recall = max(common(candidate, r) / len(r) for r in references)
    if not recall:
        return 0
    precision = max(common(candidate, r) / len(candidate) for r in references)
    return 2.44 / (1 / precision + 1.44 / recall)


LONG = st.lists(st.sampled_from("abcd"), min_size=1, max_size=70)


@given(LONG | st.just([]), st.lists(LONG, min_size=1, max_size=3))
@settings(deadline=None, max_examples=100)
def test_rouge_l_equals_a_naive_one(candidate, references):
    assert rouge_l([candidate], [references]) == pytest.approx(
        naive_rouge_l(candidate, references), rel=1e-12
    )


def test_cider_d_by_hand():
    candidates = split("a dog", "a cat")
    references = [split("a dog"), split("a bird", "cat")]
    # "a" is in both images and weighs 0, the others log 2. First image: 1- and 2-grams agree, there
    # are no 3- and 4-grams: 10 * 2/4. Second: nothing in common with "a bird"; with "cat", one word
    # shorter, the 1-grams agree.
    second = (0 + 10 * 1 / 4 * math.exp(-1 / 72)) / 2
    assert cider_d(candidates, references) == pytest.approx((5 + second) / 2, rel=1e-12)


def test_cider_d_clips_counts_that_the_reference_does_not_have():
    found = cider_d(split("a a a", "z"), [split("a b"), split("c")])
    # 1-grams: (3, 0) clipped to (1, 0), by (1, 1); 2-grams: nothing shared; the norm stays at 3
    assert found == pytest.approx(10 / 2 / 4 * 1 / (3 * 2**0.5) * math.exp(-1 / 72), rel=1e-12)


def test_cider_d_of_the_only_reference_is_ten():
    sentences = split("a dog runs in snow", "two cats sit on a mat", "children play")
    references = [[sentence] for sentence in sentences]
    assert cider_d(sentences[:2], references[:2]) == pytest.approx(10)
    assert cider_d(sentences, references) == pytest.approx((10 + 10 + 5) / 3)


def test_cider_d_of_a_single_image_is_zero():
    sentence = split("a dog runs in the snow")
    assert cider_d(sentence, [sentence]) == 0


def naive_cider_d(candidates, references):
    """Vedantam et al. 2015, section 3 with the changes of section 7, over the whole vocabulary."""
    everything = [*candidates, *(r for several in references for r in several)]

    def count(ngram, words):
        starts = range(len(words) - len(ngram) + 1)
        return sum(tuple(words[i : i + len(ngram)]) == ngram for i in starts)

    def g(ngram, words):
        images = sum(any(count(ngram, r) for r in several) for several in references)
        return count(ngram, words) * math.log(len(references) / max(1, images))

    def of_order(n, candidate, reference):
        ngrams = {tuple(w[i : i + n]) for w in everything for i in range(len(w) - n + 1)}
        c = [g(ngram, candidate) for ngram in ngrams]
        s = [g(ngram, reference) for ngram in ngrams]
        norms = math.sqrt(sum(x * x for x in c)) * math.sqrt(sum(x * x for x in s))
        product = sum(min(x, y) * y for x, y in zip(c, s, strict=True))
        gap = len(candidate) - len(reference)
        return 10 * math.exp(-(gap**2) / (2 * 6**2)) * (product / norms if norms else 0)

    total = 0
    for candidate, several in zip(candidates, references, strict=True):
        for n in (1, 2, 3, 4):
            total += sum(of_order(n, candidate, r) for r in several) / len(several) / 4
    return total / len(candidates)


@given(SEGMENTS)
@settings(deadline=None, max_examples=60)
def test_cider_d_equals_a_naive_one(segments):
    candidates, references = zip(*segments, strict=True)
    assert cider_d(candidates, references) == pytest.approx(
        naive_cider_d(candidates, references), rel=1e-9, abs=1e-12
    )


CORPUS = [bleu, individual_bleu, rouge_l, cider_d]
METRICS = [*CORPUS, meteor]
by_name = pytest.mark.parametrize("metric", CORPUS, ids=lambda metric: metric.__name__)


def numbers(found):
    return list(found.values()) if isinstance(found, dict) else [found]


@by_name
@given(SEGMENTS, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=50)
def test_scores_are_in_range_and_no_order_matters(metric, segments, random):
    found = numbers(metric(*zip(*segments, strict=True)))
    assert all(0 <= score <= (10 if metric is cider_d else 1) + 1e-9 for score in found)
    shuffled = [(c, random.sample(r, len(r))) for c, r in random.sample(segments, len(segments))]
    assert numbers(metric(*zip(*shuffled, strict=True))) == pytest.approx(found, abs=1e-12)


@by_name
def test_tuples_do_as_well_as_lists_and_nothing_is_changed(metric):
    candidates, references = (("a", "b"), ("c",)), ((("a", "c"), ("b",)), (("c", "d"),))
    lists = [list(c) for c in candidates], [[list(r) for r in several] for several in references]
    assert metric(candidates, references) == metric(*lists)
    assert lists == (
        [list(c) for c in candidates],
        [[list(r) for r in several] for several in references],
    )


@given(st.lists(st.tuples(WORDS, st.lists(WORDS, max_size=3)), min_size=1, max_size=4))
@settings(deadline=None, max_examples=50)
def test_candidates_equal_to_a_reference_score_one(segments):
    candidates = [words for words, _ in segments]
    references = [[*others, words] for words, others in segments]
    assert rouge_l(candidates, references) == pytest.approx(1)
    longest = max(map(len, candidates))
    assert scores(candidates, references)[:longest] == pytest.approx([1] * min(longest, 4))


@by_name
def test_empty_candidates_score_zero(metric):
    for references in (
        [split("a dog runs in snow"), split("two cats sit in snow", "cats")],
        [[[]], [[], []]],
    ):
        assert not any(numbers(metric([[], []], references)))


@by_name
def test_identical_candidates_are_scored_against_their_own_references(metric):
    said = split("a dog runs in snow", "a dog runs in snow")
    references = [split("a dog runs in snow"), split("two cats sit on mats")]
    assert 0 < numbers(metric(said, references))[0] < (10 if metric is cider_d else 1)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.__name__)
@pytest.mark.parametrize(
    ("candidates", "references", "counts"),
    [
        ([], [], "0 candidates and 0 lists"),
        ([["a"], ["b"]], [[["a"]]], "2 candidates and 1 lists"),
        ([["a"]], [[["a"]], [["b"]]], "1 candidates and 2 lists"),
        ([["a"], ["b"]], [[["a"]], []], "2 candidates and 2 lists of references: expected one"),
    ],
)
def test_lists_that_do_not_match_are_refused(metric, candidates, references, counts):
    with pytest.raises(ValueError, match=counts):
        metric(candidates, references)


def test_distinct_counts_different_sentences():
    assert distinct([]) == 0
    assert distinct([["a"], ["a", "b"], ("a", "b"), ["ab"], ["a b"], []]) == 5


def test_the_signature_names_the_settings():
    assert bleu_signature() == (
        f"nrefs:var|case:mixed|eff:no|tok:none|smooth:none|version:{sacrebleu.__version__}"
    )


def test_without_sacrebleu_the_error_holds_the_line_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(DependencyError, match="type: pip install sacrebleu"):
        bleu([["a"]], [[["a"]]])


def test_without_its_package_meteor_says_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocoevalcap.meteor", None)
    monkeypatch.setitem(sys.modules, "pycocoevalcap", None)
    line = "METEOR needs the package pycocoevalcap; type: pip install pycocoevalcap"
    for call in (require_meteor, lambda: meteor([["a"]], [[["a"]]])):
        with pytest.raises(DependencyError) as caught:
            call()
        assert str(caught.value) == line


@pytest.fixture
def meteor_package(monkeypatch, tmp_path):
    """A stand-in for pycocoevalcap: only its folder and the name of its program count."""
    folder = tmp_path / "site packages" / "pycocoevalcap" / "meteor"
    folder.mkdir(parents=True)
    (folder / "meteor.py").write_text('METEOR_JAR = "meteor-0.0.jar"\n')
    for name in [m for m in sys.modules if m.split(".")[0] == "pycocoevalcap"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path / "site packages")
    yield folder
    for name in [m for m in sys.modules if m.split(".")[0] == "pycocoevalcap"]:
        del sys.modules[name]


def test_without_java_meteor_says_so(meteor_package, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(DependencyError) as caught:
        require_meteor()
    assert "METEOR needs Java 8 or newer, and there is no java on the PATH" in str(caught.value)
    assert "sudo apt install default-jre-headless" in str(caught.value)


def test_meteor_runs_the_packages_program_with_the_java_on_the_path(
    meteor_package, monkeypatch, tmp_path
):
    java = tmp_path / "java"
    java.touch(mode=0o755)
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    command = require_meteor()
    assert command[0] == os.fspath(java)
    assert command[command.index("-jar") :] == [
        *("-jar", os.fspath(meteor_package / "meteor-0.0.jar")),
        *("-", "-", "-stdio", "-l", "en", "-norm"),
    ]


@pytest.fixture
def meteor_as(monkeypatch, tmp_path):
    """Let a Python program take the place of METEOR: meteor_as("print(1)")."""

    def install(code):
        program = tmp_path / "a program.py"
        program.write_text(code, encoding="utf-8")
        command = [sys.executable, os.fspath(program)]
        monkeypatch.setattr(metrics, "require_meteor", lambda: command)
        return shlex.join(command)

    return install


# Notes what it is told; its statistics of an image are the number of the image, and its scores
# are that number over ten for an image and .75 for the corpus.
TALKING = """
import sys
sys.stdin.reconfigure(encoding="utf-8")
said = open({log!r}, "w", encoding="utf-8")
number = 0
for line in sys.stdin:
    said.write(line)
    kind, *fields = line.strip().split(" ||| ")
    if kind == "SCORE":
        number += 1
        print(float(number), "0.0", flush=True)
    else:
        for field in fields:
            print(float(field.split()[0]) / 10)
        print(0.75, flush=True)
"""


def test_meteor_is_told_one_line_a_sentence(meteor_as, tmp_path):
    log = tmp_path / "said"
    meteor_as(TALKING.format(log=os.fspath(log)))
    candidates = [["a", "dog"], ["un", "café", "狗"], ["x|||y", "|||", "a\nb\r\u2028c"]]
    references = [split("the dog", "a dog runs"), split("a"), [["b"], [], ["c"]]]
    assert meteor(candidates, references) == 0.75
    assert log.read_text(encoding="utf-8") == (
        "SCORE ||| the dog ||| a dog runs ||| a dog\n"
        "SCORE ||| a ||| un café 狗\n"
        "SCORE ||| b |||  ||| c ||| x y a b c\n"
        "EVAL ||| 1.0 0.0 ||| 2.0 0.0 ||| 3.0 0.0\n"
    )


def test_meteor_of_many_images_does_not_fill_a_pipe(meteor_as):
    meteor_as(TALKING.format(log=os.devnull))
    assert meteor([["a"] * 20] * 20_000, [split("a", "b")] * 20_000) == 0.75


@pytest.mark.parametrize(
    "code",
    [
        "",  # ends at once
        "print('Error occurred during initialization of VM')",
        "import sys; sys.stdin.readline(); print(1)",
        "print(1); input(); print(2); input(); input(); print(1, .5)",  # a score is missing
        "print(1); input(); print(2); input(); input(); print(1, .5, 'x')",
    ],
)
def test_a_meteor_that_fails_is_reported_with_the_line_to_type(meteor_as, code):
    typed = meteor_as(code)
    with pytest.raises(DependencyError) as caught:
        meteor(split("a", "b"), [split("a"), split("b")])
    assert str(caught.value) == f"METEOR's Java program failed; to see why, type: {typed}"


def test_a_java_that_does_not_start_is_reported(monkeypatch):
    monkeypatch.setattr(metrics, "require_meteor", lambda: ["/no/such/java"])
    with pytest.raises(DependencyError, match=r"type: /no/such/java$"):
        meteor([["a"]], [[["a"]]])
