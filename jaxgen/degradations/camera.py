"""The noise of a camera: counted photons behind a mosaic of colour filters, developed to an image."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.degradations.noise import poisson_counts
from jaxgen.types import Images, Levels, PRNGKey, per_image

GAMMA = 2.2
READ_NOISE = 2.0
"""Standard deviation of the noise of reading a pixel out, in photons."""


def camera(key: PRNGKey, images: Images, level: Levels) -> Images:
    """Returns images as a camera takes them that counts 1 / level photons in a white pixel.

    In linear light, u = ((x + 1) / 2)^2.2, each pixel counts Poisson(u / level) photons, plus noise of reading. Of
    three channels each pixel counts one, in the pattern red green, green blue, which begins at one of its four pixels,
    drawn for each image; the others are means of the neighbours that counted them. Derivatives are those of the
    identity.

    Args:
      key: random key.
      images: (b, h, w, c) in [-1, 1]; three channels have a mosaic, others have none.
      level: (b,), 0 or more: 1 / the number of photons of a white pixel.

    Returns:
      (b, h, w, c), clipped to [-1, 1].

    References:
      Healey and Kondepudy, "Radiometric CCD Camera Calibration and Noise Estimation", 1994 (the noise); Bayer, United
      States Patent 3,971,065, 1976 (the pattern).
    """
    key_counts, key_read, key_start = jax.random.split(key, 3)
    level = jnp.maximum(per_image(level, images), 1e-6)
    light = jnp.clip((jax.lax.stop_gradient(images) + 1.0) / 2.0, 0.0, 1.0) ** GAMMA
    counts = poisson_counts(key_counts, light / level)
    counts = counts + READ_NOISE * jax.random.normal(key_read, images.shape, images.dtype)
    seen = counts * level
    if images.shape[-1] == 3:
        counted = _mosaic(key_start, images.shape)
        seen = _spread(seen * counted) / _spread(counted)
    developed = 2.0 * jnp.clip(seen, 1e-8, 1.0) ** (1.0 / GAMMA) - 1.0
    return images + jax.lax.stop_gradient(developed - images)


def _mosaic(key: PRNGKey, shape: tuple[int, ...]) -> Float[Array, "b h w 3"]:
    """Returns 1 where a pixel counts a colour, else 0."""
    b, h, w, _ = shape
    start = jax.random.randint(key, (2, b, 1, 1), 0, 2, jnp.int32)
    y, x = jnp.arange(h)[None, :, None] + start[0], jnp.arange(w)[None, None] + start[1]
    even_y, even_x = y % 2 == 0, x % 2 == 0
    return jnp.stack([even_y & even_x, even_y ^ even_x, ~even_y & ~even_x], axis=-1).astype(jnp.float32)


def _spread(x: Float[Array, "b h w c"]) -> Array:
    """Returns the sums of 3 x 3 pixels with the weights [1, 2, 1] along each axis, zeros beyond the edges."""
    for axis in (1, 2):
        wide = jnp.pad(x, [(int(i == axis),) * 2 for i in range(4)])
        before, after = (jax.lax.slice_in_dim(wide, i, i + x.shape[axis], axis=axis) for i in (0, 2))
        x = before + 2.0 * x + after
    return x
