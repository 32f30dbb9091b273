"""The task of super-resolution: the data that it opens, what it measures and shows, and the files that it writes."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.data.base import Source
from jaxgen.images import save_png, to_float, to_uint8
from jaxgen.metrics.quality import psnr
from jaxgen.runs.measures import Measure
from jaxgen.runs.report import Picture
from jaxgen.tasks.base import Data, Facts, Task, Trained, Use
from jaxgen.tasks.held_out import open_all
from jaxgen.tasks.load import save_weights
from jaxgen.tasks.super_resolution.algorithm import examples_of, make_super_resolution, static_part
from jaxgen.tasks.super_resolution.audit import audit_run
from jaxgen.tasks.super_resolution.config import SuperResolutionRecipe
from jaxgen.tasks.super_resolution.enlarge import make_enlarge
from jaxgen.tasks.super_resolution.evaluate import USE, evaluate_photos
from jaxgen.tasks.super_resolution.export import exportable
from jaxgen.tasks.super_resolution.table import NETWORK, evaluate_upscaler, format_table, save_table, sheet_of_examples
from jaxgen.tasks.super_resolution.upscale import upscale_photos
from jaxgen.training.step import Algorithm, TrainState
from jaxgen.types import Observation

WEIGHTS = "upscaler.safetensors"
"""File of a run that holds the averaged weights."""
NUM_MEASURED = 64
"""Validation images on which the quality is measured while a run trains."""
NUM_SHOWN = 6
NUM_PHOTOS, MIDDLE = 12, 480
"""Photographs in the table at the end of a run, and the size in pixels to which they are cut around their middle."""


class HeldOut(NamedTuple):
    """Images that are not trained on, the same at every step, for each factor.

    Attributes:
      scale: the factor.
      small: float32 (n, size, size, 3) in [-1, 1].
      clean: uint8 (n, scale size, scale size, 3).
      enlarge: compiled function (state, observation, key) -> `Prediction`.
    """

    scale: int
    small: np.ndarray
    clean: np.ndarray
    enlarge: Callable[..., jax.Array]


def _make(config: SuperResolutionRecipe, facts: Facts) -> Algorithm:
    return make_super_resolution(config.super_resolution, facts.shape, config.train.batch_size)


def _held_out(config: SuperResolutionRecipe, data: Data) -> tuple[HeldOut, ...]:
    """Returns the first `NUM_MEASURED` validation images, reduced by each factor as in the run."""
    source, structure = data.validation, config.super_resolution
    part = static_part(structure, source.shape, config.train.batch_size)
    images = jnp.asarray(source.take(np.arange(min(NUM_MEASURED, source.num_images))))
    pairs = jax.jit(lambda key, x: examples_of(part, key, to_float(x)))(jax.random.key(config.train.seed + 1), images)

    def compiled(scale: int) -> Callable[..., jax.Array]:
        return jax.jit(make_super_resolution(structure, source.shape, 1, scale).predict)

    scales = zip(part.network.scales, pairs, strict=True)
    return tuple(HeldOut(s, np.asarray(x), to_uint8(y), compiled(s)) for s, (x, y) in scales)


def _measures(config: SuperResolutionRecipe, algorithm: Algorithm, data: Data) -> tuple[Measure, ...]:
    """Returns the measure of a checkpoint: the mean PSNR of the validation images over all factors."""
    sets, key = _held_out(config, data), jax.random.key(0)

    def quality(state: TrainState) -> float:
        results = [(to_uint8(s.enlarge(state, Observation(s.small), key).images), s.clean) for s in sets]
        return float(np.mean([np.minimum(psnr(*pair), 100.0) for pair in results]))

    num = len(sets[0].clean)
    factors = ", ".join(f"x{s.scale}" for s in sets)
    of = "held-out" if data.validation is data.held_out else "validation"
    protocol = f"PSNR (RGB) of {num} {of} crops, mean over {factors}"
    in_words = f"{{:.2f}} dB mean PSNR of {num} {of} crops, {factors}".format
    return (Measure("quality/psnr", protocol, quality, higher_is_better=True, describe=in_words),)


def _show(config: SuperResolutionRecipe, algorithm: Algorithm, data: Data) -> Callable[[TrainState], np.ndarray]:
    """Returns a function that draws validation images: small, enlarged, original."""
    largest, key = _held_out(config, data)[-1], jax.random.key(0)
    small, clean = largest.small[:NUM_SHOWN], largest.clean[:NUM_SHOWN]
    before = np.repeat(np.repeat(to_uint8(small), largest.scale, 1), largest.scale, 2)

    def show(state: TrainState) -> np.ndarray:
        enlarged = to_uint8(largest.enlarge(state, Observation(small), key).images)
        rows = [np.concatenate(row, axis=1) for row in zip(before, enlarged, clean, strict=True)]
        return np.concatenate(rows)

    return show


def _finish(trained: Trained, data: Data, directory: Path) -> None:
    """Writes upscaler.safetensors, table.json and sheet.png to the run's folder, and prints the table."""
    save_weights(directory / WEIGHTS, trained)
    enlarge = {scale: make_enlarge(trained, scale) for scale in trained.config.super_resolution.scale}
    images = images_to_evaluate(data.held_out)
    pictures = ((str(i), image) for i, image in enumerate(images, 1))
    name, watch = f"step {trained.facts.step}", partial(_say, len(images))
    table, examples = evaluate_upscaler(name, {NETWORK: enlarge}, pictures, watch)
    save_png(directory / "sheet.png", sheet_of_examples(examples))
    save_table(directory / "table.json", table)
    print(format_table(table))


def images_to_evaluate(source: Source) -> list[np.ndarray]:
    """Returns the first `NUM_PHOTOS` images, uint8 (h, w, c) each; photographs are cut to their middle `MIDDLE`."""
    num = min(NUM_PHOTOS, source.num_images)
    return [_middle(source.read(i)) if source.crops else source.take(np.array([i]))[0] for i in range(num)]


def _middle(image: np.ndarray) -> np.ndarray:
    y, x = (max(0, (size - MIDDLE) // 2) for size in image.shape[:2])
    return image[y : y + MIDDLE, x : x + MIDDLE]


def _say(num: int, picture: str, factor: str) -> None:
    print(f"evaluating held-out image {picture} of {num}, {factor}", flush=True)


TASK = Task(
    name="super_resolution",
    config=SuperResolutionRecipe,
    open=open_all,
    make=_make,
    measures=_measures,
    show=_show,
    finish=_finish,
    pictures=(Picture("sheet.png", "Enlarged", "Small, bicubic, network, original, where bicubic errs the most"),),
    uses={
        "upscale": Use(upscale_photos, "python -m jaxgen upscale PHOTO --model {run}"),
        USE: Use(
            evaluate_photos, "python -m jaxgen evaluate-restoration FOLDER --suite super-resolution --model {run}"
        ),
        "audit": Use(audit_run, "python -m jaxgen audit {run}"),
    },
    export=exportable,
    pretrained={
        "upscale": "056804421d4674f18f7eb317af69c5039a726f2d3de206cf5a40dbf6f1b94852",
        "upscale-bicubic": "83b8db6cc6e655c12a8b88c1e1ee7a4c8c8ec3ed8a49955fba150148f8c008d0",
    },
)
"""The training of networks that enlarge images."""
