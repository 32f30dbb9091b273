"""Optimizers from traced numbers, the cosine and the average's memory against their formulae."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.training.optimizers import apply_gradients, average, cosine, ema_decay, make_optimizer
from jaxgen.training.step import TrainState, new_state

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


KERNEL, BIAS, MATRIX = (3, 3, 2, 5), (5,), (4, 3)


def layers(seed: int) -> dict[str, dict[str, jax.Array]]:
    """Gradients, or parameters: directions of very different strength in the kernel."""
    draws = np.random.default_rng(seed)
    kernel = draws.standard_normal(KERNEL) * 10.0 ** np.linspace(-1.5, 0.0, KERNEL[-1])
    arrays = {"conv": {"kernel": kernel, "bias": draws.standard_normal(BIAS)}}
    arrays["dense"] = {"kernel": draws.standard_normal(MATRIX)}
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), arrays)


def as_matrix(kernel: jax.Array) -> np.ndarray:
    """From the inputs of a convolution to its outputs."""
    return np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1])


@lenient
def muon_run(lr: float, b1: float = 0.9, b2: float = 0.99, num: int = 3) -> tuple[list[Any], list[Any], list[int]]:
    """Updates and states of `num` steps of one compiled program, and how often it was traced."""
    traces: list[int] = []

    @jax.jit
    def step(lr: jax.Array, grads: Any, state: Any) -> tuple[Any, Any]:
        traces.append(1)
        return make_optimizer("muon", lr, number(b1), number(b2)).update(grads, state, layers(0))

    updates, states = [], [make_optimizer("muon", number(lr), number(b1), number(b2)).init(layers(0))]
    for i in range(num):
        update, state = step(number(lr / 2**i), layers(i + 1), states[-1])
        updates.append(update)
        states.append(state)
    return updates, states, traces


def test_muon_moves_a_convolution_as_far_in_every_direction() -> None:
    """The update is -0.2 lr sqrt(max(inputs, outputs)) U V' for U S V' the momentum, at first the gradient."""
    updates, _, _ = muon_run(lr=0.1)
    for i, update in enumerate(updates):
        scale = 0.1 / 2**i * 0.2 * 18**0.5
        strengths = np.linalg.svd(as_matrix(update["conv"]["kernel"]), compute_uv=False)
        assert len(strengths) == 5
        np.testing.assert_allclose(strengths, scale, rtol=0.35)  # as far as five Newton-Schulz steps go
    gradient = np.linalg.svd(as_matrix(layers(1)["conv"]["kernel"]), full_matrices=False)
    assert gradient.S[0] > 10 * gradient.S[-1]
    expected = -0.1 * 0.2 * 18**0.5 * gradient.U @ gradient.Vh
    first = as_matrix(updates[0]["conv"]["kernel"])
    assert np.linalg.norm(first - expected) < 0.35 * np.linalg.norm(expected)


@lenient
def test_muon_gives_everything_else_to_adam() -> None:
    """With Nesterov's momentum in both."""

    def others(tree: Any) -> list[jax.Array]:
        return [tree["conv"]["bias"], tree["dense"]["kernel"]]

    updates, _, _ = muon_run(lr=0.1)
    state = optax.adam(0.1, b1=0.9, b2=0.99, nesterov=True).init(others(layers(0)))
    for i, update in enumerate(updates):
        expected, state = optax.adam(0.1 / 2**i, b1=0.9, b2=0.99, nesterov=True).update(others(layers(i + 1)), state)
        jax.tree.map(lambda u, e: np.testing.assert_allclose(u, e, rtol=2e-5), others(update), expected)


@lenient
def test_weight_decay_takes_a_share_off_convolutions_alone() -> None:
    lr, decay = 0.1, 0.3
    updates = []
    for weight_decay in (0.0, decay):
        optimizer = make_optimizer("muon", number(lr), number(0.9), number(0.99), number(weight_decay))
        params = layers(0)
        updates.append(jax.jit(optimizer.update)(layers(1), optimizer.init(params), params)[0])
    plain, decayed = updates
    taken = np.asarray(decayed["conv"]["kernel"]) - np.asarray(plain["conv"]["kernel"])
    np.testing.assert_allclose(taken, -lr * decay * np.asarray(layers(0)["conv"]["kernel"]), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(decayed["conv"]["bias"], plain["conv"]["bias"])
    np.testing.assert_array_equal(decayed["dense"]["kernel"], plain["dense"]["kernel"])


def test_muon_keeps_its_structure_and_its_program() -> None:
    _, states, traces = muon_run(lr=0.1)
    layouts = [jax.tree.map(lambda a: (a.shape, a.dtype), state) for state in states]
    assert all(layout == layouts[0] for layout in layouts)
    assert len(traces) == 1


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


@pytest.fixture
def state() -> TrainState:
    params = {"a": {"w": jnp.array([1.0, 2.0])}, "b": {"w": jnp.array([3.0])}}
    return new_state(params, ("a",), {"lr": 0.5, "b1": 0}, optax.adam(1e-3))


def test_a_new_state_is_zeros_and_copies(state: TrainState) -> None:
    assert (int(state.step), state.step.dtype) == (0, jnp.int32)
    assert {name: (float(a), a.dtype) for name, a in state.hparams.items()} == {
        "lr": (0.5, jnp.float32),
        "b1": (0.0, jnp.float32),
    }
    assert set(state.opt_state) == {"a", "b"}
    assert set(state.ema_params) == {"a"}
    assert state.extras == {}
    np.testing.assert_array_equal(state.ema_params["a"]["w"], [1.0, 2.0])
    assert state.ema_params["a"]["w"] is not state.params["a"]["w"]
    leaves = jax.tree.leaves((state.step, state.params, state.opt_state, state.ema_params))
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)  # so that each can be given away


def test_gradients_change_one_network_and_its_optimizer(state: TrainState) -> None:
    optimizer, grads = make_optimizer("adam", number(0.1), number(0.0), number(0.0)), {"w": jnp.array([4.0, -0.2])}
    after = apply_gradients(state, "a", grads, optimizer)
    np.testing.assert_allclose(after.params["a"]["w"], [0.9, 2.1], rtol=1e-5)  # by the sign of the gradient
    count, *_ = [leaf for leaf in jax.tree.leaves(after.opt_state["a"]) if leaf.dtype == jnp.int32]
    assert int(count) == 1
    for before, now in ((state.params["b"], after.params["b"]), (state.opt_state["b"], after.opt_state["b"])):
        jax.tree.map(np.testing.assert_array_equal, now, before)
    np.testing.assert_array_equal(after.ema_params["a"]["w"], [1.0, 2.0])
    assert int(after.step) == 0


def test_the_average_takes_in_the_parameters(state: TrainState) -> None:
    """After 400 images in batches of 10 the half-life is at most 20 images: 0.5 ** (10 / 20) is kept."""
    state = state.replace(params={**state.params, "a": {"w": jnp.array([5.0, 0.0])}})
    after = average(state, "a", number(1e9), number(400.0), 10)
    keeps = 0.5**0.5
    np.testing.assert_allclose(after.ema_params["a"]["w"], [keeps + 5 * (1 - keeps), 2 * keeps], rtol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, (after.params, after.opt_state), (state.params, state.opt_state))
