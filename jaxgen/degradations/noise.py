"""Noise: Gaussian, correlated between colours or pixels, Rician, Poisson, multiplicative, and impulses.

Images are in [-1, 1] and are not clipped. Levels refer to intensities in [0, 1], so a standard deviation sigma there is
2 sigma here. Each image has its own level and random draws, and level 0 is exactly the identity.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxgen.types import Images, Levels, PRNGKey, per_image

SMALL_RATE = 10.0
"""Rate below which `poisson_counts` sums probabilities; from there on it uses a series."""
GRAIN_RADII = (0.2, 1.4)
"""Smallest and largest radius of grain, the standard deviation of its Gaussian in pixels."""
GRAIN_REACH = 4
"""Pixels to each side that a grain extends."""
NUM_SUMMED = 32
"""Number of probabilities summed; at rates below 10 a larger count has a probability of about 1e-8 at most."""


def gaussian_noise(key: PRNGKey, images: Images, sigma: Levels) -> Images:
    """Adds white Gaussian noise: y = x + 2 sigma n, with n standard normal.

    Args:
      key: random key of n.
      images: (b, *spatial, c) in [-1, 1].
      sigma: (b,), 0 or more, for intensities in [0, 1].

    Returns:
      (b, *spatial, c), not clipped.
    """
    return images + 2.0 * per_image(sigma, images) * jax.random.normal(key, images.shape, images.dtype)


def rician_noise(key: PRNGKey, images: Images, sigma: Levels) -> Images:
    """Adds the noise of magnitude images: u becomes sqrt((u + sigma n)^2 + (sigma m)^2) for u = (x + 1) / 2.

    The signal u of a magnetic resonance scan is a complex number with normal noise, n and m, in both of its parts; its
    magnitude is stored. So what was black becomes grey, of mean sigma sqrt(pi / 2); where u is above 3 sigma the noise
    is nearly normal, of mean sqrt(u^2 + sigma^2) and deviation sigma.

    Args:
      key: random key of n and m.
      images: (b, *spatial, c) in [-1, 1].
      sigma: (b,), 0 or more, for intensities in [0, 1].

    Returns:
      (b, *spatial, c), at least -1, not clipped from above.

    References:
      Gudbjartsson, Patz, "The Rician Distribution of Noisy MRI Data", 1995, equations 1 and 3.
    """
    real, imaginary = jax.random.normal(key, (2, *images.shape), images.dtype)
    sigma = per_image(sigma, images)
    squared = jnp.square((images + 1.0) / 2.0 + sigma * real) + jnp.square(sigma * imaginary)
    return 2.0 * jnp.sqrt(jnp.maximum(squared, 1e-12)) - 1.0  # the root has no derivative at 0


def correlated_gaussian_noise(key: PRNGKey, images: Images, sigma: Levels) -> Images:
    """Adds Gaussian noise correlated between channels: y = x + 2 sigma A n, with one random matrix A for each image.

    A has normal entries and is scaled to trace(A A^T) = c. So the variance, averaged over the channels, is that of
    `gaussian_noise`; with one channel the noise has the same distribution.

    Args:
      key: random key of A and n.
      images: (b, *spatial, c) in [-1, 1].
      sigma: (b,), 0 or more, for intensities in [0, 1].

    Returns:
      (b, *spatial, c), not clipped.
    """
    b, *_, c = images.shape
    key_mix, key_noise = jax.random.split(key)
    mix = jax.random.normal(key_mix, (b, c, c), images.dtype)
    mix = mix * jnp.sqrt(c / jnp.sum(jnp.square(mix), axis=(1, 2), keepdims=True))
    noise = jax.random.normal(key_noise, images.shape, images.dtype)
    noise = jnp.einsum("bij,b...j->b...i", mix, noise, precision=lax.Precision.HIGHEST)
    return images + 2.0 * per_image(sigma, images) * noise


def grain(key: PRNGKey, images: Images, sigma: Levels) -> Images:
    """Adds noise that is correlated between neighbouring pixels, as film grain is, or noise after a change of size.

    White noise is blurred by a Gaussian, whose radius is drawn from `GRAIN_RADII` for each image, and scaled back to
    its deviation; it continues at the opposite edge. The channels have a random share, drawn for each image, of one
    noise in common: all of it in half of the images, none of it in a quarter. In half of the images the noise fades
    towards black and white, by a random share, as that of film does.

    Args:
      key: random key.
      images: (b, *spatial, c) in [-1, 1].
      sigma: (b,), 0 or more, the standard deviation in middle grey for intensities in [0, 1].

    Returns:
      (b, *spatial, c), not clipped.
    """
    key_draws, key_noise = jax.random.split(key)
    radius, common, fade = jax.random.uniform(key_draws, (3, len(images)), jnp.float32)
    radius = GRAIN_RADII[0] + (GRAIN_RADII[1] - GRAIN_RADII[0]) * radius
    common = per_image(jnp.clip(4.0 * common - 1.0, 0.0, 1.0), images)
    fade = per_image(jnp.maximum(2.0 * fade - 1.0, 0.0), images)
    *plane, c = images.shape
    noise = jax.random.normal(key_noise, (*plane, c + 1), images.dtype)
    for axis in range(1, images.ndim - 1):
        noise = _blurred_noise(noise, radius, axis)
    noise = jnp.sqrt(common) * noise[..., c:] + jnp.sqrt(1.0 - common) * noise[..., :c]
    strength = 1.0 - fade * jnp.minimum(jnp.square(lax.stop_gradient(images)), 1.0)
    return images + 2.0 * per_image(sigma, images) * strength * noise


def _blurred_noise(noise: Images, radius: Levels, axis: int) -> Images:
    """Returns white noise blurred along an axis by a Gaussian, whose squares have the sum 1: it stays as strong."""
    places = range(-GRAIN_REACH, GRAIN_REACH + 1)
    weights = jnp.stack([jnp.exp(-(i * i) / (2.0 * radius * radius)) for i in places])
    weights = weights / jnp.sqrt(jnp.sum(jnp.square(weights), axis=0, keepdims=True))
    moved = (per_image(weight, noise) * jnp.roll(noise, i, axis) for i, weight in zip(places, weights, strict=True))
    return functools.reduce(jnp.add, moved)


def poisson_noise(key: PRNGKey, images: Images, level: Levels) -> Images:
    """Adds shot noise: u becomes level * Poisson(u / level), of mean u and variance level * u, for u = (x + 1) / 2.

    Derivatives treat the noise as a constant, so the derivative with respect to u is 1, as is that of the mean.

    Args:
      key: random key of the counts.
      images: (b, *spatial, c) in [-1, 1]; values below count as -1.
      level: (b,), 0 or more: 1 / the number of photons of a white pixel.

    Returns:
      (b, *spatial, c), not clipped.
    """
    level = per_image(level, images)
    intensity = jnp.maximum((lax.stop_gradient(images) + 1.0) / 2.0, 0.0)
    counts = poisson_counts(key, intensity / jnp.where(level > 0.0, level, 1.0))
    noise = jnp.where(level > 0.0, level * counts - intensity, 0.0)
    return images + 2.0 * lax.stop_gradient(noise)


def poisson_counts(key: PRNGKey, rate: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Draws Poisson counts from one normal number z each, at a fixed cost (`jax.random.poisson` is 20 times slower).

    For a rate m below 10 the distribution function is inverted, to the accuracy of float32. From 10 on the count is
    m + s z + (z^2 - 1) / 6 + (z - z^3) / (72 s), rounded; s^2 = m - 1/12 allows for the variance that rounding adds.
    Its distribution is within 0.0006 of the true one in total variation, its mean and variance are within 1e-4.

    Args:
      key: random key of z.
      rate: rates, 0 or more, of any shape.

    Returns:
      Counts as floats, of the same shape.

    References:
      Cornish and Fisher, "Moments and Cumulants in the Specification of Distributions", 1938.
    """
    z = jax.random.normal(key, rate.shape, rate.dtype)
    small = jnp.minimum(rate, SMALL_RATE)
    uniform = jax.scipy.stats.norm.cdf(z)
    counted, probability = jnp.zeros_like(rate), jnp.exp(-small)
    below = probability
    for k in range(1, NUM_SUMMED + 1):  # unrolled, so that XLA fuses it into one pass over memory
        counted = jnp.where(uniform > below, counted + 1.0, counted)
        probability = probability * small / k
        below = below + probability
    large = jnp.maximum(rate, SMALL_RATE)
    root = jnp.sqrt(large - 1.0 / 12.0)
    series = large + root * z + (z * z - 1.0) / 6.0 + (z - z * z * z) / (72.0 * root)
    return jnp.where(rate < SMALL_RATE, counted, jnp.maximum(jnp.round(series), 0.0))


def speckle_noise(key: PRNGKey, images: Images, sigma: Levels) -> Images:
    """Adds multiplicative noise: u becomes u (1 + sigma n) for u = (x + 1) / 2; black stays black.

    Args:
      key: random key of n.
      images: (b, *spatial, c) in [-1, 1].
      sigma: (b,), 0 or more.

    Returns:
      (b, *spatial, c), not clipped.
    """
    noise = jax.random.normal(key, images.shape, images.dtype)
    return images + per_image(sigma, images) * (images + 1.0) * noise


def salt_and_pepper(key: PRNGKey, images: Images, density: Levels) -> Images:
    """Replaces random pixels, all channels together, by black or white with equal probability.

    Args:
      key: random key of the pixels.
      images: (b, *spatial, c) in [-1, 1].
      density: (b,) in [0, 1], the expected share of replaced pixels.

    Returns:
      (b, *spatial, c).
    """
    uniform = jax.random.uniform(key, (*images.shape[:-1], 1), images.dtype)
    density = per_image(density, images)
    value = jnp.where(uniform < density / 2.0, -1.0, 1.0).astype(images.dtype)
    return jnp.where(uniform < density, value, images)


def random_impulse(key: PRNGKey, images: Images, density: Levels) -> Images:
    """Replaces random pixels by a random colour, each channel uniform in [-1, 1].

    Args:
      key: random key of the pixels and colours.
      images: (b, *spatial, c) in [-1, 1].
      density: (b,) in [0, 1], the expected share of replaced pixels.

    Returns:
      (b, *spatial, c).
    """
    key_place, key_value = jax.random.split(key)
    replaced = jax.random.uniform(key_place, (*images.shape[:-1], 1), images.dtype) < per_image(density, images)
    return jnp.where(replaced, jax.random.uniform(key_value, images.shape, images.dtype, -1.0, 1.0), images)
