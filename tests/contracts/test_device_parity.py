"""K steps in one call equal K calls, and four devices equal one."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from jaxgen.algorithms.base import Algorithm, TrainState
from jaxgen.algorithms.gan import make_gan
from jaxgen.algorithms.restoration import make_restoration
from jaxgen.config import GanConfig, GanHparams, RestorationConfig, RestorationHparams
from jaxgen.training import parallel

BATCH, SHAPE = 8, (8, 8, 1)
RATES = {"lr": 0.05, "lr_final": 0.02, "b1": 0.5, "schedule_images": 100.0}
GAN = vars(GanHparams(r1=0.5, r2=0.5, **RATES))
RESTORATION = vars(RestorationHparams(noise_share=0.3, grey_share=0.5, **RATES))
TINY = GanConfig(architecture="mlp", base_channels=1, latent_dim=3, loss="hinge", penalties=(), optimizer="sgd")
LAZY = dataclasses.replace(TINY, penalties=("r1",), penalty_interval=3, discriminator_updates=2, optimizer="adam")
FULL = dataclasses.replace(
    TINY, loss="relativistic", penalties=("gp",), discriminator_updates=2, augment=("translation", "color")
)
RESNET = dataclasses.replace(TINY, architecture="resnet", base_channels=2, loss="relativistic", penalties=("r1",))
INVERSE = RestorationConfig(
    widths=(2, 3), depth=1, schedule="noise:1,damage:1", damage="gaussian:0.1|pixels:0.2-0.8", optimizer="sgd"
)
RECURRENT = dataclasses.replace(
    INVERSE, architecture="recurrent", iterations=2, damage="boxes:0.3-0.6", keep_known=True
)
Config = GanConfig | RestorationConfig


def make(config: Config) -> tuple[Algorithm, dict[str, Any]]:
    """The algorithm and its numbers."""
    if isinstance(config, GanConfig):
        return make_gan(config, SHAPE, BATCH), GAN
    return make_restoration(config, SHAPE, BATCH), RESTORATION


def batches_for(algorithm: Algorithm, num_steps: int) -> dict[str, np.ndarray]:
    sizes = (num_steps, algorithm.images_per_step, *SHAPE)
    # each quarter of a batch has a brightness of its own: devices that average nothing would drift apart at once
    ramp = np.linspace(0, 128, sizes[1]).reshape(1, -1, 1, 1, 1)
    return {"images": (np.random.default_rng(0).integers(0, 128, sizes) + ramp).astype(np.uint8)}


def run(config: Config, num_devices: int, calls: list[int]) -> tuple[TrainState, dict[str, np.ndarray]]:
    """State and metrics after `sum(calls)` steps, so many in each compiled call."""
    algorithm, hparams = make(config)
    mesh = parallel.make_mesh(BATCH, num_devices)
    state = parallel.init_state(algorithm, jax.random.key(0), hparams, mesh)
    assert all(len(leaf.sharding.device_set) == num_devices for leaf in jax.tree.leaves(state))
    dispatch = parallel.compile_steps(algorithm, jax.random.key(1), mesh)
    batches, done, metrics = batches_for(algorithm, sum(calls)), 0, []
    for k in calls:
        part = {"images": batches["images"][done : done + k]}
        state, values = jax.block_until_ready(dispatch(state, part))
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


SPREAD = {"mlp": FULL, "resnet": RESNET, "inverse": INVERSE, "recurrent": RECURRENT}


@pytest.mark.parametrize("config", SPREAD.values(), ids=SPREAD)
def test_four_devices_equal_one_with_plain_gradients(config: Config) -> None:
    alone, alone_metrics = run(config, 1, [2])
    state, metrics = run(config, 4, [2])
    assert_close((state, metrics), (alone, alone_metrics), 1e-5)
    algorithm, hparams = make(config)
    start = jax.jit(algorithm.init)(jax.random.key(0), hparams)
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), start.params, alone.params)
    assert min(max(jax.tree.leaves(network)) for network in moved.values()) > 1e-3  # far more than the tolerance


def test_a_state_made_without_jit_can_be_given_away() -> None:
    algorithm, hparams = make(TINY)
    state = algorithm.init(jax.random.key(0), hparams)
    dispatch = parallel.compile_steps(algorithm, jax.random.key(1), parallel.make_mesh(BATCH, 1))
    after, _ = jax.block_until_ready(dispatch(state, batches_for(algorithm, 1)))
    assert int(after.step) == 1
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves((state.params, state.ema_params)))
