"""The part of a configuration that every training has: how long to train, and on which devices."""

import dataclasses
import re
from typing import Literal

from jaxgen.errors import require, require_choices


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How long to train, on which devices, and what to write."""

    steps: int = 9_000
    """Number of steps: updates of the generator or restorer."""
    minutes: float | None = None
    """Stop after this many minutes of training, if that comes first."""
    batch_size: int = 32
    """Images per update, summed over all devices."""
    seed: int = 0
    """Random seed of the initial weights, the noise and the order of the data."""
    out: str = "runs"
    """Folder of runs; a run is written to OUT/RECIPE/TIMESTAMP."""
    resume: str | None = None
    """Continue this run (its folder, or "latest"); other flags change its configuration."""
    initial_weights: str | None = None
    """Fine-tuning: start a new run from the weights of a run, a bundle or the package, as far as the arrays fit."""
    logger: str | None = None
    """Function of your own, called with (step, values) for each line of metrics, e.g. for Weights & Biases."""
    steps_per_dispatch: int | None = None
    """Steps in one compiled call; None: 10 on a CPU, 20 on a GPU, 50 on a TPU."""
    devices: int | None = None
    """Devices over all processes; None: as many as divide the batch (a CPU has one for each core; for volumes one)."""
    parallel: Literal["jit", "pmap"] = "jit"
    """Data parallelism: jit (one program for all devices) or pmap (averages gradients; one process only)."""
    accumulate: int = 1
    """Gradient accumulation: micro-batches per update, for batches that do not fit in memory."""
    shard: int = 1
    """Devices to shard parameters and optimizer state over, for networks that do not fit on one device."""
    coordinator: str | None = None
    """HOST:PORT of process 0, if several train together (detected on Cloud TPU, SLURM); localhost: a GPU for each."""
    num_processes: int | None = None
    """Number of processes that train together; only with a coordinator."""
    process_id: int | None = None
    """Number of this process, from 0; only with a coordinator."""
    log_every: int = 100
    """Steps between lines of metrics."""
    sample_every: int = 1000
    """Steps between pictures of samples."""
    checkpoint_every: int = 1000
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        counts = ("steps", "batch_size", "accumulate", "shard", "log_every", "sample_every", "checkpoint_every")
        for field in counts:
            require(getattr(self, field) >= 1, field, getattr(self, field), "1 or more")
        require(self.batch_size % self.accumulate == 0, "accumulate", self.accumulate, "a divisor of batch_size")
        for field in ("steps_per_dispatch", "devices"):
            value = getattr(self, field)
            require(value is None or value >= 1, field, value, "1 or more, or None")
        require(self.minutes is None or self.minutes > 0, "minutes", self.minutes, "above 0, or None")
        require(0 <= self.seed < 2**32, "seed", self.seed, "0 to 4294967295")
        for field in ("out", "resume"):  # pathlib would make a local folder called gs: of a bucket
            value = getattr(self, field)
            require("://" not in (value or ""), field, value, "a folder; a bucket can be mounted as one (TPU_SETUP.md)")
        require_choices(self)
        require(self.parallel == "jit" or self.shard == 1, "shard", self.shard, "1 with pmap, which copies the state")
        self._require_processes()

    def _require_processes(self) -> None:
        """Raises `InputError` unless all three fields of a process are set, or none."""
        if self.coordinator is None:
            for field in ("num_processes", "process_id"):
                require(getattr(self, field) is None, field, getattr(self, field), "none without a coordinator")
            return
        address = re.fullmatch(r"[^\s:]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5}", self.coordinator)
        require(address is not None, "coordinator", self.coordinator, "HOST:PORT")
        num, index = self.num_processes, self.process_id
        require(num is not None and num >= 1, "num_processes", num, "1 or more, with a coordinator")
        require(index is not None and 0 <= index < num, "process_id", index, f"0 to {num - 1}, with a coordinator")
