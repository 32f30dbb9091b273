"""What an audit proves: bounds against closed forms, SciPy and mechanisms of known privacy."""

import itertools
import math

import numpy as np
import pytest
from scipy import optimize, stats

from jaxgen.audit import bounds
from jaxgen.errors import InputError


@pytest.mark.parametrize(("canaries", "epsilon"), [(100, 3.5), (300, 4.6), (1000, 5.8), (3000, 6.9)])
def test_a_perfect_attack_proves_what_the_literature_says(canaries, epsilon):
    found = bounds.refuted_epsilon(canaries, canaries, canaries, delta=0.0)
    assert round(found, 1) == epsilon
    share = 0.05 ** (1 / canaries)  # all heads with probability share^m
    assert found == pytest.approx(math.log(share / (1 - share)), abs=1e-5)


@pytest.mark.parametrize(("correct", "guesses"), [(0, 10), (3, 3), (60, 100), (700, 1000)])
def test_without_delta_the_p_value_is_that_of_the_binomial_test(correct, guesses):
    heads = math.e / (1 + math.e)
    expected = stats.binomtest(correct, guesses, heads, alternative="greater").pvalue
    assert bounds.p_value(correct, guesses, 1000, 1.0, 0.0) == pytest.approx(expected, rel=1e-9)


def test_delta_adds_the_steepest_mean_slope_of_the_tail():
    correct, guesses, canaries, delta = 8, 10, 20, 1e-3
    heads = 2 / 3  # epsilon = log 2
    tail = [
        sum(math.comb(guesses, k) * heads**k * (1 - heads) ** (guesses - k) for k in range(v, guesses + 1))
        for v in range(guesses + 1)
    ]
    slope = max((tail[correct - i] - tail[correct]) / i for i in range(1, correct + 1))
    expected = tail[correct] + 2 * canaries * delta * slope
    assert bounds.p_value(correct, guesses, canaries, math.log(2), delta) == pytest.approx(expected, rel=1e-9)


def test_the_refuted_epsilon_is_where_the_p_value_crosses_the_level():
    crossing = optimize.brentq(lambda e: stats.binom.sf(79, 100, 1 / (1 + math.exp(-e))) - 0.05, 0, 10)
    assert bounds.refuted_epsilon(80, 100, 100, 0.0) == pytest.approx(crossing, abs=1e-5)
    assert bounds.refuted_epsilon(50, 100, 100, 0.0) == 0.0


def test_the_auc_is_the_share_of_pairs_in_order_with_ties_counted_half():
    included, others = np.array([0.5, 1.0, 2.0, -3.0]), np.array([-3.0, 0.5, 0.0])
    pairs = list(itertools.product(included, others))
    expected = sum((a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs)
    found = bounds.auc(included, others)
    assert found.value == pytest.approx(expected)
    assert found.low <= found.value <= found.high


def test_the_true_positives_are_counted_above_one_false_one_in_a_hundred():
    others, included = np.arange(200.0), np.array([196.0, 197.0, 197.5, 198.0, 500.0])
    found = bounds.true_positives(included, others)  # two of the others, 198 and 199, may be above
    assert found.value == 3 / 5
    exact = stats.binomtest(3, 5).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


def test_few_others_allow_no_false_positive():
    assert bounds.true_positives(np.array([0.5, 9.0, 9.5, 11.0]), np.arange(10.0)).value == 0.5


@pytest.mark.parametrize(("successes", "trials"), [(0, 20), (20, 20), (7, 50)])
def test_intervals_of_shares_are_those_of_scipy(successes, trials):
    exact = stats.binomtest(successes, trials).proportion_ci(method="exact")
    found = bounds.clopper_pearson(successes, trials)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-12)


def randomised_response(epsilon: float, num: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and coins of the mechanism that is epsilon-private and loses the most: each coin told truly or not."""
    draw = np.random.default_rng(seed)
    included = draw.integers(0, 2, num).astype(bool)
    truly = draw.random(num) < math.exp(epsilon) / (1 + math.exp(epsilon))
    return np.where(truly, included, ~included) + 1e-6 * draw.random(num), included


def gaussian(sigma: float, num: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and coins of noisy sums of which each holds one canary, a vector of length 1."""
    draw = np.random.default_rng(seed)
    included = draw.integers(0, 2, num).astype(bool)
    return included + sigma * draw.normal(size=num), included


def epsilon_of_gaussian(sigma: float, delta: float) -> float:
    """Balle, Wang 2018, theorem 8: the exact epsilon of the Gaussian mechanism of sensitivity 1."""

    def excess(epsilon: float) -> float:
        a, b = 0.5 / sigma, epsilon * sigma
        return stats.norm.cdf(a - b) - math.exp(epsilon) * stats.norm.cdf(-a - b) - delta

    return optimize.brentq(excess, 0, 100)


def refutes(scores: np.ndarray, included: np.ndarray, epsilon: float) -> bool:
    """Whether the bound would exceed epsilon, without the search for the bound itself."""
    order, num = np.argsort(scores, kind="stable"), len(scores)
    for guesses in bounds.numbers_of_guesses(num):
        half = guesses // 2
        correct = int(included[order[num - half :]].sum() + (~included[order[:half]]).sum())
        if bounds.p_value(correct, guesses, num, epsilon, 0.0) <= 0.05 / 3:
            return True
    return False


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 2.0])
def test_bounds_exceed_the_epsilon_of_the_leakiest_mechanism_in_one_of_twenty_at_most(epsilon):
    wrong = sum(refutes(*randomised_response(epsilon, 400, seed), epsilon) for seed in range(200))
    assert wrong <= stats.binom.ppf(0.999, 200, 0.05)
    found = [bounds.epsilon_bound(*randomised_response(epsilon, 1000, seed), delta=0.0) for seed in range(5)]
    assert np.median(found) >= 0.5 * epsilon  # and they are no empty promises


def test_bounds_of_twenty_gaussian_mechanisms_stay_below_their_epsilon_and_leaks_are_caught():
    sigma, delta = 1.0, 1e-5
    epsilon = epsilon_of_gaussian(sigma, delta)
    assert epsilon == pytest.approx(4.38, abs=0.01)
    kept = [bounds.epsilon_bound(*gaussian(sigma, 1000, seed), delta=delta) for seed in range(20)]
    assert max(kept) < epsilon
    assert min(kept) > 0.5
    leaking = [bounds.epsilon_bound(*gaussian(sigma / 100, 1000, seed), delta=delta) for seed in range(20)]
    assert sorted(leaking)[1] > epsilon  # the coins of one in twenty fall too unevenly for it


def test_the_best_of_several_attacks_and_numbers_of_guesses_shares_the_level():
    assert bounds.numbers_of_guesses(1000) == (936, 200, 50)  # 1000 - 2 * 31.6
    assert bounds.numbers_of_guesses(20) == (10, 4, 2)
    included = np.arange(100) % 2 == 0
    for attacks in (1, 2):
        share = (0.05 / (3 * attacks)) ** (1 / 80)
        expected = pytest.approx(math.log(share / (1 - share)), abs=1e-5)
        assert bounds.epsilon_bound(included + 0.0, included, 0.0, attacks) == expected
        assert bounds.largest_bound(100, 0.0, attacks) == expected


def test_a_leak_of_few_images_is_seen_by_few_guesses():
    draw, included = np.random.default_rng(0), np.arange(1000) % 2 == 0
    scores = draw.normal(size=1000)
    scores[included.nonzero()[0][:25]] = 10.0  # 25 are copied
    scores[(~included).nonzero()[0][:25]] = -10.0
    assert bounds.refuted_epsilon(550, 1000, 1000, 0.0) < 0.2  # what guessing all would show
    assert bounds.epsilon_bound(scores, included, 0.0) > 2.0


def test_scores_that_are_not_finite_are_refused():
    included = np.arange(10) % 2 == 0
    with pytest.raises(InputError, match="scores"):
        bounds.epsilon_bound(np.full(10, np.nan), included, 0.0)
    with pytest.raises(InputError, match="scores"):
        bounds.auc(np.full(5, np.inf), np.zeros(5))
