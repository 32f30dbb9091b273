"""Whether a training that was saved and restored, in the same process and in a fresh one, equals the uninterrupted one.

The section starts two processes a mode, each with an empty compilation cache, as on two machines: the first trains and
saves in the middle, the second restores and goes on. Images depend on the number of the dispatch alone.

Command of these:  python -m experiments.benchmarks.accelerator.resume FOLDER {first,second} {small,full}
"""

import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import numpy as np

from experiments.benchmarks.accelerator import agreement
from jaxgen.checkpoints import folder as checkpoints
from jaxgen.training import parallel
from jaxgen.training.step import TrainState

RECIPES = ("gan_mnist", "inverse_mnist")
MODES = {"deterministic operations": "--xla_gpu_deterministic_ops=true", "as it is": ""}
"""Flags of XLA by mode."""
DISPATCHES = 2
"""Compiled calls before the save, and after it."""


def train(recipe: str, small: bool, folder: Path, first: bool) -> None:
    """Trains a recipe in one of the two processes, and leaves its last states as RECIPE-NAME.npz in the folder.

    Args:
      recipe: name of the experiment.
      small: narrow networks and few steps.
      folder: where the checkpoints are, or will be.
      first: trains from the beginning ("whole"), and once more from its own checkpoint ("same"); else from that of the
        first process ("fresh").
    """
    algorithm, numbers, batch = agreement.training_of(recipe, small)
    k = 2 if small else parallel.STEPS_PER_DISPATCH[jax.default_backend()]
    mesh, key = parallel.make_mesh(len(batch["images"])), jax.random.key(0)
    dispatch = parallel.compile_steps(algorithm, key, mesh)
    state, saved = parallel.init_state(algorithm, key, numbers, mesh), str(folder / recipe)

    def run(state: TrainState, numbers: range) -> TrainState:
        for i in numbers:
            images = np.random.default_rng(i).integers(0, 256, (k, *batch["images"].shape), np.uint8)
            labels = np.broadcast_to(batch["labels"], (k, *batch["labels"].shape))
            batches = jax.device_put({"images": images, "labels": labels}, parallel.batch_sharding(mesh))
            state, metrics = dispatch(state, batches)
            jax.device_get(metrics)
        return state

    rest = range(DISPATCHES, 2 * DISPATCHES)
    if first:
        state = run(state, range(DISPATCHES))
        store = checkpoints.open_checkpoints(saved)
        checkpoints.save(store, k * DISPATCHES, state, {})
        checkpoints.close(store)
        write(folder / f"{recipe}-whole.npz", run(state, rest))
        state = parallel.init_state(algorithm, key, numbers, mesh)
    restored, _ = checkpoints.restore(saved, state)
    write(folder / f"{recipe}-{'same' if first else 'fresh'}.npz", run(restored, rest))


def write(path: Path, state: TrainState) -> None:
    """Writes all arrays of a state."""
    np.savez(path, *map(np.asarray, jax.tree.leaves(state)))


def compare(left: Path, right: Path) -> tuple[str, float]:
    """Returns whether two files hold the same bits, "equal" or "differ", and their largest absolute difference."""
    with np.load(left) as a, np.load(right) as b:
        same = a.files == b.files and all(a[name].tobytes() == b[name].tobytes() for name in a.files)
        apart = [np.max(np.abs(a[name].astype(np.float64) - b[name]), initial=0.0) for name in a.files]
    return "equal" if same else "differ", float(np.max(apart))


def run_mode(mode: str, small: bool) -> list[dict[str, Any]]:
    """Trains, and restores in a fresh process; returns a row for each recipe.

    Raises:
      RuntimeError: a process failed; the message is the last line of its errors.
    """
    with TemporaryDirectory() as folder:
        for part in ("first", "second"):
            environment = os.environ | {
                "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {MODES[mode]}".strip(),
                "JAX_COMPILATION_CACHE_DIR": f"{folder}/programs-{part}",
            }
            command = [sys.executable, "-m", __spec__.name, folder, part, "small" if small else "full"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            if done.returncode:
                lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
                raise RuntimeError(f"{part} process: {lines[-1]}")
        return [row(f"{recipe}, {mode}", Path(folder), recipe) for recipe in RECIPES]


def row(label: str, folder: Path, recipe: str) -> dict[str, Any]:
    """Returns the row of a recipe from the files that its processes left."""
    whole, same, fresh = (folder / f"{recipe}-{name}.npz" for name in ("whole", "same", "fresh"))
    (fresh_bits, fresh_apart), (same_bits, same_apart) = compare(whole, fresh), compare(whole, same)
    found = {"fresh": fresh_bits, "fresh_apart": fresh_apart, "same": same_bits, "same_apart": same_apart}
    return {"label": label, **found}


def cases(small: bool) -> list[agreement.Case]:
    """Returns a case for each mode; both run side by side, from now on."""
    pool = ThreadPoolExecutor(len(MODES))
    running: dict[str, Future] = {mode: pool.submit(partial(run_mode, mode, small)) for mode in MODES}
    return [(mode, future.result) for mode, future in running.items()]


def main() -> None:
    """Trains in a process of its own."""
    folder, part, size = sys.argv[1:]
    parallel.setup_backend()
    for recipe in RECIPES:
        train(recipe, size == "small", Path(folder), part == "first")


if __name__ == "__main__":
    main()
