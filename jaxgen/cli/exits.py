"""Turns the errors of a command into one line and an exit code. Does not import JAX."""

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from jaxgen.errors import InputError

UNSAVED = "interrupted before the first checkpoint: nothing to save"


@contextlib.contextmanager
def exit_cleanly() -> Iterator[None]:
    """Turns errors into one line and an exit code: 2 for bad input, 1 for divergence or I/O errors, 130 for Ctrl-C."""
    logging.basicConfig(level=logging.WARNING)
    for handler in logging.getLogger().handlers:  # imported packages may have set up their own
        if type(handler) is logging.StreamHandler:
            handler.setFormatter(logging.Formatter("%(message)s"))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except InputError as error:
        fail(str(error), 2)
    except BrokenPipeError:  # for example `| head`
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        fail(f"{error.filename or 'output'}: {error.strerror or error}", 1)
    except KeyboardInterrupt:
        fail("interrupted; what was finished is kept", 130)
    except _loaded("jaxgen.errors", "NonFiniteError") as error:
        fail(str(error), 1)
    except (
        *_loaded("jaxgen.training.distributed", "LostProcessError"),
        *_loaded("jax.errors", "JaxRuntimeError"),
    ) as error:
        import jax

        if jax.process_count() == 1:
            raise
        from jaxgen.training.distributed import LOST

        fail(f"{LOST} ({str(error).splitlines()[0]})", 1)


@contextlib.contextmanager
def nothing_to_save(folder: Callable[[], Path | None]) -> Iterator[None]:
    """Ends the process at once, with one line and 0, at SIGINT or SIGTERM while a run has no folder yet.

    An exception would be lost, or become another one, within the import of a large package. Once there is a folder
    a signal raises KeyboardInterrupt.
    """

    def handle(number: int, frame: Any) -> None:
        found = folder()
        if found is None or not found.exists():
            os.write(sys.stdout.fileno(), f"{UNSAVED}\n".encode())  # printing may be what was interrupted
            os._exit(0)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def fail(message: str, code: int) -> NoReturn:
    """Prints one line to stderr and exits."""
    line = f"error: {' '.join(message.split())}"
    distributed = sys.modules.get("jaxgen.training.distributed")
    if distributed is not None:
        distributed.leave(line, code)
    print(line, file=sys.stderr, flush=True)
    sys.exit(code)


def _loaded(module: str, name: str) -> tuple[Any, ...]:
    """Returns an exception class of a module as a tuple for `except`, empty if the module is not imported."""
    return (getattr(sys.modules[module], name),) if module in sys.modules else ()
