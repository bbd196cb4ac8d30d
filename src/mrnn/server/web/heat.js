// Heat maps over a photo: warm where the picture spoke for a word, cool where against it.

const FINE = 8; // steps of the smooth map for each part of the picture
const LONG_SIDE = 640; // pixels of the canvas
const VEIL = "rgba(0, 0, 0, 0.42)"; // over what the model does not see

const WARM = [[255, 196, 84], [222, 52, 18]]; // faint and full, red green blue
const COOL = [[120, 200, 255], [24, 74, 200]];

/** The largest strength of a map, nats. */
export const strongest = (heat) =>
  (heat ?? []).flat().reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** Whether an area is nearly all of its picture. */
export const isWhole = ([left, top, right, bottom]) => (right - left) * (bottom - top) > 0.99;

/**
 * Draw a map, H rows of W nats, on a canvas that lies over a picture of this ratio.
 * `area` is the part of the picture that the map is of: left, top, right, bottom as shares;
 * `scale` the nats of the fullest colour.
 */
export function draw(canvas, ratio, heat, area, scale) {
  canvas.width = Math.round(ratio >= 1 ? LONG_SIDE : LONG_SIDE * ratio);
  canvas.height = Math.round(ratio >= 1 ? LONG_SIDE / ratio : LONG_SIDE);
  const context = canvas.getContext("2d");
  const [left, top, right, bottom] = area;
  const x = left * canvas.width;
  const y = top * canvas.height;
  const width = (right - left) * canvas.width;
  const height = (bottom - top) * canvas.height;
  context.fillStyle = VEIL;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.clearRect(x, y, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(painted(finer(heat), scale), x, y, width, height);
}

export function clear(canvas) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}

function painted(values, scale) {
  const canvas = document.createElement("canvas");
  canvas.width = values[0].length;
  canvas.height = values.length;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  values.flat().forEach((value, i) => image.data.set(colour(value / scale), 4 * i));
  context.putImageData(image, 0, 0);
  return canvas;
}

function colour(strength) {
  const share = Math.min(Math.abs(strength), 1);
  const [faint, full] = strength > 0 ? WARM : COOL;
  const mixed = faint.map((value, i) => value + share * (full[i] - value));
  return [...mixed, 255 * 0.75 * share ** 0.85];
}

const transposed = (rows) => rows[0].map((_, i) => rows.map((row) => row[i]));

/** The same map in small steps, by cubic interpolation between the middles of its parts. */
const finer = (heat) => transposed(transposed(heat.map(finerLine)).map(finerLine));

function finerLine(line) {
  const at = (i) => line[Math.min(Math.max(i, 0), line.length - 1)];
  return Array.from({ length: FINE * line.length }, (_, step) => {
    const place = (step + 0.5) / FINE - 0.5;
    const i = Math.floor(place);
    return cubic(at(i - 1), at(i), at(i + 1), at(i + 2), place - i);
  });
}

/** The Catmull-Rom spline through b at t = 0 and c at t = 1. */
function cubic(a, b, c, d, t) {
  return b + (t / 2) * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
}
