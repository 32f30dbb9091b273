"""Training from Python, by the same loop as on the command line.

An interrupt (Ctrl-C, the stop button of a notebook) ends a training after the current dispatch; the function returns
the model trained so far. A second interrupt raises KeyboardInterrupt. No function changes the signal handlers for good.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgen.api.arguments import as_config, as_settings, as_stack, require_training
from jaxgen.data.base import Source
from jaxgen.data.config import DataConfig
from jaxgen.data.sources import array_source, open_source
from jaxgen.errors import require
from jaxgen.progress import open_progress
from jaxgen.runs.folder import new_run
from jaxgen.runs.outputs import NO_PROGRESS
from jaxgen.runs.recording import Logger, guarded
from jaxgen.tasks.base import Task, Trained, facts_of
from jaxgen.tasks.gan.config import GanConfig, GanHparams, GanRecipe
from jaxgen.tasks.initial_weights import warm_start
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationHparams, RestorationRecipe
from jaxgen.tasks.table import task_of
from jaxgen.tasks.train import train_run
from jaxgen.training.fit import fit
from jaxgen.training.parallel import on_all_devices, setup_backend
from jaxgen.training.step import TrainState

History = dict[str, np.ndarray]


def train_gan(
    images: Any,
    labels: Any = None,
    *,
    steps: int = 1_000,
    batch_size: int = 32,
    seed: int = 0,
    image_size: int | None = None,
    config: GanConfig | dict | None = None,
    hparams: GanHparams | dict | None = None,
    minutes: float | None = None,
    out: str | Path | None = None,
    progress: bool = True,
    resume: Trained | None = None,
    initial_weights: Trained | str | Path | None = None,
    log: Logger | None = None,
) -> tuple[Trained, History]:
    """Trains a GAN, which is conditional if there are labels.

    Args:
      images: uint8, bool or floats in [0, 1], (n, h, w) or (n, h, w, c) with c of 1 or 3; a list of images, PIL images
        or paths of one size; or a value of `--dataset`: "digits", "folder:PATH".
      labels: class of each image, (n,): integers of 0 or more, or names. The classes are those that occur, in order.
      steps: number of generator updates, those before a resume included.
      batch_size: images per update.
      seed: random seed of weights, noise and the order of the data, as on the command line.
      image_size: side in pixels to crop and resize to; None keeps the size.
      config: structure, or a dict of some of its fields; the others have their defaults, the conditioning is
        `projection` if there are labels.
      hparams: hyperparameters, or a dict of some of them.
      minutes: stop after this many minutes, if that comes first.
      out: folder of runs; a run with pictures, checkpoints and a report is written there. None writes nothing.
      progress: show a progress bar.
      resume: a model that this function returned, to train further.
      initial_weights: a model, a run, a bundle or a name of pretrained weights to start from where their arrays fit
        (fine-tuning); a line says what was taken.
      log: function (step, values) of your own, called with mean metrics by name: with `out` for each line of the run's
        metrics.jsonl, without for each dispatch of steps. For Weights & Biases: `lambda step, v: wandb.log(v, step)`.

    Returns:
      The trained GAN, for `sample`, with its `state`; and the metrics of the steps of this call, (steps,) by name: an
        empty dict if a resumed model has all steps already.

    Examples:
      >>> gan, history = jaxgen.train_gan(images, steps=2, batch_size=8, config={"architecture": "mlp"}, progress=False)
      >>> history["loss/generator"].shape
      (2,)

    Raises:
      InputError: an argument is not accepted (a ValueError).
      NonFiniteError: training diverged.
    """
    setup_backend()
    settings = as_settings(out, steps, batch_size, seed, minutes)
    require_training(image_size, resume, initial_weights, log)
    data, source = _open(images, labels, image_size)
    structure = as_config(GanConfig, config, "config", conditioning="none" if labels is None else "projection")
    recipe = GanRecipe(data, structure, as_config(GanHparams, hparams, "hparams"), settings)
    return _train("gan", recipe, source, out, progress, resume, initial_weights, log)


def train_restorer(
    images: Any,
    *,
    damage: str = "gaussian:0-0.2",
    steps: int = 1_000,
    batch_size: int = 32,
    seed: int = 0,
    image_size: int | None = None,
    config: RestorationConfig | dict | None = None,
    hparams: RestorationHparams | dict | None = None,
    minutes: float | None = None,
    out: str | Path | None = None,
    progress: bool = True,
    resume: Trained | None = None,
    initial_weights: Trained | str | Path | None = None,
    log: Logger | None = None,
) -> tuple[Trained, History]:
    """Trains a restorer on clean images: a tenth of the steps with noise of all levels, the others with `damage`.

    The arguments that are not listed here are those of `train_gan`.

    Args:
      images: clean images, in a form that `train_gan` takes.
      damage: KIND:LOW-HIGH; A+B applies both, and A|B one of them to each image.
      steps: number of updates, those before a resume included.
      seed: random seed of weights, damage and the order of the data.
      config: structure, or a dict of some of its fields; its schedule and damage replace those given by `steps` and
        `damage`.
      out: folder of runs; with a folder, one image in twenty chooses the best checkpoint, another serves the table.

    Returns:
      The restorer, for `restore`, with its `state`; and the metrics of the steps of this call, (steps,) by name.

    Examples:
      >>> small = {"widths": (2,), "depth": 1}
      >>> restorer, _ = jaxgen.train_restorer(images, steps=1, batch_size=8, config=small, progress=False)
      >>> restorer.facts.step
      1

    Raises:
      InputError: see `train_gan`.
      NonFiniteError: training diverged.
    """
    setup_backend()
    settings = as_settings(out, steps, batch_size, seed, minutes)
    require_training(image_size, resume, initial_weights, log)
    data, source = _open(images, None, image_size)
    noise = f"noise:{steps // 10}," if steps >= 10 else ""
    usual = {"schedule": f"{noise}damage:{steps - steps // 10}", "damage": damage}
    structure = as_config(RestorationConfig, config, "config", **usual)
    recipe = RestorationRecipe(data, structure, as_config(RestorationHparams, hparams, "hparams"), settings)
    return _train("restorer", recipe, source, out, progress, resume, initial_weights, log)


def _open(images: Any, labels: Any, image_size: int | None) -> tuple[DataConfig, Source]:
    """Returns the description of the data for the record, and the source."""
    if isinstance(images, str):
        require(labels is None, "labels", type(labels).__name__, "None with a named data set, which has its own")
        size = image_size or (64 if images.startswith("folder:") else None)
        data = DataConfig(images, image_size=size)
        return data, open_source(data)
    data = DataConfig("arrays", image_size=image_size)
    return data, array_source(as_stack(images), labels, data)


def _train(
    name: str,
    recipe: Any,
    source: Source,
    out: str | Path | None,
    progress: bool,
    resume: Trained | None,
    weights: Trained | str | Path | None,
    log: Logger | None,
) -> tuple[Trained, History]:
    """Trains in memory, or in a new run folder in `out`; returns the model and the metrics of every step."""
    parts: list[dict[str, np.ndarray]] = []
    begin = None if resume is None else resume.state
    weights = weights if isinstance(weights, Trained | None) else str(weights)
    if weights is not None:  # a model in memory is recorded by its name
        named = weights.facts.name if isinstance(weights, Trained) else weights
        recipe = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, initial_weights=named))
    task = task_of((f.name for f in dataclasses.fields(recipe)), "config", type(recipe).__name__)
    if out is not None:
        run = new_run(name, str(out), f"jaxgen.train_{name}")._replace(show=progress)
        keep = lambda step, values: parts.append(values)  # noqa: E731
        trained = train_run(run, recipe, task, source, begin, weights, keep, log)
    else:
        trained = _fit(task, recipe, source, progress, begin, weights, parts, log)
    state = jax.block_until_ready(on_all_devices(trained.state))
    history = {key: np.concatenate([part[key] for part in parts]) for key in (parts[0] if parts else {})}
    return trained._replace(state=state), history


def _fit(
    task: Task,
    config: Any,
    source: Source,
    progress: bool,
    begin: TrainState | None,
    weights: Trained | str | None,
    parts: list[dict[str, Any]],
    log: Logger | None,
) -> Trained:
    """Trains in memory with a progress bar."""
    notes, facts = task.notes(config, source), facts_of(source)
    config = task.settle(config, facts)
    algorithm = task.make(config, facts)
    if weights is not None:
        algorithm, line = warm_start(algorithm, config, weights)
        print(line)
    step, images = (0, 0) if begin is None else (int(begin.step), int(begin.images))
    shown = open_progress(config.train.steps, step, algorithm.images_per_step, config.train.minutes, images)
    shown = shown if progress else NO_PROGRESS
    for line in notes:
        shown.message(line)

    tell = guarded(log or (lambda step, values: None))

    def on_metrics(step: int, values: dict[str, np.ndarray]) -> None:
        parts.append(values)
        tell(step, {name: float(value.mean()) for name, value in values.items()})
        shown.update(step, {name: value[-1] for name, value in values.items() if name.startswith("loss/")})

    hparams, flip = vars(config.hparams), config.data.flip
    try:
        state, stop = fit(algorithm, source, hparams, config.train, flip=flip, begin=begin, on_metrics=on_metrics)
    finally:
        shown.close()
    return Trained(task, config, algorithm, state, facts._replace(step=stop.step, name=f"step {stop.step}"))
