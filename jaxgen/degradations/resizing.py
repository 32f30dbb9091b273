"""Changes of size, to another one for each image of a batch, whose pixels stay in a canvas of one size."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxgen.degradations.resampling import keys_cubic, rows_sum_to_one
from jaxgen.types import Images, Levels

AREA, LINEAR, CUBIC = 0, 1, 2
"""Methods of `resize_matrices`."""


def resize_matrices(
    old: Levels, new: Levels, canvas: tuple[int, int], method: Int[Array, "b"], smooth: Bool[Array, "b"]
) -> Float[Array, "b n m"]:
    """Returns matrices that change the size along one axis; both sizes cover the same extent, so nothing moves.

    The centre of pixel i of the new grid is at (i + 1/2) old / new - 1/2 in the old one. At the edges of an image a
    filter is cut off and normalised again. Rows beyond the new size repeat its last pixel.

    Args:
      old: (b,) sizes before, whole numbers up to the old canvas.
      new: (b,) sizes after, whole numbers from 1.
      canvas: m and n, the pixels stored of the old and of the new grid.
      method: (b,) `AREA`, the mean of the old pixels that a new one covers; `LINEAR`; or `CUBIC`, Keys' with a = -1/2.
      smooth: (b,) whether the latter two widen their filter when they reduce, against aliasing.

    Returns:
      (b, n, m), rows of sum 1.
    """
    old, new = old[:, None, None], new[:, None, None]
    method, smooth = method[:, None, None], smooth[:, None, None]
    pixel = jnp.arange(canvas[0], dtype=jnp.float32)[None, None]
    start = jnp.minimum(jnp.arange(canvas[1], dtype=jnp.float32)[None, :, None], new - 1.0)
    ratio = old / new
    overlap = jnp.minimum((start + 1.0) * ratio, pixel + 1.0) - jnp.maximum(start * ratio, pixel)
    distance = (start + 0.5) * ratio - 0.5 - pixel
    distance = distance / jnp.where(smooth, jnp.maximum(ratio, 1.0), 1.0)
    linear = jnp.maximum(1.0 - jnp.abs(distance), 0.0)
    weights = jnp.where(method == LINEAR, linear, keys_cubic(distance))
    weights = jnp.where(method == AREA, jnp.clip(overlap, 0.0, 1.0), weights)
    return rows_sum_to_one(jnp.where(pixel < old, weights, 0.0))


def resize(images: Images, rows: Float[Array, "b n h"], columns: Float[Array, "b m w"]) -> Array:
    """Returns images (b, h, w, c) with a matrix applied to each axis: (b, n, m, c), not clipped."""
    return jnp.einsum("bih,bhwc,bjw->bijc", rows, images, columns, precision=lax.Precision.HIGHEST)
