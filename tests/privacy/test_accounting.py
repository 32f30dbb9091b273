"""Accounting against the closed form of the Gaussian mechanism and published values."""

import sys

import numpy as np
import pytest
from scipy import optimize, stats

from jaxgen.errors import InputError
from jaxgen.privacy.accounting import epsilon_spent, noise_multiplier, steps_within

DELTA = 1e-5


def epsilon_of_gaussian(noise: float, steps: int) -> float:
    """Epsilon without sampling: Balle and Wang, "Improving the Gaussian Mechanism", 2018, theorem 8."""
    mu = np.sqrt(steps) / noise

    def excess(epsilon: float) -> float:
        a, b = mu / 2 - epsilon / mu, -mu / 2 - epsilon / mu
        return stats.norm.cdf(a) - np.exp(epsilon) * stats.norm.cdf(b) - DELTA

    return optimize.brentq(excess, 0.0, 50.0)


@pytest.mark.parametrize(("noise", "steps"), [(10.0, 1), (20.0, 16), (9.0, 7)])
def test_without_sampling_epsilon_is_that_of_the_gaussian_mechanism(noise: float, steps: int) -> None:
    expected = epsilon_of_gaussian(noise, steps)
    assert expected - 1e-4 <= epsilon_spent(noise, 1.0, steps, DELTA) <= expected * 1.001
    assert expected < epsilon_spent(noise, 1.0, steps, DELTA, "rdp") < 1.5 * expected


def test_epsilon_of_a_small_private_gan() -> None:
    """1024 of 60,000 images, 5,000 steps: 4.58 for epsilon 1."""
    assert epsilon_spent(4.58, 1024 / 60_000, 5_000, DELTA) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.slow
def test_epsilon_of_published_runs() -> None:
    """What "Private GANs, Revisited" calls epsilon 10, by an older accountant; and 0.886 for epsilon 10."""
    assert epsilon_spent(1.0, 128 / 60_000, 450_000, DELTA) == pytest.approx(9.28, abs=5e-3)
    assert epsilon_spent(0.886, 1024 / 60_000, 5_000, DELTA) == pytest.approx(10.0, abs=0.02)


def test_noise_is_enough_and_hardly_more() -> None:
    for epsilon, q, steps in ((0.5, 1.0, 4), (1.0, 0.01, 1000)):
        noise = noise_multiplier(epsilon, DELTA, q, steps)
        assert 0.998 * epsilon <= epsilon_spent(noise, q, steps, DELTA) <= epsilon


def test_steps_within_a_budget_are_the_most() -> None:
    budget = epsilon_of_gaussian(20.0, 10) * 1.01
    assert steps_within(budget, DELTA, 1.0, 20.0, 50) == 10
    assert steps_within(budget, DELTA, 1.0, 20.0, 5) == 5
    assert epsilon_spent(20.0, 1.0, 0, DELTA) == 0.0


EARLIER = (4.0, 1.0, 1.0, 30.0, 1.0, 9.0)
"""One step with noise 4, and nine with 30, of all images."""


def test_earlier_trainings_are_composed() -> None:
    """Gaussian mechanisms compose to one: the squares of 1 / noise add up."""
    whole = 1 / np.sqrt(1 / 4**2 + 9 / 30**2 + 16 / 20**2)
    expected = epsilon_of_gaussian(whole, 1)
    assert expected - 1e-4 <= epsilon_spent(20.0, 1.0, 16, DELTA, earlier=EARLIER) <= expected * 1.001
    assert expected < epsilon_spent(20.0, 1.0, 16, DELTA, "rdp", EARLIER) < 1.5 * expected
    before = epsilon_of_gaussian(1 / np.sqrt(1 / 4**2 + 9 / 30**2), 1)
    assert epsilon_spent(1.0, 1.0, 0, DELTA, earlier=EARLIER) == pytest.approx(before, rel=1e-3)


@pytest.mark.parametrize("budget", [1.3, 2.0])
def test_noise_after_earlier_trainings_spends_what_is_left(budget: float) -> None:
    """The largest 1 / noise is that which is left of the whole Gaussian mechanism."""
    whole = optimize.brentq(lambda noise: epsilon_of_gaussian(noise, 1) - budget, 0.5, 20.0)
    least = np.sqrt(16 / (1 / whole**2 - 1 / 4**2 - 9 / 30**2))
    found = noise_multiplier(budget, DELTA, 1.0, 16, EARLIER)
    assert epsilon_spent(found, 1.0, 16, DELTA, earlier=EARLIER) <= budget
    assert least <= found * (1 + 1e-6)
    assert found < 1.02 * least
    assert steps_within(budget, DELTA, 1.0, found, 50, EARLIER) == 16


def test_a_budget_that_is_spent_already_is_refused() -> None:
    with pytest.raises(InputError, match=r"epsilon: got 0.9; accepted: above 1.\d+, which was spent on the initial"):
        noise_multiplier(0.9, DELTA, 1.0, 16, EARLIER)
    with pytest.raises(InputError, match=r"earlier: got \(4.0, 1.0\); accepted: noise multiplier, sampling rate"):
        epsilon_spent(1.0, 1.0, 1, DELTA, earlier=(4.0, 1.0))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    with pytest.raises(InputError, match=r"epsilon: needs the package dp_accounting: pip install 'jaxgen\[privacy\]'"):
        epsilon_spent(3.21, 1.0, 1, DELTA)


@pytest.mark.parametrize(("q", "steps", "delta"), [(0.0, 1, DELTA), (1.5, 1, DELTA), (0.5, -1, DELTA), (0.5, 1, 1.0)])
def test_numbers_out_of_range_are_refused(q: float, steps: int, delta: float) -> None:
    with pytest.raises(InputError):
        epsilon_spent(1.0, q, steps, delta)
