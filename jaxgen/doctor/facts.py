"""Facts about a machine and its speed, found without data and without the internet."""

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
WATCH_SECONDS = 0.3
"""Time for which the load by other programs is measured."""


class Machine(NamedTuple):
    """Facts about a machine; None stands for what is unknown.

    Attributes:
      backend: backend of JAX: cpu, gpu, tpu.
      platforms: value of JAX_PLATFORMS; "" if it is not set.
      cores: cores that this process may use.
      devices: devices of this process.
      processes: processes that JAX knows of.
      started_processes: processes according to the environment (SLURM, a TPU slice).
      accelerator: "gpu" or "tpu" if the system has one, whether JAX uses it or not.
      tensorflow_devices: accelerators that TensorFlow would use.
      cache: folder of compiled programs.
      cache_kept: whether it can be written to.
      out: folder of runs.
      memory_gib: free main memory.
      disk_gib: free space of the disk that holds `out`.
      busy_cores: cores kept busy by other programs.
      rates: rates by name, in operations, bytes, images or calls per second.
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
    """Returns the facts about this machine; all processes of a slice must call it together.

    Args:
      out: folder of runs; it need not exist and is not created.
    """
    folder, cache = nearest_existing_folder(out), jax.config.jax_compilation_cache_dir
    since = rates.cores_busy_elsewhere()
    time.sleep(WATCH_SECONDS)
    busy = since()  # before this program itself computes
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
        cache_kept=cache is not None and ("://" in cache or os.access(nearest_existing_folder(Path(cache)), os.W_OK)),
        out=str(out),
        memory_gib=_free_memory(),
        disk_gib=shutil.disk_usage(folder).free / 2**30,
        busy_cores=busy,
        rates=measure(devices, folder),
    )


def measure(devices: list[jax.Device], folder: Path) -> dict[str, float | None]:
    """Returns the rates of devices, transfers to them, input data and the disk, by name; None if not measured."""
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


def nearest_existing_folder(path: Path) -> Path:
    """Returns the folder itself, or the nearest one above it that exists."""
    whole = Path(os.path.abspath(path))
    return next(folder for folder in (whole, *whole.parents) if folder.is_dir())


def started_processes(environment: Mapping[str, str]) -> int:
    """Returns the number of processes according to SLURM or a TPU slice; 1 without either."""
    tasks = environment.get("SLURM_STEP_NUM_TASKS", "")
    hosts = [host for host in environment.get("TPU_WORKER_HOSTNAMES", "").split(",") if host]
    return max(int(tasks) if tasks.isdigit() else 1, len(hosts), 1)


def find_accelerator(root: Path) -> str | None:
    """Returns the accelerator that the system's device files show: "gpu" (NVIDIA), "tpu" or None."""
    if (root / "dev/nvidia0").exists():
        return "gpu"
    return "tpu" if [*root.glob("dev/accel[0-9]*"), *root.glob("dev/vfio/[0-9]*")] else None


def _tensorflow_devices() -> int | None:
    """Returns how many accelerators TensorFlow would use, 0 once jaxgen has hidden them; None without TensorFlow."""
    try:
        tf = import_tensorflow()
    except ImportError:
        return None
    return len([device for device in tf.config.get_visible_devices() if device.device_type != "CPU"])


def _free_memory() -> float | None:
    """Returns the free memory in GiB on Linux, else None."""
    info = Path("/proc/meminfo")
    lines = info.read_text().splitlines() if info.exists() else []
    found = [int(line.split()[1]) / 2**20 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else None
