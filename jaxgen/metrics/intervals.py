"""Confidence intervals of metrics, computed from the measured images alone."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from threadpoolctl import threadpool_limits

from jaxgen.errors import require
from jaxgen.metrics.checks import require_features, require_same_width
from jaxgen.metrics.frechet import Moments, make_frechet_distance

MAX_RESAMPLED = 1_000_000
"""Values that are resampled at once, which bounds the memory."""


def bootstrap_interval(
    values: Float[np.ndarray, " n"],
    statistic: Callable[..., np.ndarray] = np.mean,
    *,
    num_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Returns the percentile bootstrap interval of a statistic.

    Its ends are the quantiles (1 -+ level) / 2 over samples of n values drawn with replacement.

    Args:
      values: [n], one number per image, finite, n >= 2.
      statistic: like np.mean or np.median, called as statistic([r, n], axis=1) -> [r].
      num_resamples: samples drawn, at least 2.
      level: confidence level, above 0 and below 1.
      seed: seed of the samples.

    Returns:
      Lower and upper end, which are equal if all values are.

    Raises:
      InputError: fewer than 2 values, a value that is not finite, or an argument out of range.

    References:
      Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    require_features(values[:, None], "values")
    require(len(values) >= 2, "values", len(values), "2 or more")
    _require_resampling(num_resamples, level)
    generator = np.random.default_rng(seed)
    at_once = max(1, MAX_RESAMPLED // len(values))
    chunks = [min(at_once, num_resamples - start) for start in range(0, num_resamples, at_once)]
    resampled = (values[generator.integers(len(values), size=(rows, len(values)))] for rows in chunks)
    low, high = np.quantile(np.concatenate([statistic(rows, axis=1) for rows in resampled]), _ends(level))
    return float(low), float(high)


def frechet_interval(
    fake: Float[np.ndarray, "n d"], real: Moments, *, num_resamples: int = 100, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Returns an interval of the expected Fréchet distance of n generated images to exact real moments.

    The distance of a finite set is biased upwards, and resampling it with replacement adds about this bias once more: a
    percentile interval may lie above the value itself. So it is moved down by the bias that resampling adds, M - F for
    the value F and the mean M of the resampled distances: [q_low - (M - F), q_high - (M - F)] with their quantiles q.
    It lies around F, keeps the bias of F and, like F, can be compared with distances of as many generated images.

    Args:
      fake: [n, d], finite, n >= 2; each resample takes O(n d^2 + d^3).
      real: moments with as many features.
      num_resamples: at least 2.
      level: confidence level, above 0 and below 1.
      seed: seed of the resamples.

    Returns:
      Lower and upper end, at least 0.

    Raises:
      InputError: see `frechet_distance`; or an argument out of range.

    References:
      Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 10 (bias) and 13 (percentile interval).
    """
    _require_resampling(num_resamples, level)
    require_features(fake, "fake")
    require_same_width(real.mean, fake, "features")
    require(len(fake) >= 2, "images", len(fake), "2 or more, for fewer have no covariance")
    generator, distance = np.random.default_rng(seed), make_frechet_distance(real)
    n = len(fake)
    with threadpool_limits(1, "blas"):  # matrices this small are many times slower on several threads
        value = distance(fake)
        resampled = np.array([distance(fake[generator.integers(n, size=n)]) for _ in range(num_resamples)])
    low, high = np.quantile(resampled, _ends(level)) - (resampled.mean() - value)
    return max(0.0, float(low)), max(0.0, float(high))


def auc_interval(fake: Float[np.ndarray, " n"], held_out: Float[np.ndarray, " m"]) -> tuple[float, float]:
    """Returns the 95% interval of the `auc` of `neighbours.memorisation`, P(F < H) + P(F = H) / 2, by DeLong's method.

    The placement of a value is its auc against the other set alone: v_i = P(f_i < H) + P(f_i = H) / 2 and
    w_j = P(F < h_j) + P(F = h_j) / 2. The variance is var(v) / n + var(w) / m, and the interval is that of a normal
    distribution.

    Args:
      fake: [n], n >= 2.
      held_out: [m], m >= 2.

    Returns:
      Lower and upper end, cut to [0, 1].

    References:
      DeLong, DeLong, Clarke-Pearson, "Comparing the Areas under Two or More Correlated Receiver Operating
      Characteristic Curves: A Nonparametric Approach", 1988, section 2.
    """
    require_features(fake[:, None], "fake")
    require_features(held_out[:, None], "held_out")
    require(min(len(fake), len(held_out)) >= 2, "distances", min(len(fake), len(held_out)), "2 or more")
    v, w = 1.0 - _shares_below(fake, held_out), _shares_below(held_out, fake)
    half = 1.96 * np.sqrt(v.var(ddof=1) / len(v) + w.var(ddof=1) / len(w))
    return max(0.0, float(v.mean() - half)), min(1.0, float(v.mean() + half))


def _shares_below(values: Float[np.ndarray, " n"], among: Float[np.ndarray, " m"]) -> Float[np.ndarray, " n"]:
    """Returns for each value the share of the others below it, with equal ones counted half."""
    ordered = np.sort(among)
    both = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return both / (2.0 * len(ordered))


def _ends(level: float) -> tuple[float, float]:
    """Returns the two quantiles between which the share `level` of a distribution lies."""
    return (1.0 - level) / 2.0, (1.0 + level) / 2.0


def _require_resampling(num_resamples: int, level: float) -> None:
    """Raises `InputError` unless both arguments are in range."""
    require(num_resamples >= 2, "num_resamples", num_resamples, "2 or more")
    require(0 < level < 1, "level", level, "above 0 and below 1")
