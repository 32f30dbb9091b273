"""A picture that shows a photo before and after."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jaxgen.photos.reading import Photo
from jaxgen.photos.writing import to_8_bits

GAP = 8
"""Pixels between the two halves, and between pages."""


def side_by_side(
    before: Sequence[Photo], after: Sequence[Photo], labels: tuple[str, str] = ("before", "after")
) -> Photo:
    """Returns an 8-bit picture with the photo on the left, the changed one on the right, and labels above.

    Args:
      before: pages of the photo.
      after: the same pages, changed.
      labels: what the two are called.
    """
    rows = []
    for pair in zip(before, after, strict=True):
        labelled = [_labelled(part, label, "".join(labels)) for part, label in zip(pair, labels, strict=True)]
        height = max(part.shape[0] for part in labelled)
        left, right = (_filled_up(part, height, part.shape[1]) for part in labelled)
        rows.append(np.concatenate([left, _white(height, GAP), right], axis=1))
    width = max(row.shape[1] for row in rows)
    picture = np.concatenate([_filled_up(row, row.shape[0] + GAP, width) for row in rows])[:-GAP]
    grey = all(part.pixels.shape[-1] == 1 for part in (*before, *after))
    opaque = all(part.alpha is None for part in (*before, *after))
    return Photo(picture[..., : 1 if grey else 3], None if opaque else picture[..., 3], before[0].icc_profile)


def _labelled(photo: Photo, label: str, letters: str) -> np.ndarray:
    """Returns the photo below a white strip with a label, uint8 (h, w, 4); the strip is as high as `letters` need."""
    pixels = to_8_bits(photo.pixels)
    alpha = np.full(pixels.shape[:2], 255, np.uint8) if photo.alpha is None else to_8_bits(photo.alpha)
    colours = pixels if pixels.shape[-1] == 3 else np.repeat(pixels, 3, axis=-1)
    whole = np.concatenate([colours, alpha[..., None]], axis=-1)
    font = ImageFont.load_default(max(12, whole.shape[0] // 40))
    (left, _, right, _), (_, top, _, bottom) = font.getbbox(label), font.getbbox(letters)
    width = max(whole.shape[1], round(right - left) + 2 * GAP)
    strip = Image.new("RGBA", (width, round(bottom - top) + 2 * GAP), "white")
    ImageDraw.Draw(strip).text((GAP - left, GAP - top), label, "black", font)
    return np.concatenate([np.asarray(strip), _filled_up(whole, whole.shape[0], width)])


def _filled_up(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns the picture with white below and on the right."""
    return np.pad(picture, ((0, height - picture.shape[0]), (0, width - picture.shape[1]), (0, 0)), constant_values=255)


def _white(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 4), 255, np.uint8)
