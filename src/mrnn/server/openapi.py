"""What the OpenAPI document says of routes that FastAPI cannot see for itself."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from pydantic import BaseModel

from .answers import ProblemAnswer
from .problems import TITLES
from .requests import (
    FORM,
    JSON,
    CaptionRequest,
    ExplainRequest,
    ExportRequest,
    RankRequest,
    ScoreRequest,
    SearchRequest,
)

_REF = "#/components/schemas/{model}"


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's document with what it cannot see: the schema of problems, and the key."""
    problem = ProblemAnswer.model_json_schema(ref_template=_REF)
    components = document["components"]
    components["schemas"] |= {**problem.pop("$defs"), "ProblemAnswer": problem}
    meaning = "Only for servers that were started with a key."
    key = {"type": "http", "scheme": "bearer", "description": meaning}
    components["securitySchemes"] = {"key": key}
    return {**document, "security": [{}, {"key": []}]}


def posted(request: type[BaseModel], answer: type[BaseModel]) -> dict[str, Any]:
    """What the OpenAPI document says of a POST route, whose body the route reads itself."""
    schema = request.model_json_schema(ref_template=_REF)
    form = {**schema, "properties": {**schema["properties"], "image": _FILES}}
    content = {FORM: {"schema": form}, JSON: {"schema": schema, "example": _EXAMPLES[request]}}
    return {
        "response_model": answer,
        "responses": problems_of(400, 401, 404, 408, 413, 415, 422, 429, 503),
        "openapi_extra": {"requestBody": {"required": True, "content": content}},
    }


_FILES = {
    "type": "array",
    "items": {"type": "string", "contentMediaType": "application/octet-stream", "format": "binary"},
    "description": "Picture files.",
}
_PIXEL = "R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs="  # a GIF of one white pixel
_EXAMPLES: dict[type[BaseModel], dict[str, Any]] = {
    CaptionRequest: {"image": _PIXEL, "beam": 3, "n_best": 3},
    ExplainRequest: {"image": _PIXEL, "sentence": "a dog runs"},
    ScoreRequest: {"image": _PIXEL, "sentence": ["a dog runs", "a man climbs"]},
    RankRequest: {"image": [_PIXEL], "sentence": ["a dog runs", "a man climbs"], "k": 1},
    SearchRequest: {"query": "two dogs on a beach", "k": 5},
}


def problems_of(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problem documents of a route."""
    schema = {"$ref": _REF.format(model="ProblemAnswer")}
    return {
        status: {
            "description": " / ".join(title for of, title in TITLES.values() if of == status),
            "content": {"application/problem+json": {"schema": schema}},
        }
        for status in statuses
    }


JPEG: dict[str, Any] = {
    "response_class": Response,
    "responses": {200: {"content": {"image/jpeg": {}}}, **problems_of(401, 404, 422, 429, 503)},
}
EXPORT: dict[str, Any] = {
    "response_class": Response,
    "responses": {
        200: {
            "content": {kind: {} for kind in ("text/csv", "application/zip")},
            "headers": {
                "X-Pictures": {
                    "description": "Of how many pictures: of those asked for, some may be gone.",
                    "schema": {"type": "integer"},
                }
            },
        },
        **problems_of(400, 401, 404, 408, 413, 415, 422, 429, 503),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                JSON: {
                    "schema": ExportRequest.model_json_schema(ref_template=_REF),
                    "example": {"format": "csv", "since": "2024-05-01", "until": "2024-05-31"},
                }
            },
        }
    },
}
BROWSED: dict[str, Any] = {"responses": problems_of(401, 404, 422, 429, 503)}
FULL: dict[str, Any] = {
    "responses": {503: {"description": "There is no room, or the library is unusable."}}
}
KEYED: dict[str, Any] = {"responses": problems_of(401)}
ASKED: dict[str, Any] = {"responses": problems_of(401, 429, 503)}
