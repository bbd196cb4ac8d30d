// The Search view: pictures of the library that fit a sentence, or are like another one.

import * as api from "./api.js";
import { photoCard } from "./card.js";
import { button, byId, element } from "./dom.js";
import { counted, signed, tooLarge } from "./format.js";
import { queue } from "./queue.js";

const PAGE = 12; // pictures at first, and with each "Show more"
const SIDE = 480; // pixels of a picture in the grid
const LARGE = 1280;

/** `run` is the queue of questions, `limits` a function that returns the server's limits. */
export function searchView(run, limits) {
  const load = queue(4);
  const urls = new Set(); // of the pictures in the grid
  const note = byId("found-note");
  const grid = byId("found");
  const text = byId("query-text");
  const more = byId("more");
  let asking = null;

  byId("query").addEventListener("submit", (event) => {
    event.preventDefault();
    if (text.value.trim()) find(text.value.trim());
    else text.focus();
  });
  byId("like").addEventListener("click", () => byId("like-file").click());
  byId("like-file").addEventListener("change", (event) => {
    like([...event.target.files]);
    event.target.value = "";
  });
  const dialog = whyDialog(run, limits);

  /** Find the pictures most like the first of these files. */
  function like([file]) {
    if (!file) return;
    const refusal = tooLarge(file, limits());
    if (refusal) tell(refusal, "fault");
    else find(api.fromFile(file));
  }

  /** Search for a sentence or for a photo (see api.js). */
  function find(query) {
    asking?.abort();
    asking = new AbortController();
    ask(query, PAGE, asking.signal);
  }

  /** The best k; those after the first page come below what is there. */
  async function ask(query, k, signal) {
    grid.setAttribute("aria-busy", "true");
    const onWait = (seconds) => tell(`The server is busy; trying again in ${seconds} s …`);
    try {
      const answer = await run(() => api.search(query, k, { signal, onWait }), true);
      if (!signal.aborted) show(query, k, answer, signal);
    } catch (error) {
      if (signal.aborted) return;
      const hadFocus = holdsFocus();
      if (k === PAGE) empty();
      grid.setAttribute("aria-busy", "false");
      tell(error.message, "fault");
      const retry = button("Try again", () => ask(query, k, signal), { class: "quiet" });
      note.append(retry);
      if (hadFocus) retry.focus();
    }
  }

  const holdsFocus = () => [note, grid, more].some((part) => part.contains(document.activeElement));

  function show(query, k, answer, signal) {
    const hadFocus = holdsFocus();
    if (k === PAGE) empty();
    grid.setAttribute("aria-busy", "false");
    tell(summary(query, answer));
    note.append(...unknownLine(answer));
    const fresh = answer.results.slice(grid.children.length);
    const tiles = fresh.map((found) => tile(query, found, signal));
    grid.append(...tiles);
    const most = Math.min(answer.pictures, limits().results ?? Infinity);
    more.hidden = k >= most;
    more.onclick = () => ask(query, Math.min(k + PAGE, most), signal);
    if (hadFocus && !grid.contains(document.activeElement)) {
      (tiles[0]?.querySelector("button") ?? text).focus({ preventScroll: true });
    }
  }

  function empty() {
    grid.replaceChildren();
    more.hidden = true;
    urls.forEach((url) => URL.revokeObjectURL(url));
    urls.clear();
  }

  function tell(said, look = "") {
    note.replaceChildren(element("p", { text: said, class: look }));
  }

  function tile(query, found, signal) {
    const image = element("img", { alt: found.caption ?? found.name, draggable: "false" });
    const frame = element("div", { class: "thumb" }, image);
    load(() => api.picture(found.image, SIDE, { signal })).then(
      (blob) => {
        if (signal.aborted || !frame.isConnected) return;
        image.src = URL.createObjectURL(blob);
        urls.add(image.src);
      },
      (error) => {
        if (error.name !== "AbortError") {
          frame.replaceChildren(element("p", { class: "unshown", text: error.message }));
        }
      },
    );
    const sentence = typeof query === "string" ? query : null;
    return element(
      "article",
      { class: found.match === false ? "tile weak" : "tile", "aria-label": found.name },
      frame,
      element(
        "div",
        { class: "tile-text" },
        element("p", { class: "tile-caption", text: found.caption ?? "" }),
        element("p", { class: "tile-figures dim small" }, ...facts(found)),
        element("p", { class: "tile-name dim small", text: names(found) }),
        element(
          "p",
          { class: "tools" },
          button(sentence ? "Why?" : "Explain", () => dialog(found, sentence), { class: "quiet" }),
          button("More like this", () => {
            find(api.fromLibrary(found.image, found.name));
            scrollTo({ top: 0 });
          }, { class: "quiet" }),
        ),
      ),
    );
  }

  return { like };
}

function summary(query, { pictures, results, note }) {
  const of = typeof query === "string" ? `“${query}”` : `Like ${query.name}`;
  const matches = results.filter((found) => found.match).length;
  const judged = results.some((found) => typeof found.match === "boolean");
  const standing = `${matches || "none"} ${matches > 1 ? "stand" : "stands"} out`;
  const said = judged && !note ? `, ${standing}` : "";
  const line = `${of}: the best ${results.length} of ${counted(pictures, "picture")}${said}.`;
  return note ? `${line} ${note}` : line;
}

/** Words that the model does not know, and what that meant for the search. */
function unknownLine({ unknown, results }) {
  if (!unknown?.length) return [];
  const words = unknown.map((word) => `“${word}”`).join(", ");
  const left = results.length ? "it was left out" : "nothing else tells pictures apart";
  return [element("p", { class: "unknown", text: `The model does not know ${words}: ${left}.` })];
}

function facts(found) {
  if (typeof found.similarity === "number") return [`Similarity ${found.similarity.toFixed(2)}`];
  return [
    ...(found.match ? [element("span", { class: "badge match", text: "match" })] : []),
    element("span", { text: `Log ratio ${signed(found.log_ratio)}`,
      title: "log P(sentence | picture) − log P(sentence), nats" }),
    element("span", { text: `Perplexity ${found.perplexity.toFixed(1)}` }),
  ];
}

const names = ({ name, copies }) =>
  copies?.length ? `${name}, also ${copies.join(", ")}` : name;

/** A function that shows why a picture was found for a sentence; null: what it shows. */
function whyDialog(run, limits) {
  const dialog = byId("why");
  let leave = () => {};

  byId("why-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => leave());

  return async (found, sentence) => {
    const asking = new AbortController();
    const place = byId("why-card");
    let url = "";
    let card = null;
    leave = () => {
      asking.abort();
      card?.close();
      URL.revokeObjectURL(url);
      place.replaceChildren();
    };
    byId("why-title").textContent = sentence ? `Why “${sentence}”` : "What it shows";
    place.replaceChildren(element("p", { class: "status dim", text: "Looking at it …" }));
    dialog.showModal();
    try {
      url = URL.createObjectURL(await api.picture(found.image, LARGE, { signal: asking.signal }));
    } catch (error) {
      if (error.name === "AbortError") return;
      place.replaceChildren(element("p", { class: "fault", role: "alert", text: error.message }));
      return;
    }
    if (asking.signal.aborted) {
      URL.revokeObjectURL(url);
      return;
    }
    const photo = api.fromLibrary(found.image, found.name);
    card = photoCard(photo, url, { run, settings: () => ({}), longest: limits().characters });
    place.replaceChildren(card.node);
    if (sentence) card.ask({ sentence, typed: true });
    else card.write(true);
  };
}
