// The surface of a volume by marching cubes (Lorensen, Cline 1987), and its file. A volume is {data, sizes: [d, h, w]},
// shares in [0, 1]; a point is x, y, z along w, h, d, in voxels.

const LEVEL = 0.5; // share at which the surface lies
const NEAR = 1e-3; // values as near as this to the level are moved below it, lest triangles have no area

/** Returns for each set of corners inside, as bits, the loops of the cube's edges that the surface crosses, in order. */
function cases() {
  const axes = [0, 1, 2]; // corner i has x = i & 1, y = (i >> 1) & 1, z = i >> 2
  const faces = axes.flatMap((axis) => [0, 1].map((side) => {
    const [u, v] = [(axis + 1) % 3, (axis + 2) % 3];
    const corners = [[0, 0], [1, 0], [1, 1], [0, 1]].map(([i, j]) => (side << axis) | (i << u) | (j << v));
    return side ? corners : corners.reverse(); // counter-clockwise from outside
  }));
  const between = (a, b) => 8 * Math.min(a, b) + Math.log2(a ^ b); // name of an edge: its first corner, and its axis
  return Array.from({ length: 256 }, (_, inside) => {
    const next = new Map(); // on a face: from where its corners inside end to where they begin, each of two apart
    for (const face of faces) {
      const is = (i) => (inside >> face[i % 4]) & 1;
      for (let i = 0; i < 4; i++) {
        if (is(i) || !is(i + 1)) continue;
        let end = i + 1;
        while (is(end + 1)) end++;
        next.set(between(face[i % 4], face[(i + 1) % 4]), between(face[end % 4], face[(end + 1) % 4]));
      }
    }
    const loops = [];
    while (next.size) {
      const loop = [];
      for (let [edge] = next.keys(); next.has(edge); ) {
        loop.push(edge);
        const after = next.get(edge);
        next.delete(edge);
        edge = after;
      }
      loops.push(loop);
    }
    return loops;
  });
}

const CASES = cases();

/** Returns {points, faces}: points of three numbers, faces of three points, counter-clockwise from outside; closed. */
export function surfaceOf({ data, sizes }) {
  const [d, h, w] = sizes.map((size) => size + 2); // with a border of zeros, in which the surface closes
  const shares = new Float32Array(d * h * w);
  for (let z = 1, from = 0; z < d - 1; z++) {
    for (let y = 1; y < h - 1; y++, from += w - 2) shares.set(data.subarray(from, from + w - 2), (z * h + y) * w + 1);
  }
  for (let i = 0; i < shares.length; i++) if (Math.abs(shares[i] - LEVEL) < NEAR) shares[i] = LEVEL - NEAR;
  const steps = [1, w, h * w];
  const offset = (corner) => (corner & 1) + ((corner >> 1) & 1) * w + (corner >> 2) * h * w;
  const offsets = Array.from({ length: 8 }, (_, corner) => offset(corner));
  const numbers = new Int32Array(3 * shares.length); // of the point on the edge from a voxel along an axis, from 1
  const [points, faces] = [[], []];
  const pointOn = (voxel, axis) => {
    if (numbers[3 * voxel + axis]) return numbers[3 * voxel + axis] - 1;
    const [from, to] = [shares[voxel], shares[voxel + steps[axis]]];
    const place = [voxel % w, Math.floor(voxel / w) % h, Math.floor(voxel / (h * w))];
    place[axis] += (LEVEL - from) / (to - from);
    points.push(...place.map((value) => value - 1));
    return (numbers[3 * voxel + axis] = points.length / 3) - 1;
  };
  for (let z = 0; z < d - 1; z++) for (let y = 0; y < h - 1; y++) for (let x = 0; x < w - 1; x++) {
    const voxel = (z * h + y) * w + x;
    let inside = 0;
    for (let corner = 0; corner < 8; corner++) if (shares[voxel + offsets[corner]] > LEVEL) inside |= 1 << corner;
    for (const loop of CASES[inside]) {
      const found = loop.map((edge) => pointOn(voxel + offsets[edge >> 3], edge & 7));
      for (let i = 2; i < found.length; i++) faces.push(found[0], found[i - 1], found[i]);
    }
  }
  return { points: Float32Array.from(points), faces: Uint32Array.from(faces) };
}

/** Returns a unit vector outwards for each point: the mean of its faces, weighted by their areas. */
export function normalsOf({ points, faces }) {
  const normals = new Float32Array(points.length);
  for (let i = 0; i < faces.length; i += 3) {
    const cross = crossOf(points, faces, i);
    for (let j = 0; j < 3; j++) for (let k = 0; k < 3; k++) normals[3 * faces[i + j] + k] += cross[k];
  }
  for (let i = 0; i < normals.length; i += 3) {
    const length = Math.hypot(normals[i], normals[i + 1], normals[i + 2]) || 1;
    for (let k = 0; k < 3; k++) normals[i + k] /= length;
  }
  return normals;
}

/** Returns a binary STL file. */
export function stlBytes({ points, faces }) {
  const view = new DataView(new ArrayBuffer(84 + (faces.length / 3) * 50));
  view.setUint32(80, faces.length / 3, true);
  for (let i = 0, at = 84; i < faces.length; i += 3, at += 50) {
    const cross = crossOf(points, faces, i);
    const length = Math.hypot(...cross) || 1;
    const corners = [0, 1, 2].flatMap((j) => [...points.subarray(3 * faces[i + j], 3 * faces[i + j] + 3)]);
    [...cross.map((value) => value / length), ...corners].forEach((value, k) => view.setFloat32(at + 4 * k, value, true));
  }
  return new Uint8Array(view.buffer);
}

/** Returns the normal of the face at `i`, twice as long as its area is large. */
function crossOf(points, faces, i) {
  const [a, b, c] = [0, 1, 2].map((j) => 3 * faces[i + j]);
  const [x, y, z] = [0, 1, 2].map((k) => points[b + k] - points[a + k]);
  const [p, q, r] = [0, 1, 2].map((k) => points[c + k] - points[a + k]);
  return [y * r - z * q, z * p - x * r, x * q - y * p];
}
