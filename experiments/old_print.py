"""Makes an old print of a photograph that comes with scikit-image, to try docs/guides/old_photos.md on.

The print is sepia, with grain, dust, scratches, a fold and a torn corner. OUT/print.png is its scan, OUT/mask.png marks
the fold and the tear as a user would paint them, OUT/original.png is the print before it grew old.

Command:  python -m experiments.old_print OUT
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import binary_dilation, gaussian_filter
from skimage import data

from jaxgen.images import save_png

SEPIA = (1.0, 0.86, 0.67)
GRAIN = 12.0
"""Standard deviation of the grain, of 255."""


def old_print(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the scan of an old print uint8 (h, w, 3), its mask uint8 (h, w), and the print when it was new."""
    rng = np.random.default_rng(seed)
    grey = np.asarray(Image.fromarray(data.coffee()).convert("L"), np.float64)
    new = _bytes(grey[..., None] * SEPIA * 0.8 + 25)
    size = new.shape[1::-1]
    scratched = _painted(new, lambda draw: _scratches(draw, size, rng))
    dusty = _painted(scratched, lambda draw: _dust(draw, size, rng))
    folds, tear = _fold(new.shape[:2], rng), _tear(new.shape[:2], rng)
    worn = np.where(folds[..., None], rng.normal(225, 12, (*folds.shape, 1)), dusty)
    worn = np.where(tear[..., None], 250.0, worn)
    grain = gaussian_filter(rng.normal(0, 1, new.shape[:2]), 0.6)[..., None]
    scan = _bytes(worn + np.where(tear[..., None], 0, GRAIN * grain / grain.std()))
    return scan, np.where(binary_dilation(folds | tear, iterations=2), 255, 0).astype(np.uint8), new


def _painted(pixels: np.ndarray, paint: Callable[[ImageDraw.ImageDraw], None]) -> np.ndarray:
    image = Image.fromarray(pixels)
    paint(ImageDraw.Draw(image))
    return np.asarray(image)


def _scratches(draw: ImageDraw.ImageDraw, size: tuple[int, int], rng: np.random.Generator) -> None:
    for _ in range(7):
        start, angle, length = rng.uniform(0, 1, 2) * size, rng.normal(1.4, 0.3), rng.uniform(80, 260)
        end = start + length * np.array([np.cos(angle), np.sin(angle)])
        draw.line((*start, *end), fill=(238, 230, 210), width=int(rng.integers(1, 3)))


def _dust(draw: ImageDraw.ImageDraw, size: tuple[int, int], rng: np.random.Generator) -> None:
    for _ in range(90):
        (x, y), radius = rng.uniform(0, 1, 2) * size, rng.uniform(0.7, 2.5)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(245, 238, 222))


def _fold(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Returns where a fold across the print has broken the picture, bool (h, w): a wavering line of 3 to 7 pixels."""
    height, width = shape
    middle = 0.62 * height + np.cumsum(rng.normal(0, 0.35, width)) + np.linspace(0, 18, width)
    half = 1.5 + gaussian_filter(rng.uniform(0, 4, width), 4)
    return np.abs(np.arange(height)[:, None] - middle[None]) < half[None]


def _tear(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Returns where the upper right corner is torn off, bool (h, w), about 60 pixels deep."""
    height, width = shape
    edge = 60 + np.cumsum(rng.normal(0, 1.2, height))
    return (width - np.arange(width)[None]) + 1.1 * np.arange(height)[:, None] < edge[:, None]


def _bytes(pixels: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def main() -> None:
    """Writes the pictures from the command line."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m experiments.old_print OUT")
    out = Path(sys.argv[1])
    scan, mask, new = old_print()
    for name, pixels in (("print", scan), ("mask", mask[..., None]), ("original", new)):
        save_png(out / f"{name}.png", pixels)


if __name__ == "__main__":
    main()
