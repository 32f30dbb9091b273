"""Lost resolution and lost colour; all of it is linear in the image."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxgen.errors import require
from jaxgen.types import Images

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma of ITU-R BT.601."""


def downsample_area(images: Images, factor: int) -> Float[Array, "b p q c"]:
    """The mean of each block of `factor` x `factor` pixels.

    Args:
      images: (b, h, w, c).
      factor: 1 or more; h and w are multiples of it.

    Returns:
      (b, h / factor, w / factor, c).

    Raises:
      InputError: a factor that does not divide both sizes.
    """
    b, h, w, c = images.shape
    _require_factor(factor, h, w)
    return jnp.mean(images.reshape(b, h // factor, factor, w // factor, factor, c), axis=(2, 4))


def downsample_bicubic(images: Images, factor: int) -> Float[Array, "b p q c"]:
    """Bicubic reduction with a = -1/2, the kernel widened by `factor` against aliasing, cut and renormalised at edges.

    Args:
      images: (b, h, w, c).
      factor: 1 or more; h and w are multiples of it.

    Returns:
      (b, h / factor, w / factor, c), not clipped.

    Raises:
      InputError: a factor that does not divide both sizes.

    References:
      Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981, equation 15.
    """
    b, h, w, c = images.shape
    _require_factor(factor, h, w)
    return _bicubic(images, (b, h // factor, w // factor, c))


def upsample_bicubic(images: Images, factor: int) -> Float[Array, "b p q c"]:
    """Bicubic enlargement with a = -1/2.

    Args:
      images: (b, h, w, c).
      factor: 1 or more.

    Returns:
      (b, h * factor, w * factor, c), not clipped.

    Raises:
      InputError: a factor below 1.
    """
    b, h, w, c = images.shape
    require(factor >= 1, "factor", factor, "1 or more")
    return _bicubic(images, (b, h * factor, w * factor, c))


def _bicubic(images: Images, shape: tuple[int, ...]) -> Array:
    return jax.image.resize(images, shape, "cubic", antialias=True, precision=lax.Precision.HIGHEST)


def _require_factor(factor: int, h: int, w: int) -> None:
    accepted = f"a divisor of the image's sizes, {h} and {w}"
    require(factor >= 1 and h % factor == 0 and w % factor == 0, "factor", factor, accepted)


def lower_resolution(images: Images, factor: Float[Array, "b"]) -> Images:
    """Reduces each image by a factor of its own and enlarges it back: means of squares, then bicubic interpolation.

    The coarse grid has pixels of `factor` x `factor`, starting in the upper left corner; any real factor will do. For
    one that divides the image's sizes this is `upsample_bicubic` of `downsample_area`; 1 is the identity.

    Args:
      images: (b, h, w, c).
      factor: (b,), 1 or more.

    Returns:
      (b, h, w, c), not clipped.
    """
    _, h, w, _ = images.shape
    rows, columns = _coarse_and_back(factor, h), _coarse_and_back(factor, w)
    return jnp.einsum("bip,bpqc,bjq->bijc", rows, images, columns, precision=lax.Precision.HIGHEST)


def _coarse_and_back(factor: Float[Array, "b"], size: int) -> Float[Array, "b n n"]:
    """Matrices of `lower_resolution` along one axis; the coarse grid has room for all `size` pixels."""
    factor = factor[:, None, None]
    fine = jnp.arange(size, dtype=jnp.float32)
    start = fine[None, :, None] * factor
    overlap = jnp.minimum(start + factor, fine[None, None, :] + 1.0) - jnp.maximum(start, fine[None, None, :])
    means = _rows_sum_to_one(jnp.clip(overlap, 0.0, 1.0))
    place = (fine[None, :, None] + 0.5) / factor - 0.5
    inside = fine[None, None, :] * factor < size
    cubic = _rows_sum_to_one(jnp.where(inside, _keys(place - fine[None, None, :]), 0.0))
    return jnp.einsum("bij,bjk->bik", cubic, means, precision=lax.Precision.HIGHEST)


def _rows_sum_to_one(weights: Float[Array, "b n m"]) -> Float[Array, "b n m"]:
    """Rows divided by their sums; a row of zeros, a pixel beyond the coarse grid, stays one."""
    total = jnp.sum(weights, axis=2, keepdims=True)
    return weights / jnp.where(total == 0.0, 1.0, total)


def _keys(x: Array) -> Array:
    """Keys' cubic kernel, a = -1/2."""
    x = jnp.abs(x)
    near = 1.0 + x * x * (1.5 * x - 2.5)
    far = 2.0 + x * (-4.0 + x * (2.5 - 0.5 * x))
    return jnp.where(x < 1.0, near, jnp.where(x < 2.0, far, 0.0))


def grey(images: Images, amount: Float[Array, "b"]) -> Images:
    """Takes the colour out: x + amount (y - x), where y is the luma 0.299 R + 0.587 G + 0.114 B in all channels.

    Args:
      images: (b, h, w, c); c is 3, or 1, which is left alone.
      amount: (b,) in [0, 1].

    Returns:
      (b, h, w, c).

    Raises:
      InputError: another number of channels.
    """
    c = images.shape[3]
    require(c in (1, 3), "channels", c, "1 or 3")
    if c == 1:
        return images
    return images + amount[:, None, None, None] * (luma(images) - images)


def luma(images: Float[Array, "b h w 3"]) -> Float[Array, "b h w 1"]:
    """0.299 R + 0.587 G + 0.114 B."""
    return jnp.sum(images * jnp.array(LUMA, images.dtype)[None, None, None], axis=3, keepdims=True)
