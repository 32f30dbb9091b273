"""How long to train, on which devices: the part of a configuration that every training has."""

import dataclasses
import re
from typing import Literal

from jaxgen.errors import require, require_choices


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How long to train, and what to leave behind."""

    steps: int = 9_000
    """Generator updates in all."""
    minutes: float | None = None
    """Stop after so many minutes of training, if that comes first."""
    batch_size: int = 32
    """Images per update, over all devices."""
    seed: int = 0
    """Decides the initial weights, the noise and the order of the data."""
    out: str = "runs"
    """Folder for runs; this one goes to OUT/RECIPE/TIMESTAMP."""
    resume: str | None = None
    """Run folder to continue, or "latest"; other flags then change that run's own configuration."""
    steps_per_dispatch: int | None = None
    """Steps in one compiled call; None: what was measured best for the backend."""
    devices: int | None = None
    """Devices to spread the batch over, of all processes; None: all, on a CPU one per core."""
    parallel: Literal["jit", "pmap"] = "jit"
    """How devices share a step: one program over a mesh, or pmap with averaged gradients (one process)."""
    accumulate: int = 1
    """Gradient accumulation: micro-batches per update, for batches that do not fit in memory."""
    shard: int = 1
    """Devices among which parameters and optimizer state are cut, for networks that outgrow one device."""
    coordinator: str | None = None
    """HOST:PORT of process 0, where many processes train together; found out on Cloud TPU and under SLURM."""
    num_processes: int | None = None
    """How many processes train together, with a coordinator."""
    process_id: int | None = None
    """Which of them this one is, from 0, with a coordinator."""
    log_every: int = 100
    """Steps between lines of metrics."""
    sample_every: int = 1000
    """Steps between sample grids."""
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
        """All three fields of a process or none."""
        if self.coordinator is None:
            for field in ("num_processes", "process_id"):
                require(getattr(self, field) is None, field, getattr(self, field), "None without a coordinator")
            return
        address = re.fullmatch(r"[^\s:]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5}", self.coordinator)
        require(address is not None, "coordinator", self.coordinator, "HOST:PORT")
        num, index = self.num_processes, self.process_id
        require(num is not None and num >= 1, "num_processes", num, "1 or more, with a coordinator")
        require(index is not None and 0 <= index < num, "process_id", index, f"0 to {num - 1}, with a coordinator")
