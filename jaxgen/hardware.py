"""Facts about the machine: its processor, memory, devices and software versions."""

import importlib.metadata
import os
import platform
from collections import Counter
from pathlib import Path
from typing import Any

import jax

PACKAGES = ("jaxgen", "jax", "jaxlib", "flax", "optax", "numpy")


def num_cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_hardware() -> dict[str, Any]:
    """Returns a description of the machine that does not identify its owner: no host name, no paths.

    Returns:
      cpu (model), cpu_cores (that this process may use), memory_gib, backend, devices (count by kind),
      processes, platform and versions (by package, Python included).
    """
    return {
        "cpu": cpu_model(),
        "cpu_cores": num_cores(),
        "memory_gib": _memory_gib(),
        "backend": jax.default_backend(),
        "devices": dict(Counter(device.device_kind for device in jax.devices())),
        "processes": jax.process_count(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
    }


def cpu_model() -> str:
    """Returns the model name of the processor; Linux gives the full one."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    """Returns the main memory in GiB to one decimal; None if the system does not report it."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def _version(package: str) -> str | None:
    """Returns the installed version; None if the package is not installed, as when it runs from its folder."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
