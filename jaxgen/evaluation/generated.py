"""Generated images to evaluate, batch by batch: from a run, or from a file that any program wrote."""

import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int32
from numpy.lib import format as npy

from jaxgen.data.base import Source
from jaxgen.errors import InputError
from jaxgen.metrics.checks import require_images

Batches = Iterator[tuple[np.ndarray, np.ndarray | None]]


class Generated(NamedTuple):
    """Generated images that can be read more than once.

    Attributes:
      origin: a description of where they come from.
      num: number of images.
      shape: (h, w, c).
      labelled: whether they have labels, the classes that they were generated for.
      batches: (at_once) -> uint8 images (b, h, w, c) and int labels (b,) or None, in the same order each time.
    """

    origin: str
    num: int
    shape: tuple[int, int, int]
    labelled: bool
    batches: Callable[[int], Batches]


def generated_from_file(path: Path, num: int | None = None, seed: int = 0) -> Generated:
    """Returns the images and, if present, labels of an .npz archive; images are read batch by batch, never all at once.

    Args:
      path: the archive, with `images` (n, h, w, c) or (n, h, w), uint8 or float in [0, 1], and `labels`, integers (n,).
      num: number of images to use, drawn at random since files may be sorted; None for all.
      seed: determines which images are drawn.

    Raises:
      InputError: not such an archive or, while it is read, a value that is not finite or out of range.
    """
    with _archive(path) as archive:
        names = archive.namelist()
        if "images.npy" not in names:
            raise InputError(f"{path}: has no array images; accepted: an .npz archive with images (n, h, w, c)")
        shape, dtype = _header(path, archive)
        labels = _labels(path, archive, shape[0]) if "labels.npy" in names else None
    size, used = (*shape[1:], 1)[:3], choose_rows(shape[0], shape[0] if num is None else num, seed)

    def batches(at_once: int) -> Batches:
        with _archive(path) as archive, archive.open("images.npy") as file:
            _read_header(file)
            for start in range(0, shape[0], at_once):
                images = _read(path, file, dtype, (min(at_once, shape[0] - start), *size))
                require_images(images, f"images {start} to {start + len(images) - 1} of {path.name}")
                if images.dtype != np.uint8:
                    images = np.rint(images * 255).astype(np.uint8)
                rows = used[start : start + len(images)]
                if rows.any():
                    yield images[rows], None if labels is None else labels[start : start + len(images)][rows]

    return Generated(f"{path.name}", int(used.sum()), size, labels is not None, batches)


def choose_rows(total: int, num: int, seed: int) -> Bool[np.ndarray, "total"]:
    """Returns a mask of `num` out of `total` rows, chosen at random; of all rows if there are no more."""
    rows = np.zeros(total, np.bool_)
    # a stream of its own: that of the seed alone would choose what comes last in the first epoch of a training
    rows[np.random.default_rng((seed, 0, 4)).choice(total, min(num, total), replace=False)] = True
    return rows


def draw_labels(source: Source, num: int, seed: int) -> Int32[np.ndarray, "n"]:
    """Draws labels (num,) from those of the source, so with its class frequencies."""
    return np.random.default_rng(seed).choice(source.labels, num).astype(np.int32)


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({reason}); accepted: an .npz archive") from None


def _header(path: Path, archive: zipfile.ZipFile) -> tuple[tuple[int, ...], np.dtype]:
    """Returns shape and dtype of `images`; checks both and the size of the array, but no values."""
    try:
        with archive.open("images.npy") as file:
            shape, fortran, dtype = _read_header(file)
            held = archive.getinfo("images.npy").file_size - file.tell()
    except Exception as error:  # NumPy raises almost anything for a header that is none
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        raise InputError(f"{path}: images cannot be read ({reason}); accepted: a whole .npz archive") from None
    numbers = dtype == np.uint8 or np.issubdtype(dtype, np.floating)
    if fortran or not numbers or len(shape) not in (3, 4) or min(shape) < 1 or (*shape, 1)[3] > 4:
        accepted = "uint8, or floats in 0 to 1, of shape (n, h, w, c) or (n, h, w), in C order, not empty"
        raise InputError(f"{path}: images is {dtype} of shape {shape}; accepted: {accepted}")
    if held != math.prod(shape) * dtype.itemsize:
        raise InputError(f"{path}: images is damaged ({held} bytes of shape {shape}); accepted: a whole .npz archive")
    return shape, dtype


def _read(path: Path, file: Any, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Reads the next images of an opened array."""
    try:
        return np.frombuffer(file.read(int(np.prod(shape)) * dtype.itemsize), dtype).reshape(shape)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: images is damaged ({error}); accepted: a whole .npz archive") from None


def _read_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(file)
    return (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)


def _labels(path: Path, archive: zipfile.ZipFile, num: int) -> np.ndarray:
    try:
        with archive.open("labels.npy") as file:
            labels = npy.read_array(file, allow_pickle=False)
    except Exception as error:  # NumPy raises almost anything, see `_header`
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"{path}: labels cannot be read ({reason}); accepted: integers ({num},)") from None
    if labels.shape != (num,) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"{path}: labels is {labels.dtype} of shape {labels.shape}; accepted: integers ({num},)")
    return labels.astype(np.int32)
