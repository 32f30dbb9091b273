"""Scans over the numbers of a restorer's training."""

import dataclasses
from typing import Any

from tyro.conf import OmitArgPrefixes

from jaxgen.data.config import DataConfig
from jaxgen.runs.driver import fix_schedule
from jaxgen.runs.folder import Run
from jaxgen.scans.scan import run_or_extract
from jaxgen.scans.setup import ScanConfig, Task, draw_members
from jaxgen.scans.space import Setting, as_texts, texts_of
from jaxgen.tasks.restoration.algorithm import make_restoration
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationHparams, RestorationRecipe
from jaxgen.tasks.restoration.task import follow, open_both
from jaxgen.training.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class RestorationScan:
    """Everything that decides a scan of restorers."""

    data: OmitArgPrefixes[DataConfig] = DataConfig()
    restoration: OmitArgPrefixes[RestorationConfig] = RestorationConfig()
    hparams: texts_of(RestorationHparams) = as_texts(RestorationHparams())
    scan: OmitArgPrefixes[ScanConfig] = ScanConfig()
    train: OmitArgPrefixes[TrainConfig] = TrainConfig(steps=6_000)
    validation: str | None = None
    """Images to judge by, named as `dataset` is; None: the split "test", or one image in twenty held out."""


def run_restoration_scan(run: Run, config: RestorationScan) -> None:
    """Scans in `run.directory`, or extracts a member of an earlier scan.

    Args:
      run: the folder and the recipe's name.
      config: everything else.

    Raises:
      InputError: data, sizes, numbers or a plan that cannot work.
      NonFiniteError: every member diverged.
    """
    run_or_extract(run, config, make_task)


def make_task(config: RestorationScan) -> Task:
    """What is scanned."""

    def member_config(setting: Setting, seed: int) -> Any:
        train, hparams = dataclasses.replace(config.train, seed=seed), RestorationHparams(**setting)
        return fix_schedule(RestorationRecipe(config.data, config.restoration, hparams, train, config.validation))

    draw_members(config, member_config)  # refuses what cannot be before data is read
    first = RestorationRecipe(config.data, config.restoration, RestorationHparams(), config.train, config.validation)
    source, held_out = open_both(first)
    algorithm = make_restoration(config.restoration, source.shape, config.train.batch_size)
    followed = follow(first, algorithm, held_out)
    return Task(algorithm, source, followed.evaluate, followed.protocol, "restoration", member_config)
