"""Many inverse networks on digits at once: a scan over learning rates or other numbers, and over seeds.

Command:  python -m experiments.scan_inverse_mnist --random 8 --hparams.lr 1e-3..1e-2 --hparams.b1 0.9,0.95 --halving

Numbers are lists, of which every combination is tried, or with --random N also ranges such as 1e-4..1e-2. A member
equals a run of experiments.inverse_mnist with its numbers and seed; --extract MEMBER makes it a run of its own.
"""

from experiments import inverse_mnist
from jaxgen.cli import run_recipe
from jaxgen.scans.config import scan_of

CONFIG = scan_of(inverse_mnist.CONFIG, steps=2_000)


def main() -> None:
    """Scans from the command line."""
    run_recipe("scan_inverse_mnist", CONFIG, __doc__)


if __name__ == "__main__":
    main()
