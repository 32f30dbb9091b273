"""The batches of the members of a scan, and the choice of the fastest layout."""

import itertools
from collections.abc import Iterator
from contextlib import closing

import numpy as np

from jaxgen.data.pipeline import batches
from jaxgen.runs.ledger import Ledger, present
from jaxgen.scans.setup import Scan
from jaxgen.training.fit import over_images
from jaxgen.training.population import (
    Measured,
    candidate_names,
    compile_population,
    measure_layout,
    parse_layout,
)


def streams_of(scan: Scan, ledger: Ledger) -> list[int]:
    """Returns the number of each member's stream: one for each seed, or with halving one for each member."""
    members = present(ledger)
    return [e.slot if scan.config.scan.halving else e.seed - scan.config.train.seed for e in members]


def member_batches(scan: Scan, ledger: Ledger, step: int) -> Iterator[dict[str, np.ndarray]]:
    """Yields endless batches (streams, b, ...) from a step of the scan on."""
    starts = dict(zip(streams_of(scan, ledger), ((e.seed, step - e.born) for e in present(ledger)), strict=True))
    flip, per_step = scan.config.data.flip, scan.algorithm.images_per_step
    streams = [
        (scan.algorithm.batches or batches)(
            scan.source_of(seed), batch_size=per_step, seed=seed, start=start * per_step, flip=flip
        )
        for _, (seed, start) in sorted(starts.items())
    ]
    while True:
        parts = [next(stream) for stream in streams]
        yield {name: np.stack([part[name] for part in parts]) for name in parts[0]}


def numbers_of(scan: Scan, ledger: Ledger) -> list[dict[str, float]]:
    """Returns the numbers of each present member; a schedule without a length runs over all steps."""
    images = scan.config.train.steps * scan.algorithm.images_per_step
    return [over_images(entry.hparams, images) for entry in present(ledger)]


def choose_layout(scan: Scan, ledger: Ledger, name: str, step: int) -> tuple[Measured, dict[str, float]]:
    """Returns the layout that is named, or for "auto" the fastest of those that are measured.

    Args:
      scan: the scan.
      ledger: its members.
      name: name of a layout, or "auto".
      step: the step at which the scan starts or goes on.

    Returns:
      The layout, and the milliseconds of a step of one member by the name of each measured layout.

    Raises:
      InputError: the name is unknown.
    """
    members, algorithm = present(ledger), scan.algorithm
    together = not scan.config.scan.halving
    if name != "auto":
        layout = parse_layout(name, len(members))
        return Measured(name, layout, compile_population(algorithm, layout, together=together), float("nan")), {}
    with closing(member_batches(scan, ledger, step)) as stream:
        steps = list(itertools.islice(stream, scan.per_dispatch))
    stacked = {name: np.stack([step[name] for step in steps]) for name in steps[0]}
    numbers = numbers_of(scan, ledger)
    tried = [
        measure_layout(algorithm, name, numbers, stacked, together=together) for name in candidate_names(len(members))
    ]
    best = min(tried, key=lambda measured: measured.seconds)
    return best, {measured.name: round(1e3 * measured.seconds, 3) for measured in tried}


def describe_choice(chosen: Measured, milliseconds: dict[str, float]) -> str:
    """Returns a line that says how the members run, and the measured times if there are any."""
    layout = chosen.layout
    how = "in turn" if layout.block == 1 else f"{layout.block} side by side"
    line = f"population: {chosen.name}, members {how} on {layout.devices} device{'s' * (layout.devices > 1)}"
    tried = ", ".join(f"{name} {value:.1f}" for name, value in milliseconds.items())
    return f"{line}; ms for a member's step: {tried}" if milliseconds else line
