"""The configuration of a scan, made from that of a run. Does not import JAX."""

import dataclasses
import functools
from typing import Any

from tyro.conf import OmitArgPrefixes

from jaxgen.errors import require
from jaxgen.scans.space import as_texts


@dataclasses.dataclass(frozen=True)
class ScanConfig:
    """The members of a scan and how they run."""

    seeds: int = 1
    """Seeds of each combination of hyperparameters: SEED, SEED + 1, ...; each is a member of the scan."""
    random: int | None = None
    """Number of random combinations, log-uniform in ranges; None: every combination of the values."""
    halving: bool = False
    """With --random: replace the worse half of the combinations by new ones after 1/8, 1/4 and 1/2 of their steps."""
    population: str = "auto"
    """How members run: vmap (all at once), map (one by one), shard (so on each device), map:N, shard:N (N at once);
    auto: the fastest."""
    extract: int | None = None
    """Train nothing; write this member of the newest scan (or of --resume RUN) as a run."""

    def __post_init__(self) -> None:
        require(self.seeds >= 1, "seeds", self.seeds, "1 or more")
        require(self.random is None or self.random >= 1, "random", self.random, "1 or more, or None")
        require(not self.halving or self.random is not None, "halving", self.halving, "False without --random N")


@functools.cache
def scan_type(recipe: type) -> type:
    """Returns the configuration type of a scan: that of a run, with texts as `hparams`, and a `ScanConfig`."""
    texts = as_texts(recipe().hparams)
    fields = [
        ("hparams", type(texts), dataclasses.field(default=texts)),
        ("scan", OmitArgPrefixes[ScanConfig], dataclasses.field(default=ScanConfig())),
    ]
    numbers = (f"hparams.{f.name}" for f in dataclasses.fields(texts))
    own = {"first": (*getattr(recipe, "first", ()), *numbers, "seeds", "random", "halving", "extract")}
    return dataclasses.make_dataclass(f"{recipe.__name__}Scan", fields, bases=(recipe,), frozen=True, namespace=own)


def scan_of(config: Any, steps: int | None = None) -> Any:
    """Returns the configuration of a scan, from that of a run.

    Args:
      config: configuration of the run.
      steps: steps of each member; None takes those of the run.
    """
    train = dataclasses.replace(config.train, steps=steps or config.train.steps, devices=None)
    own = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    return scan_type(type(config))(**{**own, "hparams": as_texts(config.hparams), "train": train})


def is_scan(config: Any) -> bool:
    """Returns whether a configuration is that of a scan."""
    return isinstance(getattr(config, "scan", None), ScanConfig)
