"""One thread's work for many: together where it may be, alone where it must be."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import CancelledError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrnn.server.batching import Batcher


@pytest.fixture
def batcher():
    made = Batcher(4)
    yield made
    made.close(30)


class Gate:
    """Work that begins by waiting, so that other jobs gather behind it."""

    def __init__(self) -> None:
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(self, items: list) -> list:
        self.begun.set()
        assert self.open.wait(30)
        return items


def behind(gate: Gate, batcher: Batcher):
    first = batcher.submit(None, ["gate"], gate)
    assert gate.begun.wait(30)
    return first


def test_jobs_of_one_kind_are_done_together_and_each_gets_its_own(batcher):
    gate, batches = Gate(), []

    def double(items: list[int]) -> list[int]:
        batches.append(list(items))
        return [2 * item for item in items]

    behind(gate, batcher)
    futures = [
        batcher.submit(kind, items, double)
        for kind, items in (
            ("a", [1, 2]),
            ("b", [10]),
            ("a", [3]),
            (None, [20]),
            ("a", []),
            ("a", [4, 5]),
            ("a", [6]),
        )
    ]
    assert batcher.waiting() == 7
    gate.open.set()
    found = [future.result(30) for future in futures]
    assert found == [[2, 4], [20], [6], [40], [], [8, 10], [12]]
    # Four items at most; none of a kind overtakes another of it.
    assert batches == [[1, 2, 3], [10], [20], [4, 5, 6]]


def test_jobs_without_a_kind_are_done_alone(batcher):
    gate, batches = Gate(), []
    behind(gate, batcher)
    futures = [
        batcher.submit(None, [i], lambda items: batches.append(items) or items) for i in "ab"
    ]
    gate.open.set()
    assert [future.result(30) for future in futures] == [["a"], ["b"]]
    assert batches == [["a"], ["b"]]


def test_more_items_than_a_batch_holds_are_done_at_once(batcher):
    assert batcher.submit("a", range(9), list).result(30) == list(range(9))


def test_one_bad_item_hurts_nobody_else(batcher):
    gate = Gate()

    def inverse(items: list[float]) -> list[float]:
        return [1 / item for item in items]

    behind(gate, batcher)
    good, bad, other = (batcher.submit("a", [item], inverse) for item in (2, 0, 4))
    gate.open.set()
    assert good.result(30) == [0.5]
    with pytest.raises(ZeroDivisionError):
        bad.result(30)
    assert other.result(30) == [0.25]


def test_what_is_cancelled_before_its_turn_is_not_done(batcher):
    gate, done = Gate(), []
    behind(gate, batcher)
    futures = [batcher.submit("a", [i], lambda items: done.extend(items) or items) for i in "abc"]
    assert futures[0].cancel()
    assert futures[1].cancel()
    gate.open.set()
    assert futures[2].result(30) == ["c"]
    assert done == ["c"]
    with pytest.raises(CancelledError):
        futures[0].result(0)


def test_closing_cancels_what_waits_and_takes_nothing_more():
    batcher, gate = Batcher(4), Gate()
    first = behind(gate, batcher)
    last = batcher.submit("a", [1], list)
    batcher.close(0)  # does not wait for what is being done
    assert last.cancelled()
    with pytest.raises(RuntimeError):
        batcher.submit("a", [1], list)
    assert not first.done()
    gate.open.set()
    assert first.result(30) == ["gate"]


def test_what_is_cancelled_leaves_the_queue_at_once(batcher):
    gate = Gate()
    behind(gate, batcher)
    futures = [batcher.submit("a", [i], list) for i in "abc"]
    futures[1].cancel()
    assert batcher.waiting() == 2
    gate.open.set()
    assert [futures[i].result(30) for i in (0, 2)] == [["a"], ["c"]]


def test_nothing_of_a_job_stays_until_the_next_collection_of_garbage(batcher):
    class Pixels:
        """As large as a picture's, in life."""

    gc.disable()
    try:
        pixels, result = Pixels(), Pixels()
        there = [weakref.ref(pixels), weakref.ref(result)]
        future = batcher.submit("a", [pixels], lambda items, result=result: [result])
        future.result(30)
        del pixels, result, future
        batcher.submit("a", [1], list).result(30)  # the thread has let go of it, too
        assert [reference() for reference in there] == [None, None]
    finally:
        gc.enable()


def test_each_batch_is_told_of_before_its_jobs_have_their_answers():
    """So that who has an answer finds it counted."""
    told, futures, gate = [], [], Gate()

    def tell(waited: float, worked: float, items: int) -> None:
        told.append((waited >= 0, worked >= 0, items, [f.done() for f in futures]))

    batcher = Batcher(4, tell)
    futures.append(behind(gate, batcher))
    futures += [batcher.submit("a", [item], list) for item in (1, 2, 3)]
    gate.open.set()
    futures[-1].result(30)
    assert told == [
        (True, True, 1, [False, False, False, False]),
        (True, True, 3, [True, False, False, False]),
    ]
    batcher.close(30)


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", None]), st.lists(st.integers(), max_size=6)),
        max_size=20,
    )
)
def test_every_job_gets_what_it_would_get_alone(jobs):
    batcher, gate = Batcher(5), Gate()
    behind(gate, batcher)
    futures = [batcher.submit(kind, items, lambda i: [3 * n for n in i]) for kind, items in jobs]
    gate.open.set()
    found = [future.result(30) for future in futures]
    batcher.close(30)
    assert found == [[3 * n for n in items] for _, items in jobs]
