"""The text that `python -m jaxgen doctor` prints."""

import importlib.metadata
import os
import re
from pathlib import Path

import jax

from jaxgen.doctor.advice import advise
from jaxgen.doctor.facts import DIGIT, Machine, examine
from jaxgen.hardware import describe_hardware

MORE_PACKAGES = ("orbax-checkpoint", "tensorflow-datasets", "tensorflow", "tensorflow-cpu", "libtpu")
DETERMINISTIC = "--xla_gpu_deterministic_ops"
PLUGINS = ("jax-cuda12-plugin", "jax-cuda13-plugin")


def diagnose(out: Path) -> None:
    """Prints the facts about this machine, its rates and advice.

    Args:
      out: folder of runs.
    """
    print(describe(examine(out)))


def describe(facts: Machine) -> str:
    """Returns the whole text: versions, the machine, rates, and what would be slow."""
    advice = advise(facts) or ["nothing that these checks found"]
    return "\n".join(
        [
            "versions: " + ", ".join(f"{name} {version}" for name, version in versions().items()),
            *_machine(facts),
            f"rates, {facts.devices} devices at once:" if facts.devices > 1 else "rates:",
            *(f"  {name:26} {in_units(name, value)}" for name, value in facts.rates.items()),
            "what would be slow:",
            *(f"  - {line}" for line in advice),
        ]
    )


def _machine(facts: Machine) -> list[str]:
    hardware = describe_hardware()
    kinds = ", ".join(f"{count} x {kind}" for kind, count in hardware["devices"].items())
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    each = f", {limit / 2**30:.1f} GiB each" if limit else ""
    free = "" if facts.memory_gib is None else f", {facts.memory_gib:.1f} of {hardware['memory_gib']} GiB free"
    connected = "in use" if jax.distributed.is_initialized() else "not in use"
    return [
        f"processor: {hardware['cpu']}, {facts.cores} cores{free}",
        f"devices: {facts.backend}: {kinds}{each}",
        f"processes: {jax.process_index() + 1} of {facts.processes}, {facts.devices} devices of its own; "
        f"jax.distributed {connected}",
        f"the same bits again: {repeatability(facts.backend, os.environ.get('XLA_FLAGS', ''))}",
        f"compiled programs: {facts.cache or 'not kept'}",
        f"runs: {facts.out}, {facts.disk_gib:.1f} GiB free",
    ]


def repeatability(backend: str, flags: str) -> str:
    """Returns in words whether a run that is repeated or resumed ends with the same bits.

    Args:
      backend: cpu, gpu or tpu.
      flags: the value of XLA_FLAGS.
    """
    if backend == "gpu" and not re.search(rf"{DETERMINISTIC}(=true|=1)?(\s|$)", flags):
        return f"not promised; XLA_FLAGS={DETERMINISTIC}=true makes kernels repeat, some slower"
    return "yes, with the same number of devices" if backend == "cpu" else "expected, and not tried"


def versions() -> dict[str, str]:
    """Returns the versions of installed packages by name."""
    found = {name: version for name, version in describe_hardware()["versions"].items() if version}
    for name in (*MORE_PACKAGES, *PLUGINS):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def in_units(name: str, value: float | None) -> str:
    """Returns a rate with the unit for its name."""
    if value is None:
        return "not measured"
    if name.startswith(("matmul", "convolution")):
        return f"{value / 1e9:,.0f} GFLOP/s"
    if name.startswith("images"):
        return f"{value:,.0f} images/s of {DIGIT[0]} x {DIGIT[1]}"
    return f"{1e6 / value:,.0f} µs a call" if name == "dispatch" else f"{value / 1e6:,.0f} MB/s"
