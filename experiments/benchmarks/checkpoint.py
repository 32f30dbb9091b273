"""The cost of a checkpoint: how long a save blocks the training, and how much slower the steps beside it are.

Command:  python -m experiments.benchmarks.checkpoint [--repeats N] [--folder DIR] [--out FILE.json]
"""

import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax

from experiments.benchmarks import cases, common
from jaxgen.checkpoints import folder as checkpoints
from jaxgen.cli import exit_cleanly, parse
from jaxgen.config_json import to_dict
from jaxgen.errors import require
from jaxgen.training import parallel
from jaxgen.training.step import TrainState

PLAIN, SAVING = "steps alone", "the same steps beside a save"


@dataclasses.dataclass(frozen=True)
class CheckpointConfig:
    """Settings of the measurement."""

    repeats: int = 5
    """Number of rounds; the median is reported."""
    steps: int = 60
    """Train steps beside a save; they should take longer than the save."""
    batch_size: int = 32
    """Images per update."""
    every: int = 1000
    """Steps between checkpoints, for the share of the time."""
    folder: str | None = None
    """Folder for the checkpoints; None: a temporary folder, whose disk may be faster."""
    out: str | None = None
    """JSON file for the result."""

    def __post_init__(self) -> None:
        for field in ("repeats", "steps", "batch_size", "every"):
            require(getattr(self, field) >= 1, field, getattr(self, field), "1 or more")


class Run:
    """A GAN in training that can save; each dispatch takes the state of the last one."""

    def __init__(self, config: CheckpointConfig, folder: str):
        recipe = cases.recipe_of("gan_mnist", config.batch_size)
        images = cases.images_of("gan_mnist", config.batch_size)
        self.k = parallel.STEPS_PER_DISPATCH[jax.default_backend()]
        devices = parallel.make_mesh(config.batch_size).size
        self.state, self.batches, self.dispatch = cases.begin_training(recipe, images, devices, self.k)
        self.store = checkpoints.open_checkpoints(folder)
        self.dispatches, self.saves, self.blocked = max(1, config.steps // self.k), 0, list[float]()

    def steps_alone(self) -> None:
        """Dispatches steps as the training loop does."""
        for _ in range(self.dispatches):
            self.state, metrics = self.dispatch(self.state, self.batches)
            jax.device_get(metrics)

    def steps_beside_a_save(self) -> None:
        """Starts a save, dispatches the same steps, and waits until the save is committed."""
        self.saves += 1
        began = time.perf_counter()
        checkpoints.save(self.store, self.saves, self.state, {})
        self.blocked.append(time.perf_counter() - began)
        self.steps_alone()
        checkpoints.wait(self.store)


def megabytes(state: TrainState) -> float:
    """Returns the size of all arrays of a state in megabytes."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(state)) / 1e6


def cost(plain: float, saving: float, steps: int, every: int) -> dict[str, float]:
    """Returns the cost of a save in seconds and as a share of the time of a run.

    Args:
      plain: seconds of a step without a save.
      saving: seconds of a step with a save, the mean over `steps`.
      steps: steps of a round.
      every: steps between checkpoints.

    Returns:
      `seconds_per_save`, and `share`, the share of the time of a run.
    """
    seconds = (saving - plain) * steps
    return {"seconds_per_save": seconds, "share": seconds / (every * plain)}


def run(config: CheckpointConfig) -> dict[str, Any]:
    """Measures, prints a table, and writes and returns the document.

    Raises:
      InputError: an output file or folder cannot be written.
    """
    common.require_writable(config.out)
    busy_elsewhere = common.cores_busy_elsewhere()
    with tempfile.TemporaryDirectory(dir=config.folder) as folder:
        training = Run(config, folder)
        steps = training.dispatches * training.k
        candidates = [
            common.Candidate(PLAIN, training.steps_alone, steps),
            common.Candidate(SAVING, training.steps_beside_a_save, steps),
        ]
        timings = common.race(candidates, config.repeats, steps)
        restoring = _seconds(lambda: jax.block_until_ready(checkpoints.restore(training.store, training.state)[0]))
        checkpoints.close(training.store)
    rows = [
        {"label": label, "seconds_per_step": timing.median, "images_per_second": config.batch_size / timing.median}
        for label, timing in timings.items()
    ]
    figures = {
        "megabytes": megabytes(training.state),
        "blocked_seconds": statistics.median(training.blocked[1:] or training.blocked),
        "restore_seconds": restoring,
        **cost(timings[PLAIN].median, timings[SAVING].median, steps, config.every),
    }
    document = common.describe("checkpoint", to_dict(config), rows=rows, **figures)
    document["cores_busy_elsewhere"] = busy_elsewhere()
    _print(rows, figures, config)
    common.save(config.out, document)
    return document


def _print(rows: list[dict[str, Any]], figures: dict[str, float], config: CheckpointConfig) -> None:
    columns: common.Columns = {"s": ("seconds_per_step", ".4f"), "images/s": ("images_per_second", ",.0f")}
    cells = [(row["label"], *common.cells(row, columns)) for row in rows]
    title = f"checkpoint of gan_mnist: {figures['megabytes']:.1f} MB, float32, {common.device()}"
    notes = (
        f"a save blocks the loop for {figures['blocked_seconds']:.3f} s and costs {figures['seconds_per_save']:.3f}, "
        f"{100 * figures['share']:.2f}% of {config.every:,} steps; restoring takes {figures['restore_seconds']:.3f} s"
    )
    common.print_table(title, ("step", *columns), cells, notes)


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Measures from the command line."""
    with exit_cleanly():
        config = parse(CheckpointConfig(), sys.argv[1:], "python -m experiments.benchmarks.checkpoint", __doc__)
        parallel.setup_backend()
        run(config)


if __name__ == "__main__":
    main()
