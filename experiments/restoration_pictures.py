"""The README's picture of restoration: photographs of scikit-image, damaged and restored.

Command:  python -m experiments.restoration_pictures --out docs/restoration.png

The photographs are in the public domain or under CC0 (scikit-image's data/README.txt); none of them was trained on.
"""

import dataclasses
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from skimage import data

from jaxgen.cli import exit_cleanly, parse
from jaxgen.degradations.compose import degrade, parse_damage
from jaxgen.images import make_grid, save_png, to_float, to_uint8
from jaxgen.tasks.restoration.pixels import photo_models, restore_floats

SIZE = 192
CASES = (
    ("astronaut", (0, 130), "gaussian:0.2"),
    ("chelsea", (50, 110), "salt_and_pepper:0.5"),
    ("coffee", (110, 200), "pixels:0.8"),
    ("rocket", (120, 270), "strokes:0.1"),
    ("astronaut", (210, 280), "jpeg:0.9"),
)
"""Photograph, top left corner of the square that is shown, damage."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """Settings of the picture."""

    model: str | None = None
    """Run folder or file of weights; None: the pretrained weights."""
    out: str = "restoration.png"
    """PNG to write."""


def draw(picture: Picture) -> np.ndarray:
    """Returns a picture, uint8 (H, W, 3), with a column for each case: damaged, restored, original."""
    models = photo_models(picture.model)
    shown = []
    for i, (name, (top, left), text) in enumerate(CASES):
        clean = getattr(data, name)()[top : top + SIZE, left : left + SIZE, :3]
        degraded = degrade(jax.random.key(i), to_float(jnp.asarray(clean[None])), parse_damage(text))
        restored = restore_floats(models, degraded)
        shown.append([to_uint8(degraded.images)[0], to_uint8(restored)[0], clean])
    return make_grid(np.concatenate([np.stack(row) for row in zip(*shown, strict=True)]), len(CASES))


def main() -> None:
    """Draws the picture from the command line."""
    with exit_cleanly():
        picture = parse(Picture(), sys.argv[1:], "python -m experiments.restoration_pictures", __doc__)
        save_png(Path(picture.out), draw(picture))


if __name__ == "__main__":
    main()
