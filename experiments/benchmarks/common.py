"""What the benchmarks share: interleaved timing, a table, a JSON file that says where its numbers come from."""

import datetime
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache
from rich.console import Console
from rich.table import Table

from jaxgen.doctor.rates import cores_busy_elsewhere as cores_busy_elsewhere
from jaxgen.errors import InputError, require
from jaxgen.files import write_json
from jaxgen.hardware import describe_hardware

Columns = dict[str, tuple[str, str]]
"""Headings of a table: key of a row, and format."""


class Candidate(NamedTuple):
    """One competitor: `run()` does `steps` steps and returns when their results are there."""

    label: str
    run: Callable[[], None]
    steps: int


class Timing(NamedTuple):
    """Seconds of one step over the repeats."""

    median: float
    """On the clock."""
    low: float
    """Lower quartile."""
    high: float
    """Upper quartile."""
    cpu: float
    """Median of processor time over all threads, waiting in a loop included; on a busy machine the steadier number."""


class Failure(NamedTuple):
    """A candidate that could not be run, and why, in one line."""

    label: str
    reason: str


def race(
    candidates: Sequence[Candidate],
    repeats: int,
    steps: int,
    clock: Callable[[], float] = time.perf_counter,
    cpu_clock: Callable[[], float] = time.process_time,
) -> dict[str, Timing]:
    """Times candidates in turns, so that whatever else the machine does disturbs all of them alike.

    Every candidate runs once unmeasured. Then, in each repeat, every candidate runs about `steps` steps; the
    order is reversed in every second repeat.

    Args:
      candidates: with labels that differ.
      repeats: measured rounds, 1 or more.
      steps: steps of each candidate in a round (rounded to whole runs, at least one).
      clock: seconds.
      cpu_clock: seconds of processor time of this process.

    Returns:
      Timing of a step by label.
    """
    seconds: dict[str, list[tuple[float, float]]] = {candidate.label: [] for candidate in candidates}
    for candidate in candidates:
        candidate.run()
    for i in range(repeats):
        for candidate in candidates[:: -1 if i % 2 else 1]:
            runs = max(1, round(steps / candidate.steps))
            began, cpu_began = clock(), cpu_clock()
            for _ in range(runs):
                candidate.run()
            num = runs * candidate.steps
            seconds[candidate.label].append(((clock() - began) / num, (cpu_clock() - cpu_began) / num))
    return {label: summarize(values) for label, values in seconds.items()}


def usable_candidates(
    makers: Sequence[tuple[str, Callable[[], Candidate]]],
) -> tuple[list[Candidate], list[Failure]]:
    """Builds candidates and runs each once; what raises is left out of the race, with the reason.

    Raises:
      InputError: as raised by a maker; a wrong setting is not a property of the candidate.
    """
    usable, failures = [], []
    for label, make in makers:
        try:
            candidate = make()
            candidate.run()
        except InputError:
            raise
        except Exception as error:
            failures.append(Failure(label, (str(error).strip() or type(error).__name__).splitlines()[0]))
        else:
            usable.append(candidate)
    return usable, failures


def summarize(seconds: Sequence[tuple[float, float]]) -> Timing:
    """Medians, and quartiles on the clock, of repeats (clock, processor)."""
    clock, cpu = zip(*seconds, strict=True)
    low, median, high = statistics.quantiles(clock, n=4, method="inclusive") if len(clock) > 1 else clock * 3
    return Timing(median, low, high, statistics.median(cpu))


def require_writable(out: str | None) -> None:
    """Refuses an output file that could not be written, before anything is measured.

    Raises:
      InputError: its folder does not exist, or it is one.
    """
    if out is not None:
        path = Path(out)
        require(path.parent.is_dir() and not path.is_dir(), "out", out, "a file in a folder that exists")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> None:
    """Prints a table to stdout: the first column to the left, the others to the right."""
    table = Table(title=title, title_justify="left", caption=caption or None, caption_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", no_wrap=i > 0, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console()
    # a pipe has no width of its own, and 80 columns would break every line
    Console(width=None if console.is_terminal else 130).print(table)


def cells(row: dict[str, Any], columns: Columns) -> tuple[str, ...]:
    """The cells of a row; empty where the value is None."""
    return tuple("" if row[key] is None else format(row[key], form) for key, form in columns.values())


def describe(benchmark: str, config: dict[str, Any], **results: Any) -> dict[str, Any]:
    """A result with what is needed to judge it: date (UTC), machine, versions, settings."""
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"benchmark": benchmark, "date": date, "hardware": describe_hardware(), "config": config, **results}


def save(out: str | None, document: dict[str, Any]) -> None:
    """Writes `document` as JSON to `out`, if given, and says so."""
    if out is not None:
        write_json(Path(out), document)
        print(f"wrote {out}")


def device() -> str:
    """Kind of the devices that JAX uses, and how many."""
    return f"{jax.local_device_count()} x {jax.devices()[0].device_kind}"


def num_parameters(params: Any) -> int:
    """Numbers in a tree of arrays."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def pictures(num: int, size: int, channels: int) -> np.ndarray:
    """uint8 (num, size, size, channels): flat patches of 8 pixels, since photographs are not noise."""
    cells = -(-size // 8)
    patches = np.random.default_rng(0).integers(0, 256, (num, cells, cells, channels), np.uint8)
    return patches.repeat(8, axis=1).repeat(8, axis=2)[:, :size, :size]


def compile_afresh(function: Any, *arguments: Any) -> tuple[Any, dict[str, float]]:
    """The compiled function; seconds to trace and compile it with all caches empty, and megabytes of its buffers."""
    before = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()  # it looks at the setting once
    jax.clear_caches()
    began = time.perf_counter()
    program = function.lower(*arguments).compile()
    facts = {"compile_seconds": time.perf_counter() - began}
    jax.config.update("jax_enable_compilation_cache", before)
    compilation_cache.reset_cache()
    return program, {**facts, "megabytes": program.memory_analysis().temp_size_in_bytes / 1e6}
