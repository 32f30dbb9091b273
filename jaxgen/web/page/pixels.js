// Conversion between the pixels of a canvas (RGBA bytes) and arrays of a network (floats in [-1, 1], grey or RGB).

const LUMA = [0.299, 0.587, 0.114]; // ITU-R 601

/** Returns an ImageData for each image of an output {data, dims: [b, h, w, c]}, rounded to bytes and clipped. */
export function toImageData({ data, dims: [count, height, width, channels] }) {
  const size = height * width;
  return Array.from({ length: count }, (_, n) => {
    const image = new ImageData(width, height); // its array rounds and clips
    for (let i = 0; i < size; i++) {
      const from = (n * size + i) * channels;
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = 127.5 * (data[from + (channels === 1 ? 0 : c)] + 1);
      image.data[4 * i + 3] = 255;
    }
    return image;
  });
}

/** Returns a window of an ImageData as floats; beyond the image its last row and column are repeated. */
export function toFloats(image, channels, { x, y, width, height }) {
  const floats = new Float32Array(width * height * channels);
  let to = 0;
  for (let row = 0; row < height; row++) {
    const line = Math.min(y + row, image.height - 1) * image.width;
    for (let column = 0; column < width; column++) {
      const from = 4 * (line + Math.min(x + column, image.width - 1));
      for (let c = 0; c < channels; c++) floats[to++] = image.data[from + c] / 127.5 - 1;
    }
  }
  return floats;
}

/** Returns the same window of a mask (1 where a pixel is missing). */
export function cutMask(mask, size, { x, y, width, height }) {
  const floats = new Float32Array(width * height);
  let to = 0;
  for (let row = 0; row < height; row++) {
    const line = Math.min(y + row, size.height - 1) * size.width;
    for (let column = 0; column < width; column++) floats[to++] = mask[line + Math.min(x + column, size.width - 1)];
  }
  return floats;
}

/** Lets the browser save an ImageData as a PNG file. */
export async function savePng(image, name) {
  saveFile(await canvasOf(image).convertToBlob({ type: "image/png" }), name);
}

/** Lets the browser save a blob as a file. */
export function saveFile(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Returns a canvas with the pixels of an ImageData. */
export function canvasOf(image) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** Converts an ImageData to grey. */
export function greyInPlace({ data }) {
  for (let i = 0; i < data.length; i += 4) {
    data[i] = data[i + 1] = data[i + 2] = LUMA[0] * data[i] + LUMA[1] * data[i + 1] + LUMA[2] * data[i + 2];
  }
}

/** Returns whether an ImageData has no colours. */
export function isGrey({ data }) {
  for (let i = 0; i < data.length; i += 4) if (data[i] !== data[i + 1] || data[i] !== data[i + 2]) return false;
  return true;
}

/** Copies the colours of the tile of a window's result into an image. */
export function paste(image, result, { x, y, inner }) {
  for (let row = inner.y; row < inner.y + inner.height; row++) {
    let from = 4 * ((row - y) * result.width + (inner.x - x));
    let to = 4 * (row * image.width + inner.x);
    for (const end = to + 4 * inner.width; to < end; to += 4, from += 4) {
      for (let c = 0; c < 3; c++) image.data[to + c] = result.data[from + c];
    }
  }
}

/**
 * Returns an ImageData in which transparent pixels, whose colour a canvas forgets, have that of the last visible one
 * before them in their row, else of the first one after it, else of the row before or after; else the same ImageData.
 */
export function fillTransparent(image) {
  const { width, height } = image;
  const seen = new Uint8Array(width * height);
  for (let i = 0; i < seen.length; i++) seen[i] = image.data[4 * i + 3] > 0 ? 1 : 0;
  if (!seen.includes(0)) return image;
  const colours = new Uint32Array(image.data.slice().buffer);
  const sweep = (start, step, num) => {
    for (let i = start + step, n = 1; n < num; i += step, n++) {
      if (!seen[i] && seen[i - step]) [colours[i], seen[i]] = [colours[i - step], 1];
    }
  };
  for (let y = 0; y < height; y++) {
    sweep(y * width, 1, width);
    sweep((y + 1) * width - 1, -1, width);
  }
  for (let x = 0; x < width; x++) {
    sweep(x, width, height);
    sweep((height - 1) * width + x, -width, height);
  }
  return new ImageData(new Uint8ClampedArray(colours.buffer), width, height);
}
