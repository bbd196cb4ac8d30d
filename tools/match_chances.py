"""How well chances of a match foretell what is right: python tools/match_chances.py DATA [MODEL]

They are fitted to searches among one half of the dev pictures and compared with searches among
the other half, then the other way round. Beside them the rule of before: a log-ratio that reaches
t(N), the 95th percentile of the best wrong ones of whole sentences. Prints tables in Markdown and,
for the model `default`, draws docs/match-chances.svg. Seed 1 throughout.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mrnn.captioner import load
from mrnn.datasets import read_dataset
from mrnn.evaluation.match import (
    KINDS,
    Found,
    Queries,
    chance_of,
    draw_queries,
    gallery_sizes,
    search_all,
)
from mrnn.evaluation.reading import encoded_by, read_pairs
from mrnn.images.features import default_cache
from mrnn.model.bundle import Bundle
from mrnn.model.chance import MatchChance
from mrnn.pages.plots import Curve, document, line_plot
from mrnn.scoring.likelihoods import image_terms
from mrnn.scoring.pairs import Pairs
from mrnn.words.packing import Corpus

DRAWING = Path(__file__).parents[1] / "docs" / "match-chances.svg"
BINS = 10
LEAST = 100  # found pictures of a bin that is drawn
LOWEST = 0.001  # chance, for the log loss


@dataclass(frozen=True)
class Searches:
    """Searches among one half of the dev pictures."""

    queries: Queries
    found: Found
    images: int
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Foretold:
    """What was found, with what the one and the other rule say of it; all columns (n,)."""

    kinds: np.ndarray
    pictures: np.ndarray
    is_first: np.ndarray
    is_right: np.ndarray
    chance: np.ndarray
    is_above: np.ndarray  # it reaches t(N)
    shares: np.ndarray  # right ones of the other half's that are above too, or that are not, either

    def where(self, mask: np.ndarray) -> "Foretold":
        return Foretold(*(column[mask] for column in vars(self).values()))


def halves(bundle: Bundle, dev: Pairs) -> Iterator[Searches]:
    """The distinct pictures of dev in two halves, and searches among each."""
    terms, which = np.unique(image_terms(bundle.model, dev.features), axis=0, return_inverse=True)
    order = np.random.default_rng(1).permutation(len(terms))
    own = which[dev.images]
    for rows in map(np.sort, np.array_split(order, 2)):
        chosen = np.flatnonzero(np.isin(own, rows))
        corpus = Corpus(dev.corpus.sentences(chosen))
        queries = draw_queries(bundle, corpus, np.searchsorted(rows, own[chosen]), len(rows))
        sizes = gallery_sizes(len(rows) - 1)
        yield Searches(queries, search_all(bundle, queries, terms[rows], sizes), len(rows), sizes)


def line_of_before(searches: Searches) -> np.ndarray:
    """Slope and intercept of t(N) against log N."""
    found, levels = searches.found, []
    is_whole = searches.queries.kinds[found.query] == KINDS.index("sentence")
    for size in searches.sizes:
        # Without its own picture none of those found is right of a whole sentence.
        here = found.chosen(is_whole & (found.pictures == size) & ~found.is_right)
        best = np.full(len(searches.queries.words), -np.inf)
        np.maximum.at(best, here.query, here.log_ratio)
        levels.append(np.percentile(best[np.isfinite(best)], 95))
    return np.polyfit(np.log(searches.sizes), levels, 1)


def foretold(chance: MatchChance, fitted: Searches, asked: Searches) -> Foretold:
    """What chances and the rule of before, both fitted to one half, say of the other."""
    line = line_of_before(fitted)
    found, queries = asked.found, asked.queries

    def above(of: Found) -> np.ndarray:
        return of.log_ratio >= np.polyval(line, np.log(of.pictures))

    there = above(fitted.found)
    right = [fitted.found.is_right[there == flag].mean() for flag in (False, True)]
    rules = {
        (q, n): chance.rule(int(queries.words[q]), float(p), int(n))
        for q, n, p in zip(found.query, found.pictures, found.log_prior, strict=True)
    }
    chances = [
        rules[q, n].chance(float(ratio))
        for q, n, ratio in zip(found.query, found.pictures, found.log_ratio, strict=True)
    ]
    return Foretold(
        queries.kinds[found.query],
        found.pictures,
        found.place == 0,
        found.is_right,
        np.array(chances),
        above(found),
        np.where(above(found), right[1], right[0]),
    )


def calibration_error(chances: np.ndarray, is_right: np.ndarray) -> float:
    """The mean distance of chances and shares, over ten bins of chances."""
    bins = np.minimum((chances * BINS).astype(int), BINS - 1)
    gaps = [abs((chances - is_right)[bins == one].sum()) for one in range(BINS)]
    return float(np.sum(gaps) / len(chances))


def log_loss(chances: np.ndarray, is_right: np.ndarray) -> float:
    """Nats; chances are drawn away from 0 and 1 a little."""
    chances = np.clip(chances, LOWEST, 1 - LOWEST)
    return float(-np.log(np.where(is_right, chances, 1 - chances)).mean())


def table(all_of_it: Foretold) -> str:
    """By kind of sentence and number of pictures: how far the two rules are off."""
    heads = ["searched for", "N", "right, %", "mean chance, %", "calibration error, points"]
    heads += ["Brier score", "of the rule before", "log loss", "of the rule before"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    kinds = [("all", all_of_it.kinds >= 0)]
    kinds += [(name, all_of_it.kinds == place) for place, name in enumerate(KINDS)]
    for name, of_kind in kinds:
        for of_size, mask in sizes_of(all_of_it):
            one = all_of_it.where(of_kind & mask)
            figures = [
                f"{100 * one.is_right.mean():.1f}",
                f"{100 * one.chance.mean():.1f}",
                f"{100 * calibration_error(one.chance, one.is_right):.1f}",
                f"{np.square(one.chance - one.is_right).mean():.3f}",
                f"{np.square(one.shares - one.is_right).mean():.3f}",
                f"{log_loss(one.chance, one.is_right):.3f}",
                f"{log_loss(one.shares, one.is_right):.3f}",
            ]
            lines.append(f"| {name} | {of_size} | {' | '.join(figures)} |")
    return "\n".join(lines)


def table_of_first(all_of_it: Foretold) -> str:
    """Of the first picture found: how many right ones are called a match, and wrong ones."""
    heads = ["searched for", "N", "first one right, %", "of these a match, %", "before, %"]
    heads += ["of matches right, %", "before, %"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for place, name in enumerate(KINDS):
        for of_size, mask in sizes_of(all_of_it):
            one = all_of_it.where((all_of_it.kinds == place) & mask & all_of_it.is_first)
            figures = [100 * one.is_right.mean()]
            figures += [100 * m[one.is_right].mean() for m in (one.chance >= 0.5, one.is_above)]
            figures += [
                100 * one.is_right[m].mean() if m.any() else np.nan
                for m in (one.chance >= 0.5, one.is_above)
            ]
            lines.append(f"| {name} | {of_size} | {' | '.join(map(told, figures))} |")
    return "\n".join(lines)


def told(percentage: float) -> str:
    return "-" if np.isnan(percentage) else f"{percentage:.1f}"  # - where none was a match


def sizes_of(one: Foretold) -> Iterator[tuple[str, np.ndarray]]:
    yield "10 to 30", one.pictures <= 30
    yield "100", one.pictures == 100
    yield "300 to 499", one.pictures >= 300


def drawing(all_of_it: Foretold) -> str:
    """The share that is right against the chance that was told, by kind of sentence."""
    curves: dict[str, Curve] = {}
    short = ("sentences", KINDS[:1]), ("words", KINDS[1:3]), ("beginnings", KINDS[3:])
    for name, kinds in short:
        one = all_of_it.where(np.isin(all_of_it.kinds, [KINDS.index(kind) for kind in kinds]))
        bins = np.minimum((one.chance * BINS).astype(int), BINS - 1)
        drawn = [bins == b for b in range(BINS) if np.count_nonzero(bins == b) >= LEAST]
        curves[name] = (
            [float(100 * one.chance[m].mean()) for m in drawn],
            [float(100 * one.is_right[m].mean()) for m in drawn],
        )
    curves["as told"] = [0.0, 100.0], [0.0, 100.0]
    title = "How many of the pictures that have a chance are right"
    figure = line_plot(
        title, "chance told, %", "right, %", curves, x_range=(0, 100), y_range=(0, 100)
    )
    return document(figure)


def main(data: Path, model: str = "default") -> None:
    """Print the tables, and draw."""
    captioner = load(model, device="cpu")
    source = encoded_by(captioner.encoder, default_cache())
    examples = read_dataset(data).split("dev")
    dev, _, _ = read_pairs(examples, captioner.vocabulary, source, lambda done, total: None)
    searches = list(halves(captioner.bundle, dev))
    parts = []
    for fitted, asked in (searches, searches[::-1]):
        chance = chance_of(fitted.queries, fitted.found, fitted.images, fitted.sizes)
        if chance is None:
            sys.exit(f"{data}: too few dev pictures")
        print(chance, line_of_before(fitted), file=sys.stderr)
        parts.append(foretold(chance, fitted, asked))
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    both = Foretold(*map(np.concatenate, columns))
    print(table(both), table_of_first(both), sep="\n\n")
    if model == "default":
        DRAWING.write_text(drawing(both))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
