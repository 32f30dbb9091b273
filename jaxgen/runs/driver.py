"""The driver of a recorded training, which writes metrics, checkpoints and pictures of one member or of many.

A run is a training with one member: to the driver, a run and a scan differ only in their `Members`.
"""

import dataclasses
import time
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxgen.checkpoints import folder as checkpoints
from jaxgen.config_json import to_dict
from jaxgen.data.base import Source
from jaxgen.errors import NonFiniteError
from jaxgen.runs import ledger as book
from jaxgen.runs.folder import Run
from jaxgen.runs.ledger import Entry, Ledger
from jaxgen.runs.measures import Measures, best_in_words, score, value_of
from jaxgen.runs.outputs import (
    BEST_METRIC,
    Counts,
    Outputs,
    describe_time,
    fingerprint,
    make_folder,
    open_outputs,
    timed,
)
from jaxgen.runs.reading import read_run
from jaxgen.runs.recording import Logger
from jaxgen.training import distributed, parallel
from jaxgen.training.fit import OnMetrics, Program, require_steps_left, run_steps
from jaxgen.training.loop import Callback, Stop, require_finite_state
from jaxgen.training.population import FINITE
from jaxgen.training.step import TrainState


@dataclasses.dataclass
class Members:
    """The members of a training while it runs; the driver updates the ledger.

    Attributes:
      ledger: steps, scores and status of each member.
      names: names of the hyperparameters that differ between members.
      single: whether it is a run with one member, whose metrics have no member number in their names.
    """

    ledger: Ledger = (Entry(0, 0, 0, {}, 0),)
    names: Sequence[str] = ()
    single: bool = True

    def running(self) -> list[Entry]:
        """Returns the members that still train, by place."""
        return [entry for entry in book.present(self.ledger) if entry.status == "running"]

    def label(self, name: str, entry: Entry) -> str:
        """Returns the name of a member's metric in metrics.jsonl."""
        return name if self.single else f"{name}.{entry.number}"


class Training(NamedTuple):
    """A training and the functions by which it is recorded.

    Attributes:
      config: written to config.json and to each checkpoint; has the fields `train` and `data`.
      source: the training images.
      start: how far the training is when it starts or goes on.
      measures: measures taken before each checkpoint; the first chooses the best.
      program: the compiled steps and the initial state.
      members: the members that train.
      pick: (state, place) -> the `TrainState` of one member, for predictions; called on all processes.
      sample: (step, state, outputs) -> None, draws pictures before the first step and every `sample_every` steps.
      finish: (state) -> path of the main result; called on process 0, and not after a signal.
      task: name of the task.
      notes: further entries of run.json.
      messages: lines to show at the start.
      meta: () -> further entries of a checkpoint's meta.
      segment: number of steps after which `between` is called; None for never.
      between: (step, state, say) -> the state to go on with.
      measured: (members) -> None, called after each measurement and at the end.
      summary: (members) -> a text to show at the end.
      log: called with (step, values) for each line of metrics.jsonl.
    """

    config: Any
    source: Source
    start: Counts
    measures: Measures
    program: Program
    members: Members
    pick: Callable[[Any, int], TrainState]
    sample: Callable[[int, TrainState, Outputs], None] | None
    finish: Callable[[Any], Path]
    task: str
    notes: Mapping[str, Any] = types.MappingProxyType({})
    messages: tuple[str, ...] = ()
    meta: Callable[[], dict[str, Any]] = dict
    segment: int | None = None
    between: Callable[[int, Any, Callable[[str], None]], Any] | None = None
    measured: Callable[[Members], None] = lambda members: None
    summary: Callable[[Members], str] = lambda members: ""
    log: Logger | None = None


def record(run: Run, training: Training, on_metrics: OnMetrics = lambda step, values: None) -> Any:
    """Trains, and writes metrics, checkpoints, pictures and run.json to the run's folder.

    Args:
      run: from `new_run`, or an earlier run, whose lock is held (`one_writer`).
      training: what to train.
      on_metrics: called after each dispatch with the step reached and the metrics of its steps.

    Returns:
      The last state, also after a signal.

    Raises:
      InputError: the run has done more steps already, or another process trains there.
      OSError: a file cannot be written; the message names it.
      NonFiniteError: training diverged; the message names the step, the value and the last good checkpoint.
    """
    config, source, members = training.config, training.source, training.members
    distributed.require_same("configuration and data", fingerprint(config, source))
    state = training.program.state
    start = training.start.step
    require_steps_left(config.train.steps, start)
    if run.resumed and start == config.train.steps and read_run(run.directory).get("status") == "complete":
        _finish_again(run, training)
        return state
    with open_outputs(run, config, source, training.start, training.log) as outputs:
        for line in training.messages:
            outputs.progress.message(line)
        outputs.notes.update(task=training.task, **training.notes)
        outputs.record(start, "running")
        if start == 0:
            _sample(training, outputs, 0, state)
        state, stop = _train(training, outputs, on_metrics)
        with timed(outputs, "checkpoints"):
            checkpoints.wait(outputs.store)
        outputs.record(stop.step, "complete" if stop.reason == "finished" else f"stopped by {stop.reason}")
        training.measured(members)
        _finish(run, training, outputs, state, stop)
    return state


def _train(training: Training, outputs: Outputs, on_metrics: OnMetrics) -> tuple[Any, Stop]:
    """Trains segment by segment; between two segments `between` may replace members."""
    settings, program = training.config.train, training.program
    deadline = None if settings.minutes is None else time.monotonic() + 60 * settings.minutes
    stop = Stop(int(program.state.step), "finished")
    measure = _measurer(training, outputs)
    callbacks = [
        Callback(settings.sample_every, lambda step, state: _sample(training, outputs, step, state)),
        Callback(settings.checkpoint_every, measure, at_signal=training.members.single),
        Callback(settings.checkpoint_every, _saver(training, outputs), at_signal=True),
    ]
    state, segment = program.state, training.segment or settings.steps
    while stop.reason == "finished" and stop.step < settings.steps:
        start = stop.step
        if training.between is not None and start % segment == 0 and start > 0:
            measure(start, state)
            state = training.between(start, state, outputs.progress.message)
        end = min(settings.steps, (start // segment + 1) * segment)
        minutes = None if deadline is None else (deadline - time.monotonic()) / 60
        log = _logger(training, outputs, on_metrics)  # a new window, so that no mean mixes two members of one place
        ready = program._replace(state=state)
        state, stop = run_steps(ready, end, callbacks=callbacks, on_metrics=log, minutes=minutes)
    return state, stop


def _sample(training: Training, outputs: Outputs, step: int, state: Any) -> None:
    """Draws pictures on process 0; must be called on all processes."""
    if training.sample is None:
        return
    with timed(outputs, "pictures"):
        shown = training.pick(state, 0)
        if distributed.is_main():
            training.sample(step, shown, outputs)


def _logger(training: Training, outputs: Outputs, on_metrics: OnMetrics) -> OnMetrics:
    """Returns the `on_metrics` of the loop: it shows progress, marks diverged members and writes mean metrics."""
    window: list[dict[str, np.ndarray]] = []
    every, members = training.config.train.log_every, training.members

    def log(step: int, values: dict[str, np.ndarray]) -> None:
        by_member = {name: value.reshape(len(value), -1) for name, value in values.items()}  # k p
        start = step - len(next(iter(values.values())))
        members.ledger = book.advanced(members.ledger, step)
        if FINITE in by_member:
            members.ledger, lines = book.with_diverged(members.ledger, start, by_member.pop(FINITE), members.names)
            for line in lines:
                outputs.progress.message(line)
        running = members.running()
        if not running:
            raise NonFiniteError(f"all members diverged by step {step}; try smaller learning rates")
        places = [entry.slot for entry in running]
        losses = {name: v[-1, places].mean() for name, v in by_member.items() if name.startswith("loss/")}
        outputs.progress.update(step, losses)
        window.append(by_member)
        if step // every > start // every:
            means = {name: np.concatenate([v[name] for v in window]).mean(0) for name in by_member}
            row = {members.label(name, e): float(v[e.slot]) for e in running for name, v in means.items()}
            outputs.writer.write(step, {"images": outputs.start.images_at(step), **row})
            window.clear()
        on_metrics(step, values)

    return log


def _measurer(training: Training, outputs: Outputs) -> Callable[[int, Any], None]:
    """Returns a callback that takes all measures of every running member, once for each step."""
    members = training.members

    def measure(step: int, state: Any) -> None:
        members.ledger = book.advanced(members.ledger, step)
        waiting = [e for e in members.running() if e.steps > 0 and e.steps not in dict(e.scores)]
        if not (waiting and training.measures):
            return
        found: dict[int, dict[str, float]] = {}
        with timed(outputs, "measures"):
            for entry in waiting:
                shown = training.pick(state, entry.slot)
                require_finite_state(step, shown)
                found[entry.number] = {m.name: m.evaluate(shown) for m in training.measures}
        first = training.measures[0]
        scores = {number: score(first, values[first.name]) for number, values in found.items()}
        members.ledger = book.scored(members.ledger, scores)
        row = {members.label(name, e): value for e in waiting for name, value in found[e.number].items()}
        outputs.writer.write(step, {"images": outputs.start.images_at(step), **row})
        training.measured(members)
        if not members.single:
            best = book.leaderboard(members.ledger)[0]
            about = f"{value_of(first, book.last_score(best)):.4g}, {book.describe(best, members.names)}"
            outputs.progress.message(f"step {step}: member {best.number} is the best ({first.name} {about})")

    return measure


def _saver(training: Training, outputs: Outputs) -> Callable[[int, Any], None]:
    """Returns a callback that saves a finite state with the meta needed to load and resume it."""
    source, members = training.source, training.members

    def save(step: int, state: Any) -> None:
        require_finite_state(step, state)
        members.ledger = book.advanced(members.ledger, step)
        meta = {
            "task": training.task, "config": to_dict(training.config), "position": step,
            "shape": source.shape, "class_names": source.class_names, **training.meta(),
        }  # fmt: skip
        best = book.leaderboard(members.ledger)[0]
        with timed(outputs, "checkpoints"):
            checkpoints.save(outputs.store, step, state, meta, {BEST_METRIC: book.last_score(best)})

    return save


def _finish(run: Run, training: Training, outputs: Outputs, state: Any, stop: Stop) -> None:
    """Draws the final pictures and shows their path; after a signal it shows how to resume instead."""
    outputs.progress.close()
    summary = training.summary(training.members)
    if summary:
        outputs.progress.message(summary)
    if stop.reason not in ("finished", "time"):
        outputs.progress.message(f"{stop.reason}: saved step {stop.step}; continue with --resume {run.directory}")
        return
    with timed(outputs, "pictures"):
        path = _draw_final(training, state)
    outputs.progress.message(f"time: {describe_time(outputs)}")
    outputs.progress.message(f"done: {path}{best_in_words(training.members.ledger, training.measures)}")


def _draw_final(training: Training, state: Any) -> Path | None:
    """Writes the final pictures on process 0, and returns the path of the main result there."""
    shown = training.pick(state, 0) if training.members.single else state
    return training.finish(shown) if distributed.is_main() else None


def _finish_again(run: Run, training: Training) -> None:
    """Writes the final pictures of a training with no step left; its record stays as it is."""
    if distributed.is_main():
        make_folder(run, training.config)
    training.measured(training.members)
    path = _draw_final(training, training.program.state)
    if distributed.is_main() and run.show:
        steps = training.start.step
        print(f"nothing to train: step {steps:,} is the last; --steps N above {steps} trains on", flush=True)
        print(f"done: {path}", flush=True)


def single_pick(state: TrainState, place: int) -> TrainState:
    """Returns the state of a single run for predictions on this process: the `pick` of its `Training`."""
    return parallel.for_prediction(state)
