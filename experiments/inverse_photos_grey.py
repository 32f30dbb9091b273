"""The inverse network for grey photographs, under the damage of `inverse_photos`.

Command:  python -m experiments.inverse_photos_grey --dataset folder:PHOTOS
Hardware: 2 cores of an Intel Xeon with AVX-512, no accelerator; other work at the same time
Time:     73 min
Result:   the weights of the package, jaxgen/tasks/restoration/photos-grey.safetensors: Set12, sigma 25/255, blind:
          29.31 dB (BM3D 29.97), 400 photographs of BSDS500, seed 0
"""

import dataclasses

from experiments import inverse_photos
from jaxgen.cli import run_recipe

BASE = inverse_photos.CONFIG
CONFIG = dataclasses.replace(
    BASE,
    data=dataclasses.replace(BASE.data, channels=1),
    restoration=dataclasses.replace(
        BASE.restoration, widths=(64, 80), blocks=2, depth=2, schedule="noise:300,damage:8700"
    ),
    hparams=dataclasses.replace(BASE.hparams, grey_share=0.0, noise_share=0.0),
    train=dataclasses.replace(BASE.train, steps=9_000),
)


def main() -> None:
    """Trains from the command line."""
    run_recipe("inverse_photos_grey", CONFIG, __doc__)


if __name__ == "__main__":
    main()
