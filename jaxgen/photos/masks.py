"""Masks as people paint them: which pixels of a photo are to be filled in."""

import logging

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from jaxgen.errors import InputError, reject
from jaxgen.photos.writing import to_8_bits

LOGGER = logging.getLogger("jaxgen")
Missing = Bool[np.ndarray, "*s"]
ACCEPTED = "white where to fill in and black elsewhere, or paint on a transparent layer"
MIDDLE_LEVELS, MIDDLE_SHARE, PHOTO_LEVELS = (16, 240), 0.3, 32
"""A picture of so many levels, so many of them neither dark nor light, is a photograph, not a mask."""
COLOUR_SHARE, COLOURS = 0.05, 256
"""One of so many colours, with so many coloured pixels, is one too, for instance a photo with red strokes."""


def missing_in(pixels: np.ndarray, alpha: np.ndarray | None = None) -> Missing:
    """Returns where a mask says that pixels are to be filled in.

    What is light is, black is not. Of two levels, such as 0 and 1, the higher one is. On a transparent layer it is what
    was painted, in whatever colour; if that is both black and white, the light paint.

    Args:
      pixels: uint8 or uint16 (h, w, 1 or 3).
      alpha: (h, w) of the same type, or None.

    Raises:
      InputError: the picture is a photograph, or has nothing that is light, nothing but black, or several levels.
    """
    painted = np.ones(pixels.shape[:2], bool)
    if alpha is not None and alpha.min() < np.iinfo(alpha.dtype).max:
        painted = to_8_bits(alpha) >= 128
        painted = painted if painted.any() else alpha > 0  # a faint brush
    levels = pixels.max(axis=-1)
    refuse_photo(pixels[painted])
    shown = np.unique(levels[painted])
    if not painted.all():
        both = shown.size > 1 and to_8_bits(shown[:1])[0] < 64 and to_8_bits(shown[-1:])[0] >= 192
        return painted & (to_8_bits(levels) >= 128) if both else painted
    if shown.size == 2:
        return levels == shown[1]
    light = to_8_bits(levels) >= 128
    if not light.any() and shown.size > 2 and to_8_bits(shown[-1:])[0] > 16:  # less is the noise of JPEG
        reject("mask", f"{shown.size} levels up to {shown[-1]}, none of them light", ACCEPTED)
    return light


def refuse_photo(pixels: np.ndarray) -> None:
    """Raises `InputError` if these pixels, uint8 or uint16 (n, c), are clearly those of a photograph."""
    if not len(pixels):
        return
    shallow = to_8_bits(pixels)
    light, low = shallow.max(axis=-1), shallow.min(axis=-1)
    middle = np.mean((light >= MIDDLE_LEVELS[0]) & (light < MIDDLE_LEVELS[1])) > MIDDLE_SHARE
    coloured = np.mean(light - low > 32) > COLOUR_SHARE
    colours = shallow.astype(np.int32) @ (256 ** np.arange(shallow.shape[-1]))  # one number each
    if (middle and np.unique(light).size > PHOTO_LEVELS) or (coloured and np.unique(colours).size > COLOURS):
        reject("mask", "a picture of many levels, as a photograph has", ACCEPTED)


def any_missing(missing: Missing) -> bool:
    """Returns whether anything is to be filled in; warns if not.

    Raises:
      InputError: everything is.
    """
    if missing.all():
        raise InputError("mask: covers the whole picture; accepted: a mask that leaves pixels to fill from")
    if not missing.any():
        LOGGER.warning("mask: nothing is marked in it; the picture stays as it was")
    return bool(missing.any())


def described(missing: Missing) -> str:
    """Returns a line that says how much is to be filled in."""
    num, share = ndimage.label(missing, np.ones((3,) * missing.ndim))[1], float(missing.mean())
    percent = f"{100 * share:.1f}" if share >= 0.001 else f"{100 * share:.2g}"
    hint = "; if you meant the rest, invert the mask" if share > 0.5 else ""
    return f"mask: {percent}% of the picture, {num} region{'s' * (num != 1)}, to be filled in{hint}"
