"""An inverse network for colour photographs that is told what to repair: noise, JPEG artifacts, blur.

Command:  python -m experiments.photo_variants PHOTOS variants
          python -m experiments.inverse_photos --dataset folder:variants
Hardware: 2 cores of an Intel Xeon with AVX-512, no accelerator; other work at the same time
Result:   the pretrained weights (photos), docs/results.md. They were not made by one run: from weights of 350,000
          crops under noise, JPEG, salt and pepper, scratches and holes, blind, 4,000 steps at a rate of 2e-3 (34 min)
          and 3,000 at 1.5e-3 (26 min) with this mixture, and 1,600 steps of 96 crops with --loss levels (10 min) for
          the estimates of levels, all with half as many blocks; then 2,600 steps at 1.2e-3 (36 min) with these, of
          which the new ones were close to the identity at first.
"""

from jaxgen.cli import run_recipe
from jaxgen.data.config import DataConfig
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationHparams, RestorationRecipe
from jaxgen.training.config import TrainConfig

DAMAGE = "|".join(
    [
        "gaussian:0-0.2+rounding:1",
        "gaussian:0-0.15+jpeg:0.03-0.5",
        "grain:0-0.15+rounding:1",
        "grain:0-0.12",
        "grain:0-0.1+jpeg:0.03-0.4",
        "camera:0.0005-0.02+rounding:1",
        "camera:0.0005-0.02+jpeg:0.03-0.4",
        "jpeg:0.1-0.95",
        "jpeg:0.03-0.8",
        "shifted_jpeg:0.2-0.95+jpeg:0.03-0.4",
        "gaussian_blur:0.4-2.5+gaussian:0-0.03+rounding:1",
        "rounding:1",
    ]
)
"""Twelve choices, so that of a batch of 24 each of two devices gets every choice once; the last one does nothing."""

CONFIG = RestorationRecipe(
    data=DataConfig(dataset="folder:variants", crop_size=64, channels=3, flip=True),
    restoration=RestorationConfig(
        widths=(48, 96, 96),
        blocks=2,
        depth=6,
        repairs=("noise", "jpeg", "blur"),
        schedule="damage:9000",
        damage=DAMAGE,
        loss="psnr",
        optimizer="muon",
    ),
    hparams=RestorationHparams(lr=2e-3, b1=0.95, weight_decay=0.1, noise_share=0.0),
    train=TrainConfig(steps=9_000, batch_size=24, checkpoint_every=500),
)


def main() -> None:
    """Trains from the command line."""
    run_recipe("inverse_photos", CONFIG, __doc__)


if __name__ == "__main__":
    main()
