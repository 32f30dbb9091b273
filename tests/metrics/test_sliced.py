"""The sliced Wasserstein distance where it has a closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from jaxgen.metrics.sliced import sliced_wasserstein

KEY = jax.random.key(0)
NOISE = np.random.default_rng(0)


def images(*shape: int) -> jax.Array:
    return jnp.asarray(NOISE.standard_normal(shape), jnp.float32)


def test_identical_sets_are_at_zero_in_any_order() -> None:
    a = images(32, 4, 4, 3)
    assert float(sliced_wasserstein(a, a, KEY)) == 0.0
    assert float(sliced_wasserstein(a, a[::-1], KEY)) == pytest.approx(0.0, abs=1e-10)


def test_order_of_either_set_does_not_matter() -> None:
    a, b = images(32, 4, 4, 1), images(32, 4, 4, 1) + 0.5
    distance = float(sliced_wasserstein(a, b, KEY))
    assert distance > 0.1
    assert float(sliced_wasserstein(a[::-1], jnp.roll(b, 5, axis=0), KEY)) == pytest.approx(distance, rel=1e-5)
    assert float(sliced_wasserstein(b, a, KEY)) == pytest.approx(distance, rel=1e-5)


def test_shift_of_all_images() -> None:
    a, shift = images(16, 4, 4, 3), images(4, 4, 3)
    distance = float(sliced_wasserstein(a, a + shift[None], KEY, num_projections=4096))
    # E (u . d)^2 = |d|^2 / dim for u uniform on the sphere; its standard error is sqrt(2 / 4096) = 2 %
    assert distance == pytest.approx(float(jnp.sum(shift**2)) / shift.size, rel=0.1)


def test_one_pixel_is_the_assignment_problem() -> None:
    a, b = images(20, 1, 1, 1), 2.0 * images(20, 1, 1, 1) + 1.0
    costs = np.square(np.asarray(a, np.float64).reshape(-1, 1) - np.asarray(b, np.float64).reshape(1, -1))
    best = costs[linear_sum_assignment(costs)].mean()
    # the only directions are +1 and -1, so that one projection is exact
    assert float(sliced_wasserstein(a, b, KEY, num_projections=1)) == pytest.approx(best, rel=1e-5)


def test_two_pixels_equal_the_mean_over_all_angles() -> None:
    a, b = images(24, 1, 2, 1), images(24, 1, 2, 1) * jnp.array([3.0, 0.5]).reshape(1, 1, 2, 1)
    angles = np.linspace(0, np.pi, 2000, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)])
    by_angle = np.square(
        np.sort(np.asarray(a, np.float64).reshape(24, 2) @ directions, axis=0)
        - np.sort(np.asarray(b, np.float64).reshape(24, 2) @ directions, axis=0)
    ).mean(0)
    error = by_angle.std() / 4096**0.5
    distance = float(sliced_wasserstein(a, b, KEY, num_projections=4096))
    assert distance == pytest.approx(by_angle.mean(), abs=4 * error)
    assert 4 * error < 0.1 * by_angle.mean()


def test_key_decides_the_directions() -> None:
    a, b = images(16, 4, 4, 1), images(16, 4, 4, 1)
    first = float(sliced_wasserstein(a, b, KEY, num_projections=8))
    assert first == float(sliced_wasserstein(a, b, KEY, num_projections=8))
    assert first != float(sliced_wasserstein(a, b, jax.random.key(1), num_projections=8))
