// The row of filters: a month or two days, and a folder.

import { byId, element } from "./dom.js";
import { lastDay, month } from "./days.js";
import { counted } from "./format.js";

const FIELDS = ["since", "until", "folder"];

/** Call `act` when a date is chosen, or typed to its end: until then each digit makes another. */
function settled(field, act) {
  let isTyped = false;
  let isOther = false;
  const end = () => {
    isTyped = false;
    if (isOther) act();
    isOther = false;
  };
  field.addEventListener("keydown", ({ key }) => {
    if (key === "Enter") end();
    else isTyped = key !== "Tab";
  });
  field.addEventListener("change", () => {
    isOther = true;
    if (!isTyped) end();
  });
  field.addEventListener("blur", end);
}

/** `onChange` is called with `since`, `until` and `folder` when a person has chosen others. */
export function filtersRow(onChange) {
  const opener = byId("filters");
  const months = byId("month");
  const folders = byId("folder");
  const fields = Object.fromEntries(FIELDS.map((name) => [name, byId(name)]));
  const clear = byId("clear");

  const values = () => Object.fromEntries(FIELDS.map((name) => [name, fields[name].value]));
  const changed = () => onChange(values());

  months.addEventListener("change", () => {
    fields.since.value = months.value && `${months.value}-01`;
    fields.until.value = months.value && lastDay(months.value);
    changed();
  });
  folders.addEventListener("change", changed);
  for (const field of [fields.since, fields.until]) settled(field, changed);
  opener.addEventListener("click", () => expand(byId("filter-row").hidden));
  clear.addEventListener("click", () => {
    onChange({});
    byId("query-text").focus();
  });

  const option = (value, text) => element("option", { value, text });

  /** Offer what the library has. */
  function offer(contents) {
    const options = (list, name, said) => list.map((of) =>
      option(of[name], `${said(of[name])} (${of.pictures.toLocaleString("en")})`));
    months.replaceChildren(months.options[0], ...options(contents.months, "month", month));
    folders.replaceChildren(folders.options[0], ...options(contents.folders, "folder", String));
    byId("undated").hidden = contents.dated;
    show(wanted);
  }

  let wanted = {}; // the filter that counts now

  /** Show the filter that counts now. */
  function show(filter) {
    wanted = filter;
    const { folder } = filter;
    const isOffered = [...folders.options].some(({ value }) => value === folder);
    if (folder && !isOffered) folders.append(option(folder, folder)); // it counts all the same
    folders.closest("label").hidden = folders.length < 2;
    for (const name of FIELDS) fields[name].value = filter[name] ?? "";
    const { since, until } = filter;
    const of = (since ?? "").slice(0, 7);
    months.value = since === `${of}-01` && until === lastDay(of) ? of : "";
    if (months.selectedIndex < 0) months.value = "";
    const active = FIELDS.filter((name) => filter[name]).length;
    clear.hidden = !active;
    opener.textContent = active ? counted(active, "filter") : "Filters";
    opener.classList.toggle("active", active > 0);
  }

  function expand(is) {
    byId("filter-row").hidden = !is;
    opener.setAttribute("aria-expanded", String(is));
  }

  return { offer, show };
}
