// What is selected, by ids: it stays when something else is searched for.

import * as api from "./api.js";
import { byId, notify } from "./dom.js";
import { download } from "./download.js";
import { counted } from "./format.js";

const NAMES = { csv: "captions.csv", xmp: "captions.zip" };
const MOST = 10_000; // pictures that the server exports at a time

/**
 * The selection and its bar. `onChange` is called when another is made; `everything` has what there
 * is to select now: `shown()`, ids; `isAll()`, whether there are no others; `all(most)`, a promise
 * of all ids, or of more than so many.
 */
export function selection(onChange, everything) {
  const bar = byId("selection");
  const ids = new Set();

  const size = () => ids.size;
  const has = (id) => ids.has(id);

  function set(some, is) {
    for (const id of some) {
      if (!is) ids.delete(id);
      else if (ids.size < MOST) ids.add(id);
    }
    draw();
    if (is && !some.every(has)) {
      notify(`${counted(MOST, "photo")} can be selected at a time. Filters name others.`);
    }
  }

  function clear() {
    ids.clear();
    draw();
  }

  const all = () => waitedFor("select-all", async () => set(await everything.all(MOST), true));

  function draw() {
    bar.hidden = !ids.size;
    byId("selected").textContent = `${counted(ids.size, "photo")} selected`;
    byId("select-all").hidden = everything.isAll() && everything.shown().every(has);
    onChange();
  }

  const save = (format) => waitedFor(`export-${format}`, async () => {
    const wanted = [...ids];
    const { file, count } = await api.exported(format, wanted);
    download(file, NAMES[format]);
    if (count < wanted.length) {
      notify(`The file has ${count.toLocaleString("en")} of the ` +
        `${counted(wanted.length, "photo")}: the others are not in the library any more.`);
    }
  });

  /** Do what a button is for, which cannot be pressed meanwhile. */
  async function waitedFor(id, act) {
    byId(id).disabled = true;
    try {
      await act();
    } catch (error) {
      notify(error.message);
    }
    byId(id).disabled = false;
  }

  byId("select-all").addEventListener("click", all);
  byId("select-none").addEventListener("click", clear);
  for (const format of Object.keys(NAMES)) {
    byId(`export-${format}`).addEventListener("click", () => save(format));
  }

  return { size, has, set, draw };
}
