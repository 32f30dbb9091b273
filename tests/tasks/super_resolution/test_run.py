"""A whole run of a network that enlarges: what it leaves, resumed to the bit, and the command that measures it."""

import dataclasses
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from skimage import data

from jaxgen.data.base import Source
from jaxgen.data.config import DataConfig
from jaxgen.errors import InputError
from jaxgen.runs.folder import Run
from jaxgen.tasks.load import load
from jaxgen.tasks.super_resolution import task
from jaxgen.tasks.super_resolution.algorithm import make_super_resolution
from jaxgen.tasks.super_resolution.config import SuperResolutionConfig, SuperResolutionHparams, SuperResolutionRecipe
from jaxgen.tasks.super_resolution.enlarge import make_enlarge
from jaxgen.tasks.super_resolution.protocol import reduced
from jaxgen.tasks.train import train_run
from jaxgen.training.config import TrainConfig
from jaxgen.types import Observation
from tests.command_line import call


def recipe(folder, **train):
    usual = {"steps": 4, "batch_size": 2, "steps_per_dispatch": 2, "log_every": 1, "checkpoint_every": 2, "devices": 1}
    return SuperResolutionRecipe(
        data=DataConfig(dataset=f"folder:{folder}", channels=3, crop_size=36, flip=True),
        super_resolution=SuperResolutionConfig(scale=(2, 3), width=4, blocks=1),
        hparams=SuperResolutionHparams(schedule_images=8.0),
        train=TrainConfig(**{**usual, **train}),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five photographs, one of them grey."""
    root, photo = tmp_path_factory.mktemp("photos"), data.astronaut()
    for i, (height, width) in enumerate([(64, 50), (40, 71), (48, 48), (50, 40)]):
        Image.fromarray(photo[60 * i : 60 * i + height, 150 : 150 + width]).save(root / f"{i}.png")
    Image.fromarray(data.camera()[100:150, 200:260]).save(root / "grey.png")
    return root


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    directory = tmp_path_factory.mktemp("run") / "x"
    train_run(Run("test", directory, "python", resumed=False), recipe(folder))
    return directory


def test_what_a_run_leaves(run):
    left = {path.name for path in run.iterdir()}
    assert {"upscaler.safetensors", "sheet.png", "table.json", "report.html", "metrics.jsonl"} <= left
    record = json.loads((run / "table.json").read_text())
    assert record["num_images"] == 1  # one of five is held out
    assert [row["level"] for row in record["rows"]] == ["x2", "x3", "x2", "x3"]
    assert {tuple(row["scores"]) for row in record["rows"]} == {("bicubic", "Lanczos", "back-projection", "network")}
    page = (run / "report.html").read_text()
    assert "--suite super-resolution --model" in page
    assert f"{record['rows'][0]['scores']['network']['psnr']:.2f} dB" in page
    with Image.open(run / "sheet.png") as sheet:
        assert sheet.width > 4 * 36
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "quality/psnr" in row] == [2, 4]


def test_stopped_and_resumed_is_the_same_to_the_bit(run, folder, tmp_path):
    again = Run("test", tmp_path / "x", "python", resumed=False)
    train_run(again, recipe(folder, minutes=1e-9))  # one dispatch
    assert load(again.directory).facts.step == 2
    train_run(again._replace(resumed=True), recipe(folder))
    chex.assert_trees_all_equal(load(again.directory).state, load(run).state)
    assert (again.directory / "table.json").read_text() == (run / "table.json").read_text()


def test_in_the_end_photographs_are_cut_to_their_middle(monkeypatch):
    photos = [np.random.default_rng(i).integers(0, 256, (30 + i, 50, 3)).astype(np.uint8) for i in range(4)]
    source = Source("n", "n", (20, 20, 3), 4, read=lambda i: photos[i], crops=True)
    monkeypatch.setattr(task, "NUM_PHOTOS", 3)
    monkeypatch.setattr(task, "MIDDLE", 32)
    images = task.images_to_evaluate(source)
    assert len(images) == 3
    np.testing.assert_array_equal(images[0], photos[0][:, 9:41])


@pytest.mark.parametrize("scale", [2, 3])
def test_images_of_any_size_are_enlarged_as_the_network_says(scale, run):
    """The array that the network is given is larger; a grey image goes through as one of colour."""
    trained = load(run)
    small, _ = reduced(data.astronaut()[60:120, 150:222], 3)
    predict = make_super_resolution(trained.config.super_resolution, (36, 36, 3), 1, scale).predict

    def expected(colours):
        floats = jnp.asarray(colours[None] / np.float32(127.5) - 1)
        return (
            np.asarray(jax.jit(predict)(trained.state, Observation(floats), jax.random.key(0)).images)[0] + 1
        ) * 127.5

    found = make_enlarge(trained, scale)(small)
    assert found.shape == (20 * scale, 24 * scale, 3)
    np.testing.assert_allclose(found, np.clip(expected(small), 0, 255), atol=0.51)
    grey = small[..., :1]
    luma = np.clip(expected(grey.repeat(3, axis=-1)), 0, 255) @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(make_enlarge(trained, scale)(grey)[..., 0], luma, atol=0.51)


@pytest.mark.slow
def test_the_command_prints_and_writes_the_table(run, folder, monkeypatch, capsys, tmp_path):
    Image.new("RGB", (80, 15)).save(folder / "0small.png")
    flags = ("--suite", "super-resolution", "--num", 2, "--model", run / "upscaler.safetensors", "--out", tmp_path)
    assert call(monkeypatch, "evaluate-restoration", folder, *flags) == 0
    (folder / "0small.png").unlink()
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        f"{folder / '0small.png'}: left out, has 80 x 15 pixels; needed: 30 x 30 or more",
        *[
            f"{i}.png {kind} x{scale} ({2 - i} to go)"
            for i in (0, 1)
            for kind in ("bicubic", "photo")
            for scale in (2, 3)
        ],
    ]
    record = json.loads((tmp_path / "table.json").read_text())
    assert (record["upscaler"], record["num_images"]) == ("upscaler.safetensors", 2)
    score = record["rows"][-1]["scores"]["back-projection"]
    assert f"{score['psnr']:.2f} / {score['ssim']:.4f}" in said.out.splitlines()[-1]
    assert (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--suite", "super"], ["suite", "'super'", "standard, everyday, super-resolution"]),
        (["--model", "photos"], ["model", "'photos', of task restoration", "a run of task super_resolution"]),
        (["--model", "nowhere"], ["model", "'nowhere'", "a run folder"]),
        (["--num", "0"], ["num", "0", "1 or more"]),
        (["--model", "{weights}"], ["folder", "30 x 30 pixels or more"]),
    ],
)
def test_bad_input_gets_one_line(flags, words, run, monkeypatch, capsys, tmp_path):
    Image.new("RGB", (300, 17)).save(tmp_path / "small.png")
    flags = [flag.format(weights=run / "upscaler.safetensors") for flag in flags]
    assert call(monkeypatch, "evaluate-restoration", tmp_path, "--suite", "super-resolution", *flags) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert all(word in error for word in words), error


def test_a_folder_without_pictures_and_an_upscaler_for_a_restorer_are_refused(run, monkeypatch, capsys, tmp_path):
    weights = run / "upscaler.safetensors"
    assert call(monkeypatch, "evaluate-restoration", tmp_path, "--suite", "super-resolution", "--model", weights) == 2
    assert capsys.readouterr().err.startswith(f"error: photos: got '{tmp_path}'; accepted: ")
    Image.new("RGB", (300, 300)).save(tmp_path / "a.png")
    assert call(monkeypatch, "evaluate-restoration", tmp_path, "--model", weights) == 2
    assert "of task super_resolution; accepted: a run of task restoration" in capsys.readouterr().err


def test_grey_crops_and_small_ones_are_refused_before_training(folder, tmp_path):
    for field, value, words in (
        ("channels", 1, "channels: got 1; accepted: 3"),
        ("crop_size", 30, "crop_size: got 30"),
    ):
        config = recipe(folder)
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, **{field: value}))
        with pytest.raises(InputError, match=words):
            train_run(Run("test", tmp_path / field, "python", resumed=False), config)
