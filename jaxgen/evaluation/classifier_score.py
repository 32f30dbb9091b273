"""Classifier accuracy score: how well a classifier that has seen fakes alone knows real images."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int32, UInt8

from jaxgen.algorithms.base import TrainState
from jaxgen.algorithms.classifier import make_classifier
from jaxgen.data.transfer import put_global
from jaxgen.training import parallel

STEPS = 600
BATCH_SIZE = 128
STEPS_AT_ONCE = 20
HPARAMS = {"lr": 2e-3, "ema_half_life": 5_000.0, "schedule_images": float(STEPS * BATCH_SIZE)}


def train_on_fakes(
    images: UInt8[np.ndarray, "n h w c"], labels: Int32[np.ndarray, "n"], num_classes: int, seed: int
) -> TrainState:
    """The classifier of `networks.classifier` after `STEPS` steps of `BATCH_SIZE` images.

    Args:
      images: fakes.
      labels: the classes that they were asked to be.
      num_classes: k.
      seed: of weights, order, shifts and dropout.
    """
    algorithm = make_classifier(images.shape[1:], num_classes, BATCH_SIZE)
    mesh = parallel.make_mesh(BATCH_SIZE)
    key_init, key_steps = jax.random.split(jax.random.key(seed))
    state = parallel.init_state(algorithm, key_init, HPARAMS, mesh)
    dispatch = parallel.compile_steps(algorithm, key_steps, mesh)
    sharding = parallel.batch_sharding(mesh)
    for index in _orders(len(images), seed):
        state, metrics = dispatch(state, put_global({"images": images[index], "labels": labels[index]}, sharding))
        jax.block_until_ready(metrics)
    return state


def hits(
    state: TrainState, images: UInt8[np.ndarray, "n h w c"], labels: Int32[np.ndarray, "n"], num_classes: int
) -> Bool[np.ndarray, "n"]:
    """For each real image, whether the classifier of `train_on_fakes` finds its class; the mean is the score.

    References:
      Ravuri, Vinyals, "Classification Accuracy Score for Conditional Generative Models", 2019.
    """
    predict = jax.jit(make_classifier(images.shape[1:], num_classes, BATCH_SIZE).predict)
    found = []
    for start in range(0, len(images), 500):
        part = images[start : start + 500]
        filled = np.concatenate([part, np.zeros((500 - len(part), *part.shape[1:]), np.uint8)])
        found.append(np.asarray(jnp.argmax(predict(state, filled), -1))[: len(part)])
    return np.concatenate(found) == labels


def _orders(num: int, seed: int) -> Iterator[np.ndarray]:
    """Indices (k, b) of each dispatch: one permutation after the other."""
    generator = np.random.default_rng(seed)
    needed = STEPS * BATCH_SIZE
    order = np.concatenate([generator.permutation(num) for _ in range(-(-needed // num))])[:needed]
    yield from order.reshape(-1, STEPS_AT_ONCE, BATCH_SIZE)
