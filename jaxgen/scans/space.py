"""What a scan varies: numbers as text, `1e-4,2e-4` or `1e-4..1e-2`, and the settings that they give."""

import dataclasses
import functools
import itertools
from typing import Annotated, Any, NamedTuple

import numpy as np
import tyro

from jaxgen.errors import InputError, require
from jaxgen.runs.ledger import Setting


class Range(NamedTuple):
    """Values from low to high, equally likely in each decade."""

    low: float
    high: float


Numbers = tuple[float | None, ...] | Range
HELP = "A value, values A,B,C, or with --random a range LOW..HIGH."


@functools.cache
def texts_of(hparams: type) -> type:
    """A dataclass with the fields of `hparams`, each a text that `parse_numbers` reads; the same one at each call."""
    kind = Annotated[str, tyro.conf.arg(help=HELP)]
    fields = [(f.name, kind, dataclasses.field(default=_text(f.default))) for f in dataclasses.fields(hparams)]
    return dataclasses.make_dataclass(f"{hparams.__name__}Texts", fields, frozen=True)


def as_texts(hparams: Any) -> Any:
    """Numbers as texts of one value each."""
    values = {f.name: _text(getattr(hparams, f.name)) for f in dataclasses.fields(hparams)}
    return texts_of(type(hparams))(**values)


def _text(value: float | None) -> str:
    return str(value)


def parse_numbers(name: str, text: str) -> Numbers:
    """The values or the range that a text means.

    Raises:
      InputError: not numbers, a value twice, or a range that is empty or reaches down to 0.
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
    """All numbers of a scan by name."""
    return {name: parse_numbers(name, text) for name, text in vars(texts).items()}


def varied(space: dict[str, Numbers]) -> list[str]:
    """Names of the numbers that differ from setting to setting."""
    return [name for name, numbers in space.items() if isinstance(numbers, Range) or len(numbers) > 1]


def grid(space: dict[str, Numbers]) -> list[Setting]:
    """Every combination of the values, the last number changing first.

    Raises:
      InputError: there is a range.
    """
    for name, numbers in space.items():
        text = f"{numbers[0]:g}..{numbers[1]:g}" if isinstance(numbers, Range) else ""
        require(not text, f"hparams.{name}", text, "a list of values, or a range with --random N")
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]


def draw(space: dict[str, Numbers], seed: int, number: int) -> Setting:
    """Random setting `number` of a scan: from each list a value, from each range log-uniformly."""
    random = np.random.default_rng((seed, number))
    setting: Setting = {}
    for name, numbers in space.items():
        share = random.random()  # one for each number, so that a longer list elsewhere changes nothing here
        if isinstance(numbers, Range):
            setting[name] = float(numbers.low * (numbers.high / numbers.low) ** share)
        else:
            setting[name] = numbers[int(share * len(numbers))]
    return setting
