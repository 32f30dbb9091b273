"""The recurrent network on colour photographs, under the damage of `inverse_photos`.

Command:  python -m experiments.crnn_photos --dataset folder:PHOTOS
"""

import dataclasses

from experiments import inverse_photos
from jaxgen.cli import run_recipe

CONFIG = dataclasses.replace(
    inverse_photos.CONFIG,
    restoration=dataclasses.replace(
        inverse_photos.CONFIG.restoration, architecture="recurrent", widths=(32,), blocks=2, iterations=4
    ),
)


def main() -> None:
    """Trains from the command line."""
    run_recipe("crnn_photos", CONFIG, __doc__)


if __name__ == "__main__":
    main()
