"""How the search of a library grows with it: python tools/scale.py DATA

Writes the plots of docs/scale.md (docs/scale-*.svg) and prints its table. Takes about a quarter of
an hour and 1.2 GB of disk. The pictures are those of dev and train, then synthetic
ones; the queries are dev sentences; seed 1.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from mrnn.scoring.first_order import anchors
from mrnn.scoring.queries import ANCHORS
from mrnn.speed.retrieval import open_scene
from mrnn.speed.scale import Measured, measure, plots, table, write_gallery
from mrnn.words.packing import Corpus

SIZES = (7_000, 10_000, 100_000, 1_000_000)
QUERIES, RANKED, COMPARED = 200, 40, 5
DOCS = Path(__file__).parents[1] / "docs"


def run(data: Path, folder: Path, sizes: tuple[int, ...] = SIZES) -> list[Measured]:
    """Measure libraries of all sizes, one after the other."""
    scene = open_scene(data)
    chosen = np.random.default_rng(1).permutation(len(scene.corpus))[:QUERIES]
    corpus = Corpus(scene.corpus.sentences(chosen))
    centres = anchors(scene.prior_terms, ANCHORS)
    store = write_gallery(scene.model, scene.all_features, sizes[-1], folder / "vectors")
    found = []
    for size in sizes:
        codes = folder / f"{size}.safetensors"
        vectors = store.open(size)
        found.append(measure(scene.model, corpus, centres, vectors, codes, RANKED, COMPARED))
        print(found[-1].kept, flush=True)
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        measured = run(Path(sys.argv[1]), Path(folder))
    print(table(measured))
    for name, drawing in plots(measured).items():
        (DOCS / name).write_text(drawing)
