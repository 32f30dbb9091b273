"""A first guess of missing pixels, from which a network starts: means of the known ones around, near before far.

References: Knutsson, Westin, "Normalized and Differential Convolution", 1993; Gortler et al., "The Lumigraph", 1996,
section 3.4 (coarser grids where nothing near is known).
"""

import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.networks.layers import binomial_blur, downsample, upsample
from jaxgen.types import Images, Masks

TRUST = 0.02
"""Weight of the coarser guess beside that of the known pixels near by."""


def suspects(images: Images) -> Masks:
    """1 where a pixel may be salt or pepper: all of its channels are at the ends of [-1, 1], or beyond them; else 0.

    Args:
      images: (b, h, w, c).

    Returns:
      (b, h, w, 1).
    """
    return jnp.all(jnp.abs(images) >= 1.0, axis=-1, keepdims=True).astype(images.dtype)


def fill(images: Images, known: Masks, levels: int) -> Images:
    """Pixels that are not known become (B(k x) + e U) / (B(k) + e), with B a blur of [1, 2, 1] / 4 along each axis.

    U is the same guess made of both, k x and k, on a grid of half the size; on the coarsest grid it is 0.

    Args:
      images: (b, h, w, c); what unknown pixels hold does not matter if it is finite.
      known: (b, h, w, 1), 1 where a pixel is known and 0 elsewhere.
      levels: grids in all; height and width are multiples of 2 ** (levels - 1).

    Returns:
      (b, h, w, c); known pixels unchanged, 0 where nothing within reach is known.
    """
    return jnp.where(known > 0.5, images, _guess(images * known, known, levels))


def reach(levels: int) -> int:
    """Pixels from which a filled pixel may take something, at most."""
    # three places of each grid to the next coarser one and back, and one for the blur of the coarsest
    return 3 * (2 ** (levels - 1) - 1) + 2 ** (levels - 1)


def _guess(values: Array, weights: Array, levels: int) -> Array:
    coarser = 0.0
    if levels > 1:
        coarser = TRUST * upsample(_guess(downsample(values), downsample(weights), levels - 1))
    return (binomial_blur(values) + coarser) / (binomial_blur(weights) + TRUST)
