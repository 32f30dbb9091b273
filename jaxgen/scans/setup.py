"""The parts of a scan that do not change while it runs: its members, its data and its algorithm."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxgen.data.base import Source
from jaxgen.data.canaries import flip_coins, with_all_canaries
from jaxgen.errors import require
from jaxgen.runs.ledger import Ledger, Setting, new_members
from jaxgen.runs.measures import Measures
from jaxgen.scans.space import draw, grid, parse_space, varied
from jaxgen.tasks import table
from jaxgen.tasks.base import Task, facts_of
from jaxgen.tasks.initial_weights import warm_start
from jaxgen.training.parallel import STEPS_PER_DISPATCH
from jaxgen.training.population import parse_layout
from jaxgen.training.step import Algorithm, TrainState

SEGMENTS = 8
"""The number of segments of a scan with halving; a setting is judged after 1, 2 and 4 segments of its own."""


class Scan(NamedTuple):
    """The parts of a scan that do not change while it runs.

    Attributes:
      task: the task.
      config: configuration of the scan, with the fields `scan`, `hparams` (texts) and `train`.
      algorithm: the algorithm of all members.
      source: the training images of the first seed.
      source_of: (seed) -> the training images of its members, which differ where coins leave canaries out.
      measures: measures of each member; the first ranks them.
      names: names of the hyperparameters that differ between settings.
      draw_fn: (number of a random setting) -> its hyperparameters.
      segment: steps after which members are judged.
      per_dispatch: steps of a compiled call; divides the segment and all steps, so that one program is enough.
      draw: (state of a member) -> the picture that a run with its numbers shows, uint8 (h, w, c).
      notes: lines about the data and the initial weights that are shown at the start.
    """

    task: Task
    config: Any
    algorithm: Algorithm
    source: Source
    source_of: Callable[[int], Source]
    measures: Measures
    names: list[str]
    draw_fn: Callable[[int], Setting]
    segment: int
    per_dispatch: int
    draw: Callable[[TrainState], np.ndarray]
    notes: tuple[str, ...] = ()


def member_config(config: Any, setting: Setting, seed: int) -> Any:
    """Returns the configuration of the single run that would train the same member.

    Raises:
      InputError: a hyperparameter is out of range.
    """
    recipe = type(config).__bases__[0]
    own = {f.name: getattr(config, f.name) for f in dataclasses.fields(recipe)}
    hparams, train = type(recipe().hparams)(**setting), dataclasses.replace(config.train, seed=seed)
    return recipe(**{**own, "hparams": hparams, "train": train})


def draw_members(config: Any) -> Ledger:
    """Returns the members with which a scan begins.

    Args:
      config: configuration of the scan.

    Raises:
      InputError: a hyperparameter is out of range, the layout is unknown, or a scan does not take a flag.
    """
    settings, chosen, space = config.train, config.scan, parse_space(config.hparams)
    require(settings.devices is None, "devices", settings.devices, "None in a scan; see --population")
    numbers = range(chosen.random or 0)
    drawn = grid(space) if chosen.random is None else [draw(space, settings.seed, i) for i in numbers]
    complete = [vars(member_config(config, setting, 0).hparams) for setting in drawn]
    seeds = range(settings.seed, settings.seed + chosen.seeds)
    ledger = new_members(complete, seeds, range(len(drawn) * chosen.seeds))
    if chosen.population != "auto":
        parse_layout(chosen.population, len(ledger))
    return ledger


def make_scan(config: Any, task: Task | None = None) -> Scan:
    """Returns a scan; checks its settings before it reads data.

    Args:
      config: configuration of the scan.
      task: the task; None finds it by the fields of `config`.

    Raises:
      InputError: data, sizes or hyperparameters that cannot work, or a task without measures.
    """
    names = [f.name for f in dataclasses.fields(config)]
    task = task or table.task_of(names, "config", type(config).__name__)
    first = member_config(config, draw_members(config)[0].hparams, config.train.seed)
    data = task.open(first, None)
    notes, facts = task.notes(config, data.train), facts_of(data.train)
    config, first = task.settle(config, facts), task.settle(first, facts)
    algorithm = task.make(first, facts)
    if config.train.initial_weights is not None:
        algorithm, line = warm_start(algorithm, first, config.train.initial_weights)
        notes = (*notes, line)
    settings, space = config.train, parse_space(config.hparams)
    segment = -(-settings.steps // SEGMENTS) if config.scan.halving else settings.steps
    usual = settings.steps_per_dispatch or STEPS_PER_DISPATCH.get(jax.default_backend(), 10)
    common = math.gcd(segment, settings.steps)
    per_dispatch = max(n for n in range(1, min(usual, common) + 1) if common % n == 0)

    def draw_fn(number: int) -> Setting:
        return vars(member_config(config, draw(space, settings.seed, number), 0).hparams)

    measures = task.measures(first, algorithm, data)
    require(len(measures) > 0, "measures", "none", "one at least, to rank the members")

    def picture(state: TrainState) -> np.ndarray:
        return task.show(first, algorithm, data)(state)

    source, source_of, names = data.train, _source_of(task, first, data.train), varied(space)
    return Scan(
        task, config, algorithm, source, source_of, measures, names, draw_fn, segment, per_dispatch, picture, notes
    )


def _source_of(task: Task, config: Any, first: Source) -> Callable[[int], Source]:
    """Returns (seed) -> the training images that a run of its own with this seed has; `first` are those of `config`."""
    if config.data.canaries == 0:
        return lambda seed: first
    complete = task.open(with_all_canaries(config), None).train
    return functools.cache(lambda seed: flip_coins(complete, config.data.canaries, seed))
