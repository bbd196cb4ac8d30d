// A sentence whose words show where they came from: on the photo, and in a panel.

import { button, element } from "./dom.js";
import { END, UNKNOWN, factor, percent, shown, spokenPercent } from "./format.js";
import { strongest } from "./heat.js";

const INTENT = 70; // ms that a pointer rests on a word before it shows
const FLOOR = 1 / 3; // a map's fullest colour is at least this share of the strongest map's
export const MOST_WORDS = 100; // that a sentence can begin with
const SOURCES = [
  ["image", "the picture"],
  ["sentence", "the sentence so far"],
  ["last_word", "the last word"],
];

/**
 * The words and the panel of one explanation. `onContinue(words, word)` is called when another
 * word is chosen after these.
 */
export function evidence(explanation, photo, onContinue) {
  const { words } = explanation;
  const most = Math.max(...words.map((word) => strongest(word.heat)));
  const line = element("div", {
    class: "words",
    role: "group",
    "aria-label": "The sentence, word by word. Arrow keys move, Enter keeps a word.",
  });
  const panel = element("div", { class: "panel" }, hint(explanation));
  const buttons = words.map((word, i) => wordButton(word, i));
  let pinned = null;
  let at = null; // the word that is shown
  let timer = 0;

  function wordButton(word, i) {
    const name = word.word === END ? "word end" : word.given ? "word given" : "word";
    const made = button(shown(word.word), () => pin(pinned === i ? null : i), {
      class: name,
      tabindex: i ? "-1" : "0",
      "aria-pressed": "false",
      "aria-label": described(word),
    });
    made.style.setProperty("--sure", Math.exp(word.logprob).toFixed(3));
    made.addEventListener("focus", () => show(i));
    made.addEventListener("pointerenter", (event) => hover(event, i));
    made.addEventListener("pointerleave", (event) => hover(event, pinned));
    return made;
  }

  function hover(event, i) {
    clearTimeout(timer);
    if (event.pointerType !== "touch" && i !== null) timer = setTimeout(() => show(i), INTENT);
  }

  function pin(i) {
    clearTimeout(timer);
    pinned = i;
    show(i);
  }

  /** Show a word's evidence; null: none. */
  function show(i) {
    at = i;
    buttons.forEach((made, place) => {
      made.classList.toggle("shown", place === i);
      made.setAttribute("aria-pressed", String(place === pinned));
      if (i !== null) made.tabIndex = place === i ? 0 : -1;
    });
    if (i === null) {
      photo.clear();
      panel.replaceChildren(hint(explanation));
      return;
    }
    const { heat } = words[i];
    if (heat) photo.map(heat, explanation.heat.area, Math.max(strongest(heat), FLOOR * most) || 1);
    else photo.clear();
    panel.replaceChildren(...panelOf(explanation, i, onContinue));
  }

  line.addEventListener("keydown", (event) => {
    const from = buttons.indexOf(document.activeElement);
    const last = buttons.length - 1;
    const to = { ArrowRight: from + 1, ArrowLeft: from - 1, Home: 0, End: last }[event.key];
    if (event.key === "Escape" && panel.querySelector("h3")) {
      event.preventDefault();
      pin(null);
    } else if (to !== undefined && to >= 0 && to <= last) {
      event.preventDefault();
      buttons[to].focus();
    }
  });

  line.append(...buttons.flatMap((made) => [made, " "]));
  return {
    line,
    panel,
    /** The place of the word that is shown, or null. */
    shown: () => at,
    /** Choose a word as a click does; `isFocused` leads the keyboard there, too. */
    choose(i, isFocused) {
      const place = Math.min(i, buttons.length - 1);
      if (isFocused) buttons[place].focus();
      pin(place);
    },
  };
}

function hint(explanation) {
  const text =
    explanation.heat?.method === "none"
      ? "Choose a word to see what else was considered."
      : "Point at a word, or tap it, to see where in the photo it came from.";
  return element("p", { class: "hint dim", text });
}

function panelOf({ words, unknown = [] }, i, onContinue) {
  const word = words[i];
  const before = words.slice(0, i).map((other) => other.word);
  const title = element(
    "h3",
    {},
    element("span", { class: "said-word", text: shown(word.word) }),
    element("span", { class: "probability", text: percent(Math.exp(word.logprob)) }),
    element("span", { class: "dim", text: ` ${mostly(word)}` }),
  );
  const strange = new Set([UNKNOWN, ...unknown]); // no sentence that is written has these
  const goesOn = before.length < MOST_WORDS && !before.some((said) => strange.has(said));
  return [title, runnersUp(word, before, goesOn ? onContinue : null), sources(word)];
}

/** The most probable words at a place; without `onContinue` they are only to be read. */
function runnersUp(word, before, onContinue) {
  const list = [...word.alternatives];
  if (!list.some((other) => other.word === word.word)) list.push(word);
  const rows = list.map((other) => {
    const share = Math.exp(other.logprob);
    const inside = [
      element("span", { text: shown(other.word) }),
      element("span", { class: "number", text: percent(share) }),
    ];
    const is = other.word === word.word;
    const isWord = other.word !== UNKNOWN && (other.word !== END || before.length > 0);
    const row = onContinue && isWord && !is
      ? button("", () => onContinue(before, other.word), {
          class: "runner",
          title: continuing(other.word, share),
        })
      : element("span", { class: is ? "runner said" : "runner" });
    row.append(inside[0], " ", inside[1]);
    row.style.setProperty("--share", share.toFixed(4));
    return element("li", {}, row);
  });
  return element(
    "div",
    { class: "runners" },
    element("h4", { text: "Most probable here" }),
    element("ul", {}, ...rows),
    element("p", { class: "dim small", text: onContinue
      ? "Choose one to go on from there."
      : `The model goes on after words that it knows, ${MOST_WORDS} at most.` }),
  );
}

const continuing = (word, share) =>
  (word === END ? "End the sentence here" : `Go on with ${word}`) + `, ${spokenPercent(share)}`;

/** Three factors that lead from the probability at the baseline to that of the word. */
function sources(word) {
  const values = SOURCES.map(([name]) => word.contributions[name]);
  const most = Math.max(1, ...values.map(Math.abs));
  const rows = SOURCES.map(([name, text], i) => {
    const bar = element("span", { class: values[i] < 0 ? "bar against" : "bar" });
    bar.style.setProperty("--length", (Math.abs(values[i]) / most).toFixed(3));
    return element(
      "tr",
      { class: name },
      element("th", { scope: "row", text }),
      element("td", { class: "track" }, bar),
      element("td", { class: "number", text: factor(values[i]) }),
    );
  });
  const from = percent(Math.exp(word.baseline));
  return element(
    "div",
    { class: "sources" },
    element("h4", { text: "What made it so probable" }),
    element("table", {}, element("tbody", {}, ...rows)),
    element("p", {
      class: "dim small",
      text: `From ${from} without words and for an average picture, to ` +
        `${percent(Math.exp(word.logprob))}: the factors multiply.`,
    }),
  );
}

/** Which of the three spoke most for a word. */
export function mostly({ contributions }) {
  const [name, text] = SOURCES.reduce((best, source) =>
    contributions[source[0]] > contributions[best[0]] ? source : best,
  );
  return contributions[name] > 0 ? `mostly from ${text}` : "against all that was seen and said";
}

/** A word's evidence as a sentence. */
export function described(word) {
  const others = word.alternatives
    .filter((other) => other.word !== word.word)
    .map((other) => `${shown(other.word)} ${spokenPercent(Math.exp(other.logprob))}`);
  const considered = others.length ? `; considered: ${others.join(", ")}` : "";
  const share = spokenPercent(Math.exp(word.logprob));
  return `${shown(word.word)}: ${share}, ${mostly(word)}${considered}`;
}
