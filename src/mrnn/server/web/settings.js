// How sentences are written: a small row of settings.

const BEAM = 5;
const REST = 250; // ms without a change, so that arrow keys pass the choices between

/** The row's fields of the API now, as a function; `onChange` is called when they have changed. */
export function settingsRow(form, onChange) {
  const { mode, temperature } = form.elements;
  const range = temperature.closest("label");
  const output = range.querySelector("output");
  let timer = 0;

  temperature.addEventListener("input", () => {
    output.textContent = Number(temperature.value).toFixed(1);
  });
  form.addEventListener("change", () => {
    range.hidden = mode.value !== "drawn";
    clearTimeout(timer);
    timer = setTimeout(onChange, REST);
  });
  form.addEventListener("submit", (event) => event.preventDefault());

  return () =>
    ({
      surest: {},
      best: { beam: BEAM, n_best: BEAM },
      drawn: { temperature: Number(temperature.value) },
    })[mode.value];
}
