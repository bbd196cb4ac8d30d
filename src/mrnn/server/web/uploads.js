// The Explain view: photos that are dropped, pasted or chosen, each as a card.

import * as api from "./api.js";
import { photoCard } from "./card.js";
import { button, byId, notify } from "./dom.js";
import { download } from "./download.js";
import { counted, tooLarge } from "./format.js";
import { settingsRow } from "./settings.js";
import { table } from "./table.js";

const TOUCHED = matchMedia("(pointer: coarse)").matches; // nobody drops files with a finger
const MANY = 4; // photos from which on they stand in a list, to be opened

function title(some) {
  if (TOUCHED) return some ? "More photos" : "Choose a photo";
  return some ? "Drop or paste more photos" : "Drop a photo here";
}

/** `run` is the queue of questions, `limits` a function that returns the server's limits. */
export function uploadsView(run, limits) {
  const cards = new Map(); // each to its state
  const settings = settingsRow(byId("settings"), () =>
    [...cards.keys()].forEach((card) => card.rewrite()));
  const chooser = byId("files");

  byId("choose").addEventListener("click", () => chooser.click());
  chooser.addEventListener("change", () => {
    add([...chooser.files]);
    chooser.value = ""; // the same file can be chosen again
  });
  byId("save").addEventListener("click", () => {
    const rows = [...cards.keys()].map((card) => [card.name, card.said()]);
    const told = rows.filter(([, said]) => said);
    download(table(told), "captions.csv");
    const lacking = rows.length - told.length;
    if (lacking) {
      notify(`The table has ${counted(told.length, "photo")}: ${lacking} of ${rows.length} ` +
        "have no caption yet, or failed.");
    }
  });

  /** A card a file, the first on top, above those of before. */
  function add(files) {
    const isList = files.length >= MANY;
    const made = files.map((file) => cardOf(file, isList));
    byId("cards").prepend(...made.map((card) => card.node));
    arrange();
    made[0]?.node.scrollIntoView({ block: "nearest" });
  }

  function cardOf(file, isCompact) {
    const url = URL.createObjectURL(file);
    let state = "waiting";
    const card = photoCard(api.fromFile(file), url, {
      run,
      settings,
      longest: limits().characters,
      onState(now) {
        state = now;
        if (cards.has(card)) cards.set(card, now);
        tell();
      },
      onRemove: () => {
        URL.revokeObjectURL(url);
        cards.delete(card);
        arrange();
        byId("choose").focus();
      },
    });
    if (isCompact) fold(card);
    const refusal = tooLarge(file, limits());
    if (refusal) card.refuse(refusal);
    else card.write();
    cards.set(card, state);
    return card;
  }

  /** A row of the list; opened, it is a card like others. */
  function fold(card) {
    const open = button("", () => {
      const is = card.node.classList.toggle("compact");
      open.setAttribute("aria-expanded", String(!is));
      open.setAttribute("aria-label", `${is ? "Open" : "Fold"} ${card.name}`);
    }, { class: "unfold", "aria-expanded": "false", "aria-label": `Open ${card.name}` });
    card.node.classList.add("compact");
    card.node.querySelector("header").prepend(open);
    card.node.querySelector(".photo").addEventListener("click", () =>
      card.node.matches(".compact") && open.click());
  }

  function arrange() {
    const some = cards.size > 0;
    byId("explain-view").classList.toggle("started", some);
    byId("settings").hidden = !some;
    byId("explain-title").textContent = title(some);
    tell();
  }

  /** How far they are. */
  function tell() {
    const states = [...cards.values()];
    const count = (state) => states.filter((one) => one === state).length;
    const [done, failed] = [count("done"), count("failed")];
    byId("progress").hidden = states.length < 2;
    byId("progress-bar").max = states.length || 1;
    byId("progress-bar").value = done + failed;
    byId("progress-text").textContent = `${done} of ${states.length} captioned` +
      (failed ? `, ${failed} failed` : "");
    byId("save").hidden = !done;
  }

  arrange();
  return { add };
}
