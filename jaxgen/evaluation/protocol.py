"""The named protocol: everything that a distance depends on, and all measures taken under it.

A figure means nothing without its feature network, number of generated images, reference and seed; so they are one record.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float, Int

from jaxgen.data.base import Source
from jaxgen.errors import require
from jaxgen.evaluation import classifier_score
from jaxgen.evaluation.features import FeatureNetwork, extract
from jaxgen.evaluation.generated import Generated, drawn
from jaxgen.metrics.frechet import Moments, add_features, frechet_distance, no_moments
from jaxgen.metrics.intervals import auc_interval, bootstrap_interval, frechet_interval
from jaxgen.metrics.kernel import kernel_distance
from jaxgen.metrics.labels import class_balance, conditional_accuracy
from jaxgen.metrics.neighbours import Nearest, memorisation, nearer, no_nearest, precision_recall_density_coverage

BATCH = 500
KEPT = 10_000
"""Generated images, and reference images, of which features are kept for measures that compare pairs; the rest enters moments."""
KEPT_BYTES = 2**29
"""Pixels of generated images kept at most, to train a classifier on and to show."""
NEIGHBOURS = 5
MAX_RESAMPLED_WIDTH = 256
"""Features up to which the Fréchet distance has an interval: a hundred of the distances take minutes beyond."""
KNOWN = 0.95
"""Share of the labelled reference that a classifier must know before it is asked about the generated images' classes."""
PAIRS = 10
"""Closest pairs of a generated image and a training image that are shown."""

T = TypeVar("T")
Batch = tuple[np.ndarray, np.ndarray | None]
"""uint8 images (b, h, w, c), and labels (b,) where there are any."""
Watch = Callable[[str, Iterable[Any], int], Iterable[Any]]
"""(what is done, items, how many) -> the same items, while somebody is told."""


class Protocol(NamedTuple):
    """What a figure depends on.

    Attributes:
      name: feature network and number of generated images.
      features: feature network.
      sha256: of its weights.
      num_generated: images judged.
      reference: what they are compared with.
      seed: of every random choice: real images drawn, resamples, subsets, the classifier of the accuracy score.
    """

    name: str
    features: str
    sha256: str
    num_generated: int
    reference: str
    seed: int


class Figure(NamedTuple):
    """A measured value and, where there is one, its 95% interval."""

    value: float
    low: float | None = None
    high: float | None = None


class Evaluation(NamedTuple):
    """All figures of a protocol, by name, and pictures of the closest pairs: generated images above training images."""

    protocol: Protocol
    figures: dict[str, Figure]
    pairs: np.ndarray | None


class Judged(NamedTuple):
    """What is kept of a set of images: moments of all, features, classes, labels and pixels of the first."""

    moments: Moments
    features: Float[np.ndarray, "n f"]
    predicted: Int[np.ndarray, "n"] | None
    labels: Int[np.ndarray, "n"] | None
    images: np.ndarray


def evaluate(
    generated: Generated, train: Source, held_out: Source | None, network: FeatureNetwork, seed: int, watch: Watch
) -> Evaluation:
    """Judges generated images by every measure that the data allows.

    Args:
      generated: what to judge.
      train: images that the generator may have learned from.
      held_out: images of the same kind that it has not seen: the reference. None takes the training images for it, and
        leaves out what needs new ones: the real distance, memorisation, the classifier accuracy score.
      network: of the features.
      seed: of every random choice.
      watch: shows how far it is.

    Returns:
      Figures by name: `frechet`, `real_distance`, `frechet_multiple`, `kernel`, `precision`, `recall`, `density`,
      `coverage`; with a network that knows the classes `class_imbalance`, `smallest_class_share` and, for generated images with
      labels, `conditional_accuracy`; `classifier_accuracy_score`; `memorisation_auc`, `memorisation_ratio`.

    Raises:
      InputError: generated images of another shape than the real images, fewer than two, or not images.
    """
    require(generated.shape == train.shape, "images", generated.shape, f"{train.shape}, the shape of {train.name}")
    require(generated.num > NEIGHBOURS, "images", generated.num, f"{NEIGHBOURS + 1} or more")
    reference = held_out or train
    batches = watch("generated images", generated.batches(BATCH), _num_batches(generated.num))
    judged = _judge(network, batches, generated.num, seed, KEPT_BYTES)
    require_labels(judged.labels, train)
    batches = watch("reference", _in_order(reference), _num_batches(reference.num_images))
    real = _judge(network, batches, reference.num_images, seed, 0)
    protocol = Protocol(
        name=f"{network.name.split()[0]}-{_short(generated.num)}",
        features=network.name,
        sha256=network.sha256,
        num_generated=generated.num,
        reference=f"{reference.num_images:,} images of {reference.name}, {'held out' if held_out else 'trained on'}",
        seed=seed,
    )
    figures = _watch_one(watch, "distances", lambda: _distances(judged, real, seed))
    figures |= _class_figures(judged, real, network, train, seed)
    if held_out is None:
        return Evaluation(protocol, figures, None)
    compared, pairs = _against_training(judged, real, network, train, seed, watch)
    distance = compared["real_distance"].value
    ratio = [None if v is None else v / distance for v in figures["frechet"]] if distance > 0 else [math.inf]
    figures |= {"frechet_multiple": Figure(*ratio), **compared}
    if judged.labels is not None and held_out.labels is not None:
        score = _watch_one(
            watch, "classifier trained on generated images", lambda: _accuracy_score(judged, held_out, seed)
        )
        figures["classifier_accuracy_score"] = score
    return Evaluation(protocol, figures, pairs)


def _watch_one(watch: Watch, what: str, work: Callable[[], T]) -> T:
    """The result of work that is one piece to whoever watches."""
    (result,) = watch(what, map(lambda call: call(), [work]), 1)
    return result


def require_labels(labels: np.ndarray | None, train: Source) -> None:
    """Refuses labels of generated images that are no classes of the data."""
    if labels is not None and train.num_classes:
        for label in (int(labels.min()), int(labels.max())):
            require(
                0 <= label < train.num_classes, "labels", label, f"0 to {train.num_classes - 1}, as in {train.name}"
            )


def _judge(network: FeatureNetwork, batches: Iterable[Batch], num: int, seed: int, pixel_bytes: int) -> Judged:
    """One pass over `num` images: moments of all; of `KEPT` drawn at random features, classes and labels.

    Pixels of the first of these are kept up to `pixel_bytes`.
    """
    moments, parts, pixels, room, start = no_moments(network.num_features), [], [], pixel_bytes, 0
    rows = drawn(num, KEPT, seed)
    for images, asked in batches:
        ((found, classes),) = extract(network, [images])
        moments = add_features(moments, found)
        kept = rows[start : start + len(images)]
        start += len(images)
        if kept.any():  # and nothing of a batch without: a slice would keep the whole batch alive
            parts.append([None if x is None else x[kept] for x in (found, classes, asked)])
            fitting = images[kept][: room // images[0].nbytes]
            room -= fitting.nbytes
            pixels.append(fitting)
    joined = (None if part[0] is None else np.concatenate(part) for part in zip(*parts, strict=True))
    return Judged(moments, *joined, np.concatenate(pixels))


def _distances(fake: Judged, real: Judged, seed: int) -> dict[str, Figure]:
    """Fréchet and kernel distance, precision, recall, density and coverage."""
    value = frechet_distance(fake.moments, real.moments)
    ends = (None, None)
    if fake.features.shape[1] <= MAX_RESAMPLED_WIDTH:
        # of the generated images kept; moved, since the distance of all of them, where there are more, has less bias
        shift = value - frechet_distance(add_features(no_moments(len(real.moments.mean)), fake.features), real.moments)
        ends = tuple(end + shift for end in frechet_interval(fake.features, real.moments, seed=seed))
    kernel = kernel_distance(fake.features, real.features, seed=seed)
    neighbours = precision_recall_density_coverage(real.features, fake.features, NEIGHBOURS)
    return {
        "frechet": Figure(value, *ends),
        "kernel": Figure(*kernel),
        **{name: Figure(v) for name, v in neighbours.items()},
    }


def _class_figures(fake: Judged, real: Judged, network: FeatureNetwork, train: Source, seed: int) -> dict[str, Figure]:
    """What a network that knows the classes of this data says of the generated images' classes; nothing if it does not."""
    if fake.predicted is None or real.labels is None or network.class_names != train.class_names:
        return {}
    if np.mean(real.predicted == real.labels) < KNOWN:  # classes of the same names, but of other things
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


def _against_training(
    fake: Judged, real: Judged, network: FeatureNetwork, train: Source, seed: int, watch: Watch
) -> tuple[dict[str, Figure], np.ndarray]:
    """One pass over the training images: the distance of real ones, and how near the generated images are to what was learned."""
    rows = drawn(train.num_images, fake.moments.num, seed)
    moments, start = no_moments(network.num_features), 0
    to_generated, to_real = no_nearest(len(fake.features)), no_nearest(len(real.features))
    batches = watch("training images", _in_order(train, 4 * BATCH), _num_batches(train.num_images, 4 * BATCH))
    for images, _ in batches:
        ((features, _),) = extract(network, [images])
        moments = add_features(moments, features[rows[start : start + len(images)]])
        to_generated = nearer(to_generated, fake.features, features, start)
        to_real = nearer(to_real, real.features, features, start)
        start += len(images)
    near = memorisation(to_generated.distance, to_real.distance)
    figures = {
        "real_distance": Figure(frechet_distance(moments, real.moments)),
        "memorisation_auc": Figure(near["auc"], *auc_interval(to_generated.distance, to_real.distance)),
        "memorisation_ratio": Figure(near["ratio"]),
    }
    return figures, _closest_pairs(fake.images, to_generated, train)


def _closest_pairs(images: np.ndarray, nearest: Nearest, train: Source) -> np.ndarray:
    """Generated images nearest to a training image, then those images: uint8 (2 * pairs, h, w, c)."""
    closest = np.argsort(nearest.distance[: len(images)], kind="stable")[:PAIRS]
    return np.concatenate([images[closest], train.take(nearest.index[closest])])


def _accuracy_score(fake: Judged, held_out: Source, seed: int) -> Figure:
    """Classifier accuracy score: trained on the generated images whose pixels are kept, tested on all held-out images."""
    num = len(fake.images)
    state = classifier_score.train_on_generated(fake.images, fake.labels[:num], held_out.num_classes, seed)
    hits = classifier_score.make_hits(held_out.shape, held_out.num_classes)
    found = [hits(state, images, labels) for images, labels in _in_order(held_out, classifier_score.AT_ONCE)]
    right = np.concatenate(found).astype(np.float64)
    return Figure(float(right.mean()), *bootstrap_interval(right, seed=seed))


def _in_order(source: Source, at_once: int = BATCH) -> Iterator[Batch]:
    """All images and labels of a source, in its own order."""
    for start in range(0, source.num_images, at_once):
        index = np.arange(start, min(start + at_once, source.num_images))
        yield source.take(index), None if source.labels is None else source.labels[index]


def _num_batches(num: int, at_once: int = BATCH) -> int:
    return -(-num // at_once)


def _short(num: int) -> str:
    """10000 -> 10k, 2500 -> 2500."""
    return f"{num // 1000}k" if num % 1000 == 0 else str(num)
