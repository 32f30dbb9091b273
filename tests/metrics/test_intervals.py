"""Bootstrap intervals: how often they hold the truth, and against scipy."""

import numpy as np
import pytest
from scipy import stats

from jaxgen.errors import InputError
from jaxgen.metrics.frechet import Moments, add_features, empty_moments, frechet_distance
from jaxgen.metrics.intervals import auc_interval, bootstrap_interval, frechet_interval

UNIT = Moments(1001, np.zeros(2), 1000 * np.eye(2))
"""Moments of 1,001 images with mean 0 and covariance 1."""


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_interval_of_a_mean_holds_it_as_often_as_it_says(level: float) -> None:
    draws = np.random.default_rng(1).random((400, 60))
    ends = [bootstrap_interval(values, level=level, seed=seed) for seed, values in enumerate(draws)]
    hits = np.mean([low <= 0.5 <= high for low, high in ends])
    assert hits == pytest.approx(level, abs=3 * (level * (1 - level) / 400) ** 0.5 + 0.01)


@pytest.mark.parametrize("statistic", [np.mean, np.std])
@pytest.mark.parametrize("level", [0.5, 0.95])
def test_against_the_percentile_bootstrap_of_scipy(statistic: type, level: float) -> None:
    values = np.random.default_rng(2).standard_normal(200)
    expected = stats.bootstrap(
        (values,), statistic, n_resamples=5000, confidence_level=level, method="percentile", rng=1
    ).confidence_interval
    actual = bootstrap_interval(values, statistic, num_resamples=5000, level=level)
    assert actual == pytest.approx((expected.low, expected.high), abs=0.012)


def test_a_mean_has_the_interval_of_the_central_limit_theorem() -> None:
    values = np.random.default_rng(5).random(20_000)  # resampled 50 at a time
    low, high = bootstrap_interval(values, num_resamples=2000)
    half = 1.96 * values.std() / len(values) ** 0.5
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_equal_values_have_no_width() -> None:
    assert bootstrap_interval(np.full(5, 0.25, np.float32)) == (0.25, 0.25)


def test_seed_decides_the_resamples() -> None:
    values = np.random.default_rng(6).random(30)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval(values) != bootstrap_interval(values, seed=1)


def test_what_has_no_interval_is_refused() -> None:
    with pytest.raises(InputError, match="values: got 1; accepted: 2 or more"):
        bootstrap_interval(np.ones(1))
    with pytest.raises(InputError, match="values: got nan"):
        bootstrap_interval(np.array([0.0, np.nan]))
    with pytest.raises(InputError, match="level: got 95"):
        bootstrap_interval(np.ones(3), level=95.0)
    with pytest.raises(InputError, match="num_resamples: got 1"):
        frechet_interval(np.ones((3, 2)), UNIT, num_resamples=1)
    with pytest.raises(InputError, match="images: got 1"):
        frechet_interval(np.ones((1, 2)), UNIT)
    with pytest.raises(InputError, match="got 2 and 3 features"):
        frechet_interval(np.ones((4, 3)), UNIT)


def distance(features: np.ndarray) -> float:
    return frechet_distance(add_features(empty_moments(2), features), UNIT)


def test_the_frechet_interval_holds_the_expected_distance_of_as_many_fakes() -> None:
    draws = 1.3 * np.random.default_rng(2).standard_normal((860, 80, 2)) + 0.5
    expected = np.mean([distance(fake) for fake in draws[60:]])
    ends = [frechet_interval(fake, UNIT, num_resamples=60, seed=seed) for seed, fake in enumerate(draws[:60])]
    assert np.sum([low <= expected <= high for low, high in ends]) >= 52  # 57 less 3 standard deviations


def test_the_frechet_interval_holds_the_value_where_resampling_is_biased() -> None:
    # the distributions are equal: all of the distance is bias, and resampled images are about twice as far
    real = Moments(1001, np.zeros(20), 1000 * np.eye(20))
    fake = np.random.default_rng(4).standard_normal((60, 20))
    low, high = frechet_interval(fake, real)
    assert 0 < low < frechet_distance(add_features(empty_moments(20), fake), real) < high


def test_the_frechet_interval_of_a_shift() -> None:
    # F = |mean|^2 and hardly anything else with a large shift s: standard deviation 2 s sigma / sqrt(n)
    fake = np.random.default_rng(3).standard_normal((400, 2)) + np.array([100.0, 0.0])
    low, high = frechet_interval(fake.astype(np.float32), UNIT, num_resamples=1000)
    assert (high - low) / 2 == pytest.approx(1.96 * 2 * 100 * fake[:, 0].std() / 400**0.5, rel=0.15)
    assert (high + low) / 2 == pytest.approx(distance(fake), rel=1e-3)


def test_equal_fakes_have_a_frechet_interval_without_width() -> None:
    # a point at distance 1 from the mean, against a unit covariance: 1 + tr(1) = 3
    assert frechet_interval(np.full((5, 2), 0.5**0.5), UNIT) == pytest.approx((3.0, 3.0))


def test_auc_interval_lies_around_its_definition_and_covers_it() -> None:
    """Exponential distances of means 1 and 1.5: P(F < H) = 1.5 / 2.5."""
    noise = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        fake, held_out = noise.exponential(1.0, 60), noise.exponential(1.5, 90)
        low, high = auc_interval(fake, held_out)
        value = np.mean(fake[:, None] < held_out[None])
        assert (low + high) / 2 == pytest.approx(value)
        inside += low < 0.6 < high
    assert 180 <= inside <= 199
    ties = auc_interval(np.ones(5), np.ones(7))
    assert ties == (0.5, 0.5)
