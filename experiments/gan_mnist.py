"""A DCGAN-like pair on MNIST digits: relativistic loss, gradient penalties on real and fake images.

Command:  python -m experiments.gan_mnist
Hardware: 2 cores of an AMD EPYC (Zen 5), no accelerator
Time:     9 min 44 s from start to report, 512 images/s, 2.0 GiB of memory
Result:   digits that a person reads after 3 minutes; sliced Wasserstein distance 0.00113 (60,000 digits, seed 0)
"""

from jaxgen.cli import run_recipe
from jaxgen.recipes.gan import GanRecipe, run_gan

CONFIG = GanRecipe()


def main() -> None:
    """Trains from the command line."""
    run_recipe("gan_mnist", CONFIG, run_gan, __doc__)


if __name__ == "__main__":
    main()
