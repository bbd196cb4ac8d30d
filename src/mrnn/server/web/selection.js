// What is selected: pictures by their ids, or all of a filter, also those that are not shown yet.

import * as api from "./api.js";
import { byId, notify } from "./dom.js";
import { download } from "./download.js";
import { counted } from "./format.js";

const NAMES = { csv: "captions.csv", xmp: "captions.zip" };

/**
 * The selection and its bar. `onChange` is called when another is made; `everything` returns what
 * there is to select now: { ids, count, filter }, where a filter names more than the ids.
 */
export function selection(onChange, everything) {
  const bar = byId("selection");
  const ids = new Set();
  let isAll = false; // of the filter

  const size = () => (isAll ? everything().count : ids.size);
  const has = (id) => isAll || ids.has(id);

  function set(some, is) {
    if (isAll) everything().ids.forEach((id) => ids.add(id)); // from here on they are chosen singly
    isAll = false;
    for (const id of some) {
      if (is) ids.add(id);
      else ids.delete(id);
    }
    draw();
  }

  function clear() {
    isAll = false;
    ids.clear();
    draw();
  }

  function all() {
    const { ids: shown, count, filter } = everything();
    if (filter && count > shown.length) isAll = true;
    else shown.forEach((id) => ids.add(id));
    draw();
  }

  function draw() {
    bar.hidden = !size();
    byId("selected").textContent = `${counted(size(), "photo")} selected`;
    byId("select-all").hidden = size() >= everything().count;
    onChange();
  }

  async function save(format) {
    const asked = byId(`export-${format}`);
    asked.disabled = true;
    try {
      download(await api.exported(format, isAll ? null : [...ids], everything().filter ?? {}, {}),
        NAMES[format]);
    } catch (error) {
      notify(error.message);
    }
    asked.disabled = false;
  }

  byId("select-all").addEventListener("click", all);
  byId("select-none").addEventListener("click", clear);
  for (const format of Object.keys(NAMES)) {
    byId(`export-${format}`).addEventListener("click", () => save(format));
  }

  return { size, has, set, all, clear };
}
