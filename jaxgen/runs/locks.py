"""One process writes to a run's folder at a time."""

import contextlib
import errno
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from jaxgen.errors import reject
from jaxgen.training import distributed

try:
    import fcntl
except ImportError:  # no such locks on this system
    fcntl = None  # type: ignore[assignment]

F = TypeVar("F", bound=Callable[..., Any])
NAME = ".lock"
"""File of a run's folder that its process holds a lock on."""


@contextlib.contextmanager
def sole_writer(directory: Path) -> Iterator[None]:
    """Holds the lock of a run's folder; the kernel lets go of it when the process ends, however it ends.

    Of several processes process 0 takes it and all are refused together. Where the file system has no locks, all
    goes on without.

    Raises:
      InputError: another process trains there.
    """
    held = contextlib.ExitStack()

    def take() -> str:
        descriptor = _open(directory)
        if descriptor is None:
            return ""
        held.callback(os.close, descriptor)
        return _lock(descriptor)

    with held:
        holder = distributed.decided_by_main(take)
        if holder:
            reject("out", str(directory), f"a run that no other process trains ({holder} does)")
        yield


def one_writer(train: F) -> F:
    """Decorates a function of a run that may be resumed: nothing is read of it before its lock is held."""

    @functools.wraps(train)
    def alone(run: Any, *args: Any, **kwargs: Any) -> Any:
        with sole_writer(run.directory) if run.resumed else contextlib.nullcontext():
            return train(run, *args, **kwargs)

    return alone  # type: ignore[return-value]


def _open(directory: Path) -> int | None:
    """A descriptor of the lock's file; None where there can be none, as writing there will say better."""
    if fcntl is None:
        return None
    try:
        return os.open(directory / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return None


def _lock(descriptor: int) -> str:
    """Takes the lock and notes who has it; else who that is."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
            return ""
        number = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        return f"process {number}" if number.isdecimal() else "another process"
    with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return ""
