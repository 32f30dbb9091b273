"""Arguments as users give them, converted to what the rest of the package takes."""

import os
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from jaxgen.bundles.manifest import MANIFEST
from jaxgen.bundles.model import Model
from jaxgen.config_json import from_dict
from jaxgen.data.arrays import match_classes
from jaxgen.errors import InputError, reject, require
from jaxgen.photos.masks import missing_in, refuse_photo
from jaxgen.photos.reading import pixels_of, read_photo
from jaxgen.tasks.base import Trained
from jaxgen.tasks.load import pretrained_for
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
    require(known, field, shown(given), f"jaxgen.{cls.__name__}, or a dict of its fields")
    return given if isinstance(given, cls) else from_dict(cls, {**otherwise, **(given or {})}, f"{field}.")


def as_settings(out: Any, steps: Any, batch_size: Any, seed: Any, minutes: Any) -> TrainConfig:
    """Returns the settings of a training; raises `InputError` if one is not accepted."""
    whole = {"steps": require_whole(steps, "steps"), "batch_size": require_whole(batch_size, "batch_size")}
    given = minutes is None or (_is_number(minutes) and minutes > 0)
    require(given, "minutes", shown(minutes), "a number above 0, or None")
    require(out is None or isinstance(out, str | PathLike), "out", shown(out), "the path of a folder, or None")
    time = None if minutes is None else float(minutes)
    folder = os.fspath(out) if out else "runs"
    return TrainConfig(**whole, minutes=time, seed=require_seed(seed), out=folder)


def require_training(image_size: Any, resume: Any, initial_weights: Any, log: Any) -> None:
    """Raises `InputError` unless these arguments of a training are of their types, and go together."""
    if image_size is not None:
        require_whole(image_size, "image_size")
    accepted = "a model of jaxgen.train_gan, jaxgen.train_restorer or jaxgen.load, or None"
    require(isinstance(resume, Trained | None), "resume", shown(resume), accepted)
    named = isinstance(initial_weights, Trained | str | PathLike | None)
    accepted = "a trained model, the path of a run, of its file of weights or of a bundle, or None"
    require(named, "initial_weights", shown(initial_weights), accepted)
    alone = resume is None or initial_weights is None
    require(alone, "initial_weights", shown(initial_weights), "None with resume, which goes on with its own")
    require(log is None or callable(log), "log", shown(log), "a function (step, values), or None")


def require_whole(value: Any, field: str, least: int = 1) -> int:
    """Returns a whole number; raises `InputError` unless it is one, and not below `least`."""
    require(_is_whole(value) and value >= least, field, shown(value), f"a whole number, {least} or more")
    return int(value)


def require_seed(value: Any) -> int:
    """Returns a seed; raises `InputError` unless it is a whole number from 0 to 2**32 - 1."""
    require(_is_whole(value) and 0 <= value < 2**32, "seed", shown(value), "a whole number, 0 to 4294967295")
    return int(value)


def require_share(value: Any, field: str) -> float:
    """Returns a number from 0 to 1; raises `InputError` for anything else."""
    require(_is_number(value) and 0 <= value <= 1, field, shown(value), "a number, 0 to 1")
    return float(value)


def require_number(value: Any, field: str) -> float | int:
    """Returns a number; raises `InputError` for anything else."""
    require(_is_number(value), field, shown(value), "a number")
    return value.item() if isinstance(value, np.number) else value


def require_model(model: Any, use: str, accepted: str) -> None:
    """Raises `InputError` unless this is a trained model, or a path that is not one of a bundle.

    Args:
      model: what the user gave.
      use: name of the use, see `require_use`.
      accepted: what may be given besides a run and pretrained weights.
    """
    path = isinstance(model, str | PathLike)
    accepted = ", ".join([accepted, "a run folder, its file of weights", *pretrained_for(use)])
    if isinstance(model, Model) or (path and (Path(model) / MANIFEST).is_file()):
        instead = f"; a bundle is used by jaxgen.load(...).{use}(...)" if hasattr(Model, use) else ""
        reject("model", "a bundle" if isinstance(model, Model) else str(model), accepted + instead)
    require(path or isinstance(model, Trained), "model", shown(model), accepted)


def as_class_numbers(labels: Any, names: Sequence[str]) -> list[int]:
    """Returns the places of classes among those of a GAN.

    Args:
      labels: one class or several, each by its name or as in `match_classes`.
      names: names of the GAN's classes; empty if it has none.

    Raises:
      InputError: a class that the GAN does not have, or none at all.
    """
    require(len(names) > 0, "labels", shown(labels), "None, since it has no classes")
    asked = [str(label) for label in np.asarray(labels, object).ravel()]
    require(len(asked) > 0, "labels", shown(labels), "one class or more, or None")
    return match_classes(asked, names).tolist()


def shown(value: Any) -> Any:
    """Returns what an error shows of an argument: a number or a short text as it is, of all else the type."""
    if isinstance(value, int | float | np.number | None) or (isinstance(value, str) and len(value) <= 80):
        return value.item() if isinstance(value, np.number) else value
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else f"{type(value).__name__} of shape {shape}"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    real = isinstance(value, int | float | np.integer | np.floating)
    return real and not isinstance(value, bool)


def as_pixels(image: Any, field: str) -> np.ndarray:
    """Returns an image as an array, from an array, a PIL image or the path of a file."""
    if isinstance(image, str | os.PathLike):
        return read_photo(Path(image)).pixels
    if isinstance(image, Image.Image):
        require(image.mode in MODES, field, f"a PIL image of mode {image.mode}", f"{', '.join(MODES)}; see its convert")
    return np.asarray(image)


def as_missing(mask: Any) -> np.ndarray:
    """Returns a mask as bool (h, w): true where an array is true or above 0, or where a picture says; see `missing_in`.

    Raises:
      InputError: an array that does not hold finite numbers, or a photograph.
    """
    if isinstance(mask, str | os.PathLike):
        photo = read_photo(Path(mask))
        return missing_in(photo.pixels, photo.alpha)
    if isinstance(mask, Image.Image):
        accepted = "a PIL image of 1 to 8 bits a channel, or of mode I;16"
        require(mask.mode == "I;16" or mask.mode[0] not in "FI", "mask", f"a PIL image of mode {mask.mode}", accepted)
        pixels = np.asarray(mask)[..., None] if mask.mode == "I;16" else pixels_of(mask)
        channels = 1 if pixels.shape[-1] < 3 else 3
        return missing_in(pixels[..., :channels], pixels[..., channels] if pixels.shape[-1] > channels else None)
    array = np.asarray(mask)
    numbers = array.dtype.kind in "biuf"
    require(numbers, "mask", f"an array of {array.dtype}", "bool, or numbers that are above 0 where to fill in")
    finite = bool(np.isfinite(array).all())
    require(finite, "mask", "values that are infinite or not a number", "bool, or finite numbers")
    array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if array.dtype in (np.uint8, np.uint16):
        refuse_photo(array.reshape(-1, 1))
    return array > 0


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
    accepted = "arrays (n, h, w) or (n, h, w, c), or a list of arrays, PIL images or paths of files"
    require(not single, "images", shown(images), accepted)
    return np.asarray(images)


def to_integers(array: np.ndarray, field: str, dtype: Any) -> np.ndarray:
    """Returns floats in [0, 1] scaled to the whole range of an integer type."""
    real = np.issubdtype(array.dtype, np.floating)
    accepted = "uint8, uint16 or floats in [0, 1]"
    require(real, field, str(array.dtype), accepted)
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    require(low >= 0 and high <= 1, field, f"floats from {low:g} to {high:g}", accepted)
    return np.rint(array.astype(np.float64) * np.iinfo(dtype).max).astype(dtype)
