"""The training of any task in the folder of a run."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.data.base import Source
from jaxgen.images import readable_scale, save_png
from jaxgen.runs import checkpoints
from jaxgen.runs.curves import plot_curves
from jaxgen.runs.driver import Members, Training, record, single_pick
from jaxgen.runs.folder import Run
from jaxgen.runs.locks import one_writer
from jaxgen.runs.outputs import Outputs
from jaxgen.tasks import table
from jaxgen.tasks.base import Task, Trained, facts_of, fix_schedule, report
from jaxgen.tasks.load import warm_start
from jaxgen.training.convolution_library import DEFAULT
from jaxgen.training.fit import OnMetrics, Program, copy_into, prepare
from jaxgen.training.step import TrainState


@one_writer
def train_run(
    run: Run,
    config: Any,
    task: Task | None = None,
    source: Source | None = None,
    begin: TrainState | None = None,
    on_metrics: OnMetrics = lambda step, values: None,
) -> Trained:
    """Trains in the folder of a run, from the start or from its newest complete checkpoint, and returns the model.

    It also writes pictures and a report.

    Args:
      run: result of `new_run`, or the folder of an earlier run.
      config: configuration of the task; it is written to config.json and to each checkpoint. On resume its `hparams`
        replace those of the checkpoint.
      task: the task; None finds it by the fields of `config`.
      source: images to train on; None opens the data set that `config.data` names.
      begin: state to start from, in place of a checkpoint; it is copied.
      on_metrics: called after each dispatch with the step reached and every metric of its steps, (k,) each.

    Returns:
      The trained model, also if a signal ended the training early.

    Raises:
      InputError: data, sizes, numbers or devices do not fit, or another process trains in this folder.
      OSError: a file cannot be written; names it.
      NonFiniteError: training diverged; names the step, the value and the last good checkpoint.
    """
    task = task or table.task_of((f.name for f in dataclasses.fields(config)), "config", type(config).__name__)
    data = task.open(config, source)
    notes, facts = task.notes(config, data.train), facts_of(data.train)
    config = task.settle(fix_schedule(config), facts)
    algorithm = task.make(config, facts)
    weights = getattr(config, "initial_weights", None)
    if weights is not None and not run.resumed:
        algorithm = warm_start(algorithm, weights)
    library = _library(run) if run.resumed else None
    program = prepare(algorithm, data.train, vars(config.hparams), config.train, config.data.flip, library)
    program = _started(run, program, begin)
    measures = task.measures(config, algorithm, data)
    protocol = measures[0].protocol if measures else "none; the newest is the best"

    def trained(state: TrainState) -> Trained:
        step = int(state.step)
        return Trained(task, config, algorithm, state, facts._replace(step=step, name=f"step {step}"))

    def finish(state: TrainState) -> Path:
        task.finish(trained(state), data, run.directory)
        plot_curves(run.directory)
        return report(task, run.directory)

    training = Training(
        config, data.train, algorithm.images_per_step, measures, program, Members(), single_pick,
        _sampler(run, task.show(config, algorithm, data), readable_scale(facts.shape[0])), finish, task.name,
        notes={"best_checkpoint_by": protocol, "convolutions": program.convolutions.library},
        messages=tuple(filter(None, (*notes, f"best checkpoint by: {protocol}", program.convolutions.line))),
        meta=lambda: {"convolutions": program.convolutions.library},
    )  # fmt: skip
    return trained(record(run, training, on_metrics))


def _library(run: Run) -> str:
    """Returns the library that computed the convolutions of a run so far: another one gives other last bits."""
    _, meta = checkpoints.read_meta(run.directory / "checkpoints")
    return meta.get("convolutions", DEFAULT)


def _started(run: Run, program: Program, begin: TrainState | None) -> Program:
    """Returns the program with the state to start from; its `hparams` stay those of the configuration."""
    if run.resumed:
        restored, _ = checkpoints.restore(run.directory / "checkpoints", program.state)
        return program._replace(state=restored.replace(hparams=program.state.hparams))
    return program if begin is None else program._replace(state=copy_into(program.state, begin))


def _sampler(
    run: Run, show: Callable[[TrainState], np.ndarray], scale: int
) -> Callable[[int, TrainState, Outputs], None]:
    """Returns a function that writes the picture of a step to the run's folder and to TensorBoard."""

    def sample(step: int, state: TrainState, outputs: Outputs) -> None:
        image = show(state)
        save_png(run.directory / "samples" / f"{step:08d}.png", image, scale)
        outputs.writer.write_image(step, "samples", image)

    return sample
