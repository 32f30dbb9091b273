"""Optimizers from traced numbers, the cosine and the average's memory against their formulae."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.algorithms.optimizers import cosine, ema_decay, make_optimizer

PARAMS = {"a": jnp.array([1.0, -2.0, 3.0]), "b": jnp.array([[0.5]])}
NOISE = np.random.default_rng(0)
GRADS = [jax.tree.map(lambda p: jnp.asarray(NOISE.standard_normal(p.shape), jnp.float32), PARAMS) for _ in range(5)]


def number(value: float) -> jax.Array:
    return jnp.asarray(value, jnp.float32)


lenient = jax.numpy_dtype_promotion("standard")
"""Optax raises a float decay to an integer count."""


@jax.jit
@lenient
def adam_run(lr: jax.Array, b1: jax.Array, b2: jax.Array) -> dict[str, jax.Array]:
    """Five updates, the optimizer built anew from traced numbers at each."""
    params, state = PARAMS, make_optimizer("adam", lr, b1, b2).init(PARAMS)
    for grads in GRADS:
        updates, state = make_optimizer("adam", lr, b1, b2).update(grads, state, params)
        params = optax.apply_updates(params, updates)
    return params


def adam_by_formula(param: np.ndarray, grads: list[np.ndarray], lr: float, b1: float, b2: float) -> np.ndarray:
    """Kingma and Ba 2015, algorithm 1."""
    m, v = np.zeros_like(param), np.zeros_like(param)
    for t, g in enumerate(grads, start=1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        param = param - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + 1e-8)
    return param


@pytest.mark.parametrize(("lr", "b1", "b2"), [(1e-2, 0.0, 0.9), (0.3, 0.5, 0.999), (0.0, 0.9, 0.99)])
def test_adam_from_traced_numbers(lr: float, b1: float, b2: float) -> None:
    actual = adam_run(number(lr), number(b1), number(b2))
    for name, param in PARAMS.items():
        grads = [np.asarray(g[name], np.float64) for g in GRADS]
        expected = adam_by_formula(np.asarray(param, np.float64), grads, lr, b1, b2)
        np.testing.assert_allclose(actual[name], expected, rtol=2e-5, atol=1e-6)


@lenient
def test_adam_equals_optax_with_constants() -> None:
    optimizer = optax.adam(1e-2, b1=0.5, b2=0.99)
    params, state = PARAMS, optimizer.init(PARAMS)
    for grads in GRADS:
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    actual = adam_run(number(1e-2), number(0.5), number(0.99))
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=2e-5), actual, params)


def test_many_learning_rates_in_one_program() -> None:
    rates = jnp.array([1e-3, 1e-2, 1e-1])
    together = jax.vmap(lambda lr: adam_run(lr, number(0.0), number(0.9)))(rates)
    for i, lr in enumerate(rates):
        alone = adam_run(lr, number(0.0), number(0.9))
        jax.tree.map(lambda t, a, i=i: np.testing.assert_allclose(t[i], a, rtol=1e-6), together, alone)


def test_sgd_takes_the_plain_gradient() -> None:
    optimizer = make_optimizer("sgd", number(0.25), number(0.9), number(0.9))
    state = optimizer.init(PARAMS)
    for _ in range(2):  # no memory of the update before
        updates, state = optimizer.update(GRADS[0], state, PARAMS)
        jax.tree.map(lambda u, g: np.testing.assert_allclose(u, -0.25 * np.asarray(g)), updates, GRADS[0])


@pytest.mark.parametrize(
    ("progress", "fraction"),
    [(-1.0, 1.0), (0.0, 1.0), (1 / 3, 0.75), (0.5, 0.5), (2 / 3, 0.25), (1.0, 0.0), (7.0, 0.0)],
)
def test_cosine(progress: float, fraction: float) -> None:
    """cos(pi/3) = 1/2 and cos(2 pi/3) = -1/2."""
    for start, end in ((2.0, 0.5), (0.9, 0.99)):
        value = cosine(number(start), number(end), number(progress))
        assert float(value) == pytest.approx(end + (start - end) * fraction, rel=1e-6)


def remaining_weight(half_life: float, batch_size: int, start: float, images: int) -> float:
    """What an average keeps of its value at `start` after `images` more, as a product over steps."""
    seen = start + batch_size * np.arange(images // batch_size, dtype=np.float32)
    decays = jax.vmap(lambda s: ema_decay(number(half_life), s, batch_size))(jnp.asarray(seen, jnp.float32))
    return math.prod(np.asarray(decays, np.float64))


@pytest.mark.parametrize("batch_size", [8, 64])
def test_average_forgets_half_in_its_half_life(batch_size: int) -> None:
    half_life = 6400.0
    past_the_ramp = 20 * half_life
    assert remaining_weight(half_life, batch_size, past_the_ramp, 6400) == pytest.approx(0.5, rel=1e-4)
    assert remaining_weight(half_life, batch_size, past_the_ramp, 3 * 6400) == pytest.approx(0.125, rel=1e-4)


@pytest.mark.parametrize("seen", [200.0, 20_000.0])
def test_average_follows_fast_at_first(seen: float) -> None:
    """The half-life is a twentieth of the images seen until it reaches its own value."""
    expected = 0.5 ** (8 / (seen / 20))
    assert float(ema_decay(number(1e9), number(seen), 8)) == pytest.approx(expected, rel=1e-5)


def test_average_starts_from_the_first_parameters() -> None:
    assert float(ema_decay(number(20_000.0), number(0.0), 1)) == 0.0


def test_half_life_of_zero_is_no_average() -> None:
    assert float(ema_decay(number(0.0), number(1e6), 1)) == 0.0
