"""Writes scan.html, a self-contained page about a scan, from scan.json and run.json in its folder."""

import html
import itertools
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxgen.files import read_json, write_bytes
from jaxgen.runs.reading import read_run
from jaxgen.runs.report import picture
from jaxgen.runs.report_style import STYLE

BEST = "best.png"
"""The picture of the best member, which a scan draws at its end."""
MAX_MAPS = 6
"""The most heat maps; each shows a pair of numbers."""
MAX_VALUES = 8
"""The most values on an axis of a heat map; more are grouped into this many intervals of equal ratio."""
GREENEST = 38
"""The share of green in the best cell in percent; with more the text on it would be hard to read on a dark page."""
NUM_COLOURED = 5
"""The number of members, the best ones, whose curves are coloured."""

MAP_STYLE = """
.map { width: auto; } .map th { width: auto; text-align: center; padding: .3rem .8rem; }
.map td { text-align: center; padding: .45rem .8rem; border: 2px solid var(--card); border-radius: 6px;
  min-width: 5.5rem; }
.map small { display: block; } .map td { color: var(--ink); } .wide { overflow-x: auto; }
.board th, .board td { width: auto; text-align: right; padding: .3rem .7rem; white-space: nowrap; }
@media (max-width: 30rem) { .wide { padding: .6rem; } .board { font-size: .82rem; } .board th, .board td { padding:
  .3rem .35rem; } .map th, .map td { padding: .3rem; min-width: 0; } }
"""


class Cell(NamedTuple):
    """A cell of a heat map: mean, least and greatest score of its members, their number, and how many diverged."""

    mean: float
    low: float
    high: float
    num: int
    diverged: int


def write_scan_report(directory: Path) -> Path:
    """Writes scan.html: one file that loads nothing from the internet.

    Args:
      directory: folder of a scan, with a scan.json.

    Returns:
      The path of scan.html.
    """
    scan, run = read_json(directory / "scan.json"), read_run(directory)
    members, names, higher = scan["members"], scan["varied"], bool(scan.get("higher_is_better"))
    pairs = list(itertools.combinations(names, 2))[:MAX_MAPS] or [(name, None) for name in names]
    sections = {
        "Best member": _best(directory, members, names),
        "Heat map" + "s" * (len(pairs) > 1): "".join(heat_map(members, *pair, higher) for pair in pairs),
        "Leaderboard": _leaderboard(members, names, scan["metric"]),
        "Over time": _curves(members),
        "How it was run": _how(directory, run),
    }
    parts = "".join(f"<section><h2>{title}</h2>{body}</section>\n" for title, body in sections.items() if body)
    title = _escape(run.get("recipe", "scan"))
    better = f"{_escape(scan['metric'])}, {'higher' if higher else 'lower'} is better"
    page = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · jaxgen</title><style>{STYLE}{MAP_STYLE}</style></head>
<body><main><header><p class="soft">jaxgen scan</p><h1>{title}</h1>
<p class="soft">{len(members)} members · {better}: {_escape(scan["protocol"])}</p>
</header>{parts}</main></body></html>
"""
    write_bytes(directory / "scan.html", page.encode())
    return directory / "scan.html"


def _escape(value: Any) -> str:
    return html.escape("-" if value is None else str(value))


def score_of(member: dict[str, Any]) -> float:
    """Returns the newest score; infinity if it is missing or not finite, or if the member diverged."""
    last = member["scores"][-1][1] if member["scores"] and member["status"] != "diverged" else None
    return math.inf if last is None else last


def places_of(values: Sequence[float]) -> tuple[list[str], list[int]]:
    """Returns the labels of an axis, and the index of each value among them.

    The labels are the values themselves; more than `MAX_VALUES` values are grouped into intervals of equal ratio.

    Args:
      values: one value for each member.
    """
    distinct = sorted(set(values))
    if len(distinct) <= MAX_VALUES:
        return [f"{value:.3g}" for value in distinct], [distinct.index(value) for value in values]
    low, high = distinct[0], distinct[-1]
    edges = (np.geomspace if low > 0 else np.linspace)(low, high, MAX_VALUES + 1)
    labels = [f"{a:.2g} to {b:.2g}" for a, b in itertools.pairwise(edges)]
    return labels, [min(int(np.searchsorted(edges, value, "right")) - 1, MAX_VALUES - 1) for value in values]


def cells_of(members: list[dict[str, Any]], rows: Sequence[int], columns: Sequence[int]) -> dict[tuple[int, int], Cell]:
    """Returns the cells of a heat map by row and column."""
    found: dict[tuple[int, int], list[float]] = {}
    for member, row, column in zip(members, rows, columns, strict=True):
        found.setdefault((row, column), []).append(score_of(member))
    cells = {}
    for place, scores in found.items():
        finite = [score for score in scores if math.isfinite(score)]
        mean = sum(finite) / len(finite) if finite else math.inf
        diverged = len(scores) - len(finite)
        cells[place] = Cell(mean, min(finite, default=math.inf), max(finite, default=math.inf), len(scores), diverged)
    return cells


def heat_map(members: list[dict[str, Any]], down: str, across: str | None, higher: bool = False) -> str:
    """Returns a table of mean scores over one or two numbers; each cell shows its spread and is coloured by its rank.

    Args:
      members: the members in scan.json.
      down: name of the hyperparameter of the rows.
      across: name of the hyperparameter of the columns; None for a single column.
      higher: whether a higher score is better.
    """
    known = [m for m in members if None not in (m["hparams"][down], m["hparams"][across or down])]
    if not known:
        return ""
    row_labels, rows = places_of([m["hparams"][down] for m in known])
    labels, columns = ([""], [0] * len(known)) if across is None else places_of([m["hparams"][across] for m in known])
    cells = cells_of(known, rows, columns)
    order = sorted((cell.mean for cell in cells.values() if math.isfinite(cell.mean)), reverse=higher)
    body = "".join(
        f"<tr><th>{label}</th>" + "".join(_cell(cells.get((r, c)), order) for c in range(len(labels))) + "</tr>"
        for r, label in enumerate(row_labels)
    )
    corner = _escape(down) + (f" \\ {_escape(across)}" if across else "")
    head = "".join(f"<th>{label}</th>" for label in labels)
    table = f'<table class="map"><tr><th>{corner}</th>{head}</tr>{body}</table>'
    note = "Mean, and least to greatest over the seeds and all other differences; greener is better."
    return f'<div class="card wide">{table}<p class="soft">{note}</p></div>'


def _cell(cell: Cell | None, order: list[float]) -> str:
    """Returns the HTML of a cell; `order` holds all means, the best first."""
    if cell is None:
        return "<td></td>"
    share = 1 - order.index(cell.mean) / max(len(order) - 1, 1) if math.isfinite(cell.mean) else 0
    colour = f"color-mix(in srgb, var(--good) {round(GREENEST * share)}%, var(--card))"
    finite = cell.num - cell.diverged
    spread = f"{cell.low:.4g} to {cell.high:.4g}" if finite > 1 else ""
    lost = f"{cell.diverged} without a score" if cell.diverged else ""
    note = "<br>".join(filter(None, [spread, lost]))
    value = f"{cell.mean:.4g}" if finite else "-"
    return f'<td style="background:{colour}">{value}<small>{note}</small></td>'


def _leaderboard(members: list[dict[str, Any]], names: list[str], metric: str) -> str:
    """Returns a table of the members by rank, their settings first; what is the same for all has no column."""
    columns = {"rank": [str(rank) for rank in range(1, len(members) + 1)]}
    columns |= {name: [_setting(m["hparams"][name]) for m in members] for name in names}
    columns["seed"] = [str(m["seed"]) for m in members]
    columns[metric.rpartition("/")[2]] = [f"{score_of(m):,.4g}" if math.isfinite(score_of(m)) else "-" for m in members]
    columns["member"] = [str(m["number"]) for m in members]
    columns["steps"] = [f"{m['steps']:,}" for m in members]
    columns["status"] = ["" if m["status"] == "running" else m["status"] for m in members]  # the usual one is not shown
    for name in ("seed", "steps", "status"):
        if len(set(columns[name])) == 1:
            del columns[name]
    head = "".join(f"<th>{_escape(name)}</th>" for name in columns)
    rows = ("".join(f"<td>{_escape(cell)}</td>" for cell in row) for row in zip(*columns.values(), strict=True))
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="card wide"><table class="board"><tr>{head}</tr>{body}</table></div>'


def _setting(value: float | None) -> str:
    """Returns a number of a member as text."""
    return "-" if value is None else f"{value:.4g}"


def _best(directory: Path, members: list[dict[str, Any]], names: list[str]) -> str:
    """Returns the picture of the best member that the scan drew at its end; nothing if there is none."""
    drawn = read_json(directory / "best.json")
    found = [m for m in members if m["number"] == drawn.get("member")]
    if not (found and (directory / BEST).exists()):
        return ""
    settings = "".join(f", {name} {_setting(found[0]['hparams'][name])}" for name in names)
    caption = f"Member {found[0]['number']}{settings}, seed {found[0]['seed']}, after {drawn['steps']:,} steps"
    return picture(directory / BEST, caption, 600)


def _curves(members: list[dict[str, Any]]) -> str:
    """Returns score curves over members' own steps, the best in colour; empty before a second evaluation."""
    lines = [[(x, y) for x, y in m["scores"] if y is not None] for m in members]
    points = [point for line in lines for point in line]
    if max(map(len, lines), default=0) < 2:
        return ""
    xs, ys = zip(*points, strict=True)
    width, height, x_span, y_span = 600, 240, max(xs) - min(xs) or 1, max(ys) - min(ys) or 1

    def path(line: list[tuple[int, float]]) -> str:
        right = (10 + (x - min(xs)) / x_span * (width - 20) for x, _ in line)
        down = (height - 10 - (y - min(ys)) / y_span * (height - 20) for _, y in line)
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(right, down, strict=True))

    drawn = [
        f'<polyline fill="none" stroke="var(--{f"c{i}" if i < NUM_COLOURED else "line"})" stroke-width="1.6" '
        f'points="{path(line)}"/>'
        for i, line in reversed(list(enumerate(lines)))
        if line
    ]
    svg = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="score over steps">{"".join(drawn)}</svg>'
    named = [
        f'<li><i style="background:var(--c{i})"></i>member {m["number"]}</li>'
        for i, m in enumerate(members[:NUM_COLOURED])
    ]
    span = f"steps {min(xs):,} to {max(xs):,}, score {min(ys):.4g} to {max(ys):.4g}"
    return f'<div class="card">{svg}<ul class="legend">{"".join(named)}</ul><p class="soft">{span}</p></div>'


def _how(directory: Path, run: dict[str, Any]) -> str:
    """Returns the command, the layout and its timings, and the command that extracts a member."""
    module = f"python -m experiments.{run.get('recipe', 'scan_gan_mnist')}"
    folder = shlex.quote(str(Path(*directory.parts[-3:]) if directory.is_absolute() else directory))
    shown = {
        name: run[name] for name in ("status", "steps", "seconds", "images_per_second", "population") if name in run
    }
    tried = run.get("milliseconds_of_a_member_step", {})
    shown |= {f"ms for a member's step, {name}": value for name, value in tried.items()}
    table = "".join(f"<tr><th>{_escape(n)}</th><td>{_escape(v)}</td></tr>" for n, v in shown.items())
    commands = [run.get("command", module), f"{module} --resume {folder} --extract MEMBER"]
    code = "".join(f"<pre>{_escape(command)}</pre>" for command in commands)
    return f'{code}<div class="card"><table>{table}</table></div>' if table else code
