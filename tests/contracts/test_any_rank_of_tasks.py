"""Pairs, classifiers and whole steps on images and on volumes."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from jaxgen.networks.classifier import Classifier
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.tasks.gan.config import GanConfig, GanHparams
from jaxgen.tasks.gan.diffaugment import AUGMENTATIONS
from jaxgen.tasks.gan.pairs import make_gan_pair
from jaxgen.tasks.restoration.algorithm import make_restoration
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationHparams

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("name", "size", "rank"),
    [
        ("mlp", 4, 2),
        ("mlp", 4, 3),
        ("dcgan", 28, 2),
        ("dcgan", 28, 3),
        ("resnet", 8, 2),
        ("resnet", 12, 3),
        ("resnet", 16, 3),
    ],
)
def test_pairs_draw_and_judge_images_and_volumes(name: Any, size: int, rank: int) -> None:
    shape = (*(size,) * rank, 1)
    generator, discriminator = make_gan_pair(GanConfig(architecture=name, base_channels=2), shape)
    condition = jnp.eye(2, 3)

    def outputs(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        images, _ = generator.init_with_output(key, jnp.zeros((2, 4)), condition)
        return images, discriminator.init_with_output(key, images, condition)[0]

    images, logits = jax.eval_shape(outputs, KEY)
    assert (images.shape, logits.shape) == ((2, *shape), (2,))


def test_a_classifier_of_volumes() -> None:
    network = Classifier(3, num_features=5, channels=2)
    (features, logits), _ = jax.eval_shape(network.init_with_output, KEY, jnp.zeros((2, 9, 12, 11, 1)))
    assert (features.shape, logits.shape) == ((2, 5), (2, 3))


@pytest.mark.parametrize("kind", ["gan", "restorer"])
def test_a_step_on_volumes(kind: str) -> None:
    """Shapes through all parts together: draws, gradients, penalties differentiated twice."""
    shape = (16, 16, 24, 1)
    if kind == "gan":
        config = GanConfig(architecture="resnet", base_channels=2, latent_dim=3, augment=tuple(AUGMENTATIONS))
        algorithm, hparams = make_gan(config, shape, 2), vars(GanHparams(schedule_images=10.0))
    else:
        config = RestorationConfig(widths=(2,), depth=1, damage="gaussian:0.1|pixels:0.5", schedule="damage:9")
        algorithm, hparams = make_restoration(config, shape, 2), vars(RestorationHparams(schedule_images=10.0))
    state = jax.eval_shape(algorithm.init, KEY, hparams)
    batch = {"images": jax.ShapeDtypeStruct((algorithm.images_per_step, *shape), jnp.uint8)}
    after, metrics = jax.eval_shape(algorithm.step, state, batch, KEY)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), after) == jax.tree.map(lambda a: (a.shape, a.dtype), state)
    assert all(value.shape == () for value in metrics.values())
