"""Restoration runs: train, follow the quality on images held out, and leave a sheet, a table and a report."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tyro.conf import OmitArgPrefixes

from jaxgen.training.step import Algorithm, TrainState
from jaxgen.tasks.restoration.algorithm import make_restoration
from jaxgen.data.config import DataConfig
from jaxgen.errors import InputError, require
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationHparams
from jaxgen.training.config import TrainConfig
from jaxgen.config_json import to_dict
from jaxgen.data.base import Source, subset
from jaxgen.data.sources import open_source
from jaxgen.degradations.compose import mixture, parse_mixture
from jaxgen.tasks.restoration.table import Restorer, evaluate_restoration, format_table, save_table
from jaxgen.tasks.restoration.suites import suite_for
from jaxgen.images import save_png, to_float, to_uint8
from jaxgen.metrics.quality import psnr
from jaxgen.tasks.restoration.pretrained import WEIGHTS, state_from_weights
from jaxgen.tasks.gan.pictures import picture_scale
from jaxgen.tasks.restoration.sheets import restoration_sheet, sheet_of_examples
from jaxgen.runs.report import write_report
from jaxgen.runs.metrics import MetricWriter, plot_curves
from jaxgen.runs.driver import Hooks, fix_schedule, run_training
from jaxgen.runs.folder import Run
from jaxgen.weights import save_params
from jaxgen.types import Observation

NUM_FOLLOWED = 64
"""Held-out images on which the quality is followed while a run trains."""
NUM_SHOWN = 8
NUM_PHOTOS, MIDDLE = 6, 192
"""Photographs in the table at the end of a run, and pixels of their middle that count at most: biharmonic inpainting
takes minutes for whole ones. `evaluate-restoration` takes any number of whole ones, and its time."""
HELD_OUT = 20
"""One image in so many is held out where the data has no split of its own for it, 500 at most."""


@dataclasses.dataclass(frozen=True)
class RestorationRecipe:
    """Everything that decides the run of a restorer."""

    data: OmitArgPrefixes[DataConfig] = DataConfig()
    restoration: OmitArgPrefixes[RestorationConfig] = RestorationConfig()
    hparams: RestorationHparams = RestorationHparams()
    train: OmitArgPrefixes[TrainConfig] = TrainConfig(steps=6_000)
    validation: str | None = None
    """Images to judge by, named as `dataset` is; None: the split "test", or one image in twenty held out."""
    initial_weights: str | None = None
    """Weights to start from: "photos", "photos-grey" (the package's), a run or its restorer.safetensors. None: none."""


def run_restoration(run: Run, config: RestorationRecipe, source: Source | None = None, **more: Any) -> TrainState:
    """Trains a restorer in `run.directory` and leaves sheet.png, table.json, curves and a report there.

    Args:
      run: the folder and the recipe's name.
      config: everything else.
      source: what to train on and hold a part of out; None opens what `config.data` names.
      more: `watch` and `begin` of `run_training`.

    Returns:
      The last state.

    Raises:
      InputError: data, sizes, damage, schedule or devices that cannot work.
      NonFiniteError: training diverged.
    """
    train, held_out = open_both(config, source)
    config = fix_schedule(config)
    algorithm = make_restoration(config.restoration, train.shape, config.train.batch_size)
    if config.initial_weights is not None and not run.resumed:
        key = jax.random.key(config.train.seed)
        more = {"begin": state_from_weights(config.initial_weights, algorithm, key, vars(config.hparams)), **more}
    return run_training(
        run,
        config,
        algorithm,
        train,
        make_hooks=lambda writer: _make_hooks(run.directory, config, algorithm, held_out, writer),
        finish=lambda state: _finish(run.directory, config, algorithm, held_out, state),
        **more,
    )


def open_both(config: RestorationRecipe, source: Source | None = None) -> tuple[Source, Source]:
    """Images to train on, and others to judge by; of a source that is given the split that the same data have.

    Raises:
      InputError: as `open_source` does, or too few images to hold any out.
    """
    train = source or open_source(config.data)
    if config.validation is not None:
        return train, open_source(dataclasses.replace(config.data, dataset=config.validation))
    if train.uses_tensorflow and config.data.split == "train":
        try:
            return train, open_source(dataclasses.replace(config.data, split="test", flip=False))
        except InputError as error:
            if not str(error).startswith("split:"):
                raise
    require(train.num_images >= 2, "dataset", config.data.dataset, "two images or more, so that one can be held out")
    order = np.random.default_rng(0).permutation(train.num_images)
    num = min(500, max(1, train.num_images // HELD_OUT))
    return subset(train, np.sort(order[num:])), subset(train, np.sort(order[:num]))


def images_to_judge(source: Source, num: int) -> list[np.ndarray]:
    """The first images, uint8 (h, w, c) each; of photographs the middle, `MIDDLE` pixels at most."""
    return [_middle(source.read(i)) if source.crops else source.take(np.array([i]))[0] for i in range(num)]


def _middle(image: np.ndarray) -> np.ndarray:
    y, x = (max(0, (size - MIDDLE) // 2) for size in image.shape[:2])
    return image[y : y + MIDDLE, x : x + MIDDLE]


class Followed(NamedTuple):
    """Held-out images on which the quality is followed, the same at every step.

    Attributes:
      clean: uint8 (n, h, w, c).
      degraded: under the damage of the run, (n, h, w, c) in [-1, 1], and the masks.
      restored_fn: state -> restored, uint8 (n, h, w, c).
    """

    clean: np.ndarray
    degraded: Observation
    restored_fn: Callable[[TrainState], np.ndarray]

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """The mean PSNR, and its negative, which chooses the best checkpoint."""
        quality = float(np.mean(np.minimum(psnr(self.restored_fn(state), self.clean), 100.0)))
        return {"quality/error_db": -quality, "quality/psnr": quality}

    @property
    def protocol(self) -> str:
        """What the quality is, in one line."""
        return f"PSNR of {len(self.clean)} held-out images under the damage of the run"


def follow(config: RestorationRecipe, algorithm: Algorithm, held_out: Source) -> Followed:
    """The first `NUM_FOLLOWED` images held out, damaged as the seed of the run says."""
    predict = jax.jit(algorithm.predict)
    clean = held_out.take(np.arange(min(NUM_FOLLOWED, held_out.num_images)))
    choices = parse_mixture(config.restoration.damage)
    damage = jax.jit(lambda key, images: mixture(key, images, choices))
    degraded: Observation = damage(jax.random.key(config.train.seed + 1), to_float(jnp.asarray(clean)))
    return Followed(clean, degraded, lambda state: to_uint8(predict(state, degraded)))


def _make_hooks(
    directory: Path, config: RestorationRecipe, algorithm: Algorithm, held_out: Source, writer: MetricWriter
) -> Hooks:
    followed = follow(config, algorithm, held_out)

    def sample(step: int, state: TrainState) -> None:
        degraded = to_uint8(followed.degraded.images)
        sheet = restoration_sheet(degraded, followed.restored_fn(state), followed.clean, NUM_SHOWN)
        save_png(directory / "samples" / f"{step:08d}.png", sheet, picture_scale(held_out.shape[0]))
        writer.write_image(step, "samples", sheet)

    return Hooks(sample, followed.evaluate, followed.protocol)


def _say(what: str, left: int) -> None:
    print(f"judging under {what}, {left} left", flush=True)


def _finish(
    directory: Path, config: RestorationRecipe, algorithm: Algorithm, held_out: Source, state: TrainState
) -> None:
    """restorer.safetensors, sheet.png, table.json, curves.png and report.html; the table is printed."""
    notes = {"restoration": json.dumps(to_dict(config.restoration)), "shape": json.dumps(held_out.shape)}
    save_params(directory / WEIGHTS, jax.device_get(state.ema_params["restorer"]), notes)
    predict = jax.jit(algorithm.predict)
    restorer = Restorer(config.restoration.architecture, lambda degraded: np.asarray(predict(state, degraded)))
    suite = suite_for(held_out.shape, held_out.crops)
    images = images_to_judge(held_out, min(held_out.num_images, NUM_PHOTOS if held_out.crops else suite.num_images))
    table, examples = evaluate_restoration(restorer, images, suite, watch=_say)
    save_png(directory / "sheet.png", sheet_of_examples(examples), picture_scale(held_out.shape[0]))
    save_table(directory / "table.json", table)
    print(format_table(table))
    plot_curves(directory)
    write_report(directory)
