"""Scans over the numbers of a GAN."""

import dataclasses
from typing import Any

from tyro.conf import OmitArgPrefixes

from jaxgen.data.config import DataConfig
from jaxgen.data.sources import open_source
from jaxgen.runs.driver import fix_schedule
from jaxgen.runs.folder import Run
from jaxgen.scans.scan import run_or_extract
from jaxgen.scans.setup import ScanConfig, Task, draw_members
from jaxgen.scans.space import Setting, as_texts, texts_of
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.tasks.gan.config import GanConfig, GanHparams, GanRecipe
from jaxgen.tasks.gan.task import make_evaluate
from jaxgen.training.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class GanScan:
    """Everything that decides a scan of GANs."""

    data: OmitArgPrefixes[DataConfig] = DataConfig()
    gan: OmitArgPrefixes[GanConfig] = GanConfig()
    hparams: texts_of(GanHparams) = as_texts(GanHparams())
    scan: OmitArgPrefixes[ScanConfig] = ScanConfig()
    train: OmitArgPrefixes[TrainConfig] = TrainConfig()


def run_gan_scan(run: Run, config: GanScan) -> None:
    """Scans in `run.directory`, or extracts a member of an earlier scan.

    Args:
      run: the folder and the recipe's name.
      config: everything else.

    Raises:
      InputError: data, sizes, numbers or a plan that cannot work.
      NonFiniteError: every member diverged.
    """
    run_or_extract(run, config, make_task)


def make_task(config: GanScan) -> Task:
    """What is scanned."""

    def member_config(setting: Setting, seed: int) -> Any:
        train = dataclasses.replace(config.train, seed=seed)
        return fix_schedule(GanRecipe(config.data, config.gan, GanHparams(**setting), train))

    draw_members(config, member_config)  # refuses what cannot be before data is read
    source = open_source(config.data)
    algorithm = make_gan(config.gan, source.shape, config.train.batch_size, source.num_classes)
    first = GanRecipe(config.data, config.gan, GanHparams(), config.train)
    evaluate, protocol = make_evaluate(first, algorithm, source)
    return Task(algorithm, source, evaluate, protocol, "gan", member_config)
