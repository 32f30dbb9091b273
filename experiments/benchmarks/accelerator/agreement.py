"""One step of every task on the accelerator, beside the same step of the same state on the CPU."""

import dataclasses
import importlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.benchmarks import common
from jaxgen.hardware import num_cores
from jaxgen.tasks.base import Facts
from jaxgen.tasks.table import TABLE, task_of
from jaxgen.training.step import Algorithm, TrainState
from jaxgen.types import Metrics, Params

BATCH, DIGIT, RATE, STEP = 8, 28, 0.03, 500
"""Images, their size without crops, learning rate of the step, and its number, at which schedules are half over."""
Result = tuple[Params, Metrics]
Case = tuple[str, Callable[[], list[dict[str, Any]]]]


class Way(NamedTuple):
    """How both compute: the dtype, the precision of products, and how far apart they may be."""

    dtype: str
    precision: str | None
    tolerance: float


WAYS = {
    "float32, exact products": Way("float32", "highest", 5e-3),
    "bfloat16": Way("bfloat16", None, 3e-1),
    "float32": Way("float32", None, 5e-2),
}
"""By default a GPU multiplies float32 in TF32, whose 10 bits lie between the 7 of bfloat16 and the 23 of float32.

Tolerances are some times what two convolution libraries were apart on a CPU, 5e-4 with float32 and 0.04 with bfloat16
at most, and bfloat16 from float32, 0.15. A gradient that is wrong is apart by about 1."""


def recipes() -> list[str]:
    """Returns the names of the recipes of all presets, each once; not private ones, whose batches hold secrets."""
    found = [preset for task, row in TABLE.items() if task != "private_gan" for preset in row.presets.values()]
    names = [name for preset in found for name in (preset.recipe, preset.folder_recipe)]
    return list(dict.fromkeys(name for name in names if name))


class Training(NamedTuple):
    """A training with flat patches in place of images: the algorithm, its numbers and a batch."""

    algorithm: Algorithm
    numbers: dict[str, Any]
    batch: dict[str, np.ndarray]


def training_of(name: str, small: bool, **changes: Any) -> Training:
    """Returns the training of a recipe with `BATCH` images.

    Args:
      name: name of the experiment.
      small: narrow networks and small crops.
      changes: fields of the structure, which are changed if it has them.
    """
    config = importlib.import_module(f"experiments.{name}").CONFIG
    task = task_of([field.name for field in dataclasses.fields(config)], "recipe", name)
    structure = _with(getattr(config, task.name), **changes)
    batch_size = 2 if small else BATCH
    train = dataclasses.replace(config.train, batch_size=batch_size)
    config = dataclasses.replace(config, train=train, **{task.name: shrink(structure) if small else structure})
    crop, channels = config.data.crop_size, config.data.channels or 1
    size = (48 if small else crop) if crop else DIGIT  # 48: the smallest crop of every recipe
    algorithm = task.make(config, Facts((size, size, channels), tuple("0123456789")))
    num = algorithm.images_per_step
    batch = {"images": common.pictures(num, size, channels), "labels": np.arange(num, dtype=np.int32) % 10}
    return Training(algorithm, vars(config.hparams) | {"schedule_images": 2.0 * STEP * batch_size}, batch)


def plain_training(name: str, dtype: str, small: bool) -> Training:
    """Returns the training of a recipe by plain gradient descent.

    With Adam a step hides how large a gradient is, so that its difference would say nothing.
    """
    training = training_of(name, small, dtype=dtype, optimizer="sgd")
    rates = {field: RATE for field in ("lr", "lr_final") if field in training.numbers}
    return training._replace(numbers=training.numbers | rates)


def state_at_half(training: Training) -> TrainState:
    """Returns the state that both devices start from, in host memory: new parameters, at step `STEP`."""
    with jax.default_device(jax.devices("cpu")[0]):
        state = jax.device_get(jax.jit(training.algorithm.init)(jax.random.key(0), training.numbers))
    return state.replace(step=np.int32(STEP))


def shrink(structure: Any) -> Any:
    """Returns the structure with networks as narrow as they can be, for machines without an accelerator."""
    return _with(structure, base_channels=2, latent_dim=4, widths=(4,), blocks=1, depth=1, iterations=2)


def _with(structure: Any, **changes: Any) -> Any:
    """Returns a dataclass with those of the changes whose fields it has."""
    names = {field.name for field in dataclasses.fields(structure)}
    return dataclasses.replace(structure, **{name: value for name, value in changes.items() if name in names})


def one_step(training: Training, state: TrainState, device: jax.Device, precision: str | None) -> Result:
    """Returns parameters and metrics after a step on a device."""
    with jax.default_device(device), jax.default_matmul_precision(precision):
        state, metrics = jax.jit(training.algorithm.step)(state, training.batch, jax.random.key(1))
        return jax.device_get((state.params, metrics))


def distances(before: Params, expected: Result, found: Result) -> dict[str, float]:
    """Returns how far a step is from the expected one, relative to that; the worst loss, and the worst network.

    Args:
      before: parameters before the step, by network.
      expected: parameters after it and metrics.
      found: the same of the other device.

    Returns:
      `loss`: |found - expected| / |expected|; `update`: |found - expected| / |expected - before|, norms over all
      parameters of a network.
    """
    losses = [name for name in expected[1] if name.startswith("loss/")]
    apart = [abs(found[1][name] - expected[1][name]) / max(abs(expected[1][name]), 1e-12) for name in losses]
    updates = []
    for network in before:
        old, wanted, got = (_flat(tree[network]) for tree in (before, expected[0], found[0]))
        updates.append(np.linalg.norm(got - wanted) / max(np.linalg.norm(wanted - old), 1e-30))
    return {"loss": float(np.max(apart)), "update": float(np.max(updates))}


def _flat(tree: Params) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]).astype(np.float64)


def row(name: str, way: str, apart: dict[str, float]) -> dict[str, Any]:
    """Returns a row of the table; not finite is not within."""
    tolerance = WAYS[way].tolerance
    within = bool(max(apart.values()) <= tolerance) and bool(np.isfinite(list(apart.values())).all())
    return {"label": f"{name}, {way}", **apart, "tolerance": tolerance, "within": "yes" if within else "no"}


def cases(small: bool) -> list[Case]:
    """Returns a case for each way and recipe; their programs are compiled side by side, from now on."""
    accelerator, cpu = jax.devices()[-1], jax.devices("cpu")[0]
    pool, names = ThreadPoolExecutor(num_cores()), recipes()
    # these first, as the others wait for them; parameters are float32 in every way
    states = {name: pool.submit(lambda n=name: state_at_half(plain_training(n, "float32", small))) for name in names}

    def work(name: str, dtype: str, device: jax.Device, precision: str | None) -> Result:
        return one_step(plain_training(name, dtype, small), states[name].result(), device, precision)

    @cache
    def expected(name: str, dtype: str) -> Future:
        return pool.submit(work, name, dtype, cpu, None)

    def compare(name: str, way: str, found: Future) -> list[dict[str, Any]]:
        apart = distances(states[name].result().params, expected(name, WAYS[way].dtype).result(), found.result())
        return [row(name, way, apart)]

    listed = []
    for label, way in WAYS.items():
        for name in names:
            expected(name, way.dtype)
            found = pool.submit(work, name, way.dtype, accelerator, way.precision)
            listed.append((f"{name}, {label}", partial(compare, name, label, found)))
    return listed
