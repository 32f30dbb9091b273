"""Noise: moments and distributions by formula."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxgen.degradations.noise import (
    correlated_gaussian_noise,
    gaussian_noise,
    poisson_counts,
    poisson_noise,
    random_impulse,
    rician_noise,
    salt_and_pepper,
    speckle_noise,
)

draw_counts = jax.jit(poisson_counts)


def flat(values: list[float], size: int = 64, c: int = 3) -> jax.Array:
    """One image a value, of that value everywhere."""
    return jnp.broadcast_to(jnp.array(values, jnp.float32)[:, None, None, None], (len(values), size, size, c))


def noise_of(fn: Callable[..., jax.Array], images: jax.Array, levels: list[float]) -> np.ndarray:
    noisy = jax.jit(fn)(jax.random.key(0), images, jnp.array(levels, jnp.float32))
    return np.asarray(noisy, np.float64) - np.asarray(images, np.float64)


def test_gaussian_noise_is_white_with_twice_sigma() -> None:
    noise = noise_of(gaussian_noise, flat([0.9, -0.9]), [25 / 255, 1.0])
    for image, sigma in zip(noise, (25 / 255, 1.0), strict=True):
        assert image.std() == pytest.approx(2 * sigma, rel=0.03)
        assert abs(image.mean()) < 4 * 2 * sigma / 64 / 3**0.5
        assert scipy.stats.kstest(image.ravel() / (2 * sigma), "norm").statistic < 0.02
        for other in (np.roll(image, 1, 0), np.roll(image, 1, 1), np.roll(image, 1, 2)):
            assert abs(np.corrcoef(image.ravel(), other.ravel())[0, 1]) < 0.04


def test_correlated_noise_has_the_variance_of_white_noise_and_a_covariance_an_image() -> None:
    noise = noise_of(correlated_gaussian_noise, flat([0.0] * 64, 32), [0.1] * 64) / 0.2
    covariances = np.einsum("nhwi,nhwj->nij", noise, noise) / 32**2
    np.testing.assert_allclose(np.trace(covariances, axis1=1, axis2=2) / 3, 1.0, rtol=0.2)
    assert covariances.trace(axis1=1, axis2=2).mean() / 3 == pytest.approx(1.0, rel=0.01)
    correlation = covariances[:, 0, 1] / np.sqrt(covariances[:, 0, 0] * covariances[:, 1, 1])
    assert correlation.std() > 0.3  # white noise: 1 / 32
    assert abs(correlation.mean()) < 0.3
    assert np.abs((noise * np.roll(noise, 1, 2)).mean((1, 2, 3))).max() < 0.15  # neighbours are independent


def test_correlated_noise_of_one_channel_is_white_gaussian() -> None:
    noise = noise_of(correlated_gaussian_noise, flat([0.0] * 16, 32, 1), [0.1] * 16)
    np.testing.assert_allclose(noise.std((1, 2, 3)), 0.2, rtol=0.1)
    assert scipy.stats.kstest(noise.ravel() / 0.2, "norm").statistic < 0.02


def test_poisson_noise_has_the_variance_level_times_intensity() -> None:
    intensities, levels = np.array([0.0, 0.25, 0.5, 1.0, 0.5]), [0.1, 0.1, 0.01, 1.0, 0.002]
    noise = noise_of(poisson_noise, flat(list(2 * intensities - 1)), levels) / 2
    assert not noise[0].any()
    assert np.abs(noise.mean((1, 2, 3))).max() < 4 * 1.0 / 64 / 3**0.5
    np.testing.assert_allclose(noise[1:].var((1, 2, 3)), np.array(levels)[1:] * intensities[1:], rtol=0.06)
    photons = (noise[1] + 0.25) / 0.1
    np.testing.assert_allclose(photons, np.rint(photons), atol=1e-3)


@pytest.mark.parametrize("rate", [0.0, 0.3, 4.0, 9.99, 10.01, 40.0])
def test_poisson_counts_have_the_distribution_of_scipy(rate: float) -> None:
    num = 200_000
    counts = np.asarray(draw_counts(jax.random.key(2), jnp.full((num,), rate, jnp.float32)))
    np.testing.assert_array_equal(counts, np.rint(counts))
    expected = scipy.stats.poisson.pmf(np.arange(200), rate)
    found = np.bincount(counts.astype(int), minlength=200) / num
    # half the mean absolute deviation of binomial counts, doubled, and the stated 0.0006
    assert 0.5 * np.abs(found - expected).sum() < np.sqrt(expected / num).sum() * 0.8 + 0.0006
    assert counts.mean() == pytest.approx(rate, abs=4 * (rate / num) ** 0.5 + 1e-4)


def test_poisson_counts_at_mixed_rates_and_large_ones() -> None:
    rates = jnp.tile(jnp.array([0.5, 8.0, 1e6], jnp.float32), 20_000)
    counts = np.asarray(jax.jit(poisson_counts)(jax.random.key(3), rates), np.float64).reshape(-1, 3)
    np.testing.assert_allclose(counts.mean(0), [0.5, 8.0, 1e6], rtol=0.03)
    np.testing.assert_allclose(counts.var(0), [0.5, 8.0, 1e6], rtol=0.05)


def test_poisson_noise_has_the_slope_of_its_mean() -> None:
    images, levels = flat([0.3, -0.5], 4), jnp.array([0.0, 0.1])
    slope = jax.jit(jax.grad(lambda x: jnp.sum(poisson_noise(jax.random.key(0), x, levels))))(images)
    np.testing.assert_array_equal(slope, 1.0)


def test_speckle_grows_with_intensity_and_leaves_black() -> None:
    noise = noise_of(speckle_noise, flat([-1.0, 0.0, 1.0]), [0.3, 0.3, 0.1])
    assert not noise[0].any()
    assert noise[1].std() == pytest.approx(2 * 0.5 * 0.3, rel=0.03)
    assert noise[2].std() == pytest.approx(2 * 1.0 * 0.1, rel=0.03)


def test_salt_and_pepper_replaces_its_share_of_pixels_by_black_and_white() -> None:
    images = 0.9 * jnp.sin(jnp.arange(4 * 64 * 64 * 3, dtype=jnp.float32)).reshape(4, 64, 64, 3)
    density = np.array([0.1, 0.5, 0.9, 1.0])
    noisy = np.asarray(jax.jit(salt_and_pepper)(jax.random.key(0), images, jnp.asarray(density, jnp.float32)))
    for image, clean, share in zip(noisy, np.asarray(images), density, strict=True):
        salt, pepper = (image == 1).all(-1), (image == -1).all(-1)
        spread = 4 * (share / 2 * (1 - share / 2) / 64**2) ** 0.5
        assert salt.mean() == pytest.approx(share / 2, abs=spread)
        assert pepper.mean() == pytest.approx(share / 2, abs=spread)
        untouched = ~(salt | pepper)
        np.testing.assert_array_equal(image[untouched], clean[untouched])


def test_random_impulses_are_uniform_colours() -> None:
    images = jnp.full((2, 64, 64, 3), 5.0)
    noisy = np.asarray(jax.jit(random_impulse)(jax.random.key(0), images, jnp.array([0.3, 1.0])))
    replaced = noisy != 5.0
    np.testing.assert_array_equal(replaced.all(-1), replaced.any(-1))
    assert replaced[0].all(-1).mean() == pytest.approx(0.3, abs=0.03)
    assert replaced[1].all()
    for values in (noisy[0][replaced[0]], noisy[1].ravel()):  # the values know nothing of the density
        assert scipy.stats.kstest(values, "uniform", (-1, 2)).statistic < 0.025
    assert np.abs(np.corrcoef(noisy[1].reshape(-1, 3).T) - np.eye(3)).max() < 0.06


def test_rician_noise_is_that_of_rayleigh_without_signal_and_of_rice_with_it() -> None:
    sigma, signals = 0.1, [0.0, 0.1, 0.3, 1.0]
    images = flat([2 * signal - 1 for signal in signals], 96)
    noisy = np.asarray(jax.jit(rician_noise)(jax.random.key(0), images, jnp.full(4, sigma)), np.float64)
    for signal, image in zip(signals, (noisy + 1) / 2, strict=True):
        expected = scipy.stats.rice(signal / sigma, scale=sigma)
        assert image.mean() == pytest.approx(expected.mean(), rel=0.01)
        assert image.std() == pytest.approx(expected.std(), rel=0.02)
        assert scipy.stats.kstest(image.ravel(), expected.cdf).statistic < 0.015
    empty, full = (noisy[0] + 1) / 2, (noisy[3] + 1) / 2
    assert empty.mean() == pytest.approx(sigma * (np.pi / 2) ** 0.5, rel=0.01)
    assert empty.var() == pytest.approx(sigma**2 * (2 - np.pi / 2), rel=0.03)
    assert full.mean() == pytest.approx((1 + sigma**2) ** 0.5, abs=0.003)  # nearly sqrt(A^2 + sigma^2)
    assert noisy.min() >= -1


def test_rician_noise_of_black_has_finite_derivatives() -> None:
    black = jnp.full((2, 4, 4, 1), -1.0)
    slope = jax.grad(lambda x: jnp.sum(rician_noise(jax.random.key(0), x, jnp.array([0.0, 0.1]))))(black)
    assert np.isfinite(np.asarray(slope)).all()
