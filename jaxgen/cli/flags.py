"""Parses flags with tyro; reports an error in one line."""

import contextlib
import difflib
import functools
import io
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import tyro

from jaxgen.cli.help import NUMBERS, Flag, asked_for, flags_of, help_of
from jaxgen.errors import InputError

C = TypeVar("C")
T = TypeVar("T")


def parse(default: C, args: list[str], prog: str, description: str | None) -> C:
    """Returns `default` changed by flags.

    Raises:
      InputError: a flag or value is not accepted; the message names it.
      SystemExit: after --help.
    """
    _help_if_asked(default, args, prog, description)
    read = functools.partial(tyro.cli, type(default), default=default, args=args, prog=prog, description=description)
    return in_one_line(read, prog, default, args)


def call(command: Callable[..., None], args: list[str], prog: str, examples: str) -> None:
    """Calls a command with arguments from the command line.

    Args:
      command: a function; --help shows the first line and the arguments of its docstring.
      args: what follows the command's name.
      prog: what precedes them.
      examples: lines shown by --help.

    Raises:
      InputError: a flag or value is not accepted.
    """
    description = f"{about(command)}\n\n{examples}"
    _help_if_asked(command, args, prog, description)
    config = (tyro.conf.PositionalMetavarFromFieldName,)
    read = functools.partial(tyro.cli, _later(command), args=args, prog=prog, description=description, config=config)
    in_one_line(read, prog, command, args)()


def about(command: Any) -> str:
    """Returns the first line of a docstring."""
    return (command.__doc__ or "").strip().splitlines()[0]


def in_one_line(read: Callable[[], T], prog: str, source: Any, args: list[str]) -> T:
    """Calls tyro and turns its framed error message into an `InputError` of one line.

    Args:
      read: calls tyro.
      prog: what precedes the flags.
      source: the configuration or function that the flags belong to.
      args: what follows `prog`.
    """
    caught = io.StringIO()
    try:
        with contextlib.redirect_stderr(caught):
            return read()
    except SystemExit as end:
        if end.code:
            message = _plainer(_unboxed(caught.getvalue()), flags_of(source), args)
            raise InputError(f"{message} (see {prog} --help)") from None
        raise


def _help_if_asked(source: Any, args: list[str], prog: str, description: str | None) -> None:
    """Prints the help and ends the program if the arguments ask for it."""
    if asked_for(args):
        print(help_of(source, prog, description, "--help-all" in args))
        raise SystemExit(0)


def _plainer(message: str, flags: list[Flag], args: list[str]) -> str:
    """Returns a message of tyro in plain words: what is accepted, or the flag that an unknown one resembles."""
    for flag in flags:
        if f"Error parsing {flag.option}:" in message and flag.kind in NUMBERS:
            accepted = f"{NUMBERS[flag.kind][1]}{', or None' if flag.optional else ''}"
            return f"{flag.option}: got {value_of(args, flag.option)!r}; accepted: {accepted}"
    unknown = re.search(r"Unrecognized options:.*?(--[^\s,=]+)", message)
    if unknown is None or not any(arg.startswith(unknown[1]) for arg in args):
        return message
    wrong = unknown[1]
    near = difflib.get_close_matches(wrong, [flag.option for flag in flags], 2, 0.75)
    return f"{wrong}: no such flag" + (f"; did you mean {' or '.join(near)}?" if near else "")


def refuse_unknown(what: str, name: str, known: Iterable[str]) -> NoReturn:
    """Raises `InputError` with the names most similar to `name`; without a similar one, with all names."""
    known = list(known)
    near = difflib.get_close_matches(name, known, 3, 0.5) or [k for k in known if name and (name in k or k in name)]
    accepted = f"perhaps {' or '.join(near)}" if near else ", ".join(known)
    raise InputError(f"{what}: got {name!r}; accepted: {accepted}")


def value_of(args: list[str], flag: str) -> str | None:
    """Returns the value of a flag (`--flag VALUE` or `--flag=VALUE`) before parsing; the last occurrence counts."""
    found = None
    for i, arg in enumerate(args):
        name, equals, value = arg.partition("=")
        if name.replace("_", "-") == flag:
            found = value if equals else next(iter(args[i + 1 : i + 2]), None)
    return found


def require_own_folder(resume: str | None, out: str | None) -> None:
    """Raises `InputError` if a run that goes on is asked to write to a folder that it does not lie in."""
    if out and resume not in (None, "latest") and Path(out).resolve() not in Path(resume).resolve().parents:
        accepted = f"none with --resume, which goes on in {resume}; --initial-weights {resume} starts a new run"
        raise InputError(f"out: got {out!r}; accepted: {accepted}")


def name_the_latest(args: list[str]) -> list[str]:
    """Returns the arguments with `--resume latest` in place of `--resume` without a value."""
    named = []
    for i, arg in enumerate(args):
        named.append(arg)
        if arg == "--resume" and (i + 1 == len(args) or args[i + 1].startswith("--")):
            named.append("latest")
    return named


def _later(command: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """Returns a function with the same flags that returns the call, so that it can run after parsing."""

    @functools.wraps(command)
    def read(*args: Any, **kwargs: Any) -> Callable[[], None]:
        return functools.partial(command, *args, **kwargs)

    return read


def _unboxed(text: str) -> str:
    """Returns the message inside tyro's frame, in one line."""
    lines = [line.strip("│ ").strip() for line in text.splitlines() if line.startswith("│")]
    message = []
    for line in lines:
        if line.startswith("──"):
            break
        message.append(line)
    return " ".join(message) or " ".join(text.split())
