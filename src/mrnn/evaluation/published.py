"""Published figures to stand beside ours: facts, each with where it can be looked up.

All are of the test splits (Flickr8K, Flickr30K: 1,000 images with five sentences each). None stands
where a figure was not confirmed. Recall is in percent, BLEU a fraction.
"""

from __future__ import annotations

from dataclasses import dataclass

PAPER = "Mao et al. 2014, arXiv:1410.1090"
LATER_PAPER = "Mao et al. 2015, arXiv:1412.6632"
FOOTNOTE = f"{PAPER}, footnote 1: perplexity as newer code of Kiros et al. gives it"
# Seen in its README: the rows that tables 3 and 4 of the paper repeat, without the median ranks.
SURVEY = "github.com/Paranioar/Awesome_Matching_Pretraining_Transfering"
UVSE = "Kiros et al. 2014, arXiv:1411.2539"
UVSE_CODE = "github.com/ryankiros/visual-semantic-embedding"
NIC = "Vinyals et al. 2015, arXiv:1411.4555"
BRNN = "Karpathy and Fei-Fei 2015, arXiv:1412.2306"
ATTEND = "Xu et al. 2015, arXiv:1502.03044"
MERGE = "Tanti et al., merge architecture"

LEAST_IMAGES = 100  # to search among; with fewer our figures are not put beside published ones
TOO_FEW = (
    "Published figures are left out: they are of 1,000 images, and among fewer than "
    f"{LEAST_IMAGES} nearly everything is found; perplexity and BLEU of so few say little, too."
)

Ranks = tuple[float | None, float | None, float | None, float | None]  # R@1, R@5, R@10, Med r


@dataclass(frozen=True)
class Retrieval:
    """A row of a retrieval table."""

    method: str
    features: str
    image_to_text: Ranks
    text_to_image: Ranks
    source: str


@dataclass(frozen=True)
class Generation:
    """A row of a generation table."""

    method: str
    features: str
    perplexity: float | None
    bleu: tuple[float | None, ...]  # BLEU-1 and on, as far as published
    source: str


@dataclass(frozen=True)
class Tables:
    """The published figures of a data set: the paper's rows, and of what came later."""

    data: str
    images: int | None  # among how many, with their sentences, was searched; None: not confirmed
    note: str  # what to know before comparing
    retrieval: tuple[Retrieval, ...]
    retrieval_later: tuple[Retrieval, ...]
    generation: tuple[Generation, ...]
    generation_later: tuple[Generation, ...]


def tables_of(data: str) -> Tables | None:
    """The published figures of a data set, known by its name; None for one that has none."""
    letters = "".join(filter(str.isalnum, data.lower()))
    return next((tables for name, tables in _BY_NAME.items() if name in letters), None)


def _row(method: str, features: str, there: str, back: str, source: str) -> Retrieval:
    return Retrieval(method, features, _ranks(there), _ranks(back), source)


def _ranks(figures: str) -> Ranks:
    """Four figures in a line; a dash is a figure not known."""
    r1, r5, r10, median = (None if text == "-" else float(text) for text in figures.split())
    return r1, r5, r10, median


# Tables 3 and 5 of the paper.
FLICKR8K = Tables(
    "Flickr8K",
    1000,
    "The paper's BLEU of the m-RNN cannot be the cumulative one that is used today.",
    retrieval=(
        _row("SDT-RNN", "AlexNet", "4.5 18.0 28.6 -", "6.1 18.5 29.0 -", SURVEY),
        _row("SDT-RNN", "R-CNN", "6.0 22.7 34.0 -", "6.6 21.6 31.7 -", SURVEY),
        _row("DeViSE", "R-CNN", "4.8 16.5 27.3 -", "5.9 20.1 29.6 -", SURVEY),
        _row("Deep fragments", "AlexNet", "5.9 19.2 27.3 -", "5.2 17.6 26.5 -", SURVEY),
        _row("Deep fragments", "R-CNN", "12.6 32.9 44.0 -", "9.7 29.6 42.5 -", SURVEY),
        _row("m-RNN, the paper", "AlexNet", "14.5 37.2 48.5 11", "11.5 31.0 42.4 15", PAPER),
    ),
    retrieval_later=(
        _row("UVSE", "AlexNet", "13.5 36.2 45.7 13", "10.4 31.0 43.7 14", UVSE),
        _row("UVSE, 2015 code", "VGG-19", "22.3 48.7 59.8 6", "14.9 38.3 51.6 10", UVSE_CODE),
        _row("BRNN", "R-CNN", "16.5 40.6 54.2 -", "11.8 32.1 44.7 -", BRNN),
        _row("NIC, ensemble", "GoogLeNet", "20 - 61 6", "19 - 64 5", NIC),
        _row("NAA", "ResNet", "37.2 68.1 79.1 -", "27.7 59.6 71.8 -", SURVEY),
    ),
    generation=(
        Generation("RNN-Base, the paper", "none", 30.39, (0.4383,), PAPER),
        Generation("m-RNN, the paper", "AlexNet", 24.39, (0.5778,), PAPER),
    ),
    generation_later=(
        Generation("m-RNN, later", "AlexNet", None, (0.565, 0.386, 0.256, 0.170), LATER_PAPER),
        Generation("NIC, ensemble", "GoogLeNet", None, (0.63, 0.41, 0.27), NIC),
        Generation("merge-RNN", "VGG", 13.96, (0.600, 0.413, 0.273, 0.178), MERGE),
        Generation("hard attention", "VGG, grid", None, (0.67, 0.457, 0.314, 0.213), ATTEND),
    ),
)

# Tables 4 and 5 of the paper.
FLICKR30K = Tables(
    "Flickr30K",
    1000,
    FLICKR8K.note,
    retrieval=(
        _row("DeViSE", "R-CNN", "4.5 18.1 29.2 -", "6.7 21.9 32.7 -", SURVEY),
        _row("SDT-RNN", "R-CNN", "9.6 29.8 41.1 -", "8.9 29.8 41.1 -", SURVEY),
        _row("Deep fragments", "R-CNN", "14.2 37.7 51.3 -", "10.2 30.8 44.2 -", SURVEY),
        _row("Deep fragments", "R-CNN, tuned", "16.4 40.2 54.7 -", "10.3 31.4 44.5 -", SURVEY),
        _row("m-RNN, the paper", "AlexNet", "18.4 40.2 50.9 10", "12.6 31.2 41.5 16", PAPER),
    ),
    retrieval_later=(
        _row("UVSE", "AlexNet", "14.8 39.2 50.9 -", "11.8 34.0 46.3 -", SURVEY),
        _row("BRNN", "R-CNN", "22.2 48.2 61.4 -", "15.2 37.7 50.5 -", SURVEY),
        _row("NIC", "GoogLeNet", "17 - 56 -", "17 - 57 -", SURVEY),
        _row("m-RNN, later", "VGG", "35.4 63.8 73.7 -", "22.8 50.7 63.1 -", SURVEY),
        _row("NAA", "ResNet", "55.1 80.3 89.6 -", "39.4 68.8 79.9 -", SURVEY),
    ),
    generation=(Generation("m-RNN, the paper", "AlexNet", 35.11, (), PAPER),),
    generation_later=(),
)

# Tables 1 and 2 of the paper.
IAPR_TC12 = Tables(
    "IAPR TC-12",
    None,
    "The paper looks for a sentence only among those of the 100 images nearest to the query.",
    retrieval=(
        _row("m-RNN, the paper", "AlexNet", "20.9 43.8 54.4 8", "13.2 31.2 40.8 21", PAPER),
    ),
    retrieval_later=(),
    generation=(
        Generation("LBL, updated", "none", 9.29, (), FOOTNOTE),
        Generation("MLBL-F, updated", "DeCAF", 9.90, (), FOOTNOTE),
        Generation("m-RNN, the paper", "AlexNet", 6.92, (0.3951, 0.1828, 0.1311), PAPER),
    ),
    generation_later=(),
)

NO_TABLES = Tables("", None, "", (), (), (), ())

_BY_NAME = {
    "flickr8k": FLICKR8K,
    "flicker8k": FLICKR8K,  # as the release spells its folder
    "flickr30k": FLICKR30K,
    "iapr": IAPR_TC12,
}
