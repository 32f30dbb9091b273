"""A conditional GAN on MNIST: the pair of `gan_mnist` with the class beside the latents and a projection discriminator.

Command:  python -m experiments.cgan_mnist
"""

from jaxgen.cli import run_recipe
from jaxgen.config import GanConfig
from jaxgen.recipes.gan import GanRecipe, run_gan

CONFIG = GanRecipe(gan=GanConfig(conditioning="projection"))


def main() -> None:
    """Trains from the command line."""
    run_recipe("cgan_mnist", CONFIG, run_gan, __doc__)


if __name__ == "__main__":
    main()
