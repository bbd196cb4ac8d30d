"""An explained sentence as a page: choose a word, and see where in the photo it came from.

There is no script: the words are radio buttons, and CSS shows what belongs to the chosen one.
"""

from __future__ import annotations

import base64
import io
import math
from dataclasses import astuple
from pathlib import Path

from ..images.finding import printable
from ..pages.heat_map import PARTS, Heat, bar_length, label, scales, tint
from ..pages.html import (
    Line,
    embedded,
    escape,
    figures_table,
    page,
    reduced,
    section,
    table,
)
from ..results import Evidence, Explanation, Word

_SIDE = 960  # pixels of the photo

_STYLE = """
.explained { position: relative; }
.explained input { position: absolute; opacity: 0; pointer-events: none; }
.sentence { font-size: 1.35rem; line-height: 2; margin: 0 0 .75rem; }
.sentence label { padding: .15em .35em; border-radius: 6px; cursor: pointer; }
.sentence .unknown { text-decoration: underline dashed 2px; text-underline-offset: .3em;
  font-style: italic; }
.sheets { display: grid; gap: 1.25rem; align-items: start;
  grid-template-columns: minmax(0, 3fr) minmax(16rem, 2fr); }
@media (max-width: 48rem) { .sheets { grid-template-columns: 1fr; } }
.photo { position: relative; border-radius: 10px; overflow: hidden; line-height: 0;
  width: min(100%, 80vh * var(--ratio)); }
.photo > img:first-child { width: 100%; height: auto; filter: saturate(.25); }
.photo.plain > img, .photo:hover > img:first-child { filter: none; }
.heat { position: absolute; opacity: 0; transition: opacity .15s; }
.why { display: none; background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; padding: 1rem 1.1rem; }
.why h2 { margin: 0 0 .25rem; overflow-wrap: anywhere; }
.parts { margin-bottom: 1rem; } .parts th { font-weight: 400; white-space: nowrap; }
.parts td:nth-child(2) { width: 100%; }
.pole { position: relative; height: .7rem; margin-top: .45rem; background: rgb(var(--tint) / .08);
  border-radius: 3px; }
.pole i { position: absolute; top: 0; bottom: 0; border-radius: 3px; }
.for { background: rgb(var(--warm)); } .against { background: rgb(var(--tint)); }
"""


_BARE = ".photo:hover .heat { opacity: 0 !important; }"  # to see the photo itself


def explanation_page(image: Path, explanation: Explanation) -> str:
    """The HTML of an explained sentence, its photo within; raises ImageError."""
    caption = explanation.caption
    name = escape(printable(image.name))
    introduction = (
        f"<p class='dim'>{name} · log P {caption.logprob:.2f} · perplexity "
        f"{caption.perplexity:.2f} · {_METHODS[explanation.method]}</p>"
    )
    if caption.sure is not None:
        introduction = f"<p>{escape(caption.in_words)}</p>{introduction}"
    if explanation.unknown:
        unknown = escape(", ".join(explanation.unknown))
        introduction += f"<p class='dim'>Not in the vocabulary: {unknown}</p>"
    rules = "".join(_rules(number) for number in range(len(caption.words)))
    blocks = [_explained(image, explanation), _overview(explanation)]
    return page(caption.text or "(no words)", introduction, blocks, _STYLE + rules + _BARE)


_METHODS = {
    "positions": "choose a word: orange parts of the photo spoke for it, blue ones against it; "
    "point at the photo to see it alone",
    "occlusion": "choose a word: it becomes less probable without the orange parts of the photo, "
    "more probable without the blue ones; point at the photo to see it alone",
    "none": "this model does not look at the picture",
}


def _rules(number: int) -> str:
    """What is shown while a word is chosen, and while the pointer is on it."""
    chosen, text = f"#w{number}:checked ~", f"[for=w{number}]"
    pointed = f".explained:has({text}:hover)"
    others = f".explained:has(label:hover):not(:has({text}:hover)) #w{number}:checked ~ *"
    return (
        f"{chosen} * .h{number}, {pointed} .h{number} {{ opacity: 1; }}\n"
        f"{chosen} * .e{number}, {pointed} .e{number} {{ display: block; }}\n"
        f"{others} .h{number} {{ opacity: 0; }} {others} .e{number} {{ display: none; }}\n"
        f"{chosen} .sentence {text} {{ box-shadow: 0 0 0 2px rgb(var(--warm)); }}\n"
        f"#w{number}:focus-visible ~ .sentence {text} {{ outline: 3px solid rgb(var(--tint)); "
        "outline-offset: 3px; }\n"
    )


def _explained(image: Path, explanation: Explanation) -> str:
    caption, evidence = explanation.caption, explanation.evidence
    first = max(range(len(evidence)), key=lambda i: evidence[i].contributions.image)
    buttons, labels, heat, sheets = [], [], [], []
    rows = enumerate(zip(caption.words, evidence, scales(evidence), strict=True))
    for i, (word, why, scale) in rows:
        checked = " checked" if i == first else ""
        buttons.append(f'<input type="radio" name="word" id="w{i}"{checked}>')
        ground = f"background: rgb(var(--tint) / {0.05 + 0.4 * math.exp(word.logprob):.2f})"
        is_unknown = word.text in explanation.unknown
        look = ' class="unknown"' if is_unknown else ""
        labels.append(
            f'<label for="w{i}"{look} style="{ground}">{escape(label(word.text))}</label>'
        )
        heat.append(_layer(i, why.heat, scale, explanation.area) if why.heat else "")
        sheets.append(_sheet(i, word, why, is_unknown))
    photo = reduced(image, _SIDE)
    look = "photo" if any(heat) else "photo plain"
    ratio = (
        f"--ratio: {photo.width / photo.height:.4f}"  # the heat's frame is as large as the photo
    )
    return (
        f'<section class="explained">{"".join(buttons)}'
        f'<p class="sentence">{" ".join(labels)}</p>'
        f'<div class="sheets"><div class="{look}" style="{ratio}">'
        f"{embedded(photo, caption.text)}{''.join(heat)}</div>"
        f"<div>{''.join(sheets)}</div></div></section>"
    )


def _layer(number: int, heat: Heat, scale: float, area: tuple[float, float, float, float]) -> str:
    """A map as a tiny picture that the browser enlarges, smoothly."""
    buffer = io.BytesIO()
    tint(heat, scale).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    left, top, right, bottom = (100 * share for share in area)
    place = f"left:{left:.2f}%;top:{top:.2f}%;width:{right - left:.2f}%;height:{bottom - top:.2f}%"
    return f'<img class="heat h{number}" alt="" style="{place}" src="data:image/png;base64,{data}">'


def _sheet(number: int, word: Word, why: Evidence, is_unknown: bool) -> str:
    parts = zip(PARTS, astuple(why.contributions), strict=True)
    rows = "".join(
        f'<tr><th scope="row">{name}</th><td>{_pole(nats)}</td>'
        f'<td class="number">{nats:+.2f}</td></tr>'
        for name, nats in parts
    )
    others = table(
        ("the model considered", ""),
        [(label(t), f"{math.exp(p):.1%}") for t, p in word.alternatives],
    )
    given = ", given" if word.given else ""
    whose = _UNKNOWN if is_unknown else ""
    return (
        f'<div class="why e{number}"><h2>{escape(label(word.text))}</h2>'
        f'<p class="dim">probability {math.exp(word.logprob):.1%}{given}; '
        f"{math.exp(why.baseline):.2%} without sentence and image</p>{whose}"
        f'<table class="parts">{rows}</table>{others}</div>'
    )


_UNKNOWN = (
    "<p>The model does not know this word: figures and heat are those of any word that it does not "
    "know.</p>"
)


def _pole(nats: float) -> str:
    """A bar from the middle: to the right what spoke for a word, to the left what against it."""
    width = 50 * bar_length(nats)  # percent
    side, look = ("left", "for") if nats > 0 else ("right", "against")
    return f'<div class="pole"><i class="{look}" style="{side}:50%;width:{width:.1f}%"></i></div>'


def _overview(explanation: Explanation) -> str:
    lines = []
    for word, why in zip(explanation.caption.words, explanation.evidence, strict=True):
        parts = [f"{nats:+.2f}" for nats in astuple(why.contributions)]
        figures = [f"{word.logprob:.2f}", f"{why.baseline:.2f}", *parts]
        lines.append(Line((label(word.text),), figures))
    columns = (("", ("log P", "baseline")), ("added by the", PARTS))
    return section("All words", _NATS, figures_table(("word",), columns, (("", lines),)))


_NATS = (
    "In nats. At the baseline there are no words before this one, and the image is the average of "
    "the training images; log P is that and what the last word, the sentence so far and this image "
    "added."
)
