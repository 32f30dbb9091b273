"""A GAN of volumes from configuration to report, by the same functions as one of images, on drawn bars."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from experiments import gan_volumes
from jaxgen.data.config import DataConfig
from jaxgen.evaluation import protocol
from jaxgen.runs.folder import Run, new_run
from jaxgen.runs.reading import read_metrics
from jaxgen.tasks.base import ExportChoices
from jaxgen.tasks.gan.config import GanConfig, GanRecipe
from jaxgen.tasks.gan.evaluate import evaluate_run
from jaxgen.tasks.gan.export import exportable
from jaxgen.tasks.gan.pairs import architecture_for
from jaxgen.tasks.gan.sample import draw, sample_run
from jaxgen.tasks.load import load
from jaxgen.tasks.train import train_run
from jaxgen.training.config import TrainConfig


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """The run of a conditional GAN on bars along one of two axes, 16 voxels a side and reduced to 8."""
    folder = tmp_path_factory.mktemp("volumes")
    volumes, labels = np.zeros((40, 16, 16, 16), bool), np.arange(40) % 2
    volumes[labels == 0, :, 6:10, 4:12] = True
    volumes[labels == 1, 4:12, 6:10, :] = True
    np.savez(folder / "bars.npz", train_images=volumes, train_labels=labels[:, None])
    config = GanRecipe(
        data=DataConfig(f"npz:{folder / 'bars.npz'}", volume_size=8, flip=True),
        gan=GanConfig(base_channels=1, latent_dim=4, conditioning="projection", augment=("translation", "flips")),
        train=TrainConfig(
            steps=4, batch_size=4, log_every=2, sample_every=2, checkpoint_every=2, steps_per_dispatch=2, devices=1
        ),
    )
    found = new_run("bars", str(folder), "python -m experiments.bars")
    train_run(found, config)
    return found


def test_a_run_of_volumes_leaves_pictures_of_slices(run):
    assert [p.stem for p in sorted((run.directory / "samples").iterdir())] == ["00000000", "00000002", "00000004"]
    assert "of a conditional GAN a row for each class" in (run.directory / "report.html").read_text()
    assert Image.open(run.directory / "interpolation.gif").n_frames == 48
    # ten columns of four slices of 8 voxels and lines of 2, enlarged by 8; and the names beside them
    width, height = Image.open(run.directory / "samples.png").size
    assert height == 8 * (2 * (8 + 2) + 2)
    assert 0 < width - 8 * (10 * (4 * 8 + 2) + 2) < 60
    names = {name for row in read_metrics(run.directory) for name in row}
    assert "loss/generator" in names
    assert "quality/kernel_40" in names  # by which the best checkpoint is chosen


def test_its_samples_are_volumes(run, tmp_path):
    gan = load(run.directory)
    assert gan.facts.shape == (8, 8, 8, 1)
    images = draw(gan, 3, 0)["images"]
    assert (images.shape, images.dtype) == ((3, 8, 8, 8, 1), np.uint8)
    sample_run(gan, num=3, seed=0, out=tmp_path / "x.npz")
    np.testing.assert_array_equal(np.load(tmp_path / "x.npz")["images"], images)
    assert exportable(gan, ExportChoices()).about["image"]["depth"] == 8


def test_it_is_evaluated(run, monkeypatch):
    monkeypatch.setattr(protocol, "frechet_interval", lambda *args, **kwargs: (0.0, 0.0))
    result = evaluate_run(load(run.directory), run.directory, 10)
    assert result.protocol.name == "volume-classifier-10"
    assert {"kernel", "coverage", "two_sample_accuracy", "largest_component", "occupancy"} <= set(result.figures)
    assert (run.directory / "evaluation" / "volume-classifier-10-seed0-step4.json").exists()


def test_the_recipe_fits_other_volumes():
    config = gan_volumes.CONFIG
    assert architecture_for((config.data.volume_size,) * 3 + (1,)) == "dcgan"  # which made one shape of all latents
    assert config.gan.architecture == "resnet"
    assert dataclasses.replace(config.data, dataset="npz:x.npz").volume_size == 32
