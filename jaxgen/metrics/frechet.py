"""Fréchet distance of two sets of features, from moments that are accumulated batch by batch."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64

from jaxgen.errors import InputError
from jaxgen.metrics.checks import require_features, require_same_width


class Moments(NamedTuple):
    """Number, mean and scatter matrix of features, from which the Fréchet distance is computed."""

    num: int
    """Number of images so far."""
    mean: Float64[np.ndarray, " d"]
    """[d]."""
    scatter: Float64[np.ndarray, "d d"]
    """[d, d], sum of (x - mean)(x - mean)^T; the covariance times num - 1."""


def empty_moments(dim: int) -> Moments:
    """Returns the moments of no images, with `dim` >= 1 features, to start from."""
    return Moments(0, np.zeros(dim), np.zeros((dim, dim)))


def add_features(moments: Moments, features: Float[np.ndarray, "b e"]) -> Moments:
    """Returns the moments of the images so far and one more batch; the split into batches does not matter.

    With delta the difference of the means: n = n_a + n_b, mean = mean_a + delta n_b / n,
    scatter = scatter_a + scatter_b + delta delta^T n_a n_b / n.

    Args:
      moments: moments of the images so far.
      features: [b, d], finite; any b, 0 included.

    Returns:
      Moments of both together.

    Raises:
      InputError: features are not finite, or their number differs from that in `moments`.

    References:
      Chan, Golub, LeVeque, "Algorithms for Computing the Sample Variance: Analysis and Recommendations", 1983 (the
      pairwise update of one number; here of vectors).
    """
    require_same_width(moments.mean, features, "features")
    num, more = moments.num, len(features)
    if not more:
        return moments
    require_features(features, "features")
    features = features.astype(np.float64)
    mean = features.mean(axis=0)
    centred, delta = features - mean, mean - moments.mean
    scatter = moments.scatter + centred.T @ centred + np.outer(delta, delta) * (num * more / (num + more))
    return Moments(num + more, moments.mean + delta * (more / (num + more)), scatter)


def frechet_distance(a: Moments, b: Moments) -> float:
    """Returns the squared Fréchet (2-Wasserstein) distance of two Gaussians with the moments of the two sets.

    |mean_a - mean_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2) with covariances A and B. The last trace is computed as
    the sum of the singular values of A^1/2 B^1/2, which is equal; rounding errors then enter as they are, not as their
    square root. The estimate is biased upwards with few images: compare distances only at equal numbers.

    Args:
      a: moments of 2 images or more.
      b: moments of 2 images or more, with as many features.

    Returns:
      The distance, at least 0, in squared units of the features; also with fewer images than features.

    Raises:
      InputError: fewer than 2 images, or different numbers of features.

    References:
      Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", 2017,
      equation 6. Dowson, Landau, "The Frechet Distance between Multivariate Normal Distributions", 1982.
    """
    require_same_width(a.mean, b.mean, "features")
    return _distance(a.mean, _root(_covariance(a)), b.mean, _root(_covariance(b)))


def make_frechet_distance(real: Moments) -> Callable[[Float[np.ndarray, "n d"]], float]:
    """Returns a function (features) -> `frechet_distance` of their moments to `real`, for many sets of features.

    What depends on `real` alone is computed once. Any root of the other covariance serves: with fewer images than
    features the centred features themselves.
    """
    root = _root(_covariance(real))

    def distance(features: Float[np.ndarray, "n d"]) -> float:
        mean = features.mean(axis=0, dtype=np.float64)
        factor = (features - mean) / np.sqrt(len(features) - 1)
        factor = factor if len(factor) <= len(mean) else _root(factor.T @ factor)
        return _distance(mean, factor, real.mean, root)

    return distance


def _distance(mean_a: np.ndarray, root_a: np.ndarray, mean_b: np.ndarray, root_b: np.ndarray) -> float:
    """Returns the distance from means [d] and roots R [k, d] of the covariances R^T R; `root_b` is symmetric."""
    overlap = np.linalg.svd(root_a @ root_b, compute_uv=False).sum()
    spread = np.square(root_a).sum() + np.square(root_b).sum() - 2.0 * overlap
    return float(max(0.0, np.square(mean_a - mean_b).sum() + spread))


def _covariance(moments: Moments) -> Float64[np.ndarray, "d d"]:
    """Returns the unbiased covariance."""
    if moments.num < 2:
        raise InputError(f"images: got {moments.num}; accepted: 2 or more, for fewer have no covariance")
    return moments.scatter / (moments.num - 1)


def _root(matrix: Float64[np.ndarray, "d d"]) -> Float64[np.ndarray, "d d"]:
    """Returns the symmetric square root of a symmetric matrix; negative or rounding-noise eigenvalues count as 0."""
    values, vectors = np.linalg.eigh(matrix)
    noise = len(values) * np.finfo(np.float64).eps * np.abs(values).max()
    return (vectors * np.sqrt(np.where(values > noise, values, 0.0))) @ vectors.T
