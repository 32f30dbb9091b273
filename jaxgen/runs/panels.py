"""Panels of curves for report.html, as inline SVG."""

import html
import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jaxgen.runs.curves import Curve, describe_point, draw_panel, group_curves, is_line, x_axis

MAX_POINTS = 600
"""The most points of a curve that are drawn, about as many as a screen shows."""
INKS = {f"#01010{index}": f"c{index}" for index in range(6)} | {"#010200": "soft", "#010201": "line"}
"""Colours that the drawing uses in place of variables of the style, which differ on dark pages."""


def panels(rows: list[dict[str, Any]]) -> str:
    """Returns a panel for each group of metrics."""
    found = [_panel(group, curves, x_axis(rows)) for group, curves in group_curves(rows).items()]
    return f'<div class="two">{"".join(found)}</div>' if found else ""


def _panel(group: str, curves: list[Curve], x_label: str) -> str:
    """Returns one group with its title, its curves as inline SVG, and a legend; of single points the values."""
    if not any(map(is_line, curves)):
        cells = ((html.escape(curve.name), html.escape(describe_point(curve, x_label))) for curve in curves)
        body = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in cells)
        return f'<div class="card"><h3>{html.escape(group)}</h3><table>{body}</table></div>'
    figure = Figure(figsize=(5.2, 2.7), layout="constrained")
    draw_panel(figure.subplots(), [_thin(curve) for curve in curves], x_label, tuple(INKS))
    buffer = io.StringIO()
    # The metadata would name addresses on the internet.
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{html.escape(group)}"', 1)
    for ink, name in INKS.items():
        svg = svg.replace(ink, f"var(--{name})")
    names = enumerate(html.escape(curve.name) for curve in curves)
    legend = "".join(f'<li><i style="background:var(--c{n % 6})"></i>{name}</li>' for n, name in names)
    return f'<div class="card"><h3>{html.escape(group)}</h3>{svg}<ul class="legend">{legend}</ul></div>'


def _thin(curve: Curve) -> Curve:
    """Thins a long curve to `MAX_POINTS`: keeps the least and the greatest value of each short stretch."""
    if len(curve.y) <= MAX_POINTS:
        return curve
    low, high = np.nan_to_num(curve.y, nan=np.inf), np.nan_to_num(curve.y, nan=-np.inf)
    stretches = np.array_split(np.arange(len(curve.y)), MAX_POINTS // 2)
    keep = np.unique([s[pick] for s in stretches for pick in (low[s].argmin(), high[s].argmax())])
    return Curve(curve.name, curve.x[keep], curve.y[keep], curve.smooth[keep])
