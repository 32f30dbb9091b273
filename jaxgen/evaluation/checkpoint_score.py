"""The checkpoint score: a cheap measure that is computed at every checkpoint and selects the best one."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from jaxgen.data.base import Source
from jaxgen.evaluation.features import FeatureNetwork, choose_network, extract
from jaxgen.metrics.frechet import Moments, add_features, empty_moments, frechet_distance

NUM_GENERATED = 2000
NUM_REAL = 10_000
BATCH = 500


class CheckpointScore(NamedTuple):
    """The score that selects the best checkpoint of a GAN.

    Attributes:
      name: its name among a run's metrics.
      protocol: a description in one line.
      num_generated: images to generate, always from the same inputs, so that scores differ by the weights alone.
      distance: uint8 (num_generated, h, w, c) -> Fréchet distance; lower is better.
      describe: (distance) -> the distance in words: as a multiple of that of as many other training images, if there
        are enough of them.
    """

    name: str
    protocol: str
    num_generated: int
    distance: Callable[[UInt8[np.ndarray, "n h w c"]], float]
    describe: Callable[[float], str]


def make_checkpoint_score(source: Source, seed: int) -> CheckpointScore:
    """Returns the score of a GAN: the Fréchet distance of a few generated images to its training images.

    It uses no test images, so the selected checkpoint may be evaluated on those.

    Args:
      source: the training images; at most 10,000 of them are used, drawn by `seed`, and where that leaves enough for a
        score as many fewer as are needed to know the real distance.
      seed: the seed of the run.
    """
    network = choose_network(source.shape)
    left = source.num_images - NUM_GENERATED
    num_real = max(2, min(NUM_REAL, left if left >= NUM_GENERATED else source.num_images))
    num_generated = min(NUM_GENERATED, num_real)
    counts = f"{num_generated} generated images against {num_real} training images"
    real = moments_of(network, _random_batches(source, 0, num_real, seed))

    def describe(distance: float) -> str:
        if source.num_images < num_real + num_generated:
            return f"Fréchet distance {distance:.4g}, {counts}"
        others = moments_of(network, _random_batches(source, num_real, num_generated, seed))
        times = distance / frechet_distance(others, real)
        return f"{times:.2f} times the real distance, {num_generated} images against {num_real} training images"

    return CheckpointScore(
        name="quality/frechet_2k" if num_generated == NUM_GENERATED else f"quality/frechet_{num_generated}",
        protocol=f"Fréchet distance, {network.name}, {counts}",
        num_generated=num_generated,
        distance=lambda generated: frechet_distance(moments_of(network, [generated]), real),
        describe=describe,
    )


def moments_of(network: FeatureNetwork, images: Iterable[np.ndarray]) -> Moments:
    """Returns the moments of the features of all images in the batches."""
    moments = empty_moments(network.num_features)
    for features, _ in extract(network, images):
        moments = add_features(moments, features)
    return moments


def _random_batches(source: Source, start: int, num: int, seed: int) -> Iterator[np.ndarray]:
    """Yields `num` images of the source in batches, from a place of an order that no epoch of a training has."""
    # epochs have the streams (seed, epoch, 0) to (seed, epoch, 2); see `jaxgen.data.pipeline`
    order = np.random.default_rng((seed, 0, 3)).permutation(source.num_images)
    index = np.resize(order, start + num)[start:]
    for start in range(0, num, BATCH):
        yield source.take(index[start : start + BATCH])
