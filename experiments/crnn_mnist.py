"""The recurrent network on digits, under the damage of `inverse_mnist`.

Command:  python -m experiments.crnn_mnist
"""

import dataclasses

from experiments import inverse_mnist
from jaxgen.cli import run_recipe
from jaxgen.config import TrainConfig
from jaxgen.recipes.restoration import run_restoration

CONFIG = dataclasses.replace(
    inverse_mnist.CONFIG,
    restoration=dataclasses.replace(
        inverse_mnist.CONFIG.restoration,
        architecture="recurrent",
        widths=(32, 64, 128),
        blocks=1,
        iterations=3,
        schedule="noise:300,damage:4700",
    ),
    train=TrainConfig(steps=5_000, batch_size=32),
)


def main() -> None:
    """Trains from the command line."""
    run_recipe("crnn_mnist", CONFIG, run_restoration, __doc__)


if __name__ == "__main__":
    main()
