"""Training in several processes: start, agreement between them, the process that writes, and exit."""

import contextlib
import ctypes
import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxgen.errors import reject, require
from jaxgen.training.config import TrainConfig

HEARTBEAT_SECONDS = 20
"""A process that sends no heartbeat for this long counts as lost; the others then exit."""
FINISH_SECONDS = 3600
"""The longest time that the other processes wait at the end, while process 0 draws the final pictures."""
LOST = "another process of this run is lost; go on from its last checkpoint by the same commands with --resume"
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
"""Hosts of a coordinator that is reached from its own machine alone, so that all processes are on it."""
MAX_TEXT = 4096
_kept: list[object] = []
"""Python objects that C code uses; without a reference here they would be deleted."""


class LostProcessError(RuntimeError):
    """A collective operation failed because another process is gone."""


def start(config: TrainConfig) -> None:
    """Joins the processes of a run, if there are several; must be called before JAX uses a device.

    `coordinator`, `num_processes` and `process_id` tell the processes; under SLURM and on Cloud TPU JAX detects them.
    See `local_gpus` for the GPUs that each of them uses.

    Raises:
      InputError: the coordinator cannot be reached.
    """
    if config.coordinator is None and not _in_cluster():
        return
    on_sigterm = signal.getsignal(signal.SIGTERM)  # JAX replaces it by its own
    try:
        jax.distributed.initialize(
            config.coordinator,
            config.num_processes,
            config.process_id,
            local_device_ids=local_gpus(config, os.environ),
            cluster_detection_method=None if config.coordinator is None else "deactivate",
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=FINISH_SECONDS,
        )
    except ValueError:  # JAX knows no such cluster: a single process
        if config.coordinator is not None:
            raise
        return
    except RuntimeError as error:
        why = str(error).splitlines()[0]
        reject("coordinator", config.coordinator, f"an address where process 0 listens and is reached ({why})")
    signal.signal(signal.SIGTERM, on_sigterm)
    _say_so_when_lost()


def local_gpus(config: TrainConfig, environment: Mapping[str, str]) -> list[int] | None:
    """Returns the numbers of the GPUs that this process uses, counted among those that it sees.

    JAX_LOCAL_DEVICE_IDS names them. Without it a process that sees one GPU uses that one; of processes whose
    coordinator is on this machine each uses the GPU of its `process_id`; under SLURM JAX takes the GPU of the task's
    number on its node.

    Args:
      config: names the processes.
      environment: the variables of this process.

    Returns:
      None where JAX decides: by JAX_LOCAL_DEVICE_IDS, under SLURM, or all of them.
    """
    if "JAX_LOCAL_DEVICE_IDS" in environment:
        return None
    seen = environment.get("CUDA_VISIBLE_DEVICES", "")
    if seen and "," not in seen:
        return [0]
    here = config.coordinator is not None and config.coordinator.rpartition(":")[0] in LOOPBACK
    return [config.process_id] if here else None


def _in_cluster() -> bool:
    """Returns whether SLURM started several tasks, or the TPU library is installed."""
    return int(os.environ.get("SLURM_NTASKS", "1")) > 1 or importlib.util.find_spec("libtpu") is not None


def _say_so_when_lost() -> None:
    """Exits with one clear line where JAX would abort, which it does in its own thread if a process is lost."""

    @ctypes.CFUNCTYPE(None, ctypes.c_int)
    def on_abort(_: int) -> None:
        leave(f"error: {LOST}", 1)

    _kept.append(on_abort)
    with contextlib.suppress(OSError, AttributeError, TypeError):  # no libc of this kind
        ctypes.CDLL(None).signal(signal.SIGABRT, on_abort)


def leave(message: str, code: int) -> NoReturn:
    """Prints a line to stderr and exits; with several processes it exits at once, as the others may be lost."""
    print(message, file=sys.stderr, flush=True)
    if jax.distributed.is_initialized():
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def is_main() -> bool:
    """Returns whether this is process 0, which writes everything but the other processes' parts of checkpoints."""
    return jax.process_index() == 0


def highest(value: int) -> int:
    """Returns the highest value of any process; must be called on all of them."""
    if jax.process_count() == 1:
        return value
    return int(np.max(multihost_utils.process_allgather(np.asarray(value, np.int32))))


def decided_by_main(decide: Callable[[], str]) -> str:
    """Returns on all processes what `decide` returns on process 0, the only one that calls it."""
    if jax.process_count() == 1:
        return decide()
    text = np.zeros(MAX_TEXT, np.uint8)
    if is_main():
        said = decide().encode()
        require(len(said) <= MAX_TEXT, "text", said.decode(), f"at most {MAX_TEXT} bytes")
        text[: len(said)] = np.frombuffer(said, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(text)).tobytes().rstrip(b"\0").decode()


def require_same(field: str, value: str) -> None:
    """Raises `InputError` on all processes unless all have the same value as process 0."""
    first = decided_by_main(lambda: value)
    if highest(int(value != first)):
        reject(field, value, f"the same on all processes; process 0 has {first!r}")


def wait_for_all(name: str) -> None:
    """Waits until all processes have called this with the same name."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)
