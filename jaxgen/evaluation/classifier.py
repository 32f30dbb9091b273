"""Training of a classifier: cross entropy on shifted images, Adam on a cosine schedule, averaged weights."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxgen.errors import require
from jaxgen.images import to_float
from jaxgen.networks.classifier import Classifier, classifier_of
from jaxgen.training.optimizers import apply_gradients, average, cosine, make_optimizer
from jaxgen.training.step import Algorithm, TrainState, advanced, as_hparams, new_state
from jaxgen.types import Batch, Grid, Images, Metrics, PRNGKey

MAX_SHIFT = 2
"""Largest shift of a training image along each axis, in pixels."""


def make_classifier(shape: Grid, num_classes: int, batch_size: int) -> Algorithm:
    """Returns the training algorithm of a classifier, a record of pure functions.

    Args:
      shape: (*spatial, c) of the images.
      num_classes: n, 2 or more.
      batch_size: images per update, over all devices.

    Returns:
      An `Algorithm`; a batch holds `images` (b, *spatial, c), uint8 or in [-1, 1], and `labels` (b,) in [0, n).
      `init` reads the hparams `lr`, `ema_half_life` and `schedule_images`; `predict(state, images, key)` returns logits
      (b, n).

    Raises:
      InputError: fewer than two classes.
    """
    require(num_classes >= 2, "num_classes", num_classes, "2 or more")
    network = classifier_of(shape, num_classes)
    return Algorithm(
        init=partial(_init, network, shape),
        step=partial(_step, network, batch_size),
        predict=partial(_predict, network),
        draw_inputs=None,
        images_per_step=batch_size,
        takes_gradient=False,
    )


def shift(key: PRNGKey, images: Images) -> Images:
    """Shifts each image by up to `MAX_SHIFT` pixels along every axis; new pixels repeat the edge."""
    b, *shape = images.shape
    num = len(shape) - 1
    wide = jnp.pad(images, ((0, 0), *((MAX_SHIFT, MAX_SHIFT),) * num, (0, 0)), mode="edge")
    corners = jax.random.randint(key, (b, num), 0, 2 * MAX_SHIFT + 1, jnp.int32)
    return jax.vmap(lambda image, corner: lax.dynamic_slice(image, (*corner, 0), shape))(wide, corners)


def _init(network: Classifier, shape: Grid, key: PRNGKey, hparams: Mapping[str, Any]) -> TrainState:
    params = network.init(key, jnp.zeros((1, *shape), jnp.float32))["params"]
    numbers = as_hparams(hparams)
    return new_state({"classifier": params}, ("classifier",), numbers, _optimizer(numbers["lr"]))


def _step(
    network: Classifier, batch_size: int, state: TrainState, batch: Batch, key: PRNGKey
) -> tuple[TrainState, Metrics]:
    key_shift, key_dropout = jax.random.split(jax.random.fold_in(key, state.step))
    images = shift(key_shift, to_float(batch["images"]))

    def loss_fn(params: Any) -> tuple[jax.Array, jax.Array]:
        _, logits = network.apply({"params": params}, images, train=True, rngs={"dropout": key_dropout})
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, batch["labels"])), logits

    params = state.params["classifier"]
    (loss, logits), grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
    images_seen = state.images.astype(jnp.float32)
    lr = cosine(state.hparams["lr"], jnp.zeros((), jnp.float32), images_seen / state.hparams["schedule_images"])
    state = apply_gradients(state, "classifier", grads, _optimizer(lr))
    state = average(state, "classifier", state.hparams["ema_half_life"], images_seen, batch_size)
    hits = jnp.argmax(logits, axis=-1) == batch["labels"]
    return advanced(state, batch_size), {
        "loss/classifier": loss,
        "accuracy/train": jnp.mean(hits.astype(jnp.float32)),
        "schedule/lr": lr,
    }


def _predict(network: Classifier, state: TrainState, images: Any, key: PRNGKey) -> jax.Array:
    _, logits = network.apply({"params": state.ema_params["classifier"]}, to_float(images))
    return logits


def _optimizer(lr: jax.Array) -> optax.GradientTransformation:
    return make_optimizer("adam", lr, jnp.asarray(0.9, jnp.float32), jnp.asarray(0.999, jnp.float32))
