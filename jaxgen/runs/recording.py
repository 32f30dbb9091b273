"""Writes the metrics of a run, as JSON lines and as TensorBoard events."""

import importlib
import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxgen.errors import InputError, require
from jaxgen.files import append, finite, naming, write_bytes
from jaxgen.runs.events import open_events
from jaxgen.runs.reading import read_metrics

Logger = Callable[[int, dict[str, float]], Any]


class MetricWriter(NamedTuple):
    """The functions that write the metrics of a run; made by `open_metrics`."""

    write: Callable[[int, Mapping[str, Any]], None]
    """write(step, values): writes a line with metrics by `group/name`, and `images`, the count of images so far."""
    write_image: Callable[[int, str, np.ndarray], None]
    """write_image(step, name, image): writes a uint8 image [H, W, C] to TensorBoard."""
    close: Callable[[], None]
    """Closes both files; a second call does nothing."""


def open_metrics(run_dir: Path, start_step: int = 0) -> MetricWriter:
    """Opens metrics.jsonl and tensorboard/ of a run for writing.

    A line is strict JSON with `step`, `images` if given, `time` (seconds of training, those before a resume
    included) and the metrics; a value that is not finite becomes null. Each line is in the file at once.

    Args:
      run_dir: the run folder; made if it is missing.
      start_step: the step that training goes on from. 0 starts new files; otherwise lines and events of later steps
        are dropped, as they will be written again.

    Returns:
      The functions that write.

    Raises:
      InputError: the metrics.jsonl to go on from is damaged.
      OSError: a file cannot be written; names it. The functions raise it too.
    """
    path = Path(run_dir) / "metrics.jsonl"
    kept = [row for row in read_metrics(run_dir) if row["step"] <= start_step] if start_step else []
    write_bytes(path, "".join(_format_line(row) for row in kept).encode())
    board = open_events(path.parent / "tensorboard", start_step)
    with naming(path):
        file = path.open("ab", buffering=0)
    # A resumed run counts on from the time at which it stopped, without the pause.
    began = time.monotonic() - max((row.get("time", 0.0) for row in kept), default=0.0)

    def write(step: int, values: Mapping[str, Any]) -> None:
        metrics = {name: float(value) for name, value in values.items() if name != "images"}
        images = {"images": int(values["images"])} if "images" in values else {}
        clock = round(time.monotonic() - began, 3)
        append(file, path, _format_line({"step": int(step), **images, "time": clock, **metrics}).encode())
        for name, value in metrics.items():
            if math.isfinite(value):
                board.write_scalar(name, value, step)

    def write_image(step: int, name: str, image: np.ndarray) -> None:
        board.write_image(name, image, step)

    def close() -> None:
        file.close()
        board.close()

    return MetricWriter(write, write_image, close)


def with_logger(writer: MetricWriter, log: Logger) -> MetricWriter:
    """Returns a writer that also calls a function of the user's with each line of metrics.

    Args:
      writer: the writer.
      log: called with (step, values), numbers by name; see `guarded`.
    """
    tell = guarded(log)

    def write(step: int, values: Mapping[str, Any]) -> None:
        writer.write(step, values)
        tell(step, {key: float(value) for key, value in values.items()})

    return writer._replace(write=write)


def guarded(log: Logger) -> Logger:
    """Returns a logger that is not called again after it has failed; one line says so, and the training goes on."""
    left = [log]

    def tell(step: int, values: dict[str, float]) -> None:
        for call in left:
            try:
                call(step, values)
            except Exception as error:
                left.clear()
                print(f"logger: failed at step {step} ({error!r}); it is not called again", file=sys.stderr)

    return tell


def find_logger(name: str) -> Logger:
    """Returns the function MODULE:FUNCTION, from the current folder too; raises `InputError` if there is none."""
    module, _, function = name.partition(":")
    accepted = "MODULE:FUNCTION, a function of (step, values) in a module that can be imported"
    if "" not in sys.path:
        sys.path.insert(0, "")  # a console script does not look in the current folder
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"logger: got {name!r} ({error}); accepted: {accepted}") from None
    require(callable(found), "logger", name, accepted)
    return found


def append_metrics(run_dir: Path, step: int, values: Mapping[str, float]) -> None:
    """Adds a line with figures measured outside the training to metrics.jsonl; the run may still be going on."""
    path = Path(run_dir) / "metrics.jsonl"
    row = {"step": step, **values}
    if path.exists() and not path.read_bytes().endswith(b"\n"):  # empty, or a crash cut the last line short
        write_bytes(path, "".join(map(_format_line, [*read_metrics(run_dir), row])).encode())
        return
    with naming(path), path.open("ab", buffering=0) as file:  # not a new file: the run may be writing to this one
        append(file, path, _format_line(row).encode())


def _format_line(row: Mapping[str, Any]) -> str:
    """Returns one line of metrics.jsonl."""
    return json.dumps(finite(row), allow_nan=False) + "\n"
