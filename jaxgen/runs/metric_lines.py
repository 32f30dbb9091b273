"""The lines of metrics.jsonl."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxgen.errors import InputError
from jaxgen.files import append, finite, naming, write_bytes

ACCEPTED = "one JSON object a line, of numbers and null, with a whole step of 0 or more"


def append_metrics(run_dir: Path, step: int, values: Mapping[str, float]) -> None:
    """Adds one line to the metrics.jsonl of a run that need not be open: figures measured after the training."""
    path = Path(run_dir) / "metrics.jsonl"
    row = {"step": step, **values}
    if path.exists() and not path.read_bytes().endswith(b"\n"):  # a crash cut the last line short, or the file is empty
        write_bytes(path, "".join(map(format_line, [*read_metrics(run_dir), row])).encode())
        return
    with naming(path), path.open("ab", buffering=0) as file:  # no new file: the run may be writing to this one
        append(file, path, format_line(row).encode())


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """Reads metrics.jsonl as one dict a line; null is a value that was not finite.

    Args:
      run_dir: the run folder. Without the file the list is empty; a last line that a crash cut short is left
        out.

    Raises:
      InputError: a line other than the last is damaged, or the file cannot be read.
    """
    path = Path(run_dir) / "metrics.jsonl"
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        lines = []
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        row = _parse(line)
        if row is not None:
            rows.append(row)
        elif number < len(lines):
            raise InputError(f"{path}: line {number} is damaged; accepted: {ACCEPTED}")
    return rows


def _parse(line: bytes) -> dict[str, Any] | None:
    """The row of a line, or None for what no run writes."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or type(row.get("step")) is not int or row["step"] < 0:
        return None
    numbers = all(value is None or type(value) in (int, float) for value in row.values())
    counts = all(type(row.get(name, 0)) in (int, float) for name in ("images", "time"))
    return row if numbers and counts else None


def format_line(row: Mapping[str, Any]) -> str:
    """One line of metrics.jsonl."""
    return json.dumps(finite(row), allow_nan=False) + "\n"
