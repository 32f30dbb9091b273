"""The classifier accuracy score: the accuracy on real images of a classifier trained on generated images alone."""

from collections.abc import Callable, Iterator

import jax
import numpy as np
from jaxtyping import Float, Int, Int32, UInt8

from jaxgen.data.transfer import put_global
from jaxgen.errors import require
from jaxgen.evaluation.classifier import make_classifier
from jaxgen.evaluation.figures import Figure
from jaxgen.metrics.intervals import auc_interval, bootstrap_interval
from jaxgen.metrics.labels import area_under_curve
from jaxgen.training import parallel
from jaxgen.training.step import TrainState
from jaxgen.types import Grid

STEPS = 600
VOLUME_STEPS = 160
"""Steps for volumes, each of which costs as much as five images."""
BATCH_SIZE = 128
STEPS_AT_ONCE = 20
AT_ONCE = 1000
"""Real images classified in one call; filled up to a multiple of the devices."""
HPARAMS = {"lr": 2e-3, "ema_half_life": 5_000.0}

Figures = dict[str, Figure]


def train_on(
    images: UInt8[np.ndarray, "n *s c"], labels: Int32[np.ndarray, "n"], num_classes: int, seed: int
) -> TrainState:
    """Returns the state of a classifier after `STEPS` steps of `BATCH_SIZE` images, or as many as volumes take.

    Args:
      images: generated images, or the real ones that they are to replace.
      labels: their classes.
      num_classes: k.
      seed: determines weights, order, shifts and dropout.
    """
    algorithm = make_classifier(images.shape[1:], num_classes, BATCH_SIZE)
    mesh = parallel.make_mesh(BATCH_SIZE)
    key_init, key_steps = jax.random.split(jax.random.key(seed))
    steps = STEPS if images.ndim == 4 else min(STEPS, VOLUME_STEPS)
    hparams = HPARAMS | {"schedule_images": float(steps * BATCH_SIZE)}
    state = parallel.init_state(algorithm, key_init, hparams, mesh)
    dispatch = parallel.compile_steps(algorithm, key_steps, mesh)
    sharding = parallel.batch_sharding(mesh)
    for index in _orders(len(images), steps, seed):
        state, metrics = dispatch(state, put_global({"images": images[index], "labels": labels[index]}, sharding))
        loss = np.asarray(metrics["loss/classifier"])
        require(bool(np.isfinite(loss).all()), "loss/classifier", float(loss[-1]), "a finite loss")
    return state


def make_classify(shape: Grid, num_classes: int) -> Callable[..., np.ndarray]:
    """Returns a function that classifies real images by the classifier of `train_on`.

    Args:
      shape: (*spatial, c).
      num_classes: k.

    Returns:
      (state, uint8 images (b, *spatial, c)) -> logits (b, k), b at most `AT_ONCE`.
    """
    predict = jax.jit(make_classifier(shape, num_classes, BATCH_SIZE).predict)

    def classify(state: TrainState, images: np.ndarray) -> np.ndarray:
        devices = len(state.step.sharding.device_set)
        rows = -(-AT_ONCE // devices) * devices
        filled = np.concatenate([images, np.zeros((rows - len(images), *shape), np.uint8)])
        return np.asarray(predict(state, parallel.spread(filled, devices), jax.random.key(0)))[: len(images)]

    return classify


def score_figures(prefix: str, logits: Float[np.ndarray, "n k"], labels: Int[np.ndarray, "n"], seed: int) -> Figures:
    """Returns the accuracy of logits, and of two classes the area under the ROC curve; both with 95% intervals.

    References:
      Ravuri, Vinyals, "Classification Accuracy Score for Conditional Generative Models", 2019.
    """
    right = (np.argmax(logits, axis=1) == labels).astype(np.float64)
    figures = {f"{prefix}classifier_accuracy_score": Figure(float(right.mean()), *bootstrap_interval(right, seed=seed))}
    sets = [logits[labels == label] @ [-1.0, 1.0] for label in (0, 1)] if logits.shape[1] == 2 else []
    if sets and min(map(len, sets)) >= 2:
        figures[f"{prefix}classifier_auc"] = Figure(area_under_curve(*sets), *auc_interval(*sets))
    return figures


def _orders(num: int, steps: int, seed: int) -> Iterator[np.ndarray]:
    """Yields the image indices (k, b) of each dispatch, from one permutation after another."""
    generator = np.random.default_rng(seed)
    needed = steps * BATCH_SIZE
    order = np.concatenate([generator.permutation(num) for _ in range(-(-needed // num))])[:needed]
    yield from order.reshape(-1, STEPS_AT_ONCE, BATCH_SIZE)
