"""Shared parts of the benchmarks: interleaved timing, tables, and JSON files that say how they were measured."""

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
"""Columns of a table: heading -> (key of a row, format)."""


class Candidate(NamedTuple):
    """A candidate of a race: `run()` does `steps` steps and waits for their results."""

    label: str
    run: Callable[[], None]
    steps: int


class Timing(NamedTuple):
    """The seconds of a step, summarised over the repeats."""

    median: float
    """Median of the clock time."""
    low: float
    """Lower quartile of the clock time."""
    high: float
    """Upper quartile of the clock time."""
    cpu: float
    """Median of the processor time of all threads, busy waiting included; it varies less on a busy machine."""


class Failure(NamedTuple):
    """A candidate that could not be run, and the reason in one line."""

    label: str
    reason: str


def race(
    candidates: Sequence[Candidate],
    repeats: int,
    steps: int,
    clock: Callable[[], float] = time.perf_counter,
    cpu_clock: Callable[[], float] = time.process_time,
) -> dict[str, Timing]:
    """Measures candidates in turns, so that other programs on the machine disturb all of them equally.

    Every candidate runs once unmeasured. Then, in each repeat, every candidate runs about `steps` steps; the
    order is reversed in every second repeat.

    Args:
      candidates: the candidates; their labels must differ.
      repeats: number of measured rounds, 1 or more.
      steps: steps of each candidate in a round (rounded to whole runs, at least one).
      clock: returns the time in seconds.
      cpu_clock: returns the processor time of this process in seconds.

    Returns:
      The timing of a step by label.
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
    """Builds candidates and runs each once; a candidate that raises becomes a failure with the reason.

    Raises:
      InputError: a maker raised it, since a wrong setting is not a failure of the candidate.
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
    """Returns the medians, and the quartiles of the clock time, of repeats (clock, processor)."""
    clock, cpu = zip(*seconds, strict=True)
    low, median, high = statistics.quantiles(clock, n=4, method="inclusive") if len(clock) > 1 else clock * 3
    return Timing(median, low, high, statistics.median(cpu))


def require_writable(out: str | None) -> None:
    """Checks before a measurement that the output file can be written.

    Raises:
      InputError: its folder does not exist, or it is a folder itself.
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
    # a pipe has no width, and the default of 80 columns would break the lines
    Console(width=None if console.is_terminal else 130).print(table)


def cells(row: dict[str, Any], columns: Columns) -> tuple[str, ...]:
    """Returns the cells of a row as text; empty if the value is None."""
    return tuple("" if row[key] is None else format(row[key], form) for key, form in columns.values())


def describe(benchmark: str, config: dict[str, Any], **results: Any) -> dict[str, Any]:
    """Returns a result with its date (UTC), hardware, versions and settings."""
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"benchmark": benchmark, "date": date, "hardware": describe_hardware(), "config": config, **results}


def save(out: str | None, document: dict[str, Any]) -> None:
    """Writes `document` as JSON to `out`, if given, and prints the path."""
    if out is not None:
        write_json(Path(out), document)
        print(f"wrote {out}")


def device() -> str:
    """Returns the number and the kind of the devices that JAX uses."""
    return f"{jax.local_device_count()} x {jax.devices()[0].device_kind}"


def num_parameters(params: Any) -> int:
    """Returns the number of parameters in a tree of arrays."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def pictures(num: int, size: int, channels: int) -> np.ndarray:
    """Returns images of flat patches of 8 pixels, uint8 (num, size, size, channels), in place of photographs."""
    cells = -(-size // 8)
    patches = np.random.default_rng(0).integers(0, 256, (num, cells, cells, channels), np.uint8)
    return patches.repeat(8, axis=1).repeat(8, axis=2)[:, :size, :size]


def compile_afresh(function: Any, *arguments: Any) -> tuple[Any, dict[str, float]]:
    """Returns the compiled function, and its compile time with empty caches and the size of its buffers."""
    before = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()  # it reads the setting only once
    jax.clear_caches()
    began = time.perf_counter()
    program = function.lower(*arguments).compile()
    facts = {"compile_seconds": time.perf_counter() - began}
    jax.config.update("jax_enable_compilation_cache", before)
    compilation_cache.reset_cache()
    return program, {**facts, "megabytes": program.memory_analysis().temp_size_in_bytes / 1e6}
