"""Pictures of a restorer's results: damaged, restored, original, and the error that is left."""

import numpy as np

from jaxgen.images import make_grid
from jaxgen.tasks.restoration.evaluation.table import Example
from jaxgen.volumes.pictures import orthogonal_slices

ERROR_GAIN = 4
"""Factor of the error map: an error of a quarter of the range is white."""


def error_map(restored: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Returns |restored - clean| times `ERROR_GAIN`, clipped; uint8 (n, *s, c), like both arguments."""
    difference = np.abs(restored.astype(np.int32) - clean.astype(np.int32))
    return np.minimum(ERROR_GAIN * difference, 255).astype(np.uint8)


def restoration_sheet(degraded: np.ndarray, restored: np.ndarray, clean: np.ndarray, num: int) -> np.ndarray:
    """Returns a picture with a row for each of the first `num` images: damaged, restored, original, error map.

    Args:
      degraded: damaged images, uint8 (n, h, w, c); of volumes (n, d, h, w, c) the middle slices across each axis are
        shown.
      restored: restored images, likewise.
      clean: originals, likewise.
      num: largest number of rows.

    Returns:
      uint8 (H, W, c).
    """
    columns = (degraded[:num], restored[:num], clean[:num], error_map(restored[:num], clean[:num]))
    if degraded.ndim == 5:
        columns = tuple(np.concatenate(list(np.moveaxis(orthogonal_slices(x), 1, 0)), axis=2) for x in columns)
    cells = np.stack(columns, axis=1)
    return make_grid(cells.reshape(-1, *cells.shape[2:]), len(columns))


def sheet_of_examples(examples: list[Example], largest: int = 256) -> np.ndarray:
    """Returns a picture with a row for each example; large images are cut to their middle `largest` pixels a side."""
    parts = [np.stack([_middle(example[i], largest) for example in examples]) for i in range(3)]
    return restoration_sheet(*parts, num=len(examples))


def _middle(image: np.ndarray, largest: int) -> np.ndarray:
    starts = (max(0, edge - largest) // 2 for edge in image.shape[:-1])
    return image[tuple(slice(start, start + largest) for start in starts)]
