"""A DCGAN-like pair on MNIST digits: relativistic loss, gradient penalties on real and generated images.

Command:  python -m experiments.gan_mnist
Hardware: 2 cores of an AMD EPYC (Zen 5), no accelerator
Time:     11 min 46 s from start to report, 453 images/s, 2.3 GiB of memory
Result:   3.7, 3.4 and 3.8 times the real distance (mnist-classifier-10k, 60,000 digits, seeds 0, 1, 2)
"""

from jaxgen.cli import run_recipe
from jaxgen.tasks.gan.config import GanRecipe

CONFIG = GanRecipe()


def main() -> None:
    """Trains from the command line."""
    run_recipe("gan_mnist", CONFIG, __doc__)


if __name__ == "__main__":
    main()
