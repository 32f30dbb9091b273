"""Noise: its law, its scale beside that of jax-privacy, what it is divided by, and its keys."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgen.privacy.gradient import Mechanism, private_gradient
from jaxgen.privacy.noise import WORDS, add_noise, keys_of
from jaxgen.training import parallel

SIZE, CLIP, SIGMA, BATCH = 20_000, 0.5, 1.5, 64
SECRET = jnp.asarray(np.random.default_rng(0).integers(0, 2**32, WORDS, np.uint32))
NUMBERS = {"lr": jnp.float32(1e-3), "clip": jnp.float32(1.0)}


def noise_of(secret: jax.Array = SECRET, numbers: dict[str, Any] = NUMBERS) -> np.ndarray:
    *keys, _ = keys_of(secret, numbers)
    return np.asarray(add_noise(keys, {"w": jnp.zeros(SIZE)}, jnp.float32(1.0))["w"])


def flat_loss(params: Any, examples: Any) -> Any:
    """A loss whose gradient is 0, so that the private gradient is its noise alone."""
    return 0.0 * jnp.sum(params["w"]) + 0.0 * jnp.mean(examples), {"loss/private": jnp.mean(examples)}


def private_noise(drawn: int) -> np.ndarray:
    *keys, _ = keys_of(SECRET, NUMBERS)
    mask = (jnp.arange(8) < drawn).astype(jnp.float32)
    gradient = private_gradient(Mechanism(jnp.float32(CLIP), SIGMA, BATCH), keys, mask)
    grads, metrics = gradient(flat_loss, {"w": jnp.ones(SIZE)}, jnp.ones((8, 1)))
    assert metrics == {}  # means over private examples are private
    return np.asarray(grads["w"])


def test_noise_is_normal() -> None:
    assert stats.kstest(noise_of(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(noise_of()[:-1], noise_of()[1:])[0, 1]) < 5 / np.sqrt(SIZE)


def test_noise_is_scaled_for_the_sum_and_divided_by_a_constant() -> None:
    """Scaled for the mean it would be `BATCH` times smaller; divided by the number drawn it would tell that number."""
    for drawn in (0, 3, 8):
        found = private_noise(drawn).std()
        assert found == pytest.approx(SIGMA * CLIP / BATCH, rel=5 / np.sqrt(2 * SIZE))
    np.testing.assert_array_equal(private_noise(3), private_noise(8))


def test_noise_has_the_size_of_that_of_jax_privacy() -> None:
    oracle, dp = pytest.importorskip("jax_privacy"), pytest.importorskip("dp_accounting")
    clipped = oracle.clipped_grad(lambda p, e: flat_loss(p, e)[0], l2_clip_norm=CLIP, normalize_by=BATCH)
    sensitivity = clipped.sensitivity(dp.NeighboringRelation.ADD_OR_REMOVE_ONE)
    privatizer = oracle.noise_addition.gaussian_privatizer(stddev=SIGMA * sensitivity, prng_key=jax.random.key(0))
    params = {"w": jnp.ones(SIZE)}
    noisy, _ = privatizer.update(clipped(params, jnp.ones((8, 1))), privatizer.init(params))
    assert private_noise(8).std() == pytest.approx(float(np.std(noisy["w"])), rel=10 / np.sqrt(2 * SIZE))


@pytest.mark.parametrize("word", range(8))
def test_every_word_of_the_secret_counts(word: int) -> None:
    other = noise_of(SECRET.at[word].add(1))
    assert abs(np.corrcoef(noise_of(), other)[0, 1]) < 0.8  # three of four keys are the same
    assert not np.array_equal(noise_of(), other)


def test_members_of_a_scan_that_share_a_secret_have_independent_noise() -> None:
    other = noise_of(numbers={**NUMBERS, "lr": jnp.float32(2e-3)})
    assert abs(np.corrcoef(noise_of(), other)[0, 1]) < 5 / np.sqrt(SIZE)
    np.testing.assert_array_equal(noise_of(), noise_of())


def test_arrays_of_one_shape_have_independent_noise() -> None:
    *keys, _ = keys_of(SECRET, NUMBERS)
    noisy = add_noise(keys, [jnp.zeros(SIZE), jnp.zeros(SIZE)], jnp.float32(1.0))
    assert abs(np.corrcoef(*noisy)[0, 1]) < 5 / np.sqrt(SIZE)


def test_noise_is_the_same_on_any_number_of_devices() -> None:
    mesh = parallel.make_mesh(8)
    rows = jnp.broadcast_to(SECRET, (8, WORDS)) + jnp.arange(8, dtype=jnp.uint32)[:, None]

    def noise(rows: jax.Array) -> jax.Array:
        *keys, _ = keys_of(rows[0], NUMBERS)
        return add_noise(keys, jnp.zeros(64), jnp.float32(1.0))

    spread = jax.device_put(rows, jax.NamedSharding(mesh, jax.P(mesh.axis_names)))
    assert len(spread.sharding.device_set) == 8
    np.testing.assert_array_equal(jax.jit(noise)(spread), noise(rows))
