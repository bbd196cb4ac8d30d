// The Explain view: photos that are dropped, pasted or chosen, each as a card.

import * as api from "./api.js";
import { photoCard } from "./card.js";
import { byId } from "./dom.js";
import { tooLarge } from "./format.js";
import { settingsRow } from "./settings.js";

const TOUCHED = matchMedia("(pointer: coarse)").matches; // nobody drops files with a finger

function title(some) {
  if (TOUCHED) return some ? "More photos" : "Choose a photo";
  return some ? "Drop or paste more photos" : "Drop a photo here";
}

/** `run` is the queue of questions, `limits` a function that returns the server's limits. */
export function photosView(run, limits) {
  const cards = new Set();
  const settings = settingsRow(byId("settings"), () => cards.forEach((card) => card.rewrite()));
  const chooser = byId("files");

  byId("choose").addEventListener("click", () => chooser.click());
  chooser.addEventListener("change", () => {
    add([...chooser.files]);
    chooser.value = ""; // the same file can be chosen again
  });

  /** A card a file, the first on top, above those of before. */
  function add(files) {
    const made = files.map(cardOf);
    byId("cards").prepend(...made.map((card) => card.node));
    arrange();
    made[0]?.node.scrollIntoView({ block: "nearest" });
  }

  function cardOf(file) {
    const url = URL.createObjectURL(file);
    const card = photoCard(api.fromFile(file), url, {
      run,
      settings,
      longest: limits().characters,
      onRemove: () => {
        URL.revokeObjectURL(url);
        cards.delete(card);
        arrange();
        byId("choose").focus();
      },
    });
    cards.add(card);
    const refusal = tooLarge(file, limits());
    if (refusal) card.refuse(refusal);
    else card.write();
    return card;
  }

  function arrange() {
    const some = cards.size > 0;
    byId("explain").classList.toggle("started", some);
    byId("settings").hidden = !some;
    byId("explain-title").textContent = title(some);
  }

  arrange();
  return { add };
}
