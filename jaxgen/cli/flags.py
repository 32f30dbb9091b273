"""Flags to values, by tyro; what is refused is said in one line."""

import contextlib
import difflib
import functools
import io
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar

import tyro

from jaxgen.errors import InputError

C = TypeVar("C")
T = TypeVar("T")


def parse(default: C, args: list[str], prog: str, description: str | None) -> C:
    """Flags to a configuration like `default`.

    Raises:
      InputError: a flag or value is not accepted; names it.
      SystemExit: --help was asked for.
    """
    read = functools.partial(tyro.cli, type(default), default=default, args=args, prog=prog, description=description)
    return in_one_line(read, prog)


def call(command: Callable[..., None], args: list[str], prog: str, examples: str) -> None:
    """Calls a command with the flags that its signature names.

    Args:
      command: its first docstring paragraph is shown by --help, and its arguments with their descriptions.
      args: after the command's name.
      prog: what was typed before them.
      examples: lines shown by --help.

    Raises:
      InputError: a flag or value is not accepted, or what the command raises.
    """
    description = f"{about(command)}\n\n{examples}"
    read = functools.partial(tyro.cli, _later(command), args=args, prog=prog, description=description)
    in_one_line(read, prog)()


def about(command: Any) -> str:
    """The first line of a docstring."""
    return (command.__doc__ or "").strip().splitlines()[0]


def in_one_line(read: Callable[[], T], prog: str) -> T:
    """Calls tyro; what it would say in a frame becomes the one line of an `InputError`."""
    caught = io.StringIO()
    try:
        with contextlib.redirect_stderr(caught):
            return read()
    except SystemExit as end:
        if end.code:
            raise InputError(f"{_unboxed(caught.getvalue())} (see {prog} --help)") from None
        raise


def refuse_unknown(what: str, name: str, known: Iterable[str]) -> NoReturn:
    """Raises `InputError` that names what is nearest to `name`, or all that is known where nothing is near."""
    known = list(known)
    near = difflib.get_close_matches(name, known, 3, 0.5) or [k for k in known if name and (name in k or k in name)]
    accepted = f"perhaps {' or '.join(near)}" if near else ", ".join(known)
    raise InputError(f"{what}: got {name!r}; accepted: {accepted}")


def value_of(args: list[str], flag: str) -> str | None:
    """What follows a flag, as `--flag VALUE` or `--flag=VALUE`, before anything is parsed; the last one counts."""
    found = None
    for i, arg in enumerate(args):
        name, equals, value = arg.partition("=")
        if name.replace("_", "-") == flag:
            found = value if equals else next(iter(args[i + 1 : i + 2]), None)
    return found


def _later(command: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """The command's flags, read as it would read them, but its work left for later: what it prints is its own."""

    @functools.wraps(command)
    def read(*args: Any, **kwargs: Any) -> Callable[[], None]:
        return functools.partial(command, *args, **kwargs)

    return read


def _unboxed(text: str) -> str:
    """The message of tyro's framed error, in one line."""
    lines = [line.strip("│ ").strip() for line in text.splitlines() if line.startswith("│")]
    message = []
    for line in lines:
        if line.startswith("──"):
            break
        message.append(line)
    return " ".join(message) or " ".join(text.split())
