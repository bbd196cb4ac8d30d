// The server's HTTP API: one function a question, and Problems that say what to do.

import { byId } from "./dom.js";

const KEY = "mrnn key"; // in sessionStorage

let key = remembered();
let asked = null; // the promise of a key, while the field for it is shown

export class Problem extends Error {
  constructor(status, detail, code = "") {
    super(detail);
    this.status = status; // 0: no answer
    this.code = code;
    this.isPassing = status === 0 || status >= 500; // so that it may help to ask again
  }
}

/** A photo as the API takes it: a file of the user's, or the id of one of the library's. */
export const fromFile = (file) => ({ name: file.name, field: "image", value: file });
export const fromLibrary = (id, name) => ({ name, field: "picture", value: id });

export const model = () => request("v1/model", json);

/** A sentence about a photo with the evidence for its words; raises Problem. */
export const explain = (photo, fields, how) =>
  first("v1/explain", photo, { quick: true, ...fields }, how);

/** How well a sentence fits a photo; raises Problem. */
export async function score(photo, sentence, how) {
  return (await first("v1/score", photo, { sentence }, how)).scores[0];
}

/** The k pictures of the library that best fit a sentence, or are most like a photo. */
export function search(query, k, filter, how) {
  const fields = { k, ...given(filter) };
  const body = typeof query === "string" ? form(null, { query, ...fields }) : form(query, fields);
  return request("v1/search", json, { method: "POST", body }, how);
}

/** k pictures of the library, newest first: the first ones, or those after a `next` of others. */
export function pictures(after, k, filter, how) {
  const fields = new URLSearchParams({ k, ...(after ? { after } : {}), ...given(filter) });
  return request(`v1/pictures?${fields}`, json, {}, how);
}

/** The months and folders of the library. */
export const contents = (how) => request("v1/contents", json, {}, how);

/** Captions of pictures as a file, "csv" or "xmp", and of how many there still were. */
export function exported(format, ids) {
  const body = JSON.stringify({ format, picture: ids });
  const headers = { "Content-Type": "application/json" };
  const read = async (answer) =>
    ({ file: await answer.blob(), count: Number(answer.headers.get("X-Pictures")) });
  return request("v1/export", read, { method: "POST", body, headers });
}

/** What of a filter says something: `since`, `until` and `folder`. */
const given = ({ since, until, folder }) =>
  Object.fromEntries(Object.entries({ since, until, folder }).filter(([, value]) => value));

/** A picture of the library as a Blob, its longer side at most so many pixels. */
export const picture = (id, side, how) =>
  request(`v1/pictures/${encodeURIComponent(id)}?side=${side}`, blob, {}, how);

async function first(path, photo, fields, how) {
  const options = { method: "POST", body: form(photo, fields) };
  const { results: [result] } = await request(path, json, options, how);
  if (result.error) throw new Problem(200, result.error.message, result.error.code);
  return result;
}

function form(photo, fields) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.append(name, value);
  if (photo?.value instanceof Blob) data.append(photo.field, photo.value, photo.name);
  else if (photo) data.append(photo.field, photo.value);
  return data;
}

const json = (answer) => answer.json();
const blob = (answer) => answer.blob();

/** Ask until there is an answer to `read`: a full queue is waited for, a key asked for. */
async function request(path, read, options = {}, { signal, onWait = () => {} } = {}) {
  for (;;) {
    const sent = key;
    const { answer, content } = await fetched(path, read, { ...options, signal }, sent);
    if (answer.ok) return content;
    if (answer.status === 401) {
      if (sent === key) await newKey(sent);
    } else if (answer.status === 429) {
      const seconds = Math.min(Math.max(Number(answer.headers.get("Retry-After")) || 1, 1), 60);
      onWait(seconds);
      await pause(seconds, signal);
    } else throw await problem(answer);
  }
}

async function fetched(path, read, options, sent) {
  const headers = { ...options.headers, ...(sent ? { Authorization: `Bearer ${sent}` } : {}) };
  try {
    const answer = await fetch(path, { ...options, headers });
    return { answer, content: answer.ok ? await read(answer) : null };
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The server did not answer, or broke off. Is it still running?");
  }
}

async function problem(answer) {
  const said = await answer.json().catch(() => ({}));
  const detail = said.detail || said.title || `The server answered ${answer.status}.`;
  return new Problem(answer.status, String(detail), said.code);
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true });
  });
}

/** Show the field for the key, and wait until one is given. */
function newKey(refused) {
  asked ??= new Promise((resolve) => {
    const field = byId("key");
    const value = byId("key-value");
    if (refused) byId("key-note").textContent = "That key is not the right one. Try again.";
    byId("viewer").close(); // nothing behind it can be used
    field.hidden = false;
    value.focus();
    field.addEventListener(
      "submit",
      (event) => {
        event.preventDefault();
        key = value.value.trim();
        remember(key);
        field.hidden = true;
        value.value = "";
        asked = null;
        resolve();
      },
      { once: true },
    );
  });
  return asked;
}

function remembered() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return ""; // a browser that keeps nothing
  }
}

function remember(value) {
  try {
    sessionStorage.setItem(KEY, value);
  } catch {
    // it is asked for again when the page is loaded again
  }
}
