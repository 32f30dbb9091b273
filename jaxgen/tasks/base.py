"""The records that every kind of training shares: `Task`, its functions, and `Trained`, a result of it."""

import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from jaxgen.data.base import Source
from jaxgen.data.notes import size_notes
from jaxgen.errors import require
from jaxgen.runs.measures import Measures
from jaxgen.runs.report import Picture, write_report
from jaxgen.training.step import Algorithm, TrainState
from jaxgen.types import Grid, Params

NOTHING: Mapping[str, Any] = types.MappingProxyType({})
AUDIT = Picture(
    "private/audit.png",
    "Audit (private)",
    "Scores of images that were trained on, and of others: the further apart, the more the model gives away. "
    "The picture is made from private images; a page that shows it is private too",
)
"""The picture of `jaxgen audit`, in the report of a run that was audited."""


class Data(NamedTuple):
    """Images of a training; tasks leave out what they do not need.

    Attributes:
      train: images to train on.
      held_out: images to evaluate the trained model on.
      validation: images to choose the best checkpoint by; neither trained on nor, where there are enough, evaluated on.
    """

    train: Source
    held_out: Source | None = None
    validation: Source | None = None


class Facts(NamedTuple):
    """Facts about a trained model besides its configuration and state.

    Attributes:
      shape: (*spatial, c) of the images.
      class_names: names of the classes in order; empty if the data has no labels.
      step: step of the state.
      name: name for messages and tables.
      num_images: number of training images; 0 for a model that was loaded.
    """

    shape: Grid
    class_names: tuple[str, ...] = ()
    step: int = 0
    name: str = ""
    num_images: int = 0


class Use(NamedTuple):
    """A use of a trained model: a command that takes one.

    Attributes:
      run: function that the command calls with a `Trained` and the command's arguments.
      command: example of the command line; {run} stands for the folder of the run.
    """

    run: Callable[..., Any]
    command: str


class Trained(NamedTuple):
    """A trained model, in memory or from a checkpoint or a file of weights.

    Attributes:
      task: the task that trained it.
      config: configuration of its run.
      algorithm: algorithm whose `predict` applies the model.
      state: trained state; one from a file of weights holds only the averaged weights.
      facts: further facts.
    """

    task: "Task"
    config: Any
    algorithm: Algorithm
    state: TrainState
    facts: Facts

    @property
    def from_run(self) -> bool:
        """Returns whether this is the state of a training, and not one from a file of weights."""
        return bool(self.state.params)

    def __repr__(self) -> str:
        """Returns three lines: the task and the step, the images, and the numbers of parameters."""
        classes = f", {len(self.facts.class_names)} classes" if self.facts.class_names else ""
        networks = self.state.params or self.state.ema_params
        sizes = {name: sum(leaf.size for leaf in jax.tree.leaves(net)) for name, net in networks.items()}
        return (
            f"Trained({self.task.name}, {self.facts.name or f'step {self.facts.step}'}\n"
            f"  images: {' x '.join(map(str, self.facts.shape))}{classes}\n"
            f"  parameters: {', '.join(f'{name} {num:,}' for name, num in sizes.items())})"
        )


class ExportChoices(NamedTuple):
    """What is chosen at the export of a network that leaves a choice.

    Attributes:
      iterations: of a recurrent network; None for as many as in training.
      scale: factor of a network that enlarges images; None for its largest one.
    """

    iterations: int | None = None
    scale: int | None = None


NO_CHOICE = ExportChoices()


class Exportable(NamedTuple):
    """A network ready to be exported.

    Attributes:
      apply: (weights by name, *inputs) -> output, in float32 whatever the dtype of the training.
      weights: float32 arrays by name.
      inputs: shapes by name; sizes that are left open are symbolic.
      output: name of the result.
      golden: example inputs by name; the bundle holds the results for them.
      sizes: values of the open sizes, by letter, for each of some further trials.
      about: entries of the manifest about the network: `kind`, `image`, `labels` and those of its kind.
      estimator: of a restorer, the network that sees what is damaged, whose `about` are its `repairs`.
    """

    apply: Callable[..., jax.Array]
    weights: dict[str, np.ndarray]
    inputs: dict[str, jax.ShapeDtypeStruct]
    output: str
    golden: dict[str, np.ndarray]
    sizes: tuple[dict[str, int], ...]
    about: dict[str, Any]
    estimator: "Exportable | None" = None


class Task(NamedTuple):
    """A kind of training, described by its functions.

    Attributes:
      name: name of the task, and of the field of its configuration that holds the structure of the networks.
      config: dataclass of all settings of a run, with the fields `data`, NAME, `hparams` and `train`.
      open: (config, source or None) -> `Data`; None opens the data set that the configuration names.
      make: (config, facts) -> `Algorithm`.
      measures: (config, algorithm, data) -> the measures that are taken at each checkpoint.
      show: (config, algorithm, data) -> a function (state) -> the picture of a step, uint8 (h, w, c).
      finish: (trained, data, directory) -> None; writes the final pictures and tables to the run's folder.
      pictures: those of the files of `finish` that the report shows.
      uses: the uses of a trained model, by the name of the command.
      export: (trained, `ExportChoices`) -> `Exportable`; None if the task has nothing to export.
      pretrained: names of weights in the task's folder, NAME.safetensors, with the SHA-256 of each.
      adapt: (config, dataset, image size or None) -> the configuration of a preset, adapted to the user's data.
      settle: (config, facts) -> the configuration, with what it leaves to the data decided.
      notes: (config, source) -> lines about the data that are shown at the start.
      record: (settled config, number of members) -> further entries of run.json; a text `statement` in one of them is
        shown at the start of a scan.
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
    export: Callable[[Trained, ExportChoices], Exportable] | None = None
    pretrained: Mapping[str, str] = NOTHING
    adapt: Callable[[Any, str, int | None], Any] = lambda config, dataset, image_size: config
    settle: Callable[[Any, Facts], Any] = lambda config, facts: config
    notes: Callable[[Any, Source], tuple[str, ...]] = lambda config, source: size_notes(source)
    record: Callable[[Any, int], Mapping[str, Any]] = lambda config, members: NOTHING


def require_grid(shape: Grid) -> Grid:
    """Returns the shape; raises `InputError` unless it has two or three spatial axes and one to four channels."""
    require(len(shape) in (3, 4), "shape", shape, "(h, w, c) of images or (d, h, w, c) of volumes")
    require(1 <= shape[-1] <= 4, "channels", shape[-1], "1 to 4")
    return shape


def facts_of(source: Source, step: int = 0, name: str = "") -> Facts:
    """Returns the facts that a source gives about its images."""
    return Facts(source.shape, source.class_names or (), step, name, source.num_images)


def report(task: Task, directory: Path) -> Path:
    """Writes report.html to the folder of a run, and returns its path."""
    return write_report(directory, (*task.pictures, AUDIT), tuple(use.command for use in task.uses.values()))


def require_no_choice(choices: ExportChoices, *fields: str) -> None:
    """Raises `InputError` if one of these fields is chosen, of which the network to export leaves no choice."""
    for field in fields:
        value = getattr(choices, field)
        require(value is None, field, value, "none, since the network leaves no such choice")


def flat_weights(params: Params) -> dict[str, np.ndarray]:
    """Returns contiguous float32 arrays by path; from views safetensors would write wrong numbers."""
    flat = flatten_dict(jax.device_get(params), sep="/")
    return {name: np.ascontiguousarray(array, np.float32) for name, array in flat.items()}
