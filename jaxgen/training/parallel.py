"""Devices, shardings and compiled calls: all of `jit`, `pmap`, donation and gradient accumulation is here."""

import contextlib
import ctypes
import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxgen.compilation import keep_compiled
from jaxgen.errors import require
from jaxgen.hardware import num_cores
from jaxgen.training.step import Algorithm, Gradient, LossFn, TrainState, mean_gradient
from jaxgen.types import Batch, Grid, Metrics, Params, PRNGKey, StackedMetrics

STEPS_PER_DISPATCH = {"cpu": 10, "gpu": 20, "tpu": 50}
"""Steps in one compiled call, by backend. The value for cpu was measured (experiments/benchmarks/train_step.py); the
others are guesses."""

Dispatch = Callable[[TrainState, Batch], tuple[TrainState, StackedMetrics]]


def setup_backend() -> None:
    """Prepares JAX for training; must be called before JAX uses a device.

    It makes one host device for each usable core, since XLA runs a batched convolution on one core only, and turns on
    the compilation cache (`keep_compiled`). It does not change a backend that is already initialised.
    """
    _keep_freed_memory()
    # Host devices share one pool of as many threads as cores, and a thread that waits in an all-reduce is blocked. With
    # too few threads the others never arrive ("waiting for all reduce ... may be stuck"). Idle threads cost nothing.
    os.environ.setdefault("PJRT_NPROC", str(max(16, 4 * num_cores())))
    with contextlib.suppress(RuntimeError):  # a backend is initialised already
        jax.config.update("jax_num_cpu_devices", num_cores())
    keep_compiled()


def _keep_freed_memory() -> None:
    """Makes glibc reuse large freed blocks instead of returning them to the kernel.

    XLA allocates new buffers for each step. Once tf.data runs in the process, glibc returns each buffer to the kernel.
    The page faults of new ones were measured to double the time of a step.
    """
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        trim_threshold, top_pad, mmap_threshold = -1, -2, -3
        mallopt(mmap_threshold, 2**25)  # the largest value that glibc accepts
        mallopt(trim_threshold, 2**30)
        mallopt(top_pad, 2**26)


def make_mesh(
    batch_size: int, devices: int | None = None, shard: int = 1, accumulate: int = 1, shape: Grid | None = None
) -> Mesh:
    """Returns a mesh with axes "data" and "model": batches are spread over both, a state is sharded along "model".

    Args:
      batch_size: images per update, summed over all devices.
      devices: number of devices, the same of each process; None takes the most that divide the batch, or for volumes on
        a CPU the fewest, as one device convolves volumes on all cores: on two it was 1.15 times as fast as two devices.
      shard: size of the axis "model".
      accumulate: micro-batches per update; each is spread over the devices.
      shape: (*spatial, c) of the images; None: as of images, not volumes.

    Raises:
      InputError: there are fewer devices, or the numbers do not divide each other.
    """
    processes, available = jax.process_count(), jax.device_count()
    unit = math.lcm(processes, shard)
    if devices is None:
        most = unit if len(shape or ()) == 4 and jax.default_backend() == "cpu" else available
        fitting = (n for n in range(most, 0, -1) if batch_size % (n * accumulate) == 0 and n % unit == 0)
        devices = next(fitting, unit)
    require(devices <= available, "devices", devices, f"at most {available} on {_machines(processes)}")
    require(devices % unit == 0, "devices", devices, f"a multiple of {unit}, for processes and shards")
    times = "" if accumulate == 1 else f" times {accumulate} micro-batches"
    divisible = batch_size % (devices * accumulate) == 0
    require(divisible, "batch_size", batch_size, f"a multiple of the {devices} devices{times}")
    # in the order of the processes, so that the images of each process are contiguous in the batch
    ordered = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    each = devices // processes
    return _mesh([device for i in range(processes) for device in _of_process(ordered, i)[:each]], shard)


def _machines(processes: int) -> str:
    return "this machine" if processes == 1 else f"these {processes} processes"


def _of_process(devices: Sequence[Any], index: int) -> list[Any]:
    return [device for device in devices if device.process_index == index]


def _mesh(devices: Sequence[Any], shard: int = 1) -> Mesh:
    return Mesh(np.asarray(devices).reshape(-1, shard), ("data", "model"), axis_types=(AxisType.Auto,) * 2)


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of arrays with a copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of stacked batches (k, b, ...), which spreads the images over the devices."""
    return NamedSharding(mesh, PartitionSpec(None, mesh.axis_names))


def state_sharding(mesh: Mesh, state: Any) -> Any:
    """Returns the shardings of a state: each array is cut along its longest axis that "model" divides, or whole.

    Args:
      mesh: from `make_mesh`.
      state: a pytree of arrays or shapes.
    """
    shard = mesh.shape["model"]

    def place(leaf: Any) -> NamedSharding:
        axes = [axis for axis, size in enumerate(leaf.shape) if size and size % shard == 0]
        if shard == 1 or not axes:
            return replicated(mesh)
        longest = max(axes, key=lambda axis: leaf.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[None] * longest, "model"))

    return jax.tree.map(place, state)


def spread(batch: Any, devices: int | None = None) -> Any:
    """Returns arrays (b, ...) spread over devices of this process, so that a compiled function uses all of them.

    On a CPU, XLA computes a batched convolution on one core only.

    Args:
      batch: a pytree of arrays with the same b.
      devices: number of devices; None takes the most that divide b.
    """
    num, local = len(jax.tree.leaves(batch)[0]), jax.local_devices()
    if devices is None:
        devices = next(n for n in range(len(local), 0, -1) if num % n == 0)
    return jax.device_put(batch, NamedSharding(_mesh(local[:devices]), PartitionSpec("data")))


def on_all_devices(state: TrainState) -> TrainState:
    """Returns the state with a copy of each array on every device of this process."""
    mine = jax.tree.map(lambda x: x if x.is_fully_addressable else x.addressable_data(0), state)
    return jax.device_put(mine, replicated(_mesh(jax.local_devices())))


def for_prediction(state: TrainState) -> TrainState:
    """Returns what `predict` reads of a state, for this process alone; must be called on all processes.

    Each of several processes gets a copy on its own devices, and sharded arrays are gathered. The state of a single
    process is returned as it is.
    """
    if jax.process_count() == 1:
        return state
    shown = state.replace(params={}, opt_state={})
    mesh = state.step.sharding.mesh
    shown = jax.jit(lambda tree: tree, out_shardings=replicated(mesh))(shown)
    here = replicated(_mesh(_of_process(list(mesh.devices.flat), jax.process_index())))

    def local(leaf: jax.Array) -> jax.Array:
        copies = [shard.data for shard in leaf.addressable_shards]
        return jax.make_array_from_single_device_arrays(leaf.shape, here, copies)

    return jax.tree.map(local, shown)


def init_state(algorithm: Algorithm, key: PRNGKey, hparams: dict[str, Any], mesh: Mesh) -> TrainState:
    """Returns the initial state, made on the devices where it will be."""
    shapes = jax.eval_shape(algorithm.init, key, hparams)
    return jax.jit(algorithm.init, out_shardings=state_sharding(mesh, shapes))(key, hparams)


def compile_steps(
    algorithm: Algorithm,
    key: PRNGKey,
    mesh: Mesh,
    parallel: Literal["jit", "pmap"] = "jit",
    accumulate: int = 1,
    compiler_options: Mapping[str, str] | None = None,
) -> Dispatch:
    """Returns train steps as one compiled call: (state, batches (k, b, ...)) -> (state, metrics (k,)).

    The state is donated: its buffers are reused, so it must not be used again. A program is compiled for each k.

    Wait for the metrics before the next call: on a CPU with several host devices, two calls in flight can block each
    other forever.

    Args:
      algorithm: the algorithm whose `step` is run k times by `scan`.
      key: base key of the run; each step folds its number into it.
      mesh: the devices, from `make_mesh`.
      parallel: "jit" compiles one program for the mesh, which XLA partitions. "pmap" compiles a program for each device
        of one process; each device draws the random numbers of the whole batch, and averages the gradients.
      accumulate: micro-batches per update; their mean gradient is that of the whole batch.
      compiler_options: options of XLA for this program; not used by pmap.

    Raises:
      InputError: pmap with several processes; or pmap or accumulation with an algorithm that takes no `Gradient`.
    """
    if not algorithm.takes_gradient:
        require(accumulate == 1, "accumulate", accumulate, "1 for this algorithm")
        require(parallel == "jit", "parallel", parallel, "jit for this algorithm")
    gradient = mean_gradient if accumulate == 1 else partial(accumulated_gradient, accumulate)
    if parallel == "pmap":
        require(jax.process_count() == 1, "parallel", parallel, "jit, where there are several processes")
        return _pmap_steps(algorithm, key, mesh, gradient)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        state, metrics = _step(algorithm, gradient, state, batch, key)
        return lax.with_sharding_constraint(state, state_sharding(mesh, state)), metrics

    return jax.jit(
        partial(lax.scan, step),
        in_shardings=(None, batch_sharding(mesh)),
        out_shardings=(None, replicated(mesh)),
        donate_argnums=0,
        compiler_options=dict(compiler_options or {}) or None,
    )


def _step(
    algorithm: Algorithm, gradient: Gradient, state: TrainState, batch: Batch, key: PRNGKey
) -> tuple[TrainState, Metrics]:
    """Runs a step of the algorithm; passes a `Gradient` only if it is not `mean_gradient`."""
    extra = () if gradient is mean_gradient else (gradient,)
    return algorithm.step(state, batch, key, *extra)


def accumulated_gradient(num: int, loss_fn: LossFn, params: Params, examples: Any) -> tuple[Params, Metrics]:
    """Returns the `Gradient` of all examples, as the mean over `num` micro-batches that are computed in turn."""
    # examples i, i + num, ... form micro-batch i, so that none moves between devices
    micro_batches = jax.tree.map(lambda x: x.reshape(-1, num, *x.shape[1:]).swapaxes(0, 1), examples)

    def add(total: Any, micro_batch: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, mean_gradient(loss_fn, params, micro_batch)), None

    shapes = jax.eval_shape(partial(mean_gradient, loss_fn), params, examples)
    total, _ = lax.scan(add, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes), micro_batches)
    return jax.tree.map(lambda x: x / num, total)


def _pmap_steps(algorithm: Algorithm, key: PRNGKey, mesh: Mesh, gradient: Gradient) -> Dispatch:
    """Returns the `Dispatch` for "pmap"; it takes and returns the same state as that for "jit"."""
    num = mesh.size

    def averaged_gradient(loss_fn: LossFn, params: Params, examples: Any) -> tuple[Params, Metrics]:
        own = jax.tree.map(lambda x: x.reshape(num, -1, *x.shape[1:])[lax.axis_index("data")], examples)
        return lax.pmean(gradient(loss_fn, params, own), "data")

    def step(state: TrainState, own: Batch) -> tuple[TrainState, Metrics]:
        # each device gets the images of all, as uint8, so that the step draws the same numbers as on one device
        batch = lax.all_gather(own, "data", tiled=True)
        return _step(algorithm, averaged_gradient, state, batch, key)

    mapped = jax.pmap(
        partial(lax.scan, step),
        axis_name="data",
        in_axes=(None, 1),
        out_axes=None,
        devices=list(mesh.devices.flat),
        donate_argnums=0,
    )

    def dispatch(state: TrainState, batches: Batch) -> tuple[TrainState, StackedMetrics]:
        return mapped(state, jax.tree.map(lambda x: x.reshape(len(x), num, -1, *x.shape[2:]), batches))

    return dispatch
