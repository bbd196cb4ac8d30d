"""The catalogue: what was entered, as a whole or not at all, and clear words for a damaged file."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libraries import as_format_1
from mrnn.errors import DataError
from mrnn.images.finding import Member, printable
from mrnn.library import catalogue as module
from mrnn.library.catalogue import Catalogue, open_catalogue
from mrnn.library.contents import Content, File, State

FACTS = {"model": "plain", "identity": "1" * 64}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "catalogue.sqlite"


@pytest.fixture
def catalogue(path):
    with closing(open_catalogue(path, FACTS)) as opened:
        yield opened


def digest(number: int) -> bytes:
    return bytes([number]) * 32


def content(number: int, **more: object) -> Content:
    return Content(digest(number), **{"row": number, "size": (640, 480), **more})


def enter(catalogue: Catalogue, places: dict[bytes | str, int]) -> None:
    """Enter files by path, each with the number of its content."""
    with catalogue.transaction():
        numbers = sorted(set(places.values()))
        catalogue.add_contents(map(content, numbers), max(numbers) + 1)
        files = [File(Path(os.fsdecode(p)), 9, 5, digest(n)) for p, n in places.items()]
        catalogue.put_files(files)


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        open_catalogue(path)
    message = str(caught.value)
    assert printable(path.parent) in message
    assert message.isprintable()
    return message


def damage(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


# What goes in comes out.


def test_files_come_back_with_all_that_is_known(catalogue, path):
    photo = File(Path("/photos/\udcff\n狗.jpg"), 10, 2**62, digest(0))
    member = File(Member(Path("/a.tar"), "x/\udcfe.png", 512, 20), 20, 5, digest(1))
    gone = File(Path("/photos/z.jpg"), 0, -5, None, ("empty", "the file is empty"))
    contents = [
        content(0, caption=("a dog", 3.5)),
        Content(digest(1), fault=("damaged", "cut short")),
    ]
    with catalogue.transaction():
        catalogue.add_contents(contents, 1)
        catalogue.put_files([photo, member, gone])
    with closing(open_catalogue(path)) as other:
        assert list(other.files()) == [(member, contents[1]), (gone, None), (photo, contents[0])]
        unreadable = {file: str(error) for file, error in other.unreadable()}
        assert unreadable == {
            member: "/a.tar:x/\\xfe.png: cut short",
            gone: "/photos/z.jpg: the file is empty",
        }
        assert other.counts() == {"files": 3, "pictures": 1, "unreadable": 2}
        assert other.rows() == [0]
        assert other.next_row() == 1
        assert other.facts() == {"format": "3", "rows": "1", "vectors": "vectors", **FACTS}


def test_a_file_takes_the_place_of_what_was_known_of_it(catalogue):
    enter(catalogue, {"/a.jpg": 0})
    catalogue.put_files([File(Path("/a.jpg"), 1, 1, None, ("missing", "no such file"))])
    [(file, known)] = catalogue.files()
    assert (file.size, file.fault, known) == (1, ("missing", "no such file"), None)
    assert catalogue.knows(digest(0))
    assert catalogue.rows() == []


NAMES = st.lists(st.sampled_from([b"a", b"b", b"a.b", b"a0", b"\xff", b"a\x01", b"-"]), max_size=3)


def test_what_lies_at_or_below_a_path(catalogue):
    """The dumb twin: compare the parts of the paths."""
    catalogue._all("PRAGMA synchronous = 0")

    @given(st.sets(NAMES.map(tuple), max_size=12), NAMES)
    @settings(max_examples=60, deadline=None)
    def check(names: set[tuple[bytes, ...]], root: list[bytes]) -> None:
        paths = {b"/" + b"/".join(name): name for name in names if name}
        files = [File(Path(os.fsdecode(key)), 1, 1) for key in paths]
        files += [File(Member(f.picture, "m.jpg", 0, 1), 1, 1) for f in files]
        with catalogue.transaction():
            catalogue.drop_files([file.key for file, _ in catalogue.files()])
            catalogue.put_files(files)
        at = Path(os.fsdecode(b"/" + b"/".join(root)))
        below = [key for key, name in paths.items() if name[: len(root)] == tuple(root)]
        expected = sorted([*below, *(key + b"\0m.jpg" for key in below)])
        assert sorted(file.key for file, _ in catalogue.files(at)) == expected
        assert sorted(catalogue.states(at)) == expected

    check()


def test_pictures_of_many_rows(catalogue):
    count = module._AT_ONCE + 3
    numbers = [i.to_bytes(32, "big") for i in range(count)]
    with catalogue.transaction():
        catalogue.add_contents((Content(n, row=i) for i, n in enumerate(numbers)), count)
        catalogue.put_files(File(Path(f"/{i % 7}/{i}"), 1, 1, n) for i, n in enumerate(numbers))
        catalogue.put_files([File(Path("/0/copy"), 1, 1, numbers[-1])])
    found = catalogue.pictures([*range(count), count + 5])
    assert sorted(found) == list(range(count))
    assert all(found[i][0].digest == numbers[i] for i in range(count))
    assert found[count - 1][1] == [Path("/0/copy"), Path(f"/{(count - 1) % 7}/{count - 1}")]


def test_rows_are_of_pictures_that_lie_somewhere(catalogue):
    enter(catalogue, {"/a": 0, "/b": 1, "/c": 1, "/d": 2})
    catalogue.drop_files([b"/a", b"/b"])
    assert catalogue.rows() == catalogue.without_caption() == [1, 2]
    assert catalogue.counts()["pictures"] == 2
    assert catalogue.knows(digest(0))
    catalogue.set_captions({1: ("a dog", 2.0)})
    assert catalogue.without_caption() == [2]
    catalogue.forget_unused()
    assert not catalogue.knows(digest(0))
    assert catalogue.next_row() == 3


def test_lost_rows_are_to_be_read_anew(catalogue):
    enter(catalogue, {"/a": 0, "/b": 1, "/c": 2, "/d": 3})
    catalogue.forget_rows([range(1), range(2, 3)])
    assert [(file.key, file.digest) for file, _ in catalogue.files()] == [
        (b"/a", None),
        (b"/b", digest(1)),
        (b"/c", None),
        (b"/d", digest(3)),
    ]
    assert catalogue.rows() == [1, 3]
    assert catalogue.next_row() == 4


def test_begin_anew_keeps_the_files_alone(catalogue):
    enter(catalogue, {"/a": 0})
    catalogue.add_roots([Path("/")])
    catalogue.begin_anew({"model": "/\udcff", "identity": "2"})
    [(file, known)] = catalogue.files()
    assert (file.digest, known) == (None, None)
    new = {"model": "/\udcff", "identity": "2"}
    assert catalogue.facts() == {"format": "3", "rows": "0", "vectors": "vectors", **new}
    assert catalogue.roots() == [Path("/")]


def test_roots_are_remembered_once(catalogue):
    for _ in range(2):
        catalogue.add_roots([Path("/b"), Path("/a\udc80")])
    assert catalogue.roots() == [Path("/a\udc80"), Path("/b")]
    catalogue.drop_roots([b"/b", b"/c"])
    assert catalogue.roots() == [Path("/a\udc80")]


# As a whole or not at all; readers and a writer at once.


def test_a_failed_transaction_leaves_nothing(catalogue):
    def fail() -> None:
        with catalogue.transaction():
            catalogue.add_contents([content(0)], 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not catalogue.knows(digest(0))
    assert catalogue.next_row() == 0
    enter(catalogue, {"/a": 0})
    assert catalogue.rows() == [0]


def test_readers_see_what_is_committed(catalogue, path):
    with closing(open_catalogue(path)) as reader:
        version = reader.version()
        assert reader.version() == version
        with catalogue.transaction():
            catalogue.add_contents([content(0)], 1)
            assert not reader.knows(digest(0))
            assert reader.version() == version
        assert reader.knows(digest(0))
        assert reader.version() != version


def test_a_second_writer_waits_and_is_told(catalogue, path, monkeypatch):
    monkeypatch.setattr(module, "_WAIT", 0.01)
    said = pytest.raises(DataError, match="another process is writing; try again when it has ended")
    with closing(open_catalogue(path)) as other, catalogue.transaction(), said:
        enter(other, {"/a": 0})


def test_a_full_disk_keeps_what_was_there(catalogue):
    enter(catalogue, {"/a": 0})
    pages = catalogue._number("PRAGMA page_count")
    catalogue._number(f"PRAGMA max_page_count = {pages + 2}")
    many = {f"/{'x' * 200}/{i}": i for i in range(1, 200)}
    with pytest.raises(DataError, match=r"cannot be written \(.*full\); make room and go on"):
        enter(catalogue, many)
    assert catalogue.rows() == [0]
    catalogue._number("PRAGMA max_page_count = 100000")
    enter(catalogue, many)
    assert len(catalogue.rows()) == 200


def killed_in_a_transaction(path: Path) -> None:
    """A process that dies when some of its transaction has been written, and not all."""
    child = os.fork()
    if not child:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO roots VALUES (?)", [(b"%0900d" % i,) for i in range(99)]
        )
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert path.with_name(f"{path.name}-journal").stat().st_size > 512


@pytest.mark.parametrize("facts", [None, FACTS], ids=["reader", "writer"])
def test_after_a_writer_was_killed_while_it_wrote(path, facts):
    with closing(open_catalogue(path, FACTS)) as catalogue:
        enter(catalogue, {"/a": 0})
    killed_in_a_transaction(path)
    with closing(open_catalogue(path, facts)) as opened:
        opened.check()
        assert opened.roots() == []
        assert opened.rows() == [0]


def test_made_whole_or_not_at_all(path, monkeypatch):
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Catalogue, "begin_anew", fail)
        with pytest.raises(KeyboardInterrupt):
            open_catalogue(path, FACTS)
    assert not path.exists()
    path.with_name(".catalogue.sqlite.new").write_text("of a run that was killed")
    path.with_name(".catalogue.sqlite.new-journal").write_text("its journal")
    open_catalogue(path, FACTS).close()
    assert [entry.name for entry in path.parent.iterdir()] == ["catalogue.sqlite"]


# Files that are not what they should be.


def test_there_is_none(tmp_path):
    message = refused(tmp_path / "li\nb" / "catalogue.sqlite")
    folder = f"{tmp_path}/li\\nb"
    assert message == (
        f"{folder}: no library there; make one: mrnn index PATH... --library {folder}"
    )


def test_somebody_else_s_database(path):
    damage(path, "CREATE TABLE songs (name)")
    content = path.read_bytes()
    assert refused(path) == f"{path}: not a library of mrnn; name another directory"
    with pytest.raises(DataError, match="not a library of mrnn"):
        open_catalogue(path, FACTS)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"my own notes\n" * 99])
def test_no_database(path, content):
    path.write_bytes(content)
    message = refused(path)
    assert "not a library of mrnn" in message or "the catalogue is damaged" in message
    with pytest.raises(DataError):
        open_catalogue(path, FACTS)
    assert path.read_bytes() == content


def test_of_another_version(catalogue, path):
    damage(path, "UPDATE facts SET value = '4' WHERE name = 'format'")
    assert refused(path) == (
        f"{path}: made by another version of mrnn; remove {path.parent} and index again"
    )


def test_format_1_is_read_as_it_is_and_brought_up_to_date_to_be_written(path):
    with closing(open_catalogue(path, FACTS)) as catalogue:
        enter(catalogue, {"/a.jpg": 0, "/b.jpg": 1})
        before = list(catalogue.files())
    as_format_1(path)
    content = path.read_bytes()
    with closing(open_catalogue(path)) as reader:
        assert list(reader.files()) == before
        assert reader.pictures([0, 1]).keys() == {0, 1}
        assert reader.counts()["files"] == 2
        assert not reader.is_upgraded
    assert path.read_bytes() == content
    for is_upgraded in (True, False):
        with closing(open_catalogue(path, FACTS)) as writer:
            writer.bring_up_to_date()
            assert writer.is_upgraded == is_upgraded
            assert list(writer.files()) == before
            state = writer.states(Path("/"))[b"/a.jpg"]
            assert state == (9, 5, None, None, None, digest(0), None)
            assert state.is_that_of(File(Path("/a.jpg"), 9, 5, ctime_ns=7, inode=8))
            assert writer.facts()["format"] == "3"


def test_a_file_is_known_again_by_all_that_is_known_of_it(catalogue):
    file = File(Path("/a.jpg"), 9, 5, digest(0), None, 7, 8)
    with catalogue.transaction():
        catalogue.add_contents([content(0)], 1)
        catalogue.put_files([file])
    state = catalogue.states(Path("/a.jpg"))[b"/a.jpg"]
    assert state == State(*file.marks, file.digest)
    assert state.is_that_of(replace(file, digest=None))
    for other in ({"size": 8}, {"mtime_ns": 4}, {"ctime_ns": 6}, {"inode": 7}):
        assert not state.is_that_of(replace(file, **other))
    catalogue.put_marks([replace(file, ctime_ns=17, inode=18)])
    later = replace(file, ctime_ns=17, inode=18)
    assert catalogue.states(Path("/"))[b"/a.jpg"] == State(*later.marks, file.digest)
    assert not state._replace(digest=None).is_that_of(file)  # to be read anew


def test_patterns_are_kept_until_others_come(catalogue):
    assert catalogue.exclude() == []
    for patterns, kept in (
        (["*.png", "a/*\udcff"], ["*.png", "a/*\udcff"]),
        (["", "x"], ["x"]),
        ([""], []),
    ):
        catalogue.put_exclude(patterns)
        assert catalogue.exclude() == kept


def test_a_folder_in_its_place(path):
    path.mkdir()
    assert "cannot be opened or written here" in refused(path)


def test_it_cannot_be_made(tmp_path):
    with pytest.raises(DataError, match=r"cannot be made \(No such file or directory\)"):
        open_catalogue(tmp_path / "absent" / "catalogue.sqlite", FACTS)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM facts WHERE name = 'identity'",
        "DELETE FROM facts WHERE name = 'model'",
        "DELETE FROM facts WHERE name = 'rows'",
        "UPDATE facts SET value = 'ten' WHERE name = 'rows'",
        "UPDATE facts SET value = '-1' WHERE name = 'rows'",
        "DROP TABLE roots",
    ],
)
def test_facts_that_are_missing_or_cannot_be(catalogue, path, statement):
    damage(path, statement)
    message = refused(path)
    assert "the catalogue is damaged; get it from a backup" in message or "not a library" in message


@pytest.mark.parametrize(
    ("statement", "look"),
    [
        ("UPDATE files SET path = 'text'", lambda c: list(c.files())),
        ("UPDATE files SET path = 'text'", lambda c: c.pictures([0])),
        ("UPDATE files SET size = x'00'", lambda c: list(c.files())),
        ("UPDATE files SET mtime_ns = 'soon'", lambda c: c.states(Path("/"))),
        ("UPDATE contents SET caption = x'00'", lambda c: c.pictures([0])),
        ("UPDATE contents SET perplexity = 'low', caption = 'a'", lambda c: c.pictures([0])),
        ("UPDATE contents SET row = 1", lambda c: c.rows()),
        ("UPDATE contents SET row = -1", lambda c: c.rows()),
        ("UPDATE contents SET row = 'one'", lambda c: c.rows()),
        ("UPDATE contents SET row = .5", lambda c: c.without_caption()),
        ("UPDATE contents SET row = 7", lambda c: c.without_caption()),
        ("INSERT INTO roots VALUES ('text')", lambda c: c.roots()),
        ("UPDATE files SET ctime_ns = 'soon'", lambda c: c.states(Path("/"))),
        ("UPDATE files SET inode = x'00'", lambda c: c.states(Path("/"))),
        ("INSERT INTO facts VALUES ('exclude', 'a')", lambda c: c.exclude()),
        ("INSERT INTO facts VALUES ('exclude', '[1]')", lambda c: c.exclude()),
        ("INSERT INTO facts VALUES ('exclude', '\"a\"')", lambda c: c.exclude()),
    ],
)
def test_values_of_another_kind(catalogue, path, statement, look):
    """SQLite takes any value in any column, and so may a damaged file hold it."""
    enter(catalogue, {"/a": 0})
    look(catalogue)
    damage(path, statement)
    with pytest.raises(
        DataError, match="the catalogue is damaged; get it from a backup, or remove"
    ):
        look(catalogue)


def everything(path: Path) -> None:
    """Read all that there is to be read."""
    with closing(open_catalogue(path)) as opened:
        opened.check()
        opened.counts(), opened.roots(), opened.rows(), opened.without_caption()
        opened.pictures(range(8))
        list(opened.files()), list(opened.unreadable(Path("/a"))), opened.exclude()
        opened.states(Path("/"))


@pytest.mark.parametrize("seed", range(60))
def test_damaged_bytes_never_lead_to_a_traceback(tmp_path_factory, whole, seed):
    lots = random.Random(seed)
    content = bytearray(whole)
    used = [at for at, byte in enumerate(content) if byte]
    match lots.randrange(4):
        case 0:
            del content[lots.randrange(len(content)) :]
        case 1:
            start = lots.randrange(len(content))
            content[start : start + lots.choice([16, 512, 4096])] = bytes(16)
        case _:
            for at in lots.choices(used, k=lots.choice([1, 2, 8])):
                content[at] = lots.choice(
                    [content[at] ^ 1 << lots.randrange(8), lots.randrange(256)]
                )
    path = tmp_path_factory.mktemp("damaged") / "catalogue.sqlite"
    path.write_bytes(content)
    message = fault(path)
    assert message is None or (message.startswith(str(path)) and message.isprintable())


def fault(path: Path) -> str | None:
    try:
        everything(path)
    except DataError as error:
        return str(error)
    return None


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "catalogue.sqlite"
    with closing(open_catalogue(path, FACTS)) as catalogue:
        enter(catalogue, {f"/a/{i}.jpg": i % 8 for i in range(24)})
        catalogue.set_captions({0: ("a dog runs", 2.5), 3: ("a cat", 3.5)})
        catalogue.add_roots([Path("/a")])
        catalogue.put_files([File(Path("/a/x"), 1, 1, None, ("missing", "no such file"))])
    everything(path)
    return path.read_bytes()


@pytest.mark.parametrize("name", ["../elsewhere", "vectors/..", "/", "", "vectors-x"])
def test_the_vectors_lie_nowhere_else(path, name):
    with closing(open_catalogue(path, FACTS)) as catalogue, catalogue.transaction():
        catalogue.put_facts({"vectors": name})
    with pytest.raises(DataError, match="the catalogue is damaged"):
        open_catalogue(path)


def test_a_content_that_can_be_read_at_last(catalogue):
    with catalogue.transaction():
        catalogue.add_contents([Content(digest(1), fault=("damaged", "no"))], 0)
    assert not catalogue.knows(digest(1))
    read = Content(digest(1), 0, (3, 4), ("a dog", 2.0))
    with catalogue.transaction():
        catalogue.add_contents([read], 1)
        catalogue.put_files([File(Path("/a"), 1, 1, digest(1))])
    assert catalogue.knows(digest(1))
    assert [content for _, content in catalogue.files()] == [read]
    assert not catalogue.has_unread()
    with catalogue.transaction():
        catalogue.forget_rows([range(1)])
    assert catalogue.has_unread()
