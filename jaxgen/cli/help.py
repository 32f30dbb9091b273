"""The help of commands and recipes: the flags that matter first, or with --help-all every flag. Does not import JAX."""

import ast
import dataclasses
import inspect
import itertools
import re
import shutil
import textwrap
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import tyro

ASK = ("-h", "--help", "--help-all")
"""Arguments that ask for help."""
WORDS = {
    "run": "RUN", "runs": "RUN", "resume": "RUN", "model": "RUN", "initial_weights": "RUN", "first": "RUN",
    "second": "RUN", "photos": "PHOTO", "mask": "PHOTO", "folder": "FOLDER", "out": "FOLDER", "data_dir": "FOLDER",
    "what": "FOLDER", "samples": "FOLDER", "inception_weights": "FILE", "ort": "FILE", "checkpoint": "STEP",
    "label": "CLASS", "coordinator": "HOST:PORT", "damage": "DAMAGE", "schedule": "PHASES", "validation": "DATASET",
    "dataset": "DATASET", "reference": "REAL", "seeds": "SEEDS", "latents": "FILE", "grid": "ROWSxCOLUMNS",
    "pictures": "PICTURE", "window": "LOW HIGH", "logger": "MODULE:FUNCTION",
}  # fmt: skip
"""Words for the values of flags that are texts, by name; of others, for example numbers, by type."""
NUMBERS: dict[Any, tuple[str, str]] = {int: ("N", "a whole number"), float: ("X", "a number")}
"""Word and description of numbers by type."""


class Flag(NamedTuple):
    """A flag, or an argument without a flag.

    Attributes:
      name: name with its prefix, such as `hparams.lr`.
      kind: type of the value, for several that of each.
      default: default value; `inspect.Parameter.empty` for none.
      about: what it means.
      group: what its group of a configuration holds.
      positional: whether it is an argument without a flag.
      several: whether it takes several values.
      optional: whether it may be None.
      values: whether it takes the values that a scan tries.
    """

    name: str
    kind: Any
    default: Any
    about: str
    group: str = ""
    positional: bool = False
    several: bool = False
    optional: bool = False
    values: bool = False

    @property
    def option(self) -> str:
        """Returns the name as it is typed."""
        return "--" + self.name.replace("_", "-")

    @property
    def word(self) -> str:
        """Returns the word for the value: N, RUN, FOLDER, ..."""
        if self.values:
            return "VALUES"
        if self.kind in NUMBERS:
            return NUMBERS[self.kind][0]
        if self.name == "out" and Path(str(self.default)).suffix:
            return "FILE"
        return WORDS.get(self.name, "NAME")


def asked_for(args: list[str]) -> bool:
    """Returns whether arguments ask for help."""
    return any(arg in ASK for arg in args)


def help_of(source: Any, prog: str, description: str | None, full: bool) -> str:
    """Returns the help of a command.

    Args:
      source: a configuration, whose values are the defaults, or a function whose arguments are the flags.
      prog: what precedes the flags.
      description: text below the first line.
      full: shows every flag, not only those that the configuration names in `first`.
    """
    flags = flags_of(source)
    first = getattr(source, "first", ()) or [flag.name for flag in flags]
    named = [flag for flag in flags if not flag.positional and (full or flag.name in first)]
    arguments = [flag for flag in flags if flag.positional]
    usage = " ".join([f"usage: {prog}", *map(_usage, arguments), *["[flags]"] * bool(named)])
    groups: dict[str, list[Flag]] = {"flags:": []}
    for flag in named:
        groups.setdefault(flag.group if full or flag.values else "flags:", []).append(flag)
    parts = [usage, inspect.cleandoc(description or ""), _section("arguments:", arguments)]
    parts += [_section(group, inside) for group, inside in groups.items()]
    hidden = " ".join(flag.option for flag in flags if flag not in [*arguments, *named])
    if hidden:
        parts.append(f"more flags, which {prog} --help-all explains:\n{_wrapped(hidden, '  ')}")
    return "\n\n".join(filter(None, parts))


def flags_of(source: Any) -> list[Flag]:
    """Returns the flags of a configuration (a dataclass, nested or not) or of a function."""
    return list(_of_function(source) if inspect.isroutine(source) else _of_config(source, "", ""))


def _of_config(config: Any, prefix: str, group: str) -> Iterator[Flag]:
    """Yields the flags of a configuration."""
    docs = _docs_of_fields(type(config))
    for field in dataclasses.fields(config):
        value, hint, marks = getattr(config, field.name), *_unmarked(field.type)
        if dataclasses.is_dataclass(value):
            inner = "" if tyro.conf.OmitArgPrefixes in marks else f"{prefix}{field.name}."
            about = (inspect.getdoc(type(value)) or "").partition("\n")[0]
            yield from _of_config(value, inner, f"{field.name}: {about}")
        else:
            flag = _flag(prefix + field.name, hint, value, docs.get(field.name, ""), group or "flags:", False)
            yield flag._replace(values=hasattr(config, "meanings"))


def _of_function(function: Callable[..., Any]) -> Iterator[Flag]:
    """Yields the flags of a function with a docstring in Google's style."""
    hints, docs = typing.get_type_hints(function, include_extras=True), _docs_of_arguments(function)
    for name, parameter in inspect.signature(function).parameters.items():
        hint, marks = _unmarked(hints[name])
        flag = _flag(name, hint, parameter.default, docs.get(name, ""), "", tyro.conf.Positional in marks)
        yield flag._replace(several=flag.several and tyro.conf.UseAppendAction not in marks)  # it takes one each time


def _flag(name: str, hint: Any, default: Any, about: str, group: str, positional: bool) -> Flag:
    """Returns the flag of an annotation: X, X | None or tuple[X, ...]."""
    kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
    optional = typing.get_origin(hint) in (types.UnionType, typing.Union)
    several = typing.get_origin(hint) is tuple
    return Flag(name, kinds[0] if optional or several else hint, default, about, group, positional, several, optional)


def _unmarked(hint: Any) -> tuple[Any, list[Any]]:
    """Returns an annotation without tyro's marks, and these."""
    if typing.get_origin(hint) is not typing.Annotated:
        return hint, []
    inner, *marks = typing.get_args(hint)
    return inner, [part for mark in marks for part in (mark if isinstance(mark, tuple) else (mark,))]


def _docs_of_fields(kind: type) -> dict[str, str]:
    """Returns the docstrings below the fields of a dataclass, those of its bases included."""
    found: dict[str, str] = {}
    for base in reversed(getattr(kind, "meanings", kind).__mro__):
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0].body  # type: ignore[attr-defined]
        except (OSError, TypeError):  # made while the program runs, or built in
            continue
        for field, text in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return found


def _docs_of_arguments(function: Callable[..., Any]) -> dict[str, str]:
    """Returns the descriptions below "Args:" in a docstring."""
    section = re.search(r"^Args:\n((?:  .*\n?)*)", inspect.getdoc(function) or "", re.M)
    entries = re.findall(r"^  (\w+): (.*(?:\n    .*)*)", section[1] if section else "", re.M)
    return {name: " ".join(text.split()) for name, text in entries}


def _usage(flag: Flag) -> str:
    """Returns an argument without a flag as the first line of a help shows it."""
    word = f"{flag.word} ..." if flag.several else flag.word
    return word if flag.default is inspect.Parameter.empty else f"[{word}]"


def table(heading: str, rows: Sequence[tuple[str, str]]) -> str:
    """Returns lines below a heading: names, and beside them what they mean; the column is as wide as the names."""
    column = min(max(len(left) for left, _ in rows), 26) + 4
    lines = []
    for left, right in rows:
        text = _wrapped(right, " " * column)
        fits = len(left) + 4 <= column
        lines.append(f"  {left}".ljust(column) + text.lstrip() if fits else f"  {left}\n{text}")
    return "\n".join([_wrapped(heading, ""), *(line.rstrip() for line in lines)])


def _section(heading: str, flags: Sequence[Flag]) -> str:
    """Returns flags below a heading; nothing without flags."""
    return table(heading, [(_typed(flag), _meaning(flag)) for flag in flags]) if flags else ""


def _wrapped(text: str, margin: str) -> str:
    """Returns a text in lines that begin with a margin."""
    width = min(max(shutil.get_terminal_size().columns, 60), 110)
    return textwrap.fill(text, width, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False)


def _typed(flag: Flag) -> str:
    """Returns a flag as it is typed."""
    if flag.positional:
        return flag.word
    if flag.kind is bool:
        return f"{flag.option}, --no-{flag.option[2:]}" if flag.default else flag.option
    return f"{flag.option} {flag.word}" + " ..." * flag.several


def _meaning(flag: Flag) -> str:
    """Returns what a flag means, the names that it accepts and its default."""
    about, default = flag.about, None if flag.values and flag.default == "None" else flag.default
    if default is None:
        about = about.replace("; None: ", "; by default ")
    names = typing.get_args(flag.kind) if typing.get_origin(flag.kind) is Literal else ()
    if not all(name in about for name in names):
        about = f"{about.rstrip('.')}. {'Any' if flag.several else 'One'} of {', '.join(names)}."
    if default is None or default is False or default in ((), "", inspect.Parameter.empty):
        return about
    if isinstance(default, tuple):
        default = " ".join(map(str, default))
    shown = "on" if default is True else f"{default:g}" if isinstance(default, float) else str(default)
    return f"{about} (default: {shown})"
