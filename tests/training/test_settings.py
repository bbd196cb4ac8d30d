"""Settings: the nearer origin wins, a fault in a file is named, and the file reproduces them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mrnn.config import DropoutShares, ModelConfig, TrainConfig
from mrnn.errors import UsageError
from mrnn.training.settings import defaults, read_toml, settle, suited


@pytest.fixture
def toml(tmp_path):
    def write(text: str):
        path = tmp_path / "my.toml"
        path.write_text(text)
        return path

    return write


def test_without_anything_the_defaults_hold():
    settings = settle({})
    assert settings.train_config() == TrainConfig()
    assert settings.model_config() == ModelConfig()
    assert {s.origin for s in settings.by_name.values()} == {"default"}


def test_a_flag_beats_the_file_which_beats_the_size_which_beats_the_default(toml):
    file = toml("batch = 48\nepochs = 5\nl2 = 0.001\n")
    settings = settle({"epochs": 3, "seed": None}, file, sentences=500)
    config = settings.train_config()
    assert (config.epochs, config.batch, config.l2, config.seed) == (3, 48, 0.001, 1)
    assert config.minimum_count == suited(500)["minimum-count"] != TrainConfig.minimum_count
    origins = {name: setting.origin for name, setting in settings.by_name.items()}
    assert origins["epochs"] == "flag"
    assert origins["batch"] == "my.toml"
    assert origins["minimum-count"] == "suits 500 sentences"
    assert origins["seed"] == "default"


def test_a_trained_model_is_treated_with_care():
    settings = settle({}, goes_on=True)
    assert settings.train_config().learning_rate < TrainConfig.learning_rate
    assert settings.by_name["learning-rate"].origin == "suits a trained model"
    assert settle({"learning-rate": 0.1}, goes_on=True).train_config().learning_rate == 0.1


def test_every_setting_reaches_its_place(toml):
    """No name is forgotten: each setting changes exactly what has its name."""
    changed = {
        name: {int: 7, float: 0.25, str: "none", bool: True}[type(value)]
        for name, value in defaults().items()
    } | {"precision": 32}
    settings = settle(changed)
    assert settings.model_config() == ModelConfig(embedding=7, recurrent=7, multimodal=7)
    config = settings.train_config()
    assert config.dropout == DropoutShares(0.25, 0.25, 0.25)
    for name, value in vars(config).items():
        assert name == "dropout" or value == changed[name.replace("_", "-")]


def test_the_file_that_is_written_gives_the_same_settings_again(toml):
    settings = settle({"dropout-image": 0.5, "encoder": 'a "b".onnx'}, None, 3000)
    again = settle({}, toml(settings.toml()))
    assert again.train_config() == settings.train_config()
    assert again.model_config() == settings.model_config()
    assert "dropout-image = 0.5  # flag\n" in settings.toml()


@given(
    learning_rate=st.floats(1e-12, 1e6),
    encoder=st.text(st.characters(codec="utf-8"), max_size=9),
)
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_value_survives_the_file(tmp_path, learning_rate, encoder):
    settings = settle({"learning-rate": learning_rate, "encoder": encoder})
    path = tmp_path / "config.toml"
    path.write_text(settings.toml(), encoding="utf-8", newline="")
    assert settle({}, path).train_config() == settings.train_config()


def test_what_something_else_has_settled_says_so():
    settings = settle({"seed": 3}).with_values({"seed": 3, "embedding": 8}, "--from")
    assert settings.by_name["embedding"].origin == "--from"
    assert settings.by_name["seed"].origin == "flag"
    assert settings.model_config().embedding == 8


def test_lines_group_the_settings_by_origin():
    lines = settle({"seed": 3}, None, 500).lines()
    assert "flag: seed 3" in lines
    assert any(line.startswith("suits 500 sentences: ") and "batch " in line for line in lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learningrate = 1", r"my.toml: unknown key 'learningrate'; known: batch, .*learning-rate"),
        ("batch = 1.5", r"my.toml: batch is 1.5, not of type int"),
        ("batch = true", r"my.toml: batch is True, not of type int"),
        ("train-encoder = 1", r"my.toml: train-encoder is 1, not of type bool"),
        ("[dropout]\nwords = 1", r"my.toml: unknown key 'dropout'"),
        ("batch = ", r"my.toml: not TOML \(.*end of document"),
        ("batch = 1\nbatch = 2", r"my.toml: not TOML"),
    ],
)
def test_a_fault_in_the_file_is_named(toml, text, message):
    with pytest.raises(UsageError, match=message):
        settle({}, toml(text))


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"gone.toml: cannot be read \(No such file"):
        settle({}, tmp_path / "gone.toml")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("epochs", 0), ("batch", 0), ("learning-rate", 0.0), ("l2", -1.0), ("clip", 0.0)],
        *[("dropout-words", 1.0), ("encoder-learning-rate", 0.0), ("seed", -1), ("split-seed", -1)],
        *[("learning-rate", float("nan")), ("clip", float("inf")), ("embedding", 10**10)],
        *[("encoder-learning-rate", float("nan")), ("seed", 2**64), ("recurrent", 0)],
    ],
)
def test_values_out_of_range_are_refused_with_their_place(tmp_path, name, value):
    with pytest.raises(UsageError, match=rf"--{name} is .*, not from"):
        settle({name: value})
    if abs(value) < 2**63:
        (tmp_path / "my.toml").write_text(f"{name} = {value}\n")
        with pytest.raises(UsageError, match=rf"my.toml: {name} is .*, not from"):
            settle({}, tmp_path / "my.toml")


def test_more_sentences_mean_fewer_epochs_larger_batches_and_a_higher_cut():
    sizes = [1, 500, 1000, 3000, 4000, 10_000, 15_000, 30_000, 200_000, 10**7]
    found = [suited(size) for size in sizes]
    assert [f["epochs"] for f in found] == sorted((f["epochs"] for f in found), reverse=True)
    assert [f["batch"] for f in found] == sorted(f["batch"] for f in found)
    assert [f["minimum-count"] for f in found] == sorted(f["minimum-count"] for f in found)
    assert all(f["minimum-count"] >= 2 for f in found)  # else the unknown word is never seen
    assert suited(30_000)["batch"] == TrainConfig.batch


@given(content=st.binary(max_size=60))
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_bytes_are_settings_or_a_clear_error(tmp_path, content):
    path = tmp_path / "any.toml"
    path.write_bytes(content)
    message = "any.toml"
    try:
        read_toml(path)
    except UsageError as error:
        message = str(error)
    assert "any.toml" in message
