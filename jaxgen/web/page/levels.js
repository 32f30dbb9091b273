// The levels of damage in a picture, from the estimates of a network on windows spread over it; see
// jaxgen/bundles/levels.py, which gives the same.

const WINDOW = 64; // edge in pixels
const NUM_WINDOWS = 48;
const LEAST = { noise: 3 / 255, jpeg: 0.08, blur: 0.5 }; // below these there is nothing to repair
const EVERYWHERE = 0.8; // share of the windows that must show noise: texture may look like it, but is not everywhere

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
  const [all, smooth] = [[...Array(found.dims[0]).keys()], smootherHalf(windows)];
  const level = (name, i) => median((name === "noise" ? smooth : all).map((n) => found.data[n * repairs.length + i]));
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

/** Returns the numbers of the half of the windows with less texture, which may be taken for noise, or hide it. */
function smootherHalf({ data, dims: [num, size, , channels] }) {
  const area = size * size;
  const slopes = Array.from({ length: num }, (_, n) => {
    const grey = new Float64Array(area);
    for (let i = 0; i < area * channels; i++) grey[Math.floor(i / channels)] += data[n * area * channels + i] / channels;
    return slopeOf(blurred(blurred(grey, size, 1, size), size, size, 1), size);
  });
  return [...slopes.keys()].sort((a, b) => slopes[a] - slopes[b]).slice(0, Math.floor(num / 2));
}

/** Returns a square blurred along one axis by a Gaussian of standard deviation 2, mirrored at its edges. */
function blurred(from, size, step, lineStep) {
  const weights = Array.from({ length: 17 }, (_, k) => Math.exp(-((k - 8) ** 2) / 8));
  const total = weights.reduce((sum, weight) => sum + weight);
  const to = new Float64Array(from.length);
  for (let line = 0; line < size; line++) {
    for (let i = 0; i < size; i++) {
      let sum = 0;
      for (let k = 0; k < 17; k++) sum += weights[k] * from[line * lineStep + mirrored(i + k - 8, size) * step];
      to[line * lineStep + i * step] = sum / total;
    }
  }
  return to;
}

/** Returns the mean slope of a square along both axes. */
function slopeOf(values, size) {
  let sum = 0;
  for (let i = 0; i < size * size; i++) {
    if ((i + 1) % size) sum += Math.abs(values[i + 1] - values[i]);
    if (i + size < size * size) sum += Math.abs(values[i + size] - values[i]);
  }
  return sum / (size * (size - 1));
}
