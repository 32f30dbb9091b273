"""Scans over the numbers of a restorer's training."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tyro.conf import OmitArgPrefixes

from jaxgen.algorithms.base import Algorithm, TrainState
from jaxgen.algorithms.restoration import make_restoration
from jaxgen.config import DataConfig, RestorationConfig, RestorationHparams, TrainConfig
from jaxgen.data.base import Source
from jaxgen.degradations.compose import mixture, parse_mixture
from jaxgen.images import to_float, to_uint8
from jaxgen.metrics.quality import psnr
from jaxgen.recipes.restoration import NUM_FOLLOWED, RestorationRecipe, open_both
from jaxgen.recipes.scan import run_or_extract
from jaxgen.recipes.scan_setup import ScanConfig, Task, draw_members
from jaxgen.recipes.scan_space import Setting, as_texts, texts_of
from jaxgen.training.runs import Run, fix_schedule


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
    evaluate, protocol = _make_evaluate(config, algorithm, held_out)
    return Task(algorithm, source, evaluate, protocol, "restoration", member_config)


def _make_evaluate(
    config: RestorationScan, algorithm: Algorithm, held_out: Source
) -> tuple[Callable[[TrainState], dict[str, float]], str]:
    """(state) -> quality under the damage of the scan, the same for all members; and what that is in one line."""
    predict = jax.jit(algorithm.predict)
    clean = held_out.take(np.arange(min(NUM_FOLLOWED, held_out.num_images)))
    choices = parse_mixture(config.restoration.damage)
    damage = jax.jit(lambda key, images: mixture(key, images, choices))
    degraded = damage(jax.random.key(config.train.seed + 1), to_float(jnp.asarray(clean)))

    def evaluate(state: TrainState) -> dict[str, float]:
        restored = to_uint8(predict(state, degraded._asdict()))
        quality = float(np.mean(np.minimum(psnr(restored, clean), 100.0)))
        return {"quality/error_db": -quality, "quality/psnr": quality}

    return evaluate, f"PSNR of {len(clean)} held-out images under the damage of the scan, negative"
