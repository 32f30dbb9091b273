"""The inverse network for grey photographs, under the damage of `inverse_photos`.

Command:  python -m experiments.photo_variants PHOTOS variants
          python -m experiments.inverse_photos_grey --dataset folder:variants
Hardware: 2 cores of an Intel Xeon with AVX-512, no accelerator; other work at the same time
Result:   the pretrained weights (photos-grey), docs/results.md; they went on from weights of 216,000 crops under an
          earlier mixture (73 min), blind
"""

import dataclasses

from experiments import inverse_photos
from jaxgen.cli import run_recipe

BASE = inverse_photos.CONFIG
CONFIG = dataclasses.replace(
    BASE,
    data=dataclasses.replace(BASE.data, channels=1),
    restoration=dataclasses.replace(BASE.restoration, widths=(64, 80), blocks=2, depth=2, schedule="damage:9000"),
)


def main() -> None:
    """Trains from the command line."""
    run_recipe("inverse_photos_grey", CONFIG, __doc__)


if __name__ == "__main__":
    main()
