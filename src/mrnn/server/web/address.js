// What is shown, in the address: the view, what is searched for, filters, the photo in full.
// It stands behind the #, which no browser sends to any server.

const VIEWS = ["photos", "explain"];
const FIELDS = ["q", "like", "since", "until", "folder", "photo"];

/** The view, and what of it is shown; "" where that is not said. */
export function read() {
  const [name, rest = ""] = location.hash.slice(1).split(/\?(.*)/s);
  const said = new URLSearchParams(rest);
  const fields = FIELDS.map((field) => [field, said.get(field) ?? ""]);
  const view = name === "search" ? "photos" : name; // its name of before
  const state = { view: VIEWS.includes(view) ? view : "", ...Object.fromEntries(fields) };
  return state.like ? { ...state, q: "" } : state; // one question at a time
}

/** Show something else of the Photos view; Back leads here again, unless it takes its place. */
export function go(state, inPlace = false) {
  const said = new URLSearchParams(FIELDS.filter((f) => state[f]).map((f) => [f, state[f]]));
  const hash = `#photos${said.size ? `?${said}` : ""}`;
  if (hash === location.hash) dispatchEvent(new HashChangeEvent("hashchange"));
  else if (inPlace) location.replace(hash);
  else location.hash = hash;
}
