"""A DCGAN-like pair on MNIST digits: relativistic loss, gradient penalties on real and fake images.

Command:  python -m experiments.gan_mnist
"""

from jaxgen.cli import run_recipe
from jaxgen.recipes.gan import GanRecipe, run_gan

CONFIG = GanRecipe()


def main() -> None:
    """Trains from the command line."""
    run_recipe("gan_mnist", CONFIG, run_gan, __doc__)


if __name__ == "__main__":
    main()
