"""Conditional GANs: labels of the batch reach both networks in pairs, and the generator learns to obey them."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.errors import InputError
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.tasks.gan.config import GanConfig, GanHparams
from jaxgen.training.step import Algorithm, TrainState

SHAPE, BATCH, N, Z = (2, 2, 1), 6, 3, 4


def make(conditioning: Any, **structure: Any) -> Algorithm:
    settings = {"architecture": "mlp", "base_channels": 1, "latent_dim": Z, "penalties": (), **structure}
    return make_gan(GanConfig(conditioning=conditioning, **settings), SHAPE, BATCH, N)


def still_state(algorithm: Algorithm) -> TrainState:
    """At a rate of 0, with a generator that hears its label and not its latents: what it draws is known."""
    state = jax.jit(algorithm.init)(jax.random.key(0), vars(GanHparams(lr=0.0, lr_final=0.0, schedule_images=100.0)))
    kernel = state.params["generator"]["Dense_0"]["kernel"]
    state.params["generator"]["Dense_0"]["kernel"] = kernel.at[:Z].set(0.0)
    return state


@jax.jit
def render(params: Any, labels: np.ndarray) -> jax.Array:
    """What the generator of `still_state` draws, by its formula."""
    x = jnp.concatenate([jnp.zeros((len(labels), Z)), params["embedding"]["kernel"][labels]], 1)
    x = jax.nn.relu(x @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"][None])
    x = x @ params["Dense_1"]["kernel"] + params["Dense_1"]["bias"][None]
    return (2 * jax.nn.sigmoid(x) - 1).reshape(-1, *SHAPE)


@functools.partial(jax.jit, static_argnames="conditioning")
def score(params: Any, images: jax.Array, labels: np.ndarray, conditioning: str) -> jax.Array:
    """Logits of images under labels, by the formula of either discriminator."""
    x = images.reshape(len(labels), -1)
    if conditioning == "concat":
        x = jnp.concatenate([x, params["embedding"]["kernel"][labels]], 1)
    x = jax.nn.relu(x @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"][None])
    logits = (x @ params["Dense_1"]["kernel"] + params["Dense_1"]["bias"][None])[:, 0]
    return logits + jnp.sum(x * params["projection"]["kernel"][labels], 1) if conditioning == "projection" else logits


@pytest.mark.parametrize("updates", [1, 2])
@pytest.mark.parametrize("conditioning", ["concat", "projection"])
def test_a_real_image_and_its_generated_image_share_the_label(conditioning: str, updates: int) -> None:
    algorithm = make(conditioning, discriminator_updates=updates)
    state = still_state(algorithm)
    images = jax.random.normal(jax.random.key(1), (BATCH * updates, *SHAPE))
    labels = np.random.default_rng(0).integers(0, N, BATCH * updates).astype(np.int32)
    _, metrics = jax.jit(algorithm.step)(state, {"images": images, "labels": labels}, jax.random.key(2))
    d_params = state.params["discriminator"]
    gaps = []
    for i in range(updates):  # the metrics are those of the last update; each takes every n-th image
        y = labels[i::updates]
        fake = render(state.params["generator"], y)
        gaps.append(score(d_params, fake, y, conditioning) - score(d_params, images[i::updates], y, conditioning))
    np.testing.assert_allclose(metrics["loss/discriminator"], jnp.mean(jnp.log1p(jnp.exp(gaps[-1]))), rtol=1e-5)
    np.testing.assert_allclose(metrics["loss/generator"], jnp.mean(jnp.log1p(jnp.exp(-gaps[-1]))), rtol=1e-5)


@pytest.mark.parametrize("conditioning", ["concat", "projection"])
def test_the_generator_learns_to_obey(conditioning: str) -> None:
    """Class 0 is dark and class 1 bright, noisy: as many of both, so only the label tells which to draw."""
    config = GanConfig(architecture="mlp", conditioning=conditioning, base_channels=1, latent_dim=Z)
    algorithm = make_gan(config, SHAPE, 32, 2)
    state = jax.jit(algorithm.init)(jax.random.key(0), vars(GanHparams(lr=5e-3, lr_final=5e-3, schedule_images=1e4)))
    noise = np.random.default_rng(0)
    labels = noise.integers(0, 2, (400, 32)).astype(np.int32)
    images = (
        np.where(labels, 0.6, -0.6)[..., None, None, None] + 0.1 * noise.standard_normal((400, 32, *SHAPE))
    ).astype(np.float32)
    batches = {"images": jnp.asarray(images), "labels": jnp.asarray(labels)}
    state, _ = jax.jit(lambda s, b: jax.lax.scan(lambda s, b: algorithm.step(s, b, jax.random.key(1)), s, b))(
        state, batches
    )
    asked = jnp.asarray([0, 1] * 50)
    inputs = algorithm.draw_inputs(jax.random.key(2), 100, asked)
    drawn = np.asarray(jax.jit(algorithm.predict)(state, inputs, jax.random.key(0)).images).mean((1, 2, 3))
    assert drawn[0::2].mean() < -0.3
    assert drawn[1::2].mean() > 0.3


def test_inputs_carry_the_classes_asked_for_or_any() -> None:
    algorithm = make("projection")
    inputs = algorithm.draw_inputs(jax.random.key(0), 3, jnp.asarray([2, 0, 1]))
    np.testing.assert_array_equal(inputs["condition"], [[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    assert inputs["latents"].shape == (3, Z)
    anything = np.asarray(algorithm.draw_inputs(jax.random.key(0), 3000)["condition"])
    np.testing.assert_array_equal(anything.sum(1), 1.0)
    assert np.abs(anything.mean(0) - 1 / 3).max() < 0.05


@pytest.mark.parametrize("num_classes", [0, 1])
def test_a_condition_needs_classes(num_classes: int) -> None:
    with pytest.raises(InputError, match="conditioning: got 'concat'; accepted: none"):
        make_gan(GanConfig(architecture="mlp", conditioning="concat"), SHAPE, BATCH, num_classes)


def test_labels_are_not_looked_at_without_a_condition() -> None:
    algorithm = make("none")
    state = jax.jit(algorithm.init)(jax.random.key(0), vars(GanHparams(schedule_images=100.0)))
    images = jax.random.normal(jax.random.key(1), (BATCH, *SHAPE))
    jax.eval_shape(algorithm.step, state, {"images": images}, jax.random.key(2))
