"""The outputs of a run: folder, run.json, metrics, progress and checkpoints. Process 0 writes all but checkpoints."""

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
    """The open outputs of a run; `record(step, status)` writes run.json, with the entries of `notes`."""

    writer: MetricWriter
    progress: Progress
    store: checkpoints.Checkpoints
    record: Callable[[int, str], None]
    notes: dict[str, Any]


def _make_folder(run: Run, config: Any) -> None:
    """Makes the run's folder with its configuration; a full disk raises an `OSError`, not an `InputError`."""
    try:
        run.directory.mkdir(parents=True, exist_ok=run.resumed)
        save_config(config, run.directory / "config.json")
    except OSError as error:
        if is_full_disk(error):
            raise
        reject("out", str(run.directory), f"a folder that can be written ({error.strerror})")


@contextmanager
def open_outputs(run: Run, config: Any, source: Source, start: int, images_per_step: int) -> Iterator[Outputs]:
    """Opens the outputs of a run, yields them and closes them; writes the reason of a failure to run.json.

    It holds the lock of a new run's folder meanwhile; that of a resumed run is held already (`one_writer`).
    """
    if distributed.is_main():
        _make_folder(run, config)
    distributed.wait_for_all("run folder")
    lock = nullcontext() if run.resumed else sole_writer(run.directory)
    with lock, _open_in_folder(run, config, source, start, images_per_step) as outputs:
        yield outputs


@contextmanager
def _open_in_folder(run: Run, config: Any, source: Source, start: int, images_per_step: int) -> Iterator[Outputs]:
    """Opens the outputs of a run in its folder, which exists and is locked; see `open_outputs`."""
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
        # if only this process fails, the others cannot finish a checkpoint with it
        together = jax.process_count() == 1 or isinstance(error, NonFiniteError)
        good = checkpoints.latest_step(store)
        with suppress(OSError):  # the disk may have failed
            interrupted = isinstance(error, KeyboardInterrupt)
            record(good or 0, "stopped by SIGINT or SIGTERM" if interrupted else f"failed: {_reason(error)}")
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
    """Returns the message of an error, without the number of a system error."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__
