"""Reconstruction losses against their formulae, one value for each image."""

import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from jaxgen.losses.reconstruction import PSNR_EPSILON, RECONSTRUCTION_LOSSES
from jaxgen.tasks.restoration.config import RestorationConfig

FORMULAE = {
    "l1": np.abs,
    "mse": lambda d: d**2,
    "charbonnier": lambda d: np.sqrt(d**2 + 1e-6),
}


def images(seed: int) -> np.ndarray:
    """Images of different brightness, so that a mean over the batch would show."""
    noise = np.random.default_rng(seed).uniform(-0.3, 0.3, (3, 4, 5, 2))
    return noise + np.array([-0.6, 0.0, 0.5]).reshape(-1, 1, 1, 1) * seed


def as_images(x: np.ndarray) -> jax.Array:
    return jnp.asarray(x, jnp.float32)


def test_the_table_has_what_the_configuration_accepts() -> None:
    accepted = set(typing.get_args(typing.get_type_hints(RestorationConfig)["loss"]))
    assert set(RECONSTRUCTION_LOSSES) == accepted - {"levels"}  # which compares no images


@pytest.mark.parametrize("name", FORMULAE)
def test_formula(name: str) -> None:
    restored, clean = images(0), images(1)
    values = RECONSTRUCTION_LOSSES[name](as_images(restored), as_images(clean))
    assert (values.shape, values.dtype) == ((3,), jnp.float32)
    expected = FORMULAE[name](restored - clean).reshape(3, -1).sum(1) / 40
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    assert np.ptp(expected) > 0.1


@pytest.mark.parametrize(("name", "value"), [("l1", 0.0), ("mse", 0.0), ("charbonnier", 1e-3)])
def test_value_and_finite_slope_where_nothing_is_wrong(name: str, value: float) -> None:
    clean = as_images(images(1))
    loss = RECONSTRUCTION_LOSSES[name]
    np.testing.assert_allclose(loss(clean, clean), value, rtol=1e-5)
    slope = jax.grad(lambda x: jnp.sum(loss(x, clean)))(clean)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize(("name", "slope"), [("l1", 0.5), ("mse", 2 * 0.3 * 0.5), ("charbonnier", 0.5)])
def test_slope_of_a_large_error(name: str, slope: float) -> None:
    """Two pixels, each too bright by 0.3: d/dx of |d|, d^2 and, to 1e-5, sqrt(d^2 + e^2), halved by the mean."""
    clean = jnp.full((1, 1, 2, 1), 0.1)
    slopes = jax.grad(lambda x: jnp.sum(RECONSTRUCTION_LOSSES[name](x, clean)))(clean + 0.3)
    np.testing.assert_allclose(slopes, slope, rtol=1e-4)


def test_psnr_is_the_negative_of_scikit_images() -> None:
    restored, clean = images(0), images(1)
    values = RECONSTRUCTION_LOSSES["psnr"](as_images(restored), as_images(clean))
    expected = [peak_signal_noise_ratio(c, r, data_range=2.0) for c, r in zip(clean, restored, strict=True)]
    np.testing.assert_allclose(values, -np.array(expected), atol=0.01)


def test_psnr_gives_small_and_large_errors_the_same_weight() -> None:
    """d/ds of 10 log10((s e)^2) is 20 / (s ln 10): halving an error is worth 6 dB whatever it was."""
    error, loss = as_images(images(1)), RECONSTRUCTION_LOSSES["psnr"]
    slope = jax.grad(lambda s: jnp.sum(loss(s * error, 0.0 * error)))
    np.testing.assert_allclose([0.3 * slope(0.3), slope(1.0)], 3 * 20 / np.log(10), rtol=0.02)


def test_psnr_is_finite_where_nothing_is_wrong() -> None:
    clean, loss = as_images(images(1)), RECONSTRUCTION_LOSSES["psnr"]
    np.testing.assert_allclose(loss(clean, clean), 10 * np.log10(PSNR_EPSILON / 4), rtol=1e-5)
    assert np.isfinite(jax.grad(lambda x: jnp.sum(loss(x, clean)))(clean)).all()
