"""Bicubic resizing to any size as MATLAB's `imresize` does it, which is the protocol of published super-resolution.

Pillow and `jax.image.resize` treat the borders of an image otherwise.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from jaxgen.errors import require
from jaxgen.types import Images


class Taps(NamedTuple):
    """What the new pixels along an axis are weighted sums of.

    Attributes:
      index: the old pixels of each new one.
      weights: their weights.
    """

    index: Int[np.ndarray, "n k"]
    weights: Float[np.ndarray, "n k"]


def bicubic_taps(old: int, new: int) -> Taps:
    """Returns the old pixels that each new pixel is a weighted sum of, and their weights, along one axis.

    The kernel is Keys' with a = -1/2. Where the axis shrinks it is widened against aliasing. Beyond the borders the
    image is mirrored, its edge pixel repeated.

    Args:
      old: number of pixels, 1 or more.
      new: number of pixels after the resizing, 1 or more.

    Returns:
      Indices and weights of k taps for each of n = `new` pixels; weights sum to 1.

    Raises:
      InputError: a size below 1.

    References:
      Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981, equation 15.
    """
    for field, size in (("old", old), ("new", new)):
        require(size >= 1, field, size, "1 or more")
    scale = new / old
    shrink = min(scale, 1.0)
    places = (np.arange(new) + 0.5) / scale - 0.5
    taps = math.ceil(4.0 / shrink) + 2
    first = np.floor(places - 2.0 / shrink).astype(int)
    index = first[:, None] + np.arange(taps)
    weights = keys_kernel(shrink * (places[:, None] - index))
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = np.mod(index, 2 * old)
    index = np.where(mirrored < old, mirrored, 2 * old - 1 - mirrored)
    used = np.flatnonzero((weights != 0.0).any(axis=0))
    return Taps(index[:, used], weights[:, used])


def keys_kernel(x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Returns Keys' cubic kernel with a = -1/2 at x, of any shape."""
    x = np.abs(x)
    near = 1.0 + x * x * (1.5 * x - 2.5)
    far = 2.0 + x * (-4.0 + x * (2.5 - 0.5 * x))
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def bicubic_matrix(old: int, new: int) -> Float[np.ndarray, "n m"]:
    """Returns the matrix (new, old) of `bicubic_taps`, float32."""
    index, weights = bicubic_taps(old, new)
    matrix = np.zeros((new, old))
    np.add.at(matrix, (np.arange(new)[:, None], index), weights)
    return matrix.astype(np.float32)


def resize_bicubic(images: Images, sizes: tuple[int, ...]) -> Float[Array, "b *p c"]:
    """Returns images or volumes of other sizes, within jit and for small images; see `resize_bicubic_array`.

    Args:
      images: (b, *spatial, c).
      sizes: the new spatial sizes.

    Returns:
      (b, *sizes, c), not clipped.
    """
    for axis, new in enumerate(sizes, 1):
        matrix = jnp.asarray(bicubic_matrix(images.shape[axis], new), images.dtype)
        moved = jnp.tensordot(matrix, images, axes=(1, axis), precision=lax.Precision.HIGHEST)
        images = jnp.moveaxis(moved, 0, axis)
    return images


def resize_bicubic_array(image: np.ndarray, sizes: tuple[int, int]) -> Float[np.ndarray, "h w c"]:
    """Returns one image of another size; the work for each pixel does not depend on the size of the image.

    Args:
      image: (h, w, c), of any number type.
      sizes: the new height and width.

    Returns:
      (*sizes, c), not clipped or rounded; float64 for float64, else float32.
    """
    return resize_by_taps(image, tuple(bicubic_taps(*pair) for pair in zip(image.shape, sizes, strict=False)))


def resize_by_taps(image: np.ndarray, taps: tuple[Taps, Taps]) -> Float[np.ndarray, "y x c"]:
    """Returns an image whose pixels are weighted sums of those of another one.

    Args:
      image: (h, w, c), of any number type.
      taps: indices and weights for the new rows, and for the new columns; see `bicubic_taps`.

    Returns:
      (y, x, c), of the new rows and columns, not clipped or rounded; float64 for float64, else float32.
    """
    dtype = np.float64 if image.dtype == np.float64 else np.float32
    for axis, (index, weights) in sorted(enumerate(taps), key=lambda pair: len(pair[1][0]) / image.shape[pair[0]]):
        weights = weights.astype(dtype)[(slice(None), slice(None), *(None,) * (2 - axis))]
        total = np.zeros((*image.shape[:axis], len(index), *image.shape[axis + 1 :]), dtype)
        for tap in range(index.shape[1]):
            total += weights[:, tap] * np.take(image, index[:, tap], axis=axis)
        image = total
    return image
