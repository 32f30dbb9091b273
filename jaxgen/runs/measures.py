"""Measures of quality, taken at each checkpoint; the first one chooses the best checkpoint."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxgen.runs.ledger import Ledger, leaderboard
from jaxgen.training.step import TrainState


class Measure(NamedTuple):
    """A number that is measured while a run trains.

    Attributes:
      name: its name among the metrics of the run, `group/name`.
      protocol: one line that says how it is measured.
      evaluate: (state) -> the number.
      higher_is_better: whether a larger number is better.
      describe: (value) -> the number in words, with its unit.
    """

    name: str
    protocol: str
    evaluate: Callable[[TrainState], float]
    higher_is_better: bool = False
    describe: Callable[[float], str] = "{:.4g}".format


Measures = Sequence[Measure]
"""The measures of a task; the first chooses the best checkpoint and ranks the members of a scan. May be empty."""


def score(measure: Measure, value: float) -> float:
    """Returns the score of a value: lower is better, and infinity stands for a value that is not finite."""
    if not math.isfinite(value):
        return math.inf
    return -value if measure.higher_is_better else value


def value_of(measure: Measure, found: float) -> float:
    """Returns the value of a score; the inverse of `score`."""
    return -found if measure.higher_is_better and math.isfinite(found) else found


def best_in_words(ledger: Ledger, measures: Measures) -> str:
    """Returns "; best checkpoint at step ..." with its value by the first measure; "" without measures."""
    entry = leaderboard(ledger)[0]
    scores = [(found, step) for step, found in entry.scores if math.isfinite(found)]
    if not (measures and scores):
        return ""
    found, step = min(scores, key=lambda score: (score[0], -score[1]))  # of equal ones the newest, as is kept
    return f"; best checkpoint at step {step:,}: {measures[0].describe(value_of(measures[0], found))}"
