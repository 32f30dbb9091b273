"""Generated images to evaluate, batch by batch: from a run, or from a file that any program wrote."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32

from jaxgen.data.array_files import open_arrays
from jaxgen.data.base import Source
from jaxgen.types import Grid

Batches = Iterator[tuple[np.ndarray, np.ndarray | None]]


class Generated(NamedTuple):
    """Generated images that can be read more than once.

    Attributes:
      origin: a description of where they come from.
      num: number of images.
      shape: (*spatial, c).
      labelled: whether they have labels, the classes that they were generated for.
      batches: (at_once) -> uint8 images (b, *spatial, c) and int labels (b,) or None, in the same order each time.
      class_names: names of the classes, by which they are found among those of the real images; None if the labels are
        numbers of these.
    """

    origin: str
    num: int
    shape: Grid
    labelled: bool
    batches: Callable[[int], Batches]
    class_names: tuple[str, ...] | None = None


def generated_from_file(path: Path, num: int | None = None, seed: int = 0, spatial: int = 2) -> Generated:
    """Returns the images and, if present, classes of a NumPy file; images are read in parts, never all at once.

    Args:
      path: .npz or .npy file, see `open_arrays`.
      num: number of images to use, drawn at random since files may be sorted; None for all.
      seed: determines which images are drawn.
      spatial: number of spatial axes, 2 of images or 3 of volumes.

    Raises:
      InputError: not such a file or, while it is read, a value that is not finite or out of range.
    """
    file = open_arrays(path, "samples", spatial=spatial)
    classes, used = file.classes, choose_rows(file.num, file.num if num is None else num, seed)

    def batches(at_once: int) -> Batches:
        for i, images in enumerate(file.batches(at_once)):
            part = slice(i * at_once, i * at_once + len(images))
            if used[part].any():
                yield images[used[part]], None if classes is None else classes.numbers[part][used[part]]

    names = None if classes is None else classes.names
    return Generated(f"{path.name}", int(used.sum()), file.shape, classes is not None, batches, names)


def generated_from_source(source: Source, num: int | None = None, seed: int = 0) -> Generated:
    """Returns the images and, if present, classes of a source, such as a folder; see `generated_from_file`."""
    rows = np.flatnonzero(choose_rows(source.num_images, source.num_images if num is None else num, seed))

    def batches(at_once: int) -> Batches:
        for start in range(0, len(rows), at_once):
            index = rows[start : start + at_once]
            yield source.take(index), None if source.labels is None else source.labels[index]

    return Generated(source.name, len(rows), source.shape, source.labels is not None, batches, source.class_names)


def choose_rows(total: int, num: int, seed: int) -> Bool[np.ndarray, "total"]:
    """Returns a mask of `num` out of `total` rows, chosen at random; of all rows if there are no more."""
    rows = np.zeros(total, np.bool_)
    # a stream of its own: that of the seed alone would choose what comes last in the first epoch of a training
    rows[np.random.default_rng((seed, 0, 4)).choice(total, min(num, total), replace=False)] = True
    return rows


def draw_labels(source: Source, num: int, seed: int) -> Int32[np.ndarray, "n"]:
    """Draws labels (num,) from those of the source, so with its class frequencies."""
    return np.random.default_rng(seed).choice(source.labels, num).astype(np.int32)
