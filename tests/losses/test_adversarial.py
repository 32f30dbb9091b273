"""Adversarial losses against their formulae in float64, at equal logits, and far out."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.losses.adversarial import ADVERSARIAL_LOSSES

REAL = np.array([-3.0, -0.5, 0.0, 2.0, 7.0, 0.3])
FAKE = np.array([1.0, -2.0, 0.0, 3.0, -4.0, 0.9])


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def cross_entropy(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """Labels 1 for real and 0 for fake images."""
    return -np.log(sigmoid(real)) - np.log(1.0 - sigmoid(fake))


# (discriminator, generator) as the papers write them
FORMULAE = {
    "minimax": (cross_entropy, lambda real, fake: np.log(1.0 - sigmoid(fake))),
    "non_saturating": (cross_entropy, lambda real, fake: -np.log(sigmoid(fake))),
    "hinge": (lambda real, fake: np.maximum(0, 1 - real) + np.maximum(0, 1 + fake), lambda real, fake: -fake),
    "wasserstein": (lambda real, fake: fake - real, lambda real, fake: -fake),
    "relativistic": (
        lambda real, fake: -np.log(sigmoid(real - fake)),
        lambda real, fake: -np.log(sigmoid(fake - real)),
    ),
}
LOG2 = math.log(2.0)
AT_ZERO = {
    "minimax": (2 * LOG2, -LOG2),
    "non_saturating": (2 * LOG2, LOG2),
    "hinge": (2.0, 0.0),
    "wasserstein": (0.0, 0.0),
    "relativistic": (LOG2, LOG2),
}
# (real, fake) -> (discriminator, generator), the limits far from zero
FAR_OUT = {
    "minimax": {(1e4, -1e4): (0.0, 0.0), (-1e4, 1e4): (2e4, -1e4)},
    "non_saturating": {(1e4, -1e4): (0.0, 1e4), (-1e4, 1e4): (2e4, 0.0)},
    "hinge": {(1e4, -1e4): (0.0, 1e4), (-1e4, 1e4): (2e4 + 2, -1e4)},
    "wasserstein": {(1e4, -1e4): (-2e4, 1e4), (-1e4, 1e4): (2e4, -1e4)},
    "relativistic": {(1e4, -1e4): (0.0, 2e4), (-1e4, 1e4): (2e4, 0.0)},
}


def as_logits(values: np.ndarray | list[float]) -> jax.Array:
    return jnp.asarray(values, jnp.float32)


@pytest.mark.parametrize("name", FORMULAE)
def test_formula(name: str) -> None:
    loss, (discriminator, generator) = ADVERSARIAL_LOSSES[name], FORMULAE[name]
    real, fake = as_logits(REAL), as_logits(FAKE)
    np.testing.assert_allclose(loss.discriminator(real, fake), discriminator(REAL, FAKE), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(loss.generator(real, fake), generator(REAL, FAKE), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", AT_ZERO)
def test_value_where_the_discriminator_cannot_tell(name: str) -> None:
    loss, zero = ADVERSARIAL_LOSSES[name], as_logits([0.0])
    actual = float(loss.discriminator(zero, zero)[0]), float(loss.generator(zero, zero)[0])
    assert actual == pytest.approx(AT_ZERO[name], abs=1e-6)


@pytest.mark.parametrize("name", FAR_OUT)
def test_limits_without_overflow(name: str) -> None:
    loss = ADVERSARIAL_LOSSES[name]
    for (real, fake), expected in FAR_OUT[name].items():
        pair = as_logits([real]), as_logits([fake])
        actual = float(loss.discriminator(*pair)[0]), float(loss.generator(*pair)[0])
        assert actual == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_relativistic_losses_swap_with_the_logits_and_ignore_a_common_offset() -> None:
    loss, real, fake = ADVERSARIAL_LOSSES["relativistic"], as_logits(REAL), as_logits(FAKE)
    np.testing.assert_array_equal(loss.discriminator(real, fake), loss.generator(fake, real))
    shifted = loss.discriminator(real + 5.0, fake + 5.0)
    np.testing.assert_allclose(shifted, loss.discriminator(real, fake), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["minimax", "wasserstein"])
def test_zero_sum_games_give_the_generator_what_the_discriminator_loses(name: str) -> None:
    loss, real = ADVERSARIAL_LOSSES[name], as_logits(REAL)
    slope_d = jax.grad(lambda fake: jnp.sum(loss.discriminator(real, fake)))(as_logits(FAKE))
    slope_g = jax.grad(lambda fake: jnp.sum(loss.generator(real, fake)))(as_logits(FAKE))
    np.testing.assert_allclose(slope_g, -slope_d, rtol=1e-6)
