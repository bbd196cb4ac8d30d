"""`mrnn check` says what a data set holds, finds every fault, and changes nothing."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from albums import album, slow_pairs
from dataset_layouts import LAYOUTS
from mrnn.commands.cli import app
from mrnn.datasets import SPLITS, Example, Problem
from mrnn.datasets.advice import few_captions
from mrnn.datasets.caption_check import CUTS, Captions, caption_figures, vocabulary_figures
from mrnn.datasets.check import SHOWN, check, check_lines
from mrnn.datasets.picture_check import Pictures, picture_figures
from mrnn.images.duplicates import is_even
from mrnn.images.finding import Member
from mrnn.words.text import UNKNOWN, Vocabulary, tokenise

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "check.json").read_text())


def run(*arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `mrnn check`."""
    texts = ["check", *map(str, arguments)]
    result = CliRunner().invoke(app, texts, catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def document(*arguments: object) -> tuple[int, dict]:
    """Exit code and JSON of `mrnn check`, checked against its schema."""
    code, out, _ = run(*arguments, "--json")
    return code, valid(json.loads(out))


def valid(found: dict) -> dict:
    jsonschema.validate(found, SCHEMA, jsonschema.Draft202012Validator)
    return found


def shown(data: Path, *options: str) -> dict[str, str]:
    """The lines of text by their names."""
    lines = run(data, *options)[1].splitlines()
    return {line[:26].strip(): line[26:].strip() for line in lines}


def made_up(*examples: tuple[str, str, list[str]], problems: tuple[Problem, ...] = ()):
    """A data set of (image, split, sentences)."""
    return SimpleNamespace(
        name="birds",
        format="made up",
        split_origin="by hand",
        examples=[Example(Path(i), tuple(sentences), s) for i, s, sentences in examples],
        problems=problems,
    )


@contextmanager
def silent(what: str, unit: str):
    yield lambda done, total: None


def captions_of(*examples: tuple[str, str, list[str]]) -> Captions:
    return Captions(made_up(*examples), lambda done, total: None)


def test_a_sound_data_set(flickr_layout):
    code, d = document(flickr_layout)
    assert code == 0
    assert (d["trainable"], d["reason"], d["problems"]) == (True, None, [])
    assert d["data"] == "birds"
    assert d["folders"] == [{"folder": str(flickr_layout / "Flicker8k_Dataset"), "images": 11}]
    assert d["splits"] == {
        "train": {"images": 8, "sentences": 16, "unreadable": 0},
        "dev": {"images": 3, "sentences": 6, "unreadable": 0},
        "test": {"images": 0, "sentences": 0, "unreadable": 0},
    }
    c = d["captions"]
    assert c["an_image"] == {"least": 2, "median": 2, "most": 2, "images_with_one": 0}
    assert {k: c["words"][k] for k in ("median", "percentile_95", "longest", "longer")} == {
        "median": 4.5,
        "percentile_95": 6,
        "longest": 6,
        "longer": 0,
    }
    assert (c["distinct_in_train"], c["repeated_in_train"]["share"]) == (4, 1)
    assert c["scripts"] == {"Latin": 1}
    p = d["pictures"]
    assert (p["read"], p["unreadable"], p["leakage"], p["all_near_found"]) == (11, 0, [], True)
    assert all(kind["groups"] == 0 for of in p["copies"].values() for kind in of.values())


def test_the_same_in_text(flickr_layout):
    code, out, err = run(flickr_layout)
    assert (code, err) == (0, "")
    assert out.startswith("birds: ")
    lines = shown(flickr_layout)
    assert lines["pictures in"] == f"{flickr_layout / 'Flicker8k_Dataset'} (11)"
    assert lines["train"] == "8 images, 16 captions"
    assert lines["dev"] == "3 images, 6 captions"
    assert "test" not in lines
    assert lines["captions an image"] == "2 to 2, median 2; 0 images have one only"
    assert lines["words a caption"] == "median 4.5, 95% have 6 at most, longest 6"
    assert lines["longer than 30 words"] == "0 captions (0.0%)"
    assert lines["repeated in train"] == "16 captions (100.0%) have the words of another"
    assert lines["scripts"] == "Latin 100.0%"
    assert lines["of dev also in train"] == "6 captions (100.0%), such as"
    assert "  'A dog runs .': 8.jpg, 0.jpg" in out.splitlines()
    assert lines["once or more"].split() == ["8", "0.0%", "-"]
    assert lines["10 times or more"].split() == ["1", "77.8%", "-"]
    assert lines["pictures"] == "11 can be read, 0 cannot"
    assert lines["in two splits"] == "none"
    assert lines["problems"] == "none"
    assert lines["training"] == "possible"


def test_the_one_thing_to_do_next(flickr_layout, tmp_path, monkeypatch):
    _, d = document(flickr_layout, "--quick")
    assert d["next"] == (
        f"mrnn train {flickr_layout} --from default -o my-model  "
        "# --from, since 16 captions are few"
    )
    assert run(flickr_layout, "--quick")[1].splitlines()[-1] == f"{'next':26} {d['next']}"
    pictures = flickr_layout / "Flicker8k_Dataset"
    _, d = document(flickr_layout, "--quick", "--images", pictures, "--split-seed", 7)
    assert d["next"].startswith(f"mrnn train {flickr_layout} --images {pictures} --split-seed 7 -")
    monkeypatch.setattr("mrnn.datasets.advice.FEW", 16)
    _, d = document(flickr_layout, "--quick")
    assert d["next"] == f"mrnn train {flickr_layout} -o my-model"
    for path in pictures.glob("[0-7].jpg"):
        path.write_bytes(b"")
    code, d = document(flickr_layout)
    assert (code, d["next"]) == (1, "replace the pictures that cannot be read")
    (flickr_layout / "Flickr_8k.trainImages.txt").unlink()
    code, d = document(flickr_layout, "--quick")
    assert (code, d["trainable"]) == (1, False)
    assert d["next"] == "add pictures with captions, or a column `split` that says train and dev"


def test_few_captions():
    assert few_captions(5_000) is None
    assert few_captions(4_999) == (
        "4,999 captions are few: --from default begins with a model that can write"
    )


def test_pictures_that_nothing_names(flickr_layout, picture):
    home = flickr_layout / "Flicker8k_Dataset"
    left = [home / "deep" / "1.jpg", *(home / f"x{i}.PNG" for i in range(4))]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((home / "0.jpg").read_bytes())
    (home / ".hidden").mkdir()
    (home / ".hidden" / "3.jpg").write_bytes(b"x")
    (home / "@eaDir").mkdir()
    (home / "@eaDir" / "4.jpg").write_bytes(b"x")
    (home / "loop").symlink_to(home)
    (flickr_layout / "notes.txt").write_text("of no picture\n")
    code, d = document(flickr_layout)
    assert code == 0  # a remark
    assert d["without_captions"]["images"] == 5
    assert len(d["without_captions"]["examples"]) == 3
    assert set(d["without_captions"]["examples"]) <= {str(path.resolve()) for path in left}
    out = run(flickr_layout, "--quick")[1]
    assert "pictures left out          5 without a caption that can be used, such as" in out
    assert document(flickr_layout / "Flickr8k.token.txt")[1]["without_captions"]["images"] == 5


def test_what_is_not_read_and_why(flickr_layout):
    (flickr_layout / "test_captions.csv").write_text("A dog\n")
    code, d = document(flickr_layout, "--quick")
    assert code == 3
    [problem] = d["problems"]
    assert problem["place"] == f"{flickr_layout}/test_captions.csv"
    assert "looks like captions, but is not read" in problem["message"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_format_is_looked_through(name, tmp_path):
    code, d = document(LAYOUTS[name](tmp_path / "birds"))
    assert (code, d["trainable"], d["format"]) == (0, True, name)
    assert d["pictures"]["read"] == sum(of["images"] for of in d["splits"].values()) == 11
    assert sum(folder["images"] for folder in d["folders"]) == 11
    assert d["captions"]["an_image"]["most"] == 2


def test_nothing_is_changed(flickr_layout, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def state() -> dict:
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    before = state()
    run(flickr_layout)
    assert state() == before
    assert not (tmp_path / "cache").exists()


def test_problems_of_lines_and_pictures_are_all_told_and_exit_3(flickr_layout):
    captions = flickr_layout / "Flickr8k.token.txt"
    captions.write_text("no tab here\n" + captions.read_text())
    dev = flickr_layout / "Flickr_8k.devImages.txt"
    dev.write_text(dev.read_text() + "99.jpg\n")
    broken = flickr_layout / "Flicker8k_Dataset" / "9.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    code, d = document(flickr_layout)
    assert code == 3
    assert d["trainable"]
    line, name, picture = d["problems"]
    assert line["place"] == f"{captions}:1"
    assert (name["place"], name["split"]) == (f"{dev}:4", "dev")
    assert picture["place"] == str(broken)
    assert picture["split"] == "dev"
    assert "damaged or cut short" in picture["message"]
    assert str(broken) not in picture["message"]
    assert (d["splits"]["dev"]["unreadable"], d["pictures"]["unreadable"]) == (1, 1)
    code, out, _ = run(flickr_layout)
    assert code == 3
    assert shown(flickr_layout)["problems"] == "3, skipped in training"
    assert f"  {captions}:1: {line['message']}" in out.splitlines()
    assert shown(flickr_layout)["pictures"] == "10 can be read, 1 cannot"


def test_text_lists_the_first_problems_and_json_all():
    problems = tuple(Problem(f"a.txt:{i}", "bad") for i in range(SHOWN + 5))
    data = made_up(("a.jpg", "train", ["a"]), ("b.jpg", "dev", ["a"]), problems=problems)
    d = valid(check(data, True, silent))
    lines = check_lines(d)
    assert len(d["problems"]) == SHOWN + 5
    assert f"  a.txt:{SHOWN - 1}: bad" in lines
    assert f"  a.txt:{SHOWN}: bad" not in lines
    assert "  and 5 more (--json has all)" in lines


def test_quick_opens_no_picture(flickr_layout):
    for path in (flickr_layout / "Flicker8k_Dataset").iterdir():
        path.write_bytes(b"no picture")
    code, d = document(flickr_layout, "--quick")
    assert code == 0
    assert d["pictures"] is None
    assert d["splits"]["train"] == {"images": 8, "sentences": 16, "unreadable": None}
    assert shown(flickr_layout, "--quick")["pictures"] == "not opened"


@pytest.mark.parametrize(
    ("split", "count", "reason"),
    [
        ("train", 8, "none of the 8 pictures of the train split can be read"),
        ("dev", 3, "none of the 3 pictures of the dev split can be read"),
    ],
)
def test_a_split_without_a_readable_picture_makes_training_impossible(
    flickr_layout, split, count, reason
):
    for i in range(8) if split == "train" else range(8, 11):
        (flickr_layout / "Flicker8k_Dataset" / f"{i}.jpg").write_bytes(b"no picture")
    code, d = document(flickr_layout)
    assert code == 1
    assert (d["trainable"], d["reason"]) == (False, reason)
    assert len(d["problems"]) == count
    assert shown(flickr_layout)["training"] == f"impossible: {reason}"


@pytest.mark.parametrize("missing", ["train", "dev"])
def test_training_needs_both_splits(missing):
    other = "dev" if missing == "train" else "train"
    d = valid(check(made_up(("a.jpg", other, ["a dog"])), True, silent))
    assert not d["trainable"]
    assert d["reason"].startswith(f"no captioned image in the {missing} split")
    assert all(c["unknown_dev"] == (None if missing == "dev" else 1) for c in d["vocabulary"])


def test_a_data_set_that_cannot_be_used_is_a_document_too(tmp_path):
    code, out, err = run(tmp_path / "nowhere", "--json")
    found = valid(json.loads(out))
    assert code == 1
    assert set(found) == {"trainable", "reason"}
    assert found["trainable"] is False
    assert err == f"mrnn: {found['reason']}\n"
    assert str(tmp_path / "nowhere") in err
    code, out, text_err = run(tmp_path / "nowhere")
    assert (code, out, text_err) == (1, "", err)


def test_the_same_picture_twice_is_a_remark(flickr_layout):
    pictures = flickr_layout / "Flicker8k_Dataset"
    (pictures / "5.jpg").write_bytes((pictures / "0.jpg").read_bytes())
    (pictures / "8.jpg").write_bytes((pictures / "1.jpg").read_bytes())
    Image.open(pictures / "2.jpg").resize((200, 150)).save(pictures / "9.jpg", quality=60)
    code, d = document(flickr_layout)
    names = {i: str(pictures / f"{i}.jpg") for i in range(11)}
    same = {"groups": 1, "pictures": 2, "examples": [[names[0], names[5]]]}
    none = {"groups": 0, "pictures": 0, "examples": []}
    assert code == 0
    assert d["problems"] == []
    assert d["pictures"]["copies"]["train"] == {"same": same, "near": none}
    assert d["pictures"]["copies"]["dev"] == {"same": none, "near": none}
    leak = {"split": "dev", "other_split": "train"}
    assert d["pictures"]["leakage"] == [
        {**leak, "image": names[8], "other": names[1], "kind": "same"},
        {**leak, "image": names[9], "other": names[2], "kind": "near"},
    ]
    _, out, _ = run(flickr_layout)
    assert shown(flickr_layout)["the same in train"] == "2 in a group, such as"
    assert shown(flickr_layout)["in two splits"] == "2"
    lines = out.splitlines()
    assert "  0.jpg = 5.jpg" in lines
    assert "  dev 8.jpg = train 1.jpg" in lines
    assert "  dev 9.jpg = train 2.jpg (near)" in lines


def test_what_was_not_compared_is_said():
    d = check(made_up(("a", "train", ["a"]), ("b", "dev", ["a"])), True, silent)
    figures = {"read": 9, "unreadable": 0, "even": 4, "all_near_found": False}
    none = {kind: {"groups": 0, "pictures": 0, "examples": []} for kind in ("same", "near")}
    figures |= {"copies": dict.fromkeys(SPLITS, none), "leakage": []}
    text = "\n".join(check_lines(valid({**d, "pictures": figures})))
    assert "of one colour              4" in text
    assert "not all pairs were compared" in text


def as_pictures(prints: np.ndarray, unreadable: set[int]) -> Pictures:
    rows = np.array([i for i in range(len(prints)) if i not in unreadable], dtype=np.int64)
    problems = [Problem(f"{i}.jpg", "damaged") for i in unreadable]
    return Pictures(rows, prints[rows], problems)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.data())
def test_copies_and_leakage_are_what_comparing_all_finds(seed, data):
    prints = album(seed, 2, 4, 0.25)
    distinct = data.draw(st.lists(st.integers(0, 7), min_size=1, max_size=12), label="pictures")
    pairs, prints = slow_pairs(prints), prints[distinct]
    splits = np.array([data.draw(st.integers(0, 2)) for _ in distinct], dtype=np.int8)
    unreadable = data.draw(st.sets(st.integers(0, len(distinct) - 1)))
    examples = [(f"{i}.jpg", SPLITS[s], ["a"]) for i, s in enumerate(splits)]
    pictures = as_pictures(prints, unreadable)
    found = picture_figures(made_up(*examples), splits, pictures)

    rows = pictures.rows.tolist()
    near = {(i, j) for i in rows for j in rows if sorted((distinct[i], distinct[j])) in pairs}
    assert (found["read"], found["unreadable"]) == (len(rows), len(unreadable))
    assert found["even"] == is_even(prints[rows]).sum()
    leaked = {(e["image"], e["other_split"]): e for e in found["leakage"]}
    assert len(leaked) == len(found["leakage"])
    for i in rows:
        for split in range(3):
            others = [j for j in rows if splits[j] == split and split < splits[i]]
            same = [j for j in others if distinct[j] == distinct[i]]
            close = [j for j in others if (i, j) in near]
            entry = leaked.pop((f"{i}.jpg", SPLITS[split]), None)
            if not same + close:
                assert entry is None
                continue
            assert entry["split"] == SPLITS[splits[i]]
            assert entry["kind"] == ("same" if same else "near")
            assert entry["other"] in {f"{j}.jpg" for j in (same or close)}
    assert not leaked
    for split, name in enumerate(SPLITS):
        own = [i for i in rows if splits[i] == split]
        times = Counter(distinct[i] for i in own)
        copies = found["copies"][name]
        assert copies["same"]["groups"] == sum(count > 1 for count in times.values())
        assert copies["same"]["pictures"] == sum(count for count in times.values() if count > 1)
        assert copies["near"]["pictures"] == sum(any((i, j) in near for j in own) for i in own)


def test_a_long_group_is_cut_short():
    pictures = as_pictures(np.repeat(album(0, 1, 1, 0), 30), set())
    examples = [(f"{i}.jpg", "train", ["a"]) for i in range(30)]
    found = picture_figures(made_up(*examples), np.zeros(30, dtype=np.int8), pictures)
    same = found["copies"]["train"]["same"]
    assert (same["groups"], same["pictures"]) == (1, 30)
    assert same["examples"] == [[f"{i}.jpg" for i in range(5)]]


def test_a_picture_in_a_shard_is_read(tmp_path, picture):
    with tarfile.open(tmp_path / "a.tar", "w") as shard:
        shard.add(picture("0.jpg", seed=1), "0.jpg")
        shard.add(picture("1.jpg", seed=2), "1.jpg")
    with tarfile.open(tmp_path / "a.tar") as shard:
        inside = shard.getmembers()
    members = [Member(tmp_path / "a.tar", m.name, m.offset_data, m.size) for m in inside]
    cut = Member(tmp_path / "a.tar", "cut.jpg", members[1].offset, 200)
    data = made_up()
    data.examples = [
        Example(image, ("a dog",), split)
        for image, split in zip([*members, cut], ("train", "dev", "dev"), strict=True)
    ]
    d = valid(check(data, False, silent))
    assert (d["pictures"]["read"], d["pictures"]["unreadable"]) == (2, 1)
    assert d["folders"] == [{"folder": str(tmp_path / "a.tar"), "images": 3}]
    assert "cut.jpg" in d["problems"][0]["place"]


def test_progress_reaches_the_end_of_each_stage(flickr_layout):
    from mrnn.datasets import read_dataset

    calls = []

    @contextmanager
    def stage(what: str, unit: str):
        yield lambda done, total: calls.append((what, done, total))

    check(read_dataset(flickr_layout), False, stage)
    assert [c for c in calls if c[1] == c[2]] == [("captions", 11, 11), ("pictures", 11, 11)]


SENTENCES = st.lists(st.sampled_from(["a dog", "A dog.", "a cat", "the", "a a b"]), max_size=4)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(SPLITS), SENTENCES), min_size=1))
def test_caption_figures_by_their_definition(images):
    images = [(f"{i}.jpg", split, s or ["one"]) for i, (split, s) in enumerate(images)]
    captions = captions_of(*images)
    figures = caption_figures(captions)
    spoken = {
        split: [tuple(tokenise(s)) for _, of, ss in images if of == split for s in ss]
        for split in SPLITS
    }
    train = spoken["train"]
    repeated = sum(train.count(words) > 1 for words in train)
    assert figures["repeated_in_train"]["sentences"] == repeated
    assert figures["repeated_in_train"]["share"] == repeated / max(1, len(train))
    assert figures["distinct_in_train"] == len(set(train))
    counts = [len(s) for *_, s in images]
    assert figures["an_image"] == {
        "least": min(counts),
        "median": np.median(counts),
        "most": max(counts),
        "images_with_one": counts.count(1),
    }
    expected = {}
    for later, earlier in (("dev", "train"), ("test", "train"), ("test", "dev")):
        common = [words for words in spoken[later] if words in spoken[earlier]]
        if common:
            expected[later, earlier] = (len(common), len(set(common)))
    found = {
        (of["split"], of["other_split"]): (of["sentences"], len(of["examples"]))
        for of in figures["shared"]
    }
    assert found == expected
    owners = {image: (split, set(map(tuple, map(tokenise, s)))) for image, split, s in images}
    for of in figures["shared"]:
        assert of["share"] == of["sentences"] / len(spoken[of["split"]])
        for example in of["examples"]:
            words = tuple(tokenise(example["caption"]))
            split, own = owners[example["image"]]
            other_split, others = owners[example["other"]]
            assert (split, other_split) == (of["split"], of["other_split"])
            assert words in own & others


def test_few_examples_of_shared_captions_are_shown():
    many = [f"dog {i}" for i in range(9)]
    figures = caption_figures(captions_of(("a", "train", many), ("b", "test", many)))
    assert len(figures["shared"][0]["examples"]) == 5


def test_long_captions_are_counted():
    figures = caption_figures(captions_of(("a", "train", ["a " * 30, "a " * 31, "a", "a b"])))
    assert figures["words"] == {
        "median": 16,
        "percentile_95": 31,
        "longest": 31,
        "limit": 30,
        "longer": 1,
        "share_longer": 0.25,
    }


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abcdef"), min_size=1).map(" ".join), min_size=1),
    st.lists(st.lists(st.sampled_from("abcdefg"), min_size=1).map(" ".join), max_size=4),
)
def test_the_vocabulary_is_the_one_that_training_would_make(train, test):
    images = [("a.jpg", "train", train)] + ([("b.jpg", "test", test)] if test else [])
    figures = vocabulary_figures(captions_of(*images))
    assert [of["minimum_count"] for of in figures] == list(CUTS)
    for of in figures:
        vocabulary = Vocabulary.build(train, of["minimum_count"])
        words = [index for sentence in test for index in vocabulary.encode(sentence)]
        assert of["words"] == len(vocabulary) - 4
        assert of["unknown_dev"] is None
        expected = words.count(UNKNOWN) / len(words) if test else None
        assert of["unknown_test"] == expected


def test_scripts_are_counted_over_all_splits():
    figures = caption_figures(captions_of(("a", "train", ["dog"]), ("b", "dev", ["犬だ 🐕"])))
    assert figures["scripts"] == {"Latin": 0.5, "Han": 1 / 6, "Hiragana": 1 / 6, "Emoji": 1 / 6}


def test_many_folders_are_cut_short():
    examples = [(f"{i}/a.jpg", "train", ["a"]) for i in range(5)]
    d = valid(check(made_up(*examples, ("5/a.jpg", "dev", ["a"])), True, silent))
    assert len(d["folders"]) == 6
    lines = check_lines(d)
    assert sum("(1)" in line for line in lines) == 3
    assert any(line.endswith(" and 3 more") for line in lines)
    assert "  'a': 5/a.jpg, 0/a.jpg" in lines


def test_names_and_captions_cannot_write_to_the_terminal():
    evil = "\x1b[31m"
    problem = Problem("a.txt:1", "bad")
    images = [(f"{evil}/{split}{evil}.jpg", split, [f"a dog{evil}"]) for split in SPLITS]
    data = made_up(*images, problems=(problem,))
    d = valid(check(data, False, silent))
    text = "\n".join(check_lines(d))
    assert len(d["problems"]) == 4
    assert "\x1b" not in text
    assert "\\x1b[31m" in text
    assert json.loads(json.dumps(d))["captions"]["shared"][0]["examples"][0]["caption"].endswith(
        evil
    )


def test_help_says_what_the_exit_codes_mean():
    code, out, _ = run("--help")
    assert code == 0
    assert "nothing is changed" in " ".join(out.split())
    assert "Exit code 3" in out


def test_the_splits_are_those_that_training_would_choose(flickr_layout):
    for path in flickr_layout.glob("*Images.txt"):
        path.unlink()
    _, found = document(flickr_layout, "--split-seed", 5)
    assert found["split_origin"].endswith("chosen by seed 5")
    assert document(flickr_layout)[1]["split_origin"].endswith("chosen by seed 1")
