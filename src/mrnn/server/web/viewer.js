// A picture of the library in full, with the ones before and after it, and its evidence on request.

import * as api from "./api.js";
import { photoCard } from "./card.js";
import { minute } from "./days.js";
import { announce, byId, element, notify } from "./dom.js";
import { likely, signed } from "./format.js";
import { SIDE } from "./thumbnails.js";

const LARGE = 1600; // pixels
const REST = 150; // ms on a picture before the model is asked about it
const SWIPE = 50; // pixels
const DOUBT = "(the model’s guess)"; // how sure it is, the evidence tells

/**
 * `list` has the pictures: `at(i)`, `count()`, and `reach(i)`, a promise that there is one.
 * `onMove(i)` is called when another one is shown, `onClose(i, item)` when the view is left,
 * `onLike(item)` for pictures like it; `selected` is the selection (see selection.js).
 */
export function viewer({ run, limits, list, selected, onMove, onClose, onLike }) {
  const dialog = byId("viewer");
  const place = byId("viewer-card");
  const info = byId("viewer-info");
  const pick = byId("viewer-pick");
  let at = null;
  let item = null; // the picture there
  let sentence = null; // what the pictures were found for
  let card = null;
  let leave = () => {};

  /** Show a picture; `query` is the sentence that it was found for, if any. */
  function open(i, query) {
    sentence = query;
    if (!dialog.open) dialog.showModal();
    if (item !== list.at(i)) show(i); // another question brings other items
  }

  function show(i) {
    clear();
    at = i;
    item = list.at(i);
    const frame = { url: "", asking: new AbortController() };
    const { signal } = frame.asking;
    const photo = api.fromLibrary(item.image, item.name);
    card = photoCard(photo, "", {
      run, settings: () => ({}), longest: limits().characters, facts: facts(item),
    });
    const mine = card;
    leave = () => {
      frame.asking.abort();
      mine.close();
      URL.revokeObjectURL(frame.url);
    };
    place.replaceChildren(card.node);
    byId("viewer-name").textContent = item.name;
    byId("viewer-caption").textContent = item.caption ? `${item.caption} ${DOUBT}` : "";
    const nth = around();
    pick.checked = selected.has(item.image);
    keepFocus();
    announce([item.name, nth, item.caption].filter(Boolean).join(", "));
    paint(item, frame, mine, signal);
    look();
  }

  /** Tell its place, and whether there are others before and after it. */
  function around() {
    const nth = `${at + 1} of ${list.count().toLocaleString("en")}`;
    byId("viewer-place").textContent = nth;
    byId("viewer-before").disabled = at === 0;
    byId("viewer-next").disabled = at + 1 >= list.count();
    return nth;
  }

  /** Nothing has the focus where what had it went, or can no longer be pressed. */
  function keepFocus() {
    const has = document.activeElement;
    if (!dialog.contains(has) || has.disabled) place.focus();
  }

  /** The small picture at once, then the large one; the next one is asked for meanwhile. */
  async function paint(item, frame, mine, signal) {
    try {
      for (const side of [SIDE, LARGE]) {
        const blob = await api.picture(item.image, side, { signal });
        if (signal.aborted) return;
        URL.revokeObjectURL(frame.url);
        frame.url = URL.createObjectURL(blob);
        mine.paint(frame.url);
      }
      const next = list.at(at + 1);
      if (next) api.picture(next.image, LARGE, { signal }).catch(() => {}); // the browser keeps it
    } catch (error) {
      if (error.name === "AbortError") return;
      mine.fail(error.message, error.isPassing && (() => {
        place.focus(); // the button goes
        paint(item, frame, mine, signal);
      }));
    }
  }

  /** Ask for the evidence, where it is wanted. */
  function look() {
    dialog.classList.toggle("informed", info.getAttribute("aria-pressed") === "true");
    const mine = card;
    if (!dialog.matches(".informed") || mine.isAsked) return;
    setTimeout(() => {
      if (mine !== card || mine.isAsked) return;
      mine.isAsked = true;
      if (sentence) mine.ask({ sentence, typed: true });
      else mine.write(true);
    }, REST);
  }

  async function move(way) {
    const to = at + way;
    if (at === null || to < 0 || to >= list.count()) return;
    await list.reach(to);
    if (!dialog.open) return;
    if (list.at(to)) onMove(to);
    else if (to >= list.count()) {
      around(); // the library has fewer now
      keepFocus();
    } else notify("The photos after this one did not come. Go on to ask for them again.");
  }

  function toggle() {
    info.setAttribute("aria-pressed", String(info.getAttribute("aria-pressed") !== "true"));
    look();
  }

  function clear() {
    leave();
    leave = () => {};
    card = null;
    place.replaceChildren();
  }

  function close() {
    if (dialog.open) dialog.close();
  }

  dialog.addEventListener("close", () => {
    const last = [at, item];
    clear();
    at = item = null;
    if (last[1]) onClose(...last);
  });
  byId("viewer-close").addEventListener("click", close);
  byId("viewer-before").addEventListener("click", () => move(-1));
  byId("viewer-next").addEventListener("click", () => move(1));
  info.addEventListener("click", toggle);
  byId("viewer-like").addEventListener("click", () => onLike(item));
  pick.addEventListener("change", () => {
    selected.set([item.image], pick.checked);
    pick.checked = selected.has(item.image); // there may be too many
  });

  addEventListener("keydown", (event) => { // wherever a click has left the focus
    if (!dialog.open || event.target.closest("input[type=text], .words, select")) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      ArrowLeft: () => move(-1),
      ArrowRight: () => move(1),
      i: toggle,
      x: () => pick.click(),
    }[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });

  let from = null;
  place.addEventListener("touchstart", ({ touches }) => {
    from = touches.length === 1 ? touches[0] : null;
  }, { passive: true });
  place.addEventListener("touchend", ({ changedTouches: [to] }) => {
    const [x, y] = from ? [to.clientX - from.clientX, to.clientY - from.clientY] : [0, 0];
    if (Math.abs(x) > SWIPE && Math.abs(x) > 2 * Math.abs(y)) move(x < 0 ? 1 : -1);
  });

  return { open, close };
}

/** What is known of a picture without asking the model. */
function facts(item) {
  const line = (name, text, ...more) =>
    text ? [element("dt", { text: name }), element("dd", {}, text, ...more)] : [];
  const dated = item.date_of === "exif" ? "Taken" : "File changed";
  const places = [item.name, ...(item.copies ?? [])].join(", ");
  return element(
    "div",
    { class: "facts" },
    element("p", { class: "facts-caption", text: item.caption ?? "" },
      ...(item.caption ? [" ", element("span", { class: "dim small", text: DOUBT })] : [])),
    element("dl", {}, ...line(dated, item.date && minute(item.date)),
      ...line("Folder", item.folder), ...line("File", places),
      ...line("Found", typeof item.chance === "number" && likely(item.chance))),
    ...figures(item),
  );
}

/** The search's figures, for those who want them. */
function figures({ similarity, log_ratio: ratio, perplexity }) {
  const told = [
    ["Similarity", similarity?.toFixed(2), "the cosine of what the model sees in both pictures"],
    ["Log ratio", ratio != null && signed(ratio), "log P(sentence | picture) − log P(sentence), " +
      "nats: how much likelier this picture makes the sentence than pictures in general do"],
    ["Perplexity", perplexity?.toFixed(1), "between how many words the model hesitated; the " +
      "lowest comes first"],
  ].filter(([, value]) => value);
  if (!told.length) return [];
  const rows = told.flatMap(([name, value, about]) =>
    [element("dt", { text: name, title: about }), element("dd", { text: value })]);
  const notes = told.map(([name, , about]) =>
    element("p", { class: "dim small", text: `${name}: ${about}.` }));
  return [element("details", { class: "found-figures" },
    element("summary", { text: "Figures of the search" }), element("dl", {}, ...rows), ...notes)];
}
