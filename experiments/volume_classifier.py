"""The classifier of solid digits whose features serve to compare volumes.

Each digit of MNIST becomes a solid body of 32 voxels a side that is turned about the vertical axis by any angle and
tilted by up to 30 degrees. Size, thickness, softness of the edges and brightness differ as well, so that the features
describe bodies of other kinds too.

Command:  python -m experiments.volume_classifier
Hardware: 2 cores of a CPU, no accelerator; much other work at the same time
Time:     15 min
Result:   80.0% of the 10,000 test digits, each in one random pose (41,600 training volumes, seed 0), 334 kB

It writes what `experiments.mnist_classifier` does. The weights of this run are in the package:
jaxgen/evaluation/volume_classifier.safetensors.
"""

import dataclasses
from functools import partial

import numpy as np
from jaxtyping import Float32, UInt8
from scipy.ndimage import gaussian_filter, map_coordinates

from experiments import mnist_classifier
from experiments.mnist_classifier import ClassifierHparams, ClassifierRecipe
from jaxgen.cli import run_recipe
from jaxgen.data.base import Source
from jaxgen.data.config import DataConfig
from jaxgen.data.sources import open_source
from jaxgen.networks.classifier import VOLUME_SIZE
from jaxgen.tasks.base import Data
from jaxgen.training.config import TrainConfig

MAX_TILT = np.pi / 6
SCALES = (0.6, 1.1)
"""Smallest and largest size; 1 leaves a digit its 28 pixels."""
THICKNESSES = (3.0, 14.0)
"""In voxels, before the body is made smaller or larger."""
EDGES = (1.0, 4.0)
"""Width of the soft edge of a slab in voxels."""
MAX_BLUR = 1.5
"""Largest standard deviation, in pixels, of the blur of a digit."""
DARKEST = 0.6
"""Least share of the full brightness."""


def solid(digit: UInt8[np.ndarray, "y x"], generator: np.random.Generator) -> UInt8[np.ndarray, "32 32 32 1"]:
    """Returns a digit as a slab (d, h, w, 1), turned, tilted, scaled and softened at random."""
    half = (VOLUME_SIZE - 1) / 2
    axes = (np.arange(VOLUME_SIZE, dtype=np.float32) - half,) * 3
    places = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3) / generator.uniform(*SCALES)
    before, down, across = (places @ _rotation(generator)).T
    blurred = gaussian_filter(digit.astype(np.float32), generator.uniform(0.0, MAX_BLUR))
    centre = [[(size - 1) / 2] for size in digit.shape]
    values = map_coordinates(blurred, np.stack([down, across]) + np.float32(centre), order=1)
    thickness, edge = generator.uniform(*THICKNESSES), generator.uniform(*EDGES)
    inside = np.clip((thickness / 2 - np.abs(before)) / edge + 0.5, 0.0, 1.0)
    found = generator.uniform(DARKEST, 1.0) * values * inside
    return np.rint(found).astype(np.uint8).reshape(*(VOLUME_SIZE,) * 3, 1)


def _rotation(generator: np.random.Generator) -> Float32[np.ndarray, "3 3"]:
    """Returns a rotation of (d, h, w): a turn about h by any angle, then a tilt about an axis across h."""
    turn, direction = generator.uniform(0.0, 2 * np.pi, 2)
    aside, tilt = (_turn(angle) for angle in (direction, generator.uniform(0.0, MAX_TILT)))
    about_w = tilt[np.ix_((0, 2, 1), (0, 2, 1))]  # of d and h, where the others are of d and w
    return (aside @ about_w @ aside.T @ _turn(turn)).astype(np.float32)


def _turn(angle: float) -> np.ndarray:
    """Returns the rotation of (d, h, w) about h."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]])


def solids(source: Source, seed: int) -> Source:
    """Returns the digits of a source as volumes, each with one pose that its number and the seed determine."""

    def read(index: int) -> np.ndarray:
        return solid(source.take(np.array([index]))[0, ..., 0], np.random.default_rng((seed, index)))

    return dataclasses.replace(source, shape=(*(VOLUME_SIZE,) * 3, 1), images=None, read=read)


def open_data(config: ClassifierRecipe, source: Source | None) -> Data:
    """Returns the training and the test volumes."""
    train = solids(source or open_source(config.data), 0)
    return Data(train, solids(open_source(dataclasses.replace(config.data, split="test")), 1))


CONFIG = ClassifierRecipe(
    data=DataConfig("mnist"),
    hparams=ClassifierHparams(lr=1e-3, ema_half_life=2_000.0),
    train=TrainConfig(steps=1_300, batch_size=32),
)
TASK = mnist_classifier.TASK._replace(
    open=open_data,
    measures=lambda *args: (),
    finish=partial(mnist_classifier.finish, "experiments.volume_classifier"),
)


def main() -> None:
    """Trains from the command line."""
    run_recipe("volume_classifier", CONFIG, __doc__, TASK)


if __name__ == "__main__":
    main()
