// Runs the network, and what else takes long, in a worker thread, so that the page never freezes.
//   {id, load: {network: address of an .onnx file}, runtime: address of the folder ort/}  ->  {id, result}
//   {id, run: {name: {data, dims}}, network}              ->  {id, result: {name: {data, dims}}}
//   {id, enlarge: {data, width, height}, scale}           ->  {id, result: see enlargeBicubic}
//   {id, fill: {data, width, height}, mask}               ->  {id, result: see fillLargeHoles}
// While a model is loading the worker sends {id, loaded, total} in bytes; an error is {id, error}.
import { enlargeBicubic } from "./bicubic.js";
import { fillLargeHoles } from "./holes.js";
import * as ort from "./ort/ort.js";

let sessions = {}; // by network: model, estimator

async function load({ id, load: addresses, runtime }) {
  ort.env.wasm.wasmPaths = { mjs: `${runtime}runtime.js`, wasm: `${runtime}runtime.wasm` };
  // Threads need shared memory, which a page has only where its server sends COOP and COEP.
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;
  const files = {};
  for (const [network, address] of Object.entries(addresses)) {
    const watch = (loaded, total) => network === "model" && self.postMessage({ id, loaded, total });
    files[network] = await download(address, watch);
  }
  for (const session of Object.values(sessions)) await session.release();
  sessions = {};
  for (const [network, file] of Object.entries(files)) {
    sessions[network] = await ort.InferenceSession.create(file, { executionProviders: ["wasm"] });
  }
  const { inputNames: inputs, outputNames: outputs } = sessions.model;
  return { inputs, outputs, threads: ort.env.wasm.numThreads };
}

async function download(address, watch) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: the server answered ${response.status}`);
  const total = Number(response.headers.get("content-length"));
  const parts = [];
  let loaded = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    watch((loaded += value.length), total);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function run({ run: feeds, network }) {
  const tensors = {};
  for (const [name, { data, dims }] of Object.entries(feeds)) {
    tensors[name] = new ort.Tensor(data instanceof Int32Array ? "int32" : "float32", data, dims);
  }
  const results = await sessions[network].run(tensors);
  return Object.fromEntries(Object.entries(results).map(([name, { data, dims }]) => [name, { data, dims: [...dims] }]));
}

const answer = (message) => {
  if (message.load) return load(message);
  if (message.enlarge) return enlargeBicubic(message.enlarge, message.scale);
  return message.fill ? fillLargeHoles(message.fill, message.mask) : run(message);
};

let queue = Promise.resolve(); // requests run one after another, in their order

self.onmessage = ({ data: message }) => {
  queue = queue.then(async () => {
    try {
      self.postMessage({ id: message.id, result: await answer(message) });
    } catch (error) {
      self.postMessage({ id: message.id, error: String(error?.message ?? error) });
    }
  });
};
