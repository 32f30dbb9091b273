"""The checkpoint score: the cheap measure that is taken at every checkpoint and chooses the best one."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from jaxgen.data.base import Source
from jaxgen.data.pipeline import plan
from jaxgen.evaluation.features import FeatureNetwork, choose_network, extract
from jaxgen.metrics.frechet import Moments, add_features, frechet_distance, no_moments

NUM_GENERATED = 2000
NUM_REAL = 10_000
BATCH = 500


class CheckpointScore(NamedTuple):
    """The measure that chooses the best checkpoint of a GAN.

    Attributes:
      name: its name among the metrics of a run.
      protocol: what it is, in one line.
      num_generated: images that it wants; always from the same inputs, so that values differ by the weights alone.
      distance: uint8 (num_generated, h, w, c) -> the distance; lower is better.
    """

    name: str
    protocol: str
    num_generated: int
    distance: Callable[[UInt8[np.ndarray, "n h w c"]], float]


def make_checkpoint_score(source: Source, seed: int) -> CheckpointScore:
    """Fréchet distance of a few generated images to images that the GAN is trained on: no test image has a say in the choice.

    Args:
      source: the training images; at most 10,000 of them are used, drawn by `seed`.
      seed: of the run.
    """
    network = choose_network(source.shape)
    num_real = max(2, min(NUM_REAL, source.num_images))
    num_generated = min(NUM_GENERATED, num_real)
    real = moments_of(network, _some(source, num_real, seed))
    return CheckpointScore(
        name="quality/frechet_2k" if num_generated == NUM_GENERATED else f"quality/frechet_{num_generated}",
        protocol=f"Fréchet distance, {network.name}, {num_generated} generated images against {num_real} training images",
        num_generated=num_generated,
        distance=lambda generated: frechet_distance(moments_of(network, [generated]), real),
    )


def moments_of(network: FeatureNetwork, images: Iterable[np.ndarray]) -> Moments:
    """Moments of the features of batches of images."""
    moments = no_moments(network.num_features)
    for features, _ in extract(network, images):
        moments = add_features(moments, features)
    return moments


def _some(source: Source, num: int, seed: int) -> Iterator[np.ndarray]:
    """Batches of `num` images in all, drawn by `seed`."""
    index, _ = plan(seed + 2**32, source.num_images, 0, num)
    for start in range(0, num, BATCH):
        yield source.take(index[start : start + BATCH])
