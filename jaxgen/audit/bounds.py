"""What the scores of an attack prove: AUC, true positives at few false ones, and a lower bound of epsilon."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from jaxgen.errors import require
from jaxgen.metrics.checks import require_features
from jaxgen.metrics.intervals import auc_interval
from jaxgen.metrics.neighbours import memorisation

LEVEL = 0.95
"""Confidence level of every interval and bound."""
FALSE_POSITIVES = 0.01
"""Rate of false positives at which the rate of true ones is given."""
GUESSED = (0.2, 0.05)
"""Shares of the canaries that are guessed besides nearly all, fixed in advance; each number is a test of its own, and
they share the level. A weak leak shows the most where few are guessed, those with the most extreme scores."""
LARGEST = 40.0
"""Largest epsilon that is tried."""


class Rate(NamedTuple):
    """A value with its 95% interval."""

    value: float
    low: float
    high: float


def auc(included: Float[np.ndarray, " n"], others: Float[np.ndarray, " m"]) -> Rate:
    """Returns the area under the ROC curve: the chance that an included image has the higher score, ties counted half.

    Args:
      included: [n], scores of images that were trained on, n >= 2; higher means more like one.
      others: [m], scores of images that were not, m >= 2.

    Returns:
      0.5 if the attack sees nothing, with the interval of DeLong.

    Raises:
      InputError: too few scores, or one that is not finite.
    """
    # only the order counts, so that ranks are as good as scores, and are distances: 0 or more
    ranks = stats.rankdata(np.concatenate([included, others]))
    distances = ranks.max() - ranks
    pair = distances[: len(included)], distances[len(included) :]
    require_features(included[:, None], "scores")
    require_features(others[:, None], "scores")
    return Rate(memorisation(*pair)["auc"], *auc_interval(*pair))


def true_positives(
    included: Float[np.ndarray, " n"], others: Float[np.ndarray, " m"], false_positives: float = FALSE_POSITIVES
) -> Rate:
    """Returns the share of included images above the lowest threshold with at most so many false positives.

    Args:
      included: [n], scores of images that were trained on.
      others: [m], scores of images that were not; with fewer than 1 / false_positives none of them may be above.
      false_positives: the greatest share of the others above the threshold.

    Returns:
      The share, with the exact interval of Clopper and Pearson for this threshold.
    """
    threshold = np.sort(others)[::-1][int(false_positives * len(others))]
    return clopper_pearson(int(np.sum(included > threshold)), len(included))


def clopper_pearson(successes: int, trials: int, level: float = LEVEL) -> Rate:
    """Returns a share with its exact binomial interval.

    References:
      Clopper, Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial", 1934.
    """
    tail, missed = (1.0 - level) / 2.0, trials - successes
    low = 0.0 if successes == 0 else float(stats.beta.ppf(tail, successes, missed + 1))
    high = 1.0 if missed == 0 else float(stats.beta.ppf(1.0 - tail, successes + 1, missed))
    return Rate(successes / trials, low, high)


def p_value(correct: int, guesses: int, canaries: int, epsilon: float, delta: float) -> float:
    """Returns the largest probability of so many correct guesses under (epsilon, delta)-differential privacy.

    f(v) + 2 m delta max_i (f(v - i) - f(v)) / i, where f(v) is the chance of v or more among r throws of a coin that
    shows heads with probability e^epsilon / (1 + e^epsilon).

    Args:
      correct: v, guesses that are right.
      guesses: r, canaries whose coin is guessed; which ones may depend on the model.
      canaries: m, all whose coin was thrown.
      epsilon: 0 or more, of adding or removing one image.
      delta: 0 to 1.

    References:
      Steinke, Nasr, Jagielski, "Privacy Auditing with One (1) Training Run", 2023, theorem 5.2.
    """
    heads = 1.0 / (1.0 + np.exp(-epsilon))
    below = stats.binom.pmf(np.arange(correct - 1, -1, -1), guesses, heads)
    steepest = max(np.cumsum(below) / np.arange(1, correct + 1), default=0.0)
    chance = stats.binom.sf(correct - 1, guesses, heads) + 2.0 * canaries * delta * steepest
    return float(min(chance, 1.0))


def refuted_epsilon(correct: int, guesses: int, canaries: int, delta: float, level: float = LEVEL) -> float:
    """Returns the largest epsilon that so many correct guesses refute at a level; 0 if they refute none.

    The arguments are those of `p_value`; the result is exact to 1e-6.
    """
    low, high = 0.0, LARGEST
    if p_value(correct, guesses, canaries, 0.0, delta) > 1.0 - level:
        return 0.0
    while high - low > 1e-6:
        middle = (low + high) / 2.0
        refuted = p_value(correct, guesses, canaries, middle, delta) <= 1.0 - level
        low, high = (middle, high) if refuted else (low, middle)
    return low


def numbers_of_guesses(canaries: int) -> tuple[int, ...]:
    """Returns the numbers of canaries m that are guessed, all even: the most, then fewer.

    The most is m - 2 sqrt(m): the coins of m / 2 +- sqrt(m) canaries fall on one side, so that of more guesses, half of
    which are "included", some would be wrong whatever the scores.
    """
    most = canaries / 2 - canaries**0.5
    return tuple(2 * max(1, int(pairs)) for pairs in (most, *(share * canaries / 2 for share in GUESSED)))


def epsilon_bound(
    scores: Float[np.ndarray, " m"], included: Bool[np.ndarray, " m"], delta: float, attacks: int = 1
) -> float:
    """Returns a lower bound of epsilon at 95%, from one training with canaries.

    The canaries with the highest scores are guessed to be included, as many with the lowest not to be. The bound is the
    best over `numbers_of_guesses`, and over all attacks of an audit, which share the level.

    Args:
      scores: [m], higher means more like an image that was trained on; they must not depend on the coins but through
        the model.
      included: [m], the coins.
      delta: delta of the privacy.
      attacks: number of attacks, the best of which is believed.

    Returns:
      0 or more. 0 does not mean that the training is private, but that this attack shows nothing.

    Raises:
      InputError: a score that is not finite.
    """
    require_features(scores[:, None], "scores")
    require(len(scores) >= 2, "canaries", len(scores), "2 or more")
    order = np.argsort(scores, kind="stable")
    right = {n: _right(included[order], n // 2) for n in numbers_of_guesses(len(scores))}
    return _best(right, len(scores), delta, attacks)


def largest_bound(canaries: int, delta: float, attacks: int = 1) -> float:
    """Returns what `epsilon_bound` shows if every guess is right: no audit with so many canaries can show more."""
    return _best({n: n for n in numbers_of_guesses(canaries)}, canaries, delta, attacks)


def _right(included: Bool[np.ndarray, " m"], num: int) -> int:
    """Returns how many of the first `num` are not included, and of the last `num` are."""
    return int(np.sum(~included[:num]) + np.sum(included[len(included) - num :]))


def _best(right: Mapping[int, int], canaries: int, delta: float, attacks: int) -> float:
    """Returns the best bound over numbers of guesses, of which `right` says how many are right."""
    level = 1.0 - (1.0 - LEVEL) / ((1 + len(GUESSED)) * attacks)
    return max(refuted_epsilon(correct, guesses, canaries, delta, level) for guesses, correct in right.items())
