// Elements of the page. Text only ever becomes text: nothing here reads HTML.

/**
 * An element: `on` holds listeners, `class` and `text` what they say, `hidden` and the like are
 * set by true or false, all else is an attribute. Children are nodes or text.
 */
export function element(tag, settings = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(settings)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    } else if (name === "class") made.className = value;
    else if (name === "text") made.textContent = value;
    else if (typeof value === "boolean") made.toggleAttribute(name, value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export function button(text, onClick, settings = {}) {
  return element("button", { type: "button", text, on: { click: onClick }, ...settings });
}

export const byId = (id) => document.getElementById(id);

/** Of two elements the one that can be seen and heard now: behind the full view nothing is. */
const here = (id) => byId(byId("viewer").open ? `viewer-${id}` : id);

/** Tell those who listen to the page instead of looking at it. */
export function announce(text) {
  here("said").textContent = text;
}

/** Tell everybody, until they do something else. */
export function notify(text) {
  const notice = here("notice");
  const leave = new AbortController();
  notice.textContent = text;
  for (const event of ["pointerdown", "keydown", "dragover"]) {
    addEventListener(event, () => {
      notice.textContent = "";
      leave.abort();
    }, { signal: leave.signal, capture: true }); // not of the event that it is told at
  }
}
