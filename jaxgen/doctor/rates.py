"""How fast this machine is at what training consists of: products, convolutions, all-reduces, images, the disk."""

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
"""Edge of the matrices multiplied, by backend; others take `LARGE_MATRIX`, in which a launch costs nothing."""
LARGE_MATRIX = 8192
CONVOLUTION = {"cpu": (32, 32, 64)}
"""Images, their edge and their channels, by backend; others take `LARGE_CONVOLUTION`."""
LARGE_CONVOLUTION = (256, 64, 128)


class Work(NamedTuple):
    """Something to time: `run()` does `amount` units (floating-point operations, bytes) and waits for the result."""

    run: Callable[[], None]
    amount: float


def rate(work: Work, repeats: int = 5) -> float:
    """Units a second in the fastest of `repeats` runs, after one that is not counted: what others disturb is left out.

    The number of runs is fixed, since processes that measure an all-reduce together must do the same.
    """
    work.run()
    return work.amount / min(_seconds(work.run) for _ in range(repeats))


def _seconds(run: Callable[[], None]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def matmul(devices: list[jax.Device], dtype: str) -> Work:
    """One product of square matrices on each device at once: the ceiling for everything else.

    Args:
      devices: of this process.
      dtype: float32 or bfloat16; float32 in the precision that the backend takes by default, as networks do.
    """
    n, backend = len(devices), jax.default_backend()
    edge = MATRIX.get(backend, LARGE_MATRIX)
    rows, whole = _shardings(devices)
    a, b = _ones((n * edge, edge), dtype, rows), _ones((edge, edge), dtype, whole)
    return _work(jax.jit(jnp.matmul, out_shardings=rows), (a, b), 2.0 * n * edge**3)


def convolution(devices: list[jax.Device], dtype: str, gradients: bool) -> Work:
    """A 3 x 3 convolution that keeps its channels, as networks take it; with both gradients it counts three times."""
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
    """The sum over devices of float32 arrays of `num_bytes` each, left on all of them; the unit is a byte of one array.

    All processes must run it together where `devices` are those of all.
    """
    rows, whole = _shardings(devices)
    x = _ones((len(devices), num_bytes // 4), "float32", rows)
    return _work(jax.jit(lambda x: jnp.sum(x, 0), out_shardings=whole), (x,), float(num_bytes))


def dispatch() -> Work:
    """One call of a compiled function that does next to nothing; the unit is a call."""
    return _work(jax.jit(lambda x: x + 1.0), (jnp.zeros(()),), 1.0)


def upload(num_bytes: int) -> Work:
    """Bytes from host memory to a device."""
    block = np.zeros(num_bytes, np.uint8)
    return Work(lambda: wait_for(jax.device_put(block, jax.local_devices()[0])), float(num_bytes))


def data_rate(source: Source, batch_size: int, steps: int, num_chunks: int) -> float:
    """Images a second that the input pipeline brings onto the devices of this process, with nobody to wait for.

    Args:
      source: the images.
      batch_size: images of a batch.
      steps: batches of a chunk, as of a dispatch.
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
    """Random images in memory, so that the pipeline can be measured where there is no data."""
    images = np.random.default_rng(0).integers(0, 256, (num, *shape), np.uint8)
    return Source("noise", f"{num} random images", shape, num, images=images, uses_tensorflow=uses_tensorflow)


def disk_write(folder: Path, num_bytes: int) -> Work:
    """A file of `num_bytes` written, forced to the disk and deleted again; the unit is a byte.

    Raises:
      OSError: when run, the folder cannot be written to.
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
    """Starts to watch the machine; the function returned gives the cores that others kept busy since, on Linux."""

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
    """Spread over the devices by the first axis, and a copy on each."""
    mesh = Mesh(np.asarray(devices), ("data",), axis_types=(AxisType.Auto,))
    return NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())


def _ones(shape: tuple[int, ...], dtype: str, sharding: NamedSharding) -> jax.Array:
    """Made where it will live, since no process can hold the devices of another."""
    return jax.jit(lambda: jnp.ones(shape, dtype), out_shardings=sharding)()


def _work(fn: Callable[..., Any], arguments: tuple[Any, ...], amount: float) -> Work:
    return Work(lambda: wait_for(fn(*arguments)), amount)


def wait_for(results: Any) -> None:
    """Returns when the arrays are there."""
    jax.block_until_ready(results)
