"""Tables of runs and of two runs side by side, for `jaxgen runs`; it reads only files, damaged ones included."""

import time
from pathlib import Path
from typing import Any, NamedTuple

from rich.filesize import decimal

from jaxgen.errors import InputError
from jaxgen.files import read_json
from jaxgen.runs.reading import COUNTERS, flatten, measured_names, read_if_whole, read_metrics, read_run

QUIET_SECONDS = 600.0
"""A run counts as killed if run.json says that it is running and no file has changed for this long."""


class Listed(NamedTuple):
    """A row of the list; `size` is in bytes, `age` in seconds since a file last changed."""

    folder: Path
    data: str
    progress: str
    status: str
    metrics: str
    size: int
    age: float


def show_runs(out: Path) -> str:
    """Returns a table of the runs in a folder, or a line that says that there are none."""
    found = [describe(folder) for folder in list_runs(out)]
    return _table(found) if found else f"no runs in {out}; jaxgen train gan_mnist makes one"


def list_runs(out: Path) -> list[Path]:
    """Returns the run folders OUT, OUT/TIMESTAMP and OUT/RECIPE/TIMESTAMP, the newest last; it skips other folders."""
    marked = [path.parent for depth in ("", "*/", "*/*/") for path in out.glob(f"{depth}run.json")]
    marked += [path.parent for depth in ("", "*/", "*/*/") for path in out.glob(f"{depth}config.json")]
    ours = [folder for folder in dict.fromkeys(marked) if (folder / "run.json").exists() or _is_config(folder)]
    return sorted(ours, key=lambda folder: (folder.name, str(folder)))


def describe(folder: Path, now: float | None = None) -> Listed:
    """Describes a run; a damaged run.json or config.json gives the status "damaged".

    Args:
      folder: the run folder.
      now: the time in seconds since the epoch; None takes the present.
    """
    files = [path for path in folder.rglob("*") if path.is_file()]
    stats = [path.stat() for path in files]
    latest = max((stat.st_mtime for stat in stats), default=0.0)
    age = (time.time() if now is None else now) - latest
    size = sum(stat.st_size for stat in stats)
    run, config = read_if_whole(read_run, folder), read_if_whole(read_json, folder / "config.json")
    if not run or not config:
        return Listed(folder, "", "", "damaged", "", size, age)
    rows = read_metrics(folder, skip_damaged=True)
    # run.json is written only at the start and at the end; the metrics say how far a running run is
    step = max([run.get("steps") or 0, *(row["step"] for row in rows)])
    total, data = flatten(config).get("train.steps", "?"), flatten(run).get("data.source", "")
    status, best = _status(str(run.get("status")), age), _best_member(folder)
    metrics = best.about if best else _latest(rows)
    return Listed(folder, str(data), f"{step:g}/{total}", status, metrics, size, age)


def compare(first: Path, second: Path) -> str:
    """Returns a table of the configuration fields that differ, and of the latest metrics of both runs.

    Those of a scan are the metrics of its best member.
    """
    configs = [flatten(read_if_whole(read_json, folder / "config.json") or {}) for folder in (first, second)]
    names = sorted({*configs[0], *configs[1]})
    differing = [name for name in names if _plain(configs[0].get(name)) != _plain(configs[1].get(name))]
    metrics = [_latest_values(folder) for folder in (first, second)]
    shared = list(dict.fromkeys([*metrics[0], *metrics[1]]))
    rows = [["", str(first), str(second)]]
    rows += [[name, *(_shown(config.get(name, "-")) for config in configs)] for name in differing]
    rows += [["configuration", "the same", "the same"]] if not differing else []
    rows += [[], *([name, *(_shown(values.get(name, "-")) for values in metrics)] for name in shared)]
    return _columns(rows)


def last_values(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the latest value of each metric and of `step`, `images` and `time`."""
    found: dict[str, Any] = {}
    for row in rows:
        found |= row
    return found


def _is_config(folder: Path) -> bool:
    """Returns whether jaxgen wrote the config.json; other programs have files of that name too."""
    return "train" in (read_if_whole(read_json, folder / "config.json") or {})


def _latest(rows: list[dict[str, Any]]) -> str:
    """Returns the metric that the best checkpoint is chosen by; without one, the losses."""
    values = {name: value for name, value in last_values(rows).items() if name not in COUNTERS and value is not None}
    chosen = {name: values[name] for name in measured_names(rows) if name in values} or values
    return ", ".join(f"{name} {_shown(value)}" for name, value in list(chosen.items())[:2])


class Best(NamedTuple):
    """The best member of a scan: its number, and its score and settings in words."""

    number: int
    about: str


def _best_member(folder: Path) -> Best | None:
    """Returns the best member of a scan; None for a run, before the first score, or if scan.json is damaged."""
    try:
        scan = read_json(folder / "scan.json")
        members, best = scan["members"], scan["members"][0]
        score = float(best["scores"][-1][1])
        numbers = [f"{name} {_shown(best['hparams'][name])}" for name in scan["varied"]]
        about = ", ".join([f"member {best['number']} of {len(members)}", *numbers, f"seed {best['seed']}"])
        return Best(best["number"], f"{scan['metric']} {_shown(score)} ({about})")
    except (InputError, KeyError, IndexError, TypeError, ValueError):
        return None


def _latest_values(folder: Path) -> dict[str, Any]:
    """Returns the latest value of each metric; of a scan, those of its best member under the names that a run has."""
    values, best = last_values(read_metrics(folder, skip_damaged=True)), _best_member(folder)
    if best is None:
        return values
    ending = f".{best.number}"
    return {
        name.removesuffix(ending): value for name, value in values.items() if name in COUNTERS or name.endswith(ending)
    }


def _plain(value: Any) -> Any:
    """Returns a value of a configuration so that equal numbers are equal; a scan has its numbers as texts."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return None if value == "None" else value


def _status(recorded: str, age: float) -> str:
    """Returns the status of a run in one or two words, from that in run.json and the age of its files."""
    if recorded == "running":
        return "running" if age < QUIET_SECONDS else "interrupted"
    if recorded == "stopped by time":
        return "complete (time)"
    return "interrupted" if recorded.startswith("stopped by SIG") else recorded.partition(":")[0]


def _table(found: list[Listed]) -> str:
    """Returns the list as text."""
    rows = [["run", "data", "steps", "status", "age", "size", "metrics"]]
    for run in found:
        age, size = _format_age(run.age), decimal(run.size)
        rows.append([str(run.folder), run.data, run.progress, run.status, age, size, run.metrics])
    return _columns(rows)


def _columns(rows: list[list[str]]) -> str:
    """Returns rows of cells as lines of text with aligned columns."""
    widths = [max(len(row[i]) for row in rows if len(row) > i) for i in range(max(map(len, rows)))]
    return "\n".join("  ".join(f"{cell:{w}}" for cell, w in zip(row, widths, strict=False)).rstrip() for row in rows)


def _shown(value: Any) -> str:
    """Returns a value as text; a float has four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _format_age(seconds: float) -> str:
    """Returns seconds as 40 s, 12 min, 5 h or 3 d."""
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
