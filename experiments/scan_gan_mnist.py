"""Many GANs on MNIST at once: a scan over learning rates, penalties or other numbers, and over seeds.

Command:  python -m experiments.scan_gan_mnist --hparams.lr 5e-4,1e-3,2e-3 --hparams.r1 0.5,1,2 --seeds 3

Numbers are lists, of which every combination is tried, or with --random N also ranges such as 1e-4..1e-2. A member
equals a run of experiments.gan_mnist with its numbers and seed; --extract MEMBER makes it a run of its own.
"""

from experiments import gan_mnist
from jaxgen.cli import run_recipe
from jaxgen.scans.config import scan_of

CONFIG = scan_of(gan_mnist.CONFIG, steps=2_000)


def main() -> None:
    """Scans from the command line."""
    run_recipe("scan_gan_mnist", CONFIG, __doc__)


if __name__ == "__main__":
    main()
