"""A full disk and a folder that cannot be written: one line that names the path, nothing whole is lost or replaced."""

import contextlib
import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen import files
from jaxgen.checkpoints import folder as checkpoints
from jaxgen.checkpoints.folder import latest_step, read_meta
from jaxgen.cli import exit_cleanly
from jaxgen.data.config import DataConfig
from jaxgen.data.sources import open_source
from jaxgen.images import make_grid, save_gif, save_png
from jaxgen.runs import events, reading, recording
from jaxgen.runs.curves import plot_curves
from jaxgen.runs.driver import Members, Training, record, single_pick
from jaxgen.runs.folder import Run, new_run
from jaxgen.runs.measures import Measure
from jaxgen.runs.outputs import Counts, Outputs
from jaxgen.runs.report import write_report
from jaxgen.tasks.gan.config import GanRecipe
from jaxgen.tasks.gan.sample import save_arrays
from jaxgen.training.config import TrainConfig
from jaxgen.training.fit import prepare
from jaxgen.training.step import Algorithm, TrainState, advanced, new_state

STEPS = 8


def init(key: jax.Array, hparams: dict[str, float]) -> TrainState:
    params = {"net": {"kernel": jax.random.normal(key, (8, 8))}}
    return new_state(params, ("net",), {"lr": 0.1}, optax.sgd(0.1))


def step(state: TrainState, batch: Any, key: jax.Array) -> tuple[TrainState, dict[str, jax.Array]]:
    """Walks at random, so that each state tells how it was come to."""
    change = jax.random.normal(jax.random.fold_in(key, state.step), (8, 8))
    params = jax.tree.map(lambda x: x + 0.1 * change, state.params)
    return advanced(state, 8).replace(params=params, ema_params=params), {"loss/x": jnp.mean(change)}


TOY = Algorithm(init, step, lambda state, inputs: state.ema_params["net"]["kernel"], None, 8)


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> GanRecipe:
    path = tmp_path_factory.mktemp("data") / "noise.npz"
    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (32, 8, 8, 1), np.uint8))
    train = TrainConfig(
        steps=STEPS, batch_size=8, log_every=2, sample_every=4, checkpoint_every=4, steps_per_dispatch=2, devices=1
    )
    return GanRecipe(data=DataConfig(dataset=f"npz:{path}"), train=train)


def train(run: Run, config: GanRecipe) -> None:
    """A run of the smallest algorithm with all that a run writes."""

    def grid(state: TrainState) -> np.ndarray:
        return make_grid(jnp.clip(state.params["net"]["kernel"], -1, 1)[None, :, :, None])

    def sample(at: int, state: TrainState, outputs: Outputs) -> None:
        save_png(run.directory / "samples" / f"{at:08d}.png", grid(state), 8)
        outputs.writer.write_image(at, "samples", grid(state))

    def finish(state: TrainState) -> Path:
        save_png(run.directory / "samples.png", grid(state))
        save_gif(run.directory / "interpolation.gif", np.stack([grid(state)] * 2))
        plot_curves(run.directory)
        return write_report(run.directory)

    source = open_source(config.data)
    measure = Measure("quality/x", "the mean", lambda state: float(state.params["net"]["kernel"].mean()))
    program = prepare(TOY, source, vars(config.hparams), config.train)
    if run.resumed:
        restored, _ = checkpoints.restore(run.directory / "checkpoints", program.state)
        program = program._replace(state=restored)
    start = Counts(0.0, int(program.state.step), int(program.state.images), TOY.images_per_step)
    record(run, Training(config, source, start, (measure,), program, Members(), single_pick, sample, finish, "gan"))


def end_of(work: Callable[[], object], capsys: pytest.CaptureFixture) -> tuple[int, str]:
    """Exit code of the work as a command, and what it says on stderr."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end, exit_cleanly():
        work()
    return end.value.code, capsys.readouterr().err


@contextlib.contextmanager
def full_for(monkeypatch: pytest.MonkeyPatch, name: str, at: int = 1, code: int = errno.ENOSPC) -> Iterator[None]:
    """From the `at`-th write on, files of this name, or in such a folder, take half of what is written."""
    count = 0
    real_append, real_write = files.append, Path.write_bytes

    def concerns(path: Path) -> bool:
        nonlocal count
        parts = [part.strip(".") for part in path.parts]
        if not any(part == name or part.startswith(f"{name}.") for part in parts):
            return False
        count += 1
        return count >= at

    def write_bytes(self: Path, data: bytes) -> int:
        if not concerns(self):
            return real_write(self, data)
        real_write(self, data[: len(data) // 2])
        raise OSError(code, os.strerror(code))

    def append(file: object, path: Path, data: bytes) -> None:
        if not concerns(path):
            return real_append(file, path, data)
        real_append(file, path, data[: len(data) // 2])
        raise OSError(code, os.strerror(code), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_bytes)
        for module in (events, recording):
            patch.setattr(module, "append", append)
        yield


KINDS = {  # name, and from which write on the disk is full
    "config.json": 1,
    "run.json": 3,
    "metrics.jsonl": 3,
    "tensorboard": 8,
    "00000004.png": 1,
    "00000008.png": 1,
    "samples.png": 1,
    "interpolation.gif": 1,
    "curves.png": 1,
    "report.html": 1,
}


@pytest.fixture(scope="module")
def finished(config: GanRecipe, tmp_path_factory) -> Path:
    run = new_run("tiny", str(tmp_path_factory.mktemp("whole")), "command")
    train(run, config)
    return run.directory


def assert_whole_files(folder: Path) -> None:
    """Nothing under a final name is a part of a file."""
    for path in folder.rglob("*"):
        if path.suffix == ".json":
            json.loads(path.read_text())
        if path.suffix in (".png", ".gif"):
            assert path.read_bytes().endswith((b"IEND\xaeB`\x82", b";"))
        if path.suffix == ".html":
            assert path.read_text().rstrip().endswith("</html>")
    assert not list(folder.rglob("*.part"))


@pytest.mark.parametrize("name", KINDS)
def test_a_full_disk_ends_a_run_with_one_line(
    name: str, config: GanRecipe, finished: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    run = new_run("tiny", str(tmp_path), "command")
    with full_for(monkeypatch, name, KINDS[name]):
        code, said = end_of(lambda: train(run, config), capsys)
    assert code == 1
    assert said.count("\n") == 1
    assert said.startswith(f"error: {run.directory}")
    assert name in said
    assert "No space left on device" in said
    assert_whole_files(run.directory)
    if not latest_step(run.directory / "checkpoints"):
        return
    train(Run("tiny", run.directory, "command", resumed=True), config)  # with space again
    assert_whole_files(run.directory)
    for picture in ("samples.png", "samples/00000008.png"):
        assert (run.directory / picture).read_bytes() == (finished / picture).read_bytes()
    assert json.loads((run.directory / "run.json").read_text())["status"] == "complete"
    rows, expected = (
        [{k: v for k, v in row.items() if k != "time"} for row in reading.read_metrics(folder)]
        for folder in (run.directory, finished)
    )
    assert rows == expected


def test_samples_are_whole_or_not_there(tmp_path: Path, monkeypatch, capsys) -> None:
    save_arrays(tmp_path / "x.npz", images=np.zeros(3, np.uint8))
    with full_for(monkeypatch, "x.npz"):
        code, said = end_of(lambda: save_arrays(tmp_path / "x.npz", images=np.ones(3, np.uint8)), capsys)
    assert (code, said) == (1, f"error: {tmp_path}/x.npz: No space left on device\n")
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]
    assert np.load(tmp_path / "x.npz")["images"].sum() == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.getuid() or not shutil.which("mount"):
        pytest.skip("only root can mount a small file system")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here ({done.stderr.strip()})")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("room", [0, 40, 120])
def test_a_disk_that_is_really_full(room: int, config: GanRecipe, small_disk: Path, monkeypatch, capsys) -> None:
    """With `room` kB left."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1024 * (300 - room) // 4096 * 4096))
    run = new_run("tiny", str(small_disk), "command")
    code, said = end_of(lambda: train(run, config), capsys)
    assert code in (1, 2)
    assert said.count("\n") == 1
    assert said.startswith("error: ")
    assert str(small_disk) in said
    assert any(words in said for words in ("No space left on device", "disk full"))
    ballast.unlink()
    if run.directory.exists():
        assert_whole_files(run.directory)
    if latest_step(run.directory / "checkpoints"):
        again = Run("tiny", run.directory, "command", resumed=True)
        train(again, config)
        assert read_meta(run.directory / "checkpoints")[0] == STEPS


def test_a_folder_that_is_read_only(config: GanRecipe, finished: Path, small_disk: Path, capsys) -> None:
    shutil.copytree(finished, small_disk / "run", ignore=shutil.ignore_patterns("*.html"))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    before = sorted(small_disk.rglob("*"))
    for run in (new_run("tiny", str(small_disk), "command"), Run("tiny", small_disk / "run", "command", resumed=True)):
        code, said = end_of(lambda run=run: train(run, config), capsys)
        assert code == 2
        assert said.count("\n") == 1
        assert said.startswith("error: out: got ")
        assert "Read-only file system" in said
    for path in (small_disk / "x.npz", small_disk / "new" / "x.npz"):
        code, said = end_of(lambda path=path: save_arrays(path, images=np.zeros(3)), capsys)
        assert (code, said) == (1, f"error: {path}: Read-only file system\n")
    assert sorted(small_disk.rglob("*")) == before
