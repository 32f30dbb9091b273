"""The Frechet distance against closed forms and against scipy's matrix root."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from jaxgen.errors import InputError
from jaxgen.metrics.frechet import Moments, add_features, empty_moments, frechet_distance, make_frechet_distance

NOISE = np.random.default_rng(0)


def moments(features: np.ndarray) -> Moments:
    return add_features(empty_moments(features.shape[1]), features)


def by_scipy(x: np.ndarray, y: np.ndarray) -> float:
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    return float(np.square(x.mean(0) - y.mean(0)).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real))


def correlated(num: int, dim: int) -> np.ndarray:
    return NOISE.standard_normal((num, dim)) @ NOISE.standard_normal((dim, dim)) + 3 * NOISE.standard_normal(dim)


def test_diagonal_gaussians() -> None:
    mean, other = np.array([0.0, 1.0, -2.0]), np.array([1.0, 1.0, 0.5])
    sigma, tau = np.array([1.0, 2.0, 0.5]), np.array([3.0, 2.0, 0.0])
    a, b = Moments(11, mean, 10 * np.diag(sigma**2)), Moments(5, other, 4 * np.diag(tau**2))
    expected = np.sum((mean - other) ** 2) + np.sum((sigma - tau) ** 2)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)


def test_turned_gaussians() -> None:
    # A = diag(4, 1) and B = A turned by a right angle commute: tr = (2 - 1)^2 + (1 - 2)^2
    a, b = Moments(2, np.zeros(2), np.diag([4.0, 1.0])), Moments(2, np.zeros(2), np.diag([1.0, 4.0]))
    assert frechet_distance(a, b) == pytest.approx(2.0, rel=1e-12)


@pytest.mark.parametrize("dim", [1, 2, 16])
def test_against_the_matrix_root_of_scipy(dim: int) -> None:
    x, y = correlated(60, dim), correlated(45, dim)
    expected = by_scipy(x, y) if dim > 1 else (x.mean() - y.mean()) ** 2 + (x.std(ddof=1) - y.std(ddof=1)) ** 2
    assert frechet_distance(moments(x), moments(y)) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(moments(y), moments(x)) == pytest.approx(expected, rel=1e-9)


def test_equal_sets_are_at_zero() -> None:
    for num, dim in ((200, 8), (5, 64), (2, 1)):
        a = moments(correlated(num, dim))
        assert 0 <= frechet_distance(a, a) < 1e-12 * (1 + np.trace(a.scatter))


def test_a_shift_with_fewer_images_than_features() -> None:
    x, shift = NOISE.standard_normal((6, 50)), NOISE.standard_normal(50)
    assert frechet_distance(moments(x), moments(x + shift)) == pytest.approx(np.sum(shift**2), rel=1e-12)


def test_rank_deficient_covariances_of_different_directions() -> None:
    # both on a line through 0: 2 images +-u have covariance 2 u u^T, whose root is sqrt(2) u u^T / |u|
    u, v = np.array([3.0, 0.0, 4.0]), np.array([0.0, 1.0, 1.0])
    expected = 2 * (u @ u + v @ v - 2 * abs(u @ v))
    assert frechet_distance(moments(np.stack([u, -u])), moments(np.stack([v, -v]))) == pytest.approx(expected)


def test_equal_images_are_points() -> None:
    a, b = moments(np.full((4, 3), 1.0)), moments(np.full((7, 3), 3.0))
    assert frechet_distance(a, b) == pytest.approx(12.0)
    assert frechet_distance(a, a) == 0.0


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 7), max_size=12))
def test_batches_of_any_size_give_the_moments_of_numpy(cuts: list[int]) -> None:
    features = np.random.default_rng(1).standard_normal((sum(cuts) + 2, 3)).astype(np.float32) + 100.0
    total = empty_moments(3)
    for batch in np.split(features, np.cumsum(cuts)):
        total = add_features(total, batch)
    assert total.num == len(features)
    np.testing.assert_allclose(total.mean, features.mean(0, dtype=np.float64), rtol=1e-12)
    expected = np.cov(features.astype(np.float64), rowvar=False, ddof=0) * len(features)
    np.testing.assert_allclose(total.scatter, expected, rtol=1e-9, atol=1e-9)
    assert total.mean.dtype == total.scatter.dtype == np.float64


def test_a_large_offset_does_not_cost_digits() -> None:
    features = correlated(1000, 4)
    total = empty_moments(4)
    for batch in np.split(features + 1e6, range(1, 1000, 7)):
        total = add_features(total, batch)
    np.testing.assert_allclose(total.scatter / 999, np.cov(features, rowvar=False), rtol=1e-6)


@pytest.mark.parametrize("num", [0, 1])
def test_fewer_than_two_images_are_refused(num: int) -> None:
    few, enough = moments(np.zeros((num, 3))), moments(np.ones((2, 3)))
    for pair in ((few, enough), (enough, few)):
        with pytest.raises(InputError, match=f"images: got {num}; accepted: 2 or more"):
            frechet_distance(*pair)


def test_different_widths_and_nan_are_refused() -> None:
    with pytest.raises(InputError, match="got 3 and 4 features per image"):
        frechet_distance(empty_moments(3), empty_moments(4))
    with pytest.raises(InputError, match="got 3 and 4 features per image"):
        add_features(empty_moments(3), np.zeros((2, 4)))
    with pytest.raises(InputError, match=r"features: got nan at \[1, 0\]"):
        add_features(empty_moments(1), np.array([[0.0], [np.nan]]))


@pytest.mark.parametrize("num", [4, 40])
def test_many_sets_are_compared_with_one_as_each_alone(num: int) -> None:
    """With fewer and with more images than features."""
    rng = np.random.default_rng(0)
    real = moments(rng.normal(size=(50, 7)) @ rng.normal(size=(7, 7)))
    distance = make_frechet_distance(real)
    for features in rng.normal(1.0, 2.0, (3, num, 7)).astype(np.float32):
        assert distance(features) == pytest.approx(frechet_distance(moments(features), real), rel=1e-9)
