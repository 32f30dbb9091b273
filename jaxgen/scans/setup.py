"""What a scan is: its configuration, what is scanned, and the members that it begins with."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jaxgen.data.base import Source
from jaxgen.errors import require
from jaxgen.scans.ledger import Ledger, new_members
from jaxgen.scans.space import Setting, draw, grid, parse_space, varied
from jaxgen.training.parallel import STEPS_PER_DISPATCH
from jaxgen.training.population import parse_plan
from jaxgen.training.step import Algorithm, TrainState

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


class Task(NamedTuple):
    """What is scanned.

    Attributes:
      algorithm: of all members.
      source: what they train on.
      evaluate: (state) -> metrics by name, the one that ranks (lower is better) first.
      protocol: what that metric is, in one line.
      recipe: name of the experiment whose runs a member is like.
      member_config: (setting, seed) -> the configuration of such a run.
    """

    algorithm: Algorithm
    source: Source
    evaluate: Callable[[TrainState], dict[str, float]]
    protocol: str
    recipe: str
    member_config: Callable[[Setting, int], Any]


class Scan(NamedTuple):
    """What is fixed while a scan runs.

    Attributes:
      task: what is scanned.
      config: of the scan, with the fields `scan`, `hparams` (texts) and `train`.
      names: of the numbers that differ.
      draw_fn: number of a random setting -> its numbers.
      segment: steps after which members are judged.
      per_dispatch: steps of a compiled call; divides the segment and the whole, so that one program serves all.
    """

    task: Task
    config: Any
    names: list[str]
    draw_fn: Callable[[int], Setting]
    segment: int
    per_dispatch: int


def draw_members(config: Any, member_config: Callable[[Setting, int], Any]) -> Ledger:
    """The members that a scan begins with.

    Args:
      config: of the scan, with the fields `scan`, `hparams` (texts) and `train`.
      member_config: as of a `Task`; it completes the numbers and refuses those that cannot be.

    Raises:
      InputError: numbers that cannot be, an unknown way to run them, or a flag that a scan does not take.
    """
    settings, chosen, space = config.train, config.scan, parse_space(config.hparams)
    require(settings.devices is None, "devices", settings.devices, "None in a scan; see --population")
    numbers = range(chosen.random or 0)
    drawn = grid(space) if chosen.random is None else [draw(space, settings.seed, i) for i in numbers]
    complete = [vars(member_config(setting, 0).hparams) for setting in drawn]
    seeds = range(settings.seed, settings.seed + chosen.seeds)
    ledger = new_members(complete, seeds, range(len(drawn) * chosen.seeds))
    if chosen.population != "auto":
        parse_plan(chosen.population, len(ledger))
    return ledger


def make_scan(task: Task, config: Any) -> Scan:
    """What is fixed in the scan that a configuration means."""
    settings, space = config.train, parse_space(config.hparams)
    segment = -(-settings.steps // SEGMENTS) if config.scan.halving else settings.steps
    usual = settings.steps_per_dispatch or STEPS_PER_DISPATCH.get(jax.default_backend(), 10)
    common = math.gcd(segment, settings.steps)
    per_dispatch = max(n for n in range(1, min(usual, common) + 1) if common % n == 0)

    def draw_fn(number: int) -> Setting:
        return vars(task.member_config(draw(space, settings.seed, number), 0).hparams)

    return Scan(task, config, varied(space), draw_fn, segment, per_dispatch)
