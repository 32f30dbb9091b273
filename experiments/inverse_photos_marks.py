"""A network that removes scratches, dust, and salt and pepper from photographs when asked to, and fills marked regions.

Command:  python -m experiments.photo_variants PHOTOS variants
          python -m experiments.inverse_photos_marks --dataset folder:variants/photos
"""

import dataclasses

from experiments import inverse_photos
from jaxgen.cli import run_recipe

DAMAGE = "|".join(
    [
        "scratches:0-0.1",
        "scratches:0-0.06+grain:0-0.08",
        "film_lines:0-0.08",
        "film_lines:0-0.06+grain:0-0.08",
        "dust:0-0.08",
        "dust:0-0.05+scratches:0-0.05+grain:0-0.08",
        "salt_and_pepper:0-0.8",
        "salt_and_pepper:0-0.6",
        "pixels:0.3-0.9",
        "strokes:0-0.3+gaussian:0-0.05",
        "hole:4-40",
        "rounding:1",
    ]
)
"""Noise and grain are none of its repairs, so that they stay in the picture."""

BASE = inverse_photos.CONFIG
CONFIG = dataclasses.replace(
    BASE,
    restoration=dataclasses.replace(
        BASE.restoration,
        blocks=1,
        depth=3,
        repairs=("scratches", "dust", "salt_and_pepper"),
        schedule="damage:3000",
        damage=DAMAGE,
    ),
    train=dataclasses.replace(BASE.train, steps=3_000),
)


def main() -> None:
    """Trains from the command line."""
    run_recipe("inverse_photos_marks", CONFIG, __doc__)


if __name__ == "__main__":
    main()
