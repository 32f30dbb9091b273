"""A conditional GAN on MNIST: the networks of `gan_mnist`, with the class beside the latents and a projection
discriminator.

Command:  python -m experiments.cgan_mnist
Hardware: one core of an AMD EPYC (Zen 5), no accelerator
Time:     19 min, while the other core was busy too
Result:   4.3, 3.4 and 4.4 times the real distance, conditional accuracy 97.6%, 97.1% and 97.3%, classifier accuracy
          score 97.0%, 97.8% and 97.0% (mnist-classifier-10k, 60,000 digits, seeds 0, 1, 2)
"""

from jaxgen.cli import run_recipe
from jaxgen.tasks.gan.config import GanConfig, GanRecipe

CONFIG = GanRecipe(gan=GanConfig(conditioning="projection"))


def main() -> None:
    """Trains from the command line."""
    run_recipe("cgan_mnist", CONFIG, __doc__)


if __name__ == "__main__":
    main()
