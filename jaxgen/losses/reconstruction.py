"""How far restored images are from clean ones: one value per image, the mean over its pixels and channels."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.types import Images

CHARBONNIER_EPSILON = 1e-3
"""Errors well below this, of an image in [-1, 1], count as their square, larger ones as they are."""

PSNR_EPSILON = 1e-4
"""Keeps the weight of an image that is all but right finite: at 46 dB it is half of what it would be."""


def l1(restored: Images, clean: Images) -> Float[Array, " b"]:
    """Mean absolute error, |x - y|.

    Args:
      restored: (b, *spatial, c) in [-1, 1].
      clean: of the same shape.

    Returns:
      (b,).
    """
    return _mean(jnp.abs(restored - clean))


def mse(restored: Images, clean: Images) -> Float[Array, " b"]:
    """Mean squared error, (x - y)^2. Arguments and result as of `l1`."""
    return _mean(jnp.square(restored - clean))


def charbonnier(restored: Images, clean: Images) -> Float[Array, " b"]:
    """Mean of sqrt((x - y)^2 + e^2), e = `CHARBONNIER_EPSILON`. Arguments and result as of `l1`.

    References:
      Charbonnier et al., "Two deterministic half-quadratic regularization algorithms for computed imaging", 1994,
      table 1; Lai et al., "Deep Laplacian Pyramid Networks", 2017, equation 2.
    """
    return _mean(jnp.sqrt(jnp.square(restored - clean) + CHARBONNIER_EPSILON**2))


def negative_psnr(restored: Images, clean: Images) -> Float[Array, " b"]:
    """10 log10((mse + e) / 4), e = `PSNR_EPSILON`: an image that is nearly right counts as much as one far from it.

    The gradient of an image is that of its mean squared error divided by that error, so in a mixture of damage no kind
    is drowned by another whose errors are larger.

    References:
      Chen et al., "HINet: Half Instance Normalization Network for Image Restoration", 2021 (its PSNR loss).
    """
    return 10.0 * jnp.log10((mse(restored, clean) + PSNR_EPSILON) / 4.0)


def _mean(errors: Images) -> Float[Array, " b"]:
    """The mean over pixels and channels."""
    return jnp.mean(errors, axis=tuple(range(1, errors.ndim)))


RECONSTRUCTION_LOSSES: dict[str, Callable[[Images, Images], Float[Array, " b"]]] = {
    "charbonnier": charbonnier,
    "l1": l1,
    "mse": mse,
    "psnr": negative_psnr,
}
"""Losses by name."""
