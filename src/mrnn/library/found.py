"""What a search found, as plain data that shows itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..images.finding import Picture
from .records import found_document, search_document, search_html, search_lines, search_notes


@dataclass(frozen=True)
class Found:
    """A picture in its place among those found; what does not apply is None.

    >>> with mrnn.Library.open("photos.library", captioner) as library:
    ...     found = library.search("a dog").found[0]
    >>> found.rank, found.picture.name
    (1, ...)
    """

    rank: int  # from 1
    picture: Picture
    copies: tuple[Picture, ...]  # other places of the same picture
    caption: str | None
    logprob: float | None = None  # log P(s | I), nats
    perplexity: float | None = None
    log_ratio: float | None = None  # log P(s | I) - log P(s)
    chance: float | None = None  # that it is right, 0 to 1
    match: bool | None = None  # whether it is more likely right than not
    similarity: float | None = None  # cosine of the image terms, for a picture as the query
    digest: bytes = b""  # SHA-256 of the picture's file

    def to_dict(self) -> dict[str, Any]:
        """What `mrnn search --json` writes of it, one of its `results`."""
        return found_document(self)


@dataclass(frozen=True)
class Results:
    """What a search found.

    >>> with mrnn.Library.open("photos.library", captioner) as library:
    ...     results = library.like("holiday.jpg", k=1)
    >>> [found.similarity > 0.99 for found in results.found], results.pictures
    ([True], 2)
    """

    query: str  # the sentence, or the path of the picture
    found: tuple[Found, ...]
    pictures: int  # searched, distinct
    absent: int = 0  # pictures found that lie nowhere now: their disk is away, or they were moved
    threshold: float | None = None  # log-ratio of a match in this search, nats
    unknown: tuple[str, ...] = ()  # words that the model lacks, and that were left out
    note: str = ""  # what made the search slower than it could be
    from_text_only: tuple[str, ...] = ()  # words that no caption taught it: there are no chances
    is_part: bool = False  # whether a filter left out some of the library
    tells_apart: bool = True  # whether a word of the sentence says something of a picture

    def __len__(self) -> int:
        return len(self.found)

    def __iter__(self) -> Iterator[Found]:
        return iter(self.found)

    def __str__(self) -> str:
        return "\n".join(search_lines(self) if self.found else search_notes(self))

    def to_dict(self) -> dict[str, Any]:
        """What `mrnn search --json` writes of it."""
        return search_document(self)

    def _repr_html_(self) -> str:
        return search_html(self)
