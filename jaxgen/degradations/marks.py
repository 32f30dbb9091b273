"""Marks on the surface of a photograph: dust, and the straight lines of worn film. Scratches are in `masks`."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen.types import Images, Levels, PRNGKey

LARGEST_SPECK = 3.5
"""Radius of the largest speck of dust in pixels."""
MOST_LINES, LINE_WIDTHS, LINE_SLOPE = 12, (0.8, 2.2), 0.04


def dust(key: PRNGKey, images: Images, level: Levels) -> Images:
    """Paints round specks over each image, in one random light or dark colour for each image.

    Args:
      key: random key of places, radii (0.5 to `LARGEST_SPECK` pixels, small ones more often) and colours.
      images: (b, h, w, c) in [-1, 1].
      level: (b,) in [0, 1], the share of the image that the specks would cover if none overlapped.

    Returns:
      (b, h, w, c).
    """
    key_place, key_radius, key_colour = jax.random.split(key, 3)
    plane = images.shape[:3]
    centres = jax.random.uniform(key_place, plane, jnp.float32) < (level / _mean_area())[:, None, None]
    radii = jnp.where(centres, _radius(jax.random.uniform(key_radius, plane, jnp.float32)), 0.0)
    reach = int(LARGEST_SPECK)
    offsets = [(y, x) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1)]
    near = (jnp.roll(radii, offset, (1, 2)) > float(np.hypot(*offset)) for offset in offsets)
    covered = functools.reduce(jnp.logical_or, near)[..., None]
    return jnp.where(covered, light_or_dark(key_colour, images), images)


def _radius(share: Any) -> Any:
    """Returns the radius of specks in pixels, from a share in [0, 1]."""
    return 0.5 + (LARGEST_SPECK - 0.5) * share * share


@functools.cache
def _mean_area() -> float:
    """Returns the mean number of pixels of a speck."""
    reach = int(LARGEST_SPECK)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    radii = _radius((np.arange(1000) + 0.5) / 1000)
    return float(np.mean([np.sum(np.hypot(y, x) < radius) for radius in radii]))


def film_lines(key: PRNGKey, images: Images, level: Levels) -> Images:
    """Paints thin, nearly vertical lines from edge to edge, in one random grey or tinted colour for each image.

    Args:
      key: random key of places, slopes, widths and colours.
      images: (b, h, w, c) in [-1, 1].
      level: (b,) in [0, 0.2], the mean share of the image that is covered, up to `MOST_LINES` lines.

    Returns:
      (b, h, w, c).
    """
    b, h, w, c = images.shape
    key_lines, key_number, key_colour = jax.random.split(key, 3)
    place, slope, width = jax.random.uniform(key_lines, (3, b, MOST_LINES), jnp.float32)
    width = LINE_WIDTHS[0] + (LINE_WIDTHS[1] - LINE_WIDTHS[0]) * width
    rounding = jax.random.uniform(key_number, (b,), jnp.float32)
    number = jnp.floor(level * w / (sum(LINE_WIDTHS) / 2.0) + jnp.where(level > 0.0, rounding, 0.0))
    y, x = jnp.arange(h, dtype=jnp.float32)[None, :, None], jnp.arange(w, dtype=jnp.float32)[None, None]
    covered = jnp.zeros((b, h, w), bool)
    for i in range(MOST_LINES):
        start, lean, half = ((values[:, i])[:, None, None] for values in (place * w, slope, width / 2.0))
        here = jnp.abs(x + 0.5 - start - LINE_SLOPE * (2.0 * lean - 1.0) * (y - h / 2.0)) < half
        covered = covered | (here & (i < number)[:, None, None])
    draws = jax.random.uniform(key_colour, (b, 1, 1, 1 + c), jnp.float32, minval=-1.0)
    colour = jnp.clip(draws[..., :1] + 0.2 * draws[..., 1:], -1.0, 1.0)
    return jnp.where(covered[..., None], colour, images)


def light_or_dark(key: PRNGKey, images: Images) -> Float[Array, "b 1 1 c"]:
    """Returns one colour for each image (b, 1, 1, c), each channel in [-1, -0.5] or, as likely, in [0.5, 1]."""
    draws = jax.random.uniform(key, (len(images), 1, 1, 1 + images.shape[-1]), jnp.float32)
    return jnp.where(draws[..., :1] < 0.5, -1.0, 1.0) * (0.5 + 0.5 * draws[..., 1:])
