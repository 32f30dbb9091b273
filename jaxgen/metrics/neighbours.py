"""Nearest neighbours, and metrics from them: precision, recall, density, coverage, 1-NN accuracy, memorisation."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64

from jaxgen.errors import InputError, require
from jaxgen.metrics.checks import require_features, require_same_width
from jaxgen.metrics.labels import area_under_curve

BLOCK_SIZE = 128
"""Queries that are compared at once with the whole reference; larger blocks are no faster."""
ROUNDING = 1e-12
"""Error of a squared distance by a matrix product, relative to the largest squared norm of a row."""


class Nearest(NamedTuple):
    """The nearest row to each query, of a reference that is read block by block."""

    distance: Float64[np.ndarray, " n"]
    """[n], infinite before the first block."""
    index: Int64[np.ndarray, " n"]
    """[n], row number in the whole reference; -1 before the first block."""


def empty_nearest(num: int) -> Nearest:
    """Returns the result for `num` queries before the first block, to start from."""
    return Nearest(np.full(num, np.inf), np.full(num, -1, np.int64))


def update_nearest(
    best: Nearest, queries: Float[np.ndarray, "n d"], reference_block: Float[np.ndarray, "m e"], offset: int
) -> Nearest:
    """Returns the nearest rows among the blocks so far and one more; of equally near rows the first is kept.

    Args:
      best: nearest rows of the blocks so far; `empty_nearest` at first.
      queries: [n, d], the same for all blocks.
      reference_block: [m, d], m >= 1.
      offset: row number in the whole reference at which the block starts.

    Returns:
      The nearest rows of all blocks.

    Raises:
      InputError: see `nearest`.
    """
    distances, index = nearest(queries, reference_block)
    closer = distances[:, 0] < best.distance
    return Nearest(np.where(closer, distances[:, 0], best.distance), np.where(closer, index[:, 0] + offset, best.index))


def nearest(
    queries: Float[np.ndarray, "n d"],
    reference: Float[np.ndarray, "m e"],
    k: int = 1,
    *,
    leave_out_self: bool = False,
    block_size: int = BLOCK_SIZE,
) -> tuple[Float64[np.ndarray, "n k"], Int64[np.ndarray, "n k"]]:
    """Returns the k nearest rows by Euclidean distance; at most block_size times m distances are in memory.

    They are found by |r|^2 - 2 q.r, a matrix product in float64. Their distances are then computed from differences,
    so that a copy has distance 0 instead of the square root of rounding noise.

    Args:
      queries: [n, d], finite.
      reference: [m, d], finite.
      k: neighbours, at least 1, at most m.
      leave_out_self: `queries` is `reference`, and a row is no neighbour of itself; then k is at most m - 1.
      block_size: queries compared at once.

    Returns:
      Distances [n, k] in ascending order, and the row numbers [n, k] of those neighbours in the reference.

    Raises:
      InputError: fewer rows than k, features that are not finite, or different numbers of features.
    """
    require_features(queries, "queries")
    require_features(reference, "reference")
    require_same_width(queries, reference, "features")
    require(k >= 1, "k", k, "1 or more")
    _require_enough(len(reference), k + leave_out_self, k)
    queries, reference = queries.astype(np.float64), reference.astype(np.float64)
    norms = _squares(reference)
    blocks = []
    for start in range(0, len(queries), block_size):
        block = queries[start : start + block_size]
        scores = _scores(block, reference, norms)
        if leave_out_self:
            scores[np.arange(len(block)), start + np.arange(len(block))] = np.inf
        blocks.append(_sorted_by_distance(block, reference, _smallest(scores, k)))
    distances, index = zip(*blocks, strict=True)
    return np.concatenate(distances), np.concatenate(index)


def precision_recall_density_coverage(
    real: Float[np.ndarray, "m d"], fake: Float[np.ndarray, "n e"], k: int = 5, *, block_size: int = BLOCK_SIZE
) -> dict[str, float]:
    """Returns fidelity and diversity, by balls around each image that reach to its k-th neighbour in its own set.

    Precision is the share of generated images in the ball of some real image, recall that of real images in the ball of
    some generated one. Density is the mean number of real balls that a generated image lies in, over k. Coverage is the
    share of real images with a generated image in their ball. Balls are open, as in the authors' package `prdc`: an
    image at the distance of the k-th neighbour is outside, so sets of equal images, whose balls are empty, give 0.

    Args:
      real: [m, d], finite, m > k.
      fake: [n, d], finite, n > k.
      k: neighbours that a ball reaches to, at least 1.
      block_size: real images compared at once.

    Returns:
      `precision`, `recall`, `coverage` in [0, 1], and `density`, at least 0 and around 1 for equal distributions.

    Raises:
      InputError: fewer than k + 1 images in a set, features that are not finite, or different numbers of features.

    References:
      Kynkaanniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models", 2019, equations 1, 2.
      Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models", 2020, section 3.
    """
    for field, features in (("real", real), ("fake", fake)):
        require_features(features, field)
    require_same_width(real, fake, "features")
    centre = real.mean(axis=0, dtype=np.float64)
    real, fake = real - centre, fake - centre
    real_radii, fake_radii = (np.square(_radii(x, k, block_size)) for x in (real, fake))
    real_norms, fake_norms = _squares(real), _squares(fake)
    slack = ROUNDING * max(real_norms.max(), fake_norms.max())
    balls, recalled, covered = np.zeros(len(fake), np.int64), 0, 0
    for start in range(0, len(real), block_size):
        rows = slice(start, start + block_size)
        squares = _scores(real[rows], fake, fake_norms) + (real_norms[rows, None] + slack)
        inside = squares < real_radii[rows, None]
        balls += inside.sum(axis=0)
        covered += int(inside.any(axis=1).sum())
        recalled += int((squares < fake_radii).any(axis=1).sum())
    return {
        "precision": float((balls > 0).mean()),
        "recall": recalled / len(real),
        "density": float(balls.mean()) / k,
        "coverage": covered / len(real),
    }


def two_sample_accuracy(
    real: Float[np.ndarray, "m d"], fake: Float[np.ndarray, "n e"], *, seed: int = 0, block_size: int = BLOCK_SIZE
) -> float:
    """Returns how well real and generated images are told apart by their nearest neighbour (1-NN accuracy).

    Of both sets as many images are taken, those of the larger one at random. Each is said to be of the set of its
    nearest neighbour among all the others; the accuracy is the share for which that is true.

    Args:
      real: [m, d], finite, m >= 2.
      fake: [n, d], finite, n >= 2.
      seed: seed of the images that are taken.
      block_size: images compared at once.

    Returns:
      A share: 0.5 for equal distributions, 1 for sets that lie apart or images that are all the same, and 0 for copies
      of the real images.

    Raises:
      InputError: fewer than 2 images in a set, features that are not finite, or different numbers of features.

    References:
      Lopez-Paz, Oquab, "Revisiting Classifier Two-Sample Tests", 2017, section 3.
    """
    require_same_width(real, fake, "features")
    generator, num = np.random.default_rng(seed), min(len(real), len(fake))
    require(num >= 2, "images", num, "2 or more")
    both = np.concatenate([x[generator.choice(len(x), num, replace=False)] for x in (real, fake)])
    index = nearest(both, both, leave_out_self=True, block_size=block_size)[1][:, 0]
    return float(np.mean((index < num) == (np.arange(2 * num) < num)))


def memorisation(fake: Float[np.ndarray, " n"], held_out: Float[np.ndarray, " m"]) -> dict[str, float]:
    """Returns how much nearer to the training images generated images are than new real images.

    auc = P(F < H) + P(F = H) / 2 and ratio = median(F) / median(H), for the distances F of generated images and H of
    held-out real images to the nearest training image.

    Args:
      fake: [n], at least 0, n >= 1.
      held_out: [m], at least 0, m >= 1.

    Returns:
      `auc` in [0, 1]: 0.5 if generated images are as near as new images, 1 if all are nearer, as copies are. `ratio`: 1
      and 0 in these cases; 1 also if both medians are 0, infinite if only that of the held-out images is.

    Raises:
      InputError: no distances, or one that is negative or not finite.

    References:
      Meehan, Chaudhuri, Dasgupta, "A Non-Parametric Test to Detect Data-Copying in Generative Models", 2020 (auc is
      1 - Delta_T, with half of the ties).
    """
    for field, distances in (("fake", fake), ("held_out", held_out)):
        require_features(distances[:, None], field)
        require(bool(distances.min() >= 0), field, float(distances.min()), "distances of 0 or more")
    top, bottom = float(np.median(fake)), float(np.median(held_out))
    ratio = top / bottom if bottom > 0 else 1.0 if top == 0 else float("inf")
    return {"ratio": ratio, "auc": area_under_curve(fake, held_out)}


def _require_enough(found: int, needed: int, k: int) -> None:
    """Raises `InputError` if there are fewer images than needed for k neighbours."""
    if found < needed:
        raise InputError(f"k: got {k} with {found} images; accepted: {needed} images or more for k = {k}")


def _radii(features: Float[np.ndarray, "n d"], k: int, block_size: int) -> Float64[np.ndarray, " n"]:
    """Returns the distance of each row to the k-th nearest of the others."""
    return nearest(features, features, k, leave_out_self=True, block_size=block_size)[0][:, -1]


def _squares(rows: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, " n"]:
    """Returns the squared norm of each row."""
    return np.einsum("nd,nd->n", rows, rows)


def _scores(
    queries: Float64[np.ndarray, "n d"], reference: Float64[np.ndarray, "m d"], norms: Float64[np.ndarray, " m"]
) -> Float64[np.ndarray, "n m"]:
    """Returns |r|^2 - 2 q.r: the squared distances minus |q|^2, which keeps the order of the neighbours of q."""
    scores = (-2.0 * queries) @ reference.T
    scores += norms
    return scores


def _smallest(scores: Float64[np.ndarray, "n m"], k: int) -> Int64[np.ndarray, "n k"]:
    """Returns the columns of the k smallest scores of each row, in any order."""
    return scores.argmin(axis=1)[:, None] if k == 1 else np.argpartition(scores, k - 1, axis=1)[:, :k]


def _sorted_by_distance(
    queries: Float64[np.ndarray, "n d"], reference: Float64[np.ndarray, "m d"], index: Int64[np.ndarray, "n k"]
) -> tuple[Float64[np.ndarray, "n k"], Int64[np.ndarray, "n k"]]:
    """Returns ascending distances, computed from differences, and row numbers; of equals the lower row first."""
    distances = np.linalg.norm(queries[:, None] - reference[index], axis=-1)
    order = np.lexsort((index, distances))
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(index, order, axis=1)
