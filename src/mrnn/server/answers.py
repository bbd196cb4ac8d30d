"""What the routes answer, described for the OpenAPI document; `records` makes it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class ErrorOfItem(BaseModel):
    code: str
    message: str


class Failed(BaseModel):
    """A picture that could not be read; the others of the request were."""

    image: str
    error: ErrorOfItem


class WordAnswer(BaseModel):
    word: str
    logprob: float = Field(description="log P given the words before and the image, nats")
    given: bool | None = None
    captions: int | None = Field(None, description="training captions that have it")


class Alternative(BaseModel):
    word: str
    logprob: float


class Sentence(BaseModel):
    caption: str
    logprob: float
    perplexity: float
    complete: bool


class Trust(BaseModel):
    main_word: str | None = Field(None, description="that the image speaks for most")
    sure: float | None = Field(None, description="the chance that this word is right")
    strangeness: float | None = Field(
        None, description="share of dev images that are more like what was learned"
    )
    certainty: Literal["sure", "unsure", "outside what I know"] | None = None


class CaptionWord(WordAnswer):
    alternatives: list[Alternative] | None = None


class CaptionAnswer(Sentence, Trust):
    image: str
    words: list[CaptionWord]
    n_best: list[Sentence] | None = None


class CaptionAnswers(BaseModel):
    results: list[CaptionAnswer | Failed]


class ContributionsAnswer(BaseModel):
    last_word: float
    sentence: float
    image: float


class ExplainedWord(WordAnswer):
    alternatives: list[Alternative]
    baseline: float
    contributions: ContributionsAnswer
    heat: list[list[float]] | None


class Heat(BaseModel):
    method: Literal["positions", "occlusion", "none"]
    area: list[float] = Field(min_length=4, max_length=4)


class ExplanationAnswer(Sentence, Trust):
    image: str
    words: list[ExplainedWord]
    heat: Heat
    unknown: list[str]
    n_best: list[Sentence] | None = None


class ExplainAnswers(BaseModel):
    results: list[ExplanationAnswer | Failed]


class ScoreAnswer(BaseModel):
    sentence: str
    logprob: float
    perplexity: float
    log_ratio: float | None = Field(
        description="log P(s | I) - log P(s), nats; null where words are unknown, and no other "
        "tells pictures apart"
    )
    words: list[WordAnswer]
    unknown: list[str]


class ScoresAnswer(BaseModel):
    image: str
    scores: list[ScoreAnswer]


class ScoreAnswers(BaseModel):
    results: list[ScoresAnswer | Failed]


class Ranked(BaseModel):
    rank: int
    sentence: str | None = None
    image: str | None = None
    logprob: float
    perplexity: float
    log_ratio: float


class RankingAnswer(BaseModel):
    query: str
    unknown: list[str]
    results: list[Ranked]
    errors: list[Failed]


class RankAnswers(BaseModel):
    results: list[RankingAnswer | Failed]


class PictureAnswer(BaseModel):
    image: str = Field(description="The picture's id.")
    name: str
    copies: list[str]
    caption: str | None
    date: str | None = Field(description="Local time, ISO 8601.")
    date_of: Literal["exif", "file"] | None = Field(
        description="exif: it was taken then; file: its file was changed then."
    )
    folder: str | None = Field(description="Below what was indexed.")


class PicturesAnswer(BaseModel):
    pictures: int = Field(description="How many there are of the filter.")
    next: str | None = Field(description="`after` of the next page; null: there is none.")
    results: list[PictureAnswer]


class FolderAnswer(BaseModel):
    folder: str
    pictures: int = Field(description="In it and below it.")


class MonthAnswer(BaseModel):
    month: str = Field(description="As 2024-05.")
    pictures: int


class ContentsAnswer(BaseModel):
    pictures: int
    dated: bool = Field(
        description="Whether the library keeps when pictures were taken; mrnn index brings an "
        "older one up to date."
    )
    months: list[MonthAnswer]
    folders: list[FolderAnswer]


class FoundAnswer(PictureAnswer):
    rank: int
    logprob: float | None
    perplexity: float | None
    log_ratio: float | None
    chance: float | None = Field(description="That the picture is right, 0 to 1.")
    match: bool | None
    similarity: float | None


class SearchAnswer(BaseModel):
    query: str
    pictures: int
    threshold: float | None
    unknown: list[str]
    from_text_only: list[str] = Field(description="Words that no caption taught the model.")
    results: list[FoundAnswer]
    errors: list[Failed]
    note: str


class LibraryAnswer(BaseModel):
    pictures: int
    threshold: float | None


class ModelAnswer(BaseModel):
    name: str
    version: str
    kind: str
    parameters: int
    words: int
    encoder: str
    precision: int  # bits of the encoder, 8 or 32
    input: int
    training: dict[str, Any]
    limits: dict[str, float]
    library: LibraryAnswer | None
    address: str | None = Field(
        description="What people on other machines of the network open, where the server listens "
        "for them."
    )


class ProblemAnswer(BaseModel):
    """RFC 9457; served as application/problem+json."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    results: list[Failed] | None = None
