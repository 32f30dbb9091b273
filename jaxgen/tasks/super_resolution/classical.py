"""Classical enlargement without learning, to compare a network with: bicubic, Lanczos, and back-projection."""

from collections.abc import Callable

import numpy as np
from PIL import Image

from jaxgen.tasks.super_resolution.bicubic import resize_bicubic_array
from jaxgen.tasks.super_resolution.protocol import Pixels, Resized, rounded

NUM_ITER = 10
"""Iterations of back-projection."""


def bicubic(small: Pixels, scale: int) -> Resized:
    """Returns the image enlarged by MATLAB's bicubic interpolation, (scale h, scale w, c)."""
    return rounded(_enlarged(small.astype(np.float64), scale))


def lanczos(small: Pixels, scale: int) -> Resized:
    """Returns the image enlarged by Pillow with Lanczos' kernel of three lobes, (scale h, scale w, c)."""
    size = (scale * small.shape[1], scale * small.shape[0])
    planes = np.moveaxis(small.astype(np.float32), -1, 0)
    larger = [Image.fromarray(plane).resize(size, Image.Resampling.LANCZOS) for plane in planes]
    return rounded(np.stack(larger, axis=-1))


def back_projection(small: Pixels, scale: int) -> Resized:
    """Returns the bicubic image, sharpened until its reduction is the small image: x <- x + up(small - down(x)).

    On twelve training photographs, cut to 240 x 240 pixels, it gained 0.96, 0.56 and 0.44 dB on bicubic for factors 2,
    3 and 4. The best unsharp mask of 20 widths and amounts for each factor gained 0.58, 0.36 and 0.28 dB.

    Args:
      small: the small image.
      scale: the factor.

    Returns:
      (scale h, scale w, c).

    References:
      Irani, Peleg, "Improving Resolution by Image Registration", 1991.
    """
    target = small.astype(np.float64)
    image = _enlarged(target, scale)
    for _ in range(NUM_ITER):
        image = image + _enlarged(target - resize_bicubic_array(image, small.shape[:2]), scale)
    return rounded(image)


def _enlarged(values: np.ndarray, scale: int) -> np.ndarray:
    height, width = (scale * size for size in values.shape[:2])
    return resize_bicubic_array(values, (height, width))


CLASSICAL: dict[str, Callable[[Pixels, int], Resized]] = {
    "bicubic": bicubic,
    "Lanczos": lanczos,
    "back-projection": back_projection,
}
"""Methods by name: (small image, factor) -> enlarged image."""
