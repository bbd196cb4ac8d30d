"""False matches and misses of the match threshold: python tools/match_rates.py DATA

The threshold is fitted on one half of the dev pictures and measured with sentences of the other
half, then the other way round. Galleries: dev pictures of that half; these and all training
pictures; these and a synthetic gallery that is made from the training pictures. Seed 1 throughout.
"""

import sys
from pathlib import Path

import numpy as np

from mrnn.captioner import Captioner, load
from mrnn.datasets import read_dataset
from mrnn.evaluation.match import Queries, best_ratios, draw_queries, fit_match, gallery_sizes
from mrnn.evaluation.reading import encoded_by, read_pairs
from mrnn.images.features import default_cache
from mrnn.model.threshold import MatchThreshold
from mrnn.scoring.likelihoods import image_terms
from mrnn.scoring.pairs import Pairs
from mrnn.speed.synthetic import synthetic_gallery
from mrnn.words.packing import Corpus

SYNTHETIC = 100_000  # pictures beside those of the half
CANDIDATES = 50  # of a large gallery


def read(captioner: Captioner, data: Path, split: str) -> Pairs:
    """All sentences and pictures of a split, with the features in memory."""
    source = encoded_by(captioner.encoder, default_cache())
    examples = read_dataset(data).split(split)
    pairs, _, _ = read_pairs(examples, captioner.vocabulary, source, lambda done, total: None)
    return Pairs(pairs.corpus, pairs.images, pairs.features[np.arange(len(pairs.features))])


def part_of(pairs: Pairs, rows: np.ndarray) -> Pairs:
    """The pictures at these rows, rising, with their sentences."""
    chosen = np.flatnonzero(np.isin(pairs.images, rows))
    images = np.searchsorted(rows, pairs.images[chosen])
    return Pairs(Corpus(pairs.corpus.sentences(chosen)), images, pairs.features[rows])


def among(queries: Queries, more: Pairs, first: int) -> Queries:
    """The same queries where other pictures, at rows from `first` on, may bear their sentences."""
    sentences = queries.corpus.sentences(np.arange(len(queries.corpus)))
    bearing: dict[tuple[int, ...], list[int]] = {tuple(words): [] for words in sentences}
    every = more.corpus.sentences(np.arange(len(more.corpus)))
    for words, image in zip(every, more.images, strict=True):
        if tuple(words) in bearing:
            bearing[tuple(words)].append(first + int(image))
    own = [
        np.concatenate([rows, np.unique(bearing[tuple(words)]).astype(int)])
        for words, rows in zip(sentences, queries.own, strict=True)
    ]
    return Queries(queries.corpus, own)


def measure(
    captioner: Captioner, threshold: MatchThreshold, asked: Pairs, train: Pairs
) -> list[tuple[str, int, float, float]]:
    """Gallery, N, and the shares of sentences in percent: false matches, misses."""
    here = len(asked.features)
    queries = draw_queries(asked.corpus, asked.images, here)
    mixed = synthetic_gallery(train.features, SYNTHETIC)
    galleries = (
        ("dev", asked.features, gallery_sizes(here - 1), queries),
        ("dev + train", train.features, (10, 100, 1000, 3000, 6000), among(queries, train, here)),
        ("dev + synthetic", mixed, (10_000, SYNTHETIC), among(queries, train, here)),
    )
    found = []
    for name, more, sizes, of in galleries:
        features = [asked.features] if name == "dev" else [asked.features, more]
        terms = image_terms(captioner.model, np.concatenate(features))
        ratios = best_ratios(
            captioner.model, of, terms, captioner.prior_terms, sizes, candidates=CANDIDATES
        )
        for size, best in zip(sizes, ratios.others.T, strict=True):
            false = 100 * float(np.mean(best >= threshold.at(size)))
            missed = 100 * float(np.mean(ratios.own < threshold.at(size)))
            found.append((name, size, false, missed))
            print(name, size, f"{false:.1f} {missed:.1f}", file=sys.stderr, flush=True)
    return found


def main(data: Path) -> None:
    """Print the table in Markdown."""
    captioner = load(device="cpu")
    dev, train = read(captioner, data, "dev"), read(captioner, data, "train")
    order = np.random.default_rng(1).permutation(len(dev.features))
    halves = [part_of(dev, np.sort(rows)) for rows in np.array_split(order, 2)]
    tables = []
    for fitted, asked in (halves, halves[::-1]):
        threshold = fit_match(captioner.model, fitted, captioner.prior_terms)
        if threshold is None:
            sys.exit(f"{data}: too few dev pictures")
        print(threshold, file=sys.stderr)
        tables.append(measure(captioner, threshold, asked, train))
    print("| gallery | N | false matches, % | misses, % |\n|---|---|---|---|")
    for (name, size, *one), (_, _, *other) in zip(*tables, strict=True):
        false, missed = np.mean([one, other], axis=0)
        print(f"| {name} | {size:,} | {false:.1f} | {missed:.1f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
