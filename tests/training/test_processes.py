"""Two processes on loopback train one GAN: one is killed, both go on, one gets SIGTERM, both save and stop.

Each pair of processes is started by the command line of an experiment; a signal comes from within, at a known step.
"""

import json
import signal
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from jaxgen.checkpoints import folder as checkpoints
from jaxgen.config_json import load_config
from jaxgen.data.pipeline import batches
from jaxgen.data.sources import open_source
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.tasks.gan.config import GanRecipe
from jaxgen.training import parallel
from jaxgen.training.step import TrainState
from tests.pairs import Ended, environment, run_pair

pytestmark = pytest.mark.slow
PROGRAM = """
import os, pathlib, sys, time
from jaxgen.training import loop
from jaxgen.checkpoints.folder import latest_step
step, number, runs = int(sys.argv.pop(1)), int(sys.argv.pop(1)), pathlib.Path(sys.argv.pop(1))
check = loop.require_finite
def require_finite(values, before):
    if before == step:
        while not any(map(latest_step, runs.glob("*/*/checkpoints"))):  # it is written in the background
            time.sleep(0.1)
        os.kill(os.getpid(), number)
    check(values, before)
loop.require_finite = require_finite
from experiments.gan_mnist_mlp import main
main()
"""
SIZES = "--devices 2 --base-channels 1 --latent-dim 4 --batch-size 8"
LENGTHS = "--steps 40 --steps-per-dispatch 5 --checkpoint-every 10 --log-every 5 --sample-every 100"
AT_STEP, STOPPED_AT = 15, 20


class Story(NamedTuple):
    """What the two pairs of processes left."""

    folder: Path
    killed: list[Ended]
    saved_before: int | None
    resumed: list[Ended]


def train_pair(out: Path, flags: list[str], number: int, env: dict[str, str]) -> list[Ended]:
    """Runs both to their ends; the second gets signal `number` in the dispatch after `AT_STEP`."""
    hits = [[str(AT_STEP if i else -1), str(int(number)), str(out)] for i in range(2)]
    return run_pair(PROGRAM, hits, ["--out", str(out), *flags], env)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("processes")
    images = np.random.default_rng(0).integers(0, 256, (30, 6, 6)).astype(np.uint8)
    np.savez(folder / "data.npz", images=images)
    env = environment(folder / "xla")
    new = ["--dataset", f"npz:{folder / 'data.npz'}", *f"{SIZES} {LENGTHS}".split()]
    killed = train_pair(folder / "runs", new, signal.SIGKILL, env)
    (run,) = (folder / "runs" / "gan_mnist_mlp").iterdir()  # both in one folder
    saved_before = checkpoints.latest_step(run / "checkpoints")
    go_on = ["--checkpoint-every", "1000", "--resume"]  # so that the signal alone makes it save
    return Story(run, killed, saved_before, train_pair(folder / "runs", go_on, signal.SIGTERM, env))


def uninterrupted(folder: Path) -> TrainState:
    """The state at the step where the run was stopped, by one process with eight devices."""
    config = load_config(GanRecipe, folder / "config.json")
    source = open_source(config.data)
    algorithm = make_gan(config.gan, source.shape, config.train.batch_size)
    key_init, key_steps = jax.random.split(jax.random.key(config.train.seed))
    mesh = parallel.make_mesh(config.train.batch_size)
    assert mesh.size == 8
    whole = {"schedule_images": float(config.train.steps * config.train.batch_size)}
    state = parallel.init_state(algorithm, key_init, asdict(config.hparams) | whole, mesh)
    stream = batches(source, batch_size=config.train.batch_size, seed=config.train.seed)
    stacked = {"images": np.stack([next(stream)["images"] for _ in range(STOPPED_AT)])}
    dispatch = parallel.compile_steps(algorithm, key_steps, mesh)
    state, _ = jax.block_until_ready(dispatch(state, jax.device_put(stacked, parallel.batch_sharding(mesh))))
    return state


def test_one_that_is_killed_ends_the_other_with_a_clear_line(story: Story) -> None:
    survivor, killed = story.killed
    assert killed.code == -signal.SIGKILL
    assert survivor.code == 1
    assert survivor.at - killed.at < 60.0, "it hung"
    line = survivor.output.splitlines()[-1]
    assert line.startswith("error: another process of this run is lost; go on from its last checkpoint")
    assert story.saved_before == 10


def test_sigterm_to_one_stops_and_saves_once_on_both(story: Story) -> None:
    assert [ended.code for ended in story.resumed] == [0, 0], story.resumed
    assert f"SIGTERM: saved step {STOPPED_AT}; continue with --resume" in story.resumed[0].output
    assert "SIGTERM" not in story.resumed[1].output  # only process 0 speaks
    assert checkpoints.latest_step(story.folder / "checkpoints") == STOPPED_AT
    written = story.folder / "checkpoints" / str(STOPPED_AT) / "state" / "array_metadatas"
    assert sorted(path.name for path in written.iterdir()) == ["process_0", "process_1"]


def test_both_resume_to_the_result_of_an_uninterrupted_run_on_other_devices(story: Story) -> None:
    expected = uninterrupted(story.folder)
    state, meta = checkpoints.restore(story.folder / "checkpoints", expected)
    assert int(state.step) == meta["position"] == STOPPED_AT
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=0, atol=1e-5), state, expected)


def test_process_0_writes_the_logs_and_the_flags_of_a_process_are_not_kept(story: Story) -> None:
    rows = [json.loads(line) for line in (story.folder / "metrics.jsonl").read_text().splitlines()]
    losses = [row["step"] for row in rows if "loss/generator" in row]
    assert losses == [5, 10, 15, 20]
    record: dict[str, Any] = json.loads((story.folder / "run.json").read_text())
    assert record["status"] == "stopped by SIGTERM"
    assert record["hardware"]["processes"] == 2
    train = load_config(GanRecipe, story.folder / "config.json").train
    assert (train.coordinator, train.num_processes, train.process_id, train.resume) == (None, None, None, None)
