"""The recurrent network on volumes, under the damage of `inverse_volumes`.

Command:  python -m experiments.crnn_volumes
"""

import dataclasses

from experiments import inverse_volumes
from jaxgen.cli import run_recipe

CONFIG = dataclasses.replace(
    inverse_volumes.CONFIG,
    restoration=dataclasses.replace(
        inverse_volumes.CONFIG.restoration, architecture="recurrent", blocks=1, iterations=3
    ),
)


def main() -> None:
    """Trains from the command line."""
    run_recipe("crnn_volumes", CONFIG, __doc__)


if __name__ == "__main__":
    main()
