"""A list of files on stdin, and how much is told on stderr."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from command_lines import document, in_a_terminal, run
from libraries import save_seeing
from mrnn.commands.cli import app
from mrnn.commands.file_lists import listed_paths
from mrnn.model.bundle import save_bundle


def piped(content: bytes, *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command with this on stdin."""
    words = [str(argument) for argument in arguments]
    result = CliRunner().invoke(app, words, input=content, catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def model(tiny_bundle, tmp_path):
    path = tmp_path / "model"
    save_bundle(tiny_bundle, path)
    return path


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n\r\n\n", []),
        (b"a.jpg", ["a.jpg"]),
        (b"a.jpg\nb c.jpg\n", ["a.jpg", "b c.jpg"]),
        (b"a.jpg\r\n b.jpg \r\n", ["a.jpg", " b.jpg "]),
        (b"a\nb.jpg\0c\r.jpg\0\0", ["a\nb.jpg", "c\r.jpg"]),
        (b"\xef\xbb\xbfa.jpg\n", ["a.jpg"]),
        ("\ufeffä.jpg\r\nb.jpg\r\n".encode("utf-16-le"), ["ä.jpg", "b.jpg"]),
        ("\ufeffä.jpg\n".encode("utf-16-be"), ["ä.jpg"]),
        (b"a\xff.jpg\n", [os.fsdecode(b"a\xff.jpg")]),
    ],
)
def test_lists_as_programs_write_them(content, expected):
    assert listed_paths(content) == list(map(Path, expected))


names = st.lists(st.sampled_from(b" a'\t\\\xc3\xa4\xff"), min_size=1, max_size=6).map(bytes)


@given(st.lists(names, min_size=1), st.sampled_from([b"\n", b"\r\n", b"\0"]))
def test_any_names_come_back(given_names, end):
    content = b"".join(name + end for name in given_names)
    assert [os.fsencode(path) for path in listed_paths(content)] == given_names


@given(st.binary(max_size=40), st.sampled_from([b"", b"\xff\xfe", b"\xfe\xff"]))
def test_no_list_is_too_odd(content, start):
    assert all(isinstance(path, Path) for path in listed_paths(start + content))


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\0"])
def test_captions_of_a_list_with_the_missing_ones_told(model, picture, end):
    odd = picture(os.fsdecode(b"a\xff.jpg"))
    other = picture("b c.jpg")
    gone = [f"{odd.parent}/gone{i}.jpg".encode() for i in (1, 2)]
    content = end.join([os.fsencode(odd), gone[0], os.fsencode(other), gone[1]]) + end
    code, out, err = piped(content, "caption", "-", "-m", model)
    assert code == 3
    assert [line.split(": ")[0] for line in out.splitlines()] == [
        f"{odd.parent}/a\\xff.jpg",
        str(other),
    ]
    assert err.count("no such file") == 2
    assert "gone1.jpg" in err


def test_a_list_stands_where_its_dash_stands(model, picture):
    a, b, c = (picture(f"{name}.jpg") for name in "abc")
    _, out, _ = piped(f"{b}\n".encode(), "caption", a, "-", c, "-m", model)
    assert [Path(line.split(": ")[0]).name for line in out.splitlines()] == [
        *("a.jpg", "b.jpg", "c.jpg")
    ]


def test_other_commands_take_a_list_too(model, picture, tmp_path):
    a, b = picture("a.jpg"), picture("b.jpg", seed=1)
    content = f"{a}\n{b}\n".encode()
    code, out, _ = piped(content, "rank-images", "a dog", "-", "-m", model, "--json")
    assert code == 0
    assert {match["image"] for match in document("rank-images", out)["results"]} == {
        *(str(a), str(b))
    }
    for command in (
        ["score", "-", "a dog"],
        ["score", "-", "--sentence", "a dog"],
        ["explain", "-"],
    ):
        code, out, err = piped(content, *command, "-m", model, "--json")
        images = [document(command[0], line)["image"] for line in out.splitlines()]
        assert (code, images, err) == (0, [str(a), str(b)], "")
    code, out, _ = piped(content, "demo", "-", "-m", model, "-o", tmp_path / "demo.html")
    assert (code, out.count("a.jpg: "), out.count("b.jpg: ")) == (0, 2, 2)
    library = tmp_path / "library"
    save_seeing(model := tmp_path / "seeing")
    code, out, _ = piped(content, "index", "-", "-l", library, "-m", model)
    assert (code, "2 new" in out) == (0, True)
    code, out, _ = piped(f"{a}\n".encode(), "index", "-", "-l", library, "--forget")
    assert out.endswith("1 files taken out, 1 left\n")


def test_lists_that_cannot_be(model):
    code, _, err = piped(b"a.jpg\n", "caption", "-", "-", "-m", model)
    assert (code, "there is only one stdin" in err) == (2, True)
    code, _, err = piped(b"\n", "rank-images", "a dog", "-", "-m", model)
    assert (code, "stdin has no paths; give one a line" in err) == (1, True)


def test_an_empty_list_is_nothing_to_caption_and_stops_no_others(model, picture):
    nothing = "-: stdin has no paths, so there is nothing to do\n"
    assert piped(b"", "caption", "-", "-m", model, "--xmp") == (0, "", nothing)
    a = picture("a.jpg")
    code, out, err = piped(b"\n", "caption", "-", a, "-m", model)
    assert (code, out.startswith(f"{a}: "), "stdin" in err) == (0, True, False)


def test_a_photo_that_is_named_several_times_is_captioned_once(model, picture, monkeypatch):
    a, b = picture("photos/a.jpg"), picture("photos/b.jpg", seed=1)
    monkeypatch.chdir(a.parent)
    content = f"b.jpg\n{b}\n".encode()
    _, out, _ = piped(content, "caption", "a.jpg", "-", a.parent, "./", "-m", model)
    assert [line.split(": ")[0] for line in out.splitlines()] == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("place", [0, 1, 3, 5])
def test_quiet_leaves_faults_alone(model, picture, tmp_path, place):
    photo = picture("photos/a.jpg")
    (photo.parent / "notes.txt").touch()
    command = ["caption", photo.parent, tmp_path / "gone.jpg", "-m", model]
    loud = run(*command)
    assert "not images by their suffix" in loud[2]
    command.insert(place, "-q")
    assert run(*command) == (3, loud[1], f"mrnn: {tmp_path}/gone.jpg: no such file\n")
    assert run(*command[:place], *command[place + 1 :])[2] == loud[2]  # it does not last


@pytest.mark.parametrize("place", [0, 1, 2, 4])
def test_verbose_tells_of_model_and_times(model, picture, place):
    command = ["caption", picture("a.jpg"), "-m", model]
    plain = run(*command)
    command.insert(place, "--verbose")
    code, out, err = run(*command)
    assert (code, out) == plain[:2]
    for told in (f"model {model}: 8 words, none in 32 bits on cpu", "1 images: ", " s in all"):
        assert told in err
    run("info", "-m", model)
    assert logging.getLogger("mrnn").handlers == []


def test_quiet_and_verbose_together(model, picture):
    code, _, err = run("caption", picture("a.jpg"), "-m", model, "-q", "-v")
    assert (code, "do not go together" in err) == (2, True)


def test_quiet_has_no_progress_in_a_terminal(model, picture):
    for i in range(3):
        picture(f"photos/{i}.jpg", seed=i)
    photos = picture("photos/0.jpg").parent
    assert in_a_terminal("caption", photos, "-m", model, "-q")[1] == ""


def test_every_command_can_be_quiet_and_verbose():
    import typer

    commands = typer.main.get_command(app).commands
    for name, command in commands.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"-q", "--quiet", "-v", "--verbose"} <= options, name
