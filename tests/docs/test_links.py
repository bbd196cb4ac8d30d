"""Links of the pages lead somewhere: to files that are there, and to headings in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("src/mrnn/bundles/*/*.md")])
SOURCES = [path for folder in ("src", "tests", "tools") for path in (ROOT / folder).rglob("*.py")]
FENCED = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def headings(page: Path) -> set[str]:
    """What follows # in links to headings, as GitHub makes it."""
    found = re.findall(r"^#+ +(.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", page.read_text())):
        if "://" in target:
            continue
        name, _, heading = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), f"{page.name}: {target}"
        assert not heading or heading in headings(file), f"{page.name}: {target}"


@pytest.mark.parametrize("folder", ["docs", "configs", "findings", "tools", "benchmarks"])
def test_pages_that_are_named_anywhere_are_there(folder):
    name = re.compile(rf"(?<![\w/.-]){folder}/[\w-]+\.(?:md|json|toml|sh|py)\b")
    for file in [*PAGES, *SOURCES]:
        for named in name.findall(file.read_text()):
            assert (ROOT / named).exists(), f"{file.relative_to(ROOT)}: {named}"
