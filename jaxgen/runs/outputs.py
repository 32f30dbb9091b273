"""What a run writes besides checkpoints, and only on one process: its folder, its record, metrics and progress."""

import datetime
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, NamedTuple

import jax

from jaxgen.config_json import save_config
from jaxgen.data.base import Source
from jaxgen.errors import NonFiniteError, reject
from jaxgen.files import write_json
from jaxgen.hardware import describe_hardware
from jaxgen.progress import Progress, open_progress
from jaxgen.runs import checkpoints
from jaxgen.runs.checkpoint_files import is_full_disk
from jaxgen.runs.folder import Run
from jaxgen.runs.locks import sole_writer
from jaxgen.runs.recording import MetricWriter, open_metrics
from jaxgen.training import distributed

BEST_METRIC = "score"
NO_METRICS = MetricWriter(lambda *_: None, lambda *_: None, lambda: None)
NO_PROGRESS = Progress(lambda *_: None, lambda _: None, lambda: None)


class Outputs(NamedTuple):
    """Where a run writes: metrics, the terminal, checkpoints, and run.json by `record(step, status)` with `notes`."""

    writer: MetricWriter
    progress: Progress
    store: checkpoints.Checkpoints
    record: Callable[[int, str], None]
    notes: dict[str, Any]


def _make_folder(run: Run, config: Any) -> None:
    """The run's folder, with its configuration; a full disk is no bad input."""
    try:
        run.directory.mkdir(parents=True, exist_ok=run.resumed)
        save_config(config, run.directory / "config.json")
    except OSError as error:
        if is_full_disk(error):
            raise
        reject("out", str(run.directory), f"a folder that can be written ({error.strerror})")


@contextmanager
def open_outputs(run: Run, config: Any, source: Source, start: int, images_per_step: int) -> Iterator[Outputs]:
    """Opens metrics, progress, checkpoints and the record of the run; closes them and records a failure.

    The lock of a new run's folder is held meanwhile; that of a resumed one is held already (`one_writer`).
    """
    if distributed.is_main():
        _make_folder(run, config)
    distributed.wait_for_all("run folder")
    lock = nullcontext() if run.resumed else sole_writer(run.directory)
    with lock, _open_in_folder(run, config, source, start, images_per_step) as outputs:
        yield outputs


@contextmanager
def _open_in_folder(run: Run, config: Any, source: Source, start: int, images_per_step: int) -> Iterator[Outputs]:
    """The rest of `open_outputs`, in a folder that is there and locked."""
    main = distributed.is_main()
    entries: dict[str, Any] = {
        "recipe": run.recipe,
        "command": run.command,
        "started": datetime.datetime.now().isoformat(" ", "seconds"),
        "resumed_at": start if run.resumed else None,
        "data": {"source": source.name, "used": source.origin, "images": source.num_images, "skipped": source.skipped},
        "hardware": describe_hardware(),
    }
    began = time.monotonic()

    def record(step: int, status: str) -> None:
        if not main:
            return
        seconds = time.monotonic() - began
        rate = (step - start) * images_per_step / seconds
        figures = {"steps": step, "seconds": round(seconds, 1), "images_per_second": round(rate, 1)}
        write_json(run.directory / "run.json", {**entries, "status": status, **figures})

    record(start, "running")
    writer = open_metrics(run.directory, start) if main else NO_METRICS
    progress = NO_PROGRESS
    if main and run.show:
        progress = open_progress(config.train.steps, start, images_per_step, config.train.minutes)
    progress.message(f"data: {source.origin}")
    progress.message(f"run: {run.directory}" + (f", from step {start}" if run.resumed else ""))
    store = checkpoints.open_checkpoints(run.directory / "checkpoints", best_metric=BEST_METRIC)
    together = True
    try:
        yield Outputs(writer, progress, store, record, entries)
    except BaseException as error:
        # what ends one process alone leaves no one to finish a checkpoint with
        together = jax.process_count() == 1 or isinstance(error, NonFiniteError)
        good = checkpoints.latest_step(store)
        with suppress(OSError):  # the disk may be what failed
            record(good or 0, f"failed: {_reason(error)}")
        if isinstance(error, NonFiniteError):
            folder = run.directory / "checkpoints" / str(good)
            raise NonFiniteError(
                f"{error}; {f'last good checkpoint: {folder}' if good else 'no checkpoint yet'}"
            ) from None
        raise
    finally:
        progress.close()
        writer.close()
        if together:
            checkpoints.close(store)


def _reason(error: BaseException) -> str:
    """What went wrong, without the number of a system's error."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__
