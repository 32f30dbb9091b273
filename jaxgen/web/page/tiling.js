// A picture in overlapping windows, with the result of the whole picture. Pure functions.

const roundUp = (value, multiple) => Math.ceil(value / multiple) * multiple;

/**
 * Windows along one axis, all of one size, a multiple of `multiple`; each gives the part [first, last), which is at
 * least `halo` away from the window's ends or at the end of the picture. The last may reach beyond `size`.
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

/** Windows {x, y, width, height} that cover a picture once, each with the part `inner` {x, y, width, height} it gives. */
export function tiles(width, height, layout) {
  return spans(height, layout).flatMap((row) => spans(width, layout).map((column) => ({
    x: column.start,
    y: row.start,
    width: column.length,
    height: row.length,
    inner: { x: column.first, y: row.first, width: column.last - column.first, height: row.last - row.first },
  })));
}
