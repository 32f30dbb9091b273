"""Turns the errors of a command into one line and an exit code. Does not import JAX."""

import contextlib
import logging
import signal
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

from jaxgen.errors import InputError


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
