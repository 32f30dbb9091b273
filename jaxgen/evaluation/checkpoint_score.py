"""The cheap measure that runs at every checkpoint and chooses the best one."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from jaxgen.data.base import Source
from jaxgen.data.pipeline import plan
from jaxgen.evaluation.features import FeatureNetwork, choose_network, extract
from jaxgen.metrics.frechet import Moments, add_features, frechet_distance, no_moments

NUM_FAKES = 2000
NUM_REAL = 10_000
BATCH = 500


class Judge(NamedTuple):
    """A measure of fakes.

    Attributes:
      metric: its name among the metrics of a run.
      protocol: what it is, in one line.
      num_fakes: images that it wants; always from the same inputs, so that values differ by the weights alone.
      distance: uint8 (num_fakes, h, w, c) -> the distance; lower is better.
    """

    metric: str
    protocol: str
    num_fakes: int
    distance: Callable[[UInt8[np.ndarray, "n h w c"]], float]


def make_judge(source: Source, seed: int) -> Judge:
    """Fréchet distance of a few fakes to images that the GAN is trained on: no test image has a say in the choice.

    Args:
      source: the training images; at most 10,000 of them are used, drawn by `seed`.
      seed: of the run.
    """
    network = choose_network(source.shape)
    num_real = max(2, min(NUM_REAL, source.num_images))
    num_fakes = min(NUM_FAKES, num_real)
    real = moments_of(network, _some(source, num_real, seed))
    return Judge(
        metric="quality/frechet_2k" if num_fakes == NUM_FAKES else f"quality/frechet_{num_fakes}",
        protocol=f"Fréchet distance, {network.name}, {num_fakes} fakes against {num_real} training images",
        num_fakes=num_fakes,
        distance=lambda fakes: frechet_distance(moments_of(network, [fakes]), real),
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
