"""Write src/mrnn/training/class_words.json: python tools/class_words.py CLASSES [WORDNET]

Which English words stand for which of ImageNet's 1,000 classes. CLASSES lists the classes in the
order of the classifier's rows, a WordNet 3.0 offset such as n02123045 first in each line; WORDNET
is the folder of WordNet's database (Debian's package wordnet-base has it in /usr/share/wordnet).

A noun stands for every class at or below its first or second sense: "cat" for seven breeds. What
has more than 130 below it says too little ("animal"). A plural is given as its singular. `own`
names each class by its own first single word, where it has one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

TARGET = Path(__file__).parents[1] / "src" / "mrnn" / "training" / "class_words.json"
_MOST = 130  # classes below a word
_SENSES = 2
_SOURCE = "WordNet 3.0, Copyright 2006 by Princeton University; see https://wordnet.princeton.edu"


class WordNet:
    """The nouns of WordNet: synsets by offset, senses by lemma."""

    def __init__(self, folder: Path) -> None:
        self.names: dict[str, list[str]] = {}  # the words of a synset
        self.children: dict[str, list[str]] = {}
        for line in _entries(folder / "data.noun"):
            offset, _, _, count, *rest = line.split(" | ")[0].split()
            words = int(count, 16)
            self.names[offset] = rest[: 2 * words : 2]
            links = rest[2 * words + 1 :]
            kinds = zip(links[0::4], links[1::4], links[2::4], strict=False)
            self.children[offset] = [
                to for kind, to, part in kinds if kind in ("~", "~i") and part == "n"
            ]
        self.senses: dict[str, list[str]] = {}  # synsets of a lemma, the commonest first
        for line in _entries(folder / "index.noun"):
            lemma, _, _, links, *rest = line.split()
            self.senses[lemma] = rest[int(links) + 2 :]
        self.plurals: dict[str, list[str]] = {}  # those that no rule makes
        for line in (folder / "noun.exc").read_text(encoding="ascii").splitlines():
            plural, *lemmas = line.split()
            for lemma in lemmas:
                self.plurals.setdefault(lemma, []).append(plural)


def _entries(path: Path) -> Iterator[str]:
    """The lines of a file of the database; the licence at its head is indented."""
    with path.open(encoding="latin-1") as file:
        yield from (line for line in file if not line.startswith("  "))


def regular_plurals(noun: str) -> list[str]:
    """How the plural of an English noun may be spelled."""
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return [noun + "es"]
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return [noun[:-1] + "ies"]
    if noun.endswith(("f", "fe")):
        return [noun.rstrip("e")[:-1] + "ves", noun + "s"]
    return [noun + "s", noun + "es"] if noun.endswith("o") else [noun + "s"]


def class_words(listed: Path, folder: Path) -> dict[str, object]:
    """The document that is written."""
    net = WordNet(folder)
    offsets = [line.split()[0].removeprefix("n") for line in listed.read_text().splitlines()]
    row = {offset: i for i, offset in enumerate(offsets)}

    @cache
    def below(synset: str) -> frozenset[int]:
        own = frozenset([row[synset]] if synset in row else [])
        return own.union(*map(below, net.children[synset]))

    def classes(lemma: str) -> list[int]:
        found = (below(sense) for sense in net.senses.get(lemma, [])[:_SENSES])
        return sorted(next((rows for rows in found if 0 < len(rows) <= _MOST), frozenset()))

    words: dict[str, list[int] | str] = {}
    for lemma in net.senses:
        if lemma.isascii() and lemma.isalnum() and (rows := classes(lemma)):
            for plural in (*net.plurals.get(lemma, []), *regular_plurals(lemma)):
                if plural.isalnum() and plural not in net.senses:
                    words.setdefault(plural, lemma)
            words[lemma] = rows
    own = []
    for offset in offsets:
        names = [name for name in net.names[offset] if name.isalnum() and name.islower()]
        own.append(next((name for name in names if row[offset] in words.get(name, [])), None))
    return {"source": _SOURCE, "own": own, "words": dict(sorted(words.items()))}


def main() -> None:
    """Write the file, a word a line."""
    listed, folder = Path(sys.argv[1]), Path((sys.argv[2:] or ["/usr/share/wordnet"])[0])
    document = class_words(listed, folder)
    parts = [f'"source": {json.dumps(document["source"])}', f'"own": {json.dumps(document["own"])}']
    words = document["words"]
    assert isinstance(words, dict)
    lines = ",\n".join(f'"{word}": {json.dumps(rows)}' for word, rows in words.items())
    text = "{" + ",\n".join([*parts, '"words": {\n' + lines + "\n}"]) + "}\n"
    TARGET.write_text(text, encoding="ascii")


if __name__ == "__main__":
    main()
