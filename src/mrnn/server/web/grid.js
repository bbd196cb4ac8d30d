// The grid: pictures by day, or in the order in which they were found, to be opened and selected.

import { button, byId, element } from "./dom.js";
import { day, dayOf } from "./days.js";
import { likely } from "./format.js";
import { thumbnails } from "./thumbnails.js";

/**
 * `onOpen(i)` is called for a picture that is to be seen in full; `selected` is the selection
 * (see selection.js).
 */
export function photoGrid({ onOpen, selected }) {
  const node = byId("grid");
  const pictures = thumbnails();
  const items = []; // as the API has them
  const tiles = [];
  let section = null; // the last one: { node, day, count }
  let anchor = 0; // where a selection by Shift begins
  let stop = 0; // the one picture that Tab leads to; arrow keys lead on

  function empty() {
    pictures.forget(node.querySelectorAll("img"));
    node.replaceChildren();
    items.length = tiles.length = 0;
    section = null;
    anchor = stop = 0;
  }

  /** Add pictures behind those that are there. */
  function append(more, isByDay) {
    for (const item of more) {
      const made = tile(item, items.length);
      items.push(item);
      tiles.push(made);
      sectionOf(item, isByDay).append(made);
    }
    draw();
  }

  function sectionOf(item, isByDay) {
    const of = isByDay ? dayOf(item.date) : "";
    if (section?.day !== of) {
      const title = isByDay ? [heading(item)] : [];
      section = { day: of, count: 0, node: element("section", { class: "day" }, ...title) };
      node.append(section.node);
    }
    section.count += 1;
    section.node.style.setProperty("--count", isByDay ? section.count : 1000);
    return section.node;
  }

  function tile(item, i) {
    const image = element("img", { alt: "", draggable: "false", decoding: "async" });
    const said = item.caption || item.name;
    const told = pill(item);
    const label = [said, ...told.map((one) => one.textContent)].join(", ");  // what is seen, too
    const open = button("", (event) => {
      if (selected.size()) pick(i, !selected.has(item.image), event.shiftKey);
      else onOpen(i);
    }, { class: "open", "aria-label": label, title: said, tabindex: i === stop ? "0" : "-1" });
    open.append(image, ...told);
    open.addEventListener("focus", () => {
      opener(stop).tabIndex = -1;
      stop = i;
      open.tabIndex = 0;
    });
    const check = element("input", {
      type: "checkbox", "aria-label": `Select ${item.name}`, tabindex: "-1",
    });
    check.addEventListener("click", (event) => pick(i, check.checked, event.shiftKey));
    pictures.show(image, item.image);
    return element("div", { class: "tile" }, open, element("label", { class: "pick" }, check));
  }

  /** Select a picture or not; with Shift all from the one before to it. */
  function pick(i, is, isRange) {
    const [first, last] = isRange ? [Math.min(anchor, i), Math.max(anchor, i)] : [i, i];
    selected.set(items.slice(first, last + 1).map((item) => item.image), is);
    anchor = i;
  }

  /** Show what is selected. */
  function draw() {
    const isSelecting = selected.size() > 0;
    node.classList.toggle("selecting", isSelecting);
    const keys = isSelecting ? "Enter or x selects" : "Enter opens, x selects";
    node.ariaLabel = `Photos. Arrow keys move, ${keys}.`;
    tiles.forEach((made, i) => {
      const is = selected.has(items[i].image);
      made.classList.toggle("selected", is);
      made.querySelector("input").checked = is;
      made.querySelector(".open").ariaPressed = isSelecting ? String(is) : null;
    });
  }

  const opener = (i) => tiles[i].querySelector(".open");

  const focus = (i) => tiles[i] && opener(i).focus();

  node.addEventListener("keydown", (event) => {
    const i = tiles.findIndex((made) => made.contains(event.target));
    if (i < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const to = {
      ArrowRight: () => i + 1,
      ArrowLeft: () => i - 1,
      ArrowDown: () => across(i, 1),
      ArrowUp: () => across(i, -1),
      Home: () => 0,
      End: () => tiles.length - 1,
    }[event.key]?.();
    if (event.key === "x") pick(i, !selected.has(items[i].image), false);
    else if (to === undefined || !tiles[to]) return;
    else {
      if (event.shiftKey) pick(to, true, true);
      focus(to);
    }
    event.preventDefault();
  });

  /** The tile in the next row, this way, that lies nearest to the column of a tile. */
  function across(i, way) {
    const at = (n) => tiles[n].getBoundingClientRect();
    const from = at(i);
    let best = -1;
    let row = null;
    for (let n = i + way; tiles[n]; n += way) {
      const place = at(n);
      if (Math.abs(place.top - from.top) < place.height / 2) continue;
      row ??= place.top;
      if (Math.abs(place.top - row) >= place.height / 2) break;
      const off = Math.abs(place.left - from.left);
      if (best < 0 || off < Math.abs(at(best).left - from.left)) best = n;
    }
    return best;
  }

  return { append, empty, draw, focus, items, holds: () => node.contains(document.activeElement) };
}

function heading({ date, date_of: of }) {
  const said = of === "exif" ? [] : [element("span", {
    class: "dim",
    text: " by file",
    title: "The photo does not say when it was taken; its file was changed then.",
  })];
  return element("h2", {}, element("span", { text: date ? day(date) : "Just now" }), ...said);
}

/** How likely a match is right; of what is no match nothing is said. */
function pill({ chance, match }) {
  const text = typeof chance === "number" ? likely(chance) : "match";
  return match ? [element("span", { class: "pill", text })] : [];
}
