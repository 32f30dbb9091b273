"""Checks of the arrays that metrics accept; a failed check raises one line that says what was found instead."""

import numpy as np

from jaxgen.errors import InputError

IMAGES = "uint8, or floats in 0 to 1, of shape [n, h, w, c] with n 1 or more and c 1 to 4"
VOLUMES = IMAGES.replace("[n, h, w, c]", "[n, h, w, c] or [n, d, h, w, c]")
FEATURES = "finite floats of shape [n, d] with n and d 1 or more"


def require_images(images: np.ndarray, field: str, volumes: bool = False) -> None:
    """Raises `InputError` unless the arrays are images whose value range is known.

    Args:
      images: [n, h, w, c] with n, h, w >= 1 and 1 <= c <= 4; uint8, or float in [0, 1].
      field: their name in the message.
      volumes: whether [n, d, h, w, c] is accepted too.

    Raises:
      InputError: another shape or dtype, or a value that is not finite or outside [0, 1].
    """
    accepted = VOLUMES if volumes else IMAGES
    shaped = images.ndim in ((4, 5) if volumes else (4,)) and images.size > 0 and images.shape[-1] <= 4
    typed = images.dtype == np.uint8 or np.issubdtype(images.dtype, np.floating)
    _require(shaped and typed, field, f"{images.dtype} of shape {list(images.shape)}", accepted)
    if images.dtype != np.uint8:
        _require_finite(images, field, accepted)
        low, high = images.min(), images.max()
        _require(low >= 0 and high <= 1, field, f"{images.dtype} from {low:g} to {high:g}", accepted)


def require_features(features: np.ndarray, field: str) -> None:
    """Raises `InputError` unless the features are finite floats, one row per image.

    Args:
      features: float [n, d] with n, d >= 1.
      field: their name in the message.

    Raises:
      InputError: another shape or dtype, or a value that is not finite.
    """
    usable = features.ndim == 2 and features.size > 0 and np.issubdtype(features.dtype, np.floating)
    _require(usable, field, f"{features.dtype} of shape {list(features.shape)}", FEATURES)
    _require_finite(features, field, FEATURES)


def require_same_width(a: np.ndarray, b: np.ndarray, field: str) -> None:
    """Raises `InputError` unless both arrays have the same number of features per row.

    Args:
      a: [n, d].
      b: [m, d].
      field: their name in the message.

    Raises:
      InputError: the widths differ.
    """
    widths = f"{a.shape[-1]} and {b.shape[-1]} features per image"
    _require(a.shape[-1] == b.shape[-1], field, widths, "as many features in both sets")


def _require_finite(values: np.ndarray, field: str, accepted: str) -> None:
    """Raises `InputError` that names the first value that is not finite."""
    wrong = ~np.isfinite(values)
    if wrong.any():
        place = tuple(int(i) for i in np.unravel_index(np.argmax(wrong), values.shape))
        _require(False, field, f"{values[place]} at {list(place)}", accepted)


def _require(condition: bool | np.bool_, field: str, found: str, accepted: str) -> None:
    """Raises `InputError` unless the condition holds, with a description in place of the value."""
    if not condition:
        raise InputError(f"{field}: got {found}; accepted: {accepted}")
