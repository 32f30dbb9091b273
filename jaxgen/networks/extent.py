"""Images that end before their array does, so that one compiled program serves images of many sizes.

Near its border a network's result depends on where the image ends: convolutions see zeros beyond it, blurs its last row
and column again. Within `ends_at` the layers take that place from traced numbers instead of from the shape.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int

_ENDS: contextvars.ContextVar[tuple[tuple[int, ...], Array] | None] = contextvars.ContextVar("ends", default=None)


@contextlib.contextmanager
def ends_at(sizes: tuple[int, ...], extent: Int[Array, " n"]) -> Iterator[None]:
    """Makes the layers that are called within treat images as ending at `extent`, whatever is in the array beyond.

    Args:
      sizes: sizes of the array along the spatial axes, before any grid is made coarser.
      extent: sizes of the image in it, multiples of the steps of the coarsest grid.
    """
    token = _ENDS.set((tuple(sizes), extent))
    try:
        yield
    finally:
        _ENDS.reset(token)


def zero_beyond(x: Array) -> Array:
    """Returns (b, *spatial, c), on any grid, with zeros beyond the end of the image."""
    if _ENDS.get() is None:
        return x
    for axis in range(1, x.ndim - 1):
        x = jnp.where(_places(x, axis) < _end(x, axis), x, jnp.zeros((), x.dtype))
    return x


def last_from(x: Array, edge: Array, axis: int) -> Array:
    """Returns x with the last slice of the image along a spatial axis, 1 or more, taken from `edge`."""
    return x if _ENDS.get() is None else jnp.where(_places(x, axis) == _end(x, axis) - 1, edge, x)


def _places(x: Array, axis: int) -> Array:
    return lax.broadcasted_iota(jnp.int32, x.shape, axis)


def _end(x: Array, axis: int) -> Array:
    """Returns the size of the image on the grid of x."""
    sizes, extent = _ENDS.get()
    return extent[axis - 1] * x.shape[axis] // sizes[axis - 1]
