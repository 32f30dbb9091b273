"""The hyperparameters that a scan varies, as texts (`1e-4,2e-4` or `1e-4..1e-2`), and the settings made from them."""

import dataclasses
import functools
import itertools
from typing import Any, NamedTuple

import numpy as np

from jaxgen.errors import InputError, require
from jaxgen.runs.ledger import Setting


class Range(NamedTuple):
    """A range of values from low to high, log-uniformly distributed."""

    low: float
    high: float


Numbers = tuple[float | None, ...] | Range
HELP = "each is a value, values A,B,C, or with --random a range LOW..HIGH."
"""What follows the flag of a number."""


@functools.cache
def texts_of(hparams: type) -> type:
    """Returns a dataclass with the fields of `hparams` as texts for `parse_numbers`; the same class at each call.

    Its `meanings` is `hparams`, whose docstrings say what each number means.
    """
    fields = [(f.name, str, dataclasses.field(default=_text(f.default))) for f in dataclasses.fields(hparams)]
    made = dataclasses.make_dataclass(f"{hparams.__name__}Texts", fields, frozen=True, namespace={"meanings": hparams})
    made.__doc__ = f"{(hparams.__doc__ or '').partition('.')[0]}: {HELP}"
    return made


def as_texts(hparams: Any) -> Any:
    """Returns hyperparameters as texts of one value each."""
    values = {f.name: _text(getattr(hparams, f.name)) for f in dataclasses.fields(hparams)}
    return texts_of(type(hparams))(**values)


def _text(value: float | None) -> str:
    return str(value)


def parse_numbers(name: str, text: str) -> Numbers:
    """Returns the values or the range that a text means.

    Raises:
      InputError: the text has no numbers, a value twice, or a range that is empty or not above 0.
    """
    low, dots, high = text.partition("..")
    try:
        if dots:
            found = Range(float(low), float(high))
        else:
            found = tuple(None if part.strip() == "None" else float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"hparams.{name}: got {text!r}; accepted: numbers as 1e-4,2e-4 or 1e-4..1e-2") from None
    if isinstance(found, Range):
        require(0 < found.low < found.high < float("inf"), f"hparams.{name}", text, "LOW..HIGH with 0 < LOW < HIGH")
    else:
        require(len(set(found)) == len(found), f"hparams.{name}", text, "each value once")
    return found


def parse_space(texts: Any) -> dict[str, Numbers]:
    """Returns the values or the range of each hyperparameter of a scan by name."""
    return {name: parse_numbers(name, text) for name, text in vars(texts).items()}


def varied(space: dict[str, Numbers]) -> list[str]:
    """Returns the names of the hyperparameters that differ between settings."""
    return [name for name, numbers in space.items() if isinstance(numbers, Range) or len(numbers) > 1]


def grid(space: dict[str, Numbers]) -> list[Setting]:
    """Returns every combination of the values; the last hyperparameter changes first.

    Raises:
      InputError: a hyperparameter has a range.
    """
    for name, numbers in space.items():
        text = f"{numbers[0]:g}..{numbers[1]:g}" if isinstance(numbers, Range) else ""
        require(not text, f"hparams.{name}", text, "a list of values, or a range with --random N")
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]


def draw(space: dict[str, Numbers], seed: int, number: int) -> Setting:
    """Returns the random setting of a number: one value of each list, and a log-uniform value of each range."""
    random = np.random.default_rng((seed, number))
    setting: Setting = {}
    for name, numbers in space.items():
        share = random.random()  # drawn for each hyperparameter, so that the lists of others change nothing here
        if isinstance(numbers, Range):
            setting[name] = float(numbers.low * (numbers.high / numbers.low) ** share)
        else:
            setting[name] = numbers[int(share * len(numbers))]
    return setting
