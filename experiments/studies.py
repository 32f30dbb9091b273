"""Functions that the studies share: a short training without a run folder, and differences with intervals."""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from jaxgen.config_json import to_dict
from jaxgen.data.base import Source
from jaxgen.data.pipeline import batches
from jaxgen.degradations.compose import degrade, parse_damage
from jaxgen.images import to_float, to_uint8
from jaxgen.metrics.quality import psnr
from jaxgen.tasks.restoration.algorithm import make_restoration
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationHparams
from jaxgen.training import parallel
from jaxgen.training.step import TrainState
from jaxgen.types import Batch, Grid, Images, Observation, PRNGKey, StackedMetrics

STEPS_PER_DISPATCH = 10


class Difference(NamedTuple):
    """Mean of paired differences over seeds, and the ends of its 95% interval (Student's t)."""

    mean: float
    low: float
    high: float


def train_briefly(
    config: RestorationConfig, hparams: RestorationHparams, feeds: list[tuple[Source, int]], batch_size: int, seed: int
) -> TrainState:
    """Returns the final state of a restorer that is trained without a run folder.

    Args:
      config: structure and schedule.
      hparams: numbers; `schedule_images` is not None.
      feeds: sources in order, each with its number of steps, a multiple of `STEPS_PER_DISPATCH`.
      batch_size: images per update.
      seed: seed of weights, damage and order.
    """
    init, run, _ = _compiled(config, feeds[0][0].shape, batch_size)
    mesh = parallel.make_mesh(batch_size)
    key_init, key_steps = jax.random.split(jax.random.key(seed))
    state = jax.device_put(init(key_init, to_dict(hparams)), parallel.replicated(mesh))
    for batch in _stacks(feeds, batch_size, seed):
        state, metrics = run(state, jax.device_put(batch, parallel.batch_sharding(mesh)), key_steps)
        jax.block_until_ready(metrics)
    return state


@functools.cache
def _compiled(config: RestorationConfig, shape: Grid, batch_size: int) -> tuple[Callable, ...]:
    """Returns init(key, hparams), run(state, batches, key) and predict(state, observation), compiled once."""
    algorithm = make_restoration(config, shape, batch_size)

    def run(state: TrainState, batches: Batch, key: PRNGKey) -> tuple[TrainState, StackedMetrics]:
        return jax.lax.scan(lambda s, batch: algorithm.step(s, batch, key), state, batches)

    def predict(state: TrainState, degraded: Observation) -> Images:
        return algorithm.predict(state, degraded, jax.random.key(0)).images

    return jax.jit(algorithm.init), jax.jit(run, donate_argnums=0), jax.jit(predict)


def _stacks(feeds: list[tuple[Source, int]], batch_size: int, seed: int) -> Iterator[dict[str, np.ndarray]]:
    for source, steps in feeds:
        stream = batches(source, batch_size=batch_size, seed=seed)
        for _ in range(steps // STEPS_PER_DISPATCH):
            yield {"images": np.stack([next(stream)["images"] for _ in range(STEPS_PER_DISPATCH)])}


def damaged(images: np.ndarray, damage: str, seed: int) -> Observation:
    """Returns the images, uint8 (n, h, w, c), under one damage."""
    damages = parse_damage(damage)
    apply = jax.jit(lambda key, clean: degrade(key, clean, damages))
    return apply(jax.random.key(seed), to_float(jnp.asarray(images)))


def quality(config: RestorationConfig, state: TrainState, degraded: Observation, clean: np.ndarray) -> float:
    """Returns the mean PSNR in dB of the restored images."""
    predict = _compiled(config, clean.shape[1:], 1)[2]
    return float(np.mean(np.minimum(psnr(to_uint8(predict(state, degraded)), clean), 100.0)))


def difference(first: list[float], second: list[float]) -> Difference:
    """Returns the mean of first - second over pairs, with its interval."""
    gaps = np.subtract(first, second)
    half = stats.t.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps))
    return Difference(float(gaps.mean()), float(gaps.mean() - half), float(gaps.mean() + half))
