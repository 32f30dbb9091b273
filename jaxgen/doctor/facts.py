"""What a machine is and how fast it is, found without data and without a network."""

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax

from jaxgen.data.base import import_tensorflow
from jaxgen.doctor import rates
from jaxgen.training import parallel

DISK_BYTES, LINK_BYTES, REDUCED_BYTES = 2**25, 2**26, 2**24
BATCH, DIGIT = 64, (28, 28, 1)
WATCHED = 0.3
"""Seconds for which other programs are watched."""


class Machine(NamedTuple):
    """What was found; None is what could not be told.

    Attributes:
      backend: of JAX: cpu, gpu, tpu.
      platforms: JAX_PLATFORMS, "" where it is not set.
      cores: that this process may use.
      devices: of this process.
      processes: that JAX knows of.
      started_processes: as the environment says (SLURM, a TPU slice).
      accelerator: "gpu" or "tpu" if the system has one, whether JAX uses it or not.
      tensorflow_devices: accelerators that TensorFlow would use.
      cache: folder of compiled programs.
      cache_kept: whether it can be written to.
      out: the folder that was asked about.
      memory_gib: main memory that is free.
      disk_gib: free where runs go.
      busy_cores: kept busy by other programs.
      rates: by name, in operations, bytes, images or calls a second.
    """

    backend: str
    platforms: str
    cores: int
    devices: int
    processes: int
    started_processes: int
    accelerator: str | None
    tensorflow_devices: int | None
    cache: str | None
    cache_kept: bool
    out: str
    memory_gib: float | None
    disk_gib: float
    busy_cores: float | None
    rates: dict[str, float | None]


def examine(out: Path) -> Machine:
    """Looks at the machine and measures it; all processes of a slice must do it together.

    Args:
      out: where runs would go; it need not exist and is not made.
    """
    folder, cache = existing(out), jax.config.jax_compilation_cache_dir
    since = rates.cores_busy_elsewhere()
    time.sleep(WATCHED)
    busy = since()  # before this program works
    devices = jax.local_devices()
    return Machine(
        backend=jax.default_backend(),
        platforms=os.environ.get("JAX_PLATFORMS", ""),
        cores=parallel.num_cores(),
        devices=len(devices),
        processes=jax.process_count(),
        started_processes=started_processes(os.environ),
        accelerator=find_accelerator(Path("/")),
        tensorflow_devices=_tensorflow_devices(),
        cache=cache,
        cache_kept=cache is not None and ("://" in cache or os.access(existing(Path(cache)), os.W_OK)),
        out=str(out),
        memory_gib=_free_memory(),
        disk_gib=shutil.disk_usage(folder).free / 2**30,
        busy_cores=busy,
        rates=measure(devices, folder),
    )


def measure(devices: list[jax.Device], folder: Path) -> dict[str, float | None]:
    """Rates by name: products and convolutions on all devices of this process, the way to them, data, the disk."""
    found: dict[str, float | None] = {
        "matmul float32": rates.rate(rates.matmul(devices, "float32")),
        "matmul bfloat16": rates.rate(rates.matmul(devices, "bfloat16")),
        "convolution": rates.rate(rates.convolution(devices, "float32", gradients=False)),
        "convolution and gradients": rates.rate(rates.convolution(devices, "float32", gradients=True)),
    }
    if jax.device_count() > 1:
        found["all-reduce"] = rates.rate(rates.all_reduce(jax.devices(), REDUCED_BYTES))
    found["dispatch"] = rates.rate(rates.dispatch(), 100)
    found["to the device"] = rates.rate(rates.upload(LINK_BYTES))
    steps = parallel.STEPS_PER_DISPATCH.get(jax.default_backend(), 10)
    for name, by_tensorflow in (("images by NumPy", False), ("images by tf.data", True)):
        source = rates.noise_source(2048, DIGIT, by_tensorflow)
        found[name] = rates.data_rate(source, BATCH, steps, num_chunks=20)
    try:
        found["disk"] = rates.rate(rates.disk_write(folder, DISK_BYTES), 3)
    except OSError:
        found["disk"] = None
    return found


def existing(path: Path) -> Path:
    """The folder itself, or the nearest above it that exists."""
    whole = Path(os.path.abspath(path))
    return next(folder for folder in (whole, *whole.parents) if folder.is_dir())


def started_processes(environment: Mapping[str, str]) -> int:
    """How many processes SLURM or a TPU slice says there are; 1 where nothing says so."""
    tasks = environment.get("SLURM_STEP_NUM_TASKS", "")
    hosts = [host for host in environment.get("TPU_WORKER_HOSTNAMES", "").split(",") if host]
    return max(int(tasks) if tasks.isdigit() else 1, len(hosts), 1)


def find_accelerator(root: Path) -> str | None:
    """What the system's device files show: "gpu" (NVIDIA), "tpu" or None."""
    if (root / "dev/nvidia0").exists():
        return "gpu"
    return "tpu" if [*root.glob("dev/accel[0-9]*"), *root.glob("dev/vfio/[0-9]*")] else None


def _tensorflow_devices() -> int | None:
    """Accelerators that TensorFlow would use beside JAX: none, once jaxgen has hidden them. None without TensorFlow."""
    try:
        tf = import_tensorflow()
    except ImportError:
        return None
    return len([device for device in tf.config.get_visible_devices() if device.device_type != "CPU"])


def _free_memory() -> float | None:
    """GiB that programs can still take, on Linux."""
    info = Path("/proc/meminfo")
    lines = info.read_text().splitlines() if info.exists() else []
    found = [int(line.split()[1]) / 2**20 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else None
