"""Reconstruction losses of restored images, one value per image, the mean over its pixels and channels."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.types import Images

CHARBONNIER_EPSILON = 1e-3
"""Errors far below this value, in images in [-1, 1], enter as squares, larger ones as absolute values."""

PSNR_EPSILON = 1e-4
"""Keeps the gradient of an almost perfect image finite: at 46 dB it is half of what it would be."""


def l1(restored: Images, clean: Images) -> Float[Array, " b"]:
    """Returns the mean absolute error |x - y|.

    Args:
      restored: (b, *spatial, c) in [-1, 1].
      clean: of the same shape.

    Returns:
      (b,).
    """
    return _mean(jnp.abs(restored - clean))


def mse(restored: Images, clean: Images) -> Float[Array, " b"]:
    """Returns the mean squared error (x - y)^2; see `l1`."""
    return _mean(jnp.square(restored - clean))


def charbonnier(restored: Images, clean: Images) -> Float[Array, " b"]:
    """Returns the mean of sqrt((x - y)^2 + e^2) with e = `CHARBONNIER_EPSILON`; see `l1`.

    References:
      Charbonnier et al., "Two deterministic half-quadratic regularization algorithms for computed imaging", 1994,
      table 1; Lai et al., "Deep Laplacian Pyramid Networks", 2017, equation 2.
    """
    return _mean(jnp.sqrt(jnp.square(restored - clean) + CHARBONNIER_EPSILON**2))


def negative_psnr(restored: Images, clean: Images) -> Float[Array, " b"]:
    """Returns 10 log10((mse + e) / 4) with e = `PSNR_EPSILON`; see `l1`.

    The gradient of an image is that of its mean squared error divided by the error itself. So all kinds of damage in a
    mixture have equal weight, however large their errors are.

    References:
      Chen et al., "HINet: Half Instance Normalization Network for Image Restoration", 2021 (its PSNR loss).
    """
    return 10.0 * jnp.log10((mse(restored, clean) + PSNR_EPSILON) / 4.0)


def _mean(errors: Images) -> Float[Array, " b"]:
    """Returns the mean over pixels and channels."""
    return jnp.mean(errors, axis=tuple(range(1, errors.ndim)))


RECONSTRUCTION_LOSSES: dict[str, Callable[[Images, Images], Float[Array, " b"]]] = {
    "charbonnier": charbonnier,
    "l1": l1,
    "mse": mse,
    "psnr": negative_psnr,
}
"""Losses by name."""
