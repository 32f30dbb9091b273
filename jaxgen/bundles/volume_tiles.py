"""The tiles of volumes, as large as the memory allows."""

import math

from jaxgen.bundles.tiling import GRAIN, spans

MOST_VOXELS = 8_000_000
"""Voxels of a window of a volume, unless the network reaches farther."""


def largest_tile(sizes: tuple[int, ...], pixels: int, *, halo: int, multiple: int, grain: int = GRAIN) -> int:
    """Returns the largest tile whose windows hold at most so many pixels, or `halo` where that needs smaller ones.

    Of smaller tiles the windows of a volume would hold more than 27 times as many voxels as they restore.

    Args:
      sizes: spatial sizes of the image, in pixels.
      pixels: pixels of a window at most.
      halo: see `spans`.
      multiple: see `spans`.
      grain: see `spans`.
    """
    least = max(-(-halo // multiple) * multiple, multiple)
    for tile in range(-(-max(sizes) // multiple) * multiple, least, -multiple):
        layout = {"tile": tile, "halo": halo, "multiple": multiple, "grain": grain}
        first = [spans(size, **layout)[0] for size in sizes]
        if math.prod(s.stop - s.start for s in first) <= pixels:
            return tile
    return least


def layout_of_volume(sizes: tuple[int, ...], *, halo: int, multiple: int, tile: int | None = None) -> dict[str, int]:
    """Returns the layout of a volume, for `spans`: windows that fit it, as wider ones cost three times as much.

    Args:
      sizes: (d, h, w) in voxels.
      halo: see `spans`.
      multiple: see `spans`.
      tile: see `spans`; None for the largest within `MOST_VOXELS`.
    """
    layout = {"halo": halo, "multiple": multiple, "grain": 1}
    return {**layout, "tile": tile or largest_tile(sizes, MOST_VOXELS, **layout)}
