"""What members of a scan are fed with, and which way of running them is the fastest."""

import itertools
from collections.abc import Iterator
from contextlib import closing

import numpy as np

from jaxgen.data.pipeline import batches
from jaxgen.runs.ledger import Ledger, present
from jaxgen.scans.setup import Scan
from jaxgen.training.population import (
    Measured,
    candidate_names,
    compile_population,
    measure_layout,
    parse_layout,
)


def streams_of(scan: Scan, ledger: Ledger) -> list[int]:
    """For each member the stream that it reads: that of its seed; with halving, one of its own."""
    members = present(ledger)
    return [e.slot if scan.config.scan.halving else e.seed - scan.config.train.seed for e in members]


def member_batches(scan: Scan, ledger: Ledger, step: int) -> Iterator[dict[str, np.ndarray]]:
    """Endless batches (streams, b, ...) from this step of the scan on: of each stream what its member sees then."""
    starts = dict(zip(streams_of(scan, ledger), ((e.seed, step - e.born) for e in present(ledger)), strict=True))
    flip = scan.config.data.flip
    streams = [
        batches(scan.source, batch_size=scan.algorithm.images_per_step, seed=seed, start=start, flip=flip)
        for _, (seed, start) in sorted(starts.items())
    ]
    while True:
        parts = [next(stream) for stream in streams]
        yield {name: np.stack([part[name] for part in parts]) for name in parts[0]}


def choose_layout(scan: Scan, ledger: Ledger, name: str, step: int) -> tuple[Measured, dict[str, float]]:
    """How the members run: as named, or for "auto" the fastest way.

    Args:
      scan: what is fixed.
      ledger: its members.
      name: of a layout, or "auto".
      step: of the scan, at which it goes on.

    Returns:
      The way, and milliseconds of a step of one member by the name of each way that was tried.

    Raises:
      InputError: an unknown name.
    """
    members, algorithm = present(ledger), scan.algorithm
    together = not scan.config.scan.halving
    if name != "auto":
        layout = parse_layout(name, len(members))
        return Measured(name, layout, compile_population(algorithm, layout, together=together), float("nan")), {}
    with closing(member_batches(scan, ledger, step)) as stream:
        steps = list(itertools.islice(stream, scan.per_dispatch))
    stacked = {name: np.stack([step[name] for step in steps]) for name in steps[0]}
    numbers = [entry.hparams for entry in members]
    tried = [
        measure_layout(algorithm, name, numbers, stacked, together=together) for name in candidate_names(len(members))
    ]
    best = min(tried, key=lambda measured: measured.seconds)
    return best, {measured.name: round(1e3 * measured.seconds, 3) for measured in tried}


def describe_choice(chosen: Measured, milliseconds: dict[str, float]) -> str:
    """A line that says how the members run and, where others were tried, why."""
    layout = chosen.layout
    how = "in turn" if layout.block == 1 else f"{layout.block} side by side"
    line = f"population: {chosen.name}, members {how} on {layout.devices} device{'s' * (layout.devices > 1)}"
    tried = ", ".join(f"{name} {value:.1f}" for name, value in milliseconds.items())
    return f"{line}; ms for a member's step: {tried}" if milliseconds else line
