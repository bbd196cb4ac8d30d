"""Evaluation puts the right numbers in the right places; on Flickr8K it gives those we publish."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mrnn
from conftest import FLICKR8K
from mrnn.captioner import Captioner
from mrnn.config import Decoding
from mrnn.datasets import read_dataset
from mrnn.errors import DependencyError, UsageError
from mrnn.evaluation import evaluation
from mrnn.evaluation.evaluation import evaluate
from mrnn.evaluation.metrics import bleu, cider_d, distinct, paper_bleu, rouge_l
from mrnn.evaluation.paper2014 import written
from mrnn.evaluation.plan import Plan
from mrnn.evaluation.ranks import image_ranks, recall_table, sentence_ranks, shortlist_ranks
from mrnn.evaluation.reading import encoded_by
from mrnn.explanation.faithfulness import measure
from mrnn.images.encoders import open_encoder
from mrnn.images.features import encode_images
from mrnn.model.bundle import load_bundle
from mrnn.model.directory import find_bundle
from mrnn.records import evaluation_lines
from mrnn.words.text import tokenise

NOTHING = dict.fromkeys(("r1", "r5", "r10", "med_r"))


SCHEMA = json.loads((Path(__file__).parents[2] / "docs/schemas/evaluate.json").read_text())


def silent(name: str, unit: str):
    return nullcontext(lambda done, total: None)


def check(document):
    """The document is of its schema, as JSON, and has lines to read."""
    text = json.dumps(document, allow_nan=False)
    jsonschema.validate(json.loads(text), SCHEMA, jsonschema.Draft202012Validator)
    return dict(line.split("  ", 1) for line in evaluation_lines(document))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("features")


@pytest.fixture
def run(captioner, cache, flickr_layout):
    """Evaluate the tiny data set's dev split by a plan."""

    def evaluated(plan=None, who: Captioner = captioner, limit: int | None = None):
        examples = read_dataset(flickr_layout).split("dev")[:limit]
        source = encoded_by(who.encoder, cache)
        return evaluate(who, "birds", "dev", examples, plan or Plan(), source, silent)

    return evaluated


@pytest.fixture
def by_hand(captioner, flickr_layout):
    """Examples of that split, their features as the cache holds them, and each pair's score."""
    examples = read_dataset(flickr_layout).split("dev")
    encoded = encode_images([e.image for e in examples], captioner.encoder)
    features = np.stack(list(encoded)).astype(np.float16)
    sentences = [sentence for e in examples for sentence in e.sentences]
    scores = [captioner.score_feature(feature, sentences) for feature in features]
    return examples, features, scores


def test_perplexity_and_caption_metrics_equal_figures_computed_one_by_one(run, captioner, by_hand):
    examples, features, scores = by_hand
    result = run(Plan(retrieval="none"))
    captions = [captioner.caption_features(f[None])[0].text for f in features]
    own = [scores[i][2 * i + j] for i in range(3) for j in range(2)]
    assert len(set(captions)) > 1
    assert list(result.captions) == captions
    assert result.document["perplexity"] == pytest.approx(
        math.exp(-sum(s.logprob for s in own) / sum(len(s.words) for s in own)), rel=1e-3
    )
    candidates = [tokenise(text) for text in captions]
    references = [[tokenise(s) for s in e.sentences] for e in examples]
    assert result.document["bleu"] == bleu(candidates, references)
    assert result.document["rouge_l"] == rouge_l(candidates, references)
    assert result.document["cider"] == cider_d(candidates, references)
    assert result.document["meteor"] is None
    assert result.document["bleu_paper"] is None
    assert result.document["distinct_captions"] == distinct(candidates)
    assert result.document["image_to_text"] == NOTHING
    assert result.text_to_image is None
    assert result.document["signature"]["decoding"] == (
        "greedy, no 3 words twice, at most 30 words"
    )
    assert result.document["signature"]["references"] == "2"
    assert result.document["signature"]["retrieval"] == "none"


@pytest.mark.parametrize("how", ["exact", "two-stage"])
def test_retrieval_equals_sorting_every_pair_by_hand(run, by_hand, how):
    _, features, scores = by_hand
    images = np.array([0, 0, 1, 1, 2, 2])
    logp = np.array([[s.logprob for s in of_image] for of_image in scores]).T  # (6, 3)
    ratio = np.array([[s.log_ratio for s in of_image] for of_image in scores]).T
    logp, ratio = logp.round(4), ratio.round(4)  # so that equal sentences tie
    result = run(Plan(retrieval=how))
    found = result.document
    assert found["text_to_image"] == recall_table(image_ranks(logp, images))
    assert found["image_to_text"] == recall_table(sentence_ranks(ratio, images))
    assert found["image_to_text_nearest_100"] == recall_table(
        shortlist_ranks(ratio, images, features)
    )
    raw = recall_table(sentence_ranks(logp, images))
    assert found["image_to_text_raw"] == (raw if how == "exact" else NOTHING)
    assert (found["two_stage"] is None) == (how != "exact")
    assert result.text_to_image.best.tolist() == (-logp).argsort(1).tolist()
    assert result.image_to_text.best[:, 0].tolist() == ratio.argmax(0).tolist()
    assert how in found["signature"]["retrieval"]


def test_sentences_of_equal_pictures_tie_against_the_model(run, flickr_layout):
    folder = flickr_layout / "Flicker8k_Dataset"
    for name in ("9.jpg", "10.jpg"):
        (folder / name).write_bytes((folder / "8.jpg").read_bytes())
    found = run().document
    assert found["text_to_image"] == {"r1": 0, "r5": 100, "r10": 100, "med_r": 3}


@pytest.mark.parametrize("captions", [1, 5, 17])
def test_any_number_of_captions_an_image(run, flickr_layout, captions):
    lines = [
        f"{image}.jpg#{i}\tA dog runs {'in the snow ' * (i + image)}."
        for image in range(11)
        for i in range(captions + (image == 9))
    ]
    (flickr_layout / "Flickr8k.token.txt").write_text("\n".join(lines))
    result = run(Plan(health=True))
    found = result.document
    assert (found["images"], found["sentences"]) == (3, 3 * captions + 1)
    assert len(result.text_to_image.ranks) == 3 * captions + 1
    assert len(result.image_to_text.ranks) == 3
    assert found["signature"]["references"] == f"{captions}-{captions + 1}"


def test_one_image_is_its_own_best_match(run):
    found = run(Plan(health=True), limit=1).document
    assert found["text_to_image"] == {"r1": 100, "r5": 100, "r10": 100, "med_r": 1}
    assert found["image_to_text"]["r1"] == 100
    assert found["cider"] is None  # no n-gram is rarer than another
    health = found["health"]  # there is no other picture to compare with
    assert health["sees_images"] is health["perplexity_shuffled"] is None
    assert health["image_to_text_shuffled"] == health["text_to_image_shuffled"] == NOTHING
    assert health["distinct_captions"] == 1
    shown = check(found)
    assert shown["shuffled perplexity"].strip() == "-"
    assert shown["ROUGE-L, CIDEr-D"].endswith(" - (CIDEr-D needs two images)")
    assert "shuffled sentences" not in shown
    assert "does it look?" not in shown
    among = f"  among 1 images, {found['sentences']} sentences"
    assert shown["images for a sentence"].endswith(among)
    assert shown["sentences for an image"].endswith(among)


@pytest.mark.parametrize("context", [0, 2])
def test_paper2014_generates_sentences_as_long_as_each_reference(run, captioner, by_hand, context):
    examples, features, scores = by_hand
    found = run(Plan(protocol="paper2014", context=context, retrieval="none")).document
    sentences, own, every = [], [], []
    for feature, example in zip(features, examples, strict=True):
        for sentence in example.sentences:
            words = tokenise(sentence)
            step, state = captioner.begin(feature[None])
            given = [words[:context]]
            [text] = written(step, state, captioner.vocabulary, given, [len(words)])
            assert len(text) == len(words)
            assert text[:context] == words[:context]
            sentences.append(text)
            own.append(words)
            every.append([tokenise(s) for s in example.sentences])
    assert found["bleu_paper"] == paper_bleu(sentences, own, every)
    after = [
        w.logprob for i in range(3) for j in range(2) for w in scores[i][2 * i + j].words[context:]
    ]
    assert found["perplexity_after_context"] == pytest.approx(
        math.exp(-sum(after) / len(after)), rel=1e-3
    )
    assert found["bleu"] is found["cider"] is found["distinct_captions"] is None
    assert f"first {context} words" in found["signature"]["decoding"]


@pytest.mark.parametrize("context", [7, 50])
def test_a_context_longer_than_every_reference_leaves_no_word(run, context):
    """The longest has six words and its END."""
    result = run(Plan(protocol="paper2014", context=context, health=True))
    found = result.document
    assert found["perplexity_after_context"] is None
    for reading in found["bleu_paper"].values():  # every sentence is the reference itself
        assert reading["own_reference"] == reading["all_references"] == {"1": 1, "2": 1, "3": 1}
    assert result.captions == ()
    shown = check(found)
    assert shown["perplexity after context"].strip() == "-"
    assert shown["BLEU-1..3 cumulative, own reference"].split() == ["1.000"] * 3


def test_a_context_as_long_as_the_references_leaves_their_ends(run, by_hand):
    examples, _, scores = by_hand
    found = run(Plan(protocol="paper2014", context=6, retrieval="none")).document
    ends = [
        scores[i][2 * i + j].words[-1].logprob
        for i in range(3)
        for j in range(2)
        if len(tokenise(examples[i].sentences[j])) == 6
    ]
    assert ends
    assert found["perplexity_after_context"] == pytest.approx(
        math.exp(-sum(ends) / len(ends)), rel=1e-3
    )
    check(found)


def test_captions_that_are_the_references_have_a_bleu_of_1(run, monkeypatch, flickr_layout):
    said = [e.sentences[1] for e in read_dataset(flickr_layout).split("dev")]
    monkeypatch.setattr(evaluation, "_captions", lambda *given: tuple(said))
    found = run(Plan(retrieval="none")).document
    assert found["bleu"] == {"1": 1, "2": 1, "3": 1, "4": 1}
    check(found)


@pytest.mark.parametrize("how", ["exact", "two-stage"])
def test_too_little_memory_is_refused_before_any_picture_is_read(run, monkeypatch, how):
    monkeypatch.setattr(evaluation, "read_pairs", None)  # would fail if it came to that
    with pytest.raises(UsageError, match=r"ranking 6 sentences and 3 images takes .* --memory"):
        run(Plan(retrieval=how, memory=12 * 4 * 6 * 3 - 1))
    monkeypatch.undo()
    assert run(Plan(retrieval=how, memory=12 * 4 * 6 * 3)).document["text_to_image"]["med_r"]
    assert run(Plan(retrieval="none", memory=1)).document["text_to_image"] == NOTHING


@pytest.mark.parametrize(
    "plan",
    [
        Plan(health=True),
        Plan(retrieval="two-stage", health=True),
        Plan(retrieval="none", health=True),
        Plan(protocol="paper2014", context=1),
    ],
)
@pytest.mark.parametrize("limit", [1, None])
def test_every_document_is_of_its_schema(run, plan, limit):
    check(run(plan, limit=limit).document)


def test_health_catches_a_model_that_ignores_the_pictures(run, captioner, tiny_bundle):
    blind = Captioner(tiny_bundle, open_encoder("none"), captioner.device)
    found = run(Plan(health=True), who=blind).document
    assert not found["health"]["sees_images"]
    assert check(found)["does it look?"].strip() == "the model does not see the pictures"
    found["health"]["sees_images"] = True
    assert check(found)["does it look?"].strip() == "the model sees the pictures"
    assert found["health"]["perplexity_shuffled"] == pytest.approx(found["perplexity"])
    assert found["text_to_image"]["r1"] == 0  # all pictures tie, and ties count against
    assert found["text_to_image"]["med_r"] == 3


def test_health_is_measured_on_others_pictures(run, by_hand):
    _, _, scores = by_hand
    health = run(Plan(health=True, seed=4)).document["health"]
    swapped = evaluation._swapped(3, 4)
    logp = np.array([[s.logprob for s in of_image] for of_image in scores]).T
    own = [scores[swapped[i]][2 * i + j] for i in range(3) for j in range(2)]
    assert health["perplexity_shuffled"] == pytest.approx(
        math.exp(-sum(s.logprob for s in own) / sum(len(s.words) for s in own)), rel=1e-3
    )
    assert health["text_to_image_shuffled"] == recall_table(
        image_ranks(logp, np.repeat(swapped, 2))
    )
    assert health["sees_images"] == (
        health["perplexity_shuffled"] > 1.02 * run().document["perplexity"]
    )


@given(st.integers(2, 50), st.integers(0, 1000))
def test_when_pictures_are_swapped_nobody_keeps_the_own_one(count, seed):
    swapped = evaluation._swapped(count, seed)
    assert sorted(swapped) == list(range(count))
    assert (swapped != np.arange(count)).all()


def test_an_unreadable_image_is_left_out_of_every_figure(run, flickr_layout):
    (flickr_layout / "Flicker8k_Dataset" / "8.jpg").write_bytes(b"")
    result = run()
    assert result.document["images"] == 2
    assert result.document["sentences"] == 4
    assert len(result.text_to_image.ranks) == 4
    assert [str(error).rsplit("/", 1)[1] for error in result.errors] == ["8.jpg: the file is empty"]


def test_a_missing_package_is_named_before_any_work(run, monkeypatch):
    def missing():
        raise DependencyError("METEOR needs Java")

    monkeypatch.setattr(evaluation, "require_meteor", missing)
    monkeypatch.setattr(evaluation, "read_pairs", None)  # would fail if it came to that
    with pytest.raises(DependencyError, match="METEOR needs Java"):
        run(Plan(meteor=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": 5}, "--context goes with --protocol paper2014"),
        ({"protocol": "paper2014", "decoding": Decoding(beam=2)}, "leave out --beam"),
        ({"protocol": "paper2014", "meteor": True}, "leave out --meteor"),
        ({"memory": math.inf}, "memory for scoring must be"),
        ({"memory": math.nan}, "memory for scoring must be"),
        ({"memory": 0.0}, "memory for scoring must be"),
    ],
)
def test_plans_that_contradict_themselves_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        Plan(**options)


@pytest.fixture(scope="module")
def flickr8k_dev(cache):
    if not FLICKR8K.is_dir():
        pytest.skip(f"needs the Flickr8K data in {FLICKR8K}")
    plan = Plan(retrieval="none", health=True)
    examples = read_dataset(FLICKR8K).split("dev")
    captioner = mrnn.load("plain", "cpu")
    source = encoded_by(captioner.encoder, cache)
    return evaluate(captioner, "flickr8k", "dev", examples, plan, source, silent)


def test_the_shipped_model_is_as_good_as_docs_say_on_flickr8k_dev(flickr8k_dev):
    found = flickr8k_dev.document
    assert found["perplexity"] <= 16.3
    assert found["bleu"]["1"] >= 0.585  # .589; the aim of .59 is not reached: docs/experiments.md
    assert found["bleu"]["4"] >= 0.175
    assert found["cider"] >= 0.47
    assert found["distinct_captions"] >= 800
    assert found["signature"]["vocabulary"] == 2539
    assert found["health"]["sees_images"]


def test_the_scores_in_the_card_are_those_measured(flickr8k_dev):
    found = flickr8k_dev.document
    [recorded] = [
        s
        for s in load_bundle(find_bundle("plain")).scores
        if s["signature"]["decoding"] == found["signature"]["decoding"]
    ]
    assert recorded["images"] == found["images"]
    assert recorded["perplexity"] == pytest.approx(found["perplexity"], rel=1e-3)
    assert recorded["bleu"] == pytest.approx(found["bleu"], abs=3e-3)
    assert recorded["cider"] == pytest.approx(found["cider"], abs=1e-2)


def test_retrieval_on_flickr8k_is_as_good_as_docs_say(flickr8k_dev, cache):
    """On the first 60 images: all 1,000 take minutes; docs/results.md has their figures."""
    examples = read_dataset(FLICKR8K).split("dev")[:60]
    captioner = mrnn.load("plain", "cpu")
    source = encoded_by(captioner.encoder, cache)
    found = evaluate(captioner, "flickr8k", "dev", examples, Plan(), source, silent).document
    assert found["image_to_text"]["r1"] >= 57  # 61.7
    assert found["text_to_image"]["r1"] >= 51  # 55.3


def test_faithfulness_is_of_the_captions_that_are_generated(run, captioner, flickr_layout):
    result = run(Plan(retrieval="none", faithfulness=True, seed=3))
    examples = read_dataset(flickr_layout).split("dev")
    expected = measure(
        captioner.model,
        captioner.encoder,
        captioner.vocabulary,
        captioner.prior_terms.mean(0),
        [e.image for e in examples],
        result.captions,
        3,
        lambda done, total: None,
    )
    found = result.document["faithfulness"]
    assert found == expected
    assert found["words"] > 3
    lines = check(result.document)
    [line] = [text for name, text in lines.items() if name.startswith("log P lost")]
    assert line.strip().startswith(f"{found['hottest']:.3f}  (random {found['random']:.3f}, moved")
    assert line.endswith(f"coldest {found['coldest']:.3f}; {found['words']} words)")
    assert "faithfulness" in result.document["seconds"]


def test_without_being_asked_faithfulness_is_not_measured(run):
    document = run(Plan(retrieval="none")).document
    assert document["faithfulness"] is None
    assert not any(name.startswith("log P lost") for name in check(document))


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (
            {"protocol": "paper2014", "faithfulness": True},
            "--faithfulness goes with --protocol coco",
        ),
        ({"quick": True}, "--quick goes with --faithfulness"),
    ],
)
def test_options_of_faithfulness_that_do_not_go_together(plan, message):
    with pytest.raises(UsageError, match=message):
        Plan(**plan)


def test_maps_of_faithfulness_may_be_quick(run, monkeypatch):
    asked = []
    monkeypatch.setattr(evaluation, "measure", lambda *given: asked.append(given[-1]))
    for quick in (False, True):
        plan = Plan(retrieval="none", faithfulness=True, quick=quick)
        assert run(plan).document["faithfulness"] is None
    assert asked == [False, True]


def test_the_default_model_is_better_than_the_plain_one(cache):
    """On the first 150 dev images; docs/results.md has the figures of all."""
    if not FLICKR8K.is_dir():
        pytest.skip(f"needs the Flickr8K data in {FLICKR8K}")
    examples = read_dataset(FLICKR8K).split("dev")[:150]
    found = {}
    for name, how in (("plain", Decoding(beam=5)), ("default", Decoding(consensus=True))):
        captioner = mrnn.load(name, "cpu")
        source = encoded_by(captioner.encoder, cache)
        plan = Plan(how, retrieval="none")
        found[name] = evaluate(captioner, "flickr8k", "dev", examples, plan, source, silent)
    default, plain = (found[name].document for name in ("default", "plain"))
    assert default["perplexity"] < plain["perplexity"]
    assert default["bleu"]["4"] > plain["bleu"]["4"]
    assert default["cider"] > plain["cider"] + 0.03
    assert default["signature"]["decoding"] == (
        "beam 10 by consensus, by the ratio with c 0.2, no 3 words twice, at most 30 words"
    )
