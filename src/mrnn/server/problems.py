"""Problems: what a client is told when something cannot be done (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import JSONResponse

TITLES: Mapping[str, tuple[int, str]] = {
    "malformed": (400, "The request is not what its headers say"),
    "key-needed": (401, "A key is needed"),
    "other-origin": (403, "Pages of other sites may not ask"),
    "not-found": (404, "There is nothing here"),
    "no-library": (404, "There is no library"),
    "method-not-allowed": (405, "This cannot be asked in this way"),
    "too-slow": (408, "The request took too long to arrive"),
    "too-large": (413, "The request is too large"),
    "unsupported": (415, "This kind of content is not understood"),
    "not-an-image": (415, "None of the pictures is an image"),
    "unreadable": (422, "None of the pictures can be read"),
    "invalid": (422, "The request cannot be carried out as it is"),
    "wrong-host": (421, "This server does not answer for that host"),
    "queue-full": (429, "Too many requests at the same time"),
    "internal": (500, "Something went wrong in the server"),
    "draining": (503, "The server is about to stop"),
    "library-unusable": (503, "The library cannot be searched now"),
    "timeout": (503, "The answer took too long"),
}


class Problem(Exception):  # noqa: N818 - the term of RFC 9457
    """A reason not to answer as asked; `code` is one of TITLES, `detail` says what to do."""

    def __init__(
        self,
        code: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        results: Sequence[Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.status, self.title = TITLES[code]
        self.headers = dict(headers or {})
        self.results = results  # of each picture, where all have failed

    def response(self, request_id: str) -> JSONResponse:
        """The answer to the request of this id."""
        document: dict[str, Any] = {
            "type": f"urn:mrnn:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        }
        if self.results is not None:
            document["results"] = self.results
        return JSONResponse(document, self.status, self.headers, "application/problem+json")
