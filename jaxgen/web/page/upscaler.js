// The part of the page for a network that enlarges: a picture, the factor, the result in tiles, and a divider between it
// and the bicubic enlargement.
import { find } from "./dom.js";
import { enlarge as enlargePlain, loadModel, run } from "./engine.js";
import { openIntake, readBitmap, showProgress, showWorkbench } from "./intake.js";
import { openStage } from "./stage.js";
import { fillTransparent, greyInPlace, isGrey, paste, savePng, toFloats, toImageData } from "./pixels.js";
import { enlarged, tiles } from "./tiling.js";

const MAX_PIXELS = 64_000_000; // of a result, whose bytes and canvases take about a gigabyte then
const TILE = 256; // size of a tile in pixels of the picture; its window is larger by the halo

/** Opens the part of the page for `model` (an entry of models.json); aborting `signal` removes its handlers. */
export async function openUpscaler(model, say, signal) {
  const { heads, halo, multiple } = model;
  const stage = openStage(signal, { before: "bicubic", after: "enlarged" });
  const chosen = openFactors(heads, () => [discard(), say("")], signal);
  let loaded = model.file; // the file of the network that the worker has
  let original = null; // ImageData
  let result = null; // ImageData
  let working = null; // AbortController of the current work
  let busy = Promise.resolve();
  const on = (id, event, handler) => find(id).addEventListener(event, handler, { signal });

  async function take(picture, name) {
    const bitmap = await readBitmap(picture, name, say);
    if (!bitmap || signal.aborted) return;
    const { width, height } = bitmap;
    if (isTooLarge(bitmap, heads[0].scale)) {
      say(`${name}: at ${heads[0].scale}× it has ${refusal(bitmap, heads[0].scale)}`, true);
      return bitmap.close();
    }
    original = pixelsOf(bitmap);
    bitmap.close();
    showWorkbench();
    discard();
    say(`${name}, ${width} × ${height} pixels.`);
    find("enlarge").focus({ preventScroll: true });
  }

  /** Discards the result, and shows the picture as it came. */
  function discard() {
    working?.abort();
    result = null;
    find("download").disabled = true;
    if (!original) return;
    stage.open(original.width, original.height);
    stage.showDamaged(original);
    stage.compare(false);
  }

  // ---- enlargement ----

  async function enlarge() {
    const [picture, { scale, file }, began] = [original, chosen(), performance.now()];
    if (isTooLarge(picture, scale)) return say(`At ${scale}× the picture has ${refusal(picture, scale)}`, true);
    discard();
    const control = (working = new AbortController());
    const stopped = () => control.signal.aborted || signal.aborted;
    showWorking(0, 1);
    say(`Enlarging ${picture.width} × ${picture.height} pixels`);
    try {
      if (loaded !== file) await loadModel({ model: file });
      loaded = file;
      if (stopped()) return;
      const plain = await enlargePlain(picture, scale);
      if (stopped()) return;
      const made = new ImageData(plain.data, plain.width, plain.height);
      stage.open(made.width, made.height);
      stage.showDamaged(made); // the canvas keeps it; from here on the tiles replace its colours
      if (!(await replaceColours(made, picture, scale, stopped))) return;
      result = made;
      stage.showRestored(result);
      stage.compare(true);
      find("download").disabled = false;
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      say(`Enlarged to ${made.width} × ${made.height} pixels in ${seconds} seconds. Move the divider to compare.`);
    } catch (error) {
      if (!stopped()) say(`The picture could not be enlarged: ${error.message}`, true);
    } finally {
      if (working === control) {
        working = null;
        showWorking(0, 0);
      }
    }
  }

  /** Puts what the network makes of a picture into `made`, whose alpha stays; returns false if it was stopped. */
  async function replaceColours(made, picture, scale, stopped) {
    const [given, grey] = [fillTransparent(picture), isGrey(picture)];
    const windows = tiles(picture.width, picture.height, { tile: TILE, halo, multiple });
    for (const [done, window] of windows.entries()) {
      const images = { data: toFloats(given, 3, window), dims: [1, window.height, window.width, 3] };
      const output = await run({ images });
      if (stopped()) return false;
      const [tile] = toImageData(output.enlarged);
      if (grey) greyInPlace(tile);
      paste(made, tile, enlarged(window, scale));
      showWorking(done + 1, windows.length);
    }
    return true;
  }

  function showWorking(done, total) {
    showProgress(done, total);
    find("enlarge").disabled = total > 0;
  }

  async function download() {
    await savePng(result, "enlarged.png");
    say("Saved as enlarged.png");
  }

  // ---- controls ----

  on("enlarge", "click", () => (busy = enlarge()));
  on("stop", "click", () => {
    discard();
    showWorking(0, 0);
    say("Stopped.");
  });
  on("download", "click", () => (busy = download()));
  on("actual", "change", () => stage.showActual(find("actual").checked));
  openIntake(model.example, (picture, name) => (busy = take(picture, name)), signal);
  stage.showActual((find("actual").checked = false));
  return { idle: () => busy, read: { picture: () => result, take } };
}

/** Shows a button for each factor, of which the first is chosen; returns a function that returns the chosen head. */
function openFactors(heads, onChange, signal) {
  const boxes = heads.map(({ scale }, i) => {
    const box = document.createElement("input");
    Object.assign(box, { type: "radio", name: "factor", id: `factor-${scale}`, checked: i === 0 });
    box.addEventListener("change", onChange, { signal });
    return box;
  });
  const labels = boxes.map((box, i) => {
    const label = document.createElement("label");
    label.append(box, `${heads[i].scale}×`);
    return label;
  });
  find("factors").replaceChildren(...labels);
  return () => heads[boxes.findIndex(({ checked }) => checked)];
}

const isTooLarge = ({ width, height }, scale) => width * height * scale ** 2 > MAX_PIXELS;

/** Returns the end of a line that refuses a picture. */
function refusal({ width, height }, scale) {
  const [wide, high] = [width, height].map((size) => scale * size);
  const megapixels = Math.ceil((wide * high) / 1e5) / 10;
  return `${wide} × ${high} pixels, ${megapixels} megapixels; accepted: results of at most ${MAX_PIXELS / 1e6} megapixels.`;
}

function pixelsOf(bitmap) {
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}
