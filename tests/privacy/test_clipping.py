"""The clipped sum against `vmap(grad)` and jax-privacy, for each kind of layer; and that nothing gets past the clip."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxgen.losses.adversarial import ADVERSARIAL_LOSSES
from jaxgen.privacy.clipping import clipped_sum, num_parts
from jaxgen.tasks.gan.algorithm import Gan, Pairs, discriminator_loss, draw_examples, init_gan, one_hot
from jaxgen.tasks.gan.config import GanConfig, GanHparams
from jaxgen.tasks.gan.pairs import make_gan_pair

BATCH = 6
MASK = np.array([1, 1, 0, 1, 1, 1], np.float32)
LAYERS = {
    "dense": ("mlp", "projection", (3, 5, 2)),
    "dense, class beside the pixels": ("mlp", "concat", (3, 5, 2)),
    "convolutions, class at the end": ("dcgan", "projection", (28, 28, 1)),
    "convolutions, class beside the pixels": ("dcgan", "concat", (28, 28, 1)),
    "blocks and a weight without a layer": ("resnet", "projection", (8, 8, 3)),
    "volumes": ("resnet", "none", (8, 8, 8, 1)),
}
SLOW = ("convolutions, class beside the pixels", "blocks and a weight without a layer", "volumes")
"""Their parts are in other cases too."""


def problem(architecture: Any, conditioning: Any, shape: tuple[int, ...], **weights: float) -> tuple[Any, Any, Any]:
    """A discriminator's loss, its parameters (all of them away from zero), and examples."""
    config = GanConfig(architecture, 4, 2, conditioning, "non_saturating", ())
    classes = 0 if conditioning == "none" else 3
    gan = Gan(config, *make_gan_pair(config, shape), ADVERSARIAL_LOSSES[config.loss], shape, BATCH, classes)
    state = init_gan(gan, jax.random.key(0), vars(GanHparams(schedule_images=1.0)))
    images = jax.random.uniform(jax.random.key(1), (BATCH, *shape), jnp.float32, -1.0, 1.0)
    condition = one_hot(gan, jnp.arange(BATCH) % 3) if classes else None
    examples = draw_examples(gan, Pairs(images, condition), jax.random.key(2))
    noise = lambda x: x + 0.1 * jax.random.normal(jax.random.key(x.size), x.shape, x.dtype)  # noqa: E731
    factors = {name: jnp.float32(weight) for name, weight in weights.items()}
    loss_fn = partial(discriminator_loss, gan, state.params["generator"], factors)
    return loss_fn, jax.tree.map(noise, state.params["discriminator"]), examples


def each_gradient(loss_fn: Callable[..., Any], params: Any, examples: Any) -> Any:
    one = lambda example: jax.tree.map(lambda x: x[None], example)  # noqa: E731
    return jax.vmap(lambda example: jax.grad(lambda p: loss_fn(p, one(example))[0])(params))(examples)


def norms_of(gradients: Any) -> np.ndarray:
    return np.sqrt(
        sum(np.square(np.asarray(g, np.float64)).reshape(BATCH, -1).sum(1) for g in jax.tree.leaves(gradients))
    )


def norm(tree: Any) -> float:
    return float(np.sqrt(sum(np.square(np.asarray(x, np.float64)).sum() for x in jax.tree.leaves(tree))))


@pytest.mark.parametrize(
    ("layers", "taps"),
    [
        pytest.param(layers, taps, marks=[pytest.mark.slow] * (layers in SLOW or not (taps or "dense" in layers)))
        for layers in LAYERS
        for taps in (True, False)
    ],
)
def test_sum_is_that_of_clipped_gradients_by_vmap(layers: str, taps: bool) -> None:
    loss_fn, params, examples = problem(*LAYERS[layers])
    gradients = each_gradient(loss_fn, params, examples)
    norms = norms_of(gradients)
    clip = float(np.median(norms))  # of about half of them
    scale = MASK * np.minimum(1.0, clip / norms)
    found = jax.jit(partial(clipped_sum, loss_fn, taps=taps, at_once=2))(params, examples, jnp.asarray(MASK), clip)
    expected = jax.tree.map(lambda g: np.tensordot(scale, np.asarray(g, np.float64), 1), gradients)
    assert jax.tree.structure(found) == jax.tree.structure(params)
    assert norm(jax.tree.map(np.subtract, found, expected)) <= 1e-5 * norm(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        # of a bias the gradients of all voxels are summed in float32, in another order
        np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(b).max())


def test_sum_is_that_of_jax_privacy() -> None:
    oracle = pytest.importorskip("jax_privacy")
    loss_fn, params, examples = problem(*LAYERS["dense"])
    for clip in (0.05, 1e3):
        theirs = oracle.clipped_grad(lambda p, e: loss_fn(p, e)[0], l2_clip_norm=clip)
        found = clipped_sum(loss_fn, params, examples, jnp.ones(BATCH), clip)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), found, theirs(params, examples))


@pytest.mark.parametrize("weight", [0.0, 1e6])
def test_no_example_adds_more_than_the_clip_even_with_a_penalty(weight: float) -> None:
    """Without a clip, or with the penalty outside of it, the sum of one example would be as large as its gradient."""
    loss_fn, params, examples = problem(*LAYERS["dense"], r1=weight)
    whole = each_gradient(loss_fn, params, examples)
    assert min(norms_of(whole)) > 0.1
    total = jax.jit(lambda mask: clipped_sum(loss_fn, params, examples, mask, 0.01, taps=False))
    for i in range(BATCH):
        assert norm(total(jnp.zeros(BATCH).at[i].set(1.0))) == pytest.approx(0.01, rel=1e-5)
    assert norm(total(jnp.ones(BATCH))) <= BATCH * 0.0100001


def test_taps_refuse_a_penalty_on_the_gradient_which_they_would_not_see() -> None:
    loss_fn, params, examples = problem(*LAYERS["dense"], r1=1.0)
    with pytest.raises(jax.errors.UnexpectedTracerError):
        clipped_sum(loss_fn, params, examples, jnp.ones(BATCH), 1.0)


def test_a_weight_outside_of_layers_and_a_layer_that_is_called_twice_count_in_the_norm() -> None:
    class Own(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            layer = nn.Dense(3)
            return layer(jnp.tanh(layer(x))) @ self.param("own", nn.initializers.normal(1.0), (3,))

    network, examples = Own(), jax.random.normal(jax.random.key(1), (BATCH, 3))
    params = network.init(jax.random.key(0), examples)["params"]
    loss_fn = lambda p, x: (jnp.mean(jnp.exp(network.apply({"params": p}, x))), {})  # noqa: E731
    gradients = each_gradient(loss_fn, params, examples)
    norms = norms_of(gradients)
    clip = float(np.median(norms))
    scale = np.minimum(1.0, clip / norms)
    found = clipped_sum(loss_fn, params, examples, jnp.ones(BATCH), clip)
    expected = jax.tree.map(lambda g: np.tensordot(scale, np.asarray(g), 1), gradients)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), found, expected)


def test_an_example_with_an_infinite_gradient_and_padding_add_nothing() -> None:
    loss_fn, params, examples = problem(*LAYERS["dense"])
    bad = examples._replace(pairs=examples.pairs._replace(images=examples.pairs.images.at[3].set(jnp.inf)))
    found = clipped_sum(loss_fn, params, bad, jnp.ones(BATCH), 0.1)
    expected = clipped_sum(loss_fn, params, examples, jnp.ones(BATCH).at[3].set(0.0), 0.1)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), found, expected)
    nothing = clipped_sum(loss_fn, params, bad, jnp.zeros(BATCH), 0.1)
    assert norm(nothing) == 0.0


def test_parts_divide_the_batch() -> None:
    assert [num_parts(size, 128) for size in (1, 128, 129, 256, 640)] == [1, 1, 3, 2, 5]
