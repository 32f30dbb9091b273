"""How sure a metric is: bootstrap intervals, from the images that were measured and no others."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from jaxgen.errors import require
from jaxgen.metrics.checks import require_features
from jaxgen.metrics.frechet import Moments, add_features, frechet_distance, no_moments

MAX_RESAMPLED = 1_000_000
"""Numbers that are resampled at once, which bounds the memory."""


def bootstrap_interval(
    values: Float[np.ndarray, " n"],
    statistic: Callable[..., np.ndarray] = np.mean,
    *,
    num_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of a statistic: quantiles (1 -+ level) / 2 over samples of n values drawn with replacement.

    Args:
      values: [n], one number per image, finite, n >= 2.
      statistic: like np.mean or np.median, called as statistic([r, n], axis=1) -> [r].
      num_resamples: samples drawn, at least 2.
      level: of confidence, above 0 and below 1.
      seed: of the samples.

    Returns:
      Lower and upper end; equal if all values are.

    Raises:
      InputError: fewer than 2 values, one that is not finite, or arguments out of range.

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
    """Interval of the Frechet distance that n generated images are expected to have, the real moments taken as they are.

    The distance of a finite set is biased upwards, and that of n generated images drawn from them with replacement is so twice:
    a percentile interval may lie above the value itself. So it is moved down by the bias that resampling adds, M - F
    for the value F and the mean M of the resampled distances: [q_low - (M - F), q_high - (M - F)] with their quantiles
    q. It lies around F, keeps the bias of F, and compares with distances of as many generated images, as F does.

    Args:
      fake: [n, d], finite, n >= 2; each resample takes O(n d^2 + d^3).
      real: moments with as many features.
      num_resamples: at least 2.
      level: of confidence, above 0 and below 1.
      seed: of the resamples.

    Returns:
      Lower and upper end, at least 0.

    Raises:
      InputError: as `frechet_distance`, or arguments out of range.

    References:
      Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 10 (bias) and 13 (percentile interval).
    """
    _require_resampling(num_resamples, level)
    generator = np.random.default_rng(seed)

    def distance(features: np.ndarray) -> float:
        return frechet_distance(add_features(no_moments(len(real.mean)), features), real)

    value, n = distance(fake), len(fake)
    resampled = np.array([distance(fake[generator.integers(n, size=n)]) for _ in range(num_resamples)])
    low, high = np.quantile(resampled, _ends(level)) - (resampled.mean() - value)
    return max(0.0, float(low)), max(0.0, float(high))


def auc_interval(fake: Float[np.ndarray, " n"], held_out: Float[np.ndarray, " m"]) -> tuple[float, float]:
    """95% interval of P(F < H) + P(F = H) / 2, the `auc` of `neighbours.memorisation`: the normal one of DeLong.

    With the place of each value in the other set, v_i = P(f_i < H) + P(f_i = H) / 2 and w_j likewise, the variance is
    var(v) / n + var(w) / m.

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
    v, w = 1.0 - _places(fake, held_out), _places(held_out, fake)
    half = 1.96 * np.sqrt(v.var(ddof=1) / len(v) + w.var(ddof=1) / len(w))
    return max(0.0, float(v.mean() - half)), min(1.0, float(v.mean() + half))


def _places(values: Float[np.ndarray, " n"], among: Float[np.ndarray, " m"]) -> Float[np.ndarray, " n"]:
    """For each value, the share of the others below it, half of the equal ones counted."""
    ordered = np.sort(among)
    both = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return both / (2.0 * len(ordered))


def _ends(level: float) -> tuple[float, float]:
    """The two quantiles between which `level` of a distribution lies."""
    return (1.0 - level) / 2.0, (1.0 + level) / 2.0


def _require_resampling(num_resamples: int, level: float) -> None:
    """Refuses what is no number of resamples, or no level of confidence."""
    require(num_resamples >= 2, "num_resamples", num_resamples, "2 or more")
    require(0 < level < 1, "level", level, "above 0 and below 1")
