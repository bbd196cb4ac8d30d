"""The pages of the Python API: whole, readable offline, made without a warning."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = ("mrnn", "mrnn.datasets", "mrnn.server")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    command = [sys.executable, str(ROOT / "tools" / "api_reference.py"), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    made = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert made.returncode == 0, made.stderr
    assert Path(made.stdout.strip()).is_file()
    return folder


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_has_its_place(pages, module):
    page = (pages / f"{module.replace('.', '/')}.html").read_text()
    anchors = set(re.findall(r'<section id="([\w.]+)">', page))
    assert set(import_module(module).__all__) <= anchors


def test_the_index_has_a_title_and_leads_to_every_module(pages):
    index = (pages / "index.html").read_text()
    assert "<title>mrnn" in index
    linked = re.findall(r'href="([^"]+)"', index)
    assert len(linked) == len(MODULES)
    assert all((pages / page).is_file() for page in linked)


def test_fields_are_explained_by_their_comments(pages):
    page = (pages / "mrnn.html").read_text()
    explained = {
        "Caption.logprob": "<p>Nats, the sum over words",
        "Score.log_ratio": "above 0, the image makes the sentence likelier",
        "Decoding.beam": "<p>Width; 1 is greedy",
    }
    for field, words in explained.items():
        section = page.split(f'<div id="{field}"')[1].split('<div id="')[0]
        assert words in section, field


def test_no_page_asks_another_site_for_anything(pages):
    for page in pages.rglob("*.html"):
        assert not re.search(r'\bsrc="(https?:)?//|<link[^>]+href="(https?:)?//', page.read_text())
