"""Numbers out of a run: metrics as JSON lines and TensorBoard events, curves, facts about the machine."""

import importlib.metadata
import io
import json
import math
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from jaxgen.files import append, naming, write_bytes
from jaxgen.training.events import open_events
from jaxgen.training.metric_lines import finite, format_line, read_metrics

PACKAGES = ("jaxgen", "jax", "jaxlib", "flax", "optax", "numpy")
INKS = ("#2563c9", "#d2691e", "#188a5b", "#8b46c1", "#c2334d", "#6b7280", "#55524d", "#e5e1da")
"""Colours on white: six for curves, one for text, one for lines of the grid."""


class MetricWriter(NamedTuple):
    """Where a run puts its metrics; made by `open_metrics`."""

    write: Callable[[int, Mapping[str, Any]], None]
    """write(step, values): one line; numbers by `group/name`, and `images`, the count seen so far."""
    write_image: Callable[[int, str, np.ndarray], None]
    """write_image(step, name, image): uint8 [H, W, C] to TensorBoard."""
    close: Callable[[], None]
    """Ends both files; a second call does nothing."""


class Curve(NamedTuple):
    """One metric over a run: x [k] in steps or images, y [k] and smooth [k], NaN for what is not finite."""

    name: str
    x: np.ndarray
    y: np.ndarray
    smooth: np.ndarray


def open_metrics(run_dir: Path, start_step: int = 0) -> MetricWriter:
    """Opens metrics.jsonl and tensorboard/ of a run for writing.

    A line is strict JSON: `step`, `images` if given, `time` (seconds the run has been open, over all resumes)
    and the metrics; a value that is not finite becomes null. Each line is flushed.

    Args:
      run_dir: the run folder; made where it lacks.
      start_step: the step that training goes on from. 0 starts afresh; else lines and events of later steps
        go, as they will be written again.

    Returns:
      The functions that write.

    Raises:
      InputError: the metrics.jsonl to go on from is damaged.
      OSError: a file cannot be written, also by the functions; names it.
    """
    path = Path(run_dir) / "metrics.jsonl"
    kept = [row for row in read_metrics(run_dir) if row["step"] <= start_step] if start_step else []
    write_bytes(path, "".join(format_line(row) for row in kept).encode())
    board = open_events(path.parent / "tensorboard", start_step)
    with naming(path):
        file = path.open("ab", buffering=0)
    # A resumed run goes on counting where it stopped; the pause between is nobody's training time.
    began = time.monotonic() - max((row.get("time", 0.0) for row in kept), default=0.0)

    def write(step: int, values: Mapping[str, Any]) -> None:
        metrics = {name: float(value) for name, value in values.items() if name != "images"}
        images = {"images": int(values["images"])} if "images" in values else {}
        clock = round(time.monotonic() - began, 3)
        append(file, path, format_line({"step": int(step), **images, "time": clock, **metrics}).encode())
        for name, value in metrics.items():
            if math.isfinite(value):
                board.write_scalar(name, value, step)

    def write_image(step: int, name: str, image: np.ndarray) -> None:
        board.write_image(name, image, step)

    def close() -> None:
        file.close()
        board.close()

    return MetricWriter(write, write_image, close)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes indented strict JSON, whole or not at all; a number that is not finite becomes null."""
    write_bytes(path, (json.dumps(finite(values), indent=2, allow_nan=False) + "\n").encode())


def images_per_step(rows: list[dict[str, Any]]) -> float | None:
    """Images seen a step, from the last row that counts them; None where none does."""
    ratios = (row["images"] / row["step"] for row in reversed(rows) if row["step"] and "images" in row)
    return next(ratios, None)


def x_axis(rows: list[dict[str, Any]]) -> str:
    """What curves are drawn over: "images seen", else "step"."""
    return "step" if images_per_step(rows) is None else "images seen"


def group_curves(rows: list[dict[str, Any]]) -> dict[str, list[Curve]]:
    """Sorts metrics into groups, the text before the first "/", in the order they first appear.

    Args:
      rows: as from `read_metrics`.

    Returns:
      Curves by group. `smooth` is a centred mean over a twentieth of the curve; below 40 points it is y.
    """
    ratio = images_per_step(rows)
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        x = row["step"] if ratio is None else row.get("images", row["step"] * ratio)
        for name in (name for name in row if name not in ("step", "images", "time") and not is_evaluation(name)):
            value = math.nan if row[name] is None else row[name]
            points.setdefault(name, []).append((x, value))
    order = dict.fromkeys(name for row in rows for name in row if name in points)
    groups: dict[str, list[Curve]] = {}
    for name in order:
        x, y = np.array(points[name], np.float64).T
        curve = Curve(name.partition("/")[2] or name, x, y, smooth(y, len(y) // 40))
        groups.setdefault(name.partition("/")[0], []).append(curve)
    return groups


def is_evaluation(name: str) -> bool:
    """Whether a metric was measured once, after the training: no curve, and a table of its own in the report."""
    return name.startswith("evaluation/")


def smooth(values: np.ndarray, radius: int) -> np.ndarray:
    """Mean of the finite values among each value and `radius` neighbours on either side, fewer at the ends.

    Args:
      values: [k], NaN allowed.
      radius: 0 or more.

    Returns:
      [k]; NaN stays NaN, so that a gap is seen.
    """
    finite = np.isfinite(values)
    window = np.ones(2 * radius + 1)
    total = np.convolve(np.where(finite, values, 0.0), window)[radius : radius + len(values)]
    count = np.convolve(finite, window)[radius : radius + len(values)]
    return np.where(finite, total / np.maximum(count, 1), np.nan)


def plot_curves(run_dir: Path) -> Path:
    """Draws curves.png of a run: a panel a group, the smoothed line over the faint raw one.

    Args:
      run_dir: the run folder; with no metrics in it the picture says so.

    Returns:
      The path of curves.png.
    """
    rows = read_metrics(run_dir)
    groups = group_curves(rows) or {"no metrics yet": []}
    columns = min(len(groups), 2)
    down = -(-len(groups) // columns)
    # Figure alone, not pyplot: no global state, no window, safe in a thread.
    figure = Figure(figsize=(6.4 * columns, 3.4 * down), dpi=120, layout="constrained")
    for place, (group, curves) in enumerate(groups.items(), start=1):
        ax = figure.add_subplot(down, columns, place)
        ax.set_title(group, loc="left")
        draw_panel(ax, curves, x_axis(rows))
        if curves:
            ax.legend(loc="upper right", fontsize="small", framealpha=0.6, edgecolor="none")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_bytes(Path(run_dir) / "curves.png", buffer.getvalue())
    return Path(run_dir) / "curves.png"


def draw_panel(ax: Axes, curves: list[Curve], x_label: str, inks: Sequence[str] = INKS) -> None:
    """Draws one group of curves, the smoothed line over the faint raw one; rare spikes may leave the panel.

    Args:
      ax: matplotlib axes, drawn into.
      curves: the curves of one group.
      x_label: what x counts, as from `x_axis`.
      inks: eight colours: six for curves, one for text, one for lines of the grid.
    """
    *colours, text, line = inks
    for index, curve in enumerate(curves):
        style = {"color": colours[index % 6], "marker": "o" if len(curve.x) < 20 else None, "markersize": 3}
        ax.plot(curve.x, curve.smooth, label=curve.name, linewidth=1.6, **style)
        if not np.array_equal(curve.y, curve.smooth, equal_nan=True):
            ax.plot(curve.x, curve.y, color=style["color"], alpha=0.25, linewidth=0.8, zorder=1)
    # The whole smoothed lines and all but the rarest raw values: one bad step must not flatten the rest.
    spread = [np.nanquantile(c.y, [0.01, 0.99]) for c in curves if np.isfinite(c.y).any()]
    extent = [value for c in curves for value in c.smooth if np.isfinite(value)] + [*np.ravel(spread)]
    if extent and (margin := 0.05 * (max(extent) - min(extent))) > 0:
        ax.set_ylim(min(extent) - margin, max(extent) + margin)
    ax.set_xlabel(x_label, color=text)
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.set_axisbelow(True)
    ax.grid(color=line)
    ax.tick_params(colors=text, length=0)
    ax.spines[:].set_visible(False)


def describe_hardware() -> dict[str, Any]:
    """The machine in words and numbers, with nothing that names its owner: no host name, no paths.

    Returns:
      cpu (model), cpu_cores (that this process may use), memory_gib, backend, devices (count by kind),
      processes, platform and versions (by package, Python included).
    """
    has_affinity = hasattr(os, "sched_getaffinity")
    return {
        "cpu": _cpu_model(),
        "cpu_cores": len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "backend": jax.default_backend(),
        "devices": dict(Counter(device.device_kind for device in jax.devices())),
        "processes": jax.process_count(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
    }


def _cpu_model() -> str:
    """Model name of the processor, from Linux where there is one."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    """Main memory in GiB to one decimal; None where the system does not tell."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def _version(package: str) -> str | None:
    """Installed version; None where the package is run from its folder, not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
