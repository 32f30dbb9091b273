"""Figures of two sets of features: of the classes of the images, and of the shape of volumes."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxgen.data.base import Source
from jaxgen.evaluation.features import FeatureNetwork
from jaxgen.metrics.frechet import Moments
from jaxgen.metrics.intervals import bootstrap_interval
from jaxgen.metrics.labels import class_balance, conditional_accuracy
from jaxgen.metrics.shapes import histogram_distance, largest_components, occupancies

MIN_ACCURACY = 0.95
"""Accuracy on the labelled reference that a classifier needs for its classes of generated images to count."""


class Figure(NamedTuple):
    """A measured value and, if it was computed, its 95% interval."""

    value: float
    low: float | None = None
    high: float | None = None


class FeatureSet(NamedTuple):
    """Features of a set of images, of which a random subset is kept for measures of single images and pairs.

    Attributes:
      moments: moments of the features of all images.
      features: features of the images kept.
      shapes: occupancy and largest component of the volumes kept; no columns for images.
      predicted: their predicted classes, if the network predicts any.
      labels: their labels, if they have any.
      images: pixels of the first of them.
    """

    moments: Moments
    features: Float[np.ndarray, "n f"]
    shapes: Float[np.ndarray, "n s"]
    predicted: Int[np.ndarray, "n"] | None
    labels: Int[np.ndarray, "n"] | None
    images: np.ndarray


def shapes_of(images: np.ndarray) -> Float[np.ndarray, "n s"]:
    """Returns occupancy and largest component of each volume (n, d, h, w, c); no columns for images (n, h, w, c)."""
    if images.ndim == 4:
        return np.empty((len(images), 0))
    return np.stack([occupancies(images), largest_components(images)], axis=1)


def shape_figures(fake: FeatureSet, real: FeatureSet, seed: int) -> dict[str, Figure]:
    """Returns the mean occupancy and largest component of generated and real volumes; nothing for images."""
    figures = {}
    for name, made, true in zip(("occupancy", "largest_component"), fake.shapes.T, real.shapes.T, strict=False):
        for prefix, values in (("", made), ("real_", true)):
            figures[prefix + name] = Figure(float(values.mean()), *bootstrap_interval(values, seed=seed))
        figures[f"{name}_distance"] = Figure(histogram_distance(made, true))
    return figures


def class_figures(
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
