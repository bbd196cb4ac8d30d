"""The server's answers: those of the command line, over HTTP."""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from command_lines import WITH_SRC
from libraries import chances, seeing, threshold
from mrnn.captioner import Captioner, load
from mrnn.commands.samples import sample_photos
from mrnn.config import Decoding
from mrnn.library.library import Library
from mrnn.records import caption_document, explanation_document, ranking_document, score_document
from mrnn.server import Access, Limits, create_app
from mrnn.server.requests import Sent

HERE = "http://localhost"
LIMITS = Limits(items=4, sentences=5, characters=40, results=12, beam=5, bytes=100_000, words=60)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    for i in range(6):
        blocks = np.random.default_rng(i).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((64, 48)).save(folder / f"{i}.jpg", comment="at home")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def captioner():
    return seeing(match=threshold(-100.0))


@pytest.fixture(scope="module")
def client(captioner, photos, tmp_path_factory):
    with Library.open(tmp_path_factory.mktemp("library") / "photos", captioner) as library:
        library.add(photos[:5])
        with TestClient(create_app(captioner, library, LIMITS), HERE) as made:
            yield made


def sent(*paths: Path) -> list:
    return [("image", (path.name, path.read_bytes())) for path in paths]


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def problem(response, status: int, code: str) -> dict:
    document = response.json()
    assert response.status_code == status, document
    assert response.headers["content-type"] == "application/problem+json"
    assert document["status"] == status
    assert document["code"] == code
    assert document["type"] == f"urn:mrnn:problem:{code}"
    assert document["title"]
    assert document["request_id"] == response.headers["x-request-id"]
    return document


@pytest.mark.parametrize(
    ("fields", "how"),
    [
        ({}, Decoding()),
        ({"beam": 3, "n_best": 2, "max_length": 5}, Decoding(beam=3, n_best=2, max_length=5)),
        ({"n_best": 2}, Decoding(beam=2, n_best=2)),
        ({"consensus": True, "beam": 3}, Decoding(beam=3, consensus=True)),
        ({"temperature": 0.7, "seed": 3}, Decoding(temperature=0.7, seed=3)),
        ({"prefix": "the dog", "alternatives": 2}, Decoding(prefix="the dog", alternatives=2)),
    ],
)
def test_captions_are_those_of_the_captioner(client, captioner, photos, fields, how):
    expected = [
        caption_document(path.name, caption, how.n_best > 0)
        for path, caption in zip(photos[:3], captioner.caption_many(photos[:3], how), strict=True)
    ]
    form = client.post("/v1/caption", files=sent(*photos[:3]), data=fields)
    assert form.json() == {"results": expected}
    body = client.post("/v1/caption", json={"image": [*map(encoded, photos[:3])], **fields})
    for i, document in enumerate(expected, 1):
        document["image"] = f"image {i}"
    assert body.json() == {"results": expected}
    assert len({document["logprob"] for document in expected}) > 1


def test_one_picture_in_json_needs_no_list(client, photos):
    alone = client.post("/v1/caption", json={"image": encoded(photos[0])}).json()
    assert alone == client.post("/v1/caption", json={"image": [encoded(photos[0])]}).json()


def test_a_bad_picture_does_not_stop_the_others(client, photos, tmp_path):
    text, empty, cut = tmp_path / "a<b>.jpg", tmp_path / "empty.png", tmp_path / "cut.jpg"
    text.write_text("no picture")
    empty.touch()
    cut.write_bytes(photos[0].read_bytes()[:300])
    response = client.post("/v1/caption", files=sent(text, photos[0], empty, cut))
    assert response.status_code == 200
    found = response.json()["results"]
    assert [r.get("error", {}).get("code") for r in found] == [
        "not-an-image",
        None,
        "empty",
        "damaged",
    ]
    assert found[0]["image"] == "a<b>.jpg"
    assert "a<b>.jpg: not an image" in found[0]["error"]["message"]
    document = problem(client.post("/v1/caption", files=sent(text)), 415, "not-an-image")
    assert document["results"] == found[:1]
    assert document["detail"] == found[0]["error"]["message"]
    document = problem(client.post("/v1/explain", files=sent(text, cut)), 422, "unreadable")
    assert [r["error"]["code"] for r in document["results"]] == ["not-an-image", "damaged"]


def test_no_picture_stays_until_the_next_collection_of_garbage(client, photos, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(photos[0].read_bytes()[:300])
    gc.collect()
    gc.disable()
    try:
        client.post("/v1/caption", files=sent(bad, photos[0]))
        client.post("/v1/explain", files=sent(bad))
        client.get("/livez")
        assert not [kept for kept in gc.get_objects() if type(kept) is Sent]
    finally:
        gc.enable()


def test_explanations_are_those_of_the_captioner(client, captioner, photos):
    found = client.post("/v1/explain", files=sent(photos[0]), data={"prefix": "a"}).json()
    explained = captioner.explain(photos[0], prefix="a")
    assert found["results"] == [explanation_document(photos[0].name, explained, False)]
    given = {"sentence": "the xyzzy runs", "alternatives": 1, "quick": True}
    found = client.post("/v1/explain", files=sent(photos[1]), data=given).json()
    explained = captioner.explain(photos[1], "the xyzzy runs", alternatives=1, quick=True)
    assert found["results"] == [explanation_document(photos[1].name, explained, False)]
    assert found["results"][0]["unknown"] == ["xyzzy"]


def test_scores_are_those_of_the_captioner(client, captioner, photos):
    sentences = ["a dog runs", "the cat sits in the snow"]
    found = client.post("/v1/score", files=sent(*photos[:2]), data={"sentence": sentences}).json()
    assert found["results"] == [
        {
            "image": path.name,
            "scores": [score_document(score) for score in captioner.score(path, sentences)],
        }
        for path in photos[:2]
    ]
    one = client.post("/v1/score", files=sent(photos[0]), data={"sentence": sentences[0]}).json()
    assert [s["sentence"] for s in one["results"][0]["scores"]] == sentences[:1]


def test_rankings_are_those_of_the_captioner(client, captioner, photos, tmp_path):
    sentences = ["a dog runs", "the cat sits", "the snow"]
    asked = {"sentence": sentences, "k": 2}
    found = client.post("/v1/rank", files=sent(*photos[:2]), data=asked).json()
    assert found["results"] == [
        {
            **ranking_document(captioner.rank_sentences(path, sentences, 2), "sentence"),
            "query": path.name,
        }
        for path in photos[:2]
    ]
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    files = sent(photos[0], bad, photos[1])
    found = client.post("/v1/rank", files=files, data={**asked, "of": "images"}).json()["results"]
    for sentence, ranking in zip(sentences, found, strict=True):
        expected = captioner.rank_images(sentence, photos[:2], 2)
        assert ranking["query"] == sentence
        assert [r["logprob"] for r in ranking["results"]] == [m.logprob for m in expected.matches]
        assert [r["image"] for r in ranking["results"]] == [
            Path(m.item).name for m in expected.matches
        ]
        assert [e["image"] for e in ranking["errors"]] == ["bad.jpg"]
    problem(
        client.post("/v1/rank", files=sent(bad), data={**asked, "of": "images"}),
        415,
        "not-an-image",
    )


def test_search_leaves_out_what_the_model_does_not_know(client):
    found = client.post("/v1/search", json={"query": "the dog dogg sits", "k": 3}).json()
    assert found["unknown"] == ["dogg"]
    assert [r["match"] for r in found["results"]] == [None] * 3
    found = client.post("/v1/search", json={"query": "dogg", "k": 3}).json()
    assert (found["unknown"], found["results"]) == (["dogg"], [])


def test_search_tells_why_there_is_no_chance(captioner, photos, tmp_path):
    captions = tuple(int(word != "runs") for word in captioner.vocabulary.words)
    vocabulary = replace(captioner.vocabulary, captions=captions)
    bundle = replace(captioner.bundle, vocabulary=vocabulary, match=None, chance=chances())
    knowing = Captioner(bundle, captioner.encoder)
    with Library.open(tmp_path / "library", knowing) as library:
        library.add(photos[:2])
        with TestClient(create_app(knowing, library), HERE) as client:
            for query, words, note in (
                ("a dog", [], ""),
                ("a dog runs", ["runs"], "known from text only: runs"),
                ("a snow", [], "no word of it tells pictures apart"),
            ):
                found = client.post("/v1/search", json={"query": query}).json()
                assert found["from_text_only"] == words
                assert found["note"].partition(";")[0] == note


def test_search_finds_ids_and_no_path(client, photos):
    response = client.post("/v1/search", json={"query": "the dog sits", "k": 3})
    found = response.json()
    assert found["pictures"] == 5
    assert [r["rank"] for r in found["results"]] == [1, 2, 3]
    perplexities = [r["perplexity"] for r in found["results"]]
    assert perplexities == sorted(perplexities)
    assert all(r["match"] is True and r["similarity"] is None for r in found["results"])
    assert found["unknown"] == []
    assert str(photos[0].parent) not in response.text
    best = found["results"][0]
    assert best["name"] in {path.name for path in photos}
    original = next(path for path in photos if path.name == best["name"])
    explained = client.post("/v1/explain", json={"picture": best["image"], "sentence": "a dog"})
    [document] = explained.json()["results"]
    assert document["image"] == best["image"]
    uploaded = client.post("/v1/explain", files=sent(original), data={"sentence": "a dog"})
    [other] = uploaded.json()["results"]
    assert {**document, "image": ""} == {**other, "image": ""}


def test_pictures_like_another_one(client, photos):
    found = client.post("/v1/search", files=sent(photos[2]), data={"k": 2}).json()
    assert found["results"][0]["name"] == photos[2].name
    assert found["results"][0]["similarity"] == pytest.approx(1, abs=1e-3)
    assert found["results"][0]["perplexity"] is None
    again = client.post("/v1/search", json={"picture": found["results"][0]["image"], "k": 2}).json()
    assert again["results"] == found["results"]
    bad = client.post("/v1/search", files=[("image", ("x.jpg", b"no"))])
    problem(bad, 415, "not-an-image")


def test_a_picture_of_the_library_comes_small_and_without_metadata(client, photos):
    [found] = client.post("/v1/search", files=sent(photos[0]), data={"k": 1}).json()["results"]
    response = client.get(f"/v1/pictures/{found['image']}?side=32")
    assert response.headers["content-type"] == "image/jpeg"
    assert "private" in response.headers["cache-control"]
    with Image.open(io.BytesIO(response.content)) as image:
        assert image.size == (32, 24)
        assert not image.getexif()
        assert "comment" not in image.info
    problem(client.get("/v1/pictures/" + "0" * 64), 404, "not-found")
    problem(client.get("/v1/pictures/..%2f..%2fetc%2fpasswd"), 404, "not-found")
    problem(client.get("/v1/pictures/0.jpg"), 422, "invalid")
    problem(client.get(f"/v1/pictures/{found['image']}?side=9999"), 422, "invalid")
    missing = client.post("/v1/caption", json={"picture": "0" * 64})
    assert "the library has no such picture" in problem(missing, 422, "unreadable")["detail"]


def test_without_a_library(captioner, photos):
    with TestClient(create_app(captioner), HERE) as client:
        assert client.get("/v1/model").json()["library"] is None
        for response in (
            client.post("/v1/search", json={"query": "a dog"}),
            client.post("/v1/caption", json={"picture": "0" * 64}),
            client.get("/v1/pictures/" + "0" * 64),
        ):
            assert "--library" in problem(response, 404, "no-library")["detail"]


def test_what_the_model_is(client):
    document = client.get("/v1/model").json()
    assert document["words"] == 12
    assert document["limits"]["items"] == LIMITS.items
    assert document["library"] == {"pictures": 5, "threshold": -100.0}


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("caption", {}, "send one picture at least"),
        ("caption", {"image": "A" * 4, "beam": 6}, "beam: 6 is more than the 5 allowed"),
        ("caption", {"image": "AAAA", "n_best": 6}, "beam: 6 is more than the 5 allowed"),
        ("caption", {"image": "AAAA", "consensus": True}, "beam: 10 is more than the 5 allowed"),
        ("caption", {"image": "AAAA", "beam": 0}, "beam: Input should be greater"),
        ("caption", {"image": "AAAA", "beem": 2}, "beem: Extra inputs are not permitted"),
        ("caption", {"image": "AAAA?"}, "should be base64"),
        ("caption", {"image": 5}, "should be base64"),
        ("caption", {"image": ["AAAA"] * 5}, "pictures: 5 is more than the 4 allowed"),
        ("caption", {"picture": "../x"}, "picture.0: String should match pattern"),
        ("caption", {"image": "AAAA", "temperature": 0}, "temperature: Input should be greater"),
        ("caption", {"image": "AAAA", "temperature": 1, "beam": 2}, "sampling goes with neither"),
        ("score", {"image": "AAAA"}, "sentence: Field required"),
        ("score", {"image": "AAAA", "sentence": []}, "sentence: List should have at least 1"),
        ("score", {"image": "AAAA", "sentence": ["a"] * 6}, "sentences: 6 is more than the 5"),
        ("score", {"image": "AAAA", "sentence": "a" * 41}, "characters of a sentence: 41 is more"),
        ("score", {"image": ["AAAA"] * 4, "sentence": ["a b c"] * 5}, "times pictures: 80 is more"),
        ("rank", {"image": "AAAA", "sentence": "a", "k": 13}, "k: 13 is more than the 12 allowed"),
        ("rank", {"image": "AAAA", "sentence": "a", "of": "x"}, "of: Input should be 'sentences'"),
        ("search", {"query": "a", "image": "AAAA"}, "either a query or one picture"),
        ("search", {}, "either a query or one picture"),
        ("search", {"query": "..."}, "has no words to search for"),
    ],
)
def test_what_cannot_be_done_is_said(client, path, body, told):
    assert told in problem(client.post(f"/v1/{path}", json=body), 422, "invalid")["detail"]


def test_a_prefix_the_model_does_not_know(client, photos):
    response = client.post("/v1/caption", files=sent(photos[0]), data={"prefix": "a zebra"})
    assert "does not know the word 'zebra'" in problem(response, 422, "invalid")["detail"]
    both = client.post("/v1/explain", files=sent(photos[0]), data={"prefix": "a", "sentence": "a"})
    problem(both, 422, "invalid")


def test_form_fields_are_checked_as_those_of_json(client, photos):
    for data, told in (
        ({"beam": "many"}, "beam: Input should be a valid integer"),
        ({"beam": ["1", "2"]}, "beam: Input should be a valid integer"),
        ({"image": "text"}, "image: send it as a file"),
        ({"colour": "red"}, "colour: Extra inputs"),
    ):
        response = client.post("/v1/caption", files=sent(photos[0]), data=data)
        assert told in problem(response, 422, "invalid")["detail"]
    files = [("photo", ("a.jpg", photos[0].read_bytes()))]
    assert (
        "as `image`" in problem(client.post("/v1/caption", files=files), 422, "invalid")["detail"]
    )


def test_other_ways_to_ask(client):
    problem(client.post("/v1/caption", content=b"x"), 415, "unsupported")
    typed = {"content-type": "image/jpeg"}
    response = client.post("/v1/caption", content=b"x", headers=typed)
    assert "not image/jpeg" in problem(response, 415, "unsupported")["detail"]
    problem(client.get("/v1/nothing"), 404, "not-found")
    response = client.put("/v1/caption")
    problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "POST"
    assert client.get("/livez").text == client.get("/readyz").text == "ok"


def test_every_answer_is_labelled_and_kept_to_this_origin(client):
    for path in ("/", "/web/style.css", "/v1/model", "/nothing"):
        headers = client.get(path, headers={"x-request-id": "mine-1"}).headers
        assert headers["x-request-id"] == "mine-1"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
    odd = client.get("/livez", headers={"x-request-id": "<script>"}).headers["x-request-id"]
    assert odd.isalnum()


def test_hosts_and_origins(captioner):
    with TestClient(create_app(captioner), HERE) as client:
        for host in ("localhost:8000", "127.0.0.1", "[::1]:80", "LOCALHOST"):
            assert client.get("/livez", headers={"host": host}).status_code == 200
        for host in ("evil.example", "localhost.evil.example", "", "127.0.0.1@evil.example"):
            problem(client.get("/livez", headers={"host": host}), 421, "wrong-host")
        same = {"host": "localhost:8000", "origin": "http://localhost:8000"}
        assert client.get("/v1/model", headers=same).status_code == 200
        for origin in ("https://evil.example", "null", "http://localhost:9000", "http://["):
            problem(client.get("/v1/model", headers={"origin": origin}), 403, "other-origin")
        assert client.options("/v1/caption").status_code == 405
    access = Access(("localhost", "photos.example"), ("https://site.example",))
    with TestClient(create_app(captioner, access=access), HERE) as client:
        asked = {"host": "photos.example", "origin": "https://site.example"}
        answer = client.get("/v1/model", headers=asked)
        assert answer.headers["access-control-allow-origin"] == "https://site.example"
        problem(
            client.get("/v1/model", headers={"origin": "https://x.example"}), 403, "other-origin"
        )
        preflight = {**asked, "access-control-request-method": "POST"}
        assert client.options("/v1/caption", headers=preflight).status_code == 200


def test_a_key(captioner):
    access = Access(key="a secret of ours")
    with TestClient(create_app(captioner, access=access), HERE) as client:
        for path in ("/", "/web/style.css", "/livez", "/readyz"):
            assert client.get(path).status_code == 200
        for path in ("/v1/model", "/metrics", "/openapi.json", "/nothing"):
            for key in (None, "Bearer", "Bearer a secret", "a secret of ours"):
                headers = {} if key is None else {"authorization": key}
                response = client.get(path, headers=headers)
                problem(response, 401, "key-needed")
                assert response.headers["www-authenticate"] == "Bearer"
        right = {"authorization": "Bearer a secret of ours"}
        assert client.get("/v1/model", headers=right).status_code == 200


def test_what_is_counted(captioner, photos):
    with TestClient(create_app(captioner), HERE) as client:
        client.post("/v1/caption", files=[*sent(photos[0]), ("image", ("b.jpg", b"no"))])
        client.get("/no/such/path")
        client.get("/v1/pictures/" + "0" * 64)
        text = client.get("/metrics").text
    for line in (
        'mrnn_requests_total{method="POST",route="/v1/caption",status="200"} 1.0',
        'mrnn_requests_total{method="GET",route="/v1/pictures/{picture}",status="404"} 1.0',
        'mrnn_requests_total{method="GET",route="other",status="404"} 1.0',
        'mrnn_pictures_total{outcome="ok"} 1.0',
        'mrnn_pictures_total{outcome="not-an-image"} 1.0',
        'mrnn_rejections_total{code="no-library"} 1.0',
        'mrnn_stage_seconds_count{stage="decode"} 2.0',
        "mrnn_serving 0.0",
        "mrnn_queue 0.0",
    ):
        assert line in text, line
    assert 'mrnn_stage_seconds_count{stage="model"}' in text
    assert "process_resident_memory_bytes" in text


def test_a_file_that_has_changed_is_not_served_under_its_old_id(captioner, photos, tmp_path):
    path, copy = tmp_path / "a.jpg", tmp_path / "b.jpg"
    path.write_bytes(photos[0].read_bytes())
    copy.write_bytes(photos[0].read_bytes())
    digest = hashlib.sha256(photos[0].read_bytes()).hexdigest()
    with Library.open(tmp_path / "library", captioner) as library:
        library.add([path, copy])
        with TestClient(create_app(captioner, library), HERE) as client:
            before = client.post("/v1/caption", json={"picture": digest}).json()
            path.write_bytes(photos[1].read_bytes())
            assert client.post("/v1/caption", json={"picture": digest}).json() == before
            copy.unlink()
            response = client.post("/v1/caption", json={"picture": digest})
            detail = problem(response, 422, "unreadable")["detail"]
            assert detail.startswith("a.jpg: not where it was; mrnn index")
            problem(client.get(f"/v1/pictures/{digest}"), 404, "not-found")


def test_a_library_that_cannot_be_used_is_told_without_its_place(
    captioner, photos, tmp_path, caplog
):
    shard = tmp_path / "secret" / "photos.tar"
    shard.parent.mkdir()
    with tarfile.open(shard, "w") as tar:
        tar.add(photos[0], "a.jpg")
    with Library.open(tmp_path / "library", captioner) as library:
        library.add([shard])
        with TestClient(create_app(captioner, library), HERE) as client:
            [found] = client.post("/v1/search", json={"query": "a dog"}).json()["results"]
            assert found["name"] == "a.jpg"
            os.truncate(shard, 600)
            response = client.post("/v1/caption", json={"picture": found["image"]})
            assert "secret" not in response.text
            problem(response, 422, "unreadable")
            (tmp_path / "library" / "catalogue.sqlite").write_bytes(b"no catalogue" * 1000)
            response = client.post("/v1/search", json={"query": "a dog"})
            assert str(tmp_path) not in response.text
            problem(response, 503, "library-unusable")
    assert "catalogue.sqlite" in caplog.text


def test_work_that_nobody_waits_for_is_given_up(photos, monkeypatch):
    captioner, done = seeing(), []
    begun, gate, known = threading.Event(), threading.Event(), captioner.explain_pixels

    def held(pixels, *others, **named):
        if not done:
            done.append("warm-up")
            return known(pixels, *others, **named)
        begun.set()
        assert gate.wait(60)
        done.append("one")
        return known(pixels, *others, **named)

    monkeypatch.setattr(captioner, "explain_pixels", held)
    app = create_app(captioner)
    body = json.dumps({"image": [encoded(path) for path in photos]}).encode()
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {
        **{"type": "http", "method": "POST", "path": "/v1/explain", "raw_path": b"/v1/explain"},
        **{"query_string": b"", "headers": [*headers, (b"content-length", b"%d" % len(body))]},
    }

    async def ask() -> list:
        messages = iter([{"type": "http.request", "body": body}])
        sent: list = []

        async def receive() -> dict:
            for message in messages:
                return message
            await asyncio.to_thread(begun.wait, 60)
            return {"type": "http.disconnect"}

        async def send(message: dict) -> None:
            sent.append(message)

        async with app.router.lifespan_context(app):
            await app(scope, receive, send)
            gate.set()
        return sent

    assert asyncio.run(ask()) == []  # nobody is there to be told
    assert done in (["warm-up"], ["warm-up", "one"])  # of six pictures


def test_requests_of_different_kinds_that_wait_together(photos, monkeypatch):
    captioner = seeing()
    ways = [{"temperature": 2.0, "seed": 3}, {}, {"beam": 3}, {"prefix": "the"}] * 2
    expected = [
        captioner.caption(path, Decoding(**way))
        for way, path in zip(ways, photos + photos, strict=False)
    ]
    begun, gate, known = threading.Event(), threading.Event(), captioner.caption_pixels

    def held(pixels, how=None):
        if how is None:  # to warm up
            return known(pixels)
        begun.set()
        assert gate.wait(60)
        return known(pixels, how)

    monkeypatch.setattr(captioner, "caption_pixels", held)
    with TestClient(create_app(captioner), HERE) as client, ThreadPoolExecutor(9) as pool:

        def ask(way: dict, path: Path) -> float:
            response = client.post("/v1/caption", files=sent(path), data=way)
            return response.json()["results"][0]["logprob"]

        first = pool.submit(ask, {}, photos[0])
        assert begun.wait(60)
        asked = [pool.submit(ask, *pair) for pair in zip(ways, photos + photos, strict=False)]
        while "mrnn_queue 8.0" not in client.get("/metrics").text:
            assert not any(future.done() for future in asked)
        gate.set()
        assert [future.result() for future in asked] == [caption.logprob for caption in expected]
        assert first.result() == captioner.caption(photos[0]).logprob


def test_clients_at_the_same_time_get_what_the_command_line_prints(tmp_path):
    """The shipped model: eight clients, whose pictures meet in batches, and `mrnn caption`."""
    photos = sample_photos()
    for i in range(12):
        with Image.open(photos[i % len(photos)]) as image:
            small = image.convert("RGB").rotate(30 * i, fillcolor="white").resize((160, 120))
        small.save(tmp_path / f"{i:02}.jpg")
    command = [sys.executable, "-m", "mrnn", "caption", str(tmp_path), "--json"]
    done = subprocess.run(command, env=WITH_SRC, capture_output=True, text=True, check=True)
    printed = done.stdout
    expected = [json.loads(line) for line in printed.splitlines()]
    for document in expected:
        document["image"] = Path(document["image"]).name
    paths = sorted(tmp_path.iterdir())
    with TestClient(create_app(load()), HERE) as client, ThreadPoolExecutor(8) as pool:

        def ask(path: Path) -> dict:
            [document] = client.post("/v1/caption", files=sent(path)).json()["results"]
            return document

        found = list(pool.map(ask, paths))
        batches = client.get("/metrics").text
    assert found == expected
    assert len({document["caption"] for document in found}) > 3
    assert "mrnn_batch_items_sum 13.0" in batches  # and the warm-up
