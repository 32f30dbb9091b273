"""Metrics of predicted classes: their balance, and their agreement with the classes requested."""

import numpy as np
from jaxtyping import Float, Int

from jaxgen.errors import InputError, require


def class_balance(
    predicted: Int[np.ndarray, " n"], reference: Float[np.ndarray, " k"] | Int[np.ndarray, " k"]
) -> dict[str, float]:
    """Returns how far the class frequencies of generated images are from those of the reference.

    With frequencies p of the predicted classes and q of the reference: total variation sum_i |p_i - q_i| / 2, and the
    smallest share min_i p_i / q_i over the classes that the reference has.

    Args:
      predicted: [n], classes in 0 to k - 1, n >= 1.
      reference: [k], counts or frequencies, at least 0, not all 0.

    Returns:
      `total_variation` in [0, 1], 0 for equal frequencies; `smallest_share` in [0, 1], 0 if a class is missing.

    Raises:
      InputError: no labels, a label that is not a class, or a reference without frequencies.

    References:
      Levin, Peres, Wilmer, "Markov Chains and Mixing Times", 2009, proposition 4.2 (total variation).
    """
    usable = np.isfinite(reference).all() and (reference >= 0).all() and reference.sum() > 0
    require(bool(usable), "reference", reference.tolist(), "counts or frequencies, at least 0 and not all 0")
    num_classes = len(reference)
    require(len(predicted) > 0, "predicted", len(predicted), "1 label or more")
    for label in (int(predicted.min()), int(predicted.max())):
        require(0 <= label < num_classes, "predicted", label, f"classes 0 to {num_classes - 1}")
    p = np.bincount(predicted, minlength=num_classes) / len(predicted)
    q = reference / reference.sum()
    return {
        "total_variation": float(np.abs(p - q).sum() / 2),
        "smallest_share": float((p[q > 0] / q[q > 0]).min()),
    }


def conditional_accuracy(predicted: Int[np.ndarray, " n"], asked: Int[np.ndarray, " m"]) -> float:
    """Returns the fraction of images whose predicted class is the one asked for: mean_i [predicted_i = asked_i].

    Args:
      predicted: [n], n >= 1.
      asked: [n], the classes that the images were generated for.

    Returns:
      A fraction in [0, 1].

    Raises:
      InputError: no labels, or different numbers of both.

    References:
      Ravuri, Vinyals, "Classification Accuracy Score for Conditional Generative Models", 2019 (there the classifier is
      trained on generated images; here on real ones).
    """
    if len(predicted) != len(asked) or not len(asked):
        raise InputError(f"labels: got {len(predicted)} predicted, {len(asked)} asked; accepted: as many, 1 or more")
    return float(np.mean(predicted == asked))


def area_under_curve(lower: Float[np.ndarray, " n"], higher: Float[np.ndarray, " m"]) -> float:
    """Returns P(L < H) + P(L = H) / 2 for a number of each set, the area under the ROC curve.

    Args:
      lower: [n], such as the scores of the images that are not of a class, n >= 1.
      higher: [m], such as the scores of those that are, m >= 1.

    References:
      Mann, Whitney, "On a Test of Whether one of Two Random Variables is Stochastically Larger than the Other", 1947.
    """
    ordered = np.sort(higher)
    not_above, below = (np.searchsorted(ordered, lower, side).mean() / len(ordered) for side in ("right", "left"))
    return float(1.0 - (not_above + below) / 2)
