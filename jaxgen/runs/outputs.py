"""The outputs of a run: folder, run.json, metrics, progress and checkpoints. Process 0 writes all but checkpoints."""

import datetime
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, NamedTuple

import jax

from jaxgen.checkpoints import folder as checkpoints
from jaxgen.checkpoints.reading import is_full_disk
from jaxgen.config_json import save_config, to_dict
from jaxgen.data.base import Source
from jaxgen.data.canaries import record_canaries
from jaxgen.errors import NonFiniteError, reject
from jaxgen.files import write_json
from jaxgen.hardware import describe_hardware
from jaxgen.progress import Progress, format_seconds, open_progress
from jaxgen.runs.folder import Run
from jaxgen.runs.locks import sole_writer
from jaxgen.runs.reading import read_run
from jaxgen.runs.recording import Logger, MetricWriter, open_metrics, with_logger
from jaxgen.training import distributed

BEST_METRIC = "score"
CALL = ("command", "started", "resumed_at", "data")
"""Entries of run.json that belong to one call; `history` has those of all calls, the last one included."""
NO_METRICS = MetricWriter(lambda *_: None, lambda *_: None, lambda: None)
NO_PROGRESS = Progress(lambda *_: None, lambda _: None, lambda: None)


class Counts(NamedTuple):
    """How far a training is when it starts or goes on, and what a step adds.

    Attributes:
      began: when the call began, before it read data, by `time.monotonic`.
      step: steps done.
      images: images read, by each member.
      images_per_step: images that a member reads in a step.
      num_members: members that train together.
    """

    began: float
    step: int
    images: int
    images_per_step: int
    num_members: int = 1

    def images_at(self, step: int) -> int:
        """Returns the images that a member has read at a step."""
        return self.images + (step - self.step) * self.images_per_step


class Outputs(NamedTuple):
    """The open outputs of a run.

    `record(step, status)` writes run.json, with the entries of `notes`; `spent` has the seconds by `timed` so far.
    """

    start: Counts
    writer: MetricWriter
    progress: Progress
    store: checkpoints.Checkpoints
    record: Callable[[int, str], None]
    notes: dict[str, Any]
    spent: dict[str, float]


@contextmanager
def timed(outputs: Outputs, name: str) -> Iterator[None]:
    """Adds the seconds of a block to those spent on `name`."""
    began = time.monotonic()
    try:
        yield
    finally:
        outputs.spent[name] = outputs.spent.get(name, 0.0) + time.monotonic() - began


def describe_time(outputs: Outputs) -> str:
    """Returns the time of the whole call and of its parts in words; what no part took is training."""
    whole = time.monotonic() - outputs.start.began
    parts = {"training": whole - sum(outputs.spent.values()), **outputs.spent}
    return f"{format_seconds(whole)} ({', '.join(f'{name} {format_seconds(s)}' for name, s in parts.items())})"


def make_folder(run: Run, config: Any) -> None:
    """Makes the run's folder with its configuration; a full disk raises an `OSError`, not an `InputError`."""
    try:
        run.directory.mkdir(parents=True, exist_ok=run.resumed)
        save_config(config, run.directory / "config.json")
    except OSError as error:
        if is_full_disk(error):
            raise
        reject("out", str(run.directory), f"a folder that can be written ({error.strerror})")


@contextmanager
def open_outputs(run: Run, config: Any, source: Source, start: Counts, log: Logger | None) -> Iterator[Outputs]:
    """Opens the outputs of a run, yields them and closes them; writes the reason of a failure to run.json.

    It holds the lock of a new run's folder meanwhile; that of a resumed run is held already (`one_writer`).
    """
    if distributed.is_main():
        make_folder(run, config)
    distributed.wait_for_all("run folder")
    lock = nullcontext() if run.resumed else sole_writer(run.directory)
    with lock, _open_in_folder(run, config, source, start, log) as outputs:
        yield outputs


@contextmanager
def _open_in_folder(run: Run, config: Any, source: Source, start: Counts, log: Logger | None) -> Iterator[Outputs]:
    """Opens the outputs of a run in its folder, which exists and is locked; see `open_outputs`."""
    main = distributed.is_main()
    if main:
        record_canaries(run.directory, source)
    entries: dict[str, Any] = {
        "recipe": run.recipe,
        "command": run.command,
        "started": datetime.datetime.now().isoformat(" ", "seconds"),
        "resumed_at": start.step if run.resumed else None,
        "data": {"source": source.name, "used": source.origin, "images": source.num_images, "skipped": source.skipped},
        "hardware": describe_hardware(),
    }
    earlier = _history(run)
    began = time.monotonic()

    def record(step: int, status: str) -> None:
        if not main:
            return
        seconds = time.monotonic() - began
        rate = (step - start.step) * start.images_per_step * start.num_members / seconds
        figures = {"steps": step, "seconds": round(seconds, 1), "images_per_second": round(rate, 1)}
        call = {**{name: entries[name] for name in CALL}, "status": status, **figures}
        write_json(run.directory / "run.json", {**entries, "status": status, **figures, "history": [*earlier, call]})

    record(start.step, "running")
    writer = open_metrics(run.directory, start.step) if main else NO_METRICS
    writer = with_logger(writer, log) if main and log else writer
    progress = NO_PROGRESS
    if main and run.show:
        n, settings = start.num_members, config.train
        per_step, before = start.images_per_step * n, start.images * n
        progress = open_progress(settings.steps, start.step, per_step, settings.minutes, before)
    progress.message(f"data: {source.origin}")
    progress.message(f"run: {run.directory}" + (f", from step {start.step}" if run.resumed else ""))
    store = checkpoints.open_checkpoints(run.directory / "checkpoints", best_metric=BEST_METRIC)
    together = True
    try:
        yield Outputs(start, writer, progress, store, record, entries, {"start": began - start.began})
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


def _history(run: Run) -> list[dict[str, Any]]:
    """Returns the entries of the earlier calls that trained in this folder; version 0.1.0 kept that of the last."""
    before = read_run(run.directory) if run.resumed else {}
    last = {name: before[name] for name in (*CALL, "status", "steps", "seconds", "images_per_second") if name in before}
    return before.get("history") or ([last] if last else [])


def _reason(error: BaseException) -> str:
    """Returns the message of an error, without the number of a system error."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def fingerprint(config: Any, source: Source) -> str:
    """Returns a hash of the configuration and the data, which must be the same on all processes."""
    words = json.dumps([to_dict(config), source.origin, source.num_images, source.shape], sort_keys=True)
    return hashlib.sha256(words.encode()).hexdigest()[:12]
