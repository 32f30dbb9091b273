"""How far restored images are from clean ones: one value per image, the mean over its pixels and channels."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.types import Images

CHARBONNIER_EPSILON = 1e-3
"""Errors well below this, of an image in [-1, 1], count as their square, larger ones as they are."""


def l1(restored: Images, clean: Images) -> Float[Array, " b"]:
    """Mean absolute error, |x - y|.

    Args:
      restored: (b, h, w, c) in [-1, 1].
      clean: of the same shape.

    Returns:
      (b,).
    """
    return jnp.mean(jnp.abs(restored - clean), axis=(1, 2, 3))


def mse(restored: Images, clean: Images) -> Float[Array, " b"]:
    """Mean squared error, (x - y)^2. Arguments and result as of `l1`."""
    return jnp.mean(jnp.square(restored - clean), axis=(1, 2, 3))


def charbonnier(restored: Images, clean: Images) -> Float[Array, " b"]:
    """Mean of sqrt((x - y)^2 + e^2), e = `CHARBONNIER_EPSILON`. Arguments and result as of `l1`.

    References:
      Charbonnier et al., "Two deterministic half-quadratic regularization algorithms for computed imaging", 1994,
      table 1; Lai et al., "Deep Laplacian Pyramid Networks", 2017, equation 2.
    """
    return jnp.mean(jnp.sqrt(jnp.square(restored - clean) + CHARBONNIER_EPSILON**2), axis=(1, 2, 3))


RECONSTRUCTION_LOSSES: dict[str, Callable[[Images, Images], Float[Array, " b"]]] = {
    "charbonnier": charbonnier,
    "l1": l1,
    "mse": mse,
}
"""Losses by name."""
