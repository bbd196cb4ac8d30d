"""The addresses that `mrnn serve` tells: for this machine, and for others."""

from __future__ import annotations

import ipaddress
import re
import socket

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from libraries import seeing
from mrnn.commands import server
from mrnn.commands.cli import app
from mrnn.server import running

KEY = "a-key-of-the-tests"


@pytest.fixture
def serve(monkeypatch):
    """Start `mrnn serve` as far as it would listen: what it tells, and its application."""

    def run(*options: str, lan: str | None = "192.0.2.7"):
        served = []
        monkeypatch.setenv("MRNN_KEY", KEY)
        monkeypatch.setattr(server, "_open", lambda *_: (seeing(), None))
        monkeypatch.setattr(server, "require_model", lambda _: None)
        monkeypatch.setattr(running, "lan_address", lambda host: lan)

        def talk(application, listening, limits) -> None:
            place = f"http://{lan or 'localhost'}:{listening.getsockname()[1]}"
            headers = {"Authorization": f"Bearer {KEY}"}
            with TestClient(application, place, headers=headers) as client:
                served.append(client.get("/v1/model"))

        monkeypatch.setattr(running, "run", talk)
        done = CliRunner().invoke(app, ["serve", "--port", "0", *options])
        assert done.exit_code == 0, done.output
        port = re.search(r":(\d+)/", done.stderr)[1]
        [answer] = served
        return done.stderr.replace(port, "PORT"), answer, port

    return run


def test_others_are_told_the_address_in_their_network(serve):
    told, answer, port = serve("--host", "0.0.0.0")
    assert told == (
        "mrnn: http://localhost:PORT/\n"
        "mrnn: http://192.0.2.7:PORT/ on other machines of the network, with the key\n"
    )
    assert answer.status_code == 200  # it answers for that name, too
    assert answer.json()["address"] == f"http://192.0.2.7:{port}/"


def test_a_machine_without_a_network_has_none(serve):
    told, answer, _ = serve("--host", "0.0.0.0", lan=None)
    assert told == "mrnn: http://localhost:PORT/\n"
    assert answer.json()["address"] is None


def test_who_listens_to_this_machine_alone_tells_nobody(serve):
    told, answer, _ = serve(lan="127.0.0.1")
    assert told == "mrnn: http://127.0.0.1:PORT/\n"
    assert answer.json()["address"] is None


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("LOCALHOST", "localhost"),
        ("MyBox.Local", "mybox.local"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0::1", "[2001:db8::1]"),
    ],
)
def test_it_answers_for_the_host_as_browsers_send_it(serve, monkeypatch, host, named):
    monkeypatch.setattr(running, "listen", lambda *_: socket.create_server(("127.0.0.1", 0)))
    told, answer, _ = serve("--host", host, lan=named)
    assert told == f"mrnn: http://{named}:PORT/\n"
    assert answer.status_code == 200


def test_the_address_is_found_without_a_packet(monkeypatch):
    kinds = []
    real = socket.socket

    def opened(family: int, kind: int) -> socket.socket:
        kinds.append(kind)
        return real(family, kind)

    monkeypatch.setattr(socket, "socket", opened)
    for host in ("0.0.0.0", "::"):
        found = running.lan_address(host)
        if found is not None:
            version = ipaddress.ip_address(found.strip("[]")).version
            assert version == (6 if ":" in host else 4)
    assert set(kinds) == {socket.SOCK_DGRAM}  # which a connection sends nothing by


def test_no_way_out_is_no_address(monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "socket", fail)
    assert running.lan_address("0.0.0.0") is None
