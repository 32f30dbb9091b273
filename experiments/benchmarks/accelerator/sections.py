"""The sections of the run, in order of importance, and the process that measures one of them.

Command of that process:  python -m experiments.benchmarks.accelerator.sections NAME FILE.json SECONDS
"""

import importlib
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.benchmarks.common import Columns

RACES = "experiments.benchmarks.accelerator.races"
STEPS: Columns = {
    "ms": ("milliseconds", ".2f"),
    "images/s": ("images_per_second", ",.0f"),
    "GFLOP/s": ("gflops_per_second", ",.0f"),
    "÷ matmul": ("share_of_matmul", ".2f"),
    "× PyTorch": ("ratio_to_pytorch", ".2f"),
}
AGREEMENT: Columns = {
    "loss apart": ("loss", ".1e"),
    "update apart": ("update", ".1e"),
    "tolerance": ("tolerance", ".0e"),
    "within": ("within", ""),
}
RESUME: Columns = {
    "bits, fresh process": ("fresh", ""),
    "largest difference": ("fresh_apart", ".1e"),
    "bits, same process": ("same", ""),
    "its difference": ("same_apart", ".1e"),
}
RESTORATION: Columns = {
    "ms": ("milliseconds", ".2f"),
    "MP/s": ("megapixels_per_second", ",.1f"),
    "× DnCNN": ("ratio_to_dncnn", ".2f"),
}
POPULATION: Columns = {
    "ms a member step": ("milliseconds", ".3f"),
    "images/s": ("images_per_second", ",.0f"),
    "× solo": ("ratio_to_solo", ".2f"),
    "s to first": ("seconds_to_first_result", ".1f"),
}


class Section(NamedTuple):
    """A part of the run, measured by a process of its own.

    Attributes:
      title: heading of its table.
      columns: columns of its table after the label.
      cases: "module:function" with the arguments before `small`, of a list of cases (name, () -> rows).
      share: the most of the whole time that it may take. These and the next are guesses: nobody has run it yet.
      least: seconds without which it is not begun.
    """

    title: str
    columns: Columns
    cases: tuple[Any, ...]
    share: float
    least: float


SECTIONS = {
    "agreement": Section(
        "One step of every recipe beside the CPU's", AGREEMENT,
        ("experiments.benchmarks.accelerator.agreement", "cases"), 0.25, 40,
    ),
    "resume": Section(
        "Resume against the uninterrupted run", RESUME,
        ("experiments.benchmarks.accelerator.resume", "cases"), 0.25, 40,
    ),
    "gan_28": Section("Train step of the GAN, 28 px", STEPS, (RACES, "gan_cases", 28), 0.2, 30),
    "restoration": Section("Restoration of one image", RESTORATION, (RACES, "restoration_cases"), 0.15, 20),
    "restorers": Section("Train step of the restorers, 64 px", STEPS, (RACES, "restorer_cases"), 0.2, 30),
    "population": Section("Populations of GANs, 28 px", POPULATION, (RACES, "population_cases"), 0.2, 30),
    "gan_64": Section("Train step of the GAN, 64 px", STEPS, (RACES, "gan_cases", 64), 0.2, 30),
    "gan_128": Section("Train step of the GAN, 128 px", STEPS, (RACES, "gan_cases", 128), 0.2, 30),
    "compiled": Section("Train steps beside torch.compile", STEPS, (RACES, "compiled_cases"), 1.0, 40),
}  # fmt: skip
"""Sections by name, the most important first."""


def one_line(error: BaseException) -> str:
    """Returns the kind of an error and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def measure(
    cases: Sequence[tuple[str, Callable[[], list[dict[str, Any]]]]],
    seconds: float,
    keep: Callable[[dict[str, Any]], None],
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Measures cases in order while there is time for one that takes as long as the longest so far.

    Args:
      cases: names and functions that return rows.
      seconds: the time for all.
      keep: called with the result after each case.
      clock: returns the time in seconds.

    Returns:
      `rows`; `notes`, what does not work in PyTorch; `failures`, what should work and does not; `pending`, the names of
      the cases that were not measured.
    """
    began, longest = clock(), 0.0
    found: dict[str, Any] = {"rows": [], "notes": [], "failures": [], "pending": [name for name, _ in cases]}
    keep(found)
    for name, run in cases:
        start = clock()
        if start - began + longest > seconds:
            break
        try:
            rows = run()
        except Exception as error:
            found["failures"].append(f"{name}: {one_line(error)}")
            rows = []
        for row in rows:
            if "does_not_work" in row:
                rival = ": PyTorch" in row["label"]
                found["notes" if rival else "failures"].append(f"{row['label']}: {row['does_not_work'][:200]}")
            else:
                found["rows"].append(_in_milliseconds(row))
            if row.get("within") == "no":
                found["failures"].append(f"{row['label']}: outside its tolerance")
        longest = max(longest, clock() - start)
        found["pending"].remove(name)
        keep(found)
    return found


def _in_milliseconds(row: dict[str, Any]) -> dict[str, Any]:
    seconds = row.get("seconds_per_step", row.get("seconds_per_member_step"))
    return row if seconds is None else {**row, "milliseconds": 1e3 * seconds}


def main() -> None:
    """Measures a section in a process of its own."""
    name, out, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    import jax

    from experiments.benchmarks import torch_setup
    from jaxgen.files import write_json
    from jaxgen.hardware import describe_hardware
    from jaxgen.training.parallel import setup_backend

    began = time.monotonic()
    setup_backend()
    usable = torch_setup.usable()
    threads, version = torch_setup.prepare(usable)
    notes = [] if usable else ["PyTorch is not installed, or does not find the device, and is not measured"]
    small = jax.default_backend() == "cpu"
    facts = {"hardware": describe_hardware(), "small": small, "torch": {"version": version, "threads": threads}}
    module, function, *arguments = SECTIONS[name].cases

    def keep(found: dict[str, Any]) -> None:
        write_json(out, {**facts, **found, "notes": notes + found["notes"]})

    cases = getattr(importlib.import_module(module), function)(*arguments, small)
    keep(measure(cases, seconds - (time.monotonic() - began), keep))


if __name__ == "__main__":
    main()
