"""Draws the metrics of a run as curves."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator

from jaxgen.files import write_bytes
from jaxgen.runs.reading import COUNTERS, read_metrics

INKS = ("#2563c9", "#d2691e", "#188a5b", "#8b46c1", "#c2334d", "#6b7280", "#55524d", "#e5e1da")
"""Colours on white: six for curves, one for text, one for grid lines."""


class Curve(NamedTuple):
    """A metric over a run: x [k] in steps or images, y [k] and its moving mean smooth [k]; NaN if not finite."""

    name: str
    x: np.ndarray
    y: np.ndarray
    smooth: np.ndarray


def images_at(rows: list[dict[str, Any]], step: int) -> float | None:
    """Returns the images seen at a step, between and beyond the rows that count them; None if no row does."""
    counts = {0: 0} | {row["step"]: row["images"] for row in rows if "images" in row}
    if len(counts) == 1:
        return None
    steps, images = (np.array(values, np.float64) for values in (sorted(counts), sorted(counts.values())))
    if step > steps[-1]:
        return images[-1] + (step - steps[-1]) * (images[-1] - images[-2]) / (steps[-1] - steps[-2])
    return float(np.interp(step, steps, images))


def x_axis(rows: list[dict[str, Any]]) -> str:
    """Returns the label of the x axis: "images seen" if the rows count images, else "step"."""
    return "step" if images_at(rows, 0) is None else "images seen"


def group_curves(rows: list[dict[str, Any]]) -> dict[str, list[Curve]]:
    """Groups metrics by the text before the first "/", in the order of their first rows.

    Args:
      rows: what `read_metrics` returns.

    Returns:
      The curves of each group. `smooth` is a centred mean over a twentieth of the curve; below 40 points it is y.
    """
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        seen = row["images"] if "images" in row else images_at(rows, row["step"])
        x = row["step"] if seen is None else seen
        for name in (name for name in row if name not in COUNTERS and not is_evaluation(name)):
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
    """Returns whether a metric was measured after the training: it has no curve, but a table in the report."""
    return name.startswith("evaluation/")


def smooth(values: np.ndarray, radius: int) -> np.ndarray:
    """Returns a moving mean: of each value and `radius` neighbours on either side, as far as they exist and are finite.

    Args:
      values: [k], NaN allowed.
      radius: 0 or more.

    Returns:
      [k]; NaN stays NaN, so that a gap stays visible.
    """
    finite = np.isfinite(values)
    window = np.ones(2 * radius + 1)
    total = np.convolve(np.where(finite, values, 0.0), window)[radius : radius + len(values)]
    count = np.convolve(finite, window)[radius : radius + len(values)]
    return np.where(finite, total / np.maximum(count, 1), np.nan)


def is_line(curve: Curve) -> bool:
    """Returns whether a curve has two values at least; of a single one the value says more than a chart."""
    return int(np.isfinite(curve.y).sum()) > 1


def describe_point(curve: Curve, x_label: str) -> str:
    """Returns the last value of a curve in words."""
    value = f"{curve.y[-1]:,.5g}" if np.isfinite(curve.y[-1]) else "not finite"
    return f"{value} ({x_label} {curve.x[-1]:,.0f})"


def format_tick(value: float, limits: tuple[float, float]) -> str:
    """Returns the label of a tick: thousands apart, and as many decimals as the limits of the axis need."""
    decimals = 2 - math.floor(math.log10(abs(limits[1] - limits[0]) or 1.0))
    if abs(value) >= 1e7 or decimals > 7:
        return f"{value:.3g}"
    shown = f"{value:,.{max(decimals, 0)}f}"
    shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
    return "0" if shown == "-0" else shown


def plot_curves(run_dir: Path) -> Path:
    """Draws curves.png of a run: one panel for each group, each smoothed line over its faint raw one.

    Args:
      run_dir: the run folder; if it has no metrics yet, the picture says so.

    Returns:
      The path of curves.png.
    """
    rows = read_metrics(run_dir)
    groups = group_curves(rows) or {"no metrics yet": []}
    columns = min(len(groups), 2)
    down = -(-len(groups) // columns)
    # pyplot would keep global state, may open windows and is not safe in a thread.
    figure = Figure(figsize=(6.4 * columns, 3.4 * down), dpi=120, layout="constrained")
    for place, (group, curves) in enumerate(groups.items(), start=1):
        ax = figure.add_subplot(down, columns, place)
        ax.set_title(group, loc="left")
        if curves and not any(map(is_line, curves)):
            ax.set_axis_off()
            said = [f"{curve.name}: {describe_point(curve, x_axis(rows))}" for curve in curves]
            ax.text(0, 0.9, "\n".join(said), va="top", transform=ax.transAxes)
            continue
        draw_panel(ax, curves, x_axis(rows))
        if curves:
            ax.legend(loc="upper right", fontsize="small", framealpha=0.6, edgecolor="none")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_bytes(Path(run_dir) / "curves.png", buffer.getvalue())
    return Path(run_dir) / "curves.png"


def draw_panel(ax: Axes, curves: list[Curve], x_label: str, inks: Sequence[str] = INKS) -> None:
    """Draws one group of curves, each smoothed line over its faint raw one; rare spikes may leave the panel.

    Args:
      ax: the matplotlib axes to draw into.
      curves: the curves of one group.
      x_label: what x counts; see `x_axis`.
      inks: eight colours, in the order of `INKS`.
    """
    *colours, text, line = inks
    for index, curve in enumerate(curves):
        style = {"color": colours[index % 6], "marker": "o" if len(curve.x) < 20 else None, "markersize": 3}
        ax.plot(curve.x, curve.smooth, label=curve.name, linewidth=1.6, **style)
        if not np.array_equal(curve.y, curve.smooth, equal_nan=True):
            ax.plot(curve.x, curve.y, color=style["color"], alpha=0.25, linewidth=0.8, zorder=1)
    # The panel shows all smoothed values and all but the rarest raw ones: one bad step must not flatten the rest.
    spread = [np.nanquantile(c.y, [0.01, 0.99]) for c in curves if np.isfinite(c.y).any()]
    extent = [value for c in curves for value in c.smooth if np.isfinite(value)] + [*np.ravel(spread)]
    if extent:
        least = 1e-3 * max(abs(max(extent)), abs(min(extent))) or 1.0  # rounding errors are no curve
        margin = max(0.05 * (max(extent) - min(extent)), least)
        ax.set_ylim(min(extent) - margin, max(extent) + margin)
    ax.set_xlabel(x_label, color=text)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: format_tick(y, ax.get_ylim())))
    ax.set_axisbelow(True)
    ax.grid(color=line)
    ax.tick_params(colors=text, length=0)
    ax.spines[:].set_visible(False)
