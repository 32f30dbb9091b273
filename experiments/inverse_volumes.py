"""The inverse network on volumes: noise, magnitudes of noise, missing and thick slices, holes; on solid digits of 32
voxels a side.

Other volumes: --dataset npz:FILE with (n, d, h, w) or (n, d, h, w, c), or folder:SCANS, and --volume-size.

Command:  python -m experiments.inverse_volumes [--dataset npz:adrenalmnist3d_64.npz --minutes 9]
Hardware: 2 cores of an AMD EPYC (Zen 4), no accelerator, other work beside
Result:   best PSNR in 8 of 11 rows beside classical methods (docs/results.md)
"""

from jaxgen.cli import run_recipe
from jaxgen.data.config import DataConfig
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationHparams, RestorationRecipe
from jaxgen.training.config import TrainConfig

DAMAGE = "|".join(
    [
        "gaussian:0-0.3",
        "rician:0-0.3",
        "missing_slices:0.1-0.7",
        "missing_slices:0.1-0.7",
        "thick_slices:0.3-0.8",
        "thick_slices:0.3-0.8",
        "boxes:0.1-0.5",
        "hole:4-14",
    ]
)

CONFIG = RestorationRecipe(
    data=DataConfig("volumes_of_digits", volume_size=32),
    restoration=RestorationConfig(
        widths=(16, 32, 64), schedule="noise:100,damage:1900", damage=DAMAGE, loss="mse", optimizer="muon"
    ),
    hparams=RestorationHparams(lr=2e-3, b1=0.95, weight_decay=0.1),
    train=TrainConfig(steps=2_000, batch_size=16),
)


def main() -> None:
    """Trains from the command line."""
    run_recipe("inverse_volumes", CONFIG, __doc__)


if __name__ == "__main__":
    main()
