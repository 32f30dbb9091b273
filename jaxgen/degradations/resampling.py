"""Degradations that reduce resolution or colour; all are linear in the image."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxgen.errors import require
from jaxgen.types import Images, Levels, PRNGKey, per_image

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma (brightness) of ITU-R BT.601."""


def lower_resolution(images: Images, factor: Levels | Float[Array, "b k"]) -> Images:
    """Reduces each image by its own factor, by means of blocks, and enlarges it again by bicubic interpolation.

    The pixels of the coarse grid have the width `factor`, which may be any real number, and start in the upper left
    corner. The interpolation is Keys' with a = -1/2, cut off at the edges and normalised again. 1 is the identity.

    Args:
      images: (b, *spatial, c).
      factor: (b,), 1 or more; or (b, k), one for each of the k spatial axes.

    Returns:
      (b, *spatial, c), not clipped.
    """
    sizes = images.shape[1:-1]
    factors = jnp.broadcast_to(factor if factor.ndim == 2 else factor[:, None], (len(images), len(sizes)))
    first, *others = (_coarse_and_back(factors[:, i], size) for i, size in enumerate(sizes))
    new, old = "ijk"[: images.ndim - 2], "pqr"[: images.ndim - 2]
    matrices = "".join(f",b{i}{p}" for i, p in zip(new[1:], old[1:], strict=True))
    formula = f"b{new[0]}{old[0]},b{old}c{matrices}->b{new}c"
    return jnp.einsum(formula, first, images, *others, precision=lax.Precision.HIGHEST)


def thick_slices(key: PRNGKey, images: Images, thickness: Levels) -> Images:
    """Reduces the resolution along one axis, drawn for each volume, to that of thick slices; see `lower_resolution`.

    A slice is the mean of `thickness` voxels, and the slices are interpolated back to the grid.

    Args:
      key: random key of the axes.
      images: (b, *spatial, c).
      thickness: (b,) in voxels, 1 or more.

    Returns:
      (b, *spatial, c), not clipped.
    """
    num = images.ndim - 2
    across = jax.random.randint(key, (len(images), 1), 0, num, jnp.int32) == jnp.arange(num)[None]
    return lower_resolution(images, jnp.where(across, thickness[:, None], 1.0))


def _coarse_and_back(factor: Levels, size: int) -> Float[Array, "b n n"]:
    """Returns the matrices of `lower_resolution` along one axis; the coarse grid is stored with all `size` pixels."""
    factor = factor[:, None, None]
    fine = jnp.arange(size, dtype=jnp.float32)
    start = fine[None, :, None] * factor
    overlap = jnp.minimum(start + factor, fine[None, None, :] + 1.0) - jnp.maximum(start, fine[None, None, :])
    means = rows_sum_to_one(jnp.clip(overlap, 0.0, 1.0))
    place = (fine[None, :, None] + 0.5) / factor - 0.5
    inside = fine[None, None, :] * factor < size
    cubic = rows_sum_to_one(jnp.where(inside, keys_cubic(place - fine[None, None, :]), 0.0))
    return jnp.einsum("bij,bjk->bik", cubic, means, precision=lax.Precision.HIGHEST)


def rows_sum_to_one(weights: Float[Array, "b n m"]) -> Float[Array, "b n m"]:
    """Returns rows divided by their sums; a row of zeros, which is a pixel beyond the coarse grid, stays zero."""
    total = jnp.sum(weights, axis=2, keepdims=True)
    return weights / jnp.where(total == 0.0, 1.0, total)


def keys_cubic(x: Array) -> Array:
    """Returns Keys' cubic kernel with a = -1/2 at x."""
    x = jnp.abs(x)
    near = 1.0 + x * x * (1.5 * x - 2.5)
    far = 2.0 + x * (-4.0 + x * (2.5 - 0.5 * x))
    return jnp.where(x < 1.0, near, jnp.where(x < 2.0, far, 0.0))


def grey(images: Images, amount: Levels) -> Images:
    """Removes colour: x + amount (y - x), where y is the luma 0.299 R + 0.587 G + 0.114 B in all channels.

    Args:
      images: (b, *spatial, c); c is 3 or 1; one channel is returned unchanged.
      amount: (b,) in [0, 1].

    Returns:
      (b, *spatial, c).

    Raises:
      InputError: another number of channels.
    """
    c = images.shape[-1]
    require(c in (1, 3), "channels", c, "1 or 3")
    if c == 1:
        return images
    return images + per_image(amount, images) * (luma(images) - images)


def luma(images: Float[Array, "b *s 3"]) -> Float[Array, "b *s 1"]:
    """Returns the luma 0.299 R + 0.587 G + 0.114 B."""
    weights = jnp.array(LUMA, images.dtype).reshape(*(1,) * (images.ndim - 1), 3)
    return jnp.sum(images * weights, axis=-1, keepdims=True)
