// A file for the user to keep.

import { element } from "./dom.js";

const LATER = 60_000; // ms, by when the browser has it

export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), LATER);
}
