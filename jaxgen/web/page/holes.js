// The middle of large holes is filled from the whole picture, before the network sees it in tiles: a plane through the
// surroundings, and on it a plate under tension. The same method as in jaxgen/bundles/holes.py, which says more about it.

const RIM = 5; // pixels from the edge of a hole that are left to the network
const TENSION = 1 / 4; // weight of slopes beside bending, in 1 / px^2
const STEPS = 20; // of conjugate gradients

/**
 * Returns {data, width, height, mask}: a picture with the middle of its large holes filled, where nothing is missing now.
 *
 * @param picture {data: RGBA bytes, width, height}, such as an ImageData; it stays as it is.
 * @param mask 1 where a pixel is missing.
 */
export function fillLargeHoles({ data, width, height }, mask) {
  const filled = { data: data.slice(), width, height, mask: mask.slice() };
  const middles = mask.includes(0) ? middlesOf(mask, width, height) : new Uint8Array(mask.length);
  for (const box of boxesOf(middles, width, height)) {
    const { x: left, y: top, width: w, height: h } = box;
    const place = (i) => (top + Math.floor(i / w)) * width + left + (i % w); // of pixel i of the box in the picture
    const free = Float32Array.from({ length: w * h }, (_, i) => mask[place(i)]);
    for (let c = 0; c < 3; c++) {
      const values = filledBox(Float32Array.from(free, (_, i) => data[4 * place(i) + c]), free, w, h);
      for (let i = 0; i < values.length; i++) {
        if (middles[place(i)]) filled.data[4 * place(i) + c] = Math.max(0, Math.min(255, Math.round(values[i])));
      }
    }
  }
  for (let i = 0; i < mask.length; i++) if (middles[i]) filled.mask[i] = 0;
  return filled;
}

/** Returns 1 for missing pixels more than `RIM` pixels away from known ones; nothing outside the picture is known. */
function middlesOf(mask, width, height) {
  const along = (from, length, step, lines, lineStep) => {
    const to = new Uint8Array(from.length);
    for (let line = 0; line < lines; line++) {
      for (let i = 0, known = -RIM - 1, next = 0; i < length; i++) {
        for (; next < length && next <= i + RIM; next++) if (!from[line * lineStep + next * step]) known = next;
        to[line * lineStep + i * step] = known < i - RIM ? 1 : 0;
      }
    }
    return to;
  };
  return along(along(mask, width, 1, height, width), height, width, width, 1);
}

/** Returns a box around each connected part, wider by half its size and three rims on each side. */
function boxesOf(parts, width, height) {
  const left = parts.slice(); // those in no box yet
  const boxes = [];
  const side = (first, last, size) => {
    const margin = Math.floor((last + 1 - first) / 2) + 3 * RIM;
    return [Math.max(first - margin, 0), Math.min(last + 1 + margin, size)];
  };
  for (let begin = left.indexOf(1); begin >= 0; begin = left.indexOf(1, begin)) {
    let [x0, x1, y0, y1] = [width, 0, height, 0];
    const open = [begin];
    left[begin] = 0;
    while (open.length) {
      const at = open.pop();
      const [x, y] = [at % width, Math.floor(at / width)];
      [x0, x1, y0, y1] = [Math.min(x0, x), Math.max(x1, x), Math.min(y0, y), Math.max(y1, y)];
      for (let v = Math.max(y - 1, 0); v <= Math.min(y + 1, height - 1); v++) {
        for (let u = Math.max(x - 1, 0); u <= Math.min(x + 1, width - 1); u++) {
          if (left[v * width + u]) open.push(v * width + u);
          left[v * width + u] = 0;
        }
      }
    }
    const [[x, right], [y, bottom]] = [side(x0, x1, width), side(y0, y1, height)];
    boxes.push({ x, y, width: right - x, height: bottom - y });
  }
  return boxes;
}

/** Returns one channel of a box with its free values replaced by a smooth surface. */
function filledBox(values, free, width, height) {
  const plane = planeThrough(values, free, width, height);
  const rest = values.map((value, i) => (free[i] ? 0 : value - plane[i]));
  return solved(rest, free, width, height).map((value, i) => value + plane[i]);
}

/** Returns the linear function of the place that is nearest to the values that are not free. */
function planeThrough(values, free, width, height) {
  const known = Array.from(values.keys()).filter((i) => !free[i]);
  const column = (i) => i % width;
  const row = (i) => Math.floor(i / width);
  const mean = (of) => known.reduce((sum, i) => sum + of(i), 0) / known.length;
  const [x0, y0, v0] = [mean(column), mean(row), mean((i) => values[i])];
  const moment = (a, b) => mean((i) => a(i) * b(i));
  const [x, y, v] = [(i) => column(i) - x0, (i) => row(i) - y0, (i) => values[i] - v0];
  const least = 1e-9 * (width * width + height * height); // decides where the known ones are on one line
  const [xx, xy, yy] = [moment(x, x) + least, moment(x, y), moment(y, y) + least];
  const [xv, yv, size] = [moment(x, v), moment(y, v), xx * yy - xy * xy];
  const [right, down] = [(xv * yy - yv * xy) / size, (yv * xx - xv * xy) / size];
  return values.map((_, i) => v0 + right * x(i) + down * y(i));
}

// ---- the plate, by conjugate gradients whose every step is a sum of steps on all grids ----

/** Returns values of which the free ones, which come as 0, have nearly the least energy. */
function solved(values, free, width, height) {
  const grids = gridsOf(free, width, height);
  const rest = slopeOf(values, free, width, height).map((slope) => -slope);
  const x = values.slice();
  const direction = onAllGrids(rest, grids, TENSION);
  let size = product(rest, direction);
  const start = size;
  for (let step = 0; step < STEPS && size > 1e-12 * start; step++) {
    const change = slopeOf(direction, free, width, height);
    const length = size / product(direction, change);
    for (let i = 0; i < x.length; i++) {
      x[i] += length * direction[i];
      rest[i] -= length * change[i];
    }
    const next = onAllGrids(rest, grids, TENSION);
    const before = size;
    size = product(rest, next);
    for (let i = 0; i < x.length; i++) direction[i] = next[i] + (size / before) * direction[i];
  }
  return x;
}

function product(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/**
 * Returns the derivative, by the free values, of half the energy: the sum over both axes of |D f|^2 + tension |f|^2,
 * where f are the differences of neighbours along the axis.
 */
function slopeOf(x, free, width, height) {
  const slope = new Float32Array(x.length);
  for (const [w, h, step] of [[width - 1, height, 1], [width, height - 1, width]]) {
    const first = new Float32Array(w * h);
    const bent = new Float32Array(w * h); // the derivative by f
    for (let i = 0, row = 0; row < h; row++) {
      for (let at = row * width; at < row * width + w; at++, i++) {
        first[i] = x[at + step] - x[at];
        bent[i] = TENSION * first[i];
      }
    }
    for (let i = 0, row = 0; row < h; row++) {
      for (let column = 0; column < w; column++, i++) {
        const right = column + 1 < w ? first[i + 1] - first[i] : 0;
        const down = row + 1 < h ? first[i + w] - first[i] : 0;
        bent[i] -= right + down;
        if (column + 1 < w) bent[i + 1] += right;
        if (row + 1 < h) bent[i + w] += down;
      }
    }
    for (let i = 0, row = 0; row < h; row++) {
      for (let at = row * width; at < row * width + w; at++, i++) {
        slope[at] -= bent[i];
        slope[at + step] += bent[i];
      }
    }
  }
  for (let i = 0; i < slope.length; i++) slope[i] *= free[i];
  return slope;
}

/** Returns grids {free, width, height} of full, half, quarter... size, free where all that a pixel covers is free. */
function gridsOf(free, width, height) {
  const grids = [{ free, width, height }];
  for (let fine = grids[0]; Math.max(fine.width, fine.height) > 2 && fine.free.includes(1); fine = grids.at(-1)) {
    const [w, h] = [Math.ceil(fine.width / 2), Math.ceil(fine.height / 2)];
    const coarse = { free: new Float32Array(w * h).fill(1), width: w, height: h };
    fine.free.forEach((isFree, i) => {
      if (!isFree) coarse.free[(Math.floor(i / fine.width) >> 1) * w + ((i % fine.width) >> 1)] = 0;
    });
    grids.push(coarse);
  }
  return grids;
}

/** Returns the sum over grids of the rest on the grid, divided by the diagonal of its energy, and interpolated. */
function onAllGrids(rest, grids, tension, level = 0) {
  const step = rest.slice();
  for (let i = 0; i < step.length; i++) step[i] /= 20 + 4 * tension;
  if (level + 1 === grids.length) return step;
  const [fine, coarse] = [grids[level], grids[level + 1]];
  addDoubled(step, onAllGrids(gathered(rest, fine, coarse), grids, 4 * tension, level + 1), fine, coarse);
  return step;
}

/** Adds to the free values what lies between the centres of the pixels of the coarse grid. */
function addDoubled(values, added, fine, coarse) {
  const other = others(fine.width, coarse.width);
  others(fine.height, coarse.height).forEach((beyond, y) => {
    const [near, far] = [(y >> 1) * coarse.width, beyond * coarse.width];
    for (let x = 0, at = y * fine.width; x < fine.width; x++, at++) {
      if (!fine.free[at]) continue;
      const sides = added[near + other[x]] + added[far + (x >> 1)];
      values[at] += 0.5625 * added[near + (x >> 1)] + 0.1875 * sides + 0.0625 * added[far + other[x]];
    }
  });
}

/** Returns the adjoint of `addDoubled`, of the rest of the free pixels, in the units of the coarse grid. */
function gathered(rest, fine, coarse) {
  const sums = new Float32Array(coarse.free.length);
  const other = others(fine.width, coarse.width);
  others(fine.height, coarse.height).forEach((beyond, y) => {
    const [near, far] = [(y >> 1) * coarse.width, beyond * coarse.width];
    for (let x = 0, at = y * fine.width; x < fine.width; x++, at++) {
      if (!fine.free[at]) continue;
      sums[near + (x >> 1)] += 0.5625 * rest[at];
      sums[near + other[x]] += 0.1875 * rest[at];
      sums[far + (x >> 1)] += 0.1875 * rest[at];
      sums[far + other[x]] += 0.0625 * rest[at];
    }
  });
  // there are 4 times fewer squares, of second differences divided by 4
  for (let i = 0; i < sums.length; i++) sums[i] *= 4 * coarse.free[i];
  return sums;
}

/** Returns for each pixel along an axis the second nearest of the coarse grid, whose nearest is that at half its place. */
function others(size, coarse) {
  return Int32Array.from({ length: size }, (_, i) => Math.max(0, Math.min(coarse - 1, (i >> 1) + (i % 2 ? 1 : -1))));
}
