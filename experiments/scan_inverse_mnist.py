"""Many inverse networks on digits at once: a scan over learning rates or whatever else is a number, and over seeds.

Command:  python -m experiments.scan_inverse_mnist --random 8 --hparams.lr 1e-3..1e-2 --hparams.b1 0.9,0.95 --halving

Numbers are lists (every combination) or, with --random N, ranges as 1e-4..1e-2 too. A member is as a run of
experiments.inverse_mnist with its numbers and seed would be, and can be taken out as one: --extract MEMBER.
"""

from experiments import inverse_mnist
from jaxgen.cli import run_recipe
from jaxgen.scans.setup import scan_of

CONFIG = scan_of(inverse_mnist.CONFIG, steps=2_000)


def main() -> None:
    """Scans from the command line."""
    run_recipe("scan_inverse_mnist", CONFIG, __doc__)


if __name__ == "__main__":
    main()
