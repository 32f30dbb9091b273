"""The evaluation protocol: all that a figure depends on, and every measure that is computed under it.

A figure can be compared only if its feature network, number of generated images, reference and seed are known; so they
are kept together in one record.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np

from jaxgen.data.arrays import match_classes
from jaxgen.data.base import Source
from jaxgen.errors import require
from jaxgen.evaluation import classifier_score
from jaxgen.evaluation.features import FeatureNetwork, extract
from jaxgen.evaluation.figures import FeatureSet, Figure, class_figures, shape_figures, shapes_of
from jaxgen.evaluation.generated import Generated, choose_rows
from jaxgen.metrics.frechet import add_features, empty_moments, frechet_distance
from jaxgen.metrics.intervals import auc_interval, frechet_interval
from jaxgen.metrics.kernel import chance_distance, kernel_distance
from jaxgen.metrics.neighbours import (
    Nearest,
    empty_nearest,
    memorisation,
    precision_recall_density_coverage,
    two_sample_accuracy,
    update_nearest,
)
from jaxgen.types import Grid

BATCH = 500
MAX_BATCH_BYTES = 2**27
"""Size of the images that are read at once, which makes batches of large volumes smaller."""
MAX_KEPT = 10_000
"""Generated and reference images whose features are kept for measures of pairs; the others enter only the moments."""
MAX_PIXEL_BYTES = 2**29
"""Size of the generated images whose pixels are kept, to train a classifier on and to show."""
MAX_SUBSET = 1000
"""Images in a subset of which the kernel distance is computed."""
NEIGHBOURS = 5
MAX_RESAMPLED_WIDTH = 256
"""Number of features up to which the Fréchet distance gets an interval; with more, resampling takes minutes."""
NUM_PAIRS = 10
"""Closest pairs of a generated and a training image that are shown."""

T = TypeVar("T")
Batch = tuple[np.ndarray, np.ndarray | None]
"""uint8 images (b, *spatial, c), and labels (b,) or None."""
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


class Evaluation(NamedTuple):
    """All figures of a protocol by name, and the closest pairs, generated images before training images."""

    protocol: Protocol
    figures: dict[str, Figure]
    pairs: np.ndarray | None


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
        leaves out what needs new ones: the multiples, memorisation, the classifier accuracy score.
      network: the feature network.
      seed: seed of every random choice.
      watch: reports progress.
      trained_on: whether the generator is known to have learned from `train`.

    Returns:
      Figures by name, which `samples.MEANINGS` explains: distances, multiples of those of real images, and neighbours;
      of volumes their shape; with a network that predicts the classes of the data what it finds; of images with labels
      what a classifier learns from them, and from as many real images.

    Raises:
      InputError: generated images of another shape than the real images, fewer than 6, not images, or of classes that
        the real images do not have.
    """
    _require_comparable(generated, train, held_out or train)
    known = generated.class_names is not None and train.class_names is not None
    places = match_classes(generated.class_names, train.class_names, f"labels in {generated.origin}") if known else None
    reference, origin = held_out or train, ", held out" if held_out else ", trained on" if trained_on else ""
    at_once = _at_once(train.shape, BATCH)
    batches = watch("generated images", generated.batches(at_once), _num_batches(generated.num, at_once))
    fake = _collect_features(network, batches, generated.num, seed, MAX_PIXEL_BYTES)
    fake = fake if places is None else fake._replace(labels=places[fake.labels])
    batches = watch("reference", _in_order(reference, at_once), _num_batches(reference.num_images, at_once))
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
    figures |= shape_figures(fake, real, seed) | class_figures(fake, real, network, train, seed)
    if held_out is None:
        return Evaluation(protocol, figures, None)
    compared, pairs, trained = _compare_with_training(fake, real, network, train, seed, watch)
    figures |= compared
    figures |= _multiples(figures, real, trained, seed)
    if all(labels is not None for labels in (fake.labels, train.labels, held_out.labels)):
        description = "classifiers trained on generated and on real images"
        figures |= _watch_one(watch, description, lambda: _classifier_figures(fake, train, held_out, seed))
    return Evaluation(protocol, figures, pairs)


def _require_comparable(generated: Generated, train: Source, reference: Source) -> None:
    """Raises `InputError` unless generated and training images have one shape and there are enough for neighbours."""
    require(generated.shape == train.shape, "images", generated.shape, f"{train.shape}, the shape of {train.name}")
    require(generated.num > NEIGHBOURS, "images", generated.num, f"{NEIGHBOURS + 1} or more")
    found = f"{reference.num_images} images of {reference.name}"
    require(reference.num_images > NEIGHBOURS, "reference", found, f"{NEIGHBOURS + 1} or more")


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
            columns = (None if x is None else x[kept] for x in (classes, asked))
            chunks.append([found[kept], shapes_of(images[kept]), *columns])
            fitting = images[kept][: room // images[0].nbytes]
            room -= fitting.nbytes
            pixels.append(fitting)
    joined = (None if column[0] is None else np.concatenate(column) for column in zip(*chunks, strict=True))
    return FeatureSet(moments, *joined, np.concatenate(pixels))


def _distances(fake: FeatureSet, real: FeatureSet, seed: int) -> dict[str, Figure]:
    """Returns Fréchet and kernel distance, precision, recall, density, coverage and 1-NN accuracy."""
    value = frechet_distance(fake.moments, real.moments)
    ends = (None, None)
    if fake.features.shape[1] <= MAX_RESAMPLED_WIDTH:
        # the interval of the images kept, moved to the distance of all images, which has less bias
        moments = add_features(empty_moments(len(real.moments.mean)), fake.features)
        shift = value - frechet_distance(moments, real.moments)
        ends = tuple(end + shift for end in frechet_interval(fake.features, real.moments, seed=seed))
    kernel = kernel_distance(fake.features, real.features, subset_size=MAX_SUBSET, seed=seed)
    neighbours = precision_recall_density_coverage(real.features, fake.features, NEIGHBOURS)
    return {
        "frechet": Figure(value, *ends),
        "kernel": Figure(*kernel),
        **{name: Figure(v) for name, v in neighbours.items()},
        "two_sample_accuracy": Figure(two_sample_accuracy(real.features, fake.features, seed=seed)),
    }


def _compare_with_training(
    fake: FeatureSet, real: FeatureSet, network: FeatureNetwork, train: Source, seed: int, watch: Watch
) -> tuple[dict[str, Figure], np.ndarray, np.ndarray]:
    """Returns the real distance and the memorisation, the closest pairs, and the features of training images.

    The training images are read once. Features are kept of as many as were generated, at most `MAX_KEPT`.
    """
    rows = choose_rows(train.num_images, fake.moments.num, seed)
    kept = choose_rows(train.num_images, len(fake.features), seed)
    moments, chunks, start = empty_moments(network.num_features), [], 0
    to_generated, to_real = empty_nearest(len(fake.features)), empty_nearest(len(real.features))
    at_once = _at_once(train.shape, 4 * BATCH)
    batches = watch("training images", _in_order(train, at_once), _num_batches(train.num_images, at_once))
    for images, _ in batches:
        ((features, _),) = extract(network, [images])
        part = slice(start, start + len(images))
        moments = add_features(moments, features[rows[part]])
        chunks.append(features[kept[part]])
        to_generated = update_nearest(to_generated, fake.features, features, start)
        to_real = update_nearest(to_real, real.features, features, start)
        start += len(images)
    near = memorisation(to_generated.distance, to_real.distance)
    figures = {
        "real_distance": Figure(frechet_distance(moments, real.moments)),
        "memorisation_auc": Figure(near["auc"], *auc_interval(to_generated.distance, to_real.distance)),
        "memorisation_ratio": Figure(near["ratio"]),
    }
    return figures, _closest_pairs(fake.images, to_generated, train), np.concatenate(chunks)


def _multiples(figures: dict[str, Figure], real: FeatureSet, trained: np.ndarray, seed: int) -> dict[str, Figure]:
    """Returns both distances as multiples of those of real images, and the kernel distance of training images.

    The kernel distance is divided by what chance gives for as many real images, see `chance_distance`: the distance of
    training images from held-out ones is unbiased, so that it is around 0 and no number to divide by.
    """
    size = min(MAX_SUBSET, len(trained), len(real.features))
    chance = chance_distance(np.concatenate([trained, real.features]), size, seed=seed)
    return {
        "frechet_multiple": _divide(figures["frechet"], figures["real_distance"].value),
        "real_kernel": Figure(*kernel_distance(trained, real.features, subset_size=MAX_SUBSET, seed=seed)),
        "kernel_multiple": _divide(figures["kernel"], chance),
    }


def _divide(figure: Figure, unit: float) -> Figure:
    return Figure(*(None if v is None else v / unit for v in figure)) if unit > 0 else Figure(math.inf)


def _closest_pairs(images: np.ndarray, nearest: Nearest, train: Source) -> np.ndarray:
    """Returns the generated images nearest to a training image, then those training images: uint8 (2 n, h, w, c)."""
    closest = np.argsort(nearest.distance[: len(images)], kind="stable")[:NUM_PAIRS]
    return np.concatenate([images[closest], train.take(nearest.index[closest])])


def _classifier_figures(fake: FeatureSet, train: Source, held_out: Source, seed: int) -> dict[str, Figure]:
    """Returns figures, on all held-out images, of classifiers trained on generated and on as many training images."""
    num, k = len(fake.images), held_out.num_classes
    rows = np.flatnonzero(choose_rows(train.num_images, num, seed))
    classify = classifier_score.make_classify(held_out.shape, k)
    figures = {}
    for prefix, images, labels in (
        ("", fake.images, fake.labels[:num]),
        ("real_", train.take(rows), train.labels[rows]),
    ):
        state = classifier_score.train_on(images, labels, k, seed)
        batches = _in_order(held_out, classifier_score.AT_ONCE)
        logits = np.concatenate([classify(state, images) for images, _ in batches])
        figures |= classifier_score.score_figures(prefix, logits, held_out.labels, seed)
    return figures


def _at_once(shape: Grid, most: int) -> int:
    """Returns how many images are read at once."""
    return max(1, min(most, MAX_BATCH_BYTES // math.prod(shape)))


def _in_order(source: Source, at_once: int) -> Iterator[Batch]:
    """Yields all images and labels of a source, in its own order."""
    for start in range(0, source.num_images, at_once):
        index = np.arange(start, min(start + at_once, source.num_images))
        yield source.take(index), None if source.labels is None else source.labels[index]


def _num_batches(num: int, at_once: int) -> int:
    return -(-num // at_once)


def _short(num: int) -> str:
    """Returns 10k for 10000, and 2500 for 2500."""
    return f"{num // 1000}k" if num % 1000 == 0 else str(num)
