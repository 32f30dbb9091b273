"""Measurements of the operations of training: products, convolutions, all-reduces, input images, disk writes."""

import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxgen.data.base import Source
from jaxgen.data.pipeline import batches
from jaxgen.data.transfer import chunks
from jaxgen.networks.layers import conv

MATRIX = {"cpu": 1024}
"""Edge of the matrices, by backend; others use `LARGE_MATRIX`, for which the launch overhead is negligible."""
LARGE_MATRIX = 8192
CONVOLUTION = {"cpu": (32, 32, 64)}
"""Number, edge and channels of the images, by backend; others use `LARGE_CONVOLUTION`."""
LARGE_CONVOLUTION = (256, 64, 128)


class Work(NamedTuple):
    """An operation to time: `run()` does `amount` units (floating-point operations, bytes) and waits for the result."""

    run: Callable[[], None]
    amount: float


def rate(work: Work, repeats: int = 5) -> float:
    """Returns units per second in the fastest of `repeats` runs after a warm-up run, so that disturbances do not count.

    The number of runs is fixed, since processes that measure an all-reduce together must run it equally often.
    """
    work.run()
    return work.amount / min(_seconds(work.run) for _ in range(repeats))


def _seconds(run: Callable[[], None]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def matmul(devices: list[jax.Device], dtype: str) -> Work:
    """Returns a product of square matrices on each device at once, an upper bound for other rates.

    Args:
      devices: devices of this process.
      dtype: float32 or bfloat16; float32 with the default precision of the backend, as in networks.
    """
    n, backend = len(devices), jax.default_backend()
    edge = MATRIX.get(backend, LARGE_MATRIX)
    rows, whole = _shardings(devices)
    a, b = _ones((n * edge, edge), dtype, rows), _ones((edge, edge), dtype, whole)
    return _work(jax.jit(jnp.matmul, out_shardings=rows), (a, b), 2.0 * n * edge**3)


def convolution(devices: list[jax.Device], dtype: str, gradients: bool) -> Work:
    """Returns a 3 x 3 convolution as in networks; both gradients triple its operations."""
    n, backend = len(devices), jax.default_backend()
    num, edge, channels = CONVOLUTION.get(backend, LARGE_CONVOLUTION)
    rows, whole = _shardings(devices)
    x = _ones((n * num, edge, edge, channels), dtype, rows)
    kernel = _ones((3, 3, channels, channels), dtype, whole)
    amount = 2.0 * x.size * 9 * channels

    def both_gradients(x: jax.Array, kernel: jax.Array) -> Any:
        y, pull = jax.vjp(conv, x, kernel)
        return pull(y)

    if gradients:
        return _work(jax.jit(both_gradients, out_shardings=(rows, whole)), (x, kernel), 3.0 * amount)
    return _work(jax.jit(conv, out_shardings=rows), (x, kernel), amount)


def all_reduce(devices: list[jax.Device], num_bytes: int) -> Work:
    """Returns an all-reduce, the sum over devices of float32 arrays of `num_bytes` each; its unit is a byte of one.

    If `devices` are those of several processes, all of them must run it together.
    """
    rows, whole = _shardings(devices)
    x = _ones((len(devices), num_bytes // 4), "float32", rows)
    return _work(jax.jit(lambda x: jnp.sum(x, 0), out_shardings=whole), (x,), float(num_bytes))


def dispatch() -> Work:
    """Returns one call of a compiled function that adds two numbers; its unit is a call."""
    return _work(jax.jit(lambda x: x + 1.0), (jnp.zeros(()),), 1.0)


def upload(num_bytes: int) -> Work:
    """Returns a copy of `num_bytes` from host memory to a device; its unit is a byte."""
    block = np.zeros(num_bytes, np.uint8)
    return Work(lambda: wait_for(jax.device_put(block, jax.local_devices()[0])), float(num_bytes))


def data_rate(source: Source, batch_size: int, steps: int, num_chunks: int) -> float:
    """Returns the images per second that the input pipeline delivers to a device that is always ready for them.

    Args:
      source: the images.
      batch_size: images per batch.
      steps: batches per chunk, as in a dispatch.
      num_chunks: chunks that are timed, after two that fill the pipeline.
    """
    device, filling = jax.local_devices()[0], 2
    stream = batches(source, batch_size=batch_size, seed=0)
    ready = chunks(stream, [steps] * (filling + num_chunks), lambda tree: jax.device_put(tree, device))
    for _ in range(filling):
        wait_for(next(ready))
    began = time.perf_counter()
    for _ in range(num_chunks):
        wait_for(next(ready))
    seconds = time.perf_counter() - began
    ready.close()
    return num_chunks * steps * batch_size / seconds


def noise_source(num: int, shape: tuple[int, int, int], uses_tensorflow: bool) -> Source:
    """Returns a source of random images in memory, to measure the pipeline without data."""
    images = np.random.default_rng(0).integers(0, 256, (num, *shape), np.uint8)
    return Source("noise", f"{num} random images", shape, num, images=images, uses_tensorflow=uses_tensorflow)


def disk_write(folder: Path, num_bytes: int) -> Work:
    """Returns the writing of a file of `num_bytes`, which is flushed to the disk and deleted; its unit is a byte.

    Raises:
      OSError: the folder cannot be written to; raised by `run`.
    """
    block = np.random.default_rng(0).bytes(num_bytes)

    def write() -> None:
        path = folder / f".jaxgen-{secrets.token_hex(4)}"
        try:
            with open(path, "wb") as file:
                file.write(block)
                file.flush()
                os.fsync(file.fileno())
        finally:
            path.unlink(missing_ok=True)

    return Work(write, float(num_bytes))


def cores_busy_elsewhere() -> Callable[[], float | None]:
    """Returns a function that gives the mean number of cores other programs kept busy since, on Linux; else None."""

    def busy() -> float | None:
        stat = Path("/proc/stat")
        if not stat.exists():
            return None
        user, nice, system = stat.read_text().split(maxsplit=4)[1:4]
        return (int(user) + int(nice) + int(system)) / os.sysconf("SC_CLK_TCK") - time.process_time()

    began, before = time.perf_counter(), busy()

    def since() -> float | None:
        return None if before is None else max(0.0, (busy() - before) / (time.perf_counter() - began))

    return since


def _shardings(devices: list[jax.Device]) -> tuple[NamedSharding, NamedSharding]:
    """Returns two shardings over the devices: split along the first axis, and a full copy on each."""
    mesh = Mesh(np.asarray(devices), ("data",), axis_types=(AxisType.Auto,))
    return NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())


def _ones(shape: tuple[int, ...], dtype: str, sharding: NamedSharding) -> jax.Array:
    """Returns an array of ones, created on its devices, since a process cannot copy to those of another."""
    return jax.jit(lambda: jnp.ones(shape, dtype), out_shardings=sharding)()


def _work(fn: Callable[..., Any], arguments: tuple[Any, ...], amount: float) -> Work:
    return Work(lambda: wait_for(fn(*arguments)), amount)


def wait_for(results: Any) -> None:
    """Waits until the arrays are computed."""
    jax.block_until_ready(results)
