"""A scan: a population over hyperparameters and seeds, from its settings to a leaderboard.

Each member has the key, the initial weights and the batches that a single run with its seed would have: members of the
same seed see the same images in the same order.
"""

import math
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from rich.filesize import decimal

from jaxgen.checkpoints import folder as checkpoints
from jaxgen.errors import require
from jaxgen.files import write_json
from jaxgen.images import readable_scale, save_png
from jaxgen.runs import ledger as book
from jaxgen.runs.driver import Members, Training, record
from jaxgen.runs.folder import Run, find_run, read_run_config
from jaxgen.runs.ledger import Ledger
from jaxgen.runs.locks import one_writer
from jaxgen.runs.measures import Measure, value_of
from jaxgen.runs.outputs import Counts
from jaxgen.runs.recording import find_logger
from jaxgen.scans.extract import extract_member
from jaxgen.scans.feed import choose_layout, describe_choice, member_batches, numbers_of, streams_of
from jaxgen.scans.report import BEST, write_scan_report
from jaxgen.scans.setup import Scan, draw_members, make_scan
from jaxgen.tasks.base import Task
from jaxgen.tasks.resume import require_same_data
from jaxgen.training import distributed
from jaxgen.training.config import TrainConfig
from jaxgen.training.fit import Program, require_steps_left
from jaxgen.training.parallel import on_all_devices
from jaxgen.training.population import (
    Measured,
    Population,
    init_population,
    make_pick,
    make_replace,
    member_mesh,
    num_slots,
    population_target,
    spread_members,
    with_numbers,
)

KEPT = 3
"""The most checkpoints that are kept: the two newest and the best."""


def run_or_extract(run: Run, config: Any, task: Task | None = None) -> None:
    """Runs a scan, or with `extract` writes one member of an earlier scan as a run.

    Args:
      run: from `new_run`, or an earlier scan.
      config: configuration of the scan.
      task: the task; None finds it by the fields of `config`.

    Raises:
      InputError: see `run_scan` and `extract_member`.
    """
    if config.scan.extract is None:
        run_scan(run, config, task)
        return
    directory = run.directory if run.resumed else find_run("latest", run.recipe, config.train.out)
    scan = make_scan(read_run_config(directory, type(config)), task)
    print(f"{extract_member(directory, scan, config.scan.extract)}: member {config.scan.extract} as a run of its own")


@one_writer
def run_scan(run: Run, config: Any, task: Task | None = None) -> None:
    """Trains all members, or resumes them; writes checkpoints, scan.json and scan.html, and prints a leaderboard.

    Args:
      run: from `new_run`, or an earlier scan to resume.
      config: configuration of the scan, written to config.json.
      task: the task; None finds it by the fields of `config`.

    Raises:
      InputError: the settings cannot work, or there is nothing to resume from.
      NonFiniteError: every member diverged.
    """
    began, scan = time.monotonic(), make_scan(config, task)
    start, ledger, name = 0, draw_members(config), config.scan.population
    if run.resumed:
        start, ledger, name = _read_ledger(run, config)
    require_steps_left(config.train.steps, start)
    chosen, tried = choose_layout(scan, ledger, name, start)
    if run.resumed:
        population, ledger = _read_population(run, scan, ledger, chosen)
    else:
        population = _begin(scan, ledger, chosen)
    members = Members(ledger, scan.names, single=False)
    training = _training(run, scan, members, chosen, tried, population, began)
    record(run, training._replace(log=config.train.logger and find_logger(config.train.logger)))


def _training(
    run: Run,
    scan: Scan,
    members: Members,
    chosen: Measured,
    tried: dict[str, float],
    population: Population,
    began: float,
) -> Training:
    """Returns the `Training` of a scan for the driver."""
    step, per_step, num = int(population.step), scan.algorithm.images_per_step, len(book.present(members.ledger))
    start = Counts(began, step, step * per_step, per_step, num)
    first, pick, entries = scan.measures[0], make_pick(chosen.layout), scan.task.record(scan.config, num)
    everywhere = NamedSharding(member_mesh(chosen.layout), PartitionSpec())
    program = Program(
        population, chosen.dispatch, lambda state: member_batches(scan, members.ledger, int(state.step)), everywhere,
        scan.per_dispatch,
    )  # fmt: skip

    def meta() -> dict[str, Any]:
        slots = num_slots(chosen.layout, len(book.present(members.ledger)))
        return {"ledger": book.to_json(members.ledger), "slots": slots, "population": chosen.name}

    def halve(step: int, population: Population, say: Any) -> Population:
        return _halve(scan, members, chosen, step, population, say)

    return Training(
        scan.config, scan.source, start, scan.measures, program, members,
        pick=lambda state, place: on_all_devices(pick(state, place)),
        sample=None,
        finish=lambda state: _finish(run, scan, members, state, pick),
        task=scan.task.name,
        notes={
            "ranked_by": first.protocol, "population": chosen.name,
            **({"milliseconds_of_a_member_step": tried} if tried else {}), **entries,
        },
        messages=(
            *scan.notes,
            f"{num} members, ranked by: {first.protocol}",
            describe_choice(chosen, tried),
            describe_size(population, scan.config.train),
            *(entry["statement"] for entry in entries.values()),
        ),
        meta=meta,
        segment=scan.segment,
        between=halve if scan.config.scan.halving else None,
        measured=lambda members: _write(scan, members, run.directory),
        summary=lambda members: format_leaderboard(members, first),
    )  # fmt: skip


def describe_size(population: Population, settings: TrainConfig) -> str:
    """Returns how large the checkpoints of a scan will be, at most, in words."""
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(population))
    kept = min(-(-settings.steps // settings.checkpoint_every), KEPT)
    return f"on disk: about {decimal(size * kept)} ({kept} checkpoint{'s' * (kept > 1)} of {decimal(size)})"


def _finish(run: Run, scan: Scan, members: Members, state: Population, pick: Any) -> Path:
    """Draws the best member as it is now, writes scan.html with the picture, and returns its path."""
    present = {e.number for e in book.present(members.ledger)}
    best = next(e for e in book.leaderboard(members.ledger) if e.number in present)
    if jax.process_count() == 1:  # several processes would have to take the member out of the population together
        image = scan.draw(on_all_devices(pick(state, best.slot)))
        save_png(run.directory / BEST, image, readable_scale(scan.source.shape[0]))
        write_json(run.directory / "best.json", {"member": best.number, "steps": best.steps})
    return write_scan_report(run.directory)


def _begin(scan: Scan, ledger: Ledger, chosen: Measured) -> Population:
    """Returns a population in which every present member is before its first step."""
    members = book.present(ledger)
    numbers, seeds = numbers_of(scan, ledger), [e.seed for e in members]
    return init_population(scan.algorithm, chosen.layout, numbers, seeds, streams_of(scan, ledger))


def _read_ledger(run: Run, config: Any) -> tuple[int, Ledger, str]:
    """Returns the newest checkpoint's step and members, and the layout: that of the scan if `config` says auto."""
    earlier = read_run_config(run.directory, type(config))
    require_same_data(earlier, config)
    before, now = earlier.train.batch_size, config.train.batch_size
    require(before == now, "batch_size", now, f"{before}, with which the scan began")
    for field in ("seeds", "random", "halving"):
        value, before = getattr(config.scan, field), getattr(earlier.scan, field)
        require(value == before, field, value, f"{before}, with which the scan began")
    require(config.hparams == earlier.hparams, "hparams", vars(config.hparams), "the values with which the scan began")
    steps, before = config.train.steps, earlier.train.steps
    require(
        not config.scan.halving or steps == before, "steps", steps, f"{before}, with which the scan with halving began"
    )
    step, meta = checkpoints.read_meta(run.directory / "checkpoints")
    name = config.scan.population
    return step, book.from_json(meta["ledger"]), meta["population"] if name == "auto" else name


def _read_population(run: Run, scan: Scan, ledger: Ledger, chosen: Measured) -> tuple[Population, Ledger]:
    """Returns the population of the newest whole checkpoint, laid out as chosen, and its members at that step."""
    folder = run.directory / "checkpoints"
    _, meta = checkpoints.read_meta(folder)
    numbers = numbers_of(scan, ledger)
    target = population_target(scan.algorithm, chosen.layout, numbers[0], meta["slots"])
    population, meta = checkpoints.restore(folder, target)
    population = spread_members(population, chosen.layout, len(numbers))
    return with_numbers(population, numbers), book.from_json(meta["ledger"])


def _halve(scan: Scan, members: Members, chosen: Measured, step: int, population: Population, say: Any) -> Population:
    """Returns the population after halving: new members replace the diverged and the worse half of those at a rung."""
    rungs = [scan.segment * n for n in (1, 2, 4)]
    members.ledger, slots = book.halved(members.ledger, rungs, scan.draw_fn, step)
    if not slots:
        return population
    say(f"step {step}: {len(slots)} members are replaced by new ones")
    fresh = _begin(scan, members.ledger, chosen)
    replaced = np.isin(np.arange(len(fresh.members.alive)), slots)
    return make_replace(chosen.layout)(population, replaced, fresh)


def _write(scan: Scan, members: Members, directory: Path) -> None:
    """Writes scan.json and scan.html, on process 0."""
    if not distributed.is_main():
        return
    first = scan.measures[0]
    entries = [
        e._replace(scores=tuple((step, value_of(first, score)) for step, score in e.scores))
        for e in book.leaderboard(members.ledger)
    ]
    about = {"metric": first.name, "protocol": first.protocol, "higher_is_better": first.higher_is_better}
    varied = {"varied": scan.names, "members": book.to_json(tuple(entries))}
    write_json(directory / "scan.json", {**about, **varied})
    write_scan_report(directory)


def format_leaderboard(members: Members, measure: Measure) -> str:
    """Returns a text table of the members by rank, with status where it is not running."""
    rows = [("", "member", measure.name, "steps", *members.names, "seed", "")]
    for rank, e in enumerate(book.leaderboard(members.ledger), start=1):
        score = book.last_score(e)
        value = f"{value_of(measure, score):.4g}" if math.isfinite(score) else "-"
        state = "" if e.status == "running" else e.status
        numbers = [book.format_number(e.hparams[name]) for name in members.names]
        rows.append((str(rank), str(e.number), value, f"{e.steps:,}", *numbers, str(e.seed), state))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
