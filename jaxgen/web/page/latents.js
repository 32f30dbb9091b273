// Latents from a seed, and changes to them. All functions are pure and compute in float64.

/**
 * Returns a generator of uniform 32-bit integers, sfc32. Its state starts as a = seed, b = 0x9e3779b9, c = 0x243f6a88,
 * d = 1, and the first 16 results are skipped. All sums are modulo 2^32. One step: t = a + b + d; d = d + 1;
 * a = b ^ (b >>> 9); b = c + (c << 3); c = ((c << 21) | (c >>> 11)) + t; the result is t.
 */
export function integers(seed) {
  let [a, b, c, d] = [seed >>> 0, 0x9e3779b9, 0x243f6a88, 1];
  const next = () => {
    const t = (a + b + d) >>> 0;
    d = (d + 1) >>> 0;
    a = (b ^ (b >>> 9)) >>> 0;
    b = (c + (c << 3)) >>> 0;
    c = (((c << 21) | (c >>> 11)) + t) >>> 0;
    return t;
  };
  for (let i = 0; i < 16; i++) next();
  return next;
}

/** Returns a generator of uniform numbers in (0, 1): (integer + 0.5) / 2^32. */
export function uniforms(seed) {
  const next = integers(seed);
  return () => (next() + 0.5) / 4294967296;
}

/**
 * Returns `count` standard normal numbers from a seed, by the Box-Muller method: a pair u, v of uniform numbers gives
 * sqrt(-2 ln u) cos(2 pi v) and sqrt(-2 ln u) sin(2 pi v), in this order.
 */
export function normals(seed, count) {
  const uniform = uniforms(seed);
  const values = new Float64Array(count + 1);
  for (let i = 0; i < count; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(uniform()));
    const angle = 2 * Math.PI * uniform();
    values[i] = radius * Math.cos(angle);
    values[i + 1] = radius * Math.sin(angle);
  }
  return values.slice(0, count);
}

export const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);

/** Interpolates from x (t = 0) to y (t = 1): directions along the arc between them, lengths linearly. */
export function slerp(x, y, t) {
  const [lengthX, lengthY] = [Math.sqrt(dot(x, x)), Math.sqrt(dot(y, y))];
  const angle = Math.acos(Math.min(1, Math.max(-1, dot(x, y) / (lengthX * lengthY))));
  const length = lengthX + t * (lengthY - lengthX);
  const [p, q] = angle < 1e-6 ? [1 - t, t] : [Math.sin((1 - t) * angle), Math.sin(t * angle)].map((s) => s / Math.sin(angle));
  return x.map((value, i) => length * ((p * value) / lengthX + (q * y[i]) / lengthY));
}

/** Returns `latents` with components along some orthonormal `directions` set; moves is {index: component}. */
export function move(latents, directions, moves) {
  const moved = Float64Array.from(latents);
  for (const [index, component] of Object.entries(moves)) {
    const direction = directions[index];
    const change = component - dot(latents, direction);
    for (let i = 0; i < moved.length; i++) moved[i] += change * direction[i];
  }
  return moved;
}

/**
 * Returns the latents of a state: those of a seed, or between two seeds, times the truncation (Karras et al. 2019), with
 * components set by sliders.
 */
export function latentsOf({ seed, to, at, truncation, moves }, directions, count) {
  const start = normals(seed, count);
  const drawn = to === null ? start : slerp(start, normals(to, count), at);
  return move(drawn.map((value) => truncation * value), directions, moves);
}
