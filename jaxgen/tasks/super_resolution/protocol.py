"""The protocol of published super-resolution: how small images arise, and how results are compared with originals.

The original is cut to multiples of the factor. The small image is that of MATLAB's bicubic reduction, rounded to 8
bits, and so is the result. Colour is compared by its luma Y in 16 to 235, which is not rounded; a grey image as it is.
As many pixels as the factor are left out on each side. Or the small image is damaged as photographs are, from fixed
seeds; no published table does so.
"""

from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float64, UInt8

from jaxgen.degradations.second_order import second_order
from jaxgen.metrics.quality import WINDOW, psnr, ssim
from jaxgen.tasks.super_resolution.bicubic import resize_bicubic_array

Pixels = UInt8[np.ndarray, "h w c"]
"""An image of 8 bits, grey (c = 1) or RGB (c = 3)."""
Resized = UInt8[np.ndarray, "y x c"]
"""The same with other sizes than those of the image that it was made of."""
LUMA = (65.481, 128.553, 24.966)
"""Weights of red, green and blue in Y - 16, for values in 0 to 1 (ITU-R BT.601)."""
PHOTO_SIZE, MARGIN = 216, 2
"""Pixels of an original along both axes that are damaged like a photograph; small ones that are cut off each side."""
BEST = 100.0
"""PSNR in dB that equal images are given, so that a mean stays finite."""


class Score(NamedTuple):
    """PSNR in dB with a peak of 255, and SSIM, of the luma."""

    psnr: float
    ssim: float


def least_size(scale: int) -> int:
    """Returns the height and width in pixels that an original needs, so that SSIM's window fits between the borders."""
    return scale * (2 + 2 * MARGIN + -(-WINDOW // scale))


def cut_to_multiple(pixels: Pixels, scale: int) -> Resized:
    """Returns the image without its last rows and columns, so that its sizes are multiples of `scale`."""
    height, width = (size // scale * scale for size in pixels.shape[:2])
    return pixels[:height, :width]


def reduced(original: Pixels, scale: int, seed: int = 0) -> tuple[Resized, Pixels]:
    """Returns the small image of an original whose sizes are multiples of `scale`, and the original; no seed counts."""
    del seed
    height, width = (size // scale for size in original.shape[:2])
    return rounded(resize_bicubic_array(original.astype(np.float64), (height, width))), original


def reduced_as_photo(original: Pixels, scale: int, seed: int) -> tuple[Resized, UInt8[np.ndarray, "p q c"]]:
    """Returns a small image that is damaged as `second_order` draws it, and the pixels of the original that it shows.

    These are the middle `PHOTO_SIZE` pixels at most, so that few programs are compiled.

    Args:
      original: an image whose sizes are multiples of `scale`.
      scale: the factor.
      seed: determines the damage.
    """
    tall, wide = (min(size, PHOTO_SIZE // scale * scale) for size in original.shape[:2])
    top, left = (original.shape[0] - tall) // 2, (original.shape[1] - wide) // 2
    middle = original[top : top + tall, left : left + wide]
    images = middle[None] / np.float32(127.5) - np.float32(1)
    small = np.asarray(_as_photo(jax.random.key(seed), images, scale))[0]
    cut = (slice(MARGIN * scale, -MARGIN * scale),) * 2
    return rounded((small + 1.0) * 127.5), middle[cut]


@partial(jax.jit, static_argnums=2)
def _as_photo(key: jax.Array, images: jax.Array, scale: int) -> jax.Array:
    return second_order(key, images, scale, MARGIN)


def rounded(values: np.ndarray) -> UInt8[np.ndarray, "..."]:
    """Returns values of any shape, rounded to the nearest whole number and clipped to 8 bits."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def luma(pixels: Pixels) -> Float64[np.ndarray, "h w 1"]:
    """Returns Y of an RGB image, 16 to 235, or a grey image as it is."""
    values = pixels.astype(np.float64)
    return values if pixels.shape[-1] == 1 else 16.0 + values @ np.array(LUMA)[:, None] / 255.0


def compare(enlarged: Pixels, original: Pixels, scale: int) -> Score:
    """Returns the score of an enlarged image.

    Args:
      enlarged: the result.
      original: of the same shape, as `cut_to_multiple` returns it.
      scale: the factor; so many pixels are left out on each side.
    """
    inner = (slice(scale, -scale),) * 2
    both = [luma(pixels)[inner][None] / 255.0 for pixels in (enlarged, original)]
    return Score(min(BEST, float(psnr(*both)[0])), float(ssim(*both)[0]))
