"""How far a run is: a bar on a terminal, plain lines everywhere else."""

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

WINDOW_SECONDS = 30.0
"""Speed is counted over this much of the recent past, pauses for samples and checkpoints included."""
LINE_SECONDS = 10.0
"""Plain lines come at most this often."""


class Progress(NamedTuple):
    """What tells the user how far a run is; made by `open_progress`. Call `close` also when the run fails."""

    update: Callable[[int, Mapping[str, Any]], None]
    """update(step, values): `step` steps are done; values are numbers by `group/name`.

    Values still on their way from a device are waited for, as the speed counts finished work: call it every
    few steps.
    """
    message: Callable[[str], None]
    """message(text): a line of its own, above the bar."""
    close: Callable[[], None]
    """Shows the last update and ends the bar; a second call does nothing."""


class Status(NamedTuple):
    """A moment of a run; speed in images/s and seconds left are None while unknown."""

    step: int
    total_steps: int
    images: int
    speed: float | None
    elapsed: float
    left: float | None
    values: Mapping[str, float]


def open_progress(total_steps: int, start_step: int, batch_size: int, minutes: float | None = None) -> Progress:
    """Starts to show progress on stdout: a bar on a terminal, else a line about every 10 s.

    Where stdout is no terminal (a file, CI, a notebook) no control codes are written.

    Args:
      total_steps: the step at which the run ends.
      start_step: steps done by earlier runs.
      batch_size: images a step.
      minutes: the run also ends after so many minutes from now; None is no such limit.

    Returns:
      The functions that show.
    """
    measure = _make_measure(total_steps, start_step, batch_size, minutes, time.monotonic)
    console = Console(file=sys.stdout)
    # isatty, not console.is_terminal: FORCE_COLOR in a CI job makes that one true.
    if sys.stdout.isatty() and not console.is_dumb_terminal:
        return _open_bar(measure, console)
    return _open_lines(measure, lambda line: print(line, flush=True))


def _make_measure(
    total_steps: int, start_step: int, batch_size: int, minutes: float | None, clock: Callable[[], float]
) -> Callable[[int | None, Mapping[str, Any]], Status]:
    """A function (step, values) -> Status that remembers recent steps; step None asks about now."""
    began = clock()
    marks: deque[tuple[float, int]] = deque()

    def measure(step: int | None, values: Mapping[str, Any]) -> Status:
        values = {name: float(value) for name, value in values.items() if name != "images"}
        now = clock()  # after the values: they may have been waited for
        if step is not None:
            marks.append((now, step))
            while len(marks) > 2 and marks[1][0] <= now - WINDOW_SECONDS:
                marks.popleft()
        step = marks[-1][1] if marks else start_step
        # The first mark, not the start: the time before it is compiling.
        speed = _speed(marks[0], marks[-1]) if marks else None
        limits = [(total_steps - step) / speed] if speed else []
        limits += [minutes * 60 - (now - began)] if minutes is not None else []
        left = max(min(limits), 0.0) if limits else None
        images = step * batch_size
        return Status(step, total_steps, images, speed and speed * batch_size, now - began, left, values)

    return measure


def _speed(old: tuple[float, int], new: tuple[float, int]) -> float | None:
    """Steps a second between two marks (time, step); None where there is nothing between them."""
    seconds, steps = new[0] - old[0], new[1] - old[1]
    return steps / seconds if seconds > 0 and steps > 0 else None


def _open_lines(measure: Callable[..., Status], write: Callable[[str], None]) -> Progress:
    """Progress as plain lines: the first update, then at most one in `LINE_SECONDS`, and the last."""
    shown_at: float | None = None
    unseen: Status | None = None

    def show(status: Status) -> None:
        nonlocal shown_at, unseen
        write(format_line(status))
        shown_at, unseen = status.elapsed, None

    def update(step: int, values: Mapping[str, Any]) -> None:
        nonlocal unseen
        unseen = measure(step, values)
        if shown_at is None or step >= unseen.total_steps or unseen.elapsed - shown_at >= LINE_SECONDS:
            show(unseen)

    def close() -> None:
        if unseen is not None:
            show(unseen)

    return Progress(update, write, close)


def _open_bar(measure: Callable[..., Status], console: Console) -> Progress:
    """Progress as a bar that stays at the bottom of a terminal."""
    latest: Mapping[str, float] = {}
    live = Live(console=console, get_renderable=lambda: render_bar(measure(None, latest)), refresh_per_second=4)
    live.start()

    def update(step: int, values: Mapping[str, Any]) -> None:
        nonlocal latest
        latest = measure(step, values).values

    def message(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    return Progress(update, message, live.stop)


def format_line(status: Status) -> str:
    """One plain line, ASCII: steps, images, and where known images/s, time left and metrics."""
    parts = [f"step {status.step}/{status.total_steps}", f"{status.images:,} images"]
    parts += [f"{format_speed(status.speed)} images/s"] if status.speed else []
    parts += [f"eta {format_seconds(status.left)}"] if status.left is not None else []
    return "  ".join([*parts, *_values(status.values)])


def render_bar(status: Status) -> RenderableType:
    """The bar with its numbers, the metrics on a second line; both cut at the edge of a narrow terminal."""
    speed = f"{format_speed(status.speed)} images/s  " if status.speed else ""
    left = f"  eta {format_seconds(status.left)}" if status.left is not None else ""
    numbers = f"{status.step:,}/{status.total_steps:,}  {speed}{format_seconds(status.elapsed)}{left}"
    row = Table.grid(padding=(0, 2), expand=True)
    row.add_column(ratio=1)
    row.add_column(no_wrap=True, overflow="crop")
    row.add_row(ProgressBar(max(status.total_steps, 1), status.step), Text(numbers, no_wrap=True, overflow="crop"))
    return Group(row, Text("  ".join(_values(status.values)), style="dim", no_wrap=True, overflow="crop"))


def format_seconds(seconds: float) -> str:
    """Seconds as 3:12 or, from an hour on, 1:03:12."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def format_speed(value: float) -> str:
    """A speed with three digits or all of its whole ones: 0.52, 8.31, 1,020."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _values(values: Mapping[str, float]) -> list[str]:
    """Metrics as `name value`."""
    return [f"{name} {value:.3g}" for name, value in values.items()]
