// Numbers and words as people read them. Log-probabilities are in nats.

export const END = "##END##";

export const UNKNOWN = "##UNK##";

const SIGNS = new Map([[END, "(end)"], [UNKNOWN, "(a rare word)"]]);

export const shown = (word) => SIGNS.get(word) ?? word;

/** A probability from 0 to 1: "43%". */
export function percent(share) {
  const value = 100 * share;
  if (value < 0.1) return "< 0.1%";
  if (value > 99.9) return "> 99.9%";
  return `${value < 10 || value > 99 ? value.toFixed(1) : value.toFixed(0)}%`;
}

export const spokenPercent = (share) =>
  percent(share).replace("%", " percent").replace("<", "under").replace(">", "over");

/** What so many nats do to a probability: "× 3.2", or "÷ 3.2". */
export function factor(nats) {
  const value = Math.exp(Math.abs(nats));
  const digits = value < 10 ? 1 : 0;
  if (value.toFixed(1) === "1.0") return "× 1.0";
  const text = value < 1e4 ? value.toFixed(digits) : value.toExponential(0).replace("e+", "e");
  return `${nats > 0 ? "×" : "÷"} ${text}`;
}

/** With a sign, and a real minus. */
export const signed = (value, digits = 1) =>
  (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);

export const minus = (value, digits = 1) => value.toFixed(digits).replace("-", "−");

/** How likely a picture that was found is right: never 0% or 100%, since nothing is certain. */
export function likely(chance) {
  const said = chance < 0.01 ? "< 1" : chance > 0.99 ? "> 99" : (100 * chance).toFixed(0);
  return `${said}% likely right`;
}

/** What to say of a file that the server would refuse; "" of others. */
export function tooLarge({ name, size }, { bytes: most = Infinity }) {
  if (size <= most) return "";
  return `${name} has ${bytes(size)}; the server takes ${bytes(most)} at most. ` +
    "Make the picture smaller.";
}

const bytes = (count) =>
  count >= 1e6 ? `${(count / 1e6).toFixed(1)} MB` : `${Math.ceil(count / 1e3)} kB`;

export const counted = (count, noun) =>
  `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
