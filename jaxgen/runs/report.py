"""Writes report.html, a self-contained page about a run, from the files in the run folder."""

import base64
import html
import io
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from jaxgen.errors import InputError
from jaxgen.files import read_json, write_bytes
from jaxgen.progress import format_seconds, format_speed
from jaxgen.runs.curves import images_at, is_evaluation
from jaxgen.runs.panels import panels
from jaxgen.runs.reading import COUNTERS, flatten, measured_names, read_metrics, read_run
from jaxgen.runs.report_style import STYLE

MAX_GRIDS = 8
"""The most grids of samples over time that are shown."""


class Picture(NamedTuple):
    """A picture in a run folder: its file, title and caption, and its greatest width on the page in pixels."""

    file: str
    title: str
    caption: str
    width: int = 900


def write_report(run_dir: Path, pictures: Sequence[Picture] = (), commands: Sequence[str] = ()) -> Path:
    """Writes report.html: one file that contains its pictures and loads nothing from the internet.

    Args:
      run_dir: the run folder, OUT/RECIPE/TIMESTAMP, with config.json, run.json, metrics.jsonl, pictures,
        samples/STEP.png and evaluation/PROTOCOL.json; missing files are left out of the report.
      pictures: pictures in the folder, in the order in which they are shown.
      commands: commands that use the trained model, with {run} for the run folder.

    Returns:
      The path of report.html.

    Raises:
      InputError: there is no such folder, or a file in it is damaged.
    """
    run_dir = Path(run_dir)
    if not run_dir.is_dir():
        raise InputError(f"{run_dir}: no such folder; accepted: a run folder")
    run, rows, config = read_run(run_dir), read_metrics(run_dir), read_json(run_dir / "config.json")
    recipe = str(run.get("recipe", run_dir.resolve().parent.name))
    sections = [
        _headline(recipe, run, rows, read_evaluations(run_dir / "evaluation")),
        *(_section(p.title, picture(run_dir / p.file, p.caption, p.width)) for p in pictures),
        _section("Quality", _quality(read_json(run_dir / "table.json"))),
        _section("Evaluation", _evaluations(read_evaluations(run_dir / "evaluation"))),
        _section("Over time", _grids_over_time(run_dir, rows)),
        _section("Curves", panels(rows)),
        _section("Final metrics", _card(_final_values(rows))),
        _section("How it was run", _commands(run_dir, run, commands) + _facts(run)),
        _section("Configuration", _config(config)),
    ]
    page = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_escape(recipe)} · jaxgen</title><style>{STYLE}</style></head>
<body><main>{"".join(sections)}</main></body></html>
"""
    write_bytes(run_dir / "report.html", page.encode())
    return run_dir / "report.html"


def _escape(value: Any) -> str:
    """Returns a JSON value as text for HTML."""
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return html.escape(str(value))


def _section(title: str, body: str) -> str:
    """Returns a section of the page with a heading; nothing if its body is empty."""
    return f"<section><h2>{title}</h2>{body}</section>\n" if body else ""


def _card(body: str) -> str:
    """Returns a body in a frame; nothing if it is empty."""
    return f'<div class="card">{body}</div>' if body else ""


def _headline(recipe: str, run: Mapping[str, Any], rows: list[dict[str, Any]], evaluations: dict[Path, Any]) -> str:
    """Returns the head of the page: the recipe, the time of the start, quality, steps, images, time, speed, status."""
    steps = run.get("steps") or (rows[-1]["step"] if rows else 0)
    images = images_at(rows, steps)
    seconds = sum(call.get("seconds") or 0.0 for call in run.get("history") or [run])  # of all calls
    speed, status = run.get("images_per_second"), str(run.get("status") or "")
    facts = quality_facts(rows, [*evaluations.values()]) | {
        "Steps": f"{steps:,}" if steps else None,
        "Images seen": f"{round(images):,}" if images else None,
        "Time": format_seconds(float(seconds)) if seconds else None,
        "Images a second": format_speed(float(speed)) if speed else None,
        "Status": _escape(status) or None,
    }
    tone = "bad" if "fail" in status or "error" in status else "good" if status.startswith("complete") else "soft"
    cells = "".join(
        f"<div><dt>{name}</dt><dd{f' class={tone}' if name == 'Status' else ''}>{value}</dd></div>"
        for name, value in facts.items()
        if value is not None
    )
    started = f" · started {_escape(run['started'])}" if "started" in run else ""
    stats = f'<dl class="stats">{cells}</dl>' if cells else ""
    judge, names = run.get("best_checkpoint_by"), measured_names(rows)
    if judge and names:
        stats += f'<p class="soft">Best checkpoint ({_escape(names[0])}): {_escape(judge)}</p>'
    return f'<header><p class="soft">jaxgen run{started}</p><h1>{_escape(recipe)}</h1>{stats}</header>\n'


def quality_facts(rows: list[dict[str, Any]], evaluations: list[dict[str, Any]]) -> dict[str, str]:
    """Returns the last value of the measure that chooses the best checkpoint, and the figure of the last evaluation.

    Args:
      rows: what `read_metrics` returns.
      evaluations: the files of the folder evaluation/.
    """
    facts = {}
    for name in measured_names(rows)[:1]:
        step, value = [(row["step"], row[name]) for row in rows if name in row][-1]
        facts[f"{_escape(name)}, step {step:,}"] = "not finite" if value is None else f"{value:,.4g}"
    for record in sorted(evaluations, key=lambda record: record.get("step") or 0)[-1:]:
        figures = record.get("figures", {})
        name = "frechet_multiple" if "frechet_multiple" in figures else next(iter(figures), None)
        if name is not None:
            value = figures[name].get("value")
            label = "× the distance of real images" if name == "frechet_multiple" else _escape(name)
            about = f"{label}, {_escape(record.get('protocol', {}).get('name', 'evaluation'))}"
            facts[about] = "not finite" if value is None else f"{value:,.4g}"
    return facts


def read_evaluations(folder: Path) -> dict[Path, Any]:
    """Returns the contents of the files of the folder evaluation/ by path."""
    return {path: read_json(path) for path in sorted(folder.glob("*.json"))}


def _evaluations(records: dict[Path, Any]) -> str:
    """Returns the figures of each evaluation of the run with their protocol."""
    parts = []
    for path, record in records.items():
        about = {"step": record.get("step")} | record.get("protocol", {})
        figures = {name: _figure(**figure) for name, figure in record.get("figures", {}).items()}
        caption = "Generated images, each above the training image nearest to it"
        pairs = picture(path.with_name(f"{path.stem}-closest.png"), caption, 900)
        parts.append(_cards({"figures": figures, "protocol": about}) + pairs)
    return "".join(parts)


def _quality(table: Mapping[str, Any]) -> str:
    """Returns PSNR in dB / SSIM for each damage: of the damaged input, of the baselines and of the restorer."""
    scores = {
        f"{row['damage']} {row['level']}": {
            name: f"{score['psnr']:.2f} dB" + (f" / {score['ssim']:.3f}" if "ssim" in score else "")
            for name, score in row["scores"].items()
        }
        for row in table.get("rows", [])
    }
    return _cards(scores)


def _figure(value: float | None, low: float | None, high: float | None) -> str:
    """Returns a value with its interval, in four digits; None stands for a value that was not finite."""
    shown = "not finite" if value is None else f"{value:.4g}"
    return shown if low is None or high is None else f"{shown} [{low:.4g}, {high:.4g}]"


def picture(path: Path, caption: str, room: int) -> str:
    """Returns a PNG or GIF, enlarged by a whole number up to `room` pixels; nothing if the file is missing."""
    if not path.exists():
        return ""
    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        width, height, kind = *image.size, str(image.format).lower()
    factor = max(room // width, 1)
    style = ' class="pixels"' if factor > 1 else ""
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    size = f'width="{width * factor}" height="{height * factor}"'
    tag = f'<img{style} {size} alt="{_escape(caption)}" src="{source}">'
    return f"<figure>{tag}<figcaption>{_escape(caption)}</figcaption></figure>"


def _grids_over_time(run_dir: Path, rows: list[dict[str, Any]]) -> str:
    """Returns grids of the same latents, evenly spaced over the run, with the first and the last."""
    paths = sorted(path for path in (run_dir / "samples").glob("*.png") if path.stem.isdecimal())
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(len(paths), MAX_GRIDS)).round().astype(int))
    figures = []
    for path in (paths[index] for index in chosen):
        step = int(path.stem)
        images = images_at(rows, step)
        seen = "" if images is None else f" · {round(images):,} images"
        figures.append(picture(path, f"Step {step:,}{seen}", 400))
    return f'<div class="time">{"".join(figures)}</div>' if figures else ""


def _final_values(rows: list[dict[str, Any]]) -> str:
    """Returns a table with the last value of each metric and its step."""
    last = {}
    for row in rows:
        for name in (name for name in row if name not in COUNTERS and not is_evaluation(name)):
            value = "not finite" if row[name] is None else f"{row[name]:.5g}"
            last[name] = f"{value} (step {row['step']:,})"
    return _table(dict(sorted(last.items())))


def _table(values: Mapping[str, Any]) -> str:
    """Returns a table of names and values, nested ones by names with dots; without those that say nothing."""
    said = {name: value for name, value in flatten(values).items() if value is not None and value != []}
    cells = ((_escape(name), _escape(value)) for name, value in said.items())
    rows = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in cells)
    return f"<table>{rows}</table>" if rows else ""


def _cards(groups: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns tables in frames, side by side if there is room."""
    tables = {name: _table(values) for name, values in groups.items()}
    cards = [_card(f"<h3>{_escape(name)}</h3>{table}") for name, table in tables.items() if table]
    return f'<div class="two">{"".join(cards)}</div>' if cards else ""


def _commands(run_dir: Path, run: Mapping[str, Any], commands: Sequence[str]) -> str:
    """Returns the commands that repeat the run and that use the trained model."""
    command = run.get("command")
    again = shlex.join(command) if isinstance(command, list) else command
    # An absolute path would show a reader how its owner's disk is laid out.
    folder = Path(*run_dir.parts[-3:]) if run_dir.is_absolute() else run_dir
    repeat = f'<p class="soft">Run it again</p><pre>{_escape(again)}</pre>' if again else ""
    quoted = shlex.quote(str(folder))
    use = "".join(f"<pre>{_escape(command.format(run=quoted))}</pre>" for command in commands)
    return repeat + (f'<p class="soft">Use it</p>{use}' if use else "")


def _facts(run: Mapping[str, Any]) -> str:
    """Returns tables of what run.json holds besides the headline: data, hardware, versions, notes."""
    shown = ("command", "recipe", "started", "status", "steps", "seconds", "images_per_second")
    rest = {name: value for name, value in run.items() if name not in shown}
    calls = rest.pop("history", [])
    if len(calls) > 1:  # a run that was resumed
        rest["calls"] = {f"{n}": _call(call) for n, call in enumerate(calls, start=1)}
    hardware = dict(rest.get("hardware") or {})
    if isinstance(hardware.get("devices"), Mapping):
        hardware["devices"] = [f"{count} × {kind}" for kind, count in hardware["devices"].items()]
    versions = hardware.pop("versions", {})
    rest |= {"hardware": hardware, "versions": rest.get("versions", versions)}
    groups = {name: value for name, value in rest.items() if isinstance(value, Mapping)}
    return _cards({"run": {name: value for name, value in rest.items() if name not in groups}} | groups)


def _call(call: Mapping[str, Any]) -> str:
    """Returns one call of a resumed run in words."""
    return f"{call.get('started')}: {call.get('status')} at step {call.get('steps')}, {call.get('command')}"


def _config(config: Mapping[str, Any]) -> str:
    """Returns the whole configuration, one table for each group; fields of no group come first."""
    groups = {name: value for name, value in config.items() if isinstance(value, Mapping)}
    return _cards({"general": {name: value for name, value in config.items() if name not in groups}} | groups)
