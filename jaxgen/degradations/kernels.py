"""Random blur kernels of photographs: Gaussian, generalised Gaussian, plateau and low-pass (sinc)."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxgen.degradations.blur import normalised, rotated_grid
from jaxgen.types import Levels, PRNGKey, per_image

SIZE = 21
"""Width in pixels of all kernels; a narrower one has zeros around it."""
SUPPORTS = (7, 9, 11, 13, 15, 17, 19, 21)
"""Widths of the part that is not zero, each as probable as the others."""
SHAPES = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
"""Probabilities of Gaussian, generalised Gaussian and plateau, each isotropic and then anisotropic."""
BETA_GENERALISED = (0.5, 4.0)
"""Range of the exponent of generalised Gaussians; below 1 with probability 1/2."""
BETA_PLATEAU = (1.0, 2.0)
"""Range of the exponent of plateaus; exactly 1 with probability 1/2."""
SINC = 0.1
"""Probability of a low-pass kernel instead of one of `SHAPES`."""
CUTOFF = (np.pi / 3, np.pi / 5)
"""Lowest cut-off of low-pass kernels, in radians for each pixel, of a support below 13 and from there on."""
WIDE = 13
"""Support from which on the second cut-off holds."""
NUM_ANGLES = 40
"""Number of angles over which Bessel's integral is averaged; the error is below 1e-6 up to the argument 45."""


def random_kernels(key: PRNGKey, low: Levels, high: Levels, cutoff: Levels) -> Float[Array, "b k k"]:
    """Draws blur kernels as Real-ESRGAN does.

    Args:
      key: random key.
      low: (b,) smallest standard deviation in pixels.
      high: (b,) largest standard deviation.
      cutoff: (b,) lowest cut-off of low-pass kernels, in radians for each pixel; `CUTOFF` bounds it too.

    Returns:
      (b, 21, 21) of sum 1; low-pass kernels have negative values, others have none.

    References:
      Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", 2021, section 3.
    """
    key_shares, key_support = jax.random.split(key)
    which, long, short, turn, beta, sinc, rate = jax.random.uniform(key_shares, (7, len(low)), jnp.float32)
    shape = jnp.searchsorted(jnp.cumsum(jnp.asarray(SHAPES[:-1], jnp.float32)), which)
    across = jnp.where(shape % 2 == 0, long, short)
    sigmas = [low + (high - low) * share for share in (long, across)]
    support = random_supports(key_support, len(low))
    blurs = smooth_kernels(*sigmas, jnp.pi * turn, _exponent(shape, beta), shape >= 4, support)
    lowest = jnp.maximum(cutoff, jnp.where(support < WIDE, *CUTOFF))
    return jnp.where(per_image(sinc < SINC, blurs), sinc_kernels(lowest + (jnp.pi - lowest) * rate, support), blurs)


def random_supports(key: PRNGKey, num: int) -> Int[Array, "b"]:
    """Draws widths from `SUPPORTS`."""
    return jax.random.choice(key, jnp.asarray(SUPPORTS, jnp.int32), (num,))


def _exponent(shape: Int[Array, "b"], share: Levels) -> Levels:
    """Returns the exponent of each kernel, in one half of the draws `share` at most 1, in the other at least."""
    low, high = (jnp.where(shape >= 4, BETA_PLATEAU[i], BETA_GENERALISED[i]) - 1.0 for i in (0, 1))
    beta = 1.0 + jnp.where(share < 0.5, low * (1.0 - 2.0 * share), high * (2.0 * share - 1.0))
    return jnp.where(shape < 2, 1.0, beta)


def smooth_kernels(
    sigma_x: Levels, sigma_y: Levels, angle: Levels, beta: Levels, plateau: Bool[Array, "b"], support: Int[Array, "b"]
) -> Float[Array, "b k k"]:
    """Returns exp(-q^beta / 2), or 1 / (1 + q^beta) for plateaus, of sum 1; q = (u / sigma_x)^2 + (v / sigma_y)^2.

    Args:
      sigma_x: (b,) in pixels along u, above 0.
      sigma_y: (b,) in pixels along v, at right angles to u.
      angle: (b,) in radians from the x axis (columns, to the right) to u, towards y (rows, down).
      beta: (b,) exponents; 1 is a Gaussian.
      plateau: (b,) whether a kernel is a plateau.
      support: (b,) width in pixels, odd; zero beyond.

    Returns:
      (b, 21, 21).
    """
    u, v = rotated_grid(angle, SIZE)
    squares = jnp.square(u / sigma_x[:, None, None]) + jnp.square(v / sigma_y[:, None, None])
    power = jnp.where(squares > 0.0, squares, 1e-12) ** beta[:, None, None]
    kernels = jnp.where(plateau[:, None, None], 1.0 / (1.0 + power), jnp.exp(-0.5 * power))
    return normalised(kernels * _inside(support))


def sinc_kernels(cutoff: Levels, support: Int[Array, "b"]) -> Float[Array, "b k k"]:
    """Returns the ideal circular low-pass filter w J1(w r) / (2 pi r), cut off at the support, of sum 1.

    Args:
      cutoff: (b,) w in radians for each pixel, up to pi.
      support: (b,) width in pixels, odd; zero beyond.

    Returns:
      (b, 21, 21).
    """
    line = np.arange(SIZE) - SIZE // 2
    squares, places = np.unique(line[:, None] ** 2 + line[None] ** 2, return_inverse=True)
    radius = jnp.asarray(np.sqrt(squares), jnp.float32)[None]
    w = cutoff[:, None]
    ring = w * _bessel(w * radius) / (2.0 * jnp.pi * jnp.maximum(radius, 1.0))
    values = jnp.where(radius == 0.0, w * w / (4.0 * jnp.pi), ring)
    return normalised(values[:, jnp.asarray(places.reshape(SIZE, SIZE), jnp.int32)] * _inside(support))


def _bessel(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Returns J1(x), the mean of cos(t - x sin t) over t from 0 to pi."""
    t = (np.arange(NUM_ANGLES) + 0.5) * np.pi / NUM_ANGLES
    sines = jnp.asarray(np.sin(t), jnp.float32).reshape(*(1,) * x.ndim, -1)
    return jnp.mean(jnp.cos(jnp.asarray(t, jnp.float32).reshape(sines.shape) - x[..., None] * sines), axis=-1)


def _inside(support: Int[Array, "b"]) -> Float[Array, "b k k"]:
    """Returns 1 in the square of width `support` in the middle, 0 around it."""
    near = 2 * jnp.abs(jnp.arange(SIZE, dtype=jnp.int32) - SIZE // 2)[None] < support[:, None]
    return (near[:, :, None] & near[:, None, :]).astype(jnp.float32)


def no_blur(num: int) -> Float[Array, "b k k"]:
    """Returns kernels that leave an image as it is."""
    return jnp.zeros((num, SIZE, SIZE), jnp.float32).at[:, SIZE // 2, SIZE // 2].set(1.0)
