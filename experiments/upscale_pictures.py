"""The README's picture of super-resolution: photographs of scikit-image, made small and enlarged again.

Command:  python -m experiments.upscale_pictures --out docs/upscaled.png

The photographs are in the public domain or under CC0 (scikit-image's data/README.txt); none of them was trained on.
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np
from skimage import data

from jaxgen.cli import exit_cleanly, parse
from jaxgen.images import add_headings, make_grid, save_png
from jaxgen.tasks.super_resolution.classical import bicubic
from jaxgen.tasks.super_resolution.enlarge import enlarging_model, make_enlarge
from jaxgen.tasks.super_resolution.table import KINDS

SIZE = 192
CASES = (
    ("astronaut", (0, 120), "bicubic", 4),
    ("chelsea", (50, 110), "bicubic", 3),
    ("coffee", (100, 190), "photo", 2),
    ("rocket", (110, 250), "photo", 3),
)
"""Photograph, top left corner of the square that is shown, how it is made small, factor."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """Settings of the picture."""

    out: str = "upscaled.png"
    """PNG to write."""


def draw() -> np.ndarray:
    """Returns a picture, uint8 (H, W, 3), with a row for each case: small, by bicubic, by both networks, original."""
    rows, names = [], []
    for name, (top, left), kind, scale in CASES:
        clean = getattr(data, name)()[top : top + SIZE + 4 * scale, left : left + SIZE + 4 * scale, :3]
        small, shown = KINDS[kind](clean[: len(clean) // scale * scale, : clean.shape[1] // scale * scale], scale, 1)
        networks = [make_enlarge(enlarging_model(kind=own), scale)(small) for own in ("bicubic", "photo")]
        nearest = small.repeat(scale, axis=0).repeat(scale, axis=1)
        rows += [pixels[:SIZE, :SIZE] for pixels in (nearest, bicubic(small, scale), *networks, shown)]
        names.append(f"{kind} x{scale}")
    columns = ("small", "resized", "bicubic", "photo", "original")
    return add_headings(make_grid(np.stack(rows), len(columns)), names, columns)


def main() -> None:
    """Draws the picture from the command line."""
    with exit_cleanly():
        picture = parse(Picture(), sys.argv[1:], "python -m experiments.upscale_pictures", __doc__)
        save_png(Path(picture.out), draw())


if __name__ == "__main__":
    main()
