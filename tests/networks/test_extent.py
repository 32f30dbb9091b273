"""An image that ends before its array does gives what it gives in an array of its own size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.networks.extent import ends_at
from jaxgen.networks.inverse import InverseNetwork
from jaxgen.networks.layers import binomial_blur, downsample, upsample
from jaxgen.networks.recurrent import RecurrentRestorer
from jaxgen.types import Observation

NETWORKS = {
    "inverse": InverseNetwork((2, 4), depth=1),
    "recurrent": RecurrentRestorer((2,), blocks=1, iterations=2),
}


def draw(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, shape), jnp.float32)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_gives_the_same_in_a_larger_array(name):
    network, (h, w) = NETWORKS[name], (20, 12)
    images, known = draw(2, h, w, 1), (draw(2, h, w, 1, seed=1) > 0).astype(jnp.float32)
    params = jax.jit(network.init)(jax.random.key(0), Observation(images, known))
    params = jax.tree.map(lambda x: draw(*x.shape, seed=2) * 0.5, params)  # no small last layers, no zero biases

    @jax.jit
    def run(images, known, extent):
        with ends_at(images.shape[1:3], extent):
            return network.apply(params, Observation(images, known))

    room = ((0, 0), (0, 12), (0, 4), (0, 0))
    images_there, known_there = (jnp.pad(x, room, constant_values=0.7) for x in (images, known))
    found = run(images_there, known_there, np.asarray((h, w), np.int32))[:, :h, :w]
    expected = jax.jit(network.apply)(params, Observation(images, known))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    unaware = jax.jit(network.apply)(params, Observation(images_there, known_there))[:, :h, :w]
    assert np.abs(unaware - expected).max() > 1e-3


@pytest.mark.parametrize("filter_fn", [binomial_blur, downsample, upsample])
def test_blurs_repeat_the_edge_of_the_image(filter_fn):
    """In a larger array as in one of the image's size; a volume too."""
    image = draw(1, 4, 6, 2, 1)
    there = jnp.pad(image, ((0, 0), (0, 2), (0, 4), (0, 2), (0, 0)), constant_values=9.0)
    with ends_at(there.shape[1:4], jnp.asarray((4, 6, 2))):
        found = filter_fn(there)
    expected = filter_fn(image)
    part = tuple(slice(size) for size in expected.shape)
    np.testing.assert_allclose(found[part], expected, rtol=0, atol=1e-6)
