"""What clients may ask of a server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on what is served; the defaults suit a small machine."""

    requests: int = 32  # read, waiting or worked on at the same time; more are sent away (429)
    bytes: int = 32_000_000  # of a request's body, counted while it is read
    items: int = 16  # pictures of a request
    pixels: int = 50_000_000  # of a picture, told by its header before it is decoded
    beam: int = 10  # hypotheses
    sentences: int = 100  # of a request
    characters: int = 500  # of a sentence
    words: int = 300  # of all sentences to be scored, times the pictures: P(s) takes their time
    results: int = 100  # of a ranking or a search
    sending: float = 20.0  # seconds for a client to send a request, or to take part of the answer
    rate: int = 250_000  # bytes a second that a larger request may take beyond that
    seconds: float = 30.0  # for the answer, from when the request has been read
