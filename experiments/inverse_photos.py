"""An inverse network for colour photographs that is told what to repair: noise, JPEG artifacts, blur.

Command:  python -m experiments.inverse_photos --dataset folder:PHOTOS
Hardware: 2 cores of an Intel Xeon with AVX-512, no accelerator; other work at the same time
Time:     28 min with an earlier mixture of damage and the L1 loss (28.77 dB); not measured since
Result:   the weights of the package, jaxgen/tasks/restoration/photos.safetensors: Set12, grey, sigma 25/255, blind:
          28.77 dB (BM3D 29.97), 400 photographs of BSDS500, seed 0. Two further runs continued that one: the first with
          --initial-weights photos --schedule damage:10000 --steps 10000 --hparams.lr 2e-3 --hparams.noise-share 0
          and three choices of salt and pepper and one of JPEG (68 min); the second with the same flags but 1600 steps,
          a learning rate of 6e-4 and the mixture below (9 min).
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
