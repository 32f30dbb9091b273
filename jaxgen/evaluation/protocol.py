"""The evaluation protocol: all that a figure depends on, and every measure that is computed under it.

A figure can be compared only if its feature network, number of generated images, reference and seed are known; so they
are kept together in one record.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float, Int

from jaxgen.data.arrays import match_classes
from jaxgen.data.base import Source
from jaxgen.errors import require
from jaxgen.evaluation import classifier_score
from jaxgen.evaluation.features import FeatureNetwork, extract
from jaxgen.evaluation.generated import Generated, choose_rows
from jaxgen.metrics.frechet import Moments, add_features, empty_moments, frechet_distance
from jaxgen.metrics.intervals import auc_interval, bootstrap_interval, frechet_interval
from jaxgen.metrics.kernel import kernel_distance
from jaxgen.metrics.labels import class_balance, conditional_accuracy
from jaxgen.metrics.neighbours import (
    Nearest,
    empty_nearest,
    memorisation,
    precision_recall_density_coverage,
    update_nearest,
)

BATCH = 500
MAX_KEPT = 10_000
"""Generated and reference images whose features are kept for measures of pairs; the others enter only the moments."""
MAX_PIXEL_BYTES = 2**29
"""Size of the generated images whose pixels are kept, to train a classifier on and to show."""
NEIGHBOURS = 5
MAX_RESAMPLED_WIDTH = 256
"""Number of features up to which the Fréchet distance gets an interval; with more, resampling takes minutes."""
MIN_ACCURACY = 0.95
"""Accuracy on the labelled reference that a classifier needs for its classes of generated images to count."""
NUM_PAIRS = 10
"""Closest pairs of a generated and a training image that are shown."""

T = TypeVar("T")
Batch = tuple[np.ndarray, np.ndarray | None]
"""uint8 images (b, h, w, c), and labels (b,) or None."""
Watch = Callable[[str, Iterable[Any], int], Iterable[Any]]
"""(description, items, number of items) -> the same items, while progress is reported."""


class Protocol(NamedTuple):
    """The conditions under which figures were measured.

    Attributes:
      name: name of feature network and number of generated images.
      features: description of the feature network.
      sha256: hash of its weights.
      num_generated: number of generated images.
      reference: description of the images that they are compared with.
      seed: seed of every random choice: real images drawn, resamples, subsets, the classifier of the accuracy score.
    """

    name: str
    features: str
    sha256: str
    num_generated: int
    reference: str
    seed: int


class Figure(NamedTuple):
    """A measured value and, if it was computed, its 95% interval."""

    value: float
    low: float | None = None
    high: float | None = None


class Evaluation(NamedTuple):
    """All figures of a protocol by name, and the closest pairs, generated images before training images."""

    protocol: Protocol
    figures: dict[str, Figure]
    pairs: np.ndarray | None


class FeatureSet(NamedTuple):
    """Features of a set of images, of which a random subset is kept for measures of single images and pairs.

    Attributes:
      moments: moments of the features of all images.
      features: features of the images kept.
      predicted: their predicted classes, if the network predicts any.
      labels: their labels, if they have any.
      images: pixels of the first of them.
    """

    moments: Moments
    features: Float[np.ndarray, "n f"]
    predicted: Int[np.ndarray, "n"] | None
    labels: Int[np.ndarray, "n"] | None
    images: np.ndarray


def evaluate(
    generated: Generated,
    train: Source,
    held_out: Source | None,
    network: FeatureNetwork,
    seed: int,
    watch: Watch,
    trained_on: bool = True,
) -> Evaluation:
    """Evaluates generated images by every measure that the data allow.

    Args:
      generated: the images to evaluate.
      train: images that the generator may have learned from.
      held_out: the reference: images of the same kind that it has not seen. None compares with the training images and
        leaves out what needs new ones: the real distance, memorisation, the classifier accuracy score.
      network: the feature network.
      seed: seed of every random choice.
      watch: reports progress.
      trained_on: whether the generator is known to have learned from `train`.

    Returns:
      Figures by name: `frechet`, `real_distance`, `frechet_multiple`, `kernel`, `precision`, `recall`, `density`,
      `coverage`; with a network that predicts the classes of the data `class_imbalance`, `smallest_class_share` and, if
      the generated images have labels, `conditional_accuracy`; `classifier_accuracy_score`; `memorisation_auc`,
      `memorisation_ratio`.

    Raises:
      InputError: generated images of another shape than the real images, fewer than 6, not images, or of classes that
        the real images do not have.
    """
    require(generated.shape == train.shape, "images", generated.shape, f"{train.shape}, the shape of {train.name}")
    require(generated.num > NEIGHBOURS, "images", generated.num, f"{NEIGHBOURS + 1} or more")
    known = generated.class_names is not None and train.class_names is not None
    places = match_classes(generated.class_names, train.class_names, f"labels in {generated.origin}") if known else None
    reference, origin = held_out or train, ", held out" if held_out else ", trained on" if trained_on else ""
    found = f"{reference.num_images} images of {reference.name}"
    require(reference.num_images > NEIGHBOURS, "reference", found, f"{NEIGHBOURS + 1} or more")
    batches = watch("generated images", generated.batches(BATCH), _num_batches(generated.num))
    fake = _collect_features(network, batches, generated.num, seed, MAX_PIXEL_BYTES)
    fake = fake if places is None else fake._replace(labels=places[fake.labels])
    batches = watch("reference", _in_order(reference), _num_batches(reference.num_images))
    real = _collect_features(network, batches, reference.num_images, seed, 0)
    protocol = Protocol(
        name=f"{network.name.split()[0]}-{_short(generated.num)}",
        features=network.name,
        sha256=network.sha256,
        num_generated=generated.num,
        reference=f"{reference.num_images:,} images of {reference.name}{origin}",
        seed=seed,
    )
    figures = _watch_one(watch, "distances", lambda: _distances(fake, real, seed))
    figures |= _class_figures(fake, real, network, train, seed)
    if held_out is None:
        return Evaluation(protocol, figures, None)
    compared, pairs = _compare_with_training(fake, real, network, train, seed, watch)
    distance = compared["real_distance"].value
    ratio = [None if v is None else v / distance for v in figures["frechet"]] if distance > 0 else [math.inf]
    figures |= {"frechet_multiple": Figure(*ratio), **compared}
    if fake.labels is not None and held_out.labels is not None:
        description = "classifier trained on generated images"
        score = _watch_one(watch, description, lambda: _accuracy_score(fake, held_out, seed))
        figures["classifier_accuracy_score"] = score
    return Evaluation(protocol, figures, pairs)


def _watch_one(watch: Watch, description: str, work: Callable[[], T]) -> T:
    """Returns the result of `work`, which is reported as a single item."""
    (result,) = watch(description, map(lambda call: call(), [work]), 1)
    return result


def _collect_features(
    network: FeatureNetwork, batches: Iterable[Batch], num: int, seed: int, pixel_bytes: int
) -> FeatureSet:
    """Returns the features of `num` images, which are read once.

    At most `MAX_KEPT` images, drawn at random, are kept; pixels only of the first of them, up to `pixel_bytes`.
    """
    moments, chunks, pixels, room, start = empty_moments(network.num_features), [], [], pixel_bytes, 0
    rows = choose_rows(num, MAX_KEPT, seed)
    for images, asked in batches:
        ((found, classes),) = extract(network, [images])
        moments = add_features(moments, found)
        kept = rows[start : start + len(images)]
        start += len(images)
        if kept.any():  # else an empty slice would keep the whole batch in memory
            chunks.append([None if x is None else x[kept] for x in (found, classes, asked)])
            fitting = images[kept][: room // images[0].nbytes]
            room -= fitting.nbytes
            pixels.append(fitting)
    joined = (None if column[0] is None else np.concatenate(column) for column in zip(*chunks, strict=True))
    return FeatureSet(moments, *joined, np.concatenate(pixels))


def _distances(fake: FeatureSet, real: FeatureSet, seed: int) -> dict[str, Figure]:
    """Returns Fréchet and kernel distance, precision, recall, density and coverage."""
    value = frechet_distance(fake.moments, real.moments)
    ends = (None, None)
    if fake.features.shape[1] <= MAX_RESAMPLED_WIDTH:
        # the interval of the images kept, moved to the distance of all images, which has less bias
        moments = add_features(empty_moments(len(real.moments.mean)), fake.features)
        shift = value - frechet_distance(moments, real.moments)
        ends = tuple(end + shift for end in frechet_interval(fake.features, real.moments, seed=seed))
    kernel = kernel_distance(fake.features, real.features, seed=seed)
    neighbours = precision_recall_density_coverage(real.features, fake.features, NEIGHBOURS)
    return {
        "frechet": Figure(value, *ends),
        "kernel": Figure(*kernel),
        **{name: Figure(v) for name, v in neighbours.items()},
    }


def _class_figures(
    fake: FeatureSet, real: FeatureSet, network: FeatureNetwork, train: Source, seed: int
) -> dict[str, Figure]:
    """Returns figures about the classes of the generated images; none unless the network predicts those of the data."""
    if fake.predicted is None or real.labels is None or network.class_names != train.class_names:
        return {}
    if np.mean(real.predicted == real.labels) < MIN_ACCURACY:  # classes of the same names, but other things
        return {}
    counts = np.bincount(real.predicted, minlength=len(network.class_names))
    balance = class_balance(fake.predicted, counts)
    figures = {
        "class_imbalance": Figure(balance["total_variation"]),
        "smallest_class_share": Figure(balance["smallest_share"]),
    }
    if fake.labels is not None:
        right = (fake.predicted == fake.labels).astype(np.float64)
        accuracy = conditional_accuracy(fake.predicted, fake.labels)
        figures["conditional_accuracy"] = Figure(accuracy, *bootstrap_interval(right, seed=seed))
    return figures


def _compare_with_training(
    fake: FeatureSet, real: FeatureSet, network: FeatureNetwork, train: Source, seed: int, watch: Watch
) -> tuple[dict[str, Figure], np.ndarray]:
    """Returns the real distance, the memorisation and the closest pairs; reads the training images once."""
    rows = choose_rows(train.num_images, fake.moments.num, seed)
    moments, start = empty_moments(network.num_features), 0
    to_generated, to_real = empty_nearest(len(fake.features)), empty_nearest(len(real.features))
    batches = watch("training images", _in_order(train, 4 * BATCH), _num_batches(train.num_images, 4 * BATCH))
    for images, _ in batches:
        ((features, _),) = extract(network, [images])
        moments = add_features(moments, features[rows[start : start + len(images)]])
        to_generated = update_nearest(to_generated, fake.features, features, start)
        to_real = update_nearest(to_real, real.features, features, start)
        start += len(images)
    near = memorisation(to_generated.distance, to_real.distance)
    figures = {
        "real_distance": Figure(frechet_distance(moments, real.moments)),
        "memorisation_auc": Figure(near["auc"], *auc_interval(to_generated.distance, to_real.distance)),
        "memorisation_ratio": Figure(near["ratio"]),
    }
    return figures, _closest_pairs(fake.images, to_generated, train)


def _closest_pairs(images: np.ndarray, nearest: Nearest, train: Source) -> np.ndarray:
    """Returns the generated images nearest to a training image, then those training images: uint8 (2 n, h, w, c)."""
    closest = np.argsort(nearest.distance[: len(images)], kind="stable")[:NUM_PAIRS]
    return np.concatenate([images[closest], train.take(nearest.index[closest])])


def _accuracy_score(fake: FeatureSet, held_out: Source, seed: int) -> Figure:
    """Returns the accuracy on all held-out images of a classifier trained on the generated images kept."""
    num = len(fake.images)
    state = classifier_score.train_on_generated(fake.images, fake.labels[:num], held_out.num_classes, seed)
    is_correct = classifier_score.make_is_correct(held_out.shape, held_out.num_classes)
    found = [is_correct(state, images, labels) for images, labels in _in_order(held_out, classifier_score.AT_ONCE)]
    right = np.concatenate(found).astype(np.float64)
    return Figure(float(right.mean()), *bootstrap_interval(right, seed=seed))


def _in_order(source: Source, at_once: int = BATCH) -> Iterator[Batch]:
    """Yields all images and labels of a source, in its own order."""
    for start in range(0, source.num_images, at_once):
        index = np.arange(start, min(start + at_once, source.num_images))
        yield source.take(index), None if source.labels is None else source.labels[index]


def _num_batches(num: int, at_once: int = BATCH) -> int:
    return -(-num // at_once)


def _short(num: int) -> str:
    """Returns 10k for 10000, and 2500 for 2500."""
    return f"{num // 1000}k" if num % 1000 == 0 else str(num)
