// Bicubic enlargement by whole factors, with Keys' kernel; the same as jaxgen/tasks/super_resolution/bicubic.py.

/**
 * Returns {data, width, height}: a picture enlarged by a whole factor.
 *
 * @param picture {data: RGBA bytes, width, height}, such as an ImageData; all four channels are enlarged alike.
 */
export function enlargeBicubic({ data, width, height }, scale) {
  const [weights, wide] = [phases(scale), 4 * scale * width];
  const enlarged = new Uint8ClampedArray(wide * scale * height); // it rounds and clips
  const rows = new Map(); // old rows at their new width
  const rowOf = (y) => {
    if (!rows.has(y)) rows.set(y, widened(data.subarray(4 * y * width, 4 * (y + 1) * width), width, weights));
    return rows.get(y);
  };
  for (let y = 0; y < scale * height; y++) {
    const { first, taps } = weights[y % scale];
    const places = taps.map((_, k) => mirrored(Math.floor(y / scale) + first + k, height));
    const [a, b, c, d] = places.map(rowOf);
    const [p, q, r, s] = taps;
    for (let i = 0, to = y * wide; i < wide; i++) enlarged[to++] = p * a[i] + q * b[i] + r * c[i] + s * d[i];
    for (const kept of rows.keys()) if (!places.includes(kept)) rows.delete(kept);
  }
  return { data: enlarged, width: scale * width, height: scale * height };
}

/** Returns for each place of a new pixel in an old one the first of four old pixels, relative to it, and their weights. */
function phases(scale) {
  return Array.from({ length: scale }, (_, i) => {
    const place = (i + 0.5) / scale - 0.5;
    const first = Math.floor(place) - 1;
    return { first, taps: [0, 1, 2, 3].map((k) => keys(place - first - k)) };
  });
}

function keys(distance) {
  const x = Math.abs(distance);
  if (x < 1) return 1 + x * x * (1.5 * x - 2.5);
  return x < 2 ? 2 + x * (-4 + x * (2.5 - 0.5 * x)) : 0;
}

/** Returns a row of RGBA bytes at its new width, as floats. */
function widened(row, width, weights) {
  const scale = weights.length;
  const wide = new Float32Array(row.length * scale);
  for (let x = 0, to = 0; x < scale * width; x++) {
    const { first, taps } = weights[x % scale];
    const [a, b, c, d] = taps.map((_, k) => 4 * mirrored(Math.floor(x / scale) + first + k, width));
    const [p, q, r, s] = taps;
    for (let i = 0; i < 4; i++) wide[to++] = p * row[a + i] + q * row[b + i] + r * row[c + i] + s * row[d + i];
  }
  return wide;
}

/** Returns the place of a pixel in a line of n pixels that is mirrored at its ends. */
function mirrored(i, n) {
  const place = ((i % (2 * n)) + 2 * n) % (2 * n);
  return place < n ? place : 2 * n - 1 - place;
}
