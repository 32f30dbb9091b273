"""Many inverse networks on digits at once: a scan over learning rates or whatever else is a number, and over seeds.

Command:  python -m experiments.scan_inverse_mnist --random 8 --hparams.lr 1e-3..1e-2 --hparams.b1 0.9,0.95 --halving

Numbers are lists (every combination) or, with --random N, ranges as 1e-4..1e-2 too. A member is as a run of
experiments.inverse_mnist with its numbers and seed would be, and can be taken out as one: --extract MEMBER.
"""

from experiments import inverse_mnist
from jaxgen.cli import run_recipe
from jaxgen.scans.restoration import RestorationScan, run_restoration_scan
from jaxgen.scans.space import as_texts
from jaxgen.training.config import TrainConfig

CONFIG = RestorationScan(
    restoration=inverse_mnist.CONFIG.restoration,
    hparams=as_texts(inverse_mnist.CONFIG.hparams),
    train=TrainConfig(steps=2_000, batch_size=inverse_mnist.CONFIG.train.batch_size),
)


def main() -> None:
    """Scans from the command line."""
    run_recipe("scan_inverse_mnist", CONFIG, run_restoration_scan, __doc__)


if __name__ == "__main__":
    main()
