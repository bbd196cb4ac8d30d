"""The Captioner: captions, scores and their bookkeeping, with the real encoder."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import mrnn
from conftest import WORDS
from libraries import save_seeing, seeing, threshold
from mrnn.captioner import Captioner
from mrnn.config import Decoding
from mrnn.errors import BundleError, ImageError, UsageError
from mrnn.images.reading import Preprocessing
from mrnn.model.bundle import EncoderIdentity, save_bundle
from mrnn.model.consensus import gathered
from mrnn.words.text import SIGNS, Vocabulary, tokenise


@pytest.mark.parametrize(
    "how",
    [
        Decoding(),
        Decoding(beam=3, n_best=3),
        Decoding(consensus=True, n_best=3),
        Decoding(temperature=2.0),
        Decoding(prefix="a dog"),
    ],
)
def test_a_caption_has_the_log_probability_that_score_gives_it(captioner, picture, how):
    photo = picture("a.jpg")
    caption = captioner.caption(photo, how)
    for one in (caption, *caption.n_best):
        assert one.logprob == pytest.approx(sum(word.logprob for word in one.words))
        assert one.perplexity == pytest.approx(math.exp(-one.logprob / len(one.words)))
        assert one.text.split() == [w.text for w in one.words if w.text != "##END##"]
        assert one.complete == (one.words[-1].text == "##END##")
        if one.complete:
            [score] = captioner.score(photo, [one.text])
            assert score.logprob == pytest.approx(one.logprob, abs=1e-4)
            assert score.unknown == ()


def test_a_prefix_is_kept_and_marked(captioner, picture):
    caption = captioner.caption(picture("a.jpg"), Decoding(prefix="The dog"))
    assert caption.text.startswith("the dog")
    assert [word.given for word in caption.words[:3]] == [True, True, False]


def test_options_may_be_given_by_name(captioner, picture):
    photo = picture("a.jpg")
    by_name = captioner.caption(photo, beam=3, n_best=2)
    assert by_name == captioner.caption(photo, Decoding(beam=3, n_best=2, alternatives=4))
    assert len(by_name.n_best) == 2
    [many] = captioner.caption_many([photo], beam=3)
    assert many.text == by_name.text
    with pytest.raises(TypeError, match="beams"):
        captioner.caption_many([photo], beams=3)


def agreeing_on(captioner, photo, sentence):
    """The captioner, made to know training images that are like a photo and were called this."""
    term = captioner.terms_of(photo)[0]
    rng = np.random.default_rng(0)
    near = term + rng.normal(size=(30, len(term))) * 0.01
    terms = np.concatenate([near, -near]).astype(np.float32)
    words = captioner.vocabulary.encode(sentence)
    others = captioner.vocabulary.encode("snow in the snow in the snow")
    found = gathered([[words]] * 30 + [[others]] * 30, terms)
    bundle = replace(captioner.bundle, consensus=found)
    return Captioner(bundle, captioner.encoder, captioner.device)


def test_consensus_puts_first_what_similar_pictures_were_called(picture):
    captioner, photo = seeing(seed=3), picture("a.jpg")
    beam = captioner.caption(photo, Decoding(beam=10, n_best=10))
    for wanted in beam.n_best[2::3]:
        agreeing = agreeing_on(captioner, photo, wanted.text)
        found = agreeing.caption(photo, Decoding(consensus=True, n_best=10))
        assert found.text == wanted.text
        assert found.logprob == pytest.approx(wanted.logprob)
        assert {c.text for c in found.n_best} == {c.text for c in beam.n_best}
        one = agreeing.caption(photo, consensus=True, alternatives=0)
        assert (one.text, one.n_best) == (wanted.text, ())


def test_a_consensus_does_not_depend_on_the_pictures_beside(picture):
    photos = [picture(f"{i}.jpg") for i in range(5)]
    captioner = agreeing_on(seeing(), photos[3], "a dog sits in the snow")
    together = list(captioner.caption_many(photos, consensus=True, n_best=4))
    assert together == [
        captioner.caption(p, consensus=True, n_best=4, alternatives=0) for p in photos
    ]


def test_consensus_keeps_the_prefix_and_a_sentence_that_was_cut_off(picture):
    photo = picture("a.jpg")
    captioner = agreeing_on(seeing(seed=3), photo, "a cat")
    how = Decoding(consensus=True, beam=4, n_best=4, prefix="the cat", max_length=3)
    found = captioner.caption(photo, how).n_best
    assert [c.complete for c in found] == sorted((c.complete for c in found), reverse=True)
    assert {c.complete for c in found} == {True, False}  # though cut off, some agree better
    for caption in found:
        assert caption.text.startswith("the cat")
        assert caption.complete == (caption.words[-1].text == "##END##")


def test_a_model_without_consensus_says_so(picture):
    whole = seeing()
    captioner = Captioner(replace(whole.bundle, consensus=None), whole.encoder)
    with pytest.raises(UsageError, match="how training images were described"):
        captioner.caption_many([picture("a.jpg")], consensus=True)  # before any picture is read


def test_alternatives_are_the_most_probable_words(captioner, picture):
    caption = captioner.caption(picture("a.jpg"), Decoding(alternatives=3))
    for word in caption.words:
        logprobs = [logprob for _, logprob in word.alternatives]
        assert len(logprobs) == 3
        assert logprobs == sorted(logprobs, reverse=True)
        assert logprobs[0] >= word.logprob - 1e-5


def test_many_images_keep_their_order_and_errors_their_place(captioner, picture, tmp_path):
    photos = [picture(f"{i}.jpg", seed=i) for i in range(3)]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not an image")
    results = list(captioner.caption_many([photos[0], broken, photos[1], "absent", photos[2]]))
    assert [isinstance(r, ImageError) for r in results] == [False, True, False, True, False]
    alone = [captioner.caption(photo, Decoding()) for photo in photos]
    assert [r.text for r in results if not isinstance(r, ImageError)] == [c.text for c in alone]
    assert "broken.jpg" in str(results[1])


def test_sampling_follows_the_seed(captioner, picture):
    photo = picture("a.jpg")
    texts = [
        captioner.caption(photo, Decoding(temperature=3.0, seed=seed)).text
        for seed in (1, 1, 2, 3, 4)
    ]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


def test_the_log_ratio_is_against_the_prior(captioner, picture):
    [score] = captioner.score(picture("a.jpg"), ["a dog runs"])
    with_prior = [
        captioner.score_feature(feature.astype(np.float32), ["a dog runs"])[0].logprob
        for feature in captioner.bundle.prior
    ]
    prior = math.log(sum(map(math.exp, with_prior)) / len(with_prior))
    assert score.log_ratio == pytest.approx(score.logprob - prior, abs=1e-4)


def test_log_ratios_of_many_are_those_of_score(captioner):
    features = np.random.default_rng(5).random((3, 1280)).astype(np.float32)
    sentences = ["a dog runs", "the cat", "dog"]
    ratios = captioner.log_ratios(features, sentences)
    for i, feature in enumerate(features):
        scores = captioner.score_feature(feature, sentences)
        assert ratios[:, i] == pytest.approx([s.log_ratio for s in scores], abs=1e-3)


SENTENCES = [
    "a dog runs",
    "zebra quagga",
    "dog",
    "The cat sits!",
    "the cat sits",
    "snow " * 40,
    "a",
]


def test_unknown_words(captioner):
    assert captioner.unknown_words("A zebra, a dog and a QUAGGA: zebra") == (
        "zebra",
        "and",
        "quagga",
        "zebra",
    )
    assert captioner.unknown_words("") == captioner.unknown_words("A dog runs.") == ()


def content_all(captioner: Captioner) -> None:
    """Have all known words tell pictures apart."""
    vars(captioner.trust)["content_words"] = np.ones(len(captioner.vocabulary), dtype=bool)


def known_part(captioner: Captioner, sentence: str) -> str:
    """A sentence without the words that the model lacks."""
    return " ".join(word for word in tokenise(sentence) if word in captioner.vocabulary)


def test_an_unknown_word_has_no_part_in_the_log_ratio(captioner, picture):
    photo = picture("a.jpg")
    content_all(captioner)
    pairs = [("a zebra dog runs", "a dog runs"), ("the zebra zebra", "the")]
    for whole, known in pairs:
        given, alone = captioner.score(photo, [whole, known])
        assert given.log_ratio == pytest.approx(alone.log_ratio, abs=1e-4)
        assert given.logprob == pytest.approx(sum(w.logprob for w in given.words), rel=1e-5)
        assert given.logprob != pytest.approx(alone.logprob, abs=0.1)  # P(s|I) has all words


def test_unknown_words_gain_nothing(captioner, picture):
    """Nothing is known of how well a sentence fits that has no word which tells pictures apart."""
    photo, said = picture("a.jpg"), ["zebra quagga", "a dog runs", "the zebra"]
    vars(captioner.trust)["content_words"] = np.arange(len(captioner.vocabulary)) > 6
    assert [score.log_ratio is None for score in captioner.score(photo, said)] == [
        *(not captioner.understands(sentence) for sentence in said)
    ]
    assert captioner.score(photo, said)[0].log_ratio is None
    ranking = captioner.rank_sentences(photo, said)
    assert "zebra quagga" not in {match.item for match in ranking.matches}
    assert ranking.unknown == ("zebra", "quagga")
    alone = captioner.rank_sentences(photo, ["quagga"])
    assert (alone.matches, alone.unknown) == ((), ("quagga",))
    assert "quagga; left out, and so are sentences" in str(alone)


def test_one_is_sure_of_no_unknown_word(picture):
    captioner, photo = mrnn.load(device="cpu"), picture("a.jpg")
    assert captioner.explain(photo, "zorglub", quick=True).caption.main_word is None
    assert captioner.explain(photo, "zorglub", quick=True).caption.sure is None
    assert captioner.explain(photo, "a zorglub dog", quick=True).caption.main_word in ("a", "dog")


@pytest.mark.parametrize("empty", ["", "  ", "?!"])
def test_a_sentence_has_words(captioner, picture, tmp_path, empty):
    said = pytest.raises(UsageError, match=r"is no sentence: it has no words$")
    gone = tmp_path / "gone.jpg"  # the sentence is looked at first
    with said:
        captioner.score(gone, ["a dog", empty])
    with said:
        captioner.rank_sentences(gone, ["a dog", empty])
    with said:
        captioner.rank_images(empty, [gone])
    with said:
        captioner.explain(picture("a.jpg"), empty)
    with said:
        captioner.rank_features(empty, ["a"], [np.zeros(5)])


def test_pictures_are_told_apart_by_words_that_say_something():
    captioner = mrnn.load(device="cpu")
    for nothing in ("zzyzx", "a zzyzx", "the zzyzx is on a quxquux", "zzyzx and zzyzx with some"):
        assert not captioner.understands(nothing)
    for something in ("a dog", "a dog and a zzyzx", "a blue zzyzx", "a", "is there a", ""):
        assert captioner.understands(something)  # what has no unknown word is always tried


def test_nothing_is_ranked_by_words_that_say_nothing(picture):
    captioner = mrnn.load(device="cpu")
    photos = [picture(f"{i}.jpg", seed=i) for i in range(2)]
    ranking = captioner.rank_images("a zzyzx and a quxquux", photos)
    assert (ranking.matches, ranking.unknown) == ((), ("zzyzx", "quxquux"))
    ranking = captioner.rank_images("a dog and a zzyzx", photos)
    alone = captioner.rank_images("a dog and a", photos)
    assert (ranking.matches, ranking.unknown) == (alone.matches, ("zzyzx",))


@pytest.mark.parametrize("k", [None, 1, 2, 7, 50])
def test_ranked_sentences_are_in_the_order_of_their_scores(captioner, picture, k):
    photo = picture("a.jpg")
    content_all(captioner)
    scores = [score for score in captioner.score(photo, SENTENCES) if score.log_ratio is not None]
    assert len(scores) == len(SENTENCES) - 1
    expected = sorted(scores, key=lambda score: -round(score.log_ratio, 3))[:k]
    ranking = captioner.rank_sentences(photo, SENTENCES, k)
    assert ranking.query == str(photo)
    assert ranking.errors == ()
    assert [match.item for match in ranking.matches] == [score.sentence for score in expected]
    assert [match.rank for match in ranking.matches] == list(range(1, len(expected) + 1))
    for match in ranking.matches:
        [score] = captioner.score(photo, [known_part(captioner, match.item)])
        assert match.logprob == pytest.approx(score.logprob, rel=1e-5, abs=1e-4)
        assert match.perplexity == pytest.approx(score.perplexity, rel=1e-4)
        assert match.log_ratio == pytest.approx(score.log_ratio, abs=2e-3)


def test_equal_sentences_keep_their_order(captioner, picture):
    content_all(captioner)
    again = ["A dog", "the snow", "a dog!", "a dog", "snow zebra", "quagga snow"]
    items = [match.item for match in captioner.rank_sentences(picture("a.jpg"), again).matches]
    assert [item for item in items if "dog" in item] == ["A dog", "a dog!", "a dog"]
    assert [item for item in items if "snow " in f"{item} "][1:] == ["snow zebra", "quagga snow"]
    many = [f"dog quagga{i}" for i in range(300)]  # these are unknown, so all are equal
    found = captioner.rank_sentences(picture("a.jpg"), many, 3).matches
    assert [match.item for match in found] == many[:3]


@pytest.mark.parametrize("k", [0, -1, 1.5, "3"])
def test_no_places_are_refused_before_any_picture_is_read(captioner, tmp_path, k):
    with pytest.raises(UsageError, match=f"k must be a whole number, 1 or more, not {k!r}"):
        captioner.rank_sentences(tmp_path / "gone.jpg", ["a dog"], k)
    with pytest.raises(UsageError, match=f"k must be a whole number, 1 or more, not {k!r}"):
        captioner.rank_images("a dog", [tmp_path / "gone.jpg"], k)


def test_images_may_be_any_iterable(captioner, picture):
    photos, seen = [picture(f"{i}.jpg", seed=i) for i in range(3)], []
    expected = captioner.rank_images("a dog runs", photos)
    assert captioner.rank_images("a dog runs", iter(photos), None, lambda *at: seen.append(at)) == (
        expected
    )
    assert seen[-1] == (3, 3)
    names = {str(photo): None for photo in photos}
    assert captioner.rank_images("a dog runs", names).matches == expected.matches


def test_nothing_to_rank(captioner, picture, tmp_path):
    assert captioner.rank_sentences(picture("a.jpg"), []).matches == ()
    ranking = captioner.rank_images("a dog", [])
    assert (ranking.query, ranking.matches, ranking.errors) == ("a dog", (), ())
    with pytest.raises(ImageError, match="gone"):
        captioner.rank_sentences(tmp_path / "gone.jpg", ["a dog"])


@pytest.mark.parametrize("sentence", ["a dog runs", "a zebra dog"])
@pytest.mark.parametrize("k", [None, 1, 3, 50])
def test_ranked_images_are_in_the_order_of_perplexity(captioner, picture, sentence, k):
    photos = [picture(f"{i}.jpg", seed=i) for i in range(4)]
    content_all(captioner)
    known = known_part(captioner, sentence)
    scores = {str(photo): captioner.score(photo, [known])[0] for photo in photos}
    expected = sorted(scores, key=lambda path: scores[path].perplexity)[:k]
    ranking = captioner.rank_images(sentence, photos, k)
    assert (ranking.query, ranking.errors) == (sentence, ())
    assert [match.item for match in ranking.matches] == expected
    assert [match.rank for match in ranking.matches] == list(range(1, len(expected) + 1))
    for match in ranking.matches:
        score = scores[match.item]
        assert match.logprob == pytest.approx(score.logprob, abs=1e-3)
        assert match.perplexity == pytest.approx(score.perplexity, rel=1e-3)
        assert match.log_ratio == pytest.approx(score.log_ratio, abs=2e-3)


@pytest.mark.parametrize("batch", [2, 64])
def test_pictures_that_cannot_be_read_do_not_stop_a_ranking(
    monkeypatch, captioner, picture, tmp_path, batch
):
    monkeypatch.setattr("mrnn.captioner._BATCH", batch)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not an image")
    good = [picture(f"{i}.jpg", seed=i) for i in range(3)]
    photos, seen = [broken, tmp_path / "gone.jpg", good[0], good[1], broken, good[2]], []
    ranking = captioner.rank_images("a dog runs", photos, None, lambda *at: seen.append(at))
    alone = captioner.rank_images("a dog runs", good)
    assert [m.item for m in ranking.matches] == [m.item for m in alone.matches]
    assert [m.logprob for m in ranking.matches] == pytest.approx([m.logprob for m in alone.matches])
    assert [path for path, _ in ranking.errors] == [str(photos[i]) for i in (0, 1, 4)]
    assert all(isinstance(error, ImageError) for _, error in ranking.errors)
    assert "gone.jpg" in str(ranking.errors[1][1])
    assert seen[-1] == (6, 6)
    assert len(seen) == math.ceil(6 / batch)


def test_no_picture_can_be_read(captioner, tmp_path):
    ranking = captioner.rank_images("a dog", [tmp_path / "gone.jpg", tmp_path / "lost.jpg"])
    assert ranking.matches == ()
    assert [path for path, _ in ranking.errors] == [
        str(tmp_path / "gone.jpg"),
        str(tmp_path / "lost.jpg"),
    ]


def test_equal_pictures_keep_their_order(captioner, picture):
    photos = [picture("b.jpg"), picture("a.jpg"), picture("c.jpg")]
    found = captioner.rank_images("a dog", photos).matches
    assert [match.item for match in found] == [str(photo) for photo in photos]


@pytest.mark.parametrize("sentence", ["zebra quagga", "a dog " * 100, "A DOG, runs!"])
def test_any_sentence_can_be_scored(captioner, picture, sentence):
    [score] = captioner.score(picture("a.jpg"), [sentence])
    assert math.isfinite(score.logprob)
    assert score.sentence == sentence
    assert score.words[-1].text == "##END##"
    assert score.unknown == tuple(w for w in sentence.lower().split() if w in {"zebra", "quagga"})


def test_no_sentences_no_scores(captioner, picture):
    assert captioner.score(picture("a.jpg"), []) == []


def test_nearest_words_equal_a_plain_search(captioner):
    w = captioner.model.word_representation(np.arange(len(captioner.vocabulary)))
    dog = captioner.vocabulary.index("dog")
    distances = {
        word: float(np.linalg.norm(w[i] - w[dog]))
        for i, word in enumerate(captioner.vocabulary.words)
        if word not in SIGNS and word != "dog"
    }
    expected = sorted(distances.items(), key=lambda item: item[1])[:3]
    found = captioner.nearest_words("Dog", 3)
    assert [word for word, _ in found] == [word for word, _ in expected]
    assert [d for _, d in found] == pytest.approx([d for _, d in expected])
    assert len(captioner.nearest_words("dog", 100)) == len(WORDS) - 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": 0}, "must be 1 or more"),
        ({"beam": 101}, "too wide"),
        ({"n_best": 4, "beam": 3}, "needs a beam at least as wide"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"ratio": -0.1}, "the ratio must be from 0 to 1, not -0.1"),
        ({"ratio": 1.5}, "the ratio must be from 0 to 1, not 1.5"),
        ({"ratio": float("nan")}, "the ratio must be from 0 to 1, not nan"),
        ({"temperature": 1.0, "beam": 3}, "sampling goes with neither"),
        ({"temperature": 1.0, "consensus": True}, "sampling does not go with consensus"),
        ({"n_best": 4, "beam": 3, "consensus": True}, "needs a beam at least as wide, not 3"),
        ({"n_best": 101, "consensus": True}, "too wide"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        Decoding(**options)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (Decoding(prefix="a zebra"), "does not know the word 'zebra'"),
        (Decoding(prefix="a dog runs", max_length=2), "longer than the 2 words"),
    ],
)
def test_a_prefix_that_cannot_be_is_refused(captioner, picture, how, message):
    with pytest.raises(UsageError, match=message):
        captioner.caption(picture("a.jpg"), how)


def test_load_finds_a_directory_and_refuses_an_encoder_of_another_size(tiny_bundle, tmp_path):
    save_bundle(tiny_bundle, tmp_path / "model")
    assert mrnn.load(tmp_path / "model").caption_features(np.zeros((1, 0))) != []
    larger = EncoderIdentity("none", "", Preprocessing(size=2))
    save_bundle(replace(tiny_bundle, encoder=larger), tmp_path / "other")
    message = r"other: input 2 pixels and feature 0, but none has 1 and 0; get a fresh copy"
    with pytest.raises(BundleError, match=message):
        mrnn.load(tmp_path / "other")


def test_a_gpu_that_is_not_there_is_a_clear_error():
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("there may be a GPU")
    with pytest.raises(UsageError, match=r"cannot use a GPU; type: pip install onnxruntime-gpu"):
        mrnn.load(device="cuda")
    assert mrnn.load("plain", device="auto").device == "cpu"


def test_a_device_of_another_name_is_refused():
    with pytest.raises(UsageError, match=r"unknown device 'cuda:1'; known: auto, cpu, cuda"):
        mrnn.load(device="cuda:1")


def test_samples_follow_their_seed_and_are_of_many_kinds(captioner, picture):
    paths = [picture(f"{i}.jpg", seed=i) for i in range(3)]

    def samples(seed, temperature=2.0):
        how = Decoding(temperature=temperature, seed=seed)
        return [caption.text for caption in captioner.caption_many(paths, how)]

    assert samples(1) == samples(1)
    assert len({tuple(samples(seed)) for seed in range(5)}) == 5
    greedy = [caption.text for caption in captioner.caption_many(paths)]
    assert samples(1, 1e-50) == greedy


def test_image_terms_caption_and_rank_as_their_pictures_do(captioner, picture):
    photos = [picture(f"{i}.jpg", seed=i) for i in range(4)]
    terms = np.concatenate([captioner.terms_of(photo) for photo in photos])
    assert terms.shape == (4, captioner.model.config.multimodal)
    for how in (Decoding(), Decoding(beam=3, n_best=2), Decoding(prefix="the cat")):
        found = captioner.caption_terms(terms, how)
        expected = list(captioner.caption_many(photos, how))
        assert [caption.text for caption in found] == [caption.text for caption in expected]
        assert [caption.logprob for caption in found] == pytest.approx(
            [caption.logprob for caption in expected], abs=1e-3
        )
        assert [len(caption.n_best) for caption in found] == [how.n_best] * 4
        unjudged = captioner.caption_terms(terms, how, sure=False)
        assert [replace(c, strangeness=None, main_word=None, sure=None) for c in found] == unjudged
    ranked = captioner.rank_terms("a dog runs", terms, 3)
    twin = captioner.rank_images("a dog runs", photos, 3).matches
    assert [str(photos[i]) for i, *_ in ranked] == [match.item for match in twin]
    for (_, logprob, perplexity, ratio), match in zip(ranked, twin, strict=True):
        assert (logprob, perplexity, ratio) == pytest.approx(
            (match.logprob, match.perplexity, match.log_ratio), abs=1e-3, rel=1e-3
        )
    assert captioner.rank_terms("a dog", terms[:0]) == []


def test_equal_terms_tie_in_their_order(captioner, picture):
    term = captioner.terms_of(picture("a.jpg"))
    other = captioner.terms_of(picture("b.jpg", seed=1))
    ranked = captioner.rank_terms("a dog", np.concatenate([term, other, term, term]))
    same = [(i, logprob) for i, logprob, *_ in ranked if i != 1]
    assert [i for i, _ in same] == [0, 2, 3]
    assert len({logprob for _, logprob in same}) == 1


def test_the_identity_is_of_all_that_a_vector_depends_on():
    first = seeing()
    assert len(first.identity) == 64
    assert seeing().identity == first.identity
    assert seeing(seed=3).identity != first.identity
    bundle = first.bundle
    other = EncoderIdentity("pixels", "1" * 64, bundle.encoder.preprocessing)
    words = Vocabulary((*bundle.vocabulary.words[:-1], "ice"))
    for changed in (replace(bundle, encoder=other), replace(bundle, vocabulary=words)):
        assert Captioner(changed, first.encoder, first.device).identity != first.identity
    same = replace(bundle, training={"data": "cats"}, match=threshold())
    assert Captioner(same, first.encoder, first.device).identity == first.identity


def test_the_source_of_a_model_holds_wherever_one_goes(tmp_path, monkeypatch):
    save_seeing(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    assert mrnn.load("model").source == str(tmp_path / "model")
    assert mrnn.load(tmp_path / "model").source == str(tmp_path / "model")
    assert seeing().source == ""
    assert mrnn.load("plain").source == "plain"


@pytest.mark.parametrize("options", [{}, {"beam": 3, "n_best": 2}])
def test_a_caption_has_the_same_bits_alone_and_in_company(captioner, picture, options):
    paths = [picture(f"{i}.jpg", seed=i) for i in range(20)]
    together = list(captioner.caption_many(paths, **options))
    for path, caption in list(zip(paths, together, strict=True))[::6]:
        assert next(iter(captioner.caption_many([path], **options))) == caption


@pytest.mark.parametrize("one", ["a.jpg", Path("a.jpg"), b"a.jpg"])
def test_one_where_several_are_meant_is_refused(captioner, picture, one):
    """Its letters would be captioned or scored one by one."""
    said = pytest.raises(UsageError, match=r"are one \w+, not several: give \[")
    with said:
        captioner.caption_many(one)
    with said:
        captioner.rank_images("a dog", one)
    with said:
        captioner.score(picture("a.jpg"), one)
    with said:
        captioner.rank_sentences(picture("a.jpg"), one)


@pytest.mark.parametrize(
    "options", [{"beam": "3"}, {"ratio": "x"}, {"seed": 1.5}, {"prefix": None}, {"n_best": None}]
)
def test_options_of_another_type_are_refused(options):
    [(name, value)] = options.items()
    with pytest.raises(UsageError, match=f"^{name} must be .*, not {value!r}$"):
        Decoding(**options)


class Series:
    """As pandas has it: by labels, in an order of its own, and neither true nor false."""

    def __init__(self, values: list[str], labels: list[int]) -> None:
        self.values, self.labels = values, labels

    def __iter__(self):
        return iter(self.values)

    def __len__(self):
        return len(self.values)

    def __getitem__(self, label):
        return self.values[self.labels.index(label)]

    def __bool__(self):
        raise ValueError("The truth value of a Series is ambiguous")


def test_sentences_may_be_any_kind_of_list(captioner, picture):
    photo, said = picture("a.jpg"), ["a dog runs", "the cat sits", "snow"]
    scores, ranking = captioner.score(photo, said), captioner.rank_sentences(photo, said)
    feature = captioner.encoder.encode(captioner._look(photo).pixels[None])
    for make in (
        lambda: Series(said, [2, 0, 1]),
        lambda: np.array(said, dtype=object),
        lambda: iter(said),
        lambda: dict.fromkeys(said),
    ):
        assert captioner.score(photo, make()) == scores
        assert captioner.rank_sentences(photo, make()) == ranking
        assert captioner.score_feature(feature[0], make()) == scores
        assert captioner.log_ratios(feature, make()).shape == (3, 1)


@pytest.mark.parametrize("none", [None, 3])
def test_what_is_no_list_is_refused(captioner, picture, none):
    said = pytest.raises(UsageError, match=r"^\w+ are meant, not a \w+: give a list$")
    with said:
        captioner.caption_many(none)
    with said:
        captioner.rank_images("a dog", none)
    for method in (captioner.score, captioner.rank_sentences):
        with said:
            method(picture("a.jpg"), none)


def test_a_caption_as_text_is_its_sentence(captioner, picture):
    caption = captioner.caption(picture("a.jpg"))
    assert f"{caption}" == caption.text != ""
