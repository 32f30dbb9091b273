"""Files of arrays: the one reader of .npz and .npy files of images, for training and for evaluation.

Nothing is unpickled, and images are read in parts, so that a large file need not fit in memory.
"""

import contextlib
import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from numpy.lib import format as npy

from jaxgen.data.arrays import CHUNK, Classes, check_classes, check_shape, to_bytes
from jaxgen.errors import InputError, reject
from jaxgen.types import Grid

NAMES = {
    "images": ("labels", "y"),
    "x": ("y", "labels"),
    "arr_0": ("labels", "y", "arr_1"),
    "x_train": ("y_train",),
    "train_images": ("train_labels",),
}
"""Names of the array of images in an archive, the first that is there counts; with those of its array of labels.

They are those of the split train. The others have only `SPLIT_images` or `x_SPLIT`.
"""
FILE = (
    f"an .npy file of images, or an .npz archive of them as {', '.join(NAMES)}, perhaps with labels (also y) and "
    "label_names"
)


class ArrayFile(NamedTuple):
    """The images of a file, which are read when they are needed.

    Attributes:
      num: number of images.
      shape: height, width and channels; of volumes depth first.
      classes: their classes, if there are any.
      batches: (at_once) -> uint8 images (b, *shape), from the first to the last; each call begins anew.
    """

    num: int
    shape: Grid
    classes: Classes | None
    batches: Callable[[int], Iterator[np.ndarray]]


class _Header(NamedTuple):
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype


def open_arrays(path: Path, field: str, split: str = "train", spatial: int = 2) -> ArrayFile:
    """Opens the images and classes of an .npz or .npy file; `check_images` and `check_classes` say what is accepted.

    The names of arrays are also those of MedMNIST, `train_images`, `val_images` and `test_images`.

    Args:
      path: an .npz archive with `images` and perhaps `labels` and `label_names`, or other names of `NAMES`; or an .npy
        file of images alone.
      field: name of the argument that names the file, for errors.
      split: which images of an archive that holds several splits.
      spatial: number of spatial axes, 2 of images or 3 of volumes.

    Raises:
      InputError: not such a file, or arrays that are not accepted; floats out of range are found by `batches`.
    """
    if not path.is_file():
        reject(field, str(path), "an existing file")
    with _reading(path):
        names = _array_names(path)
    known = NAMES if split == "train" else {f"{split}_images": (f"{split}_labels",), f"x_{split}": (f"y_{split}",)}
    name = next((name for name in known if names is None or name in names), None)
    if split != "train" and (names is None or name is None):
        reject("split", split, f"train, since {path} has no {split}_images")
    if name is None:
        raise InputError(f"{path}: has the arrays {', '.join(names or ()) or 'none'}; accepted: {FILE}")
    member, where = None if names is None else name, f"{name if names else 'images'} in {path}"
    with _reading(path, where), _opened(path, member) as (file, size):
        header, held = _read_header(file), size - file.tell()
    shape = check_shape(header.shape, header.dtype, where, spatial)
    if held != math.prod(header.shape) * header.dtype.itemsize:
        raise InputError(f"{where}: got {held} bytes of shape {header.shape}; accepted: {FILE}, not damaged")
    batches = _batches_of(path, member, where, shape)
    return ArrayFile(header.shape[0], shape, _classes(path, known[name], names or [], header.shape[0]), batches)


def read_arrays(file: ArrayFile, fit: Callable[[np.ndarray], np.ndarray]) -> UInt8[np.ndarray, "n *s c"]:
    """Returns all images of a file, each batch of which `fit` has cut to size."""
    return np.concatenate([fit(batch) for batch in file.batches(CHUNK)])


def _batches_of(path: Path, member: str | None, where: str, shape: Grid) -> Callable[[int], Iterator[np.ndarray]]:
    """Returns the function that reads the images of a file in parts; in column-major order only as a whole."""

    def batches(at_once: int) -> Iterator[np.ndarray]:
        with _reading(path, where), _opened(path, member) as (file, _):
            (num, *rest), fortran, dtype = _read_header(file)
            step = num if fortran else at_once
            for start in range(0, num, step):
                size = (min(step, num - start), *rest)
                flat = np.frombuffer(file.read(math.prod(size) * dtype.itemsize), dtype)
                part = flat.reshape(size[::-1]).T if fortran else flat.reshape(size)
                for first in range(0, len(part), at_once):
                    yield to_bytes(part[first : first + at_once], where).reshape(-1, *shape)

    return batches


def _array_names(path: Path) -> list[str] | None:
    """Returns the names of the arrays of an archive; None for a single array."""
    with path.open("rb") as file:
        if file.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX:
            return None
    with zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


@contextlib.contextmanager
def _opened(path: Path, member: str | None) -> Iterator[tuple[Any, int]]:
    """Opens an array and gives it with its size in bytes; `member` names it in an archive."""
    if member is None:
        with path.open("rb") as file:
            yield file, path.stat().st_size
        return
    with zipfile.ZipFile(path) as archive, archive.open(f"{member}.npy") as file:
        yield file, archive.getinfo(f"{member}.npy").file_size


def _read_header(file: Any) -> _Header:
    version = npy.read_magic(file)
    return _Header(*(npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file))


def _classes(path: Path, known: Sequence[str], names: list[str], num: int) -> Classes | None:
    """Returns the classes in an archive, where their array has one of the known names."""
    name = next((name for name in known if name in names), None)
    if name is None:
        return None
    labels = _small_array(path, name)
    label_names = _small_array(path, "label_names") if "label_names" in names else None
    return check_classes(labels, num, label_names, f"{name} in {path}")


def _small_array(path: Path, name: str) -> np.ndarray:
    with _reading(path, f"{name} in {path}"), _opened(path, name) as (file, _):
        return npy.read_array(file, allow_pickle=False)


@contextlib.contextmanager
def _reading(path: Path, where: str = "") -> Iterator[None]:
    """Turns errors of a damaged file into one line: they are of zipfile, zlib, struct, OSError and NumPy."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        raise InputError(f"{where or path}: cannot be read ({reason}); accepted: {FILE}") from None
