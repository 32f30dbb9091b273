"""A network on an image of any size, tile by tile, with the result of the whole image.

A tile is restored from a window that reaches past it by at least the network's receptive field, except where it ends
at the border of the image: the network then sees the same zeros there as on the whole image. Windows at the border are
shifted inwards, not padded. What depends on all pixels (a mean over the image) cannot be tiled.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, UInt8, UInt16

from jaxgen.errors import require

ApplyFn = Callable[[np.ndarray, np.ndarray], Any]
"""(images float32 (1, h, w, c) in [-1, 1], known float32 (1, h, w, 1)) -> restored images; h and w may vary."""
Pixels = UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"]
AnyPixels = Pixels | Float32[np.ndarray, "h w c"]
Known = Bool[np.ndarray, "h w"]
"""True where a pixel is known, false where it is to be filled in."""
GRAIN = 64
"""Windows are multiples of this many pixels, or whole, so that photos of all sizes share a few compiled programs."""


class Span(NamedTuple):
    """A window along one axis: it sees start to stop and gives first to last (each without its end), in pixels."""

    start: int
    stop: int
    first: int
    last: int


def spans(size: int, *, tile: int, halo: int, multiple: int) -> list[Span]:
    """Windows along one axis, all of one size, whose given parts follow each other from 0 to `size`.

    They start and stop at multiples of `multiple`; the last may stop beyond `size` by less than one. A given part is
    at least `halo` away from the ends of its window, or at the end of the image.

    Args:
      size: of the image, in pixels.
      tile: pixels that a window gives at most; those between two borders may give up to `GRAIN` more.
      halo: pixels that an output pixel may depend on, to each side.
      multiple: of the network's coarsest grid, in pixels.

    Raises:
      InputError: a `tile` below 1.
    """
    require(tile >= 1, "tile", tile, "1 or more")
    padded, halo = _round_up(size, multiple), _round_up(halo, multiple)
    window = _window_size(padded, tile, halo, _round_up(GRAIN, multiple))
    found, first = [], 0
    while first < size:
        start = min(max(first - halo, 0), padded - window)
        stop = start + window
        last = size if stop == padded else stop - halo
        found.append(Span(start, stop, first, last))
        first = last
    return found


def restored_tiles(
    apply_fn: ApplyFn, pixels: AnyPixels, known: Known | None = None, *, tile: int, halo: int, multiple: int
) -> Iterator[tuple[slice, slice, Float32[np.ndarray, "y x c"]]]:
    """Rows, columns and restored floats of tiles that cover the image once.

    Args:
      apply_fn: the network; on sizes that are multiples of `multiple` it pads with zeros alone.
      pixels: (h, w, c), uint8, uint16, or float32 in [-1, 1].
      known: (h, w), given to the network as 1 where true; None gives 1 everywhere.
      tile: see `spans`.
      halo: see `spans`.
      multiple: see `spans`. An image whose size is none is continued with its last row and column.
    """
    height, width = pixels.shape[:2]
    for y in spans(height, tile=tile, halo=halo, multiple=multiple):
        for x in spans(width, tile=tile, halo=halo, multiple=multiple):
            image = _to_float(_cut(pixels, y, x))
            told = np.ones(image.shape[:2], np.float32) if known is None else _cut(known, y, x).astype(np.float32)
            result = np.asarray(apply_fn(image[None], told[None, ..., None]))[0]
            inner = result[y.first - y.start : y.last - y.start, x.first - x.start : x.last - x.start]
            yield slice(y.first, y.last), slice(x.first, x.last), inner


def restore_tiled(
    apply_fn: ApplyFn,
    pixels: Pixels,
    known: Known | None = None,
    *,
    tile: int,
    halo: int,
    multiple: int,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> Pixels:
    """The restored image, rounded to the type of `pixels`; apart from it memory does not grow with the image.

    Args:
      apply_fn: see `restored_tiles`.
      pixels: see `restored_tiles`.
      known: see `restored_tiles`.
      tile: see `spans`.
      halo: see `spans`.
      multiple: see `spans`.
      watch: called with the number of finished tiles and of all.

    Raises:
      FloatingPointError: the network gave a value that is no number.
    """
    layout = {"tile": tile, "halo": halo, "multiple": multiple}
    total = len(spans(pixels.shape[0], **layout)) * len(spans(pixels.shape[1], **layout))
    restored = np.empty(pixels.shape, pixels.dtype)
    for done, (rows, columns, values) in enumerate(restored_tiles(apply_fn, pixels, known, **layout), 1):
        if not np.isfinite(values).all():
            raise FloatingPointError(f"the model gave no numbers in rows {rows.start} to {rows.stop}")
        restored[rows, columns] = _from_float(values, pixels.dtype)
        watch(done, total)
    return restored


def _window_size(padded: int, tile: int, halo: int, grain: int) -> int:
    """Pixels of the windows along an axis: as few windows as `tile` allows, of about equal tiles, rounded to `grain`.

    A size that is not on the grain takes two windows where it could take one, lest each size be compiled anew; where
    two would not be smaller it is taken whole.
    """
    inner = max(padded - 2 * halo, 0)
    if inner <= tile and padded % grain == 0:
        return padded
    num = max(2, -(-inner // tile))
    return min(_round_up(-(-inner // num) + 2 * halo, grain), padded)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _cut(array: np.ndarray, y: Span, x: Span) -> np.ndarray:
    """The window; beyond the image its last row and column are repeated."""
    part = array[y.start : y.stop, x.start : x.stop]
    below, right = y.stop - y.start - part.shape[0], x.stop - x.start - part.shape[1]
    if below == right == 0:
        return part
    return np.pad(part, ((0, below), (0, right)) + ((0, 0),) * (part.ndim - 2), mode="edge")


def _to_float(pixels: np.ndarray) -> np.ndarray:
    """uint8 or uint16 to float32 in [-1, 1]; floats of [-1, 1] stay."""
    if np.issubdtype(pixels.dtype, np.floating):
        return pixels.astype(np.float32)
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max / 2) - np.float32(1)


def _from_float(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Floats in [-1, 1] to uint8 or uint16, rounded to the nearest and clipped."""
    largest = np.iinfo(dtype).max
    return np.clip(np.rint((values + np.float32(1)) * np.float32(largest / 2)), 0, largest).astype(dtype)
