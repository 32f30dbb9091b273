"""A network that enlarges photographs as people have them: blurred, noisy, resized and compressed.

Command:  python -m experiments.super_resolution_photo --dataset folder:PHOTOS --initial-weights RUN
          RUN is one of experiments.super_resolution
Hardware: 2 cores of an Intel Xeon with AVX-512, no accelerator
Result:   docs/results.md
"""

import dataclasses

from experiments import super_resolution
from jaxgen.cli import run_recipe

BASE = super_resolution.CONFIG
CONFIG = dataclasses.replace(
    BASE,
    super_resolution=dataclasses.replace(BASE.super_resolution, degradation="photo"),
    hparams=dataclasses.replace(BASE.hparams, lr=1e-3),
)


def main() -> None:
    """Trains from the command line."""
    run_recipe("super_resolution_photo", CONFIG, __doc__)


if __name__ == "__main__":
    main()
