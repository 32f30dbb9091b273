"""Arrays of images and of their classes, wherever they come from: what is accepted, and the one form that they get."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32, UInt8

from jaxgen.errors import InputError
from jaxgen.types import Grid

VALUES = "uint8, bool or floats in [0, 1]"
IMAGES = f"{VALUES}, of shape (n, h, w) or (n, h, w, c) with c of 1 or 3, not empty"
VOLUMES = f"{VALUES}, of shape (n, d, h, w) or (n, d, h, w, c) with c of 1 or 3, not empty"
CHUNK = 256
"""Number of images that are converted at a time, so that floats need little memory."""


class Classes(NamedTuple):
    """The classes of images.

    Attributes:
      numbers: class of each image, from 0.
      names: name of each class, in order.
    """

    numbers: Int32[np.ndarray, "n"]
    names: tuple[str, ...]


def check_shape(shape: tuple[int, ...], dtype: np.dtype, field: str, spatial: int = 2) -> Grid:
    """Returns (*spatial, c) of an array of images, which have two spatial axes, or of volumes, which have three.

    Raises:
      InputError: another shape or type, or images of three axes of which the last could be channels; begins with
        `field`.
    """
    if spatial == 2 and len(shape) == 3 and shape[2] in (1, 3, 4) and min(shape) > 0:
        raise InputError(
            f"{field}: got shape {shape}, which is one image (h, w, c) or images (n, h, w) of width {shape[2]}; "
            "accepted: (n, h, w, c): add an axis in front (one image) or at the end (grey images)"
        )
    typed = dtype in (np.uint8, np.bool_) or np.issubdtype(dtype, np.floating)
    channels = shape[-1] if len(shape) == spatial + 2 else 1
    if not typed or len(shape) not in (spatial + 1, spatial + 2) or channels not in (1, 3) or min(shape) < 1:
        accepted = IMAGES if spatial == 2 else VOLUMES
        hint = "; volumes need a volume_size (--volume-size)" if spatial == 2 and len(shape) in (4, 5) else ""
        raise InputError(f"{field}: got {dtype} of shape {shape}; accepted: {accepted}{hint}")
    return *shape[1 : spatial + 1], channels


def to_bytes(images: np.ndarray, field: str) -> UInt8[np.ndarray, "*s"]:
    """Returns pixels as uint8, of the same shape; floats in [0, 1] and bool are scaled to 0 to 255.

    Raises:
      InputError: a float that is not finite or not in [0, 1]; begins with `field`.
    """
    if images.dtype == np.uint8:
        return images
    values = images.astype(np.float64)
    low, high = float(values.min()), float(values.max())  # not a number if one value is not
    if not (low >= 0 and high <= 1):
        finite = np.isfinite(values).all()
        found = f"from {low:g} to {high:g}" if finite else "with values that are infinite or not a number"
        raise InputError(f"{field}: got {images.dtype} {found}; accepted: {VALUES}")
    return np.rint(values * 255).astype(np.uint8)


def check_images(images: Any, field: str = "images", spatial: int = 2) -> UInt8[np.ndarray, "n *s c"]:
    """Returns images in memory as uint8 (n, h, w, c), or volumes as uint8 (n, d, h, w, c).

    Args:
      images: (n, *spatial) or (n, *spatial, c) with c of 1 or 3; uint8, bool, or floats in [0, 1].
      field: name of the argument in errors.
      spatial: number of spatial axes, 2 of images or 3 of volumes.

    Raises:
      InputError: they are none of these.
    """
    array = np.asarray(images)
    shape = check_shape(array.shape, array.dtype, field, spatial)
    if array.dtype == np.uint8:
        return array.reshape(len(array), *shape)
    result = np.empty((len(array), *shape), np.uint8)
    for start in range(0, len(array), CHUNK):
        part = array[start : start + CHUNK]
        result[start : start + CHUNK] = to_bytes(part, field).reshape(-1, *shape)
    return result


def check_classes(labels: Any, num_images: int, names: Any = None, field: str = "labels") -> Classes:
    """Returns the classes that occur among labels, in the order of their values.

    Args:
      labels: integers of 0 or more, or the names themselves, (n,) or (n, 1).
      num_images: n.
      names: name of each class that occurs, in the order of the values; or of each value from 0, as far as the largest.
        None names integers by their digits.
      field: name of the argument in errors.

    Raises:
      InputError: labels or names of another type or number.
    """
    array = np.asarray(labels)
    if array.dtype == object and all(isinstance(label, str) for label in array.flat):
        array = array.astype(str)  # a column of a table
    array = array[:, 0] if array.shape == (num_images, 1) else array
    found = f"{array.dtype} of shape {array.shape}"
    accepted = f"integers of 0 or more, or names, of shape ({num_images},), one for each image"
    if array.dtype.kind not in "biuU" or array.shape != (num_images,):
        raise InputError(f"{field}: got {found}; accepted: {accepted}")
    array = array.astype(np.int64) if array.dtype.kind == "b" else array
    values, numbers = np.unique(array, return_inverse=True)
    text = array.dtype.kind == "U"
    if not text and values[0] < 0:
        raise InputError(f"{field}: got {values[0]}; accepted: {accepted}")
    if names is None:
        return Classes(numbers.astype(np.int32), tuple(map(str, values)))
    if text:
        raise InputError(f"{field}: got names and label_names as well; accepted: integers with label_names")
    return Classes(numbers.astype(np.int32), _names_of(values, names, field))


def _names_of(values: np.ndarray, names: Any, field: str) -> tuple[str, ...]:
    """Returns the names of the classes that occur."""
    array = np.asarray(names)
    listed = tuple(map(str, array.ravel()))
    usable = array.ndim == 1 and array.dtype.kind == "U" and len(set(listed)) == len(listed)
    if usable and len(listed) > values[-1]:
        return tuple(listed[value] for value in values)
    if usable and len(listed) == len(values):
        return listed
    raise InputError(
        f"label_names of {field}: got {array.dtype} of shape {array.shape} for the classes {_few(values)}; "
        f"accepted: {len(values)} different texts, one for each class that occurs, or one for each value from 0"
    )


def match_classes(names: Sequence[str], known: Sequence[str], field: str = "labels") -> Int32[np.ndarray, "n"]:
    """Returns the place of each of some classes among the known ones.

    Args:
      names: by the names of the known classes; or, if one of them is none, all by their numbers from 0, unless
        the names are numbers themselves.
      known: names of the known classes, in order.
      field: name of the argument in errors.

    Raises:
      InputError: a class is neither.
    """
    by_name = {name: place for place, name in enumerate(known)}
    by_number = by_name if all(map(str.isdecimal, known)) else {str(place): place for place in range(len(known))}
    places = by_name if set(names) <= set(by_name) else by_number
    wrong = sorted((name for name in names if name not in places), key=lambda name: name in by_name)
    if wrong:
        accepted = _few(known) if by_name == by_number else f"{_few(known)}, or 0 to {len(known) - 1}"
        raise InputError(f"{field}: got {wrong[0]!r}; accepted: {accepted}")
    return np.array([places[name] for name in names], np.int32)


def _few(values: Sequence[Any] | np.ndarray) -> str:
    """Returns values separated by commas; of more than twelve the first ten and the last."""
    texts = [str(value) for value in values]
    return ", ".join(texts if len(texts) <= 12 else [*texts[:10], "...", texts[-1]])
