"""The class reaches the images and the logits, in every architecture and by both ways, as its formula says."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxgen.networks.conditioning import entries, join, score
from jaxgen.tasks.gan.config import GanConfig
from jaxgen.tasks.gan.pairs import make_gan_pair

SHAPES = {"mlp": (4, 6, 2), "dcgan": (28, 28, 1), "resnet": (8, 8, 3)}
N, Z, B = 3, 5, 4


def pair_and_params(architecture: Any, conditioning: Any, num_classes: int = N) -> Any:
    """The two networks as functions of (input, condition), and their parameters."""
    config = GanConfig(architecture=architecture, conditioning=conditioning, base_channels=4, latent_dim=Z)
    shape = SHAPES[architecture]
    condition = jnp.zeros((1, num_classes)) if num_classes else None
    found = []
    for network, x in zip(make_gan_pair(config, shape), (jnp.zeros((1, Z)), jnp.zeros((1, *shape))), strict=True):
        variables = jax.jit(network.init)(jax.random.key(1), x, condition)
        # off the zeros that some layers start with
        variables = jax.tree.map(
            lambda a: a + 0.05 * jnp.cos(jnp.arange(a.size, dtype=a.dtype)).reshape(a.shape), variables
        )
        found += [jax.jit(lambda x, c, network=network, variables=variables: network.apply(variables, x, c)), variables]
    return found


@pytest.mark.parametrize("conditioning", ["concat", "projection"])
@pytest.mark.parametrize("architecture", SHAPES)
def test_no_network_ignores_its_labels(architecture: str, conditioning: str) -> None:
    """With the same latents each class has an image of its own, and the same image a logit for each class."""
    render, _, judge, _ = pair_and_params(architecture, conditioning)
    classes = jnp.eye(N)
    images = np.asarray(render(jnp.ones((N, Z)), classes))
    noise = jax.random.normal(jax.random.key(2), (N, *SHAPES[architecture]))
    logits = np.asarray(judge(jnp.stack([noise[0]] * N), classes))
    spread = np.ptp(np.asarray(judge(noise, classes[jnp.zeros(N, int)])))  # what the image does to the logit
    assert np.ptp(logits) > 0.05 * spread
    for i in range(N):
        for j in range(i):
            assert np.abs(images[i] - images[j]).mean() > 0.005, (i, j)
            assert abs(logits[i] - logits[j]) > 0.001 * spread > 0, (i, j)


@pytest.mark.parametrize("conditioning", ["concat", "projection"])
@pytest.mark.parametrize("architecture", SHAPES)
def test_every_weight_of_an_embedding_has_a_slope(architecture: str, conditioning: str) -> None:
    config = GanConfig(architecture=architecture, conditioning=conditioning, base_channels=4, latent_dim=Z)
    inputs = (
        jax.random.normal(jax.random.key(0), (B, Z)),
        jax.random.normal(jax.random.key(1), (B, *SHAPES[architecture])),
    )
    condition = jnp.eye(N)[jnp.arange(B) % N]
    for network, x in zip(make_gan_pair(config, SHAPES[architecture]), inputs, strict=True):
        params = jax.jit(network.init)(jax.random.key(1), x, condition)["params"]

        def total(params: Any, network: Any = network, x: Any = x) -> jax.Array:
            return jnp.sum(jnp.sin(network.apply({"params": params}, x, condition)))

        grads = jax.jit(jax.grad(total))(params)
        named = {name: g for name, g in grads.items() if name in ("embedding", "projection")}
        assert len(named) == 1
        slopes = np.asarray(next(iter(named.values()))["kernel"])
        assert np.abs(slopes).max(axis=1).min() > 0  # of every class
        assert (slopes != 0).mean() > 0.5


def test_without_classes_there_is_no_embedding() -> None:
    for architecture in SHAPES:
        _, generator, _, discriminator = pair_and_params(architecture, "none", 0)
        assert not {"embedding", "projection"} & (set(generator["params"]) | set(discriminator["params"]))


class Joined(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array, condition: jax.Array) -> jax.Array:
        return join(x, condition, 2)


def test_join_puts_the_embedding_of_the_class_at_every_position() -> None:
    x = jnp.arange(24.0).reshape(2, 2, 3, 2)
    table = jnp.asarray([[1.0, 2.0], [30.0, 40.0]])
    variables = {"params": {"embedding": {"kernel": table}}}
    one_hot = np.asarray(Joined().apply(variables, x, jnp.asarray([[0.0, 1.0], [1.0, 0.0]])))
    np.testing.assert_array_equal(one_hot[..., :2], x)
    np.testing.assert_array_equal(one_hot[0, ..., 2:], np.broadcast_to([30.0, 40.0], (2, 3, 2)))
    np.testing.assert_array_equal(one_hot[1, ..., 2:], np.broadcast_to([1.0, 2.0], (2, 3, 2)))
    between = np.asarray(Joined().apply(variables, x[:1], jnp.asarray([[0.25, 0.75]])))
    np.testing.assert_allclose(between[0, 0, 0, 2:], [0.25 + 22.5, 0.5 + 30.0])


class Scored(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array, condition: jax.Array) -> jax.Array:
        return score(x, condition)


def test_projection_equals_its_formula() -> None:
    """Miyato and Koyama 2018, equation 3: y^T V phi + psi(phi)."""
    noise = np.random.default_rng(0)
    phi, v, psi = (noise.standard_normal(s).astype(np.float32) for s in ((4, 6), (3, 6), (6, 1)))
    labels = np.array([2, 0, 1, 1])
    variables = {"params": {"Dense_0": {"kernel": psi, "bias": np.float32([0.5])}, "projection": {"kernel": v}}}
    logits = Scored().apply(variables, jnp.asarray(phi), jnp.eye(3)[labels])
    expected = [
        v[y].astype(np.float64) @ p + psi[:, 0].astype(np.float64) @ p + 0.5 for p, y in zip(phi, labels, strict=True)
    ]
    np.testing.assert_allclose(logits, expected, rtol=1e-5)


def test_entries_are_at_one_place() -> None:
    condition = jnp.eye(2)
    assert [c is condition for c in entries("concat", condition)] == [True, False]
    assert [c is condition for c in entries("projection", condition)] == [False, True]
    assert entries("none", None) == (None, None)


def test_the_classes_of_a_residual_generator_count_little_at_first() -> None:
    """Else it learns the mean of each class and draws one volume for a class (docs/results.md)."""
    generator, _ = make_gan_pair(GanConfig("resnet", base_channels=4), (8, 8, 1))
    latents, classes = jax.random.normal(jax.random.key(1), (24, 64)), jnp.eye(24)
    params = generator.init(jax.random.key(0), latents, classes)["params"]
    draw = jax.jit(lambda z, y: generator.apply({"params": params}, z, y))
    by_latents = np.asarray(draw(latents, jnp.repeat(classes[:1], 24, 0))).std(0).mean()
    by_class = np.asarray(draw(jnp.repeat(latents[:1], 24, 0), classes)).std(0).mean()
    assert 0 < by_class < 0.1 * by_latents
