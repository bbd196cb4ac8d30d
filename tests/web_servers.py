"""Running `mrnn serve` for the tests of the web page, and asking it without a browser."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_lines import WITH_SRC
from conftest import TRAINING, WORDS, tiny_model
from mrnn.images.reading import Preprocessing
from mrnn.model.bundle import Bundle, EncoderIdentity, save_bundle
from mrnn.words.text import SIGNS, Vocabulary

KEY = "a-key-of-the-tests"


@contextmanager
def serving(log: Path, *options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A `mrnn serve` that ends with the block; it may not be ready yet."""
    command = [sys.executable, "-m", "mrnn", "serve", "--port", "0", *map(str, options)]
    with (
        log.open("w") as output,
        subprocess.Popen(command, env=WITH_SRC, stderr=output, stdout=output) as server,
    ):
        try:
            yield server
        finally:
            server.terminate()
            server.wait(20)


def address(server: subprocess.Popen[bytes], log: Path) -> str:
    """Where a server answers, as soon as it does."""
    while not (found := re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())):
        try:
            server.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"mrnn serve ended: {log.read_text()}")
    return found.group()


def save_sightless(folder: Path) -> Path:
    """A bundle with an untrained model that says the same of every picture."""
    vocabulary = Vocabulary(SIGNS + WORDS)
    nothing = EncoderIdentity("none", "", Preprocessing(size=1))
    prior = np.zeros((4, 0), dtype=np.float16)
    model = tiny_model(len(vocabulary), feature=0, seed=1)
    save_bundle(Bundle(model, vocabulary, nothing, prior, TRAINING), folder)
    return folder


def explain(server: str, photo: Path, **fields: object) -> Any:
    """What the server explains of a photo, as quickly as for the page."""
    return _post(server, "explain", photo, **{"quick": True, **fields})


def score(server: str, photo: Path, sentence: str) -> Any:
    """What the server says of a sentence for a photo."""
    return _post(server, "score", photo, sentence=[sentence])["scores"][0]


def _post(server: str, question: str, photo: Path, **fields: object) -> Any:
    body = {"image": base64.b64encode(photo.read_bytes()).decode(), **fields}
    request = urllib.request.Request(
        f"{server}v1/{question}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["results"][0]
