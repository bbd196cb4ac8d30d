// A photo with room for a heat map over it.

import { button, element } from "./dom.js";
import * as heat from "./heat.js";

/** The frame of a photo at a URL, or at "" of one that is painted later; `name` describes it. */
export function photoFrame(url, name) {
  const image = element("img", { alt: name, draggable: "false", decoding: "async" });
  const canvas = element("canvas", { class: "heat", "aria-hidden": "true" });
  const veil = element("span", { class: "veil", text: "not seen by the model" });
  const legend = element("div", { class: "legend", "aria-hidden": "true" },
    element("span", { text: "for the word" }),
    element("span", { class: "cool", text: "against it" }), veil);
  const fault = element("div", { class: "unshown", role: "alert", hidden: true });
  const node = element("div", { class: "photo" }, image, canvas, legend, fault);
  let ratio = 4 / 3; // until the picture is there

  image.addEventListener("load", () => {
    ratio = image.naturalWidth / image.naturalHeight || ratio;
    node.style.setProperty("--ratio", ratio);
  });
  image.addEventListener("error", () => {
    image.hidden = true;
    fail("This browser cannot show this file.");
  });
  if (url) image.src = url;

  /** Say why the photo is not seen, or not sharply; `again` is how to ask for it once more. */
  function fail(text, again) {
    const retry = again ? [button("Try again", again, { class: "quiet" })] : [];
    fault.replaceChildren(element("p", { text }), ...retry);
    fault.hidden = false;
  }

  return {
    node,
    fail,
    paint(at) {
      image.src = at;
      image.hidden = false;
      fault.hidden = true;
    },
    describe: (text) => {
      image.alt = text;
    },
    map(values, area, scale) {
      heat.draw(canvas, ratio, values, area, scale);
      veil.hidden = heat.isWhole(area);
      node.classList.add("mapped");
    },
    clear() {
      heat.clear(canvas);
      node.classList.remove("mapped");
    },
  };
}
