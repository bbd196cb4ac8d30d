"""Tokens are what the ASCII rule says, for every script; a vocabulary survives its file."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mrnn.errors import BundleError
from mrnn.words.text import (
    END,
    PADDING,
    SIGNS,
    START,
    TOKENISER,
    UNKNOWN,
    Vocabulary,
    join,
    tokenise,
)

# Text where the rules meet: marks, scripts without spaces, letters that lower in odd ways.
TRICKY = st.text(
    "aZ0 '.Σσςİıßｶﾞéंी்Đệ́̈̇กาำ့中々がᄀ가ㅏ😀\u200d\u200c\u00ad\u200bශ්රمي\ufe0f\ud800", max_size=12
)
ANY = st.text(max_size=20) | TRICKY | st.tuples(TRICKY, st.text(max_size=5)).map("".join)
ASCII = st.text(st.characters(max_codepoint=127), max_size=30)
fast = settings(deadline=None, max_examples=120)


@given(ASCII)
@fast
def test_ascii_words_are_runs_of_letters_and_digits(text):
    assert tokenise(text) == re.findall("[a-z0-9]+", text.lower())


@given(ASCII)
@fast
def test_ascii_shortcut_equals_the_general_path(text):
    assert tokenise(f"{text} é") == [*tokenise(text), "é"]


@example("a\u0300\u0dca\u200da")  # a virama that is not last where it is decomposed
@given(ANY)
@fast
def test_composed_and_decomposed_text_give_the_same_words(text):
    composed = unicodedata.normalize("NFC", text)
    assert tokenise(composed) == tokenise(unicodedata.normalize("NFD", text)) == tokenise(text)


@given(ANY)
@example("ΑΣ'ΑΣ İΣ")
@example("中 文a中ก็1")
@example("İ்\u200cA")  # whose small letter has a mark that changes places with the virama
@example("İ\u200c்\u200dA")  # where that happens as a joiner goes
@example("a்\u200c中")  # nothing to join
@fast
def test_joined_words_are_read_back(text):
    words = tokenise(text)
    assert tokenise(join(words)) == words


@given(ANY)
@fast
def test_words_are_lower_case_composed_and_hold_no_separator(text):
    for word in tokenise(text):
        assert word == unicodedata.normalize("NFC", word.lower())
        assert unicodedata.category(word[0])[0] in "LN"
        assert all(unicodedata.category(c)[0] in "LNM" or c in "\u200c\u200d" for c in word)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" .,;!?-–— ", []),
        ("A dog's life, isn't it?", ["a", "dog", "s", "life", "isn", "t", "it"]),
        ("the dog’s ball", ["the", "dog", "s", "ball"]),
        ("blue-green x_1", ["blue", "green", "x", "1"]),
        ("dog😀cat 🐶❤️ 👨‍👩‍👧", ["dog", "cat"]),
        ("Ein großer Hund läuft", ["ein", "großer", "hund", "läuft"]),
        ("café CAFÉ cafe\u0301", ["café"] * 3),
        ("Một con cho\u0301", ["một", "con", "chó"]),
        ("Mo\u0323\u0302t = Mo\u0302\u0323t", ["một", "một"]),
        ("हिन्दी में कुत्ता।", ["हिन्दी", "में", "कुत्ता"]),
        ("Ο ΣΚΥΛΟΣ ΤΡΕΧΕΙ", ["ο", "σκυλος", "τρεχει"]),
        ("Собака БЕЖИТ, Ёж", ["собака", "бежит", "ёж"]),
        ("İstanbul KAPI ılık", ["i\u0307stanbul", "kapi", "ılık"]),
        ("كلبٌ يجري", ["كلبٌ", "يجري"]),
        ("一只狗在跑。Dog狗2", [*"一只狗在跑", "dog", "狗", "2"]),
        ("いぬがコーヒー", list("いぬがコーヒー")),
        ("か\u3099", ["が"]),
        ("หมาวิ่ง", ["ห", "ม", "า", "วิ่", "ง"]),
        ("개가 달린다", ["개가", "달린다"]),
        ("\u0301 \u0301a", ["a"]),  # a mark without a letter
        ("٣ கால்", ["٣", "கால்"]),
    ],
)
def test_words_of_many_scripts(text, words):
    assert tokenise(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("snow\u00adboard", ["snowboard"]),
        ("snow\u200dboard do\u200cg", ["snowboard", "dog"]),  # no letter is shaped by them
        ("\ufeffa\u2060dog\u200e \u202bruns\u202c", ["adog", "runs"]),
        ("caf\u00ade\u0301 e\u00ad\u0301", ["café", "é"]),
        ("ශ්\u200dරී ක්\u200dෂ", ["ශ්\u200dරී", "ක්\u200dෂ"]),  # Sinhala
        ("می\u200cدود کتاب\u200cها", ["می\u200cدود", "کتاب\u200cها"]),  # Persian
        ("می\u200d دود\u200c", ["می", "دود"]),  # at the end of a word they say nothing
        ("می\u200cdog", ["میdog"]),
        ("a\u200bdog", ["a", "dog"]),  # a space, though of no width
        ("👨\u200d👩 dog", ["dog"]),
    ],
)
def test_characters_of_no_width_are_inside_their_word(text, words):
    assert tokenise(text) == words
    assert tokenise(" ".join(words)) == words


def test_the_first_rules_stay_for_models_that_were_trained_with_them():
    assert tokenise("snow\u00adboard می\u200cدود", "words-1") == ["snow", "board", "می", "دود"]
    old = Vocabulary((*SIGNS, "snow", "board"), tokeniser="words-1")
    assert old.tokenise("snow\u00adboard") == ["snow", "board"]
    assert UNKNOWN not in old.encode("snow\u00adboard")
    assert Vocabulary.from_json(old.to_json()) == old
    assert old.counted(["snow\u00adboard"]).captions == (0, 0, 0, 0, 1, 1)
    grown = Vocabulary.build(["snow\u00adman"], 1, old)  # whoever goes on keeps the rules
    assert (grown.words[4:], grown.tokeniser) == (("snow", "board", "man"), "words-1")
    assert Vocabulary.build(["snow\u00adman"], 1).tokeniser == TOKENISER == "words-2"


def test_join_writes_spaces_only_where_scripts_have_them():
    assert join([]) == ""
    assert join(["a", "dog", "2"]) == "a dog 2"
    assert join(["一", "只", "狗", "dog", "狗"]) == "一只狗 dog 狗"


def test_signs_come_first():
    assert (PADDING, START, END, UNKNOWN) == (0, 1, 2, 3)
    assert SIGNS == ("##PADDING##", "##START##", "##END##", "##UNK##")
    with pytest.raises(BundleError, match="must begin with the signs ##PADDING##, ##START##"):
        Vocabulary(("a", "dog"))


@given(st.lists(ANY | ASCII, max_size=6), st.integers(1, 4))
@fast
def test_vocabulary_holds_frequent_words_by_count_then_spelling(sentences, at_least):
    counts = Counter(word for s in sentences for word in tokenise(s))
    kept = [word for word in counts if counts[word] >= at_least]
    kept.sort()
    kept.sort(key=lambda word: counts[word], reverse=True)
    assert Vocabulary.build(sentences, at_least).words == (*SIGNS, *kept)


def test_vocabulary_order_and_cut():
    sentences = ["B c. B a", "b A c d"]
    assert Vocabulary.build(sentences, 1).words[4:] == ("b", "a", "c", "d")
    assert Vocabulary.build(sentences, 2).words[4:] == ("b", "a", "c")
    assert Vocabulary.build(iter([]), 1).words == SIGNS


def test_encode_and_decode():
    vocabulary = Vocabulary((*SIGNS, "a", "dog"))
    assert len(vocabulary) == 6
    assert "dog" in vocabulary
    assert "cat" not in vocabulary
    assert vocabulary.encode("A dog, a cat!") == [4, 5, 4, UNKNOWN]
    assert vocabulary.decode([START, 4, 5, UNKNOWN, END]) == [SIGNS[1], "a", "dog", *SIGNS[:1:-1]]
    assert vocabulary.encode("") == vocabulary.decode([]) == []


@given(st.lists(ANY, min_size=1, max_size=5))
@fast
def test_known_sentences_survive_encoding(sentences):
    vocabulary = Vocabulary.build(sentences, 1)
    for sentence in sentences:
        assert vocabulary.decode(vocabulary.encode(sentence)) == tokenise(sentence)


@given(ANY)
@fast
def test_vocabulary_survives_its_file(text):
    words = dict.fromkeys(tokenise(text))
    vocabulary = Vocabulary((*SIGNS, *words))
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary


@pytest.mark.parametrize("word", ["a b", "Dog", "\x1b[31m", "dog\n", "it's"])
def test_words_that_the_tokeniser_would_not_make_are_refused(word):
    with pytest.raises(BundleError, match="is not a word as the tokeniser makes them"):
        Vocabulary.from_json(Vocabulary((*SIGNS, word)).to_json())


def test_vocabulary_file_is_readable():
    text = Vocabulary((*SIGNS, "狗")).to_json()
    assert json.loads(text) == {"tokeniser": TOKENISER, "words": [*SIGNS, "狗"]}
    assert '\n"狗"\n' in text


def written(**changes: object) -> str:
    return json.dumps({"tokeniser": TOKENISER, "words": [*SIGNS, "a"], **changes})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", 'expected an object with the keys "tokeniser" and "words"'),
        ("null", "expected an object"),
        ('{"words": []}', "expected an object with the keys"),
        (written(more=1), "expected an object with the keys"),
        (written(tokeniser="words-0"), "made with the tokeniser 'words-0'; this version has"),
        (written(tokeniser=[1]), r"made with the tokeniser \[1\]"),
        (written(words="abc"), '"words" must be a list of non-empty strings'),
        (written(words=[*SIGNS, ""]), "list of non-empty strings"),
        (written(words=[*SIGNS, 5]), "list of non-empty strings"),
        (written(words=[]), "must begin with the signs"),
        (written(words=["a", *SIGNS]), "must begin with the signs"),
        (written(words=[*SIGNS, "a", "b", "a"]), "holds the word 'a' twice"),
        (written(words=[*SIGNS, "##END##"]), "holds the word '##END##' twice"),
    ],
)
def test_bad_vocabulary_files_say_what_is_wrong(text, message):
    with pytest.raises(BundleError, match=message):
        Vocabulary.from_json(text)


def test_known_words_are_encoded_alone():
    known = Vocabulary((*SIGNS, "a", "dog"))
    assert known.decode(known.encode_known("A zebra, a DOG and ##UNK##!")) == ["a", "a", "dog"]
    assert known.encode_known("") == known.encode_known("zebra") == []
    assert known.encode_known("a dog") == known.encode("a dog")
