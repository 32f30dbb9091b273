"""What is measured at each checkpoint; one of the measures chooses the best."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxgen.training.step import TrainState


class Measure(NamedTuple):
    """One number that is followed while a run trains.

    Attributes:
      name: among the metrics of the run, `group/name`.
      protocol: what it depends on, in one line.
      evaluate: (state) -> the number.
      higher_is_better: whether a larger number is better.
    """

    name: str
    protocol: str
    evaluate: Callable[[TrainState], float]
    higher_is_better: bool = False


Measures = Sequence[Measure]
"""The first of them chooses the best checkpoint and ranks the members of a scan; there may be none."""


def score(measure: Measure, value: float) -> float:
    """Returns the number by which values are compared: lower is better, infinite where the value is not finite."""
    if not math.isfinite(value):
        return math.inf
    return -value if measure.higher_is_better else value


def value_of(measure: Measure, found: float) -> float:
    """Returns the value of a score: the inverse of `score`."""
    return -found if measure.higher_is_better and math.isfinite(found) else found
