"""The recurrent network against its cell in a plain loop, and the cell against NumPy."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.networks.initial_fill import fill
from jaxgen.networks.recurrent import Memory, RecurrentCell, RecurrentRestorer
from jaxgen.types import Observation

NETWORK = RecurrentRestorer(widths=(3,), blocks=1, iterations=3)
TWO_GRIDS = RecurrentRestorer(widths=(2, 3), blocks=1, iterations=2)
SHAPE = (2, 4, 6, 2)


def noise(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).uniform(-1.0, 1.0, shape), jnp.float32)


IMAGES = noise(*SHAPE)
MASKS = (noise(*SHAPE[:3], 1, seed=1) > 0.0).astype(jnp.float32)


@functools.cache
def params_of(network: RecurrentRestorer = NETWORK) -> Any:
    """Parameters with which everything has an effect, and the changes become smaller for some iterations."""
    params = jax.eval_shape(network.init, jax.random.key(0), Observation(jnp.zeros((1, 4, 4, 2))))["params"]
    draws = np.random.default_rng(34)
    return jax.tree.map(lambda a: jnp.asarray(0.3 * draws.standard_normal(a.shape), jnp.float32), params)


def estimates(network: RecurrentRestorer, params: Any, *inputs: Any) -> jax.Array:
    return jax.jit(functools.partial(network.apply, method="estimates"))({"params": params}, Observation(*inputs))


def by_hand(network: RecurrentRestorer, params: Any, *inputs: Any) -> jax.Array:
    """Every estimate, the cell applied in a loop; sizes are multiples of the smallest grid's."""
    images, masks = inputs
    cell = RecurrentCell(network.widths, network.blocks, network.keeps_known)
    b, h, w, _ = images.shape
    size = 2 ** len(network.widths)
    state = jnp.zeros((b, h // size, w // size, network.widths[-1]))
    memory, found = Memory(fill(images, masks, len(network.widths) + 1), state), []
    for _ in range(network.iterations):
        memory = cell.apply({"params": params["cell"]}, memory, Observation(*inputs))
        found.append(memory.estimate)
    return jnp.stack(found)


@functools.cache
def reference(num: int = 6) -> np.ndarray:
    return np.asarray(jax.jit(functools.partial(by_hand, NETWORK.clone(iterations=num)))(params_of(), *INPUTS))


INPUTS = (IMAGES, MASKS)


@pytest.mark.parametrize("num", [1, 3, 5])
def test_estimates_are_those_of_a_plain_loop_for_any_number_of_iterations(num: int) -> None:
    found = estimates(NETWORK.clone(iterations=num), params_of(), *INPUTS)
    assert (found.shape, found.dtype) == ((num, *SHAPE), jnp.float32)
    np.testing.assert_allclose(found, reference()[:num], atol=1e-5)
    steps = np.abs(np.diff(reference(), axis=0)).max((1, 2, 3, 4))
    assert steps.min() > 1e-3  # they differ, so that one too many or too few would show


def test_on_two_grids_the_state_is_on_the_smaller() -> None:
    inputs = (noise(2, 8, 12, 2), (noise(2, 8, 12, 1, seed=1) > 0.0).astype(jnp.float32))
    params = params_of(TWO_GRIDS)
    assert params["cell"]["Conv_2"]["kernel"].shape == (3, 3, 6, 6)  # the gates
    found = estimates(TWO_GRIDS, params, *inputs)
    np.testing.assert_allclose(found, jax.jit(functools.partial(by_hand, TWO_GRIDS))(params, *inputs), atol=1e-5)
    one = estimates(TWO_GRIDS.clone(iterations=1), params, *inputs)
    np.testing.assert_allclose(found[:1], one, atol=1e-5)


def test_it_starts_from_a_smooth_surface_where_pixels_are_missing_or_may_be_salt_or_pepper() -> None:
    images = jnp.zeros((1, 8, 8, 1)).at[0, 2, 3].set(1.0).at[0, 5, 5].set(-1.0).at[0, 6, 1].set(0.9)
    masks = jnp.ones((1, 8, 8, 1)).at[0, 6, 1].set(0.0)
    both = jnp.repeat(images, 2, axis=-1)
    start, seen = (
        NETWORK.apply({"params": params_of()}, Observation(both, known), method="_start")[1].estimate
        for known in (masks, masks + 0.5 * (1.0 - masks))
    )
    np.testing.assert_allclose(start, 0.0, atol=1e-6)
    np.testing.assert_allclose(seen[0, 6, 1], 0.9, atol=1e-6)  # half trusted: shown, and not to be kept


def test_the_result_is_the_last_estimate() -> None:
    result = jax.jit(NETWORK.apply)({"params": params_of()}, Observation(*INPUTS))
    np.testing.assert_allclose(result, reference()[2], atol=1e-5)


def test_slopes_are_those_of_a_plain_loop() -> None:
    weights = noise(3, *SHAPE, seed=5)

    def slopes(fn: Any) -> Any:
        return jax.jit(jax.grad(lambda params: jnp.sum(weights * jnp.square(fn(NETWORK, params, *INPUTS)))))(
            params_of()
        )

    rolled, written_out = slopes(estimates), slopes(by_hand)
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-3, atol=1e-4), rolled, written_out)
    assert all(np.abs(a).max() > 1e-2 for a in jax.tree.leaves(written_out))


def test_parameters_do_not_depend_on_the_number_of_iterations() -> None:
    def made(num: int) -> Any:
        return NETWORK.clone(iterations=num).init(jax.random.key(0), Observation(jnp.zeros((1, 5, 7, 3))))

    one, four = jax.jit(made, static_argnums=0)(1), jax.jit(made, static_argnums=0)(4)
    jax.tree.map(np.testing.assert_array_equal, one, four)
    f, c = NETWORK.widths[0], 3
    entry, exit_ = (9 * 4 * (2 * c + 2) + 1) * f, (9 * f + 1) * 4 * c
    gates, proposal, block = (9 * 2 * f + 1) * 2 * f, (9 * 2 * f + 1) * f, 2 * (9 * f + 1) * f
    assert sum(a.size for a in jax.tree.leaves(four)) == entry + gates + proposal + block + exit_


@pytest.mark.parametrize("size", [(3, 5), (1, 1)])
def test_odd_sizes_are_the_same_image_with_its_edge_repeated(size: tuple[int, int]) -> None:
    h, w = size
    images, masks = IMAGES[:, :h, :w], MASKS[:, :h, :w]
    larger = [np.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), mode="edge") for x in (images, masks)]
    expected = jax.jit(functools.partial(by_hand, NETWORK))(params_of(), *map(jnp.asarray, larger))
    np.testing.assert_allclose(estimates(NETWORK, params_of(), images, masks), expected[:, :, :h, :w], atol=1e-5)


def test_one_to_four_channels_in_either_dtype() -> None:
    for c in (1, 2, 3, 4):
        network, images = NETWORK.clone(dtype="bfloat16" if c % 2 else "float32"), jnp.zeros((2, 7, 3, c))
        out, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), Observation(images))
        assert (out.shape, out.dtype) == (images.shape, jnp.float32)
        assert {a.dtype for a in jax.tree.leaves(variables)} == {np.dtype("float32")}


def test_without_masks_all_is_known() -> None:
    without = estimates(NETWORK, params_of(), IMAGES, None)
    np.testing.assert_array_equal(estimates(NETWORK, params_of(), IMAGES, jnp.ones_like(MASKS)), without)
    assert np.abs(estimates(NETWORK, params_of(), IMAGES, 0.0 * MASKS) - without).max() > 1e-3


def test_known_pixels_are_kept_to_the_bit_in_every_estimate() -> None:
    keeping = NETWORK.clone(keeps_known=True)
    found = np.asarray(estimates(keeping, params_of(), *INPUTS))
    known = np.broadcast_to(np.asarray(MASKS) > 0, SHAPE)
    assert 0 < known.sum() < known.size
    for estimate in found:
        np.testing.assert_array_equal(estimate[known], np.asarray(IMAGES)[known])
        assert (estimate[~known] != np.asarray(IMAGES)[~known]).all()
    np.testing.assert_allclose(found, jax.jit(functools.partial(by_hand, keeping))(params_of(), *INPUTS), atol=1e-5)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_one_iteration_against_numpy() -> None:
    """Images of 2 x 2 pixels are one place at half size, where a convolution is its centre alone."""
    b, c, f = 3, 2, 3
    images, masks = noise(b, 2, 2, c), jnp.asarray([1.0, 0.0, 1.0, 1.0] * b, jnp.float32).reshape(b, 2, 2, 1)
    memory = Memory(noise(b, 2, 2, c, seed=1), noise(b, 1, 1, f, seed=2))
    params = params_of()["cell"]
    after = RecurrentCell((f,), 1).apply({"params": params}, memory, Observation(images, masks))

    def linear(name: str, *x: np.ndarray, within: Any = params) -> np.ndarray:
        return np.concatenate(x, 1) @ np.asarray(within[name]["kernel"])[1, 1] + np.asarray(within[name]["bias"])

    missing = 1 - np.asarray(masks)
    seen = np.concatenate([images, missing, np.zeros_like(missing), memory.estimate], -1)
    x = np.maximum(linear("Conv_0", seen.reshape(b, -1)), 0)  # the four pixels in turn, each with its channels
    h = np.asarray(memory.state).reshape(b, f)
    z, r = np.split(sigmoid(linear("Conv_1", x, h)), 2, axis=1)
    h = (1 - z) * h + z * np.tanh(linear("Conv_2", x, r * h))
    y = h + linear("Conv_1", np.maximum(linear("Conv_0", h, within=params["Block_0"]), 0), within=params["Block_0"])
    estimate = np.asarray(memory.estimate) + linear("Conv_3", y).reshape(b, 2, 2, c)
    np.testing.assert_allclose(np.asarray(after.state).reshape(b, f), h, atol=1e-5)
    np.testing.assert_allclose(after.estimate, estimate, atol=1e-5)
