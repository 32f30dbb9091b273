"""The network that enlarges: its sizes, its start, what a pixel depends on, and images in larger arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.networks.extent import ends_at
from jaxgen.networks.upscaler import Upscaler
from jaxgen.types import Observation

SCALES = (2, 3, 4, 8)


def draw(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, shape), jnp.float32)


@pytest.fixture(scope="module")
def params():
    """Weights without small last layers and zero biases, the same for all factors."""
    shapes = jax.eval_shape(Upscaler(4, 2, SCALES, 2).init, jax.random.key(0), Observation(jnp.zeros((1, 4, 4, 3))))
    return jax.tree.map(lambda x: draw(*x.shape, seed=x.size) * 0.4, shapes)


@pytest.mark.parametrize("scale", SCALES)
def test_each_factor_has_a_head_on_one_trunk(scale, params):
    images = draw(2, 5, 7, 3)
    found = jax.jit(Upscaler(4, 2, SCALES, scale).apply)(params, Observation(images))
    assert (found.shape, found.dtype) == ((2, 5 * scale, 7 * scale, 3), jnp.float32)
    alone = {**params["params"]}
    alone = {name: tree for name, tree in alone.items() if not name.startswith("heads_") or name == f"heads_{scale}"}
    np.testing.assert_array_equal(
        jax.jit(Upscaler(4, 2, (scale,), scale).apply)({"params": alone}, Observation(images)), found
    )


def test_it_corrects_repeated_pixels(params):
    images, network = draw(1, 6, 5, 3), Upscaler(4, 2, SCALES, 3)
    silent = {**params["params"], "heads_3": jax.tree.map(jnp.zeros_like, params["params"]["heads_3"])}
    found = jax.jit(network.apply)({"params": silent}, Observation(images))
    np.testing.assert_array_equal(found, np.asarray(images).repeat(3, 1).repeat(3, 2))


def test_a_pixel_is_felt_as_far_as_the_halo_and_no_farther(params):
    network = Upscaler(4, 2, SCALES, 2)
    images = draw(1, 31, 31, 3)
    run = jax.jit(network.apply)
    change = np.abs(run(params, Observation(images.at[0, 15, 15].add(10.0))) - run(params, Observation(images)))
    rows = np.flatnonzero(change[0].max(axis=(1, 2)) > 0)
    assert (rows.min(), rows.max()) == (2 * (15 - network.halo), 2 * (15 + network.halo) + 1)


@pytest.mark.parametrize("scale", [2, 3])
def test_it_gives_the_same_for_an_image_in_a_larger_array(scale, params):
    network, (h, w) = Upscaler(4, 2, SCALES, scale), (20, 12)
    images = draw(1, h, w, 3)

    @jax.jit
    def run(images, extent):
        with ends_at(images.shape[1:3], extent):
            return network.apply(params, Observation(images))

    there = jnp.pad(images, ((0, 0), (0, 12), (0, 4), (0, 0)), constant_values=0.7)
    found = run(there, np.asarray((h, w), np.int32))[:, : scale * h, : scale * w]
    expected = jax.jit(network.apply)(params, Observation(images))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_tiles_with_a_halo_are_the_whole(params):
    network, images = Upscaler(4, 2, SCALES, 3), draw(1, 10, 30, 3)
    halo, run = network.halo, jax.jit(network.apply)
    whole = run(params, Observation(images))
    left = run(params, Observation(images[:, :, : 14 + halo]))[:, :, : 3 * 14]
    right = run(params, Observation(images[:, :, 14 - halo :]))[:, :, 3 * halo :]
    np.testing.assert_allclose(np.concatenate([left, right], axis=2), whole, rtol=0, atol=1e-5)
