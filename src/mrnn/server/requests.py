"""What clients send: the fields of each route, read from multipart forms or from JSON."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from starlette.datastructures import FormData, QueryParams, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from ..config import CONSENSUS_BEAM, MAX_LENGTH, Decoding
from ..library.timeline import Filter
from ..words.text import tokenise
from .limits import Limits
from .problems import Problem

FORM, JSON = "multipart/form-data", "application/json"
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_FIELDS = 32  # of a request, beside a form's sentences and pictures
_MEANT = "should be base64, or a data URL of it (data:image/jpeg;base64,...)"
_ALPHABET = bytes.maketrans(b"-_", b"+/")  # that of URLs as the usual one
_PUNCTUATION = 20_000  # of a JSON body: more would be parsed for seconds before it is refused


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _day(value: object) -> object:
    """A day as people write it, and no number of seconds."""
    if value is not None and not (isinstance(value, str) and re.fullmatch(_DAY, value)):
        raise ValueError("should be a day, as 2024-05-31")
    return value


def _decoded(value: object) -> object:
    """Bytes of base64 as others write it: in lines, as a data URL, in the alphabet of URLs."""
    if not isinstance(value, str):
        raise ValueError(_MEANT)
    text = value
    if value[:5].lower() == "data:":
        kind, comma, text = value.partition(",")
        if not comma or not kind.lower().rstrip().endswith(";base64"):
            raise ValueError(_MEANT)
    try:
        content = text.encode("ascii").translate(_ALPHABET, b" \t\r\n").rstrip(b"=")
        return base64.b64decode(content + b"=" * (-len(content) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(_MEANT) from None


Id = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Content = Annotated[
    bytes,
    BeforeValidator(_decoded, json_schema_input_type=str),
    Field(json_schema_extra={"format": "byte", "type": "string"}),
]
Sentence = Annotated[str, Field(min_length=1, examples=["two dogs run on a beach"])]
Contents = Annotated[
    list[Content], BeforeValidator(_listed, json_schema_input_type=Content | list[Content])
]
Ids = Annotated[list[Id], BeforeValidator(_listed, json_schema_input_type=Id | list[Id])]
Sentences = Annotated[
    list[Sentence], BeforeValidator(_listed, json_schema_input_type=Sentence | list[Sentence])
]


class Pictures(BaseModel):
    """The pictures of a request: files of the client's, or ids of the server's library."""

    model_config = ConfigDict(extra="forbid")

    image: Contents = Field(
        [], description="A picture's bytes in base64, or a data URL of them; or several."
    )
    picture: Ids = Field([], description="The id of a picture of the library, or several.")


class CaptionRequest(Pictures):
    """Sentences to be written for pictures; the fields are those of `mrnn caption`."""

    beam: int = Field(1, ge=1, description="Beam width; 1 is greedy.")
    n_best: int = Field(0, ge=0, description="How many of the beam's sentences to return.")
    consensus: bool = Field(
        False,
        description="Of a beam's sentences (10 if not given), the one most like how similar "
        "pictures were described.",
    )
    ratio: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Choose words by log P(w|I) - c log P(w|usual image); 0 is log P alone. "
        "Not given: what suits the model.",
    )
    temperature: float | None = Field(
        None, ge=0.01, le=100, description="Draw the words at random; below 1 safer, above bolder."
    )
    seed: int = Field(1, ge=0, lt=2**63, description="Of what is drawn at random.")
    prefix: str = Field("", description="The first words of the sentence.")
    max_length: int = Field(MAX_LENGTH, ge=1, le=100, description="Most words.")
    no_repeat: int = Field(
        Decoding.no_repeat,
        ge=0,
        description="Words in a row that no sentence says twice; 0 lets it.",
    )
    alternatives: int = Field(0, ge=0, le=20, description="Runners-up to return for each word.")

    def decoding(self) -> Decoding:
        """How to generate, as the command line has it; raises UsageError."""
        return Decoding(
            beam=Decoding.at_least(self.beam, self.n_best, self.consensus),
            n_best=self.n_best,
            consensus=self.consensus,
            ratio=self.ratio,
            temperature=self.temperature,
            seed=self.seed,
            prefix=self.prefix,
            max_length=self.max_length,
            no_repeat=self.no_repeat,
            alternatives=self.alternatives,
        )


class ExplainRequest(CaptionRequest):
    """Evidence for every word of a sentence: the one given, or else one that is written."""

    sentence: str | None = Field(None, description="Explain this one.")
    quick: bool = Field(False, description="Heat maps of one look: sooner, and less true.")
    alternatives: int = Field(4, ge=0, le=20, description="Runners-up to return for each word.")


class ScoreRequest(Pictures):
    """Sentences to be scored for pictures."""

    sentence: Sentences = Field(min_length=1, description="A sentence, or several.")


class RankRequest(ScoreRequest):
    """Sentences to be ranked for each picture, or pictures for each sentence."""

    of: Literal["sentences", "images"] = Field("sentences", description="What is ranked.")
    k: int = Field(10, ge=1, description="How many of the best to return.")


_SINCE = "The first day that counts, as 2024-05-31."
_UNTIL = "The last day that counts."
_FOLDER = "A folder of the library, with what lies below it."
Since = Annotated[date | None, BeforeValidator(_day), Field(description=_SINCE)]
Until = Annotated[date | None, BeforeValidator(_day), Field(description=_UNTIL)]
Folder = Annotated[str | None, Field(max_length=4096, description=_FOLDER)]


class SearchRequest(Pictures):
    """Pictures of the library for a sentence, or pictures like another one."""

    query: str | None = Field(None, description="A sentence.")
    k: int = Field(10, ge=1, description="How many of the best to return.")
    since: Since = None
    until: Until = None
    folder: Folder = None


class ExportRequest(BaseModel):
    """Captions of pictures of the library: of those that are named, or of all, and of a filter."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["csv", "xmp"] = Field(
        "csv", description="A table, or a zip with an XMP sidecar for each photo."
    )
    picture: list[Id] | None = Field(
        None, max_length=10_000, description="Ids of pictures of the library."
    )
    since: Since = None
    until: Until = None
    folder: Folder = None


def filter_of(fields: SearchRequest | ExportRequest) -> Filter:
    """Which pictures of the library are meant."""
    return filter_by(fields.since, fields.until, fields.folder)


def filter_by(since: date | None, until: date | None, folder: str | None) -> Filter:
    """The same of single fields; slashes around a folder mean nothing."""
    return Filter(since, until, (folder or "").strip("/") or None)


def require_parameters(query: QueryParams, known: Sequence[str]) -> None:
    """Raise Problem for parameters of an address that do not count, or that come twice."""
    for name in query:
        if name not in known:
            told = f"there are {', '.join(known)}" if known else "there are none here"
            raise Problem("invalid", f"{name[:80]}: no such parameter; {told}")
        if len(query.getlist(name)) > 1:
            raise Problem("invalid", f"{name}: it is there more than once")


@dataclass(frozen=True)
class Sent:
    """A picture that came with a request."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Stored:
    """A picture of the library, by its id."""

    name: str  # SHA-256 of its file, hexadecimal


Source = Sent | Stored
R = TypeVar("R", bound=Pictures)
M = TypeVar("M", bound=BaseModel)


async def read_json(request: Request, kind: type[M]) -> M:
    """The fields of a request in JSON; raises Problem."""
    if (given := _content_type(request)) != JSON:
        raise Problem("unsupported", f"send {JSON}, not {given[:80] or 'nothing'}")
    content = b"".join([chunk async for chunk in request.stream()])
    return await asyncio.to_thread(_read_json, content, kind)


async def read_fields(request: Request, kind: type[R], limits: Limits) -> tuple[list[Source], R]:
    """The pictures and the fields of a request; raises Problem."""
    sent: list[Source]
    match _content_type(request):
        case "multipart/form-data":
            sent, values = await _read_form(request, limits)
            fields = _validated(lambda: kind.model_validate(values))
        case "application/json":
            fields = await read_json(request, kind)
            sent = [Sent(f"image {i}", data) for i, data in enumerate(fields.image, 1)]
        case other:
            raise Problem(
                "unsupported",
                f"send multipart/form-data or application/json, not {other[:80] or 'nothing'}",
            )
    sources = [*sent, *map(Stored, fields.picture)]
    _require_modest(sources, fields, limits)
    return sources, fields


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def _read_json(content: bytes, kind: type[M]) -> M:
    """The fields of a JSON object."""
    if sum(map(content.count, (b",", b"[", b"{"))) > _PUNCTUATION:
        raise Problem("invalid", "the body: more values than a request can use")
    return _validated(lambda: kind.model_validate_json(content))


async def _read_form(request: Request, limits: Limits) -> tuple[list[Source], dict[str, Any]]:
    """The files named `image`, and all other fields, of which some may come several times."""
    most = limits.sentences + limits.items + _FIELDS
    try:
        async with request.form(
            max_files=limits.items, max_fields=most, max_part_size=8 * limits.characters
        ) as form:
            sent: list[Source] = [
                Sent(upload.filename or f"image {i}", await upload.read())
                for i, upload in enumerate(_files(form), 1)
            ]
            return sent, _texts(form)
    except HTTPException as error:  # how Starlette says that a form is not one, or has too much
        too_much = error.detail.startswith(("Too many", "Part exceeded"))
        raise Problem("too-large" if too_much else "malformed", error.detail) from None


def _files(form: FormData) -> list[UploadFile]:
    files = [(name, value) for name, value in form.multi_items() if isinstance(value, UploadFile)]
    for name, _ in files:
        if name != "image":
            raise Problem("invalid", f"{name[:80]}: a file is not expected here, but as `image`")
    return [value for _, value in files]


def _texts(form: FormData) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in form.multi_items():
        if isinstance(value, str):
            values.setdefault(name, []).append(value)
    if "image" in values:
        raise Problem("invalid", "image: send it as a file, with a file name")
    # A field that came several times where one is expected fails as a list.
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}


def _validated(validate: Callable[[], M]) -> M:
    try:
        return validate()
    except ValidationError as error:
        raise Problem("invalid", _told(error.errors(include_url=False))) from None


def _told(errors: Sequence[Mapping[str, Any]]) -> str:
    """What is wrong with the first few fields, without repeating what was sent."""
    told = [
        f"{'.'.join(map(str, error['loc']))[:80] or 'the body'}: {error['msg']}"
        for error in errors[:5]
    ]
    return "; ".join([*told, f"and {len(errors) - 5} more"] if len(errors) > 5 else told)


def _require_modest(sources: Sequence[Source], fields: Pictures, limits: Limits) -> None:
    """Raise Problem for more than a server does for one request."""
    sentences = getattr(fields, "sentence", None) or ()
    texts = [sentences] if isinstance(sentences, str) else list(sentences)
    texts += [getattr(fields, "query", None) or "", getattr(fields, "prefix", "")]
    for what, number, most in (
        ("pictures", len(sources), limits.items),
        ("sentences", len(texts) - 2, limits.sentences),
        ("characters of a sentence", max(map(len, texts)), limits.characters),
        ("words of the sentences, times pictures", _scored(fields, len(sources)), limits.words),
        ("beam", _beam(fields), limits.beam),
        ("k", getattr(fields, "k", 0), limits.results),
    ):
        if number > most:
            raise Problem("invalid", f"{what}: {number:,} is more than the {most:,} allowed")


def _beam(fields: Pictures) -> int:
    """Hypotheses that are asked for, before anything else is checked of them."""
    if not isinstance(fields, CaptionRequest):
        return 0
    consensus = CONSENSUS_BEAM if fields.consensus and fields.beam == 1 else 0
    return max(fields.beam, fields.n_best, consensus)


def _scored(fields: Pictures, pictures: int) -> int:
    """Words to be scored with many training images, END among them."""
    if not isinstance(fields, ScoreRequest):
        return 0
    return pictures * sum(len(tokenise(sentence)) + 1 for sentence in fields.sentence)
