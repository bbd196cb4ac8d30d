"""The OpenAPI document: true of the server, in its examples and under schemathesis."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from PIL import Image
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from http_clients import live
from libraries import seeing, threshold
from mrnn.library.library import Library

ROOT = Path(__file__).parents[2]
WRITTEN = json.loads((ROOT / "docs" / "openapi.json").read_text())
pytestmark = pytest.mark.filterwarnings(  # Starlette leaves the file of a part without end open
    "ignore:Unclosed file <tempfile.Spooled:ResourceWarning"
)
POSTED = ("caption", "explain", "score", "rank", "search")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openapi")
    Image.new("RGB", (40, 30), "teal").save(folder / "teal.png")
    captioner = seeing(match=threshold())
    with Library.open(folder / "library", captioner) as library:
        library.add([folder / "teal.png"])
        with live(captioner, library) as found:
            yield found


@pytest.fixture(scope="module")
def document(server) -> dict:
    return server.http.get("/openapi.json").json()


@pytest.fixture(scope="module")
def api(server):
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


# What the document says


def test_the_document_is_valid(api):
    api.validate()  # against the schema of OpenAPI 3.1


def test_the_document_is_the_one_of_the_documentation(document):
    written = (ROOT / "docs" / "openapi.json").read_text()
    assert json.dumps(document, indent=1, ensure_ascii=False) + "\n" == written, "type: make docs"


def test_every_route_is_described(document):
    for path, methods in document["paths"].items():
        for route in methods.values():
            assert route["description"].endswith(".") or "?" in route["description"], path
            assert "200" in route["responses"]
            assert "401" in route["responses"] or path in {"/livez", "/readyz"}
    for name in POSTED:
        body = document["paths"][f"/v1/{name}"]["post"]["requestBody"]["content"]
        for kind in ("multipart/form-data", "application/json"):
            for field, told in body[kind]["schema"]["properties"].items():
                assert told.get("description"), field
                assert {"type", "anyOf", "enum"} & told.keys(), field


@pytest.mark.parametrize("name", POSTED)
def test_the_examples_work(server, document, name):
    route = document["paths"][f"/v1/{name}"]["post"]
    body = route["requestBody"]["content"]["application/json"]
    resolved = {"components": document["components"]}
    Draft202012Validator({**body["schema"], **resolved}).validate(body["example"])
    answer = server.http.post(f"/v1/{name}", json=body["example"])
    assert answer.status_code == 200, answer.text
    told = route["responses"]["200"]["content"]["application/json"]["schema"]
    Draft202012Validator({**told, **resolved}).validate(answer.json())
    assert answer.json()["results"] or answer.json()["unknown"]  # of a small vocabulary


# What the server does


@pytest.mark.parametrize(
    ("path", "method", "mode"),
    [
        (path, method, mode)
        for path, methods in WRITTEN["paths"].items()
        for method, route in methods.items()
        for mode in GenerationMode
        if mode is GenerationMode.POSITIVE or {"requestBody", "parameters"} & route.keys()
    ],
)
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_every_answer_is_one_that_the_document_tells_of(api, path, method, mode, data):
    case = data.draw(api[path][method].as_strategy(generation_mode=mode))
    case.call_and_validate(
        checks=[
            not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
        ]
    )
