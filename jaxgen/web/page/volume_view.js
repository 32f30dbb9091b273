// Volumes on the page: their slices, with a slider, and the surface, which turns.
import { find, showValue } from "./dom.js";
import { normalsOf, surfaceOf } from "./surface.js";

const TILT = 20; // degrees from which a surface is seen from above
const FRAMED = 1.4; // side of what the canvas shows, as a multiple of the volume's longest side
const TURN = 30; // degrees in a second
const LIGHT = [-0.5, -0.5, -0.7].map((part) => part / Math.hypot(0.5, 0.5, 0.7)); // to the right, down, away from the eye
const AXES = ["depth", "height", "width"];

/**
 * Shows volumes within the element `place`; `compares` for two sets of slices, before and after. Returns `show` of a
 * volume {data: shares in [0, 1], sizes: [d, h, w], spacing} and, to compare, the one before; and its `surface`.
 */
export function openVolumeView(place, signal, compares = false) {
  let [volume, before, surface] = [null, null, null];
  let [angle, tilt, frame, held] = [0, TILT, 0, null];
  const on = (id, event, handler) => find(id).addEventListener(event, handler, { signal });
  place.prepend(find("volume"));
  find("volume").hidden = false;
  find("slice-before").parentElement.hidden = !compares;
  find("slice-name").hidden = !compares;
  signal.addEventListener("abort", () => {
    cancelAnimationFrame(frame);
    find("volume").hidden = true;
  });

  function show(shown, earlier = null) {
    [volume, before] = [shown, earlier];
    surface = surfaceOf(volume);
    showAxis(volume.sizes[Number(find("slice-axis").value)] >> 1);
    showSurface();
  }

  // ---- slices ----

  function showAxis(index) {
    const last = volume.sizes[Number(find("slice-axis").value)] - 1;
    find("slice").max = last;
    find("slice").value = Math.min(index, last);
    showSlices();
  }

  function showSlices() {
    const [axis, index] = [Number(find("slice-axis").value), Number(find("slice").value)];
    showValue("slice", `${index + 1} of ${volume.sizes[axis]}`);
    paintSlice(find("slice-after"), volume, axis, index);
    if (compares) paintSlice(find("slice-before"), before ?? volume, axis, index);
  }

  on("slice", "input", showSlices);
  on("slice-axis", "change", () => showAxis(volume.sizes[Number(find("slice-axis").value)] >> 1));

  // ---- the surface ----

  function showSurface() {
    find("surface").classList.toggle("empty", surface.faces.length === 0);
    const began = performance.now();
    paintSurface(find("surface"), surface, volume, angle, tilt);
    return performance.now() - began;
  }

  function turnOn() {
    let [last, rest] = [performance.now(), 0];
    const step = (now) => {
      frame = requestAnimationFrame(step);
      if (held || !volume || now - last < rest) return;
      angle += (TURN * Math.min(200, now - last)) / 1000;
      last = now;
      rest = 2 * showSurface(); // leaves time for all else
    };
    frame = requestAnimationFrame(step);
    showTurning();
  }

  function stop() {
    cancelAnimationFrame(frame);
    frame = 0;
    showTurning();
  }

  function showTurning() {
    find("turn").textContent = frame ? "Stop turning" : "Turn";
    find("turn").setAttribute("aria-pressed", frame > 0);
  }

  function turnBy(right, up) {
    angle += right;
    tilt = Math.min(90, Math.max(-90, tilt + up));
    if (volume) showSurface();
  }

  on("turn", "click", () => (frame ? stop() : turnOn()));
  on("surface", "pointerdown", (event) => {
    find("surface").setPointerCapture(event.pointerId);
    held = [event.clientX, event.clientY];
  });
  on("surface", "pointermove", ({ clientX: x, clientY: y }) => {
    if (!held) return;
    turnBy((held[0] - x) / 2, (y - held[1]) / 2);
    held = [x, y];
  });
  for (const event of ["pointerup", "pointercancel"]) on("surface", event, () => (held = null));
  on("surface", "keydown", (event) => {
    const way = { ArrowLeft: [10, 0], ArrowRight: [-10, 0], ArrowUp: [0, -10], ArrowDown: [0, 10] }[event.key];
    if (!way) return;
    event.preventDefault();
    turnBy(...way);
  });
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) showTurning();
  else turnOn();
  return { show, surface: () => surface };
}

/** Returns the volumes of an output {data, dims: [b, d, h, w, 1]} in [-1, 1]. */
export function toVolumes({ data, dims: [count, ...sizes] }) {
  const size = data.length / count;
  return Array.from({ length: count }, (_, n) => ({
    sizes: sizes.slice(0, 3),
    data: data.slice(n * size, (n + 1) * size).map((value) => Math.min(1, Math.max(0, (value + 1) / 2))),
  }));
}

/** Returns pictures {data, dims: [b, h, w, 1]} of an output of volumes: its greatest values along the depth. */
export function projected({ data, dims: [count, d, h, w] }) {
  const [flat, size] = [new Float32Array(count * h * w).fill(-1), h * w];
  for (let i = 0; i < data.length; i++) {
    const at = Math.floor(i / (d * size)) * size + (i % size);
    if (data[i] > flat[at]) flat[at] = data[i];
  }
  return { data: flat, dims: [count, h, w, 1] };
}

/** Paints the slice `index` across an axis in grey. */
function paintSlice(canvas, { data, sizes, spacing = [1, 1, 1] }, axis, index) {
  const [row, column] = [0, 1, 2].filter((other) => other !== axis);
  const steps = [sizes[1] * sizes[2], sizes[2], 1];
  const image = new ImageData(sizes[column], sizes[row]);
  for (let y = 0, to = 0; y < sizes[row]; y++) {
    for (let x = 0; x < sizes[column]; x++, to += 4) {
      const share = data[index * steps[axis] + y * steps[row] + x * steps[column]];
      image.data.fill(255 * share, to, to + 3);
      image.data[to + 3] = 255;
    }
  }
  Object.assign(canvas, { width: image.width, height: image.height });
  canvas.style.aspectRatio = `${image.width * spacing[column]} / ${image.height * spacing[row]}`;
  canvas.setAttribute("aria-label", `Slice picture across ${AXES[axis]}`);
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Paints a surface as jaxgen/volumes/pictures.py does: at angle 0 along d, with h downwards and w to the right. */
export function paintSurface(canvas, surface, { sizes, spacing = [1, 1, 1] }, angle, tilt) {
  const { width: side } = canvas;
  const [picture, depths] = [new ImageData(side, side), new Float32Array(side * side).fill(Infinity)];
  const { places, greys } = seen(surface, sizes, spacing, angle, tilt, side);
  for (let i = 0; i < surface.faces.length; i += 3) {
    fillTriangle(picture, depths, places, greys, surface.faces.subarray(i, i + 3));
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

/** Returns where the points of a surface are in a picture, (x, y, depth) each, and how light they are. */
function seen(surface, sizes, spacing, angle, tilt, side) {
  const [scales, middle] = [[...spacing].reverse(), [...sizes].reverse().map((size) => (size - 1) / 2)]; // along x, y, z
  const longest = Math.max(...sizes.map((size, i) => (size + 2) * spacing[i])); // with the border in which it closes
  const pixels = side / (FRAMED * longest);
  const [a, t] = [angle, tilt].map((degrees) => (degrees * Math.PI) / 180);
  const turned = ([x, y, z]) => {
    const [right, away] = [x * Math.cos(a) + z * Math.sin(a), z * Math.cos(a) - x * Math.sin(a)];
    return [right, y * Math.cos(t) - away * Math.sin(t), y * Math.sin(t) + away * Math.cos(t)];
  };
  const normals = normalsOf(surface);
  const [places, greys] = [new Float32Array(surface.points.length), new Float32Array(surface.points.length / 3)];
  for (let i = 0; i < surface.points.length; i += 3) {
    const [x, y, z] = turned([0, 1, 2].map((k) => (surface.points[i + k] - middle[k]) * scales[k]));
    places.set([side / 2 + pixels * x, side / 2 + pixels * y, z], i);
    const normal = turned([0, 1, 2].map((k) => normals[i + k] / scales[k]));
    const length = Math.hypot(...normal) || 1;
    const light = Math.max(0, normal.reduce((sum, part, k) => sum + (part * LIGHT[k]) / length, 0));
    greys[i / 3] = 255 * (0.12 + 0.58 * light + 0.22 * Math.min(1, Math.max(0, 0.5 - z / (1.73 * longest))));
  }
  return { places, greys };
}

/** Paints a triangle where nothing nearer was painted. */
function fillTriangle({ data, width: side }, depths, places, greys, [a, b, c]) {
  const [ax, ay, bx, by, cx, cy] = [a, b, c].flatMap((i) => [places[3 * i], places[3 * i + 1]]);
  const area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
  if (area === 0) return;
  const within = (value) => Math.min(side - 1, Math.max(0, value));
  const [left, right] = [within(Math.ceil(Math.min(ax, bx, cx))), within(Math.floor(Math.max(ax, bx, cx)))];
  const [top, bottom] = [within(Math.ceil(Math.min(ay, by, cy))), within(Math.floor(Math.max(ay, by, cy)))];
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const p = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area; // shares of the corners
      const q = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area;
      if (p < 0 || q < 0 || p + q > 1) continue;
      const [r, at] = [1 - p - q, y * side + x];
      const depth = p * places[3 * a + 2] + q * places[3 * b + 2] + r * places[3 * c + 2];
      if (depth >= depths[at]) continue;
      depths[at] = depth;
      data.fill(p * greys[a] + q * greys[b] + r * greys[c], 4 * at, 4 * at + 3);
      data[4 * at + 3] = 255;
    }
  }
}
