// A photo with what the model says of it, and all that a person can ask next.

import * as api from "./api.js";
import { announce, button, element } from "./dom.js";
import { MOST_WORDS, evidence } from "./evidence.js";
import { END, minus, percent, shown, signed } from "./format.js";
import { photoFrame } from "./frame.js";

const MORE_WORDS = 30; // that the model writes after those it is given
const ABOUT = "Perplexity: between how many words the model hesitated on average; lower is surer.";
const STRANGE = 0.99; // the strangeness from which on it is said

/** How far a caption can be trusted, as the command line says it. */
function howSure({ sure, certainty, main_word: word, strangeness, words, perplexity }) {
  if (sure === undefined) return `Perplexity ${perplexity.toFixed(1)}`;
  const captions = words.find((each) => each.word === word)?.captions;
  return [
    `${certainty[0].toUpperCase()}${certainty.slice(1)}: ${word}, ${percent(sure)}`,
    ...(captions === 0 ? ["known from text only"] : []),
    ...(strangeness >= STRANGE && certainty === "sure" ? ["a strange photo"] : []),
  ].join("; ");
}

/** What that means. */
const trust = ({ sure, main_word: word }) => (sure === undefined ? ABOUT :
  `The chance that “${word}” is right, the word that this photo speaks for most. A strange photo ` +
  "is unlike those that the model learned from.");

/**
 * A card for a photo (see api.js) that is shown from a URL. `run` is the queue of questions,
 * `settings` a function that returns how sentences are written now (see settings.js), `longest`
 * the most characters of a sentence, `onRemove` is called when the card is taken away, `onState`
 * with "waiting", "asking", "done" or "failed"; `facts` is a node of what else is known of it.
 */
export function photoCard(
  photo, url, { run, settings, longest, onRemove, onState = () => {}, facts = "" },
) {
  const frame = photoFrame(url, photo.name);
  const status = element("p", { class: "status dim", tabindex: "-1" });
  const fault = element("div", { class: "fault", role: "alert" });
  const story = element("div", { class: "story" });
  const undo = button("Undo", back, { class: "quiet", hidden: true });
  const another = button("Another one", () => write(true), { class: "quiet", hidden: true });
  const closer = button("Look closer", lookCloser, {
    class: "quiet",
    hidden: true,
    title: "Heat maps by hiding parts of the photo: truer, and slower",
  });
  const copy = button("Copy", copied, { class: "quiet", hidden: true });
  const own = ownSentence(longest, (sentence) => ask({ sentence, typed: true }));
  const remove = button("×", close, {
    class: "close",
    "aria-label": `Remove ${photo.name}`,
    hidden: !onRemove,
  });
  const node = element(
    "article",
    { class: "card", "aria-label": photo.name },
    element("div", { class: "stage" }, frame.node),
    element(
      "div",
      { class: "side" },
      element("header", {}, element("h2", { class: "name", text: photo.name, title: photo.name }),
        remove),
      facts,
      status,
      fault,
      story,
      element("div", { class: "tools" }, another, undo, closer, copy),
      own,
    ),
  );
  const former = []; // what was shown before, to go back to
  let current = null; // { explanation, scored, list, written }
  let parts = null; // of what is shown (see evidence.js)
  let asking = null; // the AbortController of the question under way
  let isWritten = true; // as the settings say; else a person's own, or one that they chose
  let isRefused = false;
  let seed = 0;

  /** Write a sentence as the settings say; `first` where a person waits for it. */
  function write(first = false) {
    if (isRefused) return;
    const how = settings();
    const isDrawn = "temperature" in how;
    if (isDrawn) seed += 1;
    ask(isDrawn ? { ...how, seed } : how, { first, written: true });
    offer(isDrawn);
  }

  /** Follow other settings; what a person asked for stays until they want it written anew. */
  function rewrite() {
    if (isWritten) write();
    else offer(true);
  }

  function offer(is) {
    if (!is && another === document.activeElement) status.focus();
    another.hidden = !is;
    another.textContent = "temperature" in settings() ? "Another one" : "Write anew";
  }

  /**
   * Explain with these fields of the API. Of `how`: `first` where a person waits for it, `place`
   * of the word to choose then, `list` of sentences to choose from, `written` as the settings say,
   * `scored` what is known of how well the sentence fits.
   */
  async function ask(question, how = {}) {
    const { typed, ...fields } = question;
    const { first = true, place = null, list = null, written = false, scored: known } = how;
    asking?.abort();
    const mine = new AbortController();
    asking = mine;
    isWritten = written;
    busy(true, "Waiting for its turn …");
    onState("waiting");
    const request = { signal: mine.signal, onWait: waits };
    const explain = () => {
      if (asking === mine) {
        status.textContent = "Looking at it …";
        onState("asking");
      }
      return api.explain(photo, fields, request);
    };
    try {
      const [explanation, scored] = await Promise.all([
        run(explain, first),
        typed ? run(() => api.score(photo, fields.sentence, request), first) : known ?? null,
      ]);
      if (asking !== mine) return;
      if (current) former.push(current);
      show({ explanation, scored, list: explanation.n_best ?? list, written }, place);
    } catch (error) {
      if (asking !== mine || error.name === "AbortError") return;
      fail(error, () => ask(question, how));
    }
  }

  function waits(seconds) {
    const unit = seconds === 1 ? "second" : "seconds";
    status.textContent = `The server is busy; trying again in ${seconds} ${unit} …`;
  }

  function busy(is, text = "") {
    const hadFocus = fault.contains(document.activeElement);
    node.setAttribute("aria-busy", String(is));
    status.textContent = text;
    fault.replaceChildren();
    if (hadFocus) status.focus(); // until there is an answer
  }

  /** Say why the photo is not even sent. */
  function refuse(detail) {
    isRefused = true;
    fail(new api.Problem(413, detail));
  }

  function fail(error, again) {
    const hadFocus = status === document.activeElement;
    busy(false);
    const isProblem = error instanceof api.Problem;
    const said = isProblem ? error.message : "The page has a fault; load it again.";
    onState("failed");
    const retry = again && button("Try again", again, { class: "quiet" });
    node.classList.toggle("failed", !current);
    fault.replaceChildren(element("p", { text: said }), ...(retry ? [retry] : []));
    if (hadFocus) retry?.focus();
    if (!isProblem) console.error(error);
  }

  function show(next, place = null) {
    const hadFocus = [status, story, closer].some((part) => part.contains(document.activeElement));
    const hadChoice = document.activeElement.matches(".choice");
    busy(false);
    onState("done");
    current = next;
    isWritten = next.written;
    node.classList.remove("failed");
    const { explanation, scored, list } = next;
    frame.clear();
    frame.describe(explanation.caption || photo.name);
    parts = evidence(explanation, frame, goOn);
    story.replaceChildren(
      parts.line,
      scored ? scoreLine(scored) : figures(explanation),
      ...unknownLine(explanation.unknown),
      ...(list?.length > 1 ? [choices(list, explanation, choose)] : []),
      parts.panel,
    );
    undo.hidden = !former.length;
    closer.hidden = explanation.heat.method !== "positions";
    copy.hidden = !navigator.clipboard || !explanation.caption;
    if (place !== null) parts.choose(place, hadFocus);
    else if (hadFocus) {
      const chosen = hadChoice && story.querySelector(".choice[aria-pressed=true]");
      (chosen || story.querySelector(".word")).focus();
    }
    announce(`${photo.name}: ${explanation.caption}. ${howSure(explanation)}.`);
  }

  function goOn(before, word) {
    const said = before.join(" ");
    const most = Math.min(before.length + 1 + MORE_WORDS, MOST_WORDS);
    const fields = word === END
      ? { sentence: said }
      : { prefix: `${said} ${word}`.trim(), max_length: most };
    ask(fields, { place: before.length });
  }

  const choose = (sentence) => ask({ sentence }, { list: current.list });

  /** The same sentence with better maps. */
  function lookCloser() {
    const how = { list: current.list, scored: current.scored, place: parts.shown() ?? 0 };
    ask({ sentence: current.explanation.caption, quick: false }, how);
  }

  function back() {
    asking?.abort();
    asking = null;
    show(former.pop());
    if (undo.hidden) story.querySelector(".word")?.focus();
  }

  async function copied() {
    await navigator.clipboard.writeText(current.explanation.caption);
    announce("Copied");
    copy.textContent = "Copied";
    copy.addEventListener("blur", () => { copy.textContent = "Copy"; }, { once: true });
  }

  function close() {
    asking?.abort();
    asking = null;
    node.remove();
    onRemove?.();
  }

  return {
    node, write, rewrite, ask, refuse, close,
    paint: frame.paint,
    fail: frame.fail,
    name: photo.name,
    /** The sentence that is shown, once there is one. */
    said: () => current?.explanation.caption,
  };
}

function ownSentence(longest, onSentence) {
  const field = element("input", {
    type: "text",
    "aria-label": "Your own sentence about this photo",
    placeholder: "Try your own sentence",
    autocomplete: "off",
    required: true,
    ...(longest ? { maxlength: String(longest) } : {}),
  });
  const form = element("form", { class: "own line" }, field,
    element("button", { class: "quiet", text: "Explain" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (field.value.trim()) onSentence(field.value.trim());
  });
  return form;
}

function figures(explanation) {
  const told = explanation.sure === undefined ? [] : [["Perplexity",
    explanation.perplexity.toFixed(1), ABOUT]];
  return disclosed("figures", howSure(explanation), trust(explanation), told);
}

function scoreLine(scored) {
  if (scored.log_ratio === null) {
    const text = "The model does not know what this is about.";
    return element("p", { class: "figures scored", text });
  }
  return disclosed("figures scored",
    `${scored.log_ratio >= 0 ? "Likelier" : "Less likely"} with this photo`,
    "Than with photos in general.", [
      ["Log ratio", signed(scored.log_ratio), "By how much, in nats."],
      ["Perplexity", scored.perplexity.toFixed(1), ABOUT],
      ["log P", minus(scored.logprob), "The sentence's log-probability for this photo, in nats."],
    ]);
}

/** A line with the figures behind it: each a name, a value and what it is. */
function disclosed(look, line, about, told) {
  const rows = told.flatMap(([name, value, meaning]) => [element("dt", { text: name }),
    element("dd", {}, element("b", { text: value }), ` ${meaning.replace(`${name}: `, "")}`)]);
  return element("details", { class: look },
    element("summary", {}, element("span", { text: line })),
    element("p", { class: "dim small", text: about }), element("dl", { class: "small" }, ...rows));
}

function unknownLine(unknown = []) {
  if (!unknown.length) return [];
  const words = unknown.map((word) => `“${word}”`).join(", ");
  return [element("p", { class: "unknown", text: `The model does not know ${words}; it counts ` +
    "as the unknown word." })];
}

function choices(list, explanation, onChoice) {
  const rows = list.map((told) => {
    const is = told.caption === explanation.caption;
    const row = button("", () => onChoice(told.caption), {
      class: "choice",
      "aria-pressed": String(is),
    });
    row.append(element("span", { text: told.caption || shown(END) }),
      element("span", { class: "number dim", text: `log P ${minus(told.logprob)}` }));
    return element("li", {}, row);
  });
  return element("ol", { class: "choices", "aria-label": "The best sentences" }, ...rows);
}
