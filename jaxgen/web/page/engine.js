// The page's interface to worker.js, with promises in place of messages.

const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
const waiting = new Map();
let count = 0;

worker.onmessage = ({ data: { id, result, error, loaded, total } }) => {
  const { resolve, reject, watch } = waiting.get(id);
  if (loaded !== undefined) return watch?.(loaded, total);
  waiting.delete(id);
  error === undefined ? resolve(result) : reject(new Error(error));
};

worker.onerror = () => {
  for (const { reject } of waiting.values()) reject(new Error("the worker that computes could not start"));
  waiting.clear();
};

function ask(message, watch, transfer = []) {
  const id = count++;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject, watch });
    worker.postMessage({ id, ...message }, transfer);
  });
}

/**
 * Loads the networks {model: file, estimator: file, if there is one} in place of the last ones; `watch` gets the bytes
 * loaded of the model and, if known, the total.
 */
export function loadModel(files, watch) {
  const from = (path) => new URL(path, document.baseURI).href;
  const addresses = Object.entries(files).map(([network, path]) => [network, from(path)]);
  return ask({ load: Object.fromEntries(addresses), runtime: from("ort/") }, watch);
}

/** Returns outputs {name: {data, dims}} of a network for inputs of this form, whose arrays are transferred. */
export function run(feeds, network = "model") {
  return ask({ run: feeds, network }, undefined, Object.values(feeds).map(({ data }) => data.buffer));
}

/** Returns {data, width, height} of the bicubic enlargement of a picture by a whole factor; see bicubic.js. */
export function enlarge({ data, width, height }, scale) {
  return ask({ enlarge: { data, width, height }, scale });
}

/** Returns {data, width, height, mask} of a picture after the middle of its large holes was filled; see holes.js. */
export function fillHoles({ data, width, height }, mask) {
  return ask({ fill: { data, width, height }, mask });
}
