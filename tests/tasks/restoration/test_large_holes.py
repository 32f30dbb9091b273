"""Large holes through the package's weights: flat pictures stay flat, ramps go on, whatever the size of the hole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgen
from jaxgen.networks.initial_fill import initial_fill
from jaxgen.networks.inverse import InverseNetwork, join_planes
from jaxgen.tasks.restoration.pixels import make_restore
from jaxgen.types import GUESSED, Observation
from tests.stand_ins import restorer_of

SIZE = 256
RED = np.broadcast_to(np.uint8([255, 0, 0]), (SIZE, SIZE, 3))
STEPS = np.arange(SIZE, dtype=np.uint8)
ACROSS = np.broadcast_to(STEPS[:, None], (SIZE, SIZE))
SLANTED = np.stack([(ACROSS + ACROSS.T.astype(int)) // 2, ACROSS[::-1], np.full_like(ACROSS, 90)], -1).astype(np.uint8)


@pytest.mark.parametrize("width", [48, 96, 200])
@pytest.mark.parametrize(("clean", "most"), [(RED, 1), (ACROSS, 2), (SLANTED, 2)], ids=["red", "grey ramp", "ramps"])
def test_holes_are_filled_with_what_is_around(clean: np.ndarray, most: int, width: int) -> None:
    first = (SIZE - width) // 2
    missing = np.zeros((SIZE, SIZE), bool)
    missing[first : first + width, first : first + width] = True
    damaged = clean.copy()
    damaged[missing] = 7
    restored = jaxgen.restore(damaged, missing).astype(int)
    assert np.abs(restored - clean)[missing].max() <= most
    np.testing.assert_array_equal(restored[~missing], clean[~missing])


def test_strength_weighs_the_original_in_holes_too() -> None:
    pixels = np.full((60, 64, 1), 200, np.uint8)
    known = np.ones((60, 64), bool)
    known[15:40, 15:40] = False
    pixels[~known] = 40
    model = restorer_of(lambda images, known: images, channels=1)
    restored = make_restore({1: model}, 0.25, True, 64)(pixels, known)
    np.testing.assert_array_equal(restored[..., 0], np.where(known, 200, 0.75 * 40 + 0.25 * 200))


def test_a_guess_is_where_the_fill_starts_and_the_network_is_not_told_it() -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 2)).astype(np.float32)
    images[:, 4:28, 4:28] = np.linspace(-0.5, 0.7, 24, dtype=np.float32)[None, :, None, None]
    masks = np.ones((1, 32, 32, 1), np.float32)
    masks[:, 4:28, 4:28] = GUESSED
    filled, suspected = jax.jit(initial_fill, static_argnums=2)(jnp.asarray(images), jnp.asarray(1 - masks), 3)
    inside = (slice(None), slice(14, 18), slice(14, 18))  # where nothing but the ramp is within 8 steps of smoothing
    np.testing.assert_allclose(np.asarray(filled)[inside], images[inside], atol=0.05)
    np.testing.assert_array_equal(np.asarray(filled)[masks[..., 0] == 1], images[masks[..., 0] == 1])
    assert not np.asarray(suspected)[:, 4:28, 4:28].any()
    planes = np.asarray(join_planes(Observation(jnp.asarray(images), jnp.asarray(masks))))
    there = masks[..., 0] == 1
    np.testing.assert_array_equal(planes[..., :2], np.where(there[..., None], images, 0))
    np.testing.assert_array_equal(planes[..., 2], 1 - there)


def test_a_network_before_training_returns_the_guess() -> None:
    network = InverseNetwork((2,), 1, 1)
    images = jnp.full((1, 64, 64, 1), 0.6)
    masks = jnp.ones((1, 64, 64, 1)).at[:, 4:60, 4:60].set(0.0)
    params = jax.tree.map(
        lambda x: jnp.zeros(x.shape), jax.eval_shape(network.init, jax.random.key(0), Observation(images, masks))
    )
    apply = jax.jit(network.apply)
    guessed = apply(params, Observation(images, jnp.where(masks > 0, 1.0, GUESSED)))
    np.testing.assert_allclose(guessed, 0.6, atol=1e-5)
    without = apply(params, Observation(images * masks, masks))
    np.testing.assert_allclose(np.asarray(without)[0, 32, 32], 0.0, atol=1e-5)
