"""The classifier accuracy score: the accuracy on real images of a classifier trained on generated images alone."""

from collections.abc import Callable, Iterator

import jax
import numpy as np
from jaxtyping import Int32, UInt8

from jaxgen.data.transfer import put_global
from jaxgen.errors import require
from jaxgen.evaluation.classifier import make_classifier
from jaxgen.training import parallel
from jaxgen.training.step import TrainState

STEPS = 600
BATCH_SIZE = 128
STEPS_AT_ONCE = 20
AT_ONCE = 1000
"""Real images classified in one call; filled up to a multiple of the devices."""
HPARAMS = {"lr": 2e-3, "ema_half_life": 5_000.0, "schedule_images": float(STEPS * BATCH_SIZE)}


def train_on_generated(
    images: UInt8[np.ndarray, "n h w c"], labels: Int32[np.ndarray, "n"], num_classes: int, seed: int
) -> TrainState:
    """Returns the state of a classifier after `STEPS` steps of `BATCH_SIZE` generated images.

    Args:
      images: generated images.
      labels: the classes that they were generated for.
      num_classes: k.
      seed: determines weights, order, shifts and dropout.
    """
    algorithm = make_classifier(images.shape[1:], num_classes, BATCH_SIZE)
    mesh = parallel.make_mesh(BATCH_SIZE)
    key_init, key_steps = jax.random.split(jax.random.key(seed))
    state = parallel.init_state(algorithm, key_init, HPARAMS, mesh)
    dispatch = parallel.compile_steps(algorithm, key_steps, mesh)
    sharding = parallel.batch_sharding(mesh)
    for index in _orders(len(images), seed):
        state, metrics = dispatch(state, put_global({"images": images[index], "labels": labels[index]}, sharding))
        loss = np.asarray(metrics["loss/classifier"])
        require(bool(np.isfinite(loss).all()), "loss/classifier", float(loss[-1]), "a finite loss")
    return state


def make_is_correct(shape: tuple[int, int, int], num_classes: int) -> Callable[..., np.ndarray]:
    """Returns a function that tells which real images the classifier of `train_on_generated` classifies correctly.

    Args:
      shape: (h, w, c).
      num_classes: k.

    Returns:
      (state, uint8 images (b, h, w, c), labels (b,)) -> bool (b,), b at most `AT_ONCE`; the mean over a held-out set is
      the score.

    References:
      Ravuri, Vinyals, "Classification Accuracy Score for Conditional Generative Models", 2019.
    """
    predict = jax.jit(make_classifier(shape, num_classes, BATCH_SIZE).predict)

    def is_correct(state: TrainState, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        devices = len(state.step.sharding.device_set)
        rows = -(-AT_ONCE // devices) * devices
        filled = np.concatenate([images, np.zeros((rows - len(images), *shape), np.uint8)])
        logits = np.asarray(predict(state, parallel.spread(filled, devices), jax.random.key(0)))
        return np.argmax(logits, -1)[: len(images)] == labels

    return is_correct


def _orders(num: int, seed: int) -> Iterator[np.ndarray]:
    """Yields the image indices (k, b) of each dispatch, from one permutation after another."""
    generator = np.random.default_rng(seed)
    needed = STEPS * BATCH_SIZE
    order = np.concatenate([generator.permutation(num) for _ in range(-(-needed // num))])[:needed]
    yield from order.reshape(-1, STEPS_AT_ONCE, BATCH_SIZE)
