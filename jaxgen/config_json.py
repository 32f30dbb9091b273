"""Conversion of configurations to JSON and back; it refuses unknown fields and values of another type."""

import dataclasses
import json
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

from jaxgen.errors import InputError, require
from jaxgen.files import read_json, write_bytes

T = TypeVar("T")


def to_dict(config: Any) -> dict[str, Any]:
    """Returns a dataclass as a plain dict of JSON values; tuples become lists."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(cls: type[T], values: Any, prefix: str = "") -> T:
    """Returns the dataclass `cls` of a dict, nested dataclasses included.

    Raises:
      InputError: not a dict, a field is unknown, or a value is not of the field's type.
    """
    require(
        isinstance(values, dict), prefix.rstrip(".") or "config", values, f"an object with the fields of {cls.__name__}"
    )
    hints = typing.get_type_hints(cls)
    known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name in values:
        require(name in known, f"{prefix}{name}", values[name], f"fields of {cls.__name__}: {', '.join(sorted(known))}")
    return cls(**{name: _parse(hints[name], value, f"{prefix}{name}") for name, value in values.items()})


def _parse(hint: Any, value: Any, field: str) -> Any:
    """Returns a JSON value as the annotated type."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _parse(args[0], value, field)
    if dataclasses.is_dataclass(hint):
        return from_dict(hint, value, f"{field}.")
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in args:
            return None
        return _parse(next(a for a in args if a is not type(None)), value, field)
    if origin is tuple:
        require(isinstance(value, list | tuple), field, value, "a list")
        return tuple(_parse(args[0], item, field) for item in value)
    if origin is Literal:
        require(value in args, field, value, ", ".join(map(str, args)))
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    require(isinstance(value, hint) and (hint is bool or not isinstance(value, bool)), field, value, hint.__name__)
    return value


def save_config(config: Any, path: Path) -> None:
    """Writes a configuration as indented JSON, completely or not at all."""
    write_bytes(path, (json.dumps(to_dict(config), indent=2) + "\n").encode())


def load_config(cls: type[T], path: Path, update: Callable[[Any], Any] = lambda values: values) -> T:
    """Reads a configuration that `save_config` wrote; `update` brings what older versions wrote up to date.

    Raises:
      InputError: no such file, not JSON, unknown fields or values of the wrong type.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file; accepted: a run folder with a config.json")
    return from_dict(cls, update(read_json(path)))
