"""`mrnn serve` as a process: how it begins, and how it ends."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from http_clients import PATIENCE, answer, connect, head, talk
from libraries import save_seeing
from mrnn.captioner import load
from mrnn.commands.cli import app
from mrnn.errors import DataError
from mrnn.images.finding import printable
from mrnn.library.library import Library
from mrnn.server.running import listen
from mrnn.server.service import Service
from web_servers import address, serving

FORM = "multipart/form-data; boundary=b"


@pytest.fixture(autouse=True)
def _interruptible():
    """What a shell starts in the background ignores Ctrl-C, and so would these servers."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_seeing(tmp_path_factory.mktemp("model") / "quick")


def picture() -> bytes:
    file = io.BytesIO()
    draw = np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(draw).save(file, "PNG")
    return file.getvalue()


@contextmanager
def begun(tmp_path: Path, model: Path) -> Iterator[tuple[subprocess.Popen, int, Path, Callable]]:
    """A server in the middle of a request; the last one sends the rest, and reads the answer."""
    log = tmp_path / "log"
    body = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    body += picture() + b"\r\n--b--\r\n"
    start = head(
        "POST /v1/caption HTTP/1.1", f"Content-Type: {FORM}", f"Content-Length: {len(body)}"
    )
    with serving(log, "--model", model) as server:
        port = urlsplit(address(server, log)).port
        with connect(port) as connection:
            connection.sendall(start + body[:200])
            while b"mrnn_serving 1.0" not in talk(port, head("GET /metrics HTTP/1.1")).body:
                pass

            def rest():
                connection.sendall(body[200:])
                return answer(connection)

            yield server, port, log, rest


def until_closed(port: int) -> None:
    """Knock until nobody opens: the server has heard the signal."""
    while True:
        try:
            connect(port).close()
        except ConnectionResetError:  # at the moment at which the door is shut
            continue
        except ConnectionRefusedError:
            return


@pytest.mark.parametrize(
    ("signals", "code", "told"),
    [
        ([signal.SIGTERM], 0, ""),
        ([signal.SIGTERM, signal.SIGTERM], 0, ""),
        ([signal.SIGINT], 130, "mrnn: interrupted\n"),
    ],
)
def test_what_was_begun_is_answered_before_the_end(tmp_path, model, signals, code, told):
    with begun(tmp_path, model) as (server, port, log, rest):
        for number in signals:
            server.send_signal(number)
            until_closed(port)
        found = rest()
        assert found.status == 200
        assert found.json()["results"][0]["words"]
        assert server.wait(PATIENCE) == code
        assert log.read_text() == f"mrnn: http://127.0.0.1:{port}/\n{told}"


def test_a_second_ctrl_c_waits_for_nobody(tmp_path, model):
    with begun(tmp_path, model) as (server, port, log, _):
        server.send_signal(signal.SIGINT)
        until_closed(port)
        server.send_signal(signal.SIGINT)
        assert server.wait(PATIENCE) == 130
        assert "Traceback" not in log.read_text()
        assert log.read_text().endswith("mrnn: interrupted\n")


# What keeps it from beginning


def run(*arguments: object) -> tuple[int, str]:
    """Exit code and stderr of a `mrnn serve` that cannot begin."""
    result = CliRunner().invoke(app, ["serve", *map(str, arguments)], catch_exceptions=False)
    assert result.stdout == ""
    return result.exit_code, result.stderr


def test_a_port_that_is_taken(model):
    with listen("127.0.0.1", 0) as other:
        port = other.getsockname()[1]
        code, told = run("--model", model, "--port", port)
    assert code == 1
    assert told.startswith(f"mrnn: 127.0.0.1:{port}: cannot listen there (")
    assert "choose another with --port" in told


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "a b"])
def test_an_address_that_is_not_of_this_machine(model, host, monkeypatch):
    monkeypatch.setenv("MRNN_KEY", "abcdefghijklmnop")
    code, told = run("--model", model, "--host", host, "--port", 0)
    assert code == 1
    assert told.startswith(f"mrnn: {host}:0: cannot listen there (")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_other_machines_need_a_key(model, host, monkeypatch):
    monkeypatch.delenv("MRNN_KEY", raising=False)
    code, told = run("--model", model, "--host", host)
    assert code == 2
    assert told.startswith(f"mrnn: {host} can be reached from other machines: give a key")


@pytest.mark.parametrize(
    ("content", "code", "told"),
    [
        (b"", 2, "the file is empty"),
        (b" \n", 2, "the file is empty"),
        (b"short", 2, "a key has 16 printable ASCII characters or more"),
        (b"with a space in between", 2, "no space"),
        ("schlüsselschlüssel".encode(), 2, "printable ASCII"),
        (b"\xff" * 20, 1, "cannot be read (not UTF-8)"),
        (None, 1, "cannot be read (No such file or directory)"),
    ],
)
def test_a_key_file_that_will_not_do(tmp_path, model, content, code, told):
    file = tmp_path / "key\x1b"
    if content is not None:
        file.write_bytes(content)
    found = run("--model", model, "--key-file", file)
    assert found[0] == code
    assert found[1].startswith(f"mrnn: {printable(file)}: ")
    assert told in found[1]
    assert "secret" not in found[1]


def test_a_key_of_the_environment_is_checked_and_not_shown(model, monkeypatch):
    monkeypatch.setenv("MRNN_KEY", "hush")
    code, told = run("--model", model)
    assert code == 2
    assert told.startswith("mrnn: MRNN_KEY: a key has 16")
    assert "hush" not in told


def test_a_library_that_is_none(tmp_path, model):
    nowhere = tmp_path / "nowhere\x1b"
    code, told = run("--library", nowhere, "--port", 0)
    assert code == 1
    assert told.startswith(f"mrnn: {printable(nowhere)}: ")
    assert not nowhere.exists()
    file = tmp_path / "file"
    file.write_text("no library")
    assert run("--library", file, "--port", 0)[0] == 1
    (tmp_path / "empty").mkdir()
    code, told = run("--library", tmp_path / "empty", "--port", 0)
    assert code == 1
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_library_that_does_not_suit_the_model(tmp_path, model):
    folder = tmp_path / "library"
    (tmp_path / "a.png").write_bytes(picture())
    with Library.open(folder, load(str(model))) as library:
        library.add([tmp_path / "a.png"])
    other = save_seeing(tmp_path / "other", seed=7)
    code, told = run("--library", folder, "--model", other, "--port", 0)
    assert code == 1
    assert told.startswith(f"mrnn: {folder}: made with another model (")
    (folder / "vectors/00000.f16").unlink()
    code, told = run("--library", folder, "--port", 0)
    assert code == 1
    assert told.startswith(f"mrnn: {folder}/vectors/00000.f16: ")


def test_a_server_that_cannot_warm_up_is_no_success(model, monkeypatch):
    async def fail(_: Service) -> None:
        raise DataError("no")

    monkeypatch.setattr(Service, "warm_up", fail)
    code, told = run("--model", model, "--port", 0)
    assert code == 1
    assert told.endswith("mrnn: the server could not begin; what went wrong is told above\n")


def test_a_library_that_may_not_be_read(tmp_path, model):
    folder = tmp_path / "library"
    (tmp_path / "a.png").write_bytes(picture())
    with Library.open(folder, load(str(model))) as library:
        library.add([tmp_path / "a.png"])
    content = (folder / "catalogue.sqlite").read_bytes()
    (folder / "catalogue.sqlite").write_bytes(b"no database at all" + content[18:])
    code, told = run("--library", folder, "--port", 0)
    assert code == 1
    assert told.startswith("mrnn: ")
    assert "catalogue.sqlite" in told


def test_a_model_that_is_none(tmp_path):
    code, told = run("--model", tmp_path / "none", "--port", 0)
    assert code == 1
    assert "none" in told


def test_without_the_packages_of_the_extra(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    code, told = run("--model", model)
    assert code == 1
    assert told == "mrnn: the server needs the package uvicorn; type: pip install 'mrnn[serve]'\n"
