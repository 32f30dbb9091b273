// The part of the page for a restorer of volumes: a file, its restoration, and slices of both.
import { find } from "./dom.js";
import { run } from "./engine.js";
import { openIntake, showProgress, showWorkbench } from "./intake.js";
import { saveFile } from "./pixels.js";
import { readVolume, writeVolume } from "./volume_files.js";
import { openVolumeView } from "./volume_view.js";

const UNKNOWN = -1; // level of a repair that the network is to find

/** Opens the part of the page for `model` (an entry of models.json); aborting `signal` removes its handlers. */
export async function openVolumeRestorer(model, say, signal) {
  const view = openVolumeView(find("scan"), signal, true);
  const { depth, height, width } = model.image;
  let file = null; // see readVolume
  let result = null; // shares
  let busy = Promise.resolve();
  let turn = 0; // number of the file; a result of an earlier one is dropped
  const on = (id, event, handler) => find(id).addEventListener(event, handler, { signal });

  async function take(blob, name) {
    const mine = ++turn;
    try {
      const read = await readVolume(await blob);
      if (depth && [depth, height, width].some((size, i) => size !== read.sizes[i])) {
        throw new Error(`it is of ${read.sizes.join(" × ")} voxels; accepted: ${depth} × ${height} × ${width}`);
      }
      if (mine !== turn || signal.aborted) return;
      [file, result] = [read, null];
    } catch (error) {
      return say(`${name} cannot be opened: ${error.message}`, true);
    }
    showWorkbench();
    view.show(file);
    find("download").disabled = true;
    say(`${name}, ${file.sizes.join(" × ")} voxels; ${round(file.low)} is black and ${round(file.high)} white.`);
    find("restore").focus({ preventScroll: true });
  }

  async function restore() {
    const [mine, given, began] = [turn, file, performance.now()];
    const dims = [1, ...given.sizes, 1];
    const { repairs } = model;
    showProgress(0, 1);
    find("restore").disabled = true;
    say(`Restoring ${given.sizes.join(" × ")} voxels`);
    try {
      const { restored } = await run({
        images: { data: given.data.map((share) => 2 * share - 1), dims },
        missing: { data: new Float32Array(given.data.length), dims },
        ...(repairs.length && { levels: { data: new Float32Array(repairs.length).fill(UNKNOWN), dims: [1, repairs.length] } }),
      });
      if (mine !== turn || signal.aborted) return;
      result = restored.data.map((value) => Math.min(1, Math.max(0, (value + 1) / 2)));
      view.show({ ...given, data: result }, given);
      find("download").disabled = false;
      say(`Restored in ${((performance.now() - began) / 1000).toFixed(1)} seconds.`);
    } catch (error) {
      if (!signal.aborted) say(`The volume could not be restored: ${error.message}`, true);
    } finally {
      showProgress(0, 0);
      find("restore").disabled = false;
    }
  }

  async function download() {
    saveFile(new Blob([await writeVolume(file, result)]), `restored${file.name}`);
    say(`Saved as restored${file.name}`);
  }

  on("restore", "click", () => (busy = restore()));
  on("download", "click", () => (busy = download()));
  openIntake(null, (blob, name) => (busy = take(blob, name)), signal, "volume");
  return { idle: () => busy, read: { volume: () => result, given: () => file?.data, take } };
}

const round = (value) => Number(value.toPrecision(4));
