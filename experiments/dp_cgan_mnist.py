"""A conditional GAN on MNIST with differential privacy for each image: DP-SGD on the discriminator.

Command:  python -m experiments.dp_cgan_mnist --epsilon 10
"""

from jaxgen.cli import run_recipe
from jaxgen.tasks.private_gan.config import PrivateGanConfig, PrivateGanRecipe

CONFIG = PrivateGanRecipe(private_gan=PrivateGanConfig(conditioning="projection"))


def main() -> None:
    """Trains from the command line."""
    run_recipe("dp_cgan_mnist", CONFIG, __doc__)


if __name__ == "__main__":
    main()
