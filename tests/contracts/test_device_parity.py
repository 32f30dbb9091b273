"""K steps in one call equal K calls; devices, parts of a batch and pmap equal one device with the whole batch."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
import pytest

from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.tasks.gan.config import GanConfig, GanHparams
from jaxgen.tasks.restoration.algorithm import make_restoration
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationHparams
from jaxgen.tasks.super_resolution.algorithm import make_super_resolution
from jaxgen.tasks.super_resolution.config import SuperResolutionConfig, SuperResolutionHparams
from jaxgen.training import parallel
from jaxgen.training.step import Algorithm, TrainState

pytestmark = pytest.mark.slow

BATCH, SHAPE, NUM_CLASSES = 8, (8, 8, 1), 3
RATES = {"lr": 0.05, "lr_final": 0.02, "b1": 0.5, "schedule_images": 100.0}
GAN = vars(GanHparams(r1=0.5, r2=0.5, **RATES))
RESTORATION = vars(RestorationHparams(noise_share=0.3, grey_share=0.5, **RATES))
TINY = GanConfig(architecture="mlp", base_channels=1, latent_dim=3, loss="hinge", penalties=(), optimizer="sgd")
LAZY = dataclasses.replace(TINY, penalties=("r1",), penalty_interval=3, discriminator_updates=2, optimizer="adam")
FULL = dataclasses.replace(
    TINY, loss="relativistic", penalties=("gp",), discriminator_updates=2, augment=("translation", "color")
)
CONDITIONAL = dataclasses.replace(TINY, conditioning="concat", penalties=("r1", "r2"), augment=("cutout",))
RESNET = dataclasses.replace(TINY, architecture="resnet", base_channels=2, loss="relativistic", penalties=("r1",))
INVERSE = RestorationConfig(
    widths=(2, 3), depth=1, schedule="noise:1,damage:1", damage="gaussian:0.1|pixels:0.2-0.8", optimizer="sgd"
)
RECURRENT = dataclasses.replace(
    INVERSE, architecture="recurrent", iterations=2, damage="boxes:0.3-0.6", keep_known=True
)
VOLUMES = dataclasses.replace(INVERSE, damage="rician:0.1|missing_slices:0.2-0.6|thick_slices:0.5")
UPSCALER = SuperResolutionConfig(scale=(2, 3), width=3, blocks=1, optimizer="sgd")
Config = GanConfig | RestorationConfig | SuperResolutionConfig


def make(config: Config) -> tuple[Algorithm, dict[str, Any]]:
    """The algorithm and its numbers."""
    if isinstance(config, GanConfig):
        return make_gan(config, SHAPE, BATCH, NUM_CLASSES), GAN
    if isinstance(config, SuperResolutionConfig):
        return make_super_resolution(config, shape_of(config), BATCH), vars(SuperResolutionHparams(**RATES))
    return make_restoration(config, shape_of(config), BATCH), RESTORATION


def shape_of(config: Config) -> tuple[int, ...]:
    """Shape of the images; enlargement takes larger ones, of colour."""
    if config == VOLUMES:
        return (4, *SHAPE)
    return (36, 36, 3) if isinstance(config, SuperResolutionConfig) else SHAPE


def batches_for(algorithm: Algorithm, num_steps: int, shape: tuple[int, ...] = SHAPE) -> dict[str, np.ndarray]:
    sizes = (num_steps, algorithm.images_per_step, *shape)
    # each quarter of a batch has a brightness of its own: devices that average nothing would drift apart at once
    ramp = np.linspace(0, 128, sizes[1]).reshape(1, -1, *(1,) * len(shape))
    images = (np.random.default_rng(0).integers(0, 128, sizes) + ramp).astype(np.uint8)
    return {"images": images, "labels": np.resize(np.arange(NUM_CLASSES, dtype=np.int32), sizes[:2])}


def run(
    config: Config, num_devices: int, calls: list[int], shard: int = 1, **how: Any
) -> tuple[TrainState, dict[str, np.ndarray]]:
    """State and metrics after `sum(calls)` steps, so many in each compiled call."""
    algorithm, hparams = make(config)
    mesh = parallel.make_mesh(BATCH, num_devices, shard)
    state = parallel.init_state(algorithm, jax.random.key(0), hparams, mesh)
    assert all(len(leaf.sharding.device_set) == num_devices for leaf in jax.tree.leaves(state))
    dispatch = parallel.compile_steps(algorithm, jax.random.key(1), mesh, **how)
    batches, done, metrics = batches_for(algorithm, sum(calls), shape_of(config)), 0, []
    for k in calls:
        part = {name: array[done : done + k] for name, array in batches.items()}
        placed = jax.device_put(part, parallel.batch_sharding(mesh))
        state, values = jax.block_until_ready(dispatch(state, placed))
        metrics.append(jax.device_get(values))
        done += k
    return jax.device_get(state), {name: np.concatenate([m[name] for m in metrics]) for name in metrics[0]}


def assert_close(actual: Any, expected: Any, atol: float) -> None:
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=0, atol=atol), actual, expected)


def together_and_apart(config: Config) -> dict[str, np.ndarray]:
    """Metrics of four steps in as many calls, which one call of four must equal."""
    state, metrics = run(config, 1, [1, 1, 1, 1])
    together, together_metrics = run(config, 1, [4])
    assert int(state.step) == int(together.step) == 4
    assert {values.shape for values in metrics.values()} == {(4,)}
    assert_close((together, together_metrics), (state, metrics), 1e-5)
    return metrics


def test_k_steps_in_one_call_equal_k_calls() -> None:
    metrics = together_and_apart(LAZY)
    assert (metrics["penalty/r1"] > 0).tolist() == [True, False, False, True]


def test_k_steps_in_one_call_equal_k_calls_across_phases() -> None:
    metrics = together_and_apart(dataclasses.replace(RECURRENT, schedule="noise:2,damage:1", optimizer="muon"))
    assert metrics["schedule/noise"].tolist() == [1, 1, 0, 0]


@functools.cache
def alone(config: Config) -> tuple[TrainState, dict[str, np.ndarray]]:
    """State and metrics after two steps on one device; its parameters have moved by far more than the tolerance."""
    state, metrics = run(config, 1, [2])
    algorithm, hparams = make(config)
    start = jax.jit(algorithm.init)(jax.random.key(0), hparams)
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), start.params, state.params)
    assert min(max(jax.tree.leaves(network)) for network in moved.values()) > 1e-3
    return state, metrics


SPREAD = {
    "mlp over 8": (FULL, 8),
    "conditional over 2": (CONDITIONAL, 2),
    "resnet over 4": (RESNET, 4),
    "inverse over 8": (INVERSE, 8),
    "recurrent over 4": (RECURRENT, 4),
    "inverse, volumes over 4": (VOLUMES, 4),
    "upscaler over 4": (UPSCALER, 4),
}


@pytest.mark.parametrize(("config", "num_devices"), SPREAD.values(), ids=SPREAD)
def test_devices_equal_one_with_plain_gradients(config: Config, num_devices: int) -> None:
    assert_close(run(config, num_devices, [2]), alone(config), 1e-5)


HOW = {
    "pmap over 8": (FULL, 8, {"parallel": "pmap"}),
    "pmap over 2 in parts": (CONDITIONAL, 2, {"parallel": "pmap", "accumulate": 2}),
    "in parts": (FULL, 1, {"accumulate": 4}),
    "over 4 in parts": (CONDITIONAL, 4, {"accumulate": 2}),
    "cut among 4": (CONDITIONAL, 4, {"shard": 4}),
    "inverse, pmap over 4": (INVERSE, 4, {"parallel": "pmap"}),
    "recurrent, in parts": (RECURRENT, 1, {"accumulate": 2}),
}


@pytest.mark.parametrize(("config", "num_devices", "how"), HOW.values(), ids=HOW)
def test_other_ways_to_run_a_step_equal_the_plain_one(config: Config, num_devices: int, how: dict[str, Any]) -> None:
    assert_close(run(config, num_devices, [2], **how), alone(config), 1e-5)


def test_pmap_gives_back_a_state_as_it_takes_it() -> None:
    """So that all else, checkpoints too, knows nothing of it; and it takes the buffers."""
    algorithm, hparams = make(TINY)
    mesh = parallel.make_mesh(BATCH, 4)
    first = parallel.init_state(algorithm, jax.random.key(0), hparams, mesh)
    dispatch = parallel.compile_steps(algorithm, jax.random.key(1), mesh, "pmap")
    batches = jax.device_put(batches_for(algorithm, 1), parallel.batch_sharding(mesh))
    after, _ = jax.block_until_ready(dispatch(first, batches))
    assert jax.tree.map(lambda a: (a.shape, a.dtype), after) == jax.tree.map(lambda a: (a.shape, a.dtype), first)
    assert all(leaf.is_fully_replicated for leaf in jax.tree.leaves(after))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(first.params))


def test_a_state_made_without_jit_can_be_given_away() -> None:
    algorithm, hparams = make(TINY)
    state = algorithm.init(jax.random.key(0), hparams)
    dispatch = parallel.compile_steps(algorithm, jax.random.key(1), parallel.make_mesh(BATCH, 1))
    after, _ = jax.block_until_ready(dispatch(state, batches_for(algorithm, 1)))
    assert int(after.step) == 1
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves((state.params, state.ema_params)))
