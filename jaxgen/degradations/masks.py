"""Masks of missing pixels, which are scattered, boxes, slices, brush strokes or square holes; and painted scratches.

A mask is (b, *spatial, 1), 1 where a pixel is known and 0 where it is missing. Each image has its own mask. Strokes and
scratches are for images alone; everything else is for volumes too.
"""

import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxgen.degradations.marks import light_or_dark
from jaxgen.types import Grid, Images, Levels, Masks, PRNGKey, per_image

NUM_BOXES = 4
NUM_BISECTIONS = 24


class Style(NamedTuple):
    """The style of strokes; an image has 1 + `per_image` * (share of the image) of them, at most `most`."""

    most: int
    per_image: float
    num_segments: int
    """Number of straight pieces of a stroke."""
    turn: float
    """Largest change of direction between two pieces, in radians."""


BRUSH = Style(most=12, per_image=16.0, num_segments=6, turn=1.8)
SCRATCHES = Style(most=12, per_image=60.0, num_segments=3, turn=0.3)


def apply_mask(images: Images, masks: Masks) -> Images:
    """Sets missing pixels to 0, the middle grey: x * mask, linear in x."""
    return images * masks


def random_pixels(key: PRNGKey, shape: Grid, fraction: Levels) -> Masks:
    """Draws masks in which each pixel is missing independently with probability `fraction`.

    Args:
      key: random key of the pixels.
      shape: (b, *spatial).
      fraction: (b,) in [0, 1].

    Returns:
      (b, *spatial, 1).
    """
    uniform = jax.random.uniform(key, (*shape, 1), jnp.float32)
    return (uniform >= per_image(fraction, uniform)).astype(jnp.float32)


def random_boxes(key: PRNGKey, shape: Grid, fraction: Levels) -> Masks:
    """Draws masks with four boxes of equal area, so that each pixel is missing with probability `fraction`.

    Each box covers 1 - (1 - fraction)^(1/4) of the image. A box that crosses an edge continues at the opposite one, so
    that pixels at the edges are missing as often as those in the middle.

    Args:
      key: random key of positions and proportions (height over width 1/2 to 2 if such a box fits).
      shape: (b, *spatial).
      fraction: (b,) in [0, 1].

    Returns:
      (b, *spatial, 1).
    """
    b, *sizes = shape
    num = len(sizes)
    draws = jax.random.uniform(key, (3 * num - 1, b, NUM_BOXES), jnp.float32)
    shares = _edges(draws[: num - 1], 1.0 - (1.0 - fraction[:, None]) ** (1.0 / NUM_BOXES))
    places = draws[num - 1 :].reshape(num, 2, b, NUM_BOXES)
    spans = [_wrapped_spans(*one) for one in zip(places, shares, sizes, strict=True)]
    return (~jnp.any(_product(spans), axis=1)).astype(jnp.float32)[..., None]


def _edges(draws: Float[Array, "n b boxes"], volume: Float[Array, "b #boxes"]) -> list[Float[Array, "b boxes"]]:
    """Returns the edges of boxes as shares of the image's edges, at random proportions; their product is `volume`."""
    found = []
    for i, draw in enumerate(draws):
        left = len(draws) + 1 - i
        root = jnp.sqrt(volume) if left == 2 else volume ** (1.0 / left)
        found.append(jnp.clip(root * 2.0 ** (draw - 0.5), volume, 1.0))
        volume = volume / jnp.where(found[-1] > 0.0, found[-1], 1.0)
    return [*found, volume]


def _product(inside: list[Bool[Array, "..."]]) -> Bool[Array, "..."]:
    """Returns whether a pixel is inside along every axis: (..., h, w) from (..., h) and (..., w)."""
    last = len(inside) - 1
    masks = (jnp.expand_dims(x, [k - last - 1 for k in range(last + 1) if k != i]) for i, x in enumerate(inside))
    return functools.reduce(jnp.logical_and, masks)


def _wrapped_spans(draws: Float[Array, "2 b n"], share: Float[Array, "b n"], size: int) -> Bool[Array, "b n size"]:
    """Returns whether a pixel is in a span of `share` * size pixels, a length that is rounded at random."""
    start, length = jnp.floor(draws[0] * size), jnp.floor(share * size + draws[1])
    places = jnp.arange(size, dtype=jnp.float32)[None, None]
    return (places - start[:, :, None]) % size < length[:, :, None]


def missing_slices(key: PRNGKey, shape: Grid, fraction: Levels) -> Masks:
    """Draws masks in which each slice across one axis is missing, as a whole, with probability `fraction`.

    The axis is drawn for each volume: scans are taken across any of the three, and turned to the same axes afterwards.

    Args:
      key: random key of axes and slices.
      shape: (b, *spatial).
      fraction: (b,) in [0, 1].

    Returns:
      (b, *spatial, 1).
    """
    b, *sizes = shape
    key_axis, key_slices = jax.random.split(key)
    axis = jax.random.randint(key_axis, (b,), 0, len(sizes), jnp.int32)
    draws = jax.random.uniform(key_slices, (b, max(sizes)), jnp.float32)
    gone = draws < fraction[:, None]
    known = [~(gone[:, :size] & (axis == i)[:, None]) for i, size in enumerate(sizes)]
    return _product(known).astype(jnp.float32)[..., None]


def brush_strokes(key: PRNGKey, shape: Grid, fraction: Levels) -> Masks:
    """Draws masks of free-form strokes, chains of line segments of varying width, over exactly `fraction` of the image.

    There is one stroke, and one more for each sixteenth of the image that is missing, up to twelve. Each vertex draws a
    relative width; all widths of an image are scaled so that the strokes cover the given share.

    Args:
      key: random key of the strokes.
      shape: (b, h, w).
      fraction: (b,) in [0, 1].

    Returns:
      (b, h, w, 1); `fraction` h w pixels are missing, rounded.
    """
    return _strokes(key, shape, fraction, BRUSH)


def scratches(key: PRNGKey, images: Images, level: Levels) -> Images:
    """Paints thin, nearly straight strokes over each image, in one random light or dark colour for each image.

    Args:
      key: random key of strokes and colours.
      images: (b, h, w, c) in [-1, 1].
      level: (b,) in [0, 1], the share of the image that is painted over; from 0.2 on the strokes are no longer thin.

    Returns:
      (b, h, w, c).
    """
    key_strokes, key_colour = jax.random.split(key)
    masks = _strokes(key_strokes, images.shape[:3], level, SCRATCHES)
    return jnp.where(masks > 0.0, images, light_or_dark(key_colour, images))


def _strokes(key: PRNGKey, shape: Grid, fraction: Levels, style: Style) -> Masks:
    """Draws masks with strokes of one style over `fraction` of each image."""
    chex.assert_equal(len(shape), 3, custom_message="strokes are drawn on images, of 2 spatial axes")
    b, h, w = shape
    num = style.num_segments
    draws = jax.random.uniform(
        key, (b, style.most, 4 + 3 * num), jnp.float32
    )  # one call, as each takes a second to compile
    points = _paths(draws[..., : 3 + 2 * num], (h, w), style.turn)
    active = jnp.arange(style.most, dtype=jnp.float32)[None] <= fraction[:, None] * style.per_image
    distances = _distances(points, 0.5 + draws[..., 3 + 2 * num :], active, (h, w))
    missing = distances < _bound(distances, jnp.round(fraction * (h * w)))[:, None, None]
    return (~missing).astype(jnp.float32)[..., None]


def _paths(draws: Float[Array, "b strokes n"], size: tuple[int, int], turn: float) -> Float[Array, "b strokes m 2"]:
    """Returns the vertices (y, x) of random walks, about 3/4 of the image long and reflected at its edges."""
    num_segments = (draws.shape[2] - 3) // 2
    room = jnp.array(size, jnp.float32)[None, None, None]
    turns, lengths = draws[..., 3 : 3 + num_segments], draws[..., 3 + num_segments :]
    angle = 2.0 * jnp.pi * draws[..., 2:3] + jnp.cumsum(turn * (2.0 * turns - 1.0), axis=2)
    step = (0.5 + lengths) * (0.75 * min(size) / num_segments)
    start = (draws[..., :2] * room[0])[:, :, None]
    walk = start + jnp.cumsum(step[..., None] * jnp.stack([jnp.sin(angle), jnp.cos(angle)], -1), axis=2)
    points = jnp.concatenate([start, walk], axis=2)
    return room - jnp.abs(points % (2.0 * room) - room)


def _distances(
    points: Float[Array, "b strokes vertices 2"],
    widths: Float[Array, "b strokes vertices"],
    active: Array,
    size: tuple[int, int],
) -> Float[Array, "b h w"]:
    """Returns the distance from each pixel to the nearest active stroke, divided by the stroke's width there."""
    y, x = (jnp.arange(n, dtype=jnp.float32) + 0.5 for n in size)
    y, x = y[None, :, None], x[None, None, :]
    b, strokes, vertices, _ = points.shape

    def column(values: Array) -> Array:
        return values[:, None, None]

    def nearer(i: Array, nearest: Array) -> Array:
        stroke, vertex = i // (vertices - 1), i % (vertices - 1)
        start, end = points[:, stroke, vertex], points[:, stroke, vertex + 1]
        dy, dx = column(end[:, 0] - start[:, 0]), column(end[:, 1] - start[:, 1])
        away_y, away_x = y - column(start[:, 0]), x - column(start[:, 1])
        along = jnp.clip((away_y * dy + away_x * dx) / (dy * dy + dx * dx + 1e-9), 0.0, 1.0)
        from_y, from_x = away_y - along * dy, away_x - along * dx
        first, last = column(widths[:, stroke, vertex]), column(widths[:, stroke, vertex + 1])
        width = first + along * (last - first)
        squared = (from_y * from_y + from_x * from_x) / (width * width)
        return jnp.where(column(active[:, stroke]), jnp.minimum(nearest, squared), nearest)

    far = jnp.full((b, *size), 1e9, jnp.float32)
    return jnp.sqrt(lax.fori_loop(0, strokes * (vertices - 1), nearer, far))


def _bound(values: Float[Array, "b h w"], count: Float[Array, "b"]) -> Float[Array, "b"]:
    """Returns the bound below which `count` values of each image lie, by bisection: a sort takes ten times as long."""

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2.0
        few = jnp.sum((values < middle[:, None, None]).astype(jnp.float32), axis=(1, 2)) <= count
        return jnp.where(few, middle, low), jnp.where(few, high, middle)

    largest = jnp.max(values, axis=(1, 2))
    return lax.fori_loop(0, NUM_BISECTIONS, halve, (jnp.zeros_like(largest), largest * 1.01 + 1e-6))[0]


def centre_hole(shape: Grid, width: Levels) -> Masks:
    """Returns masks with a square (cubic) hole in the centre of each image, or half a pixel up and to the left of it.

    Args:
      shape: (b, *spatial).
      width: (b,) in pixels, rounded; a hole larger than the image covers all of it.

    Returns:
      (b, *spatial, 1).
    """
    width = jnp.round(width)
    return _hole(shape, width, [jnp.floor((size - width) / 2.0) for size in shape[1:]])


def random_hole(key: PRNGKey, shape: Grid, width: Levels) -> Masks:
    """Draws masks with a square (cubic) hole at a random place inside each image.

    Args:
      key: random key of the places.
      shape: (b, *spatial).
      width: (b,) in pixels, rounded; a hole larger than the image covers all of it.

    Returns:
      (b, *spatial, 1).
    """
    sizes, width = shape[1:], jnp.round(width)
    draws = jax.random.uniform(key, (len(sizes), *width.shape), jnp.float32)
    corner = [jnp.floor(u * jnp.maximum(n - width + 1.0, 1.0)) for u, n in zip(draws, sizes, strict=True)]
    return _hole(shape, width, corner)


def _hole(shape: Grid, width: Levels, corner: list[Levels]) -> Masks:
    """Returns masks with one square (cubic) hole each, at `corner`."""

    def inside(start: Array, size: int) -> Array:
        places = jnp.arange(size, dtype=jnp.float32)[None]
        return (places >= start[:, None]) & (places < (start + width)[:, None])

    spans = [inside(start, size) for start, size in zip(corner, shape[1:], strict=True)]
    return (~_product(spans)).astype(jnp.float32)[..., None]
