"""What clients of `traffic.py` ask in good faith, and what they check in the answers."""

from __future__ import annotations

import base64
import math
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from traffic_target import Target, WrongError, outcome

Ask = Callable[[Target, random.Random], Awaitable[str]]
SENTENCES = (
    "two dogs run on a beach",
    "a man climbs a rock",
    "a child in a red coat jumps",
    "a brown dog with a ball in its mouth",
    "people sit at a table outside",
)


@dataclass(frozen=True)
class Kind:
    """A kind of request."""

    name: str
    ask: Ask  # returns the outcome; raises WrongError
    expected: tuple[str, ...] = ("200",)  # outcomes
    weight: int = 1  # how often it is drawn among the others


def kinds(target: Target) -> list[Kind]:
    """All kinds that the server's library, or the lack of one, allows."""
    found = [
        Kind("caption greedy", _caption(), weight=8),
        Kind("caption beam", _caption(beam=4, n_best=3), weight=3),
        Kind("caption sampled", _caption(temperature=1.2, seed=7), weight=2),
        Kind("caption prefix", _caption(prefix="a", alternatives=3), weight=2),
        Kind("caption base64", _caption_base64, weight=2),
        Kind("caption several", _caption_several, weight=2),
        Kind("score", _score, weight=2),
        Kind("rank sentences", _rank("sentences")),
        Kind("rank images", _rank("images")),
        Kind("explain", _explain(), weight=2),
        Kind("explain a sentence", _explain(sentence=SENTENCES[0])),
        Kind("model", _model),
        Kind("page", _page),
        Kind("probes", _probes),
    ]
    if not target.ids:
        return [*found, Kind("search, no library", _no_library, ("404 no-library",))]
    return [
        *found,
        Kind("search", _search, weight=3),
        Kind("like", _like, weight=2),
        Kind("like a sent picture", _like_sent),
        Kind("caption stored", _caption_stored),
        Kind("thumbnail", _thumbnail, weight=3),
    ]


def _caption(**fields: Any) -> Ask:
    async def ask(target: Target, draw: random.Random) -> str:
        answer = await target.http.post("/v1/caption", files=_photos(target, draw, 1), data=fields)
        if (found := outcome(answer)) == "200":
            [result] = answer.json()["results"]
            _require_caption(result)
            _require(len(result.get("n_best", ())) <= fields.get("n_best", 0), "too many n_best")
            _require(result["caption"].startswith(fields.get("prefix", "")), "without the prefix")
        return found

    return ask


async def _caption_base64(target: Target, draw: random.Random) -> str:
    content = base64.b64encode(target.photo(draw)).decode()
    answer = await target.http.post("/v1/caption", json={"image": content})
    if (found := outcome(answer)) == "200":
        [result] = answer.json()["results"]
        _require_caption(result)
        _require(result["image"] == "image 1", "another name")
    return found


async def _caption_several(target: Target, draw: random.Random) -> str:
    """Several pictures, of which one cannot be read: the others are answered."""
    files = _photos(target, draw, draw.randint(2, 5))
    broken = draw.randrange(len(files))
    files[broken] = ("image", ("broken.jpg", b"no picture at all"))
    answer = await target.http.post("/v1/caption", files=files)
    if (found := outcome(answer)) == "200":
        results = answer.json()["results"]
        _require([r["image"] for r in results] == [f[1][0] for f in files], "another order")
        for i, result in enumerate(results):
            if i == broken:
                _require(result["error"]["code"] == "not-an-image", "another error")
            else:
                _require_caption(result)
    return found


async def _caption_stored(target: Target, draw: random.Random) -> str:
    picture = draw.choice(target.ids)
    answer = await target.http.post("/v1/caption", json={"picture": picture})
    if (found := outcome(answer)) == "200":
        [result] = answer.json()["results"]
        _require_caption(result)
        _require(result["image"] == picture, "another picture")
    return found


async def _score(target: Target, draw: random.Random) -> str:
    sentences = draw.sample(SENTENCES, 2)
    answer = await target.http.post(
        "/v1/score", files=_photos(target, draw, 1), data={"sentence": sentences}
    )
    if (found := outcome(answer)) == "200":
        for result in answer.json()["results"]:
            _require([s["sentence"] for s in result["scores"]] == sentences, "other sentences")
            for score in result["scores"]:
                _require_sum(score)
    return found


def _rank(of: str) -> Ask:
    async def ask(target: Target, draw: random.Random) -> str:
        data = {"sentence": draw.sample(SENTENCES, 3), "of": of, "k": 3}
        answer = await target.http.post("/v1/rank", files=_photos(target, draw, 3), data=data)
        if (found := outcome(answer)) == "200":
            results = answer.json()["results"]
            _require(len(results) == 3, "other queries")
            for result in results:
                ranks = [r["rank"] for r in result["results"]]
                # What has no known word is left out, and its words are named.
                is_whole = len(ranks) == 3 or bool(result["unknown"])
                _require(is_whole and ranks == [1, 2, 3][: len(ranks)], "other ranks")
        return found

    return ask


def _explain(**fields: Any) -> Ask:
    async def ask(target: Target, draw: random.Random) -> str:
        answer = await target.http.post("/v1/explain", files=_photos(target, draw, 1), data=fields)
        if (found := outcome(answer)) == "200":
            [result] = answer.json()["results"]
            for word in result["words"]:
                parts = sum(word["contributions"].values()) + word["baseline"]
                _require(abs(parts - word["logprob"]) < 2e-3, "parts that do not sum up")
        return found

    return ask


async def _search(target: Target, draw: random.Random) -> str:
    answer = await target.http.post("/v1/search", json={"query": draw.choice(SENTENCES), "k": 5})
    if (found := outcome(answer)) == "200":
        most = min(5, target.model["library"]["pictures"])
        result = answer.json()
        _require(len(result["results"]) == most or _says_nothing(result), "too few results")
    return found


def _says_nothing(result: dict[str, Any]) -> bool:
    """Whether nothing was found, of words that the model does not know."""
    return bool(result["unknown"]) and not result["results"]


async def _like(target: Target, draw: random.Random) -> str:
    picture = draw.choice(target.ids)
    answer = await target.http.post("/v1/search", json={"picture": picture, "k": 5})
    if (found := outcome(answer)) == "200":
        first = answer.json()["results"][0]
        _require(first["similarity"] > 0.99, "the picture is not the most like itself")
    return found


async def _like_sent(target: Target, draw: random.Random) -> str:
    answer = await target.http.post("/v1/search", files=_photos(target, draw, 1), data={"k": 5})
    return outcome(answer)


async def _no_library(target: Target, draw: random.Random) -> str:
    return outcome(await target.http.post("/v1/search", json={"query": "a dog"}))


async def _thumbnail(target: Target, draw: random.Random) -> str:
    side = draw.choice((100, 400))
    answer = await target.http.get(f"/v1/pictures/{draw.choice(target.ids)}", params={"side": side})
    if (found := outcome(answer)) == "200":
        _require(answer.content.startswith(b"\xff\xd8"), "not a JPEG")
    return found


async def _model(target: Target, draw: random.Random) -> str:
    answer = await target.http.get("/v1/model")
    _require(answer.json()["limits"] == target.model["limits"], "other limits")
    return outcome(answer)


async def _page(target: Target, draw: random.Random) -> str:
    """The page with all files that it names."""
    page = await target.http.get("/")
    _require("default-src 'none'" in page.headers["content-security-policy"], "no CSP")
    for name in re.findall(r'(?:src|href)="/?(web/[^"]+)"', page.text):
        file = await target.http.get("/" + name)
        _require(file.status_code == 200 and file.content, f"no {name}")
    return outcome(page)


async def _probes(target: Target, draw: random.Random) -> str:
    for path in ("/livez", "/openapi.json", "/metrics"):
        _require((await target.http.get(path)).status_code == 200, path)
    ready = await target.http.get("/readyz")
    _require(ready.status_code in (200, 503), "/readyz")  # 503: it was full just then
    return "200"


def _photos(target: Target, draw: random.Random, count: int) -> list[Any]:
    return [("image", (f"photo {i}.jpg", target.photo(draw))) for i in range(count)]


def _require(holds: object, what: str) -> None:
    if not holds:
        raise WrongError(what)


def _require_caption(result: dict[str, Any]) -> None:
    _require("error" not in result, f"an error for a good picture: {result.get('error')}")
    _require(result["words"], "a caption without words")  # "##END##" is one
    _require_sum(result)


def _require_sum(result: dict[str, Any]) -> None:
    total = sum(word["logprob"] for word in result["words"])
    _require(math.isclose(total, result["logprob"], abs_tol=1e-3), "words that do not sum up")
