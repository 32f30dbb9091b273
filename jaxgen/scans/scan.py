"""A scan: a population over hyperparameters and seeds, from its settings to a leaderboard.

Each member has the key, the start and the stream of batches of its seed, as a run of its own would have: members of one
seed see the same images in the same order.
"""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxgen.config_json import to_dict
from jaxgen.errors import NonFiniteError, require
from jaxgen.files import write_json
from jaxgen.runs import checkpoints
from jaxgen.runs.folder import Run, find_run, read_run_config
from jaxgen.runs.locks import one_writer
from jaxgen.runs.outputs import BEST_METRIC, Outputs, open_outputs
from jaxgen.scans import ledger as book
from jaxgen.scans.extract import extract_member
from jaxgen.scans.feed import choose_plan, describe_choice, open_feed, streams_of
from jaxgen.scans.ledger import Entry, Ledger
from jaxgen.scans.report import write_scan_report
from jaxgen.scans.setup import Scan, Task, draw_members, make_scan
from jaxgen.training import distributed
from jaxgen.training.config import TrainConfig
from jaxgen.training.loop import Callback, Stop, train
from jaxgen.training.parallel import on_all_devices
from jaxgen.training.population import (
    FINITE,
    Measured,
    Population,
    init_population,
    make_pick,
    make_replace,
    population_target,
    spread_members,
)


@dataclasses.dataclass
class Board:
    """What changes while a scan runs besides the population: the ledger, and the metric that ranks once it is known."""

    ledger: Ledger
    metric: str = "score"


def run_or_extract(run: Run, config: Any, make_task: Callable[[Any], Task]) -> None:
    """Runs a scan or, with `extract`, writes one member of an earlier one as a run of its own.

    Args:
      run: from `new_run`, or the folder of an earlier scan.
      config: of the scan.
      make_task: configuration -> what is scanned.

    Raises:
      InputError: as `run_scan` and `extract_member` do.
    """
    if config.scan.extract is None:
        run_scan(run, config, make_task(config))
        return
    directory = run.directory if run.resumed else find_run("latest", run.recipe, config.train.out)
    task = make_task(read_run_config(directory, type(config)))
    print(f"{extract_member(directory, task, config.scan.extract)}: member {config.scan.extract} as a run of its own")


@one_writer
def run_scan(run: Run, config: Any, task: Task) -> None:
    """Trains all members, or goes on with them, and leaves checkpoints, scan.json, scan.html and a leaderboard.

    Args:
      run: from `new_run`, or an earlier scan's folder.
      config: recorded as config.json.
      task: what is scanned.

    Raises:
      InputError: settings that cannot work, or nothing to resume from.
      NonFiniteError: every member diverged.
    """
    scan = make_scan(task, config)
    start, ledger, name = 0, draw_members(config, task.member_config), config.scan.population
    if run.resumed:
        start, ledger, name = _read_ledger(run, config)
    steps = config.train.steps
    require(steps >= start, "steps", steps, f"at least {start}, the step that the scan has reached")
    chosen, tried = choose_plan(scan, ledger, name, start)
    population = _read_population(run, scan, ledger, chosen) if run.resumed else _begin(scan, ledger, chosen)
    num_images = len(book.present(ledger)) * task.algorithm.images_per_step
    with open_outputs(run, config, task.source, start, num_images) as outputs:
        outputs.progress.message(f"{len(book.present(ledger))} members, ranked by: {task.protocol}")
        outputs.progress.message(describe_choice(chosen, tried))
        outputs.notes.update(ranked_by=task.protocol, population=chosen.name)
        if tried:
            outputs.notes["milliseconds_of_a_member_step"] = tried
        outputs.record(start, "running")
        board = Board(ledger)
        stop = _train_segments(scan, board, outputs, chosen, population, run)
        checkpoints.wait(outputs.store)
        outputs.record(stop.step, "complete" if stop.reason == "finished" else f"stopped by {stop.reason}")
        _write(scan, board, run)
        outputs.progress.close()
        outputs.progress.message(book.format_leaderboard(board.ledger, scan.names, board.metric))
        if stop.reason in ("finished", "time"):
            outputs.progress.message(f"done: {run.directory / 'scan.html'}")
        else:
            outputs.progress.message(f"{stop.reason}: saved step {stop.step}; continue with --resume {run.directory}")


def _begin(scan: Scan, ledger: Ledger, chosen: Measured) -> Population:
    """The population before its first step, or those of it that begin now."""
    members = book.present(ledger)
    numbers, seeds = [e.hparams for e in members], [e.seed for e in members]
    return init_population(scan.task.algorithm, chosen.plan, numbers, seeds, streams_of(scan, ledger))


def _read_ledger(run: Run, config: Any) -> tuple[int, Ledger, str]:
    """Step and members of the newest checkpoint, and how they ran, unless another way is asked for."""
    earlier = read_run_config(run.directory, type(config))
    for field in ("seeds", "random", "halving"):
        value, before = getattr(config.scan, field), getattr(earlier.scan, field)
        require(value == before, field, value, f"{before}, as the scan began")
    require(config.hparams == earlier.hparams, "hparams", vars(config.hparams), "those that the scan began with")
    steps, before = config.train.steps, earlier.train.steps
    require(not config.scan.halving or steps == before, "steps", steps, f"{before}, as the scan with halving began")
    step, meta = checkpoints.read_meta(run.directory / "checkpoints")
    name = config.scan.population
    return step, book.from_json(meta["ledger"]), meta["population"] if name == "auto" else name


def _read_population(run: Run, scan: Scan, ledger: Ledger, chosen: Measured) -> Population:
    """The population of the newest checkpoint, where the plan wants it."""
    folder = run.directory / "checkpoints"
    _, meta = checkpoints.read_meta(folder)
    numbers = book.present(ledger)[0].hparams
    target = population_target(scan.task.algorithm, chosen.plan, numbers, meta["slots"])
    population, _ = checkpoints.restore(folder, target)
    return spread_members(population, chosen.plan, len(book.present(ledger)))


def _train_segments(
    scan: Scan, board: Board, outputs: Outputs, chosen: Measured, population: Population, run: Run
) -> Stop:
    """Trains from segment to segment; between them, with halving, members make way for new ones."""
    settings: TrainConfig = scan.config.train
    deadline = None if settings.minutes is None else time.monotonic() + 60 * settings.minutes
    stop = Stop(int(population.step), "finished")
    evaluate = _evaluator(scan, board, outputs, chosen, run)
    callbacks = [
        Callback(settings.checkpoint_every, evaluate),
        Callback(settings.checkpoint_every, _saver(scan, board, outputs, chosen), at_signal=True),
    ]
    while stop.reason == "finished" and stop.step < settings.steps:
        start = stop.step
        if scan.config.scan.halving and start % scan.segment == 0 and start > 0:
            evaluate(start, population)
            population = _halve(scan, board, outputs, chosen, population)
        end = min(settings.steps, (start // scan.segment + 1) * scan.segment)
        minutes = None if deadline is None else (deadline - time.monotonic()) / 60
        on_metrics = _logger(scan, board, outputs)  # a new one: no mean is over two members of one place
        with open_feed(scan, board.ledger, chosen.plan, start, end) as feed:
            population, stop = train(
                chosen.dispatch, population, feed, on_metrics=on_metrics, callbacks=callbacks, minutes=minutes,
                agree=distributed.highest,
            )  # fmt: skip
    return stop


def _logger(scan: Scan, board: Board, outputs: Outputs) -> Callable[[int, dict[str, np.ndarray]], None]:
    """A function for the loop: shows each dispatch, flags who diverged, writes each member's means over many steps."""
    window: list[dict[str, np.ndarray]] = []
    every, before = scan.config.train.log_every, None

    def on_metrics(step: int, values: dict[str, np.ndarray]) -> None:
        nonlocal before
        start = step - len(values[FINITE])
        board.ledger = book.advanced(board.ledger, step)
        _flag(scan, board, outputs, start, values[FINITE])
        alive = [e.slot for e in book.present(board.ledger) if e.status == "running"]
        if not alive:
            raise NonFiniteError(f"the last of the members diverged by step {step}")
        losses = {name: value[-1, alive].mean() for name, value in values.items() if name.startswith("loss/")}
        outputs.progress.update(step, losses)
        window.append(values)
        if step // every > (start if before is None else before) // every:
            _write_means(scan, board, outputs, step, window)
            window.clear()
        before = step

    return on_metrics


def _flag(scan: Scan, board: Board, outputs: Outputs, start: int, finite: np.ndarray) -> None:
    """Marks members whose numbers ceased to be finite in the k steps from `start` on; `finite` is (k, p)."""
    diverged: dict[int, Entry] = {}
    for e in book.present(board.ledger):
        if e.status == "running" and not finite[:, e.slot].all():
            steps = start + int(np.argmin(finite[:, e.slot])) + 1 - e.born
            diverged[e.number] = e._replace(status="diverged", steps=steps)
            who = book.describe(e, scan.names)
            outputs.progress.message(f"member {e.number} diverged at its step {steps} and is frozen ({who})")
    board.ledger = book.changed(board.ledger, diverged)


def _write_means(scan: Scan, board: Board, outputs: Outputs, step: int, window: list[dict[str, np.ndarray]]) -> None:
    """One line of metrics: `group/name.MEMBER`, means over the window."""
    means = {name: np.concatenate([values[name] for values in window]).mean(0) for name in window[0] if name != FINITE}
    running = [e for e in book.present(board.ledger) if e.status == "running"]
    row = {f"{name}.{e.number}": float(value[e.slot]) for e in running for name, value in means.items()}
    outputs.writer.write(step, {"images": step * scan.task.algorithm.images_per_step, **row})


def _evaluator(
    scan: Scan, board: Board, outputs: Outputs, chosen: Measured, run: Run
) -> Callable[[int, Population], None]:
    """A callback that measures every member that trains, once at a step, and shows who leads."""
    pick = make_pick(chosen.plan)

    def evaluate(step: int, population: Population) -> None:
        board.ledger = book.advanced(board.ledger, step)
        running = [e for e in book.present(board.ledger) if e.status == "running"]
        waiting = [e for e in running if e.steps > 0 and e.steps not in dict(e.scores)]
        if not waiting:
            return
        found = {e.number: scan.task.evaluate(on_all_devices(pick(population, e.slot))) for e in waiting}
        board.metric = next(iter(found[waiting[0].number]))
        scores = {number: values[board.metric] for number, values in found.items()}
        scores = {number: score if math.isfinite(score) else math.inf for number, score in scores.items()}
        board.ledger = book.scored(board.ledger, scores)
        row = {f"{name}.{number}": value for number, values in found.items() for name, value in values.items()}
        outputs.writer.write(step, {"images": step * scan.task.algorithm.images_per_step, **row})
        _write(scan, board, run)
        best = book.leaderboard(board.ledger)[0]
        about = f"{book.last_score(best):.4g}, {book.describe(best, scan.names)}"
        outputs.progress.message(f"step {step}: member {best.number} leads ({board.metric} {about})")

    return evaluate


def _saver(scan: Scan, board: Board, outputs: Outputs, chosen: Measured) -> Callable[[int, Population], None]:
    """A callback that saves the population and the ledger."""

    def save(step: int, population: Population) -> None:
        board.ledger = book.advanced(board.ledger, step)
        meta = {
            "config": to_dict(scan.config),
            "position": step,
            "shape": scan.task.source.shape,
            "class_names": scan.task.source.class_names,
            "ledger": book.to_json(board.ledger),
            "slots": len(population.members.alive),
            "population": chosen.name,
        }
        score = {BEST_METRIC: book.last_score(book.leaderboard(board.ledger)[0])}
        checkpoints.save(outputs.store, step, population, meta, score)

    return save


def _halve(scan: Scan, board: Board, outputs: Outputs, chosen: Measured, population: Population) -> Population:
    """The population in which the worse half of those at a rung, and the diverged, have made way for new members."""
    step = int(population.step)
    rungs = [scan.segment * n for n in (1, 2, 4)]
    board.ledger, slots = book.halved(board.ledger, rungs, scan.draw_fn, step)
    if not slots:
        return population
    outputs.progress.message(f"step {step}: {len(slots)} members make way for new ones")
    fresh = _begin(scan, board.ledger, chosen)
    replaced = np.isin(np.arange(len(fresh.members.alive)), slots)
    return make_replace(chosen.plan)(population, replaced, fresh)


def _write(scan: Scan, board: Board, run: Run) -> None:
    """scan.json and scan.html, by the first process."""
    if not distributed.is_main():
        return
    members = book.to_json(tuple(book.leaderboard(board.ledger)))
    record = {"metric": board.metric, "protocol": scan.task.protocol, "varied": scan.names, "members": members}
    write_json(run.directory / "scan.json", record)
    write_scan_report(run.directory)
