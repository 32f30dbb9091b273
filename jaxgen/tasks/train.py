"""The training of any task in the folder of a run."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.checkpoints import folder as checkpoints
from jaxgen.config_json import from_dict
from jaxgen.data.base import Source
from jaxgen.images import readable_scale, save_png
from jaxgen.runs.curves import plot_curves
from jaxgen.runs.driver import Members, Training, record, single_pick
from jaxgen.runs.folder import Run, as_named_now
from jaxgen.runs.locks import one_writer
from jaxgen.runs.outputs import Counts, Outputs
from jaxgen.runs.recording import Logger, find_logger
from jaxgen.tasks import table
from jaxgen.tasks.base import Task, Trained, facts_of, report
from jaxgen.tasks.initial_weights import warm_start
from jaxgen.tasks.resume import require_checkpoint, require_same_data, schedule_line
from jaxgen.training.convolution_library import DEFAULT
from jaxgen.training.fit import OnMetrics, copy_into, prepare, with_numbers
from jaxgen.training.step import TrainState


@one_writer
def train_run(
    run: Run,
    config: Any,
    task: Task | None = None,
    source: Source | None = None,
    begin: TrainState | None = None,
    initial: Trained | str | None = None,
    on_metrics: OnMetrics = lambda step, values: None,
    log: Logger | None = None,
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
      initial: a model whose weights to start from, in place of `config.train.initial_weights`; see `warm_start`.
      on_metrics: called after each dispatch with the step reached and every metric of its steps, (k,) each.
      log: called with (step, values) for each line of metrics.jsonl, in place of `config.train.logger`.

    Returns:
      The trained model, also if a signal ended the training early.

    Raises:
      InputError: data, sizes, numbers or devices do not fit, or another process trains in this folder.
      OSError: a file cannot be written; names it.
      NonFiniteError: training diverged; names the step, the value and the last good checkpoint.
    """
    task = task or table.task_of((f.name for f in dataclasses.fields(config)), "config", type(config).__name__)
    began, earlier, library = time.monotonic(), config, None
    if run.resumed:
        require_checkpoint(run.directory)
        step, meta = checkpoints.read_meta(run.directory / "checkpoints")
        earlier = from_dict(type(config), as_named_now(meta["config"]))
        require_same_data(earlier, config)
        if step == config.train.steps:  # only the last pictures are drawn: what was changed has no effect
            config = dataclasses.replace(earlier, train=dataclasses.replace(earlier.train, steps=step))
        library = meta.get("convolutions", DEFAULT)  # another one gives other last bits
    log = log or (config.train.logger and find_logger(config.train.logger))
    data = task.open(config, source)
    notes, facts = task.notes(config, data.train), facts_of(data.train)
    config = task.settle(config, facts)
    algorithm = task.make(config, facts)
    weights = None if run.resumed else initial or config.train.initial_weights
    algorithm, weights_line = (algorithm, "") if weights is None else warm_start(algorithm, config, weights)
    program = prepare(algorithm, data.train, vars(config.hparams), config.train, config.data.flip, library)
    state = program.state if begin is None else copy_into(program.state, begin)
    if run.resumed:
        state, _ = checkpoints.restore(run.directory / "checkpoints", program.state)
    state = with_numbers(state, vars(config.hparams), config.train.steps, algorithm.images_per_step)
    start = Counts(began, int(state.step), int(state.images), algorithm.images_per_step)
    lines = (weights_line, schedule_line(earlier, config, start) if run.resumed else "", program.convolutions.line)
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
        config, data.train, start, measures, program._replace(state=state), Members(), single_pick,
        _sampler(run, task.show(config, algorithm, data), readable_scale(facts.shape[0])), finish, task.name,
        notes={"best_checkpoint_by": protocol, "convolutions": program.convolutions.library, **task.record(config, 1)},
        messages=tuple(filter(None, (*notes, f"best checkpoint by: {protocol}", *lines))),
        meta=lambda: {"convolutions": program.convolutions.library}, log=log,
    )  # fmt: skip
    return trained(record(run, training, on_metrics))


def _sampler(
    run: Run, show: Callable[[TrainState], np.ndarray], scale: int
) -> Callable[[int, TrainState, Outputs], None]:
    """Returns a function that writes the picture of a step to the run's folder and to TensorBoard."""

    def sample(step: int, state: TrainState, outputs: Outputs) -> None:
        image = show(state)
        save_png(run.directory / "samples" / f"{step:08d}.png", image, scale)
        outputs.writer.write_image(step, "samples", image)

    return sample
