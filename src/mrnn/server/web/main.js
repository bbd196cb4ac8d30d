// The page: two views, and photos that come by drop or paste.

import * as address from "./address.js";
import * as api from "./api.js";
import { button, byId, element, notify } from "./dom.js";
import { counted } from "./format.js";
import { libraryView } from "./library.js";
import { queue } from "./queue.js";
import { uploadsView } from "./uploads.js";

const SIGNS = 4; // begin, end and the like, which nobody would call words
const TITLES = { explain: "mrnn: explain a photo", photos: "mrnn: photos" };

let limits = {}; // the server's, as soon as it has told them
let hasLibrary = null; // null: not known yet
let shown = ""; // the view
const scrolled = {}; // where each view was left

const run = queue(2); // questions at a time
const uploads = uploadsView(run, () => limits);
const library = libraryView(run, () => limits);

/** The view that the address names, or else the one to begin with. */
const view = (said) => said.view || (hasLibrary ? "photos" : "explain");

function showView() {
  const said = address.read();
  const name = view(said);
  if (name !== shown) {
    scrolled[shown] = scrollY;
    // No element is called as a view is in the address: the browser would scroll there.
    for (const each of Object.keys(TITLES)) byId(`${each}-view`).hidden = each !== name;
    document.querySelectorAll("nav a").forEach((link) => {
      if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    });
    shown = name;
    scrollTo({ top: scrolled[name] ?? 0 });
  }
  document.title = name === "photos" && said.q ? `${said.q} · mrnn` : TITLES[name];
  if (name === "photos" && hasLibrary) library.show(said);
  else library.leave();
}

/** Take files, or whatever else was given in their place. */
function take(files) {
  if (!files.length) notify("That was no file. Save the picture, then drop it.");
  else if (shown === "photos" && hasLibrary) library.like(files);
  else {
    if (shown !== "explain") location.hash = "#explain";
    uploads.add(files);
  }
}

function listenForDrops() {
  const over = byId("over");
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  // Text goes into a field; all else is taken, so that the browser leaves the page for nothing.
  const isText = (event) => !holdsFiles(event) && event.target.closest?.("input");
  addEventListener("dragover", (event) => {
    if (isText(event)) return;
    event.preventDefault();
    if (holdsFiles(event)) over.classList.add("shown");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) over.classList.remove("shown");
  });
  addEventListener("drop", (event) => {
    if (isText(event)) return;
    event.preventDefault();
    over.classList.remove("shown");
    take([...event.dataTransfer.files]);
  });
  addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (!files.length) return; // text, for a field
    event.preventDefault();
    take(files);
  });
}

async function meetServer() {
  const unmet = byId("unmet"); // in the view that cannot do without
  try {
    const model = await api.model();
    limits = model.limits ?? {};
    hasLibrary = Boolean(model.library);
    if (unmet.contains(document.activeElement)) byId("main").focus();
    unmet.replaceChildren();
    byId("library").hidden = !hasLibrary;
    byId("no-library").hidden = hasLibrary;
    if (limits.characters) byId("query-text").maxLength = limits.characters;
    const known = counted(model.words - SIGNS, "word");
    byId("model").textContent =
      `mrnn ${model.version}, model “${model.name}” with ${known}. ` +
      "Photos are sent to this server and to nobody else.";
    byId("elsewhere").hidden = !model.address;
    byId("address").textContent = model.address ?? "";
    showView();
  } catch (error) {
    byId("model").textContent = error.message;
    notify(error.message);
    unmet.replaceChildren(element("div", { class: "fault" },
      element("p", { text: error.message }),
      button("Try again", meetServer, { class: "quiet" })));
    if (!shown) showView();
  }
}

addEventListener("hashchange", showView);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address says what is shown
  byId("main").focus();
});
listenForDrops();
if (address.read().view) showView();
meetServer();
