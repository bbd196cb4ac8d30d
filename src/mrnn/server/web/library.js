// The Photos view: the library by day, or what a sentence or another photo finds in it.

import * as address from "./address.js";
import * as api from "./api.js";
import { day } from "./days.js";
import { button, byId, element, notify } from "./dom.js";
import { filtersRow } from "./filters.js";
import { counted, likely, tooLarge } from "./format.js";
import { photoGrid } from "./grid.js";
import { selection } from "./selection.js";
import { SIDE } from "./thumbnails.js";
import { viewer } from "./viewer.js";

const PAGE = 60; // pictures at a time
const LARGEST = 200; // of which only the ids are wanted
const MINE = "yours"; // in the address: like a photo that was dropped
const FURTHEST = 3000; // pictures that are looked through for one that the address names

/** `run` is the queue of questions, `limits` a function that returns the server's limits. */
export function libraryView(run, limits) {
  const note = byId("found-note");
  const text = byId("query-text");
  const more = byId("more");
  let state = {}; // as in the address
  let shown = ""; // what is in the grid: a question, as text
  let total = 0; // pictures that can be shown
  let isEnd = false; // whether all of them are
  let hasChanged = false; // whether the library has since
  let following = null; // what the next page of the library is asked for by
  let loading = null; // a promise
  let asking = new AbortController();
  let contents = null; // a promise of what there is to filter by
  let dropped = null; // the photo of one's own
  let isPushed = false; // whether Back leads from the full view to the grid

  const filter = () => ({ since: state.since, until: state.until, folder: state.folder });
  const inAll = () => (isEnd ? grid.items.length : Math.max(total, grid.items.length));
  const isBrowsed = () => !state.q && !state.like;
  const shownIds = () => grid.items.map((item) => item.image);
  const selected = selection(() => grid.draw(), {
    shown: shownIds,
    isAll: () => isEnd,
    all: (most) => (isBrowsed() ? idsOf(filter(), most) : reach(Infinity).then(shownIds)),
  });
  const grid = photoGrid({ selected, onOpen: (i) => {
    isPushed = true;
    address.go({ ...state, photo: grid.items[i].image });
  } });
  const full = viewer({
    run,
    limits,
    selected,
    list: { at: (i) => grid.items[i], count: inAll, reach },
    onMove: (i) => address.go({ ...state, photo: grid.items[i].image }, true),
    onClose: (i, item) => {
      if (grid.items[i] === item) grid.focus(i);
      if (state.photo !== item.image) return; // the address has gone on already
      if (isPushed) history.back();
      else address.go({ ...state, photo: "" }, true);
      isPushed = false;
    },
    onLike: (item) => {
      state.photo = ""; // it is left for good
      full.close();
      address.go({ ...filter(), like: item.image });
    },
  });
  const filters = filtersRow((chosen) => address.go({ q: state.q, like: state.like, ...chosen }));

  byId("query").addEventListener("submit", (event) => {
    event.preventDefault();
    shown = ""; // the library may have other photos now
    address.go({ ...filter(), q: text.value.trim() });
  });
  byId("like").addEventListener("click", () => byId("like-file").click());
  byId("like-file").addEventListener("change", (event) => {
    like([...event.target.files]);
    event.target.value = "";
  });
  more.addEventListener("click", async () => {
    const next = grid.items.length;
    await load();
    if (grid.items.length > next) grid.focus(next);
  });
  const watch = new IntersectionObserver(([entry]) => entry.isIntersecting && load(),
    { rootMargin: "100% 0px" });

  /** Find the pictures most like the first of these files. */
  function like([file, ...others]) {
    if (!file) return;
    if (others.length) {
      notify(`Photos like the first one, ${file.name}. Explain takes all ` +
        `${others.length + 1}: go there to have them captioned, and drop them once more.`);
    }
    const refusal = tooLarge(file, limits());
    if (refusal) {
      tell(refusal, "fault");
      return;
    }
    dropped = file;
    shown = "";
    address.go({ ...filter(), like: MINE });
  }

  /** Show what the address says. */
  async function show(wanted) {
    state = wanted;
    contents ??= offer();
    if (state.like === MINE && !dropped) {
      address.go({ ...filter() }, true); // the page was loaded again, and has no photo of yours
      return;
    }
    const question = JSON.stringify([state.q, state.like, filter()]);
    if (question !== shown) {
      shown = question;
      text.value = state.q ?? "";
      filters.show(filter());
      begin();
    }
    if (state.photo) await openPhoto(state.photo);
    else close();
  }

  /** Close the full view, since the address no longer has its photo. */
  function close() {
    isPushed = false;
    full.close();
  }

  /** Offer what the library has to filter by. */
  const offer = () => api.contents().then(filters.offer, (error) => {
    contents = null;
    notify(error.message);
  });

  function begin() {
    asking.abort();
    asking = new AbortController();
    loading = null;
    grid.empty();
    total = 0;
    isEnd = hasChanged = false;
    following = null;
    selected.draw();
    more.hidden = true;
    note.replaceChildren();
    scrollTo({ top: 0 });
    load();
  }

  /** The same question to a library that has changed. */
  function anew() {
    contents = offer();
    begin();
  }

  /** Open the picture of an id, as soon as it is among those that were loaded. */
  async function openPhoto(id) {
    const { signal } = asking;
    const find = () => grid.items.findIndex((item) => item.image === id);
    const isHere = find() >= 0 || await isThere(id);
    while (isHere && find() < 0 && grid.items.length < FURTHEST && (await load()));
    if (signal.aborted || state.photo !== id) return;
    if (find() >= 0) {
      full.open(find(), state.q || null);
      return;
    }
    full.close();
    if (!isHere) forget("The photo of this address is not in the library now.");
    else if (isEnd) forget("The photo of this address is not among those that are shown here.");
    else if (grid.items.length >= FURTHEST) {
      notify(`The photo of this address comes after the first ${counted(FURTHEST, "photo")}, ` +
        "among which it was looked for.");
    } // else the note tells why no more came, and lets them be asked for again
  }

  /** Take a photo that is not to be had out of the address. */
  function forget(why) {
    address.go({ ...state, photo: "" }, true);
    notify(why);
  }

  /** Whether the library has a picture of this id, as far as the server says. */
  async function isThere(id) {
    try {
      await api.picture(id, SIDE);
    } catch (error) {
      return error.isPassing;
    }
    return true;
  }

  async function reach(i) {
    while (grid.items.length <= i && (await load()));
  }

  /** The same once more, after a fault. */
  async function goOn() {
    if (await load() && state.photo) openPhoto(state.photo);
  }

  /** More pictures below those that are there; resolves to whether some came. */
  function load() {
    if (loading) return loading;
    const mine = next(asking.signal).finally(() => {
      if (loading === mine) loading = null;
    });
    loading = mine;
    return mine;
  }

  async function next(signal) {
    const before = grid.items.length;
    if (isEnd) return false;
    byId("grid").setAttribute("aria-busy", "true");
    const onWait = (seconds) => tell(`The server is busy; trying again in ${seconds} s …`);
    try {
      const { answer, count, isLast } = await ask(before, { signal, onWait });
      if (signal.aborted) return false;
      const known = new Set(shownIds());
      grid.append(answer.results.filter((item) => !known.has(item.image)), isBrowsed());
      const isOther = before && count !== total; // somebody added photos, or took some out
      total = count;
      isEnd = isLast;
      if (!hasChanged && isBrowsed() && (isOther || (isEnd && grid.items.length !== total))) {
        hasChanged = true;
        notify("The library has changed since its photos were shown. Above them you can have " +
          "them anew.");
      }
      tell(...summary(state, answer, grid.items));
      if (hasChanged) note.append(changed());
      more.hidden = isEnd;
      selected.draw();
      watch.unobserve(more);
      watch.observe(more); // it may still be in sight, and is to be told of again
      return grid.items.length > before || !isEnd;
    } catch (error) {
      if (signal.aborted) return false;
      const hadFocus = note.contains(document.activeElement);
      tell(error.message, "fault");
      more.hidden = true;
      if (!error.isPassing) return false;
      const retry = button("Try again", goOn, { class: "quiet" });
      note.append(retry);
      if (hadFocus) retry.focus();
      return false;
    } finally {
      if (!signal.aborted) byId("grid").setAttribute("aria-busy", "false");
    }
  }

  /** The answer of the server, and how many pictures it can show of it in all. */
  async function ask(before, how) {
    if (isBrowsed()) {
      const answer = await api.pictures(following, PAGE, filter(), how);
      following = answer.next;
      return { answer, count: answer.pictures, isLast: !following };
    }
    const most = limits().results ?? 100;
    if (state.like && state.like !== MINE && !/^[0-9a-f]{64}$/.test(state.like)) {
      throw new api.Problem(404, "This address names no photo: it was cut off, or mistyped.");
    }
    const liked = state.like === MINE ? api.fromFile(dropped) : api.fromLibrary(state.like, "");
    const query = state.like ? liked : state.q;
    const k = Math.min(before + PAGE, most);
    const answer = await run(() => api.search(query, k, filter(), how), true);
    const isShort = answer.results.length < k;
    const count = isShort ? answer.results.length : Math.min(answer.pictures, most);
    return { answer, count, isLast: isShort || k >= count };
  }

  /** All pictures of a filter, or more than so many. */
  async function idsOf(which, most) {
    const ids = [];
    for (let after = null; ids.length <= most;) {
      const answer = await api.pictures(after, LARGEST, which);
      ids.push(...answer.results.map((item) => item.image));
      after = answer.next;
      if (!after) break;
    }
    return ids;
  }

  const changed = () => element("p", {},
    "The library has changed since its photos were shown. ",
    button("Show them anew", anew, { class: "link" }));

  function tell(said, look = "", ...more) {
    note.replaceChildren(...(said ? [element("p", { text: said, class: look }), ...more] : []));
  }

  return {
    like,
    show,
    /** Another view is shown. */
    leave() {
      state = { ...state, photo: "" };
      close();
    },
  };
}

/** What was found, as arguments of `tell`. */
function summary(state, answer, items) {
  const { pictures, note, unknown } = answer;
  const { since, until } = state;
  const which = filterSaid(state);
  if (!pictures) {
    if (since && until && since > until) return [`No photos${which}: its last day comes first.`];
    return [which ? `No photos${which}.` : "The library has no photos yet."];
  }
  if (!state.q && !state.like) return [which ? counted(pictures, "photo") : ""];
  const first = items[0]?.image === state.like ? items[0].name : "that photo";
  const of = state.like ? `Like ${state.like === MINE ? answer.query : first}` : `“${state.q}”`;
  const line = `${of}: the best ${items.length} of ${counted(pictures, "photo")}.`;
  const said = items.length ? line : `${of}: nothing found.`;
  const told = [said, ...noneStandsOut(items), note].filter(Boolean).join(" ");
  return [told, "", ...unknownLine(unknown, items)];
}

/** That no picture is more likely right than not, and how likely the best one is. */
function noneStandsOut(items) {
  const chances = items.map(({ chance }) => chance);
  if (!chances.length || chances.some((chance) => typeof chance !== "number")) return [];
  if (items.some(({ match }) => match)) return [];
  return [`None is more likely right than wrong (the best: ${likely(Math.max(...chances))}).`];
}

/** A filter in words, " in “2024/Rome” since Fri, 31 May 2024"; "" of none. */
const filterSaid = ({ since, until, folder }) => [
  ...(folder ? [` in “${folder}”`] : []),
  ...(since ? [` since ${day(since)}`] : []),
  ...(until ? [` until ${day(until)}`] : []),
].join("");

/** Words that the model does not know, and what that meant for the search. */
function unknownLine(unknown, items) {
  if (!unknown?.length) return [];
  const words = unknown.map((word) => `“${word}”`).join(", ");
  const left = items.length ? "it was left out" : "nothing else tells pictures apart";
  return [element("p", { class: "unknown", text: `The model does not know ${words}: ${left}.` })];
}
