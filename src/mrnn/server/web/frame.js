// A photo with room for a heat map over it.

import { element } from "./dom.js";
import * as heat from "./heat.js";

/** The frame of a photo at a URL, or at "" of one that is painted later; `name` describes it. */
export function photoFrame(url, name) {
  const image = element("img", { alt: name, draggable: "false", decoding: "async" });
  const canvas = element("canvas", { class: "heat", "aria-hidden": "true" });
  const veil = element("span", { class: "veil", text: "not seen by the model" });
  const legend = element("div", { class: "legend", "aria-hidden": "true" },
    element("span", { text: "for the word" }),
    element("span", { class: "cool", text: "against it" }), veil);
  const node = element("div", { class: "photo" }, image, canvas, legend);
  let ratio = 4 / 3; // until the picture is there

  image.addEventListener("load", () => {
    ratio = image.naturalWidth / image.naturalHeight || ratio;
    node.style.setProperty("--ratio", ratio);
  });
  image.addEventListener("error", () => {
    image.hidden = true;
    node.append(element("p", { class: "unshown", text: "This browser cannot show this file." }));
  });
  if (url) image.src = url;

  return {
    node,
    paint(at) {
      image.src = at;
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
