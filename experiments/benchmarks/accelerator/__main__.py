"""What an accelerator computes, and how fast: agreement with the CPU, resume, train steps, restoration, populations.

Command:  python -m experiments.benchmarks.accelerator [--minutes 8] [--out FILE.json] [--sections agreement resume ...]

Each section is a process of its own, so that one that fails or hangs leaves the others; what is measured is written at
once, to the JSON file and to a Markdown file beside it. A section is skipped if too little time is left. It needs no
network, no data and no TensorFlow; PyTorch is measured beside if it is installed. Without an accelerator it tries
everything with tiny networks on the CPU. The exit code is 1 if a section failed.
"""

import contextlib
import dataclasses
import datetime
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from experiments.benchmarks.accelerator import sections
from experiments.benchmarks.accelerator.sections import SECTIONS
from experiments.benchmarks.accelerator.table import markdown
from experiments.benchmarks.common import require_writable
from jaxgen.cli import exit_cleanly, parse
from jaxgen.errors import require, require_choices
from jaxgen.files import read_json, write_bytes, write_json

COMMAND = "python -m experiments.benchmarks.accelerator"
Names = Literal[
    "agreement", "resume", "gan_28", "restoration", "restorers", "population", "gan_64", "gan_128", "compiled"
]


@dataclasses.dataclass(frozen=True)
class AcceleratorConfig:
    """Settings of the run."""

    minutes: float = 8.0
    """Time for everything; what does not fit is skipped, the least important first."""
    out: str = "accelerator.json"
    """JSON file for the result; the tables go to a file of this name that ends in .md."""
    sections: tuple[Names, ...] = tuple(SECTIONS)
    """Sections to measure, in this order."""

    def __post_init__(self) -> None:
        require(0 < self.minutes < float("inf"), "minutes", self.minutes, "above 0")
        require(len(self.sections) > 0, "sections", self.sections, ", ".join(SECTIONS))
        require_choices(self)


Runner = Callable[[str, float], tuple[str, dict[str, Any]]]
"""(section, seconds) -> (status, document of the section, empty if there is none)."""


def run(config: AcceleratorConfig, runner: Runner, clock: Callable[[], float] = time.monotonic) -> dict[str, Any]:
    """Runs the sections, and writes what there is after each; returns the document.

    Args:
      config: the settings.
      runner: measures a section.
      clock: returns the time in seconds.

    Raises:
      InputError: an output file cannot be written.
    """
    require_writable(config.out)
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    document: dict[str, Any] = {"benchmark": "accelerator", "date": date, "command": command_of(config)}
    document |= {"hardware": None, "small": False, "torch": {"version": None}, "sections": {}}
    end = clock() + 60.0 * config.minutes
    for name in dict.fromkeys(config.sections):
        left = end - clock()
        if left < SECTIONS[name].least:
            status, found = f"skipped: {max(left, 0.0):.0f} s left", {}
        else:
            status, found = runner(name, min(left, SECTIONS[name].share * 60.0 * config.minutes))
        document |= {key: found[key] for key in ("hardware", "small", "torch") if key in found}
        lists = {key: found.get(key, []) for key in ("rows", "notes", "failures", "pending")}
        document["sections"][name] = {"status": status, **lists}
        print(f"{name}: {status}", *lists["failures"], sep="\n  ", flush=True)
        write_json(Path(config.out), document)
        write_bytes(Path(config.out).with_suffix(".md"), markdown(document).encode())
    return document


def command_of(config: AcceleratorConfig) -> str:
    """Returns the command that measures the same, without the file."""
    chosen = f" --sections {' '.join(config.sections)}" * (config.sections != tuple(SECTIONS))
    return f"{COMMAND} --minutes {config.minutes:g}{chosen}"


def in_process(name: str, seconds: float) -> tuple[str, dict[str, Any]]:
    """Measures a section in a process of its own, and ends that when its time is up; see `Runner`."""
    # JAX takes most of the memory at once, and would leave PyTorch and the processes of `resume` too little
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "GOMP_SPINCOUNT": "1000"} | os.environ
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "errors", "w+b") as errors:
        out = Path(folder) / "section.json"
        command = [sys.executable, "-m", sections.__name__, name, str(out), f"{seconds:.0f}"]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:  # also after Ctrl-C; its own processes belong to its group
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        errors.seek(0)
        last = errors.read().decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        found = read_json(out)
    return outcome(code, time.monotonic() - began, found, last[0])


def outcome(code: int | None, seconds: float, found: dict[str, Any], last: str) -> tuple[str, dict[str, Any]]:
    """Returns the status of a section and its document, with a failure if its process failed.

    Args:
      code: exit code of its process; None if it was ended because the time was up.
      seconds: how long it took.
      found: what it wrote.
      last: the last line of its errors.
    """
    num = len(found.get("rows", []))
    if code is None:
        failed = {} if num else {"failures": ["nothing was measured in its time"]}
        return f"cut after {seconds:.0f} s, {num} rows", {**found, **failed}
    if code:
        failures = [*found.get("failures", []), f"exit code {code}: {last[:300]}"]
        return f"failed after {seconds:.0f} s, {num} rows", {**found, "failures": failures}
    return f"{num} rows in {seconds:.0f} s", found


def main() -> None:
    """Measures from the command line."""
    with exit_cleanly():
        config = parse(AcceleratorConfig(), sys.argv[1:], COMMAND, __doc__)
        document = run(config, in_process)
        print(markdown(document))
        failed = [name for name, section in document["sections"].items() if section["failures"]]
        if failed:
            sys.exit(1)


if __name__ == "__main__":
    main()
