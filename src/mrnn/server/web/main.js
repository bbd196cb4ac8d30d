// The page: two views, and photos that come by drop or paste.

import * as api from "./api.js";
import { byId, notify } from "./dom.js";
import { counted } from "./format.js";
import { photosView } from "./photos.js";
import { queue } from "./queue.js";
import { searchView } from "./search.js";

const VIEWS = ["explain", "search"];
const TITLES = { explain: "mrnn: explain a photo", search: "mrnn: search pictures" };

let limits = {}; // the server's, as soon as it has told them
let hasLibrary = false;

const run = queue(2); // questions at a time
const photos = photosView(run, () => limits);
const search = searchView(run, () => limits);

function view() {
  const name = location.hash.slice(1);
  return VIEWS.includes(name) ? name : VIEWS[0];
}

function showView() {
  for (const name of VIEWS) byId(name).hidden = name !== view();
  document.querySelectorAll("nav a").forEach((link) => {
    if (link.hash === `#${view()}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  });
  document.title = TITLES[view()];
  scrollTo({ top: 0 });
}

/** Take files, or whatever else was given in their place. */
function take(files) {
  byId("why").close();
  if (!files.length) notify("That was no file. Save the picture, then drop it.");
  else if (view() === "search" && hasLibrary) search.like(files);
  else {
    if (view() === "search") location.hash = "#explain";
    photos.add(files);
  }
}

function listenForDrops() {
  const over = byId("over");
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    event.preventDefault(); // else the browser leaves the page for the file
    if (holdsFiles(event)) over.classList.add("shown");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) over.classList.remove("shown");
  });
  addEventListener("drop", (event) => {
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
  try {
    const model = await api.model();
    limits = model.limits ?? {};
    hasLibrary = Boolean(model.library);
    byId("searching").hidden = !hasLibrary;
    byId("no-library").hidden = hasLibrary;
    if (limits.characters) byId("query-text").maxLength = limits.characters;
    byId("model").textContent =
      `mrnn ${model.version}, model “${model.name}” with ${counted(model.words, "word")}. ` +
      "Photos are sent to this server and to nobody else.";
  } catch (error) {
    byId("model").textContent = error.message;
  }
}

addEventListener("hashchange", showView);
listenForDrops();
showView();
meetServer();
