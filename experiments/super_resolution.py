"""A network that enlarges photographs by 2, 3 and 4, for small images made by exact bicubic reduction.

Command:  python -m experiments.super_resolution --dataset folder:PHOTOS
Hardware: 2 cores of an Intel Xeon with AVX-512, no accelerator
Result:   docs/results.md
"""

from jaxgen.cli import run_recipe
from jaxgen.tasks.super_resolution.config import SuperResolutionRecipe

CONFIG = SuperResolutionRecipe()


def main() -> None:
    """Trains from the command line."""
    run_recipe("super_resolution", CONFIG, __doc__)


if __name__ == "__main__":
    main()
