"""Progress of work: bars by rich on a terminal, plain lines without control codes everywhere else."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    track,
)
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

T = TypeVar("T")
WINDOW_SECONDS = 30.0
"""Length of the recent past over which throughput is averaged, pauses for samples and checkpoints included."""
LINE_SECONDS = 10.0
"""Shortest time between two plain lines."""
ONE_LINE = Column(no_wrap=True, overflow="crop")


class Progress(NamedTuple):
    """The functions that show the progress of a training, made by `open_progress`; call `close` after failures too."""

    update: Callable[[int, Mapping[str, Any]], None]
    """update(step, values): shows that `step` steps are done, and metrics by `group/name`.

    It waits for values that a device still computes, so that only finished work is counted: call it every few steps.
    """
    message: Callable[[str], None]
    """message(text): prints a line of its own, above the bar."""
    close: Callable[[], None]
    """close(): shows the last update and ends the bar; a second call does nothing."""


class PhotoProgress(NamedTuple):
    """The functions that show the progress of a restoration of photos, made by `open_photo_progress`."""

    watch: Callable[[int, int], None]
    """watch(done, total): shows that `done` of `total` tiles of the current photo are finished."""
    done: Callable[[str], None]
    """done(line): counts the current photo as finished and prints a line about it."""
    failed: Callable[[str], None]
    """failed(line): counts the current photo as left out and prints the reason to stderr."""


def open_progress(
    total_steps: int, start_step: int, batch_size: int, minutes: float | None = None, images_before: int | None = None
) -> Progress:
    """Starts to show the progress of a training on stdout: as a bar on a terminal, else as a line every 10 s.

    Args:
      total_steps: number of the step at which the training ends.
      start_step: number of steps done by earlier runs.
      batch_size: number of images in a step.
      minutes: the training also ends this many minutes from now; None sets no such limit.
      images_before: number of images in the steps done; None for steps of `batch_size`.

    Returns:
      The functions that show the progress.
    """
    bars, task = _track_training(total_steps, start_step, batch_size, minutes)
    if images_before is not None:
        bars.update(task.id, extra=images_before - start_step * batch_size)
    if _on_terminal():
        return _open_bar(bars, task)
    return _open_lines(bars, task, lambda line: print(line, flush=True))


@contextlib.contextmanager
def open_photo_progress(num_photos: int, what: str = "photos") -> Iterator[PhotoProgress]:
    """Shows the progress of a restoration: one bar for all photos on a terminal, and a line for each photo."""
    photos = TextColumn(f"{{task.fields[finished]}}/{{task.total}} {what}")
    columns = (BarColumn(), TaskProgressColumn(), photos, TimeRemainingColumn())
    # Errors go above the bar where stderr is the same terminal, else to wherever stderr leads.
    shown, console = _on_terminal(), Console(file=sys.stdout)
    with Bars(*columns, console=console, disable=not shown, redirect_stderr=sys.stderr.isatty()) as bars:
        bars.add_task("", total=num_photos, finished=0)
        (task,) = bars.tasks

        def watch(done: int, total: int) -> None:
            bars.update(task.id, completed=task.fields["finished"] + done / total)

        def finish(line: str, failed: bool) -> None:
            print(line, file=sys.stderr if failed else sys.stdout, flush=True)
            finished = task.fields["finished"] + 1
            bars.update(task.id, completed=finished, finished=finished)

        yield PhotoProgress(watch, lambda line: finish(line, False), lambda line: finish(line, True))


def track_pass(what: str, items: Iterable[T], num: int) -> Iterator[T]:
    """Yields the items of a pass over data; shows a bar on a terminal, elsewhere a line with the time at the end.

    Args:
      what: name of the pass.
      items: items of the pass.
      num: number of items.
    """
    began, shown = time.monotonic(), _on_terminal()
    yield from track(items, what, num) if shown else items
    if not shown:
        print(f"{what}: {time.monotonic() - began:.1f} s", flush=True)


def _on_terminal() -> bool:
    """Returns whether stdout can show a bar. Rich alone would accept FORCE_COLOR, which CI jobs set."""
    return sys.stdout.isatty() and not Console(file=sys.stdout).is_dumb_terminal


class _Computed(ProgressColumn):
    """A column with the text that a function returns for a task."""

    def __init__(self, text_fn: Callable[[Task], str]) -> None:
        super().__init__(ONE_LINE)
        self._text_fn = text_fn

    def render(self, task: Task) -> Text:
        """Returns the text."""
        return Text(self._text_fn(task))


def _track_training(
    total_steps: int,
    start_step: int,
    batch_size: int,
    minutes: float | None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Bars, Task]:
    """Returns a bar, not shown yet, and its task, which counts steps and measures their speed."""
    bars = Bars(
        BarColumn(None, table_column=Column(ratio=1)),
        TextColumn("{task.completed:,}/{task.total:,}", table_column=ONE_LINE),
        _Computed(_format_throughput),
        TimeElapsedColumn(ONE_LINE),
        _Computed(_format_eta),
        console=Console(file=sys.stdout),
        expand=True,
        get_time=clock,
    )
    limit = None if minutes is None else 60 * minutes
    fields = {"batch_size": batch_size, "limit": limit, "values": {}, "updated": clock(), "extra": 0}
    bars.add_task("", total=total_steps, completed=start_step, **fields)
    return bars, bars.tasks[0]


def _update(bars: Bars, task: Task, step: int, values: Mapping[str, Any]) -> None:
    """Updates the task: `step` steps are done."""
    numbers = {name: float(value) for name, value in values.items() if name != "images"}
    now = bars.get_time()  # after the values, as a device may have computed them until now
    # Rich drops older samples and needs two of them, which slow steps would not leave in the window.
    bars.speed_estimate_period = max(WINDOW_SECONDS, 2 * (now - task.fields["updated"]))
    bars.update(task.id, completed=step, values=numbers, updated=now)


def _open_lines(bars: Bars, task: Task, write: Callable[[str], None]) -> Progress:
    """Shows a training as plain lines: the first update, then at most one in `LINE_SECONDS`, and the last."""
    shown_at: float | None = None
    pending = False

    def show() -> None:
        nonlocal shown_at, pending
        write(format_line(task))
        shown_at, pending = task.elapsed, False

    def update(step: int, values: Mapping[str, Any]) -> None:
        nonlocal pending
        _update(bars, task, step, values)
        pending = True
        if shown_at is None or step >= task.total or task.elapsed - shown_at >= LINE_SECONDS:
            show()

    def close() -> None:
        if pending:
            show()

    return Progress(update, write, close)


def _open_bar(bars: Bars, task: Task) -> Progress:
    """Shows a training as a bar that stays at the bottom of a terminal."""
    live = Live(console=bars.console, get_renderable=lambda: _render(bars, task), refresh_per_second=4)
    live.start()

    def message(text: str) -> None:
        bars.console.print(text, markup=False, highlight=False, soft_wrap=True)

    return Progress(lambda step, values: _update(bars, task, step, values), message, live.stop)


def _render(bars: Bars, task: Task) -> Group:
    """Returns the bar and, on a second line, the metrics; a narrow terminal crops both."""
    metrics = Text("  ".join(_format_metrics(task)), style="dim", no_wrap=True, overflow="crop")
    return Group(bars, metrics)


def format_line(task: Task) -> str:
    """Returns a plain ASCII line with steps, images and, where they are known, images/s, time left and metrics."""
    images = task.completed * task.fields["batch_size"] + task.fields["extra"]
    counts = [f"step {task.completed}/{task.total}", f"{images:,} images"]
    return "  ".join(filter(None, [*counts, _format_throughput(task), _format_eta(task), *_format_metrics(task)]))


def _format_throughput(task: Task) -> str:
    """Returns the images per second; empty while unknown."""
    return f"{format_speed(task.speed * task.fields['batch_size'])} images/s" if task.speed else ""


def _format_eta(task: Task) -> str:
    """Returns the time until the last step or the limit, whichever comes first; empty while unknown."""
    limit = task.fields["limit"]
    ends = [task.remaining / task.speed] if task.speed else []
    ends += [limit - task.elapsed] if limit is not None else []
    return f"eta {format_seconds(max(min(ends), 0.0))}" if ends else ""


def _format_metrics(task: Task) -> list[str]:
    """Returns each metric as `name value`."""
    return [f"{name} {value:.3g}" for name, value in task.fields["values"].items()]


def format_seconds(seconds: float) -> str:
    """Returns seconds as 3:12 or, from an hour on, as 1:03:12."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def format_speed(value: float) -> str:
    """Returns a speed with three digits, or with all digits before the point: 0.52, 8.31, 1,020."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
