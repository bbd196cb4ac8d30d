"""Look through a data set before training: what it holds, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..images.finding import printable
from . import DataSet
from .advice import next_step, without_captions
from .caption_check import Captions, caption_figures, split_figures, vocabulary_figures
from .picture_check import look_at, picture_figures

SHOWN = 20  # problems, and leaking pictures, in the text; the document has all

Name = Callable[[str], str]  # how a picture is shown
Stage = Callable[[str, str], AbstractContextManager[Callable[[int, int], None]]]


def check(
    data: DataSet,
    quick: bool,
    stage: Stage,
    places: Sequence[Path] = (),
    arguments: Sequence[str] = (),
) -> dict[str, Any]:
    """The document of `mrnn check --json`, see docs/schemas/check.json; nothing is written.

    Every picture is decoded once, unless `quick`. `stage` shows a piece of work: name, unit.
    Pictures without captions are looked for in `places` and beside those that have some;
    `arguments` are those of `mrnn train` for this data.
    """
    with stage("captions", "images") as on_progress:
        captions = Captions(data, on_progress)
    splits: dict[str, dict[str, int | None]] = {
        split: {**figures, "unreadable": None} for split, figures in split_figures(captions).items()
    }
    problems = list(data.problems)
    pictures = None
    if not quick:
        with stage("pictures", "images") as on_progress:
            found = look_at(data, on_progress)
        pictures = picture_figures(data, captions.image_splits, found)
        problems += found.problems
        for split, figures in splits.items():
            figures["unreadable"] = sum(problem.split == split for problem in found.problems)
    reason = _obstacle(splits)
    train = splits["train"]["sentences"] or 0
    return {
        "trainable": reason is None,
        "reason": reason,
        "data": data.name,
        "format": data.format,
        "folders": [{"folder": str(f), "images": n} for f, n in captions.folders.items()],
        "split_origin": data.split_origin,
        "splits": splits,
        "captions": caption_figures(captions),
        "vocabulary": vocabulary_figures(captions),
        "pictures": pictures,
        "without_captions": without_captions(data, [*places, *captions.folders]),
        "problems": [asdict(problem) for problem in problems],
        "next": next_step(reason, train, arguments),
    }


def unusable(error: Exception) -> dict[str, Any]:
    """The document of a data set of which nothing can be used."""
    return {"trainable": False, "reason": str(error)}


def check_lines(document: Mapping[str, Any]) -> list[str]:
    """The findings to read."""
    d = document
    folders = d["folders"]
    folder = f"{folders[0]['folder']}/" if len(folders) == 1 else ""  # is shown once, at the top

    def name(image: str) -> str:
        return printable(image.removeprefix(folder))

    return [
        f"{d['data']}: {d['format']}",
        *_layout_lines(d),
        *_caption_lines(d["captions"]),
        *_shared_lines(d["captions"]["shared"], name),
        *_vocabulary_lines(d["vocabulary"]),
        *_picture_lines(d["pictures"], name),
        *_without_lines(d["without_captions"], name),
        *_problem_lines(d["problems"]),
        "",
        _line("training", "possible" if d["trainable"] else f"impossible: {d['reason']}"),
        _line("next", d["next"]),
    ]


def _obstacle(splits: Mapping[str, Mapping[str, int | None]]) -> str | None:
    """Why `mrnn train` would stop, if so."""
    for split in ("train", "dev"):
        images = splits[split]["images"]
        if not images:
            return f"no captioned image in the {split} split; training needs train and dev"
        if splits[split]["unreadable"] == images:
            return f"none of the {images:,} pictures of the {split} split can be read"
    return None


def _layout_lines(d: Mapping[str, Any]) -> Iterator[str]:
    folders = [f"{printable(f['folder'])} ({f['images']:,})" for f in d["folders"]]
    yield from _listed("pictures in", folders, 3)
    yield _line("splits", d["split_origin"])
    for split, of in d["splits"].items():
        if of["images"]:
            yield _line(f"  {split}", f"{of['images']:,} images, {of['sentences']:,} captions")


def _caption_lines(c: Mapping[str, Any]) -> Iterator[str]:
    of, words = c["an_image"], c["words"]
    yield ""
    yield _line(
        "captions an image",
        f"{of['least']:,} to {of['most']:,}, median {of['median']:g}; "
        f"{of['images_with_one']:,} images have one only",
    )
    yield _line(
        "words a caption",
        f"median {words['median']:g}, 95% have {words['percentile_95']:,} at most, "
        f"longest {words['longest']:,}",
    )
    yield _line(
        f"longer than {words['limit']} words", _share(words["longer"], words["share_longer"])
    )
    again = c["repeated_in_train"]
    share = _share(again["sentences"], again["share"])
    yield _line("repeated in train", f"{share} have the words of another")
    scripts = [f"{script} {_percent(share)}" for script, share in c["scripts"].items()]
    yield _line("scripts", ", ".join(scripts) or "no letters")


def _shared_lines(shared: list[dict[str, Any]], name: Name) -> Iterator[str]:
    for of in shared:
        count = _share(of["sentences"], of["share"])
        yield _line(f"of {of['split']} also in {of['other_split']}", f"{count}, such as")
        for e in of["examples"]:
            yield f"  {printable(e['caption'])!r}: {name(e['image'])}, {name(e['other'])}"


def _vocabulary_lines(cuts: list[dict[str, Any]]) -> Iterator[str]:
    yield ""
    yield f"{'words seen in training':26}{'kept':>9}{'unknown in dev':>16}{'in test':>9}"
    for cut in cuts:
        times = _TIMES.get(cut["minimum_count"], f"{cut['minimum_count']} times")
        dev, test = _percent(cut["unknown_dev"]), _percent(cut["unknown_test"])
        yield f"  {times + ' or more':24}{cut['words']:9,}{dev:>16}{test:>9}"


def _picture_lines(pictures: Mapping[str, Any] | None, name: Name) -> Iterator[str]:
    yield ""
    if pictures is None:
        yield _line("pictures", "not opened")
        return
    p = pictures
    yield _line("pictures", f"{p['read']:,} can be read, {p['unreadable']:,} cannot")
    if p["even"]:
        yield _line("of one colour", f"{p['even']:,}; the same as others perhaps, but never near")
    for split, kinds in p["copies"].items():
        for kind, label in _KINDS.items():
            if (of := kinds[kind])["groups"]:
                groups = f"{of['groups']:,} groups" if of["groups"] > 1 else "a group"
                yield _line(f"{label} in {split}", f"{of['pictures']:,} in {groups}, such as")
                yield from ("  " + " = ".join(map(name, names)) for names in of["examples"])
    if not p["all_near_found"]:
        yield _line("near the same", "there may be more: not all pairs were compared")
    leaks = [
        f"  {e['split']} {name(e['image'])} = {e['other_split']} {name(e['other'])}"
        + (" (near)" if e["kind"] == "near" else "")
        for e in p["leakage"]
    ]
    yield _line("in two splits", f"{len(leaks):,}" if leaks else "none")
    yield from _first(leaks)


def _without_lines(of: Mapping[str, Any], name: Name) -> Iterator[str]:
    such = f"{of['images']:,} without a caption that can be used, such as"
    yield _line("pictures left out", such if of["images"] else "none")
    yield from (f"  {name(image)}" for image in of["examples"])


_TIMES = {1: "once", 2: "twice"}
_KINDS = {"same": "the same", "near": "near the same"}


def _problem_lines(problems: list[dict[str, Any]]) -> Iterator[str]:
    yield ""
    yield _line("problems", f"{len(problems):,}, skipped in training" if problems else "none")
    yield from _first([f"  {p['place']}: {p['message']}" for p in problems])


def _listed(name: str, texts: list[str], most: int) -> Iterator[str]:
    for text in texts[:most]:
        yield _line(name, text)
        name = ""
    if len(texts) > most:
        yield _line("", f"and {len(texts) - most:,} more")


def _first(lines: list[str]) -> Iterator[str]:
    yield from lines[:SHOWN]
    if len(lines) > SHOWN:
        yield f"  and {len(lines) - SHOWN:,} more (--json has all)"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}%"


def _share(count: int, share: float) -> str:
    return f"{count:,} captions ({_percent(share)})"


def _line(name: str, text: str) -> str:
    return f"{name:26} {text}".rstrip()
