"""The recurrent network on colour photographs: noise, JPEG, salt and pepper, scratches, and marked regions, blind.

Command:  python -m experiments.crnn_photos --dataset folder:PHOTOS
"""

import dataclasses

from experiments import inverse_photos
from jaxgen.cli import run_recipe

DAMAGE = "|".join(
    [
        *["gaussian:0-0.2"] * 4,
        *["salt_and_pepper:0-0.8"] * 2,
        *["pixels:0.3-0.9"] * 2,
        "strokes:0-0.3+gaussian:0-0.05",
        "scratches:0-0.1",
        "jpeg:0.2-0.95",
        "poisson:0-0.02+jpeg:0-0.7",
    ]
)
"""Twelve choices, so that of a batch of 24 each of two devices gets every choice once; see `mixture`."""

CONFIG = dataclasses.replace(
    inverse_photos.CONFIG,
    restoration=dataclasses.replace(
        inverse_photos.CONFIG.restoration,
        architecture="recurrent",
        widths=(32,),
        blocks=2,
        iterations=4,
        repairs=(),
        damage=DAMAGE,
        schedule="noise:300,damage:2700",
    ),
    hparams=dataclasses.replace(inverse_photos.CONFIG.hparams, lr=3e-3, noise_share=0.1, grey_share=0.5),
    train=dataclasses.replace(inverse_photos.CONFIG.train, steps=3_000),
)


def main() -> None:
    """Trains from the command line."""
    run_recipe("crnn_photos", CONFIG, __doc__)


if __name__ == "__main__":
    main()
