"""docs/server.md tells the truth: its tables are those of the code, its commands work."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from libraries import save_seeing, threshold
from mrnn.captioner import load
from mrnn.library.library import Library
from mrnn.server.limits import Limits
from mrnn.server.problems import TITLES
from web_servers import address, serving

PAGE = (Path(__file__).parents[2] / "docs" / "server.md").read_text()
CURL = re.findall(r"^    (curl .*)$", PAGE, re.MULTILINE)


def test_the_codes_of_the_page():
    rows = re.findall(r"^\| `([\w-]+)` \| (\d+) \| (.*) \|$", PAGE, re.MULTILINE)
    assert {code: (int(status), title) for code, status, title in rows} == dict(TITLES)


def test_the_limits_of_the_page():
    section = PAGE.split("## Limits")[1].split("## Problems")[0]
    rows = re.findall(r"^\| `(\w+)`.* \| ([\d,]+) \|$", section, re.MULTILINE)
    assert {name: int(number.replace(",", "")) for name, number in rows} == asdict(Limits())


@pytest.fixture
def server(tmp_path, picture):
    model = save_seeing(tmp_path / "model", match=threshold())
    photos = [picture("holiday.jpg", 1), picture("a.jpg", 2)]
    with Library.open(tmp_path / "library", load(model)) as library:
        library.add(photos)
    log = tmp_path / "log"
    with serving(log, "--library", tmp_path / "library") as process:
        yield address(process, log)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_commands_of_the_page(server, tmp_path):
    answers = []
    for line in CURL:
        command = shlex.split(line.replace("http://127.0.0.1:8000/", server))
        done = subprocess.run([*command, "-sS"], cwd=tmp_path, capture_output=True, check=True)
        answers.append(json.loads(done.stdout))
    captions, beams, scores, ranking, explained, found, model = answers
    assert [r["image"] for r in captions["results"]] == ["holiday.jpg"]
    assert [len(r["n_best"]) for r in beams["results"]] == [3, 3]
    assert scores["results"][0]["scores"][0]["unknown"]
    assert len(ranking["results"][0]["results"]) == 1
    assert explained["results"][0]["words"]
    assert len(found["results"]) == 2
    assert model["library"]["pictures"] == 2
