"""A process of its own that kills a small run again and again, and resumes it after each kill.

    python killed_runs.py FOLDER KILLS SEED

All is imported once, and each run is a fork of this process, made before any backend is there. A fork is killed before
its n-th operation on files (open, rename, mkdir, ...), or after so many seconds. Prints a line of JSON: moments of the
kills, runs that came to an end, and what was wrong with these.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import jax
import matplotlib.backends.backend_agg  # noqa: F401  imported here once rather than in each fork
import numpy as np
import orbax.checkpoint  # noqa: F401
import scipy.linalg  # noqa: F401

import jaxgen.tasks.gan.pictures  # noqa: F401
from experiments import gan_mnist

STEPS = 30
FLAGS = f"--steps {STEPS} --log-every 5 --sample-every 15 --checkpoint-every 10 --steps-per-dispatch 5 --devices 1"
TINY = "--architecture mlp --base-channels 1 --latent-dim 4 --batch-size 8"
EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree")


def run(
    folder: Path, out: str, *more: str, kill_at: int | None = None, seconds: float | None = None
) -> tuple[int, str]:
    """Forks one run; its exit code (-9: killed) and all that it printed."""
    log = folder / "log"
    child = os.fork()
    if not child:
        code = 1
        with log.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        try:
            count_and_kill(str(folder / out), kill_at, seconds, folder / "count")
            flags = ["--dataset", f"npz:{folder / 'noise.npz'}", "--out", str(folder / out)]
            sys.argv = ["gan_mnist", *flags, *FLAGS.split(), *TINY.split(), *more]
            gan_mnist.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            import traceback

            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), log.read_text(errors="replace")


def count_and_kill(out: str, kill_at: int | None, seconds: float | None, count_file: Path) -> None:
    """Kills this process before the `kill_at`-th operation on a file in `out`, or `seconds` after the first of them."""
    count = 0
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, args: tuple) -> None:
        nonlocal count
        if event not in EVENTS or not str(args[0]).startswith(out):
            return
        if event == "open" and not (isinstance(args[2], int) and args[2] & writing):
            return
        count += 1
        if count == kill_at:
            kill()
        if count == 1 and seconds is not None:
            threading.Timer(seconds, kill).start()
        if kill_at is None and seconds is None:
            descriptor = os.open(count_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.write(descriptor, str(count).encode())
            os.close(descriptor)

    sys.addaudithook(hook)


def outcome(directory: Path) -> dict[str, str]:
    """What must not depend on how often a run was killed: final arrays, pictures, metrics but for the clock."""
    record = json.loads((directory / "checkpoints" / str(STEPS) / "meta" / "metadata").read_text())
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    rows = [{name: value for name, value in row.items() if name != "time"} for row in rows]
    pictures = [*directory.glob("samples/*.png"), directory / "samples.png", directory / "interpolation.gif"]
    status, config = (json.loads((directory / name).read_text()) for name in ("run.json", "config.json"))
    return {
        "leaves": json.dumps(record["leaves"]),
        "metrics": json.dumps(rows),
        "status": json.dumps([status["status"], status["steps"]]),
        "config": json.dumps(config | {"train": {**config["train"], "out": None}}),
        **{path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(pictures)},
    }


def the_run(out: Path) -> Path | None:
    """The newest run's folder, if it holds a configuration."""
    found = sorted(path.parent for path in out.glob("gan_mnist/*/config.json"))
    return found[-1] if found else None


def main(folder: Path, kills: int, seed: int) -> None:
    """Kills so many times; whenever a run ends it is compared, and another begun."""
    draw = random.Random(seed)
    jax.config.update("jax_compilation_cache_dir", str(folder / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_disable_most_optimizations", True)
    images = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 1), np.uint8)
    np.savez(folder / "noise.npz", images=images)
    began = time.monotonic()
    code, text = run(folder, "whole")
    whole_seconds = time.monotonic() - began
    report = {"moments": [], "ended": 0, "wrong": [], "whole": code, "refused": 0}
    if code:
        print(json.dumps({**report, "wrong": [text]}))
        return
    expected, total = outcome(the_run(folder / "whole")), int((folder / "count").read_text())
    with (the_run(folder / "whole") / ".lock").open() as lock:  # as if another process were at it
        fcntl.flock(lock, fcntl.LOCK_EX)
        report["second"] = run(folder, "whole", "--resume", str(the_run(folder / "whole")))
    number, killed = 0, 0
    while killed < kills or the_run(folder / f"out{number}"):
        out = f"out{number}"
        directory = the_run(folder / out)
        saved = directory and [p for p in directory.glob("checkpoints/*") if p.name.isdigit()]
        at, seconds = None, None
        if killed < kills and draw.random() < 0.7:
            at = draw.randint(1, total)
        elif killed < kills:
            seconds = draw.uniform(0, whole_seconds / 2)
        code, text = run(folder, out, *(["--resume", str(directory)] if directory else []), kill_at=at, seconds=seconds)
        if code == -signal.SIGKILL:
            killed += 1
            report["moments"].append(at or round(seconds, 2))
        elif code == 0:
            report["ended"] += 1
            found = outcome(the_run(folder / out))
            report["wrong"] += [f"{out}: {name} differs" for name in expected if found.get(name) != expected[name]]
            number += 1
        elif code == 2 and not saved and text.count("error: ") == 1 and "before its first checkpoint" in text:
            report["refused"] += 1  # it was killed before its first checkpoint: one begins anew
            number += 1
        else:
            report["wrong"].append(f"{out}: exit {code}: {text[-2000:]}")
            number += 1
        if "Traceback" in text:
            report["wrong"].append(text[-2000:])
    report["operations"] = total
    report["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps(report))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
