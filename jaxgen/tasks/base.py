"""What a kind of training is: a `Task`, the record of all its functions; and what it has trained, a `Trained`."""

import dataclasses
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from jaxgen.data.base import Source
from jaxgen.errors import require
from jaxgen.runs.measures import Measures
from jaxgen.runs.report import Picture, write_report
from jaxgen.training.step import Algorithm, TrainState
from jaxgen.types import Grid, Params

C = TypeVar("C")
NOTHING: Mapping[str, Any] = types.MappingProxyType({})


class Data(NamedTuple):
    """Images to train on, and others to judge by, where a task needs these."""

    train: Source
    held_out: Source | None = None


class Facts(NamedTuple):
    """What is known of something trained besides its configuration and state.

    Attributes:
      shape: (*spatial, c) of the images.
      class_names: of the data, in order; empty without labels.
      step: that the state is from.
      name: for messages and tables.
    """

    shape: Grid
    class_names: tuple[str, ...] = ()
    step: int = 0
    name: str = ""


class Use(NamedTuple):
    """What something trained can do.

    Attributes:
      run: called by the command of this name with a `Trained` and the command's arguments.
      command: what to type, with {run} for the folder.
    """

    run: Callable[..., Any]
    command: str


class Trained(NamedTuple):
    """Something trained, in memory or from a checkpoint or a file of weights.

    Attributes:
      task: its kind.
      config: of its run.
      algorithm: whose `predict` it is used by.
      state: the trained state; one from a file of weights has nothing but these.
      facts: what else is known.
    """

    task: "Task"
    config: Any
    algorithm: Algorithm
    state: TrainState
    facts: Facts


class Exportable(NamedTuple):
    """A network ready to be exported.

    Attributes:
      apply: (weights by name, *inputs) -> output, in float32 whatever the network was trained in.
      weights: float32, by name.
      inputs: shapes by name, symbolic where open.
      output: name of the result.
      golden: inputs for which the result is kept in the bundle, by name.
      sizes: for each of three further trials, what the open sizes are, by letter.
      about: the manifest as far as it speaks of the network: `kind`, `image`, `labels` and what else the kind has.
    """

    apply: Callable[..., jax.Array]
    weights: dict[str, np.ndarray]
    inputs: dict[str, jax.ShapeDtypeStruct]
    output: str
    golden: dict[str, np.ndarray]
    sizes: tuple[dict[str, int], ...]
    about: dict[str, Any]


class Task(NamedTuple):
    """A kind of training; all that tells it from others is in its functions.

    Attributes:
      name: of the task; the field of its configuration that holds its structure has the same name.
      config: dataclass of everything that decides a run, with the fields `data`, NAME, `hparams` and `train`.
      open: (config, source or None) -> `Data`; None opens what the configuration names.
      make: (config, facts) -> `Algorithm`.
      measures: (config, algorithm, data) -> what is measured at each checkpoint.
      show: (config, algorithm, data) -> a function (state) -> the picture of a step, uint8 (h, w, c).
      finish: (trained, data, directory) -> None, leaves the final pictures and tables in the run's folder.
      pictures: that the report shows, of those that `finish` leaves.
      uses: by the name of the command, what something trained can do.
      export: (trained, iterations or None) -> `Exportable`; None where there is nothing to export.
      pretrained: names of weights in this task's folder, NAME.safetensors, and the SHA-256 of each.
      adapt: (config, dataset, image size or None) -> the configuration of a preset fitted to data of one's own.
    """

    name: str
    config: type
    open: Callable[[Any, Source | None], Data]
    make: Callable[[Any, Facts], Algorithm]
    measures: Callable[[Any, Algorithm, Data], Measures]
    show: Callable[[Any, Algorithm, Data], Callable[[TrainState], np.ndarray]]
    finish: Callable[[Trained, Data, Path], None]
    pictures: tuple[Picture, ...] = ()
    uses: Mapping[str, Use] = NOTHING
    export: Callable[[Trained, int | None], Exportable] | None = None
    pretrained: Mapping[str, str] = NOTHING
    adapt: Callable[[Any, str, int | None], Any] = lambda config, dataset, image_size: config


def require_grid(shape: Grid) -> Grid:
    """Returns the shape if networks take it: two or three spatial axes, and one to four channels."""
    require(len(shape) in (3, 4), "shape", shape, "(h, w, c) of images or (d, h, w, c) of volumes")
    require(1 <= shape[-1] <= 4, "channels", shape[-1], "1 to 4")
    return shape


def facts_of(source: Source, step: int = 0, name: str = "") -> Facts:
    """Returns what a source tells of the images that something is trained on."""
    return Facts(source.shape, source.class_names or (), step, name)


def fix_schedule(config: C) -> C:
    """Returns a configuration with `hparams.schedule_images` set to the whole run where it is None."""
    if config.hparams.schedule_images is not None:
        return config
    images = float(config.train.steps * config.train.batch_size)
    return dataclasses.replace(config, hparams=dataclasses.replace(config.hparams, schedule_images=images))


def report(task: Task, directory: Path) -> Path:
    """Writes report.html of a run of a task and returns its path."""
    return write_report(directory, task.pictures, tuple(use.command for use in task.uses.values()))


def flat_weights(params: Params) -> dict[str, np.ndarray]:
    """Returns float32 arrays by path, contiguous: safetensors writes the wrong numbers for views."""
    flat = flatten_dict(jax.device_get(params), sep="/")
    return {name: np.ascontiguousarray(array, np.float32) for name, array in flat.items()}
