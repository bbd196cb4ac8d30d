// Pictures that are loaded when they come near the window, and let go when they are far from it.

import * as api from "./api.js";
import { element } from "./dom.js";
import { queue } from "./queue.js";

export const SIDE = 512; // pixels; of this size the server keeps copies
const NEAR = "100% 0px"; // a window's height above and below

/** A function that shows the picture of an id in an image, as soon as somebody may see it. */
export function thumbnails() {
  const load = queue(6);
  const shown = new WeakMap(); // image to { id, leave, fault }
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) come(target);
      else leave(target);
    }
  }, { rootMargin: NEAR });

  async function come(image) {
    const one = shown.get(image);
    if (image.src || one.leave) return;
    const mine = new AbortController();
    one.leave = mine;
    one.fault?.remove();
    const { signal } = mine;
    try {
      const blob = await load(() => {
        signal.throwIfAborted();
        return api.picture(one.id, SIDE, { signal });
      });
      if (!signal.aborted) image.src = URL.createObjectURL(blob);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.isPassing) one.leave = null; // it is asked for again when it comes near again
      else observer.unobserve(image);
      one.fault = element("p", { class: "unshown", text: error.message });
      image.parentElement.after(one.fault); // what opens it keeps its name
    }
  }

  function leave(image) {
    const one = shown.get(image);
    one.leave?.abort();
    one.leave = null;
    if (image.src) URL.revokeObjectURL(image.src);
    image.removeAttribute("src");
  }

  return {
    show(image, id) {
      shown.set(image, { id, leave: null });
      observer.observe(image);
    },
    /** These images are gone for good. */
    forget(images) {
      for (const image of images) {
        observer.unobserve(image);
        if (shown.has(image)) leave(image);
      }
    },
  };
}
