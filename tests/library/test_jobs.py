"""A library made by workers is that of one process, whoever is killed meanwhile."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_chunks import M, a_ledger, an_outcome, same, some_files

from command_lines import run
from dataset_layouts import jpeg, put, tar
from libraries import MULTIMODAL, dump, save_seeing, seeing
from mrnn.captioner import load
from mrnn.errors import DataError, DependencyError, UsageError
from mrnn.library import jobs
from mrnn.library.chunks import Chunk, Ledger
from mrnn.library.contents import File
from mrnn.library.describing import Described, describe
from mrnn.library.jobs import INCOMING, Worker, in_order, on_ray
from mrnn.library.library import Library
from mrnn.library.scanning import scan

MODULE = sys.modules[__name__]
HOPELESS = 3  # tries


# The order of the outcomes, with workers that finish and fail as they like.


class Crew:
    """Workers that write outcomes, or fail, as a test has it."""

    def __init__(self, ledger: Ledger, size: int = 2, draw=None) -> None:
        self.size = size
        self.ledger = ledger
        self.draw = draw or (lambda most: 0)  # a number from 0 to `most`
        self.problems: list[str | None] = []  # of the next ones to end; no more: None
        self.damaged: list[bool] = []  # whether what they write is
        self.busy: list[Chunk] = []
        self.described: list[str] = []
        self.outcome = an_outcome

    def is_free(self) -> bool:
        return len(self.busy) < self.size

    def give(self, chunk: Chunk) -> None:
        assert self.is_free()
        self.busy.append(chunk)

    def finished(self, wait: bool) -> Iterator[tuple[Chunk, str | None]]:
        least = 1 if wait else 0
        assert len(self.busy) >= least
        for _ in range(least + self.draw(len(self.busy) - least)):
            chunk = self.busy.pop(self.draw(len(self.busy) - 1))
            problem = self.problems.pop() if self.problems else None
            if problem is None:
                self.described.append(chunk.name)
                self.write(chunk)
            yield chunk, problem

    def write(self, chunk: Chunk) -> None:
        self.ledger.write(chunk, self.outcome(list(chunk.files)))
        if self.damaged and self.damaged.pop():
            path = self.ledger._folder / chunk.name
            path.write_bytes(path.read_bytes()[:-1])


@settings(deadline=None, max_examples=50)
@given(
    count=st.integers(1, 40),
    size=st.integers(1, 3),
    done=st.sets(st.integers(0, 9)),
    failures=st.lists(st.sampled_from([None, None, None, "lost"]), max_size=12),
    damaged=st.lists(st.sampled_from([False, False, False, True]), max_size=12),
    data=st.data(),
)
def test_outcomes_come_in_the_order_of_the_files(
    count, size, done, failures, damaged, data, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("incoming")
    ledger, files = a_ledger(folder), some_files(count)
    for i, (chunk, _) in enumerate(ledger.cut(files, 4)):
        if i in done:
            ledger.write(chunk, an_outcome(list(chunk.files)))
    crew = Crew(ledger, size, lambda most: data.draw(st.integers(0, most)))
    crew.problems, crew.damaged = [*failures], [*damaged]
    before = {path.name for path in folder.iterdir()}
    expected = [files[start : start + 4] for start in range(0, count, 4)]
    found: list[Described] = []
    try:
        for part in in_order(ledger.cut(files, 4), crew, ledger):
            assert same(part, an_outcome(expected[len(found)]))
            path = folder / ledger.chunk(expected[len(found)]).name
            assert path.exists(), "it stays until the next is asked for"
            assert len(list(folder.iterdir())) <= jobs._UNDER_WAY * size + len(before)
            found.append(part)
    except DataError:
        assert failures.count("lost") + damaged.count(True) >= HOPELESS
    else:
        assert len(found) == len(expected)
        assert list(folder.iterdir()) == []
    assert not before & set(crew.described), "what is done is not done again"


def test_only_a_few_chunks_are_under_way(tmp_path):
    """The first one is never done, and the others pile up: but not for ever."""
    ledger, files = a_ledger(tmp_path), some_files(100)
    coming = iter(ledger.cut(files, 2))
    crew = Crew(ledger, 2)
    first = None

    def all_but_the_first(wait: bool) -> Iterator[tuple[Chunk, str | None]]:
        nonlocal first
        first = first or crew.busy[0]
        others = [chunk for chunk in crew.busy if chunk is not first]
        if not others:
            raise KeyboardInterrupt
        crew.busy = [first]
        for chunk in others:
            crew.write(chunk)
            yield chunk, None

    crew.finished = all_but_the_first
    with pytest.raises(KeyboardInterrupt):
        next(in_order(coming, crew, ledger))
    assert len(list(tmp_path.iterdir())) == 2 * jobs._UNDER_WAY - 1
    assert next(coming)[0].files[0] == files[2 * 2 * jobs._UNDER_WAY]


def test_a_chunk_that_always_fails_is_named_by_its_first_file(tmp_path):
    ledger = a_ledger(tmp_path)
    crew = Crew(ledger, 1)
    crew.problems = ["too bad"] * HOPELESS + [None]  # the last one is popped first
    outcomes = in_order(ledger.cut(some_files(9), 5), crew, ledger)
    assert len(next(outcomes).files) == 5
    message = r"/photos/005\.jpg: this file and the 3 after it .* after 3 tries \(too bad\)"
    with pytest.raises(DataError, match=message):
        next(outcomes)


def test_damage_that_comes_again_and_again_is_told(tmp_path):
    ledger = a_ledger(tmp_path)
    crew = Crew(ledger, 1)
    crew.damaged = [True] * HOPELESS
    with pytest.raises(DataError, match=r"safetensors in the library's folder is damaged, or not"):
        next(in_order(ledger.cut(some_files(2)), crew, ledger))
    assert len(crew.described) == HOPELESS
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_here", [True, False])
def test_a_machine_that_sees_no_pictures_is_not_believed(is_here, tmp_path, picture):
    """What vanished really is missing here, too."""
    ledger = a_ledger(tmp_path / "incoming")
    path = picture("a.jpg") if is_here else tmp_path / "a.jpg"
    files = [File(path, 5, 6), File(tmp_path / "b.jpg", 5, 6)]
    crew = Crew(ledger, 1)
    crew.outcome = lambda some: Described(
        [replace(file, fault=("missing", "no such file")) for file in some],
        [],
        np.zeros((0, M), np.float16),
    )
    outcomes = in_order(ledger.cut(files), crew, ledger)
    if is_here:
        with pytest.raises(DataError, match=r"a machine does not see these files.*same paths"):
            next(outcomes)
    else:
        assert [part.files[0].fault[0] for part in outcomes] == ["missing"]


# A worker, in this process.


@pytest.fixture
def model(tmp_path):
    return save_seeing(tmp_path / "model")


@pytest.fixture
def photos(tmp_path):
    """Two faults, two copies, and a shard beside 21 other pictures."""
    folder = tmp_path / "photos"
    for i in range(21):
        put(folder / f"{i:02}.jpg", jpeg(f"{i}.jpg"))
    put(folder / "05b.jpg", jpeg("3.jpg"))
    put(folder / "11b.jpg", b"no picture")
    put(folder / "12b.jpg", b"")
    names = ["30.jpg", "3.jpg", "31.jpg"]
    put(tmp_path / "shard.tar", tar([(name, jpeg(name)) for name in names]))
    return folder


def a_worker(model: Path, folder: Path, identity: str = "", captions: bool = True) -> Worker:
    folder.mkdir(exist_ok=True)
    found = load(model, "cpu")
    return Worker(str(model), 32, folder, identity or found.identity, captions, MULTIMODAL)


@pytest.mark.parametrize("captions", [True, False])
def test_a_worker_writes_what_describing_yields(captions, model, photos, tmp_path):
    worker = a_worker(model, tmp_path / "incoming", captions=captions)
    captioner = load(model, "cpu")
    ledger = Ledger(tmp_path / "incoming", captioner.identity, captions, MULTIMODAL)
    files = scan([photos, tmp_path / "shard.tar"]).files * 2  # more than a batch
    chunk = ledger.chunk(files)
    assert worker.open() is None
    assert worker.describe(chunk) is None
    parts = list(describe(files, captioner, captions, lambda digest: False))
    assert len(parts) > 1
    whole = Described(
        [file for part in parts for file in part.files],
        [content for part in parts for content in part.contents],
        np.concatenate([part.vectors for part in parts]),
    )
    assert same(ledger.read(chunk), whole)


def test_a_worker_with_another_model_says_so(model, tmp_path):
    problem = a_worker(model, tmp_path / "incoming", "0" * 64).open()
    assert problem.startswith(f"{model}: another model on {socket.gethostname()} (")
    assert "than here (00000000); install the same mrnn everywhere" in problem


def test_a_worker_without_the_model_says_so(tmp_path):
    problem = Worker(str(tmp_path / "no"), 32, tmp_path, "0" * 64, True, MULTIMODAL).open()
    assert problem.startswith(f"{tmp_path}/no: cannot be opened on {socket.gethostname()} (")


def test_a_worker_that_does_not_see_the_library_says_so(model, photos, tmp_path):
    worker = a_worker(model, tmp_path / "incoming")
    worker.open()
    chunk = worker._ledger.chunk(scan([photos]).files[:2])
    (tmp_path / "incoming").rmdir()
    problem = worker.describe(chunk)
    assert problem.startswith(f"{tmp_path}/incoming/")
    assert problem.endswith(f"written on {socket.gethostname()} (No such file or directory)")


# Errors before anything is described.


def ask(describer, captioner, files=()) -> list[Described]:
    return list(describer(files, captioner, True, lambda digest: False))


def test_without_ray_the_line_to_type_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DependencyError, match=r"pip install 'mrnn\[ray\]'"):
        on_ray("auto", tmp_path)


def test_without_files_nobody_is_asked(tmp_path):
    """But leftovers are cleared."""
    pytest.importorskip("ray", reason="needs the extra ray")
    ledger = a_ledger(tmp_path / INCOMING)
    ledger.write(ledger.chunk(some_files(1)), an_outcome(some_files(1)))
    assert ask(on_ray("127.0.0.1:1", tmp_path / INCOMING), seeing()) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", ["", "ray://"])
@pytest.mark.parametrize("by_variable", [False, True])
def test_an_address_where_nobody_listens(scheme, by_variable, model, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="needs the extra ray")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"{scheme}127.0.0.1:{taken.getsockname()[1]}"
        if by_variable:
            monkeypatch.setenv("RAY_ADDRESS", address)
        describer = on_ray("auto" if by_variable else address, tmp_path / INCOMING)
        with pytest.raises(DataError, match=r"no Ray cluster .*refused.*ray start --head") as told:
            ask(describer, load(model, "cpu"), some_files(1))
    assert str(told.value).startswith(f"{address}: ")


def test_what_is_no_address_is_told_in_a_line(model, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="needs the extra ray")
    with pytest.raises(DataError, match=r"^nonsense: no Ray cluster can be reached") as told:
        ask(on_ray("nonsense", tmp_path / INCOMING), load(model, "cpu"), some_files(1))
    assert "\n" not in str(told.value)


def test_a_model_of_no_file_cannot_be_sent(tmp_path):
    pytest.importorskip("ray", reason="needs the extra ray")
    with pytest.raises(UsageError, match="a name, or a directory"):
        ask(on_ray("local", tmp_path / INCOMING), seeing(), some_files(1))


def test_ray_does_not_report_to_its_makers(monkeypatch, tmp_path):
    pytest.importorskip("ray", reason="needs the extra ray")
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    on_ray("auto", tmp_path)
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    on_ray("auto", tmp_path)
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "1"


# Actors that start, end, and are lost as a test has it.


class Ray:
    """What of Ray a crew uses; an answer is a value, or an error that `get` raises."""

    class exceptions:  # noqa: N801 - as in Ray
        class RayError(Exception):
            pass

        class RayTaskError(RayError):
            pass

    def __init__(self, openings: list, answers: list) -> None:
        self.openings, self.answers = openings, answers
        self.connected: list[str] = []
        self.alive: list[Actor] = []

    def start(self) -> Actor:
        self.alive.append(Actor(self))
        return self.alive[-1]

    def wait(self, asked, num_returns, timeout):
        assert asked, "of nothing there is nothing to wait for"
        ready = [one for one in asked if one[0] is not Ellipsis]
        return ready[:num_returns], []

    def get(self, one):
        if isinstance(one[0], Exception):
            raise one[0]
        return one[0]

    def kill(self, actor) -> None:
        self.alive.remove(actor)

    def is_initialized(self) -> bool:
        return bool(self.connected)

    def init(self, address: str, **options) -> None:
        self.connected = [address]

    def shutdown(self) -> None:
        print("told at the end")
        self.connected = []


class Actor:
    def __init__(self, ray: Ray) -> None:
        self.open = Method(ray.openings)
        self.describe = Method(ray.answers)


class Method:
    def __init__(self, answers: list) -> None:
        self.answers = answers

    def remote(self, *arguments):
        return self.answers.pop(0) if self.answers else None, object()


LOST = Ray.exceptions.RayError("The actor died.\n  It was killed.\n")
RAISED = Ray.exceptions.RayTaskError("Traceback\nMemoryError: too much")
CHUNK = Chunk("a", ())


def a_crew(size: int, openings: list, answers: list = ()) -> tuple[jobs._RayCrew, Ray]:
    ray = Ray([*openings], [*answers])
    return jobs._RayCrew(ray, ray.start, size), ray


def test_who_is_lost_is_replaced_and_who_raised_is_not():
    crew, ray = a_crew(1, [None, None], [LOST, RAISED, "a problem", None])
    assert not crew.is_free()
    assert list(crew.finished(wait=True)) == []
    assert crew.is_free()
    crew.give(CHUNK)
    assert not crew.is_free()
    lost = "the worker was lost: It was killed."
    assert list(crew.finished(wait=True)) == [(CHUNK, lost)]
    assert len(ray.alive) == 2
    assert list(crew.finished(wait=True)) == []  # the other one is ready
    for answer in ("MemoryError: too much", "a problem", None):
        crew.give(CHUNK)
        assert list(crew.finished(wait=True)) == [(CHUNK, answer)]
    assert list(crew.finished(wait=False)) == []
    assert len(ray.alive) == 2


def test_one_who_has_a_problem_at_the_start_ends_all():
    crew, _ = a_crew(2, [None, "another model"])
    with pytest.raises(DataError, match=r"^another model$"):
        list(crew.finished(wait=True))


def test_many_lost_at_the_start_are_replaced_but_not_for_ever():
    crew, ray = a_crew(2, [LOST] * 6 + [None] * 2)
    for _ in range(4):
        list(crew.finished(wait=True))
    crew.give(CHUNK)
    crew.give(CHUNK)
    assert len(ray.alive) == 8
    crew, _ = a_crew(2, [LOST] * 7)
    message = r"no worker can start on the Ray cluster \(It was killed.\); install the same mrnn"
    with pytest.raises(DataError, match=message):
        [list(crew.finished(wait=True)) for _ in range(4)]


def test_when_nobody_starts_there_is_an_end():
    crew, ray = a_crew(2, [..., ...])
    with pytest.raises(DataError, match="is a processor free there"):
        list(crew.finished(wait=True))
    assert list(crew.finished(wait=False)) == []
    crew.dismiss()
    assert ray.alive == []


def test_all_are_dismissed_whatever_they_do():
    crew, ray = a_crew(3, [None, None, ...], [...])
    list(crew.finished(wait=True))
    crew.give(CHUNK)
    assert list(crew.finished(wait=True)) == []  # it may take as long as it takes
    crew.dismiss()
    assert ray.alive == []


def test_what_was_begun_here_ends_here_and_stdout_is_for_data(capsys):
    ray = Ray([], [])
    with jobs._connected(ray, "local"):
        assert ray.connected == ["local"]
        print("a worker died")
    assert ray.connected == []
    assert capsys.readouterr() == ("", "a worker died\ntold at the end\n")
    ray.init("theirs")
    with jobs._connected(ray, "local"):
        print("data")
    assert ray.connected == ["theirs"]
    assert capsys.readouterr() == ("data\n", "")


def test_a_cluster_that_is_lost_is_told(capsys):
    ray = Ray([], [])
    message = r"^local: the Ray cluster was lost \(It was killed.\); give the same command"
    with pytest.raises(DataError, match=message), jobs._connected(ray, "local"):
        raise LOST
    assert ray.connected == []


# A cluster of two workers on this machine.


@pytest.fixture(scope="module")
def cluster():
    """Its address; this process is connected to it."""
    ray = pytest.importorskip("ray", reason="needs the extra ray")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        # Ray leaves sockets, pipes and processes to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef" * 4)  # else it writes one to the home
        ray.init(
            "local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
            object_store_memory=80 << 20,
        )
        ray.cloudpickle.register_pickle_by_value(MODULE)
        yield ray.get_runtime_context().gcs_address
        ray.cloudpickle.unregister_pickle_by_value(MODULE)
        ray.shutdown()
        gc.collect()


class Mortal(Worker):
    """Writes down what it describes; the first one to describe 08.jpg is killed at it."""

    def describe(self, chunk: Chunk) -> str | None:
        folder = self._ledger._folder.parent.parent
        with (folder / "described.txt").open("a") as log:
            log.write(f"{chunk.name}\n")
        if any(file.picture.name == "08.jpg" for file in chunk.files):
            with suppress(FileExistsError):
                (folder / "killed").touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
        return super().describe(chunk)


def described(folder: Path) -> Counter[str]:
    """How often each chunk was begun."""
    return Counter((folder / "described.txt").read_text().split())


def added(model: Path, photos: Path, name: str, **options) -> tuple[object, ...]:
    """What a library keeps, and what was told when it was made."""
    folder = photos.parent / name
    with Library.open(folder, load(model, "cpu")) as library:
        done = library.add([photos, photos.parent / "shard.tar"], **options)
    return dump(folder), replace(done, errors=()), [str(error) for _, error in done.errors]


def test_a_worker_is_killed(cluster, model, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "Worker", Mortal)
    describer = on_ray("local", tmp_path / "library" / INCOMING, chunk=4)
    made = added(model, photos, "library", describer=describer)
    assert made == added(model, photos, "alone")
    assert made[1].files == 27
    assert len(made[2]) == 2
    assert (tmp_path / "killed").exists()
    assert sorted(described(tmp_path).values()) == [1, 1, 1, 1, 1, 1, 2]
    assert not (tmp_path / "library" / INCOMING).exists()
    assert sys.modules["ray"].is_initialized(), "it was not begun by the describer"


# Kills itself when the third outcome is there and not yet entered.
DRIVER = """
import os, signal, sys
from pathlib import Path
from mrnn.captioner import load
from mrnn.library.jobs import on_ray
from mrnn.library.library import Library
address, model, library, *roots = sys.argv[1:]
def describe(*arguments):
    for i, part in enumerate(on_ray(address, Path(library, "incoming"), chunk=4)(*arguments)):
        if i == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        yield part
Library.open(library, load(model, "cpu")).add(roots, describer=describe)
"""


def test_the_driver_is_killed(cluster, model, photos, tmp_path, monkeypatch):
    roots = [photos, tmp_path / "shard.tar"]
    command = [sys.executable, "-c", DRIVER, cluster, model, tmp_path / "library", *roots]
    killed = subprocess.run(command, check=False, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    folder = tmp_path / "library" / INCOMING
    left = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert left
    (folder / next(iter(left)).replace("-4-", "-4-0")).write_bytes(b"of another time")
    monkeypatch.setattr(jobs, "Worker", Mortal)
    (tmp_path / "killed").touch()
    code, _, err = run(
        *("index", *roots, "--library", tmp_path / "library", "--model", model),
        *("--device", "cpu", "--ray", "auto"),
    )
    assert (code, err.count("mrnn: ")) == (3, 2)  # two files are no pictures
    assert dump(tmp_path / "library") == added(model, photos, "alone")[0]
    assert not left & set(described(tmp_path)), "what was done is not done again"
    assert not folder.exists()
