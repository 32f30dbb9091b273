// The part of the page for a restorer: a picture, its damage, its restoration in tiles, and a divider between both.
import { damage, throughJpeg } from "./damage.js";
import { find, showValue } from "./dom.js";
import { fillHoles, run } from "./engine.js";
import { openIntake, readBitmap, showProgress, showWorkbench } from "./intake.js";
import { levelsOf, windowsOf } from "./levels.js";
import { openStage } from "./stage.js";
import { openRepairs } from "./repairs.js";
import { cutMask, greyInPlace, paste, savePng, toFloats, toImageData } from "./pixels.js";
import { tiles } from "./tiling.js";

const MAX_PIXELS = 1_500_000; // larger pictures are scaled down, since restoring them takes too long
const NO_JPEG = 100; // the value of the JPEG slider that means no JPEG
const TILE = 384; // size of a tile in pixels; its window is larger by the halo

/** Opens the part of the page for `model` (an entry of models.json); aborting `signal` removes its handlers. */
export async function openRestorer(model, say, signal) {
  const { channels } = model.image;
  const stage = openStage(signal, { before: "damaged", after: "restored" }, model.fills, () => touched());
  const asked = openRepairs(model.repairs, () => touched(), signal);
  let original = null; // ImageData
  let damaged = null; // ImageData, without the marks of the brush
  let result = null; // ImageData
  let working = null; // AbortController of the current restoration
  let busy = Promise.resolve();
  const on = (id, event, handler) => find(id).addEventListener(event, handler, { signal });
  const levels = () => ({
    blur: Number(find("blur").value),
    noise: Number(find("noise").value),
    salt: Number(find("salt").value) / 100,
    jpeg: Number(find("jpeg").value),
  });
  const undamaged = () => {
    for (const id of ["blur", "noise", "salt"]) find(id).value = 0;
    find("jpeg").value = NO_JPEG;
  };
  let damaging = Promise.resolve(); // the damage that is being done
  let turn = 0; // its number

  // ---- a picture ----

  async function take(picture, name) {
    const bitmap = await readBitmap(picture, name, say);
    if (!bitmap || signal.aborted) return;
    working?.abort();
    original = fit(bitmap, model.image);
    if (channels === 1) greyInPlace(original);
    const [from, now] = [bitmap, original].map(({ width, height }) => `${width} × ${height}`);
    bitmap.close();
    showWorkbench();
    undamaged();
    stage.open(original.width, original.height);
    redamage();
    say(from === now ? `${name}, ${now} pixels.` : `${name} was scaled from ${from} to ${now} pixels.`);
    find("restore").focus({ preventScroll: true });
  }

  function redamage() {
    damaging = damageNow().catch((error) => say(`The picture could not be damaged: ${error.message}`, true));
  }

  async function damageNow() {
    const [mine, { jpeg }] = [++turn, levels()];
    let made = damage(original, levels(), channels === 1);
    if (jpeg < NO_JPEG) {
      made = await throughJpeg(made, jpeg);
      if (mine !== turn || signal.aborted) return; // the sliders have moved on
      if (channels === 1) greyInPlace(made);
    }
    damaged = made;
    stage.showDamaged(damaged);
    touched();
  }

  /** Discards the result after a change of the damage. */
  function touched() {
    working?.abort();
    result = null;
    stage.compare(false);
    find("download").disabled = true;
    const { jpeg, ...others } = levels();
    const isDamaged = jpeg < NO_JPEG || Object.values(others).some((level) => level > 0);
    find("clear").disabled = !(stage.isPainted() || isDamaged);
    showLevels();
  }

  function showLevels() {
    const { blur, noise, salt, jpeg } = levels();
    showValue("brush", `${find("brush").value} px`);
    showValue("noise", `${noise} of 255`);
    showValue("blur", `${blur.toFixed(1)} px`);
    showValue("salt", `${Math.round(100 * salt)}%`);
    showValue("jpeg", jpeg < NO_JPEG ? `${jpeg}` : "off");
  }

  // ---- restoration ----

  async function restore() {
    await damaging;
    const [image, mask, wanted, began] = [damaged, stage.mask(), asked(), performance.now()];
    if (isNothing(wanted) && !mask.includes(1)) return say("All repairs are off, so the picture stays as it is.");
    const control = (working = new AbortController());
    const stopped = () => control.signal.aborted || signal.aborted;
    const { multiple, halo } = model;
    const windows = tiles(image.width, image.height, { tile: model.image.height ? Infinity : TILE, halo, multiple });
    const restored = new ImageData(Uint8ClampedArray.from(image.data), image.width, image.height);
    showWorking(0, windows.length);
    try {
      const told = await seenLevels(image, wanted);
      if (stopped()) return;
      const fillsAlone = isNothing(told);
      if (fillsAlone && !mask.includes(1)) return say("Nothing to repair is seen, so the picture stays as it is.");
      const given = await fillHoles(image, mask);
      if (stopped()) return;
      for (const [done, window] of windows.entries()) {
        const output = await run(feeds(given, told, window));
        if (stopped()) return;
        const [tile] = toImageData(output.restored);
        paste(restored, tile, window);
        showWorking(done + 1, windows.length);
      }
      if (fillsAlone) keepKnown(restored, image, mask);
      result = restored;
      stage.showRestored(restored);
      stage.compare(true);
      find("download").disabled = false;
      const words = model.estimator ? describe(told) : "";
      say(`Restored in ${((performance.now() - began) / 1000).toFixed(1)} seconds${words}. Move the divider to compare.`);
    } catch (error) {
      if (!stopped()) say(`The picture could not be restored: ${error.message}`, true);
    } finally {
      if (working === control) {
        working = null;
        showWorking(0, 0);
      }
    }
  }

  const isNothing = (levels) => levels.length > 0 && levels.every((level) => level === 0);

  /** Returns the wanted levels, with those that are seen in the picture where the model comes with an estimator. */
  async function seenLevels(image, wanted) {
    if (!model.estimator || isNothing(wanted)) return wanted;
    const { repairs, channels: shown } = model.estimator;
    const windows = windowsOf(image, shown);
    const { found } = await run({ images: { ...windows, data: windows.data.slice() } }, "estimator");
    const seen = levelsOf(found, windows, repairs);
    return wanted.map((level, i) => (level === 0 ? 0 : Math.max(level, seen[model.repairs[i]] ?? level)));
  }

  /** Returns what was seen, in words. */
  function describe(told) {
    const [noise, jpeg] = ["noise", "jpeg"].map((name) => told[model.repairs.indexOf(name)]);
    const words = [
      noise > 0 && `noise of about ${Math.round(255 * noise)}/255`,
      jpeg > 0 && `JPEG quality of about ${Math.round(100 - 100 * jpeg)}`,
    ].filter(Boolean);
    return words.length ? `: ${words.join(", ")}` : "";
  }

  function feeds(image, told, window) {
    const dims = [1, window.height, window.width];
    return {
      images: { data: toFloats(image, channels, window), dims: [...dims, channels] },
      missing: { data: cutMask(image.mask, image, window), dims: [...dims, 1] },
      ...(told.length && { levels: { data: told.slice(), dims: [1, told.length] } }),
    };
  }

  function showWorking(done, total) {
    showProgress(done, total);
    find("restore").disabled = total > 0;
    if (total > 0 && done === 0) say(`Restoring ${original.width} × ${original.height} pixels`);
  }

  async function download() {
    await savePng(result, "restored.png");
    say("Saved as restored.png");
  }

  // ---- controls ----

  on("restore", "click", () => (busy = restore()));
  on("stop", "click", () => {
    working?.abort();
    showWorking(0, 0);
    say("Stopped.");
  });
  on("download", "click", () => (busy = download()));
  on("clear", "click", () => {
    undamaged();
    stage.clear();
    redamage();
    say("The added damage and the painted areas are cleared.");
  });
  for (const id of ["blur", "noise", "salt", "jpeg"]) {
    let frame = 0;
    on(id, "input", () => {
      showLevels();
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(redamage);
    });
  }
  on("brush", "input", () => {
    showLevels();
    stage.setBrush(Number(find("brush").value));
  });
  openIntake(model.example, (picture, name) => (busy = take(picture, name)), signal);
  showLevels();
  const read = { damaged: () => damaged, missing: () => stage.mask(), picture: () => result, take };
  return { idle: async () => [await busy, await damaging], read };
}

/** Returns a bitmap as ImageData on white, scaled down or, for a network of one size, scaled and cut to that size. */
function fit(bitmap, { width: fixedWidth, height: fixedHeight }) {
  const scale = fixedWidth
    ? Math.max(fixedWidth / bitmap.width, fixedHeight / bitmap.height)
    : Math.min(1, Math.sqrt(MAX_PIXELS / (bitmap.width * bitmap.height)));
  const [scaledWidth, scaledHeight] = [bitmap.width, bitmap.height].map((size) => Math.max(1, Math.round(size * scale)));
  const [width, height] = [fixedWidth ?? scaledWidth, fixedHeight ?? scaledHeight];
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (width - scaledWidth) / 2, (height - scaledHeight) / 2, scaledWidth, scaledHeight);
  return context.getImageData(0, 0, width, height);
}

/** Puts the pixels of `image` back where nothing is missing. */
function keepKnown(restored, image, mask) {
  for (let i = 0; i < mask.length; i++) {
    if (!mask[i]) restored.data.set(image.data.subarray(4 * i, 4 * i + 4), 4 * i);
  }
}
