"""Facts about the machine: its processor, memory, devices and software versions."""

import contextlib
import importlib.metadata
import math
import os
import platform
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

PACKAGES = ("jaxgen", "jax", "jaxlib", "flax", "optax", "numpy")


def num_cores(root: Path = Path("/")) -> int:
    """Returns the number of cores that this process may use: those of its affinity, or fewer by a container's quota.

    Args:
      root: the folder that holds proc/ and sys/.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.floor(min((cores, *_quotas(root)))))


def _quotas(root: Path) -> Iterator[float]:
    """Yields the CPU quotas in cores of this process's control groups (Linux), of both versions, and of their parents.

    A container may show its own group as the topmost one, whatever the path that the kernel tells.
    """
    groups = root / "proc/self/cgroup"
    with contextlib.suppress(OSError):
        for line in groups.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            top = root / "sys/fs/cgroup" / controllers
            folder = top / path.lstrip("/")
            for group in (folder, *folder.parents):
                yield from _quota(group, "cpu.cfs_quota_us" if controllers else "cpu.max")
                if group == top:
                    break


def _quota(group: Path, name: str) -> Iterator[float]:
    """Yields the quota of one group, if it has any: "max 100000" and -1 are none."""
    with contextlib.suppress(OSError, ValueError):
        numbers = (group / name).read_text().split()
        if name != "cpu.max":
            numbers += (group / "cpu.cfs_period_us").read_text().split()
        quota, period = map(int, numbers)
        if quota > 0 and period > 0:
            yield quota / period


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
