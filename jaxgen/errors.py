"""The error for unacceptable input, and checks that raise it with the field, the value and what is accepted."""

import dataclasses
import typing
from typing import Any, Literal


class InputError(ValueError):
    """The error for unacceptable input of the user; the command line prints the message alone and exits with 2."""


def reject(field: str, value: Any, accepted: str) -> typing.NoReturn:
    """Raises an `InputError` that names the field, the value and what is accepted."""
    raise InputError(f"{field}: got {value!r}; accepted: {accepted}")


def require(condition: bool, field: str, value: Any, accepted: str) -> None:
    """Raises `InputError` unless `condition` holds."""
    if not condition:
        reject(field, value, accepted)


def require_choices(config: Any) -> None:
    """Raises `InputError` if a field annotated with a `Literal`, or a tuple of them, holds another value."""
    for field, hint in typing.get_type_hints(type(config)).items():
        value, args = getattr(config, field), typing.get_args(hint)
        if typing.get_origin(hint) is Literal:
            require(value in args, field, value, ", ".join(map(str, args)))
        elif args and typing.get_origin(args[0]) is Literal:
            choices = typing.get_args(args[0])
            require(set(value) <= set(choices), field, value, f"some of {', '.join(choices)}")


class NonFiniteError(RuntimeError):
    """The error for a loss or a parameter that is infinite or not a number."""


def require_numbers(hparams: Any, below_one: tuple[str, ...]) -> None:
    """Raises `InputError` unless all fields are finite and 0 or more, those of `below_one` below 1."""
    for f in dataclasses.fields(hparams):
        value = getattr(hparams, f.name)
        require(value is None or (value >= 0 and value < float("inf")), f"hparams.{f.name}", value, "0 or more")
    for field in below_one:
        require(getattr(hparams, field) < 1, f"hparams.{field}", getattr(hparams, field), "at least 0 and below 1")
    images = hparams.schedule_images
    require(images is None or images > 0, "hparams.schedule_images", images, "above 0, or None")
