"""The initial fill of missing pixels, from which a restorer starts: a smooth surface through the known pixels.

References: Knutsson, Westin, "Normalized and Differential Convolution", 1993; Gortler et al., "The Lumigraph", 1996,
section 3.4 (coarser grids where no pixel near by is known).
"""

import functools

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxgen.networks.extent import last_from
from jaxgen.networks.layers import binomial_blur, downsample, upsample
from jaxgen.types import GUESSED, Images, Masks

SMOOTHING = 8
"""Smoothing steps. With 50 and 80% missing they gain 1.7 and 1.0 dB over the mean alone; more gain hardly anything."""
MOMENTUM = 0.6
ISOLATED_SHARE = 0.25
"""With none of the opposite colour near by, a black or white pixel is suspected below this share of its own around."""
COARSE_WEIGHT = 0.02
"""Weight of the mean from the coarser grid beside that of the known pixels near by."""


def initial_fill(images: Images, missing: Masks, grids: int) -> tuple[Images, Array]:
    """Fills missing pixels and suspected impulses from the pixels around; returns the images and the suspects.

    Args:
      images: (b, *spatial, c) in [-1, 1], sizes multiples of 2 ** (grids - 1).
      missing: (b, *spatial, 1), 1 where a pixel is missing, 1 - `GUESSED` where it is missing and the images hold a
        first guess, from which the fill starts there; up to 0.5 it counts as seen.
      grids: number of grids, as in `fill`.

    Returns:
      The filled images (b, *spatial, c), and the result of `suspected_impulses` (b, *spatial, 1), 0 where a pixel is
      missing.
    """
    guessed = is_guess(1.0 - missing)
    seen = jnp.where(guessed, 0.0, jnp.minimum(1.0, 2.0 * (1.0 - missing)))
    suspected = suspected_impulses(jnp.where(guessed, 0.0, images)) * seen
    return fill(images, seen * (1.0 - jnp.abs(suspected)), grids, guessed), suspected


def is_guess(masks: Masks) -> Bool[Array, "b *s 1"]:
    """Returns where a pixel is missing and the image holds a first guess of it."""
    return jnp.abs(masks - GUESSED) < GUESSED / 2.0


def suspected_impulses(images: Images) -> Array:
    """Returns 1 where a pixel may be salt (a white impulse), -1 where it may be pepper (a black one), else 0.

    A pixel is suspected if all of its channels are at the same end of [-1, 1] or beyond, and few pixels around it are
    at that end: their share is below `ISOLATED_SHARE` plus 3 times the share at the other end. Impulses are scattered,
    and salt and pepper occur together; areas that are really black or white are connected.

    Args:
      images: (b, *spatial, c), sizes even.

    Returns:
      (b, *spatial, 1).
    """
    ends = [jnp.all(at_end, axis=-1, keepdims=True).astype(images.dtype) for at_end in (images >= 1.0, images <= -1.0)]
    white, black = (upsample(binomial_blur(downsample(end))) for end in ends)
    salt, pepper = white < 3.0 * black + ISOLATED_SHARE, black < 3.0 * white + ISOLATED_SHARE
    return jnp.where(salt, ends[0], 0.0) - jnp.where(pepper, ends[1], 0.0)


def fill(images: Images, known: Masks, levels: int, guessed: Array | bool = False) -> Images:
    """Fills unknown pixels with a weighted mean of the known ones, then smooths them by steps to Laplacian^2 x = 0.

    The mean is (B(k x) + e U) / (B(k) + e), where k is `known`, e is `COARSE_WEIGHT` and B is the blur [1, 2, 1] / 4
    along each axis. U is the same mean computed from k x and k on a grid of half the size; it is 0 on the coarsest.
    Where there is a guess it takes the place of the mean.

    Args:
      images: (b, *spatial, c); the values of unknown pixels have no effect if they are finite, but for guesses.
      known: (b, *spatial, 1), 1 where a pixel is known and 0 elsewhere.
      levels: number of grids; sizes are multiples of 2 ** (levels - 1).

    Returns:
      (b, *spatial, c); known pixels are unchanged; a pixel is 0 where none within reach is known.
    """
    start = jnp.where((known > 0.5) | guessed, images, _mean(images * known, known, levels))
    return _smooth(start, known)


def reach(levels: int) -> int:
    """Returns the largest distance in pixels between a filled pixel and a known one that it depends on."""
    # three pixels of each grid to the next coarser one and back, one for the blur of the coarsest, two for each step
    return 3 * (2 ** (levels - 1) - 1) + 2 ** (levels - 1) + 2 * SMOOTHING


def _mean(values: Array, weights: Array, levels: int) -> Array:
    coarser = 0.0
    if levels > 1:
        coarser = COARSE_WEIGHT * upsample(_mean(downsample(values), downsample(weights), levels - 1))
    return (binomial_blur(values) + coarser) / (binomial_blur(weights) + COARSE_WEIGHT)


def _smooth(images: Array, known: Array) -> Array:
    """Descends |Laplacian x|^2 / 2 in the unknown pixels by gradient steps with momentum."""
    b, *sizes, c = images.shape
    planes = jnp.moveaxis(images, -1, 1).reshape(b * c, *sizes)  # rows of pixels, not of three channels: much faster
    # a step below 2 / the largest eigenvalue is stable; that of the Laplacian is 4 for each axis
    step_size = jnp.repeat((1.0 - known[..., 0]) / (8.0 * len(sizes) ** 2), c, axis=0)

    def step(_: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        planes, velocity = carry
        velocity = MOMENTUM * velocity - step_size * _laplacian(_laplacian(planes))
        return planes + velocity, velocity

    planes, _ = lax.fori_loop(0, SMOOTHING, step, (planes, jnp.zeros_like(planes)))
    return jnp.moveaxis(planes.reshape(b, c, *sizes), 1, -1)


def _laplacian(planes: Float[Array, "p *s"]) -> Float[Array, "p *s"]:
    """Returns the sum of the second differences along all axes, edges repeated."""
    num = planes.ndim - 1
    # without the barrier XLA fuses all steps and computes each pixel again for each neighbour that needs it
    wide = lax.optimization_barrier(jnp.pad(planes, ((0, 0), *((1, 1),) * num), mode="edge"))

    def moved(axis: int, side: slice) -> Array:
        return wide[(slice(None), *(side if i == axis else slice(1, -1) for i in range(num)))]

    before = (moved(axis, slice(None, -2)) for axis in range(num))
    after = (last_from(moved(axis, slice(2, None)), planes, axis + 1) for axis in range(num))
    sides = (side for pair in zip(before, after, strict=True) for side in pair)
    return functools.reduce(jnp.add, sides) - 2.0 * num * planes
