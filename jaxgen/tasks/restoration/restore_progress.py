"""How far the restoration of photos is: a bar on a terminal, a line a photo everywhere else."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


class Show(NamedTuple):
    """What tells the user how far it is; made by `open_progress`.

    Attributes:
      watch: (done, total): so many tiles of the present photo are finished.
      done: the present photo is finished; a line about it.
      failed: the present photo is left out; a line that says why, for stderr.
    """

    watch: Callable[[int, int], None]
    done: Callable[[str], None]
    failed: Callable[[str], None]


@contextlib.contextmanager
def open_progress(num_photos: int) -> Iterator[Show]:
    """Shows progress on stdout while the context lasts; without control codes where stdout is no terminal."""
    if sys.stdout.isatty():
        with _bar(num_photos) as show:
            yield show
    else:
        yield Show(lambda done, total: None, _print, _complain)


def _print(line: str) -> None:
    print(line, flush=True)


def _complain(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _bar(num_photos: int) -> Iterator[Show]:
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    # Errors go above the bar where stderr is the same terminal, else to wherever stderr leads.
    with Progress(*columns, console=Console(), redirect_stderr=sys.stderr.isatty()) as progress:
        task = progress.add_task(f"0/{num_photos} photos", total=num_photos)
        finished = 0

        def watch(done: int, total: int) -> None:
            progress.update(task, completed=finished + done / total)

        def finish(tell: Callable[[str], None], line: str) -> None:
            nonlocal finished
            tell(line)
            finished += 1
            progress.update(task, completed=finished, description=f"{finished}/{num_photos} photos")

        yield Show(watch, lambda line: finish(_print, line), lambda line: finish(_complain, line))
