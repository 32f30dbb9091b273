// The levels of damage in a picture, from the estimates of a network on windows spread over it; see
// jaxgen/bundles/levels.py, which gives the same.

const WINDOW = 64; // edge in pixels
const NUM_WINDOWS = 48;
const LEAST = { noise: 3 / 255, jpeg: 0.08, blur: 0.5 }; // below these there is nothing to repair
const EVERYWHERE = 2 / 3; // share of the windows that must show noise: texture may look like it, but is not everywhere
const NOISY = 0.7; // quantile of the levels of noise over the windows, of which flat ones hide a part of it

/** Returns {data, dims: [n, size, size, channels]}: windows of a picture, in [-1, 1]; a smaller one is mirrored. */
export function windowsOf({ data, width, height }, channels) {
  const [tall, wide] = [Math.max(height, WINDOW), Math.max(width, WINDOW)];
  const columns = Math.max(1, Math.min(Math.round(Math.sqrt((NUM_WINDOWS * wide) / tall)), NUM_WINDOWS));
  const rows = Math.max(1, Math.floor(NUM_WINDOWS / columns));
  const places = starts(tall, rows).flatMap((top) => starts(wide, columns).map((left) => [top, left]));
  while (places.length < NUM_WINDOWS) places.push(places.at(-1));
  const windows = new Float32Array(NUM_WINDOWS * WINDOW * WINDOW * channels);
  let to = 0;
  for (const [top, left] of places) {
    for (let y = top; y < top + WINDOW; y++) {
      for (let x = left; x < left + WINDOW; x++) {
        const from = 4 * (mirrored(y, height) * width + mirrored(x, width));
        if (channels === 1) windows[to++] = (data[from] + data[from + 1] + data[from + 2]) / 382.5 - 1;
        else for (let c = 0; c < 3; c++) windows[to++] = data[from + c] / 127.5 - 1;
      }
    }
  }
  return { data: windows, dims: [NUM_WINDOWS, WINDOW, WINDOW, channels] };
}

/** Returns the level of each of `repairs` by name, from those found in each window, {data, dims: [n, k]}. */
export function levelsOf(found, windows, repairs) {
  const column = (i) => Array.from({ length: found.dims[0] }, (_, n) => found.data[n * repairs.length + i]);
  const level = (name, i) => (name === "noise" ? quantile(column(i), NOISY) : median(column(i)));
  const seenIn = (n, i) => found.data[n * repairs.length + i] >= LEAST.noise;
  const unclipped = unclippedOf(windows);
  const everywhere = (i) => unclipped.filter((n) => seenIn(n, i)).length >= EVERYWHERE * unclipped.length;
  const heeded = (value, name) =>
    value >= (LEAST[name] ?? 0) && (name !== "noise" || everywhere(repairs.indexOf(name))) ? value : 0;
  return Object.fromEntries(repairs.map((name, i) => [name, heeded(level(name, i), name)]));
}

/** Returns where `num` windows begin along an axis: at multiples of 16 pixels, as the blocks of JPEG do. */
function starts(size, num) {
  const span = size - WINDOW;
  const step = num > 1 ? span / (num - 1) : 0;
  return Array.from({ length: num }, (_, i) => 16 * Math.floor((i > 0 && i === num - 1 ? span : i * step) / 16));
}

/** Returns the place of a pixel in a picture of n pixels that is mirrored at its edges. */
function mirrored(i, n) {
  const place = i < 0 ? -1 - i : i % (2 * n);
  return place < n ? place : 2 * n - 1 - place;
}

function quantile(values, share) {
  return Float64Array.from(values).sort()[Math.floor(share * (values.length - 1))];
}

function median(values) {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length / 2;
  return (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
}

/** Returns the numbers of the windows that are not mostly black or white, where noise may be cut off; else all. */
function unclippedOf({ data, dims: [num, size, , channels] }) {
  const area = size * size;
  const all = [...Array(num).keys()];
  const clipped = (n) => {
    let count = 0;
    for (let i = n * area; i < (n + 1) * area; i++) {
      const pixel = data.subarray(i * channels, (i + 1) * channels);
      count += pixel.every((v) => v <= -1) || pixel.every((v) => v >= 1);
    }
    return count > area / 2;
  };
  const open = all.filter((n) => !clipped(n));
  return open.length ? open : all;
}
