"""Random blur kernels: formulas by NumPy and SciPy, sums, signs and the shares of their shapes."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from jaxgen.degradations import kernels as module

NUM = 4000


def floats(*values: float) -> jax.Array:
    return jnp.array(values, jnp.float32)


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    bounds = (jnp.full(NUM, value, jnp.float32) for value in (0.2, 3.0, math.pi / 5))
    return np.asarray(jax.jit(module.random_kernels)(jax.random.key(3), *bounds))


def distances(support: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y, x = np.mgrid[-10:11, -10:11]
    return y, x, np.maximum(abs(y), abs(x)) <= support // 2


@pytest.mark.parametrize(("cutoff", "support"), [(math.pi / 3, 7), (2.0, 13), (math.pi / 5, 21), (math.pi, 21)])
def test_low_pass_kernels_are_those_of_a_circle_of_frequencies(cutoff: float, support: int) -> None:
    y, x, inside = distances(support)
    r = np.maximum(np.hypot(y, x), 1e-9)
    expected = np.where(inside, cutoff * scipy.special.j1(cutoff * r) / (2 * np.pi * r), 0)
    kernel = jax.jit(module.sinc_kernels)(floats(cutoff), jnp.array([support], jnp.int32))
    np.testing.assert_allclose(kernel[0], expected / expected.sum(), atol=2e-6)


@pytest.mark.parametrize("plateau", [False, True])
def test_smooth_kernels_follow_their_formula(plateau: bool) -> None:
    values = ((0.4, 0.4, 0.0, 1.0, 7), (3.0, 1.2, 0.6, 0.5, 21), (1.5, 2.5, -2.0, 3.5, 15))
    sigma_x, sigma_y, angle, beta = (floats(*column) for column in list(zip(*values, strict=True))[:4])
    support = jnp.array([row[4] for row in values], jnp.int32)
    kernels = jax.jit(module.smooth_kernels)(sigma_x, sigma_y, angle, beta, jnp.full(3, plateau), support)
    for kernel, (a, b, turn, power, width) in zip(kernels, values, strict=True):
        y, x, inside = distances(width)
        u, v = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
        q = ((u / a) ** 2 + (v / b) ** 2) ** power
        expected = np.where(inside, 1 / (1 + q) if plateau else np.exp(-q / 2), 0)
        np.testing.assert_allclose(kernel, expected / expected.sum(), rtol=1e-3, atol=1e-7)


def test_random_kernels_have_the_sum_one_and_only_low_pass_ones_negative_values(drawn: np.ndarray) -> None:
    np.testing.assert_allclose(drawn.sum(axis=(1, 2)), 1, atol=1e-4)
    share = (drawn.min(axis=(1, 2)) < 0).mean()
    assert abs(share - 0.1) < 4 * math.sqrt(0.1 * 0.9 / NUM)
    np.testing.assert_allclose(drawn, drawn[:, ::-1, ::-1], atol=1e-6)  # no kernel moves an image


def test_random_kernels_have_every_support(drawn: np.ndarray) -> None:
    low_pass = drawn.min(axis=(1, 2)) < 0  # those reach to the end of their support
    reach = np.array([np.ptp(np.nonzero(np.any(kernel != 0, axis=0))[0]) + 1 for kernel in drawn[low_pass]])
    values, counts = np.unique(reach, return_counts=True)
    assert tuple(values) == module.SUPPORTS
    expected = low_pass.sum() / len(module.SUPPORTS)
    assert np.abs(counts - expected).max() < 4 * math.sqrt(expected)


def test_isotropic_shapes_have_their_share(drawn: np.ndarray) -> None:
    smooth = drawn[drawn.min(axis=(1, 2)) >= 0]
    isotropic = np.abs(smooth - np.swapaxes(smooth, 1, 2)).max(axis=(1, 2)) < 1e-6
    isotropic &= np.abs(smooth - smooth[:, ::-1]).max(axis=(1, 2)) < 1e-6
    narrow = smooth[:, 10, 10] > 1 - 1e-5  # too narrow to tell
    share, expected = isotropic[~narrow].mean(), 0.45 + 0.12 + 0.12
    assert abs(share - expected) < 0.03
