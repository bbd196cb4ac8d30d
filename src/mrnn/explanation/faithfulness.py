"""Are heat maps true? A word must lose probability when the parts that spoke for it turn grey.

For every content word of a caption a quarter of the map's parts is filled with grey, in the
encoder's input, and the loss of the word's log P is measured, after the same words before it. Four
quarters are tried: the hottest; a random one, parts drawn one by one without replacement, others
for each word; the hottest one's shape moved to a random place, around the edges; the coldest.
Parts that lie scattered hurt more than a shape, whatever they show: they make edges everywhere.

Dimension key: S input side, H parts a side, K content words, M multimodal layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..images.encoders import Encoder
from ..images.features import OnProgress, read_ahead, read_pixels
from ..images.finding import Picture
from ..model.mrnn import MRNN
from ..words.packing import Corpus
from ..words.text import END, Vocabulary, tokenise
from .evidence import find_evidence
from .occlusion import cells, losses

SHARE = 0.25  # of the parts are filled
QUARTERS = ("hottest", "random", "moved", "coldest")
_AHEAD = 8  # pictures that are decoded while one is measured

# Words that no part of a picture shows. Numbers, colours and verbs of action count as content.
FUNCTION_WORDS = frozenset(
    tokenise(
        """a an the this that these those some any each another other others one s t
        i you he she it we they him her them his hers its their my your our
        himself herself itself themselves who whom whose which what where when why how there here
        and or but nor so if as than then while because not no
        of in on at by for from to into onto with without within over under above below up down
        out off through along across around about near behind between among beside besides beneath
        underneath against past toward towards upon inside outside next after before during until
        is are was were be been being am has have had having do does did doing can could will
        would shall should may might must"""
    )
)


def measure(
    model: MRNN,
    encoder: Encoder,
    vocabulary: Vocabulary,
    usual: np.ndarray,
    pictures: Sequence[Picture],
    captions: Sequence[str],
    seed: int,
    on_progress: OnProgress,
    quick: bool = False,
) -> dict[str, Any] | None:
    """Mean losses of log P over the content words of all captions, nats; None without any map.

    `usual` (M,) is the image term at the baseline; `quick` as for `find_evidence`. Pictures that
    cannot be read are left out.
    """
    generator = np.random.default_rng(seed)
    found: list[np.ndarray] = []
    read = partial(read_pixels, how=encoder.preprocessing)
    everything = zip(read_ahead(pictures, read, _AHEAD), captions, strict=True)
    for done, (pixels, caption) in enumerate(everything, 1):
        if isinstance(pixels, np.ndarray):
            words = [*vocabulary.encode(caption), END]
            content = _content(vocabulary.tokenise(caption))
            found += _losses(model, encoder, usual, pixels, words, content, generator, quick)
        on_progress(done, len(pictures))
    if not found:
        return None
    means = dict(zip(QUARTERS, np.mean(found, axis=0).tolist(), strict=True))
    ratio = means["hottest"] / means["random"] if means["random"] > 0 else None
    return {"words": len(found), **means, "ratio": ratio}


def _losses(
    model: MRNN,
    encoder: Encoder,
    usual: np.ndarray,
    pixels: np.ndarray,
    words: Sequence[int],
    content: Sequence[int],
    generator: np.random.Generator,
    quick: bool,
) -> Iterator[np.ndarray]:
    """For each content word what its log P loses by each of the quarters, (4,)."""
    [feature] = encoder.encode(pixels[None])
    evidence, _ = find_evidence(model, encoder, usual, pixels, feature, words, quick)
    if not content or not evidence[0].heat:
        return
    heat = [np.array(evidence[place].heat) for place in content]
    chosen = np.concatenate([quarters(one, generator) for one in heat])  # (4 K, H * H)
    masks = cells(encoder.preprocessing.size, len(heat[0]))
    covered = np.stack([masks[parts].any(0) for parts in chosen])
    packed = Corpus([words[:-1]]).pack()
    lost = losses(model, encoder, packed, pixels, feature, covered)
    count = len(QUARTERS)
    for number, place in enumerate(content):
        yield lost[place, count * number : count * (number + 1)]


def quarters(heat: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Which parts of a map (H, H) each of the quarters holds, (4, H * H) booleans."""
    parts, side = heat.size, len(heat)
    count = max(1, round(SHARE * parts))
    order = np.argsort(-heat.ravel(), kind="stable")
    found = np.zeros((len(QUARTERS), parts), dtype=bool)
    found[0, order[:count]] = True
    found[1, generator.permutation(parts)[:count]] = True
    steps = generator.integers(0, side, 2).tolist()
    found[2] = np.roll(found[0].reshape(side, side), steps, (0, 1)).ravel()
    found[3, order[-count:]] = True
    return found


def _content(words: Sequence[str]) -> list[int]:
    """The places of content words."""
    return [i for i, word in enumerate(words) if word not in FUNCTION_WORDS]
