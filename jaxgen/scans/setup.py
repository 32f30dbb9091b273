"""What a scan is: its configuration, made from that of a run, and what is fixed while it runs."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from tyro.conf import OmitArgPrefixes

from jaxgen.data.base import Source
from jaxgen.errors import require
from jaxgen.runs.ledger import Ledger, Setting, new_members
from jaxgen.runs.measures import Measures
from jaxgen.scans.space import as_texts, draw, grid, parse_space, varied
from jaxgen.tasks import table
from jaxgen.tasks.base import Task, facts_of, fix_schedule
from jaxgen.tasks.load import warm_start
from jaxgen.training.parallel import STEPS_PER_DISPATCH
from jaxgen.training.population import parse_layout
from jaxgen.training.step import Algorithm

SEGMENTS = 8
"""With halving a scan has so many parts; after one, two and four of them of its own a setting is judged."""


@dataclasses.dataclass(frozen=True)
class ScanConfig:
    """Which members a scan has and how they run."""

    seeds: int = 1
    """Members of each setting, with seeds from `seed` upwards."""
    random: int | None = None
    """So many random settings, log-uniform in ranges, in the place of every combination."""
    halving: bool = False
    """With --random: settings in the worse half make way for new ones after 1/8, 1/4 and 1/2 of the steps."""
    population: str = "auto"
    """auto (measures a few steps of each), vmap, map, shard, or map:N and shard:N in blocks of N under vmap."""
    extract: int | None = None
    """Train nothing; write this member of the newest scan (or of --resume RUN) as an ordinary run."""

    def __post_init__(self) -> None:
        require(self.seeds >= 1, "seeds", self.seeds, "1 or more")
        require(self.random is None or self.random >= 1, "random", self.random, "1 or more, or None")
        require(not self.halving or self.random is not None, "halving", self.halving, "False without --random N")


class Scan(NamedTuple):
    """What is fixed while a scan runs.

    Attributes:
      task: what is scanned.
      config: of the scan, with the fields `scan`, `hparams` (texts) and `train`.
      algorithm: of all members.
      source: what they train on.
      measures: taken of each; the first ranks.
      names: of the numbers that differ.
      draw_fn: number of a random setting -> its numbers.
      segment: steps after which members are judged.
      per_dispatch: steps of a compiled call; divides the segment and the whole, so that one program serves all.
    """

    task: Task
    config: Any
    algorithm: Algorithm
    source: Source
    measures: Measures
    names: list[str]
    draw_fn: Callable[[int], Setting]
    segment: int
    per_dispatch: int


@functools.cache
def scan_type(recipe: type) -> type:
    """Returns the configuration of a scan: that of a run whose numbers are texts, and a `ScanConfig`."""
    texts = as_texts(recipe().hparams)
    fields = [
        ("hparams", type(texts), dataclasses.field(default=texts)),
        ("scan", OmitArgPrefixes[ScanConfig], dataclasses.field(default=ScanConfig())),
    ]
    return dataclasses.make_dataclass(f"{recipe.__name__}Scan", fields, bases=(recipe,), frozen=True)


def scan_of(config: Any, steps: int | None = None) -> Any:
    """Returns the scan that starts from the configuration of a run.

    Args:
      config: of a run.
      steps: of each member; None for as many as the run has.
    """
    train = dataclasses.replace(config.train, steps=steps or config.train.steps, devices=None)
    own = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    return scan_type(type(config))(**{**own, "hparams": as_texts(config.hparams), "train": train})


def is_scan(config: Any) -> bool:
    """Returns whether a configuration is that of a scan."""
    return isinstance(getattr(config, "scan", None), ScanConfig)


def member_config(config: Any, setting: Setting, seed: int) -> Any:
    """Returns the configuration of the run that a member of a scan is like.

    Raises:
      InputError: numbers that cannot be.
    """
    recipe = type(config).__bases__[0]
    own = {f.name: getattr(config, f.name) for f in dataclasses.fields(recipe)}
    hparams, train = type(recipe().hparams)(**setting), dataclasses.replace(config.train, seed=seed)
    return fix_schedule(recipe(**{**own, "hparams": hparams, "train": train}))


def draw_members(config: Any) -> Ledger:
    """Returns the members that a scan begins with.

    Args:
      config: of the scan.

    Raises:
      InputError: numbers that cannot be, an unknown way to run them, or a flag that a scan does not take.
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
    """Returns what is fixed in a scan; refuses what cannot be before any data is read.

    Args:
      config: of the scan.
      task: what is scanned; None finds it by the fields of `config`.

    Raises:
      InputError: data, sizes or numbers that cannot work.
    """
    names = [f.name for f in dataclasses.fields(config)]
    task = task or table.task_of(names, "config", type(config).__name__)
    first = member_config(config, draw_members(config)[0].hparams, config.train.seed)
    data = task.open(first, None)
    algorithm = task.make(first, facts_of(data.train))
    weights = getattr(config, "initial_weights", None)
    if weights is not None:
        algorithm = warm_start(algorithm, weights)
    settings, space = config.train, parse_space(config.hparams)
    segment = -(-settings.steps // SEGMENTS) if config.scan.halving else settings.steps
    usual = settings.steps_per_dispatch or STEPS_PER_DISPATCH.get(jax.default_backend(), 10)
    common = math.gcd(segment, settings.steps)
    per_dispatch = max(n for n in range(1, min(usual, common) + 1) if common % n == 0)

    def draw_fn(number: int) -> Setting:
        return vars(member_config(config, draw(space, settings.seed, number), 0).hparams)

    measures = task.measures(first, algorithm, data)
    require(len(measures) > 0, "measures", "none", "one at least, to rank the members")
    return Scan(task, config, algorithm, data.train, measures, varied(space), draw_fn, segment, per_dispatch)
