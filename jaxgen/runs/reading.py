"""Reads the files of a run: strictly, where a damaged file is an error, or as far as they are whole."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from jaxgen.errors import InputError, require
from jaxgen.files import read_json

T = TypeVar("T")
COUNTERS = ("step", "images", "time")
"""What a line of metrics.jsonl holds besides metrics."""
ACCEPTED = "one JSON object a line, of numbers and null, with a whole step of 0 or more"


def read_run(run_dir: Path) -> dict[str, Any]:
    """Reads run.json; the result is empty where there is no file.

    Raises:
      InputError: the file is damaged, a figure in it is no number or a group no object.
    """
    path = Path(run_dir) / "run.json"
    run = read_json(path)
    for name in ("steps", "seconds", "images_per_second"):
        require(type(run.get(name)) in (int, float, type(None)), f"{path}: {name}", run.get(name), "a number")
    for name in ("data", "hardware"):
        require(isinstance(run.get(name) or {}, dict), f"{path}: {name}", run.get(name), "an object")
    return run


def read_metrics(run_dir: Path, skip_damaged: bool = False) -> list[dict[str, Any]]:
    """Reads metrics.jsonl as one dict a line; null stands for a value that was not finite.

    Args:
      run_dir: the run folder. Without the file the list is empty; a last line that a crash cut short is left out.
      skip_damaged: leaves out all that cannot be read instead of raising an error.

    Raises:
      InputError: a line other than the last is damaged, or the file cannot be read.
    """
    path = Path(run_dir) / "metrics.jsonl"
    try:
        rows = [_parse(line) for line in path.read_bytes().splitlines()]
    except FileNotFoundError:
        return []
    except OSError as error:
        if skip_damaged:
            return []
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    damaged = [number for number, row in enumerate(rows[:-1], start=1) if row is None]
    if damaged and not skip_damaged:
        raise InputError(f"{path}: line {damaged[0]} is damaged; accepted: {ACCEPTED}")
    return [row for row in rows if row is not None]


def measured_names(rows: list[dict[str, Any]]) -> list[str]:
    """Returns the names of the measures that were taken at checkpoints; the first chooses the best checkpoint.

    Args:
      rows: what `read_metrics` returns. Metrics of the steps are in its first row, measures have rows of their own.
    """
    per_step = set(rows[0]) if rows else set()
    names = dict.fromkeys(name for row in rows for name in row if name not in COUNTERS and name not in per_step)
    return [name for name in names if not name.startswith(("loss/", "evaluation/"))]


def _parse(line: bytes) -> dict[str, Any] | None:
    """Returns the row of a line, or None for a line that no run writes."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or type(row.get("step")) is not int or row["step"] < 0:
        return None
    numbers = all(value is None or type(value) in (int, float) for value in row.values())
    counts = all(type(row.get(name, 0)) in (int, float) for name in COUNTERS)
    return row if numbers and counts else None


def read_if_whole(read: Callable[[Path], T], path: Path) -> T | None:
    """Returns what a strict reader reads from a path, or None where it raises `InputError`."""
    try:
        return read(path)
    except InputError:
        return None


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the leaves of nested objects by names with dots."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        path = f"{prefix}{name}"
        flat |= flatten(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return flat
