"""Restoration or enlargement of an image or volume of any size in tiles, with the same result as for the whole.

A tile is computed from a window that extends beyond it by at least the network's receptive field, except where it ends
at the border of the image: there the network pads with zeros, as on the whole image. Windows at the border are shifted
inwards, not padded. A network that depends on all pixels, such as by a mean over the image, cannot be tiled.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, UInt8, UInt16

from jaxgen.errors import require

ApplyFn = Callable[[np.ndarray, np.ndarray], Any]
"""(images float32 (1, *s, c) in [-1, 1], known float32 (1, *s, 1)) -> result; the spatial sizes s may vary.

The result is an image of the same size, or of `scale` times the size along each axis."""
Pixels = UInt8[np.ndarray, "*s c"] | UInt16[np.ndarray, "*s c"]
AnyPixels = Pixels | Float32[np.ndarray, "*s c"]
Result = UInt8[np.ndarray, "*y c"] | UInt16[np.ndarray, "*y c"] | Float32[np.ndarray, "*y c"]
Known = Bool[np.ndarray, "*s"]
"""True for known pixels, false for those to fill in."""
Place = tuple[slice, ...]
"""Where a tile lies in the result."""
WINDOWS = (128, 320, 448, 640)
"""Edges of the windows of networks that take an image in a larger array, besides that of the largest tiles."""
GRAIN = 64
"""Window sizes are multiples of this, or that of the image, so that photos of all sizes share few compiled programs."""


class Span(NamedTuple):
    """A window along one axis, pixels [start, stop) of the input; its tile is pixels [first, last) of the output."""

    start: int
    stop: int
    first: int
    last: int


def spans(
    size: int, *, tile: int, halo: int, multiple: int, window: int | None = None, grain: int = GRAIN
) -> list[Span]:
    """Returns windows along one axis, all of one size, whose tiles cover 0 to `size` one after another.

    They start and stop at multiples of `multiple`; the last may stop beyond `size` by less than one multiple. A tile
    is at least `halo` away from the ends of its window, or at the end of the image.

    Args:
      size: size of the image, in pixels.
      tile: target size of a tile; rounding its window may add up to `grain`, each border of the image the halo.
      halo: distance to the pixels that an output pixel may depend on.
      multiple: pixels of a step of the network's coarsest grid.
      window: size of the windows, which a smaller image has in one; None chooses it by `tile`.
      grain: the windows are multiples of this, or as large as the image.

    Raises:
      InputError: `tile` is below 1.
    """
    require(tile >= 1, "tile", tile, "1 or more")
    padded, halo = _round_up(size, multiple), _round_up(halo, multiple)
    window = min(window or _window_size(padded, tile, halo, _round_up(grain, multiple)), padded)
    found, first = [], 0
    while first < size:
        start = min(max(first - halo, 0), padded - window)
        stop = start + window
        last = size if stop == padded else stop - halo
        found.append(Span(start, stop, first, last))
        first = last
    return found


class Window(NamedTuple):
    """What the network made of a window.

    Attributes:
      spans: the window along each spatial axis of the image.
      values: the result for all of the window, float32 (scale * size of each axis, c).
    """

    spans: tuple[Span, ...]
    values: Float32[np.ndarray, "*y c"]


def windows(sizes: tuple[int, ...], **layout: Any) -> list[tuple[Span, ...]]:
    """Returns the windows of an image of these spatial sizes from the first corner; the last axis runs fastest.

    Args:
      sizes: spatial sizes of the image, in pixels.
      layout: tile, halo, multiple, window and grain, see `spans`.
    """
    return list(itertools.product(*(spans(size, **layout) for size in sizes)))


def computed_windows(
    apply_fn: ApplyFn, pixels: AnyPixels, known: Known | None = None, **layout: Any
) -> Iterator[Window]:
    """Yields what the network makes of each window of an image, in the order of `windows`.

    Args:
      apply_fn: the network, which pads with zeros alone if sizes are multiples of `multiple`.
      pixels: (*spatial, c), uint8, uint16, or float32 in [-1, 1].
      known: (*spatial), passed to the network as 1 where true; None passes 1 everywhere.
      layout: see `windows`. An image whose sizes are no multiples is extended by repeating its last row and column.
    """
    for window in windows(pixels.shape[:-1], **layout):
        image = to_float(_cut(pixels, window))
        kept = np.ones(image.shape[:-1], np.float32) if known is None else _cut(known, window).astype(np.float32)
        yield Window(window, np.asarray(apply_fn(image[None], kept[None, ..., None]))[0])


def restored_tiles(
    apply_fn: ApplyFn, pixels: AnyPixels, known: Known | None = None, scale: int = 1, **layout: Any
) -> Iterator[tuple[Place, Float32[np.ndarray, "*y c"]]]:
    """Yields place and floats of tiles that cover the result once.

    Args:
      apply_fn: see `computed_windows`.
      pixels: see `computed_windows`.
      known: see `computed_windows`.
      scale: pixels of the result for each pixel of the image, along each axis.
      layout: see `windows`.
    """
    for window, values in computed_windows(apply_fn, pixels, known, **layout):
        part = tuple(slice(scale * (s.first - s.start), scale * (s.last - s.start)) for s in window)
        yield tuple(slice(scale * s.first, scale * s.last) for s in window), values[part]


def restore_tiled(
    apply_fn: ApplyFn,
    pixels: AnyPixels,
    known: Known | None = None,
    *,
    scale: int = 1,
    watch: Callable[[int, int], None] = lambda done, total: None,
    **layout: Any,
) -> Result:
    """Returns the result, rounded to the type of `pixels`; all other memory is independent of its size.

    Args:
      apply_fn: see `computed_windows`.
      pixels: see `computed_windows`.
      known: see `computed_windows`.
      scale: see `restored_tiles`.
      watch: called with the number of finished tiles and the total.
      layout: see `windows`.

    Raises:
      FloatingPointError: the network returned a value that is not finite.
    """
    *sizes, channels = pixels.shape
    tiles = restored_tiles(apply_fn, pixels, known, scale, **layout)
    total = len(windows(tuple(sizes), **layout))
    return assemble(tiles, (*(scale * size for size in sizes), channels), pixels.dtype, total, watch)


def assemble(
    tiles: Iterable[tuple[Place, Float32[np.ndarray, "*y c"]]],
    shape: tuple[int, ...],
    dtype: np.dtype,
    total: int,
    watch: Callable[[int, int], None],
) -> Result:
    """Returns the image that consists of tiles, rounded to a type of whole numbers; float32 is kept as it is.

    Args:
      tiles: place and floats in [-1, 1].
      shape: (*spatial, c) of the image.
      dtype: uint8, uint16 or float32.
      total: number of tiles.
      watch: see `restore_tiled`.

    Raises:
      FloatingPointError: a value is not finite.
    """
    image = np.empty(shape, dtype)
    for done, (place, values) in enumerate(tiles, 1):
        if not np.isfinite(values).all():
            first = place[0]
            raise FloatingPointError(
                f"the model returned values that are not finite in rows {first.start} to {first.stop}"
            )
        image[place] = _from_float(values, dtype)
        watch(done, total)
    return image


def choose_window(sizes: tuple[int, ...], *, tile: int, halo: int, multiple: int) -> int:
    """Returns the edge of the square or cubic windows in which an image costs least, of few, so that few are compiled.

    Args:
      sizes: spatial sizes of the image, in pixels.
      tile: see `spans`; the largest windows hold a tile of this size.
      halo: see `spans`.
      multiple: see `spans`.

    Raises:
      InputError: `tile` is below 1.
    """
    require(tile >= 1, "tile", tile, "1 or more")
    largest, margins = _round_up(tile + 2 * halo, GRAIN), 2 * _round_up(halo, multiple)
    edges = [_round_up(edge, multiple) for edge in (*WINDOWS, largest) if edge <= largest]

    def pixels(edge: int) -> int | float:
        inner = [_round_up(size, multiple) - margins for size in sizes]
        nums = [1 if n + margins <= edge else -(-n // (edge - margins)) if edge > margins else math.inf for n in inner]
        return edge ** len(sizes) * math.prod(nums)

    return min(edges, key=pixels)


def in_windows(apply_fn: Callable[..., Any], edge: int, scale: int = 1) -> ApplyFn:
    """Returns a function of images of up to `edge` pixels, which calls one of squares or cubes of exactly that many.

    Args:
      apply_fn: (images (1, edge, edge, c), known (1, edge, edge, 1), extent int32 (2,)) -> result, where the image is
        the first `extent` rows and columns; of volumes there are three axes.
      edge: of the squares or cubes.
      scale: see `restored_tiles`.
    """

    def restored(images: np.ndarray, known: np.ndarray) -> np.ndarray:
        sizes = images.shape[1:-1]
        beyond = ((0, 0), *((0, edge - size) for size in sizes), (0, 0))
        result = np.asarray(apply_fn(np.pad(images, beyond), np.pad(known, beyond), np.asarray(sizes, np.int32)))
        return result[(slice(None), *(slice(scale * size) for size in sizes))]

    return restored


def _window_size(padded: int, tile: int, halo: int, grain: int) -> int:
    """Returns the size of the windows along an axis, a multiple of `grain`, for as few, nearly equal tiles as possible.

    An image whose size is not a multiple of `grain` gets at least two windows, or else each size would be compiled; if
    these are not smaller than the image, the window is the whole image.
    """
    inner = max(padded - 2 * halo, 0)
    if inner <= tile and padded % grain == 0:
        return padded
    num = max(2, -(-inner // tile))
    return min(_round_up(-(-inner // num) + 2 * halo, grain), padded)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _cut(array: np.ndarray, window: tuple[Span, ...]) -> np.ndarray:
    """Returns the pixels of a window; beyond the image its last row and column are repeated."""
    part = array[tuple(slice(s.start, s.stop) for s in window)]
    beyond = [(0, s.stop - s.start - size) for s, size in zip(window, part.shape, strict=False)]
    if not any(after for _, after in beyond):
        return part
    return np.pad(part, beyond + [(0, 0)] * (part.ndim - len(beyond)), mode="edge")


def to_float(pixels: np.ndarray) -> np.ndarray:
    """Converts uint8 or uint16 to float32 in [-1, 1]; floats in [-1, 1] are kept."""
    if np.issubdtype(pixels.dtype, np.floating):
        return pixels.astype(np.float32)
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max / 2) - np.float32(1)


def _from_float(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Converts floats in [-1, 1] to uint8 or uint16, rounded to the nearest and clipped; float32 is kept."""
    if np.issubdtype(dtype, np.floating):
        return values
    largest = np.iinfo(dtype).max
    return np.clip(np.rint((values + np.float32(1)) * np.float32(largest / 2)), 0, largest).astype(dtype)
