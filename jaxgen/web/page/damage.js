// Damage to restore: blur, then noise, then salt and pepper, then JPEG. The same picture and levels give the same damage.
import { normals, uniforms } from "./latents.js";
import { canvasOf } from "./pixels.js";

/**
 * @param image ImageData.
 * @param levels {blur: standard deviation in pixels, noise: standard deviation in 0..255, salt: share of pixels 0..1}.
 * @returns a new ImageData.
 */
export function damage(image, { blur, noise, salt }, grey) {
  const result = new ImageData(Uint8ClampedArray.from(image.data), image.width, image.height);
  if (blur > 0) gaussianBlur(result, blur);
  if (noise > 0) addNoise(result.data, noise, grey);
  if (salt > 0) saltAndPepper(result.data, salt);
  return result;
}

/** Returns an ImageData as it looks after it was saved as a JPEG file of this quality, 1 to 99, by this browser. */
export async function throughJpeg(image, quality) {
  const blob = await canvasOf(image).convertToBlob({ type: "image/jpeg", quality: quality / 100 });
  const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
  context.drawImage(await createImageBitmap(blob), 0, 0);
  return context.getImageData(0, 0, image.width, image.height);
}

/** Blurs rows, then columns; pixels of the edge are repeated beyond it. */
function gaussianBlur({ data, width, height }, sigma) {
  const radius = Math.ceil(3 * sigma);
  const weights = Array.from({ length: 2 * radius + 1 }, (_, i) => Math.exp(-((i - radius) ** 2) / (2 * sigma ** 2)));
  const total = weights.reduce((sum, weight) => sum + weight);
  const pass = (from, length, step, lines, lineStep) => {
    const to = new Float32Array(from.length);
    for (let line = 0; line < lines; line++) {
      for (let i = 0; i < length; i++) {
        for (let k = -radius; k <= radius; k++) {
          const source = line * lineStep + Math.min(length - 1, Math.max(0, i + k)) * step;
          const weight = weights[k + radius] / total;
          for (let c = 0; c < 3; c++) to[line * lineStep + i * step + c] += weight * from[source + c];
        }
      }
    }
    return to;
  };
  const blurred = pass(pass(data, width, 4, height, 4 * width), height, 4 * width, width, 4);
  for (let i = 0; i < data.length; i++) if (i % 4 < 3) data[i] = blurred[i];
}

const kept = { count: 0, values: null }; // the noise of the last picture, since drawing it takes longest

function addNoise(data, sigma, grey) {
  if (kept.count !== data.length) Object.assign(kept, { count: data.length, values: Float32Array.from(normals(1, data.length)) });
  for (let i = 0; i < data.length; i += 4) {
    for (let c = 0; c < 3; c++) data[i + c] += sigma * kept.values[grey ? i : i + c];
  }
}

function saltAndPepper(data, share) {
  const uniform = uniforms(2);
  for (let i = 0; i < data.length; i += 4) {
    const u = uniform();
    if (u < share) data.fill(u < share / 2 ? 0 : 255, i, i + 3);
  }
}
