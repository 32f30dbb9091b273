"""The checkpoint score: a cheap measure that is computed at every checkpoint and selects the best one."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from jaxgen.data.base import Source
from jaxgen.evaluation.features import FeatureNetwork, choose_network, extract
from jaxgen.metrics.frechet import Moments, add_features, empty_moments, frechet_distance
from jaxgen.metrics.kernel import chance_distance, kernel_distance

NUM_GENERATED = 2000
NUM_REAL = 10_000
NUM_VOLUMES = 500
"""Volumes to generate, since each takes as long as many images."""
MAX_VOLUMES = 2000
"""Real volumes to compare with."""
NUM_SUBSETS = 20
"""Subsets over which the kernel distance is averaged."""
BATCH = 500

Batches = Iterable[np.ndarray]
Distance = Callable[[Batches], float]


class CheckpointScore(NamedTuple):
    """The score that selects the best checkpoint of a GAN.

    Attributes:
      name: its name among a run's metrics.
      protocol: a description in one line.
      num_generated: images to generate, always from the same inputs, so that scores differ by the weights alone.
      distance: uint8 (num_generated, *spatial, c) -> distance; lower is better.
      describe: (distance) -> the distance in words: as a multiple of that of as many other training images, if there
        are enough of them.
    """

    name: str
    protocol: str
    num_generated: int
    distance: Callable[[UInt8[np.ndarray, "n *s c"]], float]
    describe: Callable[[float], str]


def make_checkpoint_score(source: Source, seed: int) -> CheckpointScore:
    """Returns the score of a GAN: the distance of a few generated images to its training images.

    It uses no test images, so the selected checkpoint may be evaluated on those. Of images it is the Fréchet distance.
    Of volumes, which take long to generate, it is the kernel distance, whose mean does not depend on their number.

    Args:
      source: the training images; at most 10,000 images or 2,000 volumes of them are used, drawn by `seed`, and where
        that leaves enough for a score as many fewer as are needed to know the real distance.
      seed: the seed of the run.
    """
    network, is_image = choose_network(source.shape), len(source.shape) == 3
    most, most_real = (NUM_GENERATED, NUM_REAL) if is_image else (NUM_VOLUMES, MAX_VOLUMES)
    left = source.num_images - most
    num_real = max(2, min(most_real, left if left >= most else source.num_images))
    num = min(most, num_real)
    measure = _frechet if is_image else _kernel
    distance, unit = measure(network, _random_batches(source, 0, num_real, seed))
    kind, things = ("Fréchet", "images") if is_image else ("kernel", "volumes")
    counts = f"{num} generated {things} against {num_real} training {things}"

    def describe(value: float) -> str:
        if source.num_images < num_real + num:
            return f"{kind} distance {value:.4g}, {counts}"
        times = value / unit(_random_batches(source, num_real, num, seed))
        return f"{times:.2f} times the real distance, {num} {things} against {num_real} training {things}"

    return CheckpointScore(
        name=f"quality/{kind.lower().replace('é', 'e')}_{'2k' if num == NUM_GENERATED else num}",
        protocol=f"{kind} distance, {network.name}, {counts}",
        num_generated=num,
        distance=lambda generated: distance([generated]),
        describe=describe,
    )


def _frechet(network: FeatureNetwork, real: Batches) -> tuple[Distance, Distance]:
    """Returns the Fréchet distance of images to real ones, and of further real images what counts as one."""
    moments = moments_of(network, real)
    distance = lambda images: frechet_distance(moments_of(network, images), moments)  # noqa: E731
    return distance, distance


def _kernel(network: FeatureNetwork, real: Batches) -> tuple[Distance, Distance]:
    """Returns the kernel distance of images to real ones, and of further real images what chance gives for as many."""
    features = features_of(network, real)

    def distance(images: Batches) -> float:
        return kernel_distance(features_of(network, images), features, num_subsets=NUM_SUBSETS).value

    def chance(images: Batches) -> float:
        others = features_of(network, images)
        return chance_distance(np.concatenate([others, features]), len(others))

    return distance, chance


def features_of(network: FeatureNetwork, images: Batches) -> np.ndarray:
    """Returns the features (n, f) of all images in the batches."""
    return np.concatenate([features for features, _ in extract(network, images)])


def moments_of(network: FeatureNetwork, images: Batches) -> Moments:
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
