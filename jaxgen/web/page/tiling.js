// Restoration or enlargement of a picture in overlapping windows, with the same result as for the whole picture.

const roundUp = (value, multiple) => Math.ceil(value / multiple) * multiple;

/**
 * Returns windows along one axis, all of one size, a multiple of `multiple`. The tile [first, last) of a window is at
 * least `halo` away from the window's ends, or at the end of the picture. The last window may extend beyond `size`.
 */
export function spans(size, { tile, halo, multiple }) {
  const padded = roundUp(size, multiple);
  const margin = roundUp(halo, multiple);
  const window = Math.min(padded, roundUp(tile, multiple) + 2 * margin);
  const found = [];
  for (let first = 0; first < size; ) {
    const start = Math.min(Math.max(first - margin, 0), padded - window);
    const stop = start + window;
    const last = stop === padded ? size : stop - margin;
    found.push({ start, length: window, first, last });
    first = last;
  }
  return found;
}

/** Returns windows {x, y, width, height} with their tiles `inner` {x, y, width, height}, which cover a picture once. */
export function tiles(width, height, layout) {
  return spans(height, layout).flatMap((row) => spans(width, layout).map((column) => ({
    x: column.start,
    y: row.start,
    width: column.length,
    height: row.length,
    inner: { x: column.first, y: row.first, width: column.last - column.first, height: row.last - row.first },
  })));
}

/** Returns the same window in a picture that is enlarged by a whole factor. */
export function enlarged({ inner, ...window }, scale) {
  const times = (box) => Object.fromEntries(Object.entries(box).map(([name, value]) => [name, scale * value]));
  return { ...times(window), inner: times(inner) };
}
