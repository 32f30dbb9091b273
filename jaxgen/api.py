"""The Python interface: functions from arrays to arrays, which train by the same loop as the command line.

An interrupt (Ctrl-C, the stop button of a notebook) ends a training after the current dispatch; the function returns
the model trained so far. A second interrupt raises KeyboardInterrupt. No function changes the signal handlers for good.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgen.data.arrays import match_classes
from jaxgen.data.base import Source
from jaxgen.data.config import DataConfig
from jaxgen.data.sources import array_source, open_source
from jaxgen.errors import require
from jaxgen.evaluation.features import choose_network
from jaxgen.evaluation.generated import Generated
from jaxgen.evaluation.protocol import evaluate as judge
from jaxgen.evaluation.samples import open_splits
from jaxgen.progress import open_progress
from jaxgen.runs.folder import new_run
from jaxgen.runs.outputs import NO_PROGRESS
from jaxgen.tasks.base import Task, Trained, facts_of, fix_schedule
from jaxgen.tasks.gan.config import GanConfig, GanHparams, GanRecipe
from jaxgen.tasks.gan.evaluate import generated_by
from jaxgen.tasks.gan.pairs import architecture_for
from jaxgen.tasks.gan.sample import class_names, draw
from jaxgen.tasks.load import load, require_use
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationHparams, RestorationRecipe
from jaxgen.tasks.restoration.pixels import make_restore, photo_models, require_any_size
from jaxgen.tasks.table import task_of
from jaxgen.tasks.train import train_run
from jaxgen.training.config import TrainConfig
from jaxgen.training.fit import fit
from jaxgen.training.parallel import on_all_devices, setup_backend
from jaxgen.training.step import TrainState

History = dict[str, np.ndarray]
TILE = 512


def train_gan(
    images: Any,
    labels: Any = None,
    *,
    steps: int = 1_000,
    batch_size: int = 32,
    seed: int = 0,
    image_size: int | None = None,
    config: GanConfig | None = None,
    hparams: GanHparams | None = None,
    minutes: float | None = None,
    out: str | None = None,
    progress: bool = True,
    resume: Trained | None = None,
) -> tuple[Trained, History]:
    """Trains a GAN, which is conditional if there are labels.

    Args:
      images: uint8, bool or floats in [0, 1], (n, h, w) or (n, h, w, c) with c of 1 or 3; or a value of `--dataset`:
        "digits", "folder:PATH".
      labels: class of each image, (n,): integers of 0 or more, or names. The classes are those that occur, in order.
      steps: number of generator updates, those before a resume included.
      batch_size: images per update.
      seed: random seed of weights, noise and the order of the data, as on the command line.
      image_size: side in pixels to crop and resize to; None keeps the size.
      config: structure; None chooses it by the image size, with `projection` if there are labels.
      hparams: hyperparameters; None takes the defaults.
      minutes: stop after this many minutes, if that comes first.
      out: folder of runs; a run with pictures, checkpoints and a report is written there. None writes nothing.
      progress: show a progress bar.
      resume: a model that this function returned, to train further.

    Returns:
      The trained GAN, for `sample`, with its `state`; and the metrics of the steps of this call, (steps,) by name.

    Raises:
      InputError: an argument is not accepted (a ValueError).
      NonFiniteError: training diverged.
    """
    setup_backend()
    data, source = _open(images, labels, image_size)
    if config is None:
        conditioning = "none" if labels is None else "projection"
        config = GanConfig(architecture=architecture_for(source.shape), conditioning=conditioning)
    settings = TrainConfig(steps=steps, minutes=minutes, batch_size=batch_size, seed=seed, out=out or "runs")
    recipe = GanRecipe(data, config, hparams or GanHparams(), settings)
    return _train("gan", recipe, source, out, progress, resume)


def train_restorer(
    images: Any,
    *,
    damage: str = "gaussian:0-0.2",
    steps: int = 1_000,
    batch_size: int = 32,
    seed: int = 0,
    image_size: int | None = None,
    config: RestorationConfig | None = None,
    hparams: RestorationHparams | None = None,
    minutes: float | None = None,
    out: str | None = None,
    progress: bool = True,
    resume: Trained | None = None,
) -> tuple[Trained, History]:
    """Trains a restorer on clean images: a tenth of the steps with noise of all levels, the others with `damage`.

    The arguments that are not listed here are those of `train_gan`.

    Args:
      images: clean images, in a form that `train_gan` takes.
      damage: KIND:LOW-HIGH; A+B applies both, and A|B one of them to each image.
      steps: number of updates, those before a resume included.
      seed: random seed of weights, damage and the order of the data.
      config: structure; its schedule and damage replace those given by `steps` and `damage`.
      out: folder of runs; with a folder, one image in twenty is held out for validation.

    Returns:
      The restorer, for `restore`, with its `state`; and the metrics of the steps of this call, (steps,) by name.

    Raises:
      InputError: see `train_gan`.
      NonFiniteError: training diverged.
    """
    setup_backend()
    data, source = _open(images, None, image_size)
    noise = f"noise:{steps // 10}," if steps >= 10 else ""
    config = config or RestorationConfig(schedule=f"{noise}damage:{steps - steps // 10}", damage=damage)
    settings = TrainConfig(steps=steps, minutes=minutes, batch_size=batch_size, seed=seed, out=out or "runs")
    recipe = RestorationRecipe(data, config, hparams or RestorationHparams(), settings)
    return _train("restorer", recipe, source, out, progress, resume)


def sample(model: Trained | str | Path, num: int = 64, labels: Any = None, seed: int = 0) -> np.ndarray:
    """Returns images from a GAN, uint8 (num, h, w, c).

    Args:
      model: from `train_gan`, or a run folder.
      num: number of images, 1 or more.
      labels: for a conditional GAN, a class or several, repeated in order up to `num`: the labels of its training, or
        numbers from 0. None draws random classes.
      seed: random seed.

    Raises:
      InputError: there is no such run, or the GAN has no such class.
    """
    gan = require_use(model if isinstance(model, Trained) else load(model), "sample", "model", _describe(model))
    require(num >= 1, "num", num, "1 or more")
    names = class_names(gan)
    known = labels is None or (len(names) > 0 and np.size(labels) > 0)
    require(known, "labels", labels, "classes, of a GAN trained with classes; or None")
    asked = None if labels is None else match_classes([str(label) for label in np.ravel(labels)], names).tolist()
    return draw(gan, num, seed, asked)["images"]


def restore(
    image: Any, mask: Any = None, strength: float | int = 1.0, model: Trained | str | Path | None = None
) -> np.ndarray:
    """Returns the restored image, with the shape and type of `image`.

    Args:
      image: uint8, uint16 or floats in [0, 1]; (h, w), (h, w, 1) or (h, w, 3), of any size.
      mask: (h, w), true or above 0 where to fill in; the rest stays unchanged. None restores the whole image.
      strength: from 0 (the image unchanged) to 1 (full restoration).
      model: from `train_restorer`, a run folder or its restorer.safetensors, "photos" or "photos-grey"; None chooses
        between the last two by the channels of the image.

    Raises:
      InputError: an array has a wrong shape or range, or there is no such model.
    """
    pixels = np.asarray(image)
    shaped = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (1, 3))
    require(shaped and pixels.size > 0, "image", pixels.shape, "(h, w), (h, w, 1) or (h, w, 3), not empty")
    require(0 <= strength <= 1, "strength", strength, "0 to 1")
    known = None if mask is None else ~(np.asarray(mask) > 0)
    require(known is None or known.shape == pixels.shape[:2], "mask", np.shape(mask), f"{pixels.shape[:2]}")
    deep = pixels if pixels.dtype in (np.uint8, np.uint16) else _to_integers(pixels, "image", np.uint16)
    if strength == 0:
        return pixels.copy()
    planes = deep[..., None] if deep.ndim == 2 else deep
    if isinstance(model, Trained):
        require_use(model, "restore", "model", _describe(model))
        models = dict.fromkeys((1, 3), require_any_size(model))
    else:
        models = photo_models(model)
    result = make_restore(models, strength, known is not None, TILE)(planes, known).reshape(pixels.shape)
    if deep is pixels:
        return result
    return (result / np.float64(65_535)).astype(pixels.dtype)


def evaluate(
    images: Any, reference: Any = "mnist", *, labels: Any = None, num: int = 10_000, seed: int = 0
) -> dict[str, float]:
    """Returns measures of quality by name: Fréchet and kernel distance, precision, recall, coverage and others.

    Args:
      images: generated images, arrays as in `train_gan`; or a GAN, which draws `num` images.
      reference: real images, arrays or a value of `--dataset`; the test split is used if the data set has one.
      labels: classes of the images, (n,), as in the reference.
      num: number of images that a GAN draws.
      seed: random seed.

    Raises:
      InputError: the images have another shape than the reference, or there are too few.
    """
    named = isinstance(reference, str)
    train, held_out = open_splits(DataConfig(reference)) if named else (array_source(reference), None)
    if isinstance(images, Trained):
        generated = generated_by(images, train, num, seed)
    else:
        given = array_source(images, labels)

        def batches(at_once: int) -> Any:
            for start in range(0, given.num_images, at_once):
                part = slice(start, start + at_once)
                yield given.images[part], None if given.labels is None else given.labels[part]

        labelled = given.labels is not None
        generated = Generated(given.origin, given.num_images, given.shape, labelled, batches, given.class_names)
    result = judge(generated, train, held_out, choose_network(generated.shape), seed, lambda what, items, num: items)
    return {name: figure.value for name, figure in result.figures.items()}


def _open(images: Any, labels: Any, image_size: int | None) -> tuple[DataConfig, Source]:
    """Returns the description of the data for the record, and the source."""
    if isinstance(images, str):
        require(labels is None, "labels", type(labels).__name__, "None with a named data set, which has its own")
        size = image_size or (64 if images.startswith("folder:") else None)
        data = DataConfig(images, image_size=size)
        return data, open_source(data)
    data = DataConfig("arrays", image_size=image_size)
    return data, array_source(images, labels, data)


def _train(
    name: str, recipe: Any, source: Source, out: str | None, progress: bool, resume: Trained | None
) -> tuple[Trained, History]:
    """Trains in memory, or in a new run folder in `out`; returns the model and the metrics of every step."""
    parts: list[dict[str, np.ndarray]] = []
    begin = None if resume is None else resume.state
    task = task_of((f.name for f in dataclasses.fields(recipe)), "config", type(recipe).__name__)
    if out is not None:
        run = new_run(name, out, f"jaxgen.train_{name}")._replace(show=progress)
        trained = train_run(run, recipe, task, source, begin, lambda step, values: parts.append(values))
    else:
        trained = _fit(task, fix_schedule(recipe), source, progress, begin, parts)
    state = jax.block_until_ready(on_all_devices(trained.state))
    history = {key: np.concatenate([part[key] for part in parts]) for key in (parts[0] if parts else {})}
    return trained._replace(state=state), history


def _fit(
    task: Task, config: Any, source: Source, progress: bool, begin: TrainState | None, parts: list[dict[str, Any]]
) -> Trained:
    """Trains in memory with a progress bar."""
    facts = facts_of(source)
    algorithm = task.make(config, facts)
    start = 0 if begin is None else int(begin.step)
    shown = open_progress(config.train.steps, start, algorithm.images_per_step, config.train.minutes)
    shown = shown if progress else NO_PROGRESS

    def on_metrics(step: int, values: dict[str, np.ndarray]) -> None:
        parts.append(values)
        shown.update(step, {name: value[-1] for name, value in values.items() if name.startswith("loss/")})

    hparams, flip = vars(config.hparams), config.data.flip
    try:
        state, stop = fit(algorithm, source, hparams, config.train, flip=flip, begin=begin, on_metrics=on_metrics)
    finally:
        shown.close()
    return Trained(task, config, algorithm, state, facts._replace(step=stop.step, name=f"step {stop.step}"))


def _describe(model: Any) -> str:
    """Returns the name of a model for error messages."""
    return model.facts.name if isinstance(model, Trained) else str(model)


def _to_integers(array: np.ndarray, field: str, dtype: Any) -> np.ndarray:
    """Returns floats in [0, 1] scaled to the whole range of an integer type."""
    real = np.issubdtype(array.dtype, np.floating)
    accepted = "uint8, uint16 or floats in [0, 1]"
    require(real, field, str(array.dtype), accepted)
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    require(low >= 0 and high <= 1, field, f"floats from {low:g} to {high:g}", accepted)
    return np.rint(array.astype(np.float64) * np.iinfo(dtype).max).astype(dtype)
