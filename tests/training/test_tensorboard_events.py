"""TensorBoard events: read back with TensorBoard's own reader, after interruptions too."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import pytest
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer
from tensorboard.util.tensor_util import make_ndarray

from mrnn.errors import DataError, DependencyError
from mrnn.training.run_records import EpochRecord, Sample
from mrnn.training.tensorboard import events

FIRST = EpochRecord(
    "captions", 1, 78, 702, 300_000, 20.0, 64.0, 32.0, 1.08, True, (Sample("a.jpg", "a dog", 3.5),)
)


@pytest.fixture(autouse=True)
def _files_in_order(monkeypatch):
    """Files of one second are told apart by a counter and read by name: 10 would precede 9."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


def at(epoch, **changes):
    return replace(FIRST, epoch=epoch, update=78 * epoch, **changes)


def read(folder):
    return EventAccumulator(str(folder)).Reload()


def scalars(folder, tag):
    found = read(folder).Tensors(tag)
    return [(event.step, make_ndarray(event.tensor_proto).item()) for event in found]


def captions(folder, tag="caption/a.jpg"):
    found = read(folder).Tensors(f"{tag}/text_summary")
    return [(event.step, event.tensor_proto.string_val[0].decode()) for event in found]


def test_figures_and_captions_stand_at_their_updates(tmp_path):
    with events(tmp_path / "new" / "board") as write:
        write(FIRST)
        write(at(2, train_perplexity=40.0, dev_perplexity=24.0, seconds=15.0))
    folder = tmp_path / "new" / "board" / "captions"
    assert scalars(folder, "perplexity/train") == [(78, 64.0), (156, 40.0)]
    assert scalars(folder, "perplexity/dev") == [(78, 32.0), (156, 24.0)]
    assert scalars(folder, "words_per_second") == [(78, 15_000.0), (156, 20_000.0)]
    said = "a dog (perplexity 3.50)"
    assert captions(folder) == [(78, said), (156, said)]


def test_an_epoch_can_be_read_as_soon_as_it_is_written(tmp_path):
    with events(tmp_path) as write:
        write(FIRST)
        assert scalars(tmp_path / "captions", "perplexity/dev") == [(78, 32.0)]


def test_phases_are_runs_of_their_own_since_their_updates_begin_anew(tmp_path):
    with events(tmp_path) as write:
        for phase in ("text", "captions", "encoder"):
            write(at(1, phase=phase))
            write(at(2, phase=phase))
    assert {folder.name for folder in tmp_path.iterdir()} == {"text", "captions", "encoder"}
    for folder in tmp_path.iterdir():
        assert [step for step, _ in scalars(folder, "perplexity/dev")] == [78, 156]


def test_epochs_trained_again_after_an_interruption_do_not_double(tmp_path):
    with events(tmp_path) as write:
        for epoch in (1, 2, 3, 4):
            write(at(epoch))
    with events(tmp_path) as write:
        write(at(3, dev_perplexity=20.0, samples=(Sample("a.jpg", "a cat", 2.0),)))
    folder = tmp_path / "captions"
    assert scalars(folder, "perplexity/dev") == [(78, 32.0), (156, 32.0), (234, 20.0)]
    assert captions(folder)[1:] == [
        (156, "a dog (perplexity 3.50)"),
        (234, "a cat (perplexity 2.00)"),
    ]


def test_a_resumed_run_keeps_what_came_before(tmp_path):
    for epoch in (1, 2):
        with events(tmp_path) as write:
            write(at(epoch))
    assert [step for step, _ in scalars(tmp_path / "captions", "perplexity/train")] == [78, 156]


def test_figures_that_are_not_finite_are_left_out(tmp_path):
    with events(tmp_path) as write:
        write(at(1, dev_perplexity=math.inf, train_perplexity=math.nan, seconds=0.0))
    tags = read(tmp_path / "captions").Tags()["tensors"]
    assert tags == ["words_per_second", "caption/a.jpg/text_summary"]


def test_strange_text_is_made_printable(tmp_path):
    sample = Sample("b\udc80\n.jpg", "a \x1b[31m\udc80", 2.0)
    with events(tmp_path) as write:
        write(at(1, samples=(sample,)))
    said = "a \\x1b[31m\\x80 (perplexity 2.00)"
    assert captions(tmp_path / "captions", "caption/b\\x80\\n.jpg") == [(78, said)]


def test_nothing_is_left_open_when_training_fails(tmp_path):
    def fail():
        with events(tmp_path) as write:
            write(FIRST)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert scalars(tmp_path / "captions", "perplexity/dev") == [(78, 32.0)]


def test_without_the_package_the_line_to_type_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(DependencyError, match=r"type: pip install 'mrnn\[tensorboard\]'$"):
        events(tmp_path / "board").__enter__()
    assert not (tmp_path / "board").exists()


def test_a_folder_that_cannot_be_made_is_named_before_any_epoch(tmp_path):
    (tmp_path / "a\nfile").write_text("")
    with pytest.raises(DataError, match=r"a\\nfile/board: cannot be made \("):
        events(tmp_path / "a\nfile" / "board").__enter__()
