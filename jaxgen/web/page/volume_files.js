// Files of volumes: NIfTI-1 (.nii, .nii.gz) and .npy, read and written again with the same header.

const LARGEST = 160 ** 3; // voxels that a browser restores
const KINDS = {
  u1: "Uint8", i1: "Int8", u2: "Uint16", i2: "Int16", u4: "Uint32", i4: "Int32", f4: "Float32", f8: "Float64", b1: "Uint8",
};
const CODES = { 2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4" }; // of NIfTI
const ACCEPTED = "accepted: one volume (d, h, w) in a .nii, .nii.gz or .npy file";

/**
 * Returns the volume of a file: sizes [d, h, w], data (shares in [0, 1]), spacing [d, h, w], and what `writeVolume`
 * needs. Throws an error of one line for all else.
 */
export async function readVolume(blob) {
  let bytes = new Uint8Array(await blob.arrayBuffer());
  const packed = bytes[0] === 0x1f && bytes[1] === 0x8b;
  try {
    if (packed) bytes = await through(bytes, new DecompressionStream("gzip"));
  } catch {
    throw new Error(`its gzip data are damaged; ${ACCEPTED}`);
  }
  const isNpy = bytes[0] === 0x93 && text(bytes, 1, 6) === "NUMPY";
  const file = { slope: 1, inter: 0, spacing: [1, 1, 1], packed, bytes, ...(isNpy ? npyHeader(bytes) : niftiHeader(bytes)) };
  const { sizes, kind, start } = file;
  if (sizes.some((size) => size < 2)) throw new Error(`it is of shape ${sizes.join(" × ")}; ${ACCEPTED}`);
  const count = sizes.reduce((product, size) => product * size);
  if (count > LARGEST) {
    throw new Error(`${sizes.join(" × ")} voxels are too large for a browser; accepted: ${LARGEST.toLocaleString("en")} voxels`);
  }
  if (start + count * Number(kind[1]) > bytes.length) throw new Error(`it ends too early; ${ACCEPTED}`);
  return { ...file, name: isNpy ? ".npy" : packed ? ".nii.gz" : ".nii", ...shares(valuesOf(file, count), file) };
}

/** Returns the file of a volume that was read, with other shares. */
export async function writeVolume(file, data) {
  const { bytes, start, kind, little, slope, inter, low, high } = file;
  const whole = bytes.slice(0, start + data.length * Number(kind[1]));
  const view = new DataView(whole.buffer);
  const [set, isWhole] = [`set${KINDS[kind]}`, !kind.startsWith("f")];
  const limits = { u: [0, 256 ** kind[1] - 1], i: [-(256 ** kind[1]) / 2, 256 ** kind[1] / 2 - 1], b: [0, 1] }[kind[0]];
  for (let i = 0; i < data.length; i++) {
    const number = (low + data[i] * (high - low) - inter) / slope;
    const stored = isWhole ? Math.min(limits[1], Math.max(limits[0], Math.round(number))) : number;
    view[set](start + i * Number(kind[1]), stored, little);
  }
  return file.packed ? through(whole, new CompressionStream("gzip")) : whole;
}

/** Returns a NIfTI file of bytes, with voxels of 1 mm. */
export function niftiBytes(bytes, [d, h, w]) {
  const whole = new Uint8Array(352 + bytes.length);
  const view = new DataView(whole.buffer);
  view.setInt32(0, 348, true);
  [3, w, h, d, 1, 1, 1, 1].forEach((size, i) => view.setInt16(40 + 2 * i, size, true));
  view.setInt16(70, 2, true); // the type, of 8 bits
  view.setInt16(72, 8, true);
  for (let i = 0; i < 4; i++) view.setFloat32(76 + 4 * i, 1, true); // distances
  view.setFloat32(108, 352, true); // start
  view.setFloat32(112, 1, true); // slope
  view.setUint8(123, 2); // millimetres
  view.setInt16(254, 2, true); // the place is that of the identity:
  [0, 5, 10].forEach((i) => view.setFloat32(280 + 4 * i, 1, true));
  whole.set([..."n+1"].map((letter) => letter.charCodeAt(0)), 344);
  whole.set(bytes, 352);
  return whole;
}

const text = (bytes, from, to) => String.fromCharCode(...bytes.subarray(from, to));

async function through(bytes, stream) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
}

function niftiHeader(bytes) {
  if (bytes.length < 352) throw new Error(`it is no NIfTI or NumPy file; ${ACCEPTED}`);
  const view = new DataView(bytes.buffer);
  const little = view.getInt32(0, true) === 348;
  if ([540, 0x1c020000].includes(view.getInt32(0, true))) throw new Error("it is a NIfTI-2 file; accepted: NIfTI-1");
  if ((!little && view.getInt32(0) !== 348) || text(bytes, 344, 347) !== "n+1") {
    throw new Error(`it is no NIfTI or NumPy file; ${ACCEPTED}`);
  }
  const dims = Array.from({ length: 8 }, (_, i) => view.getInt16(40 + 2 * i, little));
  const shape = dims.slice(1, 1 + dims[0]);
  if (dims[0] < 3 || shape.slice(3).some((size) => size !== 1)) {
    throw new Error(`it has ${dims[0]} axes (${shape.join(" × ")}); ${ACCEPTED}`);
  }
  const kind = CODES[view.getInt16(70, little)];
  if (!kind) throw new Error(`it holds colours or numbers of type ${view.getInt16(70, little)}; accepted: one real number a voxel`);
  const [slope, inter] = [112, 116].map((at) => view.getFloat32(at, little));
  return {
    sizes: shape.slice(0, 3).reverse(),
    spacing: [3, 2, 1].map((i) => Math.abs(view.getFloat32(76 + 4 * i, little)) || 1),
    kind,
    little,
    start: view.getFloat32(108, little),
    ...(slope && Number.isFinite(slope) && { slope, inter }),
  };
}

function npyHeader(bytes) {
  const view = new DataView(bytes.buffer);
  const start = bytes[6] === 1 ? 10 + view.getUint16(8, true) : 12 + view.getUint32(8, true);
  const header = text(bytes, 10, start);
  const [, order, kind] = /'descr': '([<>|])(\w\d)'/.exec(header) ?? [];
  const shape = (/'shape': \(([\d, ]*)\)/.exec(header)?.[1] ?? "").split(",").filter((part) => part.trim()).map(Number);
  if (!KINDS[kind]) throw new Error("it holds numbers of another type; accepted: one real number a voxel");
  if (header.includes("'fortran_order': True")) throw new Error("its first axis runs fastest; accepted: arrays in C order");
  if (shape.length === 4 && shape[3] === 1) shape.pop();
  if (shape.length !== 3) throw new Error(`it has ${shape.length} axes (${shape.join(" × ")}); ${ACCEPTED}`);
  return { sizes: shape, kind, little: order !== ">", start };
}

function valuesOf({ bytes, kind, little, start, slope, inter }, count) {
  const view = new DataView(bytes.buffer);
  const get = `get${KINDS[kind]}`;
  return Float32Array.from({ length: count }, (_, i) => inter + slope * view[get](start + i * Number(kind[1]), little));
}

/** Returns the values that become black and white, as jaxgen/volumes/levels.py chooses them, and the shares of these. */
function shares(values, { kind, slope, inter }) {
  let [least, greatest] = [Infinity, -Infinity];
  for (const value of values) {
    if (!Number.isFinite(value)) throw new Error("it has values that are infinite or not a number; accepted: finite values");
    least = Math.min(least, value);
    greatest = Math.max(greatest, value);
  }
  const isBytes = kind === "u1" && slope === 1 && inter === 0;
  const [low, high] = least >= 0 && greatest <= 1 ? [0, 1] : isBytes ? [0, 255] : [least, greatest];
  return { low, high, data: values.map((value) => (high > low ? (value - low) / (high - low) : 0)) };
}
