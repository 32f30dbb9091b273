"""The only place that knows devices, `jit`, donation and how many steps go into one dispatch."""

import contextlib
import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxgen.algorithms.base import Algorithm, TrainState
from jaxgen.config import require
from jaxgen.types import Batch, PRNGKey, StackedMetrics

STEPS_PER_DISPATCH = {"cpu": 10, "gpu": 20, "tpu": 50}
"""Steps in one compiled call by backend. cpu is measured (experiments/benchmarks/train_step.py); the others are
guesses until they are."""

Dispatch = Callable[[TrainState, Batch], tuple[TrainState, StackedMetrics]]


def setup_backend() -> None:
    """Prepares JAX for training; call before anything touches a device.

    One host device per usable core, since XLA runs a batched convolution on one core only; a compilation cache in the
    user's cache folder (or JAX_COMPILATION_CACHE_DIR). Without effect on what is already initialised.
    """
    _keep_freed_memory()
    # host devices share one pool of as many threads as cores, and a thread that waits in an all-reduce is blocked: with
    # too few of them the others never arrive (seen: "waiting for all reduce ... may be stuck"). Idle ones cost nothing.
    os.environ.setdefault("PJRT_NPROC", str(max(16, 4 * num_cores())))
    with contextlib.suppress(RuntimeError):  # a backend is in use already: keep what there is
        jax.config.update("jax_num_cpu_devices", num_cores())
    if jax.config.jax_compilation_cache_dir is None:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(base / "jaxgen" / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


def _keep_freed_memory() -> None:
    """Tells glibc to reuse large freed blocks rather than return them to the kernel.

    XLA allocates the buffers of a step anew each time. Once tf.data runs in the process, glibc returns each of them,
    and the page faults of getting them back were measured to double the time of a step.
    """
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        trim_threshold, top_pad, mmap_threshold = -1, -2, -3
        mallopt(mmap_threshold, 2**25)  # the largest that glibc takes
        mallopt(trim_threshold, 2**30)
        mallopt(top_pad, 2**26)


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_mesh(batch_size: int, devices: int | None = None) -> Mesh:
    """A one-axis mesh ("data") over which the batch is spread.

    Args:
      batch_size: images per update over all devices.
      devices: how many to use; None takes the most that divide the batch.

    Raises:
      InputError: more devices than there are, or a batch that they do not divide.
    """
    available = jax.devices()
    if devices is None:
        devices = next(n for n in range(min(len(available), batch_size), 0, -1) if batch_size % n == 0)
    require(devices <= len(available), "devices", devices, f"at most {len(available)} on this machine")
    require(batch_size % devices == 0, "batch_size", batch_size, f"a multiple of the {devices} devices")
    return jax.make_mesh((devices,), ("data",), (AxisType.Auto,), devices=available[:devices])


def replicated(mesh: Mesh) -> NamedSharding:
    """Sharding of a state: a copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Sharding of stacked batches (k, b, ...): images spread over the devices."""
    return NamedSharding(mesh, PartitionSpec(None, "data"))


def spread(batch: Any, devices: int | None = None) -> Any:
    """A batch of arrays (b, ...), spread over devices, so that a compiled function uses all of them.

    On the CPU a convolution over a batch runs on one core, whatever the number of cores.

    Args:
      batch: arrays with the same b.
      devices: how many; None takes the most that divide b.
    """
    num = len(jax.tree.leaves(batch)[0])
    return jax.device_put(batch, NamedSharding(make_mesh(num, devices), PartitionSpec("data")))


def on_all_devices(state: TrainState) -> TrainState:
    """The state with a copy on every device."""
    return jax.device_put(state, replicated(make_mesh(len(jax.devices()))))


def init_state(algorithm: Algorithm, key: PRNGKey, hparams: dict[str, Any], mesh: Mesh) -> TrainState:
    """Initial state, made on the devices where it will live."""
    return jax.jit(algorithm.init, out_shardings=replicated(mesh))(key, hparams)


def compile_steps(algorithm: Algorithm, key: PRNGKey, mesh: Mesh) -> Dispatch:
    """Train steps in one compiled call: (state, batches (k, b, ...)) -> (state, metrics (k,)).

    The state given is donated: its buffers are reused, so it must not be used again. One program is compiled per k.

    Args:
      algorithm: whose `step` is run k times by `scan`.
      key: base key of the run; a step folds its number into it.
      mesh: devices, from `make_mesh`.

    Wait for the metrics before the next call: on the CPU, two calls in flight over several host devices can block each
    other for ever.
    """

    def run(state: TrainState, batches: Batch) -> tuple[TrainState, StackedMetrics]:
        return jax.lax.scan(lambda s, batch: algorithm.step(s, batch, key), state, batches)

    whole = replicated(mesh)
    return jax.jit(run, in_shardings=(whole, batch_sharding(mesh)), out_shardings=whole, donate_argnums=0)
