"""The task of a restorer: the data that it opens, what it measures and shows, and the files that it writes."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.data.base import Source
from jaxgen.data.notes import size_notes
from jaxgen.degradations.compose import KINDS, for_rank, format_mixture, has_missing, mixture, parse_mixture
from jaxgen.errors import require
from jaxgen.images import RANKS, readable_scale, save_png, to_float, to_uint8
from jaxgen.metrics.quality import psnr
from jaxgen.runs.measures import Measure
from jaxgen.runs.report import Picture
from jaxgen.tasks.base import Data, Facts, Task, Trained, Use
from jaxgen.tasks.held_out import open_all
from jaxgen.tasks.load import save_weights
from jaxgen.tasks.restoration.algorithm import make_restoration
from jaxgen.tasks.restoration.audit import audit_run
from jaxgen.tasks.restoration.config import RestorationRecipe
from jaxgen.tasks.restoration.evaluation.evaluate import evaluate_photos
from jaxgen.tasks.restoration.evaluation.sheets import restoration_sheet, sheet_of_examples
from jaxgen.tasks.restoration.evaluation.suites import suite_for
from jaxgen.tasks.restoration.evaluation.table import evaluate_restoration, format_table, save_table
from jaxgen.tasks.restoration.export import exportable
from jaxgen.tasks.restoration.restore import restore_photos
from jaxgen.training.step import Algorithm, TrainState
from jaxgen.types import Observation

WEIGHTS = "restorer.safetensors"
"""File of a run that holds the averaged weights."""
NUM_MEASURED = 64
"""Validation images on which the quality is measured while a run trains."""
NUM_SHOWN = 8
NUM_PHOTOS, MIDDLE = 6, 192
"""Photographs in the table at the end of a run, and the size in pixels to which they are cut around their middle:
biharmonic inpainting takes minutes for a whole one. `evaluate-restoration` takes any number of whole ones."""


class HeldOut(NamedTuple):
    """Images that are not trained on, the same at every step.

    Attributes:
      clean: uint8 (n, *spatial, c).
      degraded: the same images under the damage of the run.
    """

    clean: np.ndarray
    degraded: Observation


def _make(config: RestorationRecipe, facts: Facts) -> Algorithm:
    return make_restoration(config.restoration, facts.shape, config.train.batch_size)


def hold_out(config: RestorationRecipe, source: Source) -> HeldOut:
    """Returns the first `NUM_MEASURED` images of a source, with damage drawn from the seed of the run."""
    clean = source.take(np.arange(min(NUM_MEASURED, source.num_images)))
    choices = parse_mixture(config.restoration.damage)
    damage = jax.jit(lambda key, images: mixture(key, images, choices))
    degraded = damage(jax.random.key(config.train.seed + 1), to_float(jnp.asarray(clean)))
    told = config.restoration.repairs and not has_missing(choices)
    return HeldOut(clean, degraded._replace(masks=None) if told else degraded)


def _restore_fn(config: RestorationRecipe, algorithm: Algorithm) -> Callable[[TrainState, Observation], np.ndarray]:
    """Returns the compiled function (state, observation) -> restored images, float32."""
    predict, key = jax.jit(algorithm.predict), jax.random.key(config.train.seed)
    return lambda state, degraded: np.asarray(predict(state, degraded, key).images)


def _measures(config: RestorationRecipe, algorithm: Algorithm, data: Data) -> tuple[Measure, ...]:
    """Returns the measure of a checkpoint: the mean PSNR of the validation images."""
    held_out, restore = hold_out(config, data.validation), _restore_fn(config, algorithm)

    def quality(state: TrainState) -> float:
        restored = to_uint8(restore(state, held_out.degraded))
        return float(np.mean(np.minimum(psnr(restored, held_out.clean), 100.0)))

    of = "held-out" if data.validation is data.held_out else "validation"
    protocol = f"PSNR of {len(held_out.clean)} {of} images under the damage of the run"
    in_words = f"{{:.2f}} dB mean PSNR of {len(held_out.clean)} {of} images".format
    return (Measure("quality/psnr", protocol, quality, higher_is_better=True, describe=in_words),)


def _show(config: RestorationRecipe, algorithm: Algorithm, data: Data) -> Callable[[TrainState], np.ndarray]:
    """Returns a function that draws validation images: damaged, restored, original, error."""
    held_out, restore = hold_out(config, data.validation), _restore_fn(config, algorithm)
    degraded = to_uint8(held_out.degraded.images)
    return lambda state: restoration_sheet(
        degraded, to_uint8(restore(state, held_out.degraded)), held_out.clean, NUM_SHOWN
    )


def _finish(trained: Trained, data: Data, directory: Path) -> None:
    """Writes restorer.safetensors, sheet.png and table.json to the run's folder, and prints the table."""
    config, held_out = trained.config, data.held_out
    save_weights(directory / WEIGHTS, trained)
    restore = _restore_fn(config, trained.algorithm)
    suite = suite_for(held_out.shape, held_out.crops)
    num = NUM_PHOTOS if held_out.crops else suite.num_images
    images = images_to_evaluate(held_out, min(held_out.num_images, num))
    table, examples = evaluate_restoration(
        config.restoration.architecture, lambda degraded, _: restore(trained.state, degraded), images, suite, watch=_say
    )
    save_png(directory / "sheet.png", sheet_of_examples(examples), readable_scale(held_out.shape[0]))
    save_table(directory / "table.json", table)
    print(format_table(table))


def images_to_evaluate(source: Source, num: int) -> list[np.ndarray]:
    """Returns the first images, uint8 (*s, c) each; photographs are cut to the middle `MIDDLE` x `MIDDLE` pixels."""
    return [_middle(source.read(i)) if source.crops else source.take(np.array([i]))[0] for i in range(num)]


def _middle(image: np.ndarray) -> np.ndarray:
    y, x = (max(0, (size - MIDDLE) // 2) for size in image.shape[:2])
    return image[y : y + MIDDLE, x : x + MIDDLE]


def _say(what: str, left: int) -> None:
    print(f"evaluating under {what}, {left} left", flush=True)


def _adapt(config: RestorationRecipe, dataset: str, image_size: int | None) -> RestorationRecipe:
    """Returns the configuration for the user's images: those of a folder are not cropped if an image size is given."""
    if image_size is None or not dataset.startswith("folder:"):
        return config
    return dataclasses.replace(config, data=dataclasses.replace(config.data, crop_size=None))


def _settle(config: RestorationRecipe, facts: Facts) -> RestorationRecipe:
    """Returns the configuration without the choices of damage that images, or volumes, cannot have."""
    text, rank = config.restoration.damage, len(facts.shape) - 1
    choices = parse_mixture(text)
    kept = for_rank(choices, rank)
    require(bool(kept), "damage", text, f"kinds for {RANKS[rank]}: {', '.join(_kinds_for(rank))}")
    damage = text if kept == choices else format_mixture(kept)
    return dataclasses.replace(config, restoration=dataclasses.replace(config.restoration, damage=damage))


def _kinds_for(rank: int) -> list[str]:
    return [name for name, kind in KINDS.items() if rank in kind.ranks]


def _notes(config: RestorationRecipe, source: Source) -> tuple[str, ...]:
    """Returns lines about the data, and the choices of damage that are left out for them."""
    choices, rank = parse_mixture(config.restoration.damage), len(source.shape) - 1
    kept = for_rank(choices, rank)
    left_out = tuple(choice for choice in choices if choice not in kept)
    line = f"damage: left out as it is not for {RANKS[rank]}: {format_mixture(left_out)}"
    return (*size_notes(source), *([line] if left_out else []))


TASK = Task(
    name="restoration",
    config=RestorationRecipe,
    open=open_all,
    make=_make,
    measures=_measures,
    show=_show,
    finish=_finish,
    pictures=(Picture("sheet.png", "Restored", "Damaged, restored, original, four times the error"),),
    uses={
        "restore": Use(restore_photos, "python -m jaxgen restore PHOTO --model {run}"),
        "evaluate-restoration": Use(evaluate_photos, "python -m jaxgen evaluate-restoration FOLDER --model {run}"),
        "audit": Use(audit_run, "python -m jaxgen audit {run}"),
    },
    export=exportable,
    pretrained={
        "photos-marks": "6461d7dab7b09d141a31c2f5685e1f095e3a2ee6f4c2bfeedbfad57661985daa",
        "photos": "10ccf07375bc8509db50b38655cec2c588567e790b7f5bbbda90165383776748",
        "photos-grey": "6be4c9ac27aa92eb8d169a38d266226d498ed5d77f6d341cf61096fee9d54751",
    },
    adapt=_adapt,
    settle=_settle,
    notes=_notes,
)
"""The training of networks that restore damaged images."""
