"""A run that goes on: what was read is counted, schedules fit, the record is true, and other images are refused."""

import dataclasses
import json
import math
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.cli.exits import UNSAVED
from jaxgen.cli.recipes import run_recipe
from jaxgen.data.config import DataConfig
from jaxgen.data.pipeline import plan
from jaxgen.data.sources import array_source
from jaxgen.errors import InputError
from jaxgen.runs.folder import Run, new_run, read_run_config
from jaxgen.runs.measures import Measure
from jaxgen.runs.reading import read_metrics
from jaxgen.tasks.base import Data, Task
from jaxgen.tasks.gan.config import GanConfig, GanHparams, GanRecipe
from jaxgen.tasks.initial_weights import warm_start
from jaxgen.tasks.load import load
from jaxgen.tasks.train import train_run
from jaxgen.training.config import TrainConfig
from jaxgen.training.optimizers import cosine
from jaxgen.training.step import Algorithm, TrainState, advanced, new_state

NUM_IMAGES = 37
SOURCE = array_source(np.arange(NUM_IMAGES, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 1), np.uint8))
"""Images that say which they are: each pixel of image i is i."""
LR = GanHparams(lr=1e-3, lr_final=1e-4)
LOGGED: list[tuple[int, dict[str, float]]] = []


def toy(batch_size: int) -> Algorithm:
    """A training that only counts: its metrics are the learning rate, and which images it saw."""

    def init(key, hparams):
        params = {"net": {"kernel": jax.random.normal(key, (2, 2))}}
        numbers = {name: jnp.asarray(value, jnp.float32) for name, value in hparams.items()}
        return new_state(params, ("net",), numbers, optax.sgd(0.1))

    def step(state, batch, key):
        h = state.hparams
        lr = cosine(h["lr"], h["lr_final"], state.images.astype(jnp.float32) / h["schedule_images"])
        seen = jnp.mean(batch["images"].astype(jnp.float32))
        return advanced(state, batch_size), {"schedule/lr": lr, "loss/seen": seen}

    return Algorithm(init, step, lambda state, inputs, key: None, None, batch_size, takes_gradient=False)


def draw(trained, data, directory: Path) -> None:
    (directory / "last.txt").write_text(f"drawn at {trained.facts.step}")


TOY = Task(
    name="gan",
    config=GanRecipe,
    open=lambda config, source: Data(source or SOURCE),
    make=lambda config, facts: toy(config.train.batch_size),
    measures=lambda config, algorithm, data: (
        Measure("quality/x", "none", lambda state: float(state.step), describe="{:g} of them".format),
    ),
    show=lambda config, algorithm, data: lambda state: np.zeros((4, 4, 1), np.uint8),
    finish=draw,
)


@pytest.fixture(autouse=True)
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than all else here."""
    monkeypatch.setattr("jaxgen.tasks.train.plot_curves", lambda directory: None)


def config_of(**changes) -> GanRecipe:
    train = TrainConfig(
        steps=10, batch_size=8, log_every=1, sample_every=50, checkpoint_every=50, steps_per_dispatch=1, devices=1
    )
    return GanRecipe(DataConfig("arrays"), GanConfig(), LR, dataclasses.replace(train, **changes))


def trained_run(out: Path, config: GanRecipe) -> Run:
    run = new_run("toy", str(out), "first")
    train_run(run, config, TOY)
    return run._replace(resumed=True, command="second")


def go_on(run: Run, config: GanRecipe) -> TrainState:
    return train_run(run, config, TOY).state


def rate_at(images: float, schedule: float) -> float:
    """Equation 5 of SGDR, from 1e-3 to 1e-4."""
    return 1e-4 + 9e-4 * 0.5 * (1 + math.cos(math.pi * min(1.0, images / schedule)))


def rows_of(run: Run) -> dict[int, dict[str, float]]:
    return {row["step"]: row for row in read_metrics(run.directory) if "schedule/lr" in row}


def test_another_batch_size_counts_the_images_that_were_read(tmp_path, capsys):
    """10 steps of 8, then 5 of 16: 160 images, of which 80 were read when the rate is half way down."""
    run = trained_run(tmp_path, config_of())
    state = go_on(run, config_of(steps=15, batch_size=16))
    rows = rows_of(run)
    assert int(state.images) == rows[15]["images"] == 160
    assert rows[11]["schedule/lr"] == pytest.approx(rate_at(80, 160), rel=1e-5) == pytest.approx(5.5e-4)
    assert rows[13]["schedule/lr"] == pytest.approx(rate_at(112, 160), rel=1e-5)
    index, _ = plan(0, NUM_IMAGES, 80, 16)
    assert rows[11]["loss/seen"] == pytest.approx(index.mean(), abs=1e-4)
    said = capsys.readouterr().out
    assert "schedule: planned anew over 160 images" in said
    assert "step 11/15  96 images" in said


def test_more_steps_plan_the_schedule_anew_over_the_whole(tmp_path):
    run = trained_run(tmp_path, config_of())
    assert rows_of(run)[10]["schedule/lr"] == pytest.approx(rate_at(72, 80), rel=1e-5)
    longer = dataclasses.replace(config_of(steps=20), hparams=GanHparams(lr=3e-3, lr_final=1e-4))
    state = go_on(run, longer)
    assert float(state.hparams["schedule_images"]) == 160
    assert rows_of(run)[11]["schedule/lr"] == pytest.approx(1e-4 + 0.5 * 2.9e-3, rel=1e-5)  # half way, from 3e-3


def test_a_number_without_effect_is_refused(tmp_path, capsys):
    fixed = dataclasses.replace(LR, schedule_images=64.0)
    run = trained_run(tmp_path, dataclasses.replace(config_of(), hparams=fixed))
    changed = dataclasses.replace(config_of(steps=12), hparams=dataclasses.replace(fixed, lr=0.5))
    with pytest.raises(InputError, match=r"hparams.lr: got 0.5; accepted: 0.001, since the schedule of 64 images is"):
        go_on(run, changed)
    capsys.readouterr()
    go_on(run, dataclasses.replace(config_of(steps=12), hparams=fixed))
    assert "schedule: over after 64 images" in capsys.readouterr().out
    assert rows_of(run)[12]["schedule/lr"] == pytest.approx(1e-4)


def test_a_call_that_trains_nothing_changes_no_record(tmp_path, capsys):
    run = trained_run(tmp_path, config_of())
    records = {name: (run.directory / name).read_bytes() for name in ("config.json", "run.json", "metrics.jsonl")}
    (run.directory / "last.txt").unlink()
    capsys.readouterr()
    go_on(run, dataclasses.replace(config_of(batch_size=4), hparams=GanHparams(lr=7.0)))
    assert {name: (run.directory / name).read_bytes() for name in records} == records
    assert (run.directory / "last.txt").read_text() == "drawn at 10"
    assert "nothing to train: step 10 is the last; --steps N above 10 trains on" in capsys.readouterr().out


def test_run_json_keeps_all_calls(tmp_path):
    run = trained_run(tmp_path, config_of())
    go_on(run, config_of(steps=12))
    go_on(run._replace(command="third"), config_of(steps=13))
    record = json.loads((run.directory / "run.json").read_text())
    assert [call["command"] for call in record["history"]] == ["first", "second", "third"]
    assert [call["resumed_at"] for call in record["history"]] == [None, 10, 12]
    assert [call["steps"] for call in record["history"]] == [10, 12, 13]
    assert all(call["data"]["images"] == NUM_IMAGES for call in record["history"])
    assert (record["command"], record["status"]) == ("third", "complete")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset": "digits"}, "dataset: got 'digits' with --resume; accepted: 'arrays', .*--initial-weights"),
        ({"image_size": 16}, "image_size: got 16 with --resume; accepted: None"),
    ],
)
def test_a_run_does_not_go_on_with_other_images(tmp_path, change, words):
    run = trained_run(tmp_path, config_of())
    before = (run.directory / "config.json").read_bytes()
    config = config_of(steps=12)
    with pytest.raises(InputError, match=words):
        go_on(run, dataclasses.replace(config, data=dataclasses.replace(config.data, **change)))
    assert (run.directory / "config.json").read_bytes() == before
    train_run(run, dataclasses.replace(config, data=dataclasses.replace(config.data, data_dir="elsewhere")), TOY)


def test_the_last_lines_say_where_the_time_went_and_how_good_it_is(tmp_path, capsys):
    trained_run(tmp_path, config_of())
    *_, time, done = capsys.readouterr().out.splitlines()
    assert time.startswith("time: 0:")
    assert all(f"{part} 0:" in time for part in ("training", "start", "measures", "pictures", "checkpoints"))
    assert done.endswith("report.html; best checkpoint at step 10: 10 of them")


def log(step: int, values: dict[str, float]) -> None:
    """A logger of one's own; it fails at step 3."""
    LOGGED.append((step, values))
    if step == 3:
        raise RuntimeError("no connection")


def test_a_logger_gets_each_line_and_may_fail(tmp_path, capsys):
    LOGGED.clear()
    run = trained_run(tmp_path, config_of(logger=f"{__name__}:log"))
    assert [step for step, _ in LOGGED] == [1, 2, 3]
    seen = rows_of(run)[2]
    assert LOGGED[1][1] == pytest.approx({name: seen[name] for name in ("images", "schedule/lr", "loss/seen")})
    assert "logger: failed at step 3 (RuntimeError('no connection')); it is not called again" in capsys.readouterr().err
    with pytest.raises(InputError, match="logger: got 'nowhere:log'"):
        trained_run(tmp_path / "x", config_of(logger="nowhere:log"))
    assert not (tmp_path / "x").exists()


# the command


def command(monkeypatch, capsys, *flags: str, **task) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a recipe of the toy task."""
    try:
        run_recipe("toy", config_of(), "", TOY._replace(**task), ("python -m toy", list(flags)))
        code = 0
    except SystemExit as end:
        code = end.code
    return code, *capsys.readouterr()


def test_out_beside_resume_is_refused_unless_the_run_lies_there(tmp_path, monkeypatch, capsys):
    run = trained_run(tmp_path / "runs", config_of())
    there = ("--resume", str(run.directory), "--steps", "12", "--out")
    code, _, err = command(monkeypatch, capsys, *there, str(tmp_path / "new"))
    assert (code, "out: got" in err, f"--initial-weights {run.directory}" in err) == (2, True, True)
    assert not (tmp_path / "new").exists()
    code, _, err = command(monkeypatch, capsys, *there, str(tmp_path / "runs"))
    assert code == 0, err
    assert read_run_config(run.directory, GanRecipe).train.steps == 12


def interrupt(*_):
    raise KeyboardInterrupt


def test_an_interrupt_before_the_first_step_and_after_the_last_ends_in_order(tmp_path, monkeypatch, capsys):
    code, out, err = command(monkeypatch, capsys, "--out", str(tmp_path / "a"), open=interrupt)
    assert (code, out.splitlines()[-1], err) == (0, UNSAVED, "")
    code, out, err = command(monkeypatch, capsys, "--out", str(tmp_path / "b"), finish=interrupt)
    (run,) = (tmp_path / "b" / "toy").iterdir()
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"interrupted: saved step 10; continue with --resume {run}"


# fine-tuning


@pytest.fixture(scope="module")
def gan(tmp_path_factory) -> Path:
    """The folder of a conditional GAN of three classes, and beside it its bundle; of version 0.1.0."""
    folder = tmp_path_factory.mktemp("before")
    with zipfile.ZipFile(Path(__file__).parents[1] / "compatibility" / "version_0_1_0.zip") as archive:
        archive.extractall(folder)
    return folder / "gan"


def started(gan: Path, num_classes: int, model) -> tuple[dict, str]:
    """The parameters of a GAN like the one in a folder that starts from a model, and what is said about them."""
    before = load(gan)
    facts = before.facts._replace(class_names=tuple(map(str, range(num_classes))))
    algorithm, line = warm_start(before.task.make(before.config, facts), before.config, model)
    return algorithm.init(jax.random.key(1), vars(LR) | {"schedule_images": 1.0}).params, line


def flat(tree) -> dict[str, np.ndarray]:
    return {jax.tree_util.keystr(path): np.asarray(x) for path, x in jax.tree_util.tree_leaves_with_path(tree)}


@pytest.mark.parametrize("num_classes", [3, 5])
def test_a_gan_starts_from_another_one_where_arrays_fit(gan, num_classes):
    params, line = started(gan, num_classes, str(gan))
    before = load(gan).state
    old, new = flat({**before.params, **before.ema_params}), flat(params)
    fit = [name for name in new if old[name].shape == new[name].shape]
    assert (len(fit) == len(new)) == (num_classes == 3)
    for name in fit:
        np.testing.assert_array_equal(new[name], old[name])
    assert f"{len(fit)} of {len(new)} arrays are those of {gan}" in line
    assert ("; new: " in line) == (num_classes == 5)


def test_weights_come_from_a_bundle_or_a_model_too(gan):
    averaged = flat(load(gan).state.ema_params["generator"])
    params, line = started(gan, 3, str(gan.with_name("bundle")))
    for name, array in flat(params["generator"]).items():
        np.testing.assert_array_equal(array, averaged[name])
    assert "; new: discriminator/" in line
    params, _ = started(gan, 3, load(gan))
    np.testing.assert_array_equal(flat(params["generator"])[name], averaged[name])
    with pytest.raises(InputError, match="initial_weights: got 'photos'; accepted: weights of which some fit"):
        started(gan, 3, "photos")


def test_a_run_stopped_before_its_first_checkpoint_says_how_to_start_anew(tmp_path):
    run = new_run("toy", str(tmp_path), "python -m toy --steps 10")
    with pytest.raises(KeyboardInterrupt):
        train_run(run, config_of(), TOY._replace(measures=lambda *_: (), show=lambda *_: interrupt))
    with pytest.raises(
        InputError, match=r"stopped before its first checkpoint; .* start anew: python -m toy --steps 10"
    ):
        go_on(run._replace(resumed=True), config_of())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_there_is_a_folder_ends_at_once(number):
    """In a process of its own, in the middle of something that would swallow an exception."""
    code = f"""
import os
from jaxgen.cli.exits import nothing_to_save
with nothing_to_save(lambda: None):
    try:
        os.kill(os.getpid(), {int(number)})
    except BaseException:
        print("swallowed")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{UNSAVED}\n", "")
