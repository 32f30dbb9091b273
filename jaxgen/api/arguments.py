"""Arguments as users give them, converted to what the rest of the package takes."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from jaxgen.config_json import from_dict
from jaxgen.errors import InputError, require
from jaxgen.photos.reading import read_photo
from jaxgen.photos.writing import to_8_bits
from jaxgen.training.config import TrainConfig

T = TypeVar("T")
MODES = ("L", "RGB", "I;16")


def as_config(cls: type[T], given: Any, field: str, **otherwise: Any) -> T:
    """Returns a configuration from itself, from a dict of some of its fields, or from None.

    Args:
      cls: dataclass of the configuration.
      given: what the user gave.
      field: name of the argument.
      otherwise: values of fields that a dict, or None, leaves out.

    Raises:
      InputError: neither of these, or the dict has an unknown field or a value of another type.
    """
    known = given is None or isinstance(given, cls | dict)
    require(known, field, given, f"jaxgen.{cls.__name__}, or a dict of its fields")
    return given if isinstance(given, cls) else from_dict(cls, {**otherwise, **(given or {})}, f"{field}.")


def as_settings(out: Any, **numbers: Any) -> TrainConfig:
    """Returns the settings of a training; raises `InputError` if one is not of its type."""
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in numbers.items()}
    folder = os.fspath(out) if isinstance(out, str | os.PathLike) else out or "runs"
    return from_dict(TrainConfig, {**plain, "out": folder})


def as_pixels(image: Any, field: str) -> np.ndarray:
    """Returns an image as an array, from an array, a PIL image or the path of a file."""
    if isinstance(image, str | os.PathLike):
        return read_photo(Path(image)).pixels
    if isinstance(image, Image.Image):
        require(image.mode in MODES, field, f"a PIL image of mode {image.mode}", f"{', '.join(MODES)}; see its convert")
    return np.asarray(image)


def as_missing(mask: Any) -> np.ndarray:
    """Returns a mask as bool (h, w): true where it is true or above 0, or where a picture is white or light grey."""
    if isinstance(mask, str | os.PathLike | Image.Image):
        pixels = as_pixels(mask, "mask")
        return to_8_bits(pixels.reshape(*pixels.shape[:2], -1)).max(axis=-1) >= 128
    return np.asarray(mask) > 0


def as_stack(images: Any) -> np.ndarray:
    """Returns images as one array, from an array or a list of what `as_pixels` takes."""
    if isinstance(images, Sequence) and len(images) > 0 and not isinstance(images, str):
        parts = [as_pixels(image, "images") for image in images]
        shapes = sorted({part.shape for part in parts})
        if len(shapes) > 1:
            accepted = 'images of one size, or "folder:PATH" with image_size'
            raise InputError(f"images: got shapes {', '.join(map(str, shapes[:3]))}; accepted: {accepted}")
        images = np.stack(parts)
    single = isinstance(images, str | os.PathLike | Image.Image)
    require(not single, "images", images, "arrays (n, h, w) or (n, h, w, c), or a list of images")
    return np.asarray(images)


def to_integers(array: np.ndarray, field: str, dtype: Any) -> np.ndarray:
    """Returns floats in [0, 1] scaled to the whole range of an integer type."""
    real = np.issubdtype(array.dtype, np.floating)
    accepted = "uint8, uint16 or floats in [0, 1]"
    require(real, field, str(array.dtype), accepted)
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    require(low >= 0 and high <= 1, field, f"floats from {low:g} to {high:g}", accepted)
    return np.rint(array.astype(np.float64) * np.iinfo(dtype).max).astype(dtype)
