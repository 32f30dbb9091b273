"""What every adversarial loss of the table must keep."""

import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.losses.adversarial import ADVERSARIAL_LOSSES, AdversarialLoss
from jaxgen.tasks.gan.config import GanConfig

REAL = jnp.array([-1e4, -3.0, -0.5, 0.0, 0.4, 2.0, 1e4])
FAKE = jnp.array([1e4, 0.7, -0.8, 0.0, 0.9, -0.2, -1e4])


def jacobians(fn: typing.Callable[..., jax.Array]) -> tuple[np.ndarray, np.ndarray]:
    """Slopes of each example's loss by each real and each fake logit, (b, b) both."""
    by_real, by_fake = jax.jacrev(fn, (0, 1))(REAL, FAKE)
    return np.asarray(by_real), np.asarray(by_fake)


@pytest.fixture(params=ADVERSARIAL_LOSSES.values(), ids=ADVERSARIAL_LOSSES)
def loss(request: pytest.FixtureRequest) -> AdversarialLoss:
    return request.param


def test_the_table_has_what_the_configuration_accepts() -> None:
    assert set(ADVERSARIAL_LOSSES) == set(typing.get_args(typing.get_type_hints(GanConfig)["loss"]))


def test_one_float32_value_per_example_from_its_own_pair(loss: AdversarialLoss) -> None:
    for fn in (loss.discriminator, loss.generator):
        values = fn(REAL, FAKE)
        assert (values.shape, values.dtype) == (REAL.shape, jnp.float32)
        for slopes in jacobians(fn):
            assert not np.any(slopes - np.diag(np.diag(slopes)))


def test_values_and_slopes_are_finite_even_far_out(loss: AdversarialLoss) -> None:
    for fn in (loss.discriminator, loss.generator):
        assert np.isfinite(fn(REAL, FAKE)).all()
        for slopes in jacobians(fn):
            assert np.isfinite(slopes).all()


def test_slopes_point_the_right_way(loss: AdversarialLoss) -> None:
    d_real, d_fake = (np.diag(slopes) for slopes in jacobians(loss.discriminator))
    g_real, g_fake = (np.diag(slopes) for slopes in jacobians(loss.generator))
    middle = slice(2, 5)  # where no loss is flat
    assert (d_real <= 0).all()
    assert (d_fake >= 0).all()
    assert (g_fake <= 0).all()
    assert (d_real[middle] < 0).all()
    assert (d_fake[middle] > 0).all()
    assert (g_fake[middle] < 0).all()
    assert bool(np.any(g_real)) == loss.generator_sees_real
    assert (g_real[middle] > 0).all() or not loss.generator_sees_real
