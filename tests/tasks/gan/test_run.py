"""GAN runs from configuration to report, on drawn digits-like images and the smallest networks."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from PIL import Image

from jaxgen.checkpoints.folder import latest_step, read_meta
from jaxgen.data.config import DataConfig
from jaxgen.errors import InputError, NonFiniteError
from jaxgen.runs.folder import Run, find_run, new_run
from jaxgen.runs.reading import read_metrics
from jaxgen.tasks.gan import task
from jaxgen.tasks.gan.config import GanConfig, GanHparams, GanRecipe
from jaxgen.tasks.gan.pictures import interpolate
from jaxgen.tasks.gan.sample import draw, sample_run
from jaxgen.tasks.load import load
from jaxgen.tasks.train import train_run
from jaxgen.training.config import TrainConfig

TINY = GanRecipe(
    gan=GanConfig(base_channels=1, latent_dim=8),
    train=TrainConfig(
        steps=12, batch_size=8, log_every=4, sample_every=6, checkpoint_every=6, steps_per_dispatch=3, devices=2
    ),
)


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    """100 images of 12x10, which only mlp takes: a bright bar at a random place."""
    rng = np.random.default_rng(0)
    images = np.zeros((100, 12, 10), np.uint8)
    for image, column in zip(images, rng.integers(0, 8, 100), strict=True):
        image[2:10, column : column + 2] = 255
    path = tmp_path_factory.mktemp("data") / "bars.npz"
    np.savez(path, images=images)
    return path


def with_train(config: GanRecipe, **changes) -> GanRecipe:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **changes))


def make_config(npz, **changes) -> GanRecipe:
    return with_train(dataclasses.replace(TINY, data=DataConfig(dataset=f"npz:{npz}")), **changes)


def start(tmp_path, config) -> Run:
    run = new_run("tiny", str(tmp_path), "python -m experiments.tiny")
    train_run(run, config)
    return run


@pytest.fixture(scope="module")
def finished(npz, tmp_path_factory):
    return start(tmp_path_factory.mktemp("runs"), make_config(npz))


def final_images(run: Run) -> np.ndarray:
    return drawn(run, 16, 0)


def drawn(run: Run, num: int, seed: int) -> np.ndarray:
    return draw(load(run.directory), num, seed)["images"]


def test_a_run_leaves_what_it_promises(finished):
    folder = finished.directory
    steps = [p.stem for p in sorted((folder / "samples").iterdir())]
    assert steps == ["00000000", "00000006", "00000012"]
    assert json.loads((folder / "run.json").read_text())["status"] == "complete"
    assert (folder / "report.html").stat().st_size > 10_000
    assert Image.open(folder / "interpolation.gif").n_frames == 48
    for name in ("samples.png", "curves.png"):
        assert Image.open(folder / name).size[0] > 50
    logged = [row["step"] for row in read_metrics(folder) if "loss/generator" in row]
    assert logged == [6, 9, 12]  # the dispatches that pass 4, 8 and 12
    evaluated = [row for row in read_metrics(folder) if "quality/frechet_100" in row]
    assert [(row["step"], row["images"]) for row in evaluated] == [(6, 48), (12, 96)]


def test_a_checkpoint_says_how_to_use_it(finished, npz):
    step, meta = read_meta(finished.directory / "checkpoints")
    assert step == meta["position"] == 12
    assert meta["shape"] == [12, 10, 1]
    written = json.loads((finished.directory / "config.json").read_text())
    assert written["gan"]["architecture"] == meta["config"]["gan"]["architecture"] == "mlp"  # not auto
    assert meta["config"]["data"]["dataset"] == f"npz:{npz}"
    assert meta["config"]["hparams"]["schedule_images"] is None  # the whole run, also if it is made longer


def test_stopped_and_resumed_is_the_same_to_the_bit(finished, npz, tmp_path):
    run = start(tmp_path, make_config(npz, minutes=1e-9))  # one dispatch
    assert latest_step(run.directory / "checkpoints") == 3
    config = dataclasses.replace(make_config(npz), hparams=GanHparams(schedule_images=96.0))
    train_run(run._replace(resumed=True), config)
    np.testing.assert_array_equal(final_images(run), final_images(finished))
    lines = [row["step"] for row in read_metrics(run.directory) if "quality/frechet_100" in row]
    assert lines == [3, 6, 12]


@pytest.mark.slow
def test_the_seed_decides(finished, npz, tmp_path):
    other = start(tmp_path, make_config(npz, seed=1))
    assert (final_images(other) != final_images(finished)).any()


@pytest.mark.slow
def test_a_longer_resume_goes_on(npz, tmp_path):
    run = start(tmp_path, make_config(npz, steps=6))
    train_run(run._replace(resumed=True), make_config(npz, steps=9))
    assert latest_step(run.directory / "checkpoints") == 9
    with pytest.raises(InputError, match="steps: got 3; accepted: at least 9"):
        train_run(run._replace(resumed=True), make_config(npz, steps=3))


def test_interrupted_while_the_last_pictures_are_drawn_is_not_failed(npz, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(task, "draw_final", interrupt)
    config = make_config(npz)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path, config)
    (record,) = tmp_path.rglob("run.json")
    assert json.loads(record.read_text())["status"].startswith("stopped by SIG")
    assert json.loads(record.read_text())["steps"] == config.train.steps


def test_divergence_names_step_and_last_good_checkpoint(npz, tmp_path):
    config = make_config(npz, steps=400, checkpoint_every=3)
    hot = dataclasses.replace(config.gan, loss="wasserstein", penalties=("gp",), optimizer="sgd")
    config = dataclasses.replace(config, gan=hot, hparams=GanHparams(lr=1e6, lr_final=1e6))
    run = new_run("tiny", str(tmp_path), "")
    with pytest.raises(NonFiniteError, match=r"(at|by) step \d+; (last good checkpoint: .*|no checkpoint yet)"):
        train_run(run, config)
    assert json.loads((run.directory / "run.json").read_text())["status"].startswith("failed")


def test_find_run(finished, tmp_path):
    out = str(finished.directory.parent.parent)
    assert find_run("latest", "tiny", out) == finished.directory
    assert find_run(str(finished.directory), "tiny", "elsewhere") == finished.directory
    with pytest.raises(InputError, match="there is none in"):
        find_run("latest", "tiny", str(tmp_path))
    with pytest.raises(InputError, match="resume: got"):
        find_run(str(tmp_path), "tiny", out)


def test_two_runs_of_one_second_do_not_share_a_folder(tmp_path):
    first = new_run("tiny", str(tmp_path), "")
    first.directory.mkdir(parents=True)
    assert new_run("tiny", str(tmp_path), "").directory != first.directory


def test_sample_writes_arrays_and_pictures(finished, tmp_path):
    line = sample_run(load(finished.directory), 5, 3, tmp_path / "x.npz")
    assert "5 images from step 12" in line
    images = np.load(tmp_path / "x.npz")["images"]
    assert (images.shape, images.dtype) == ((5, 12, 10, 1), np.uint8)
    np.testing.assert_array_equal(images, drawn(finished, 5, 3))
    assert (images != drawn(finished, 5, 4)).any()
    sample_run(load(finished.directory), 5, 3, tmp_path / "new" / "x.png")
    assert Image.open(tmp_path / "new" / "x.png").mode == "L"


def test_its_weights_are_those_of_its_last_checkpoint_in_half_precision_and_draw_the_same(finished, npz, tmp_path):
    trained, alone = load(finished.directory), load(finished.directory / "generator.safetensors")
    assert (alone.facts.shape, alone.config.gan) == ((12, 10, 1), trained.config.gan)
    assert alone.config.data == DataConfig(f"npz:{npz}")  # what `evaluate` compares with
    (network, averaged), *others = alone.state.ema_params.items()
    assert (network, others, alone.from_run, trained.from_run) == ("generator", [], False, True)
    rounded = jax.tree.map(lambda x: np.asarray(x).astype(np.float16), trained.state.ema_params["generator"])
    jax.tree.map(np.testing.assert_array_equal, averaged, jax.tree.map(np.float32, rounded))
    difference = draw(alone, 4, 0)["images"].astype(int) - draw(trained, 4, 0)["images"]
    assert np.abs(difference).max() <= 1
    assert sample_run(alone, 4, 0, tmp_path / "x.png").endswith("4 images from generator.safetensors")


def test_more_samples_begin_with_the_same(finished):
    many = drawn(finished, 300, 0)  # more than are rendered at once
    assert many.shape == (300, 12, 10, 1)
    np.testing.assert_array_equal(many[:5], drawn(finished, 5, 0))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"out": "x.jpg"}, "out: got"), ({"num": 0}, "num: got 0"), ({"run": "nowhere"}, "run: got 'nowhere'")],
)
def test_sample_refuses(finished, tmp_path, change, message):
    call = {"run": finished.directory, "num": 1, "seed": 0, "out": "x.png"} | change
    with pytest.raises(InputError, match=message):
        sample_run(load(call["run"]), call["num"], call["seed"], type(tmp_path)(call["out"]))


def test_interpolation_passes_through_its_points_at_constant_speed():
    latents = jax.random.normal(jax.random.key(0), (3, 16))
    latents = latents / np.linalg.norm(latents, axis=1, keepdims=True)
    path = np.asarray(interpolate(latents, 5))
    assert path.shape == (15, 16)
    np.testing.assert_allclose(path[::5], latents, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), 1, atol=1e-5)  # the great circle stays on the sphere
    steps = np.linalg.norm(np.diff(path[:6], axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-4)
