"""The kernel distance against a double loop, its freedom from bias, and how often its interval is right."""

import itertools

import numpy as np
import pytest

from jaxgen.errors import InputError
from jaxgen.metrics.kernel import chance_distance, kernel_distance

NOISE = np.random.default_rng(0)


def by_loop(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared MMD, pair by pair."""

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3)

    within_x = np.mean([kernel(a, b) for a, b in itertools.permutations(x, 2)])
    within_y = np.mean([kernel(a, b) for a, b in itertools.permutations(y, 2)])
    return float(within_x + within_y - 2 * np.mean([kernel(a, b) for a, b in itertools.product(x, y)]))


def by_moments(x_moments: list[float], y_moments: list[float]) -> float:
    """Squared MMD of two distributions of one number: (xy + 1)^3 = sum_i binomial(3, i) x^i y^i."""
    difference = np.subtract(x_moments, y_moments)
    return float(np.sum([3, 3, 1] * difference**2))


@pytest.mark.parametrize(("num", "dim"), [(2, 1), (7, 3), (12, 5)])
def test_against_a_double_loop(num: int, dim: int) -> None:
    x, y = NOISE.standard_normal((num, dim)), 2 * NOISE.standard_normal((num, dim)) + 1
    assert kernel_distance(x, y).value == pytest.approx(by_loop(x, y), rel=1e-10)
    assert kernel_distance(x.astype(np.float32), y).value == pytest.approx(by_loop(x, y), rel=1e-5)


def test_against_the_kernel_of_scikit_learn() -> None:
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    x, y = NOISE.standard_normal((80, 16)), NOISE.standard_normal((80, 16)) + 0.2
    k = {pair: pairwise.polynomial_kernel(*sets, degree=3, coef0=1) for pair, sets in
         {"xx": (x, x), "yy": (y, y), "xy": (x, y)}.items()}  # fmt: skip
    off_diagonal = ~np.eye(80, dtype=bool)
    expected = k["xx"][off_diagonal].mean() + k["yy"][off_diagonal].mean() - 2 * k["xy"].mean()
    assert kernel_distance(x, y).value == pytest.approx(expected, rel=1e-10)


def test_subsets_of_two_average_to_the_whole() -> None:
    x, y = np.split(np.random.default_rng(2).standard_normal((15, 2)), [6])
    pairs = [by_loop(a, b) for a in map(np.array, itertools.combinations(x, 2))
             for b in map(np.array, itertools.combinations(y, 2))]  # fmt: skip
    error = np.std(pairs) / 4000**0.5
    value = kernel_distance(x, y, num_subsets=4000, subset_size=2).value
    assert value == pytest.approx(np.mean(pairs), abs=4 * error)
    assert np.mean(pairs) == pytest.approx(by_loop(x, y))  # the estimate is unbiased at every size


def test_equal_distributions_are_at_zero_on_average_and_half_below() -> None:
    draws = np.random.default_rng(1).standard_normal((200, 2, 20, 4))
    values = np.array([kernel_distance(x, y, num_subsets=2).value for x, y in draws])
    assert abs(values.mean()) < 4 * values.std() / 200**0.5
    assert 0.3 < (values < 0).mean() < 0.8


@pytest.mark.parametrize("scale", [1.0, 1.5])
@pytest.mark.parametrize(("num", "subset_size"), [(100, 20), (100, 1000), (500, 10)])
def test_the_interval_holds_the_distance_of_the_distributions(scale: float, num: int, subset_size: int) -> None:
    # moments 1 to 3 of uniform distributions on [0, scale] and [0, 1]
    truth = by_moments([scale / 2, scale**2 / 3, scale**3 / 4], [1 / 2, 1 / 3, 1 / 4])
    hits, values, widths = 0, [], []
    for seed in range(150):
        x, y = np.random.default_rng(seed).random((2, num, 1))
        value, low, high = kernel_distance(scale * x, y, num_subsets=10, subset_size=subset_size, seed=seed)
        hits += low <= truth <= high
        values.append(value)
        widths.append(high - low)
    assert hits >= 135  # 95 % of 150 less 2.8 standard deviations
    if scale > 1:  # and it is hardly wider than it must be: 2.26 standard deviations to either side
        assert np.mean(widths) < 1.5 * 2 * 2.262 * np.std(values)


def test_the_spread_of_subsets_would_be_no_interval() -> None:
    # 1,000 subsets of nearly all rows hardly differ, and yet other images would give another value
    x, y = np.random.default_rng(3).standard_normal((2, 100, 1)) + np.array([1.0, 0.0]).reshape(2, 1, 1)
    values = [kernel_distance(x, y, num_subsets=2, subset_size=95, seed=seed).value for seed in range(200)]
    _, low, high = kernel_distance(x, y, subset_size=95)
    assert high - low > 5 * np.std(values) / 200**0.5


def test_equal_sets_and_equal_images() -> None:
    x = np.full((30, 3), 0.7)
    assert kernel_distance(x, x) == pytest.approx((0, 0, 0), abs=1e-12)
    # (0.49 + 1)^3 + (0.25 + 1)^3 - 2 (0.35 + 1)^3, without any spread
    expected = 1.49**3 + 1.25**3 - 2 * 1.35**3
    assert kernel_distance(x, np.full((40, 3), 0.5)) == pytest.approx((expected,) * 3)


def test_too_few_images_for_an_interval_have_an_infinite_one() -> None:
    value, low, high = kernel_distance(*NOISE.standard_normal((2, 19, 2)))
    assert np.isfinite(value)
    assert (low, high) == (-np.inf, np.inf)
    assert np.isfinite(kernel_distance(*NOISE.standard_normal((2, 20, 2)))).all()


def test_seed_decides_the_subsets() -> None:
    x, y = NOISE.standard_normal((2, 50, 2))
    first = kernel_distance(x, y, subset_size=10)
    assert first == kernel_distance(x, y, subset_size=10)
    assert first != kernel_distance(x, y, subset_size=10, seed=1)


def test_what_is_refused() -> None:
    one, two = np.zeros((1, 3)), np.zeros((2, 3))
    with pytest.raises(InputError, match="fake: got 1; accepted: 2 images or more"):
        kernel_distance(one, two)
    with pytest.raises(InputError, match="real: got 1; accepted: 2 images or more"):
        kernel_distance(two, one)
    with pytest.raises(InputError, match="got 3 and 4 features"):
        kernel_distance(two, np.zeros((2, 4)))
    with pytest.raises(InputError, match=r"real: got nan at \[0, 0\]"):
        kernel_distance(two, np.full((2, 3), np.nan))
    with pytest.raises(InputError, match="num_subsets: got 1"):
        kernel_distance(two, two, num_subsets=1)
    with pytest.raises(InputError, match="subset_size: got 1"):
        kernel_distance(two, two, subset_size=1)


def test_what_chance_gives_is_the_size_of_the_distance_of_two_real_sets() -> None:
    """Drawn anew 300 times instead of split again and again; half as many images give twice the distance."""
    noise = np.random.default_rng(3)
    fresh = [by_matrices(noise.normal(size=(50, 3)), noise.normal(size=(50, 3))) for _ in range(300)]
    real = noise.normal(size=(4000, 3))
    found = chance_distance(real, 50, num_splits=300)
    assert found == pytest.approx(np.sqrt(np.mean(np.square(fresh))), rel=0.2)
    assert chance_distance(real, 25, num_splits=300) == pytest.approx(2 * found, rel=0.3)
    assert chance_distance(real[:60], 50) == chance_distance(real[:60], 30)  # there are no more
    assert chance_distance(np.ones((9, 3)), 4) == 0


def by_matrices(x: np.ndarray, y: np.ndarray) -> float:
    within = [((k := (a @ a.T / a.shape[1] + 1) ** 3).sum() - np.trace(k)) / len(a) / (len(a) - 1) for a in (x, y)]
    return float(sum(within) - 2 * ((x @ y.T / x.shape[1] + 1) ** 3).mean())
