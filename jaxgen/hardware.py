"""Facts about the machine."""

import importlib.metadata
import os
import platform
from collections import Counter
from pathlib import Path
from typing import Any

import jax

PACKAGES = ("jaxgen", "jax", "jaxlib", "flax", "optax", "numpy")


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_hardware() -> dict[str, Any]:
    """The machine in words and numbers, with nothing that names its owner: no host name, no paths.

    Returns:
      cpu (model), cpu_cores (that this process may use), memory_gib, backend, devices (count by kind),
      processes, platform and versions (by package, Python included).
    """
    has_affinity = hasattr(os, "sched_getaffinity")
    return {
        "cpu": cpu_model(),
        "cpu_cores": len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "backend": jax.default_backend(),
        "devices": dict(Counter(device.device_kind for device in jax.devices())),
        "processes": jax.process_count(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
    }


def cpu_model() -> str:
    """Model name of the processor, from Linux where there is one."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    """Main memory in GiB to one decimal; None where the system does not tell."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def _version(package: str) -> str | None:
    """Installed version; None where the package is run from its folder, not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
