"""Two processes on loopback that make one run, for tests."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jaxgen


class Ended(NamedTuple):
    """How a process ended, and when, in seconds of a clock that all share."""

    code: int
    output: str
    at: float


def environment(cache: Path) -> dict[str, str]:
    """Of each process: this code, a compilation cache that both share, quick compilation."""
    root = str(Path(jaxgen.__file__).parents[1])
    quick = {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    return os.environ | {"PYTHONPATH": root, "JAX_COMPILATION_CACHE_DIR": str(cache)} | quick


def run_pair(program: str, before: list[list[str]], flags: list[str], env: dict[str, str]) -> list[Ended]:
    """Runs `program` twice, each with its arguments `before`, then `flags` and who it is, and waits for both."""
    address = f"127.0.0.1:{_free_port()}"
    started, pipes = [], {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    for i in range(2):
        who = ["--coordinator", address, "--num-processes", "2", "--process-id", str(i)]
        started.append(subprocess.Popen([sys.executable, "-c", program, *before[i], *flags, *who], env=env, **pipes))
    try:
        ends = _wait(started)
        outputs = [process.communicate()[0] for process in started]
    finally:
        for process in started:
            process.kill()
    return [Ended(p.returncode, text, at) for p, text, at in zip(started, outputs, ends, strict=True)]


def _wait(started: list[subprocess.Popen]) -> list[float]:
    """When each ended. Both write little, so a pipe that nobody reads meanwhile cannot fill."""
    ends: list[float] = [0.0, 0.0]
    deadline = time.monotonic() + 900
    while not all(ends) and time.monotonic() < deadline:
        for i, process in enumerate(started):
            if not ends[i] and process.poll() is not None:
                ends[i] = time.monotonic()
        time.sleep(0.05)
    return ends


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
