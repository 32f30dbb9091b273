"""Locks the folder of a run, so that only one process writes there at a time."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from jaxgen.errors import reject
from jaxgen.training import distributed

F = TypeVar("F", bound=Callable[..., Any])
NAME = ".lock"
"""The file in the folder whose lock is held."""


@contextlib.contextmanager
def sole_writer(directory: Path) -> Iterator[None]:
    """Holds the lock of a run's folder; the kernel also releases it if the process is killed.

    In a run of several processes, process 0 takes the lock; if it fails, all processes raise the error. If the file
    system has no locks, the run goes on without one.

    Raises:
      InputError: another process trains there.
    """
    # A soft lock, which is a file with a process number, would outlive a process that is killed.
    lock = FileLock(directory / NAME, fallback_to_soft=False)

    def take() -> str:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return "another process does"
        except OSError:  # no locks here, or a read-only folder: then the first write fails
            return ""
        return ""

    try:
        holder = distributed.decided_by_main(take)
        if holder:
            reject("out", str(directory), f"a run that no other process trains ({holder})")
        yield
    finally:
        lock.release()


def one_writer(train: F) -> F:
    """Decorates a function that trains a run: the lock of a resumed run is held before any of its files is read."""

    @functools.wraps(train)
    def alone(run: Any, *args: Any, **kwargs: Any) -> Any:
        with sole_writer(run.directory) if run.resumed else contextlib.nullcontext():
            return train(run, *args, **kwargs)

    return alone  # type: ignore[return-value]
