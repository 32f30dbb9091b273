"""Restorers of volumes from configuration to table, by the same functions as those of images, on drawn bars."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import crnn_volumes, inverse_mnist, inverse_volumes
from jaxgen.data.base import Source
from jaxgen.data.config import DataConfig
from jaxgen.errors import InputError
from jaxgen.runs.folder import Run
from jaxgen.tasks.base import Facts
from jaxgen.tasks.restoration import task
from jaxgen.tasks.restoration.evaluation import evaluate
from jaxgen.tasks.restoration.evaluation.suites import suite_for
from jaxgen.tasks.train import train_run
from jaxgen.training.config import TrainConfig

SHAPE = (8, 8, 8, 1)
CASES = ("missing_slices", "thick_slices")


def short_suite(shape, photos):
    suite = suite_for(shape, photos)
    return suite._replace(cases=tuple(case for case in suite.cases if case.damage in CASES)[::2])


@pytest.fixture(scope="module")
def bars(tmp_path_factory) -> Path:
    """An archive of 24 volumes of bars, 16 voxels a side."""
    path, volumes = tmp_path_factory.mktemp("bars") / "bars.npz", np.zeros((24, 16, 16, 16), bool)
    volumes[::2, :, 6:10, 4:12] = True
    volumes[1::2, 4:12, 6:10, :] = True
    np.savez(path, images=volumes)
    return path


@pytest.fixture(scope="module", params=[inverse_volumes, pytest.param(crnn_volumes, marks=pytest.mark.slow)])
def run(request, bars, tmp_path_factory) -> Path:
    """The run of a recipe with a small network, 8 voxels a side."""
    config, directory = request.param.CONFIG, tmp_path_factory.mktemp("run") / "x"
    small = dataclasses.replace(
        config.restoration, widths=(2,), depth=1, iterations=2, damage="rician:0.1|missing_slices:0.3"
    )
    train = TrainConfig(steps=2, batch_size=4, log_every=1, sample_every=2, steps_per_dispatch=1, devices=1)
    config = dataclasses.replace(config, data=DataConfig(f"npz:{bars}", volume_size=8), restoration=small, train=train)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "suite_for", short_suite)
        train_run(Run("test", directory, "python", resumed=False), config)
    return directory


def test_a_run_of_volumes_ends_with_a_table_and_slices_across_each_axis(run):
    rows = json.loads((run / "table.json").read_text())["rows"]
    assert [row["damage"] for row in rows] == list(CASES)
    assert {name for row in rows for name in row["scores"]} == {"input", "linear along the axis", "restored"}
    # four columns of three slices of 8 voxels, a row for each case, lines of 2, enlarged by 8
    assert Image.open(run / "sheet.png").size == (8 * (4 * (24 + 2) + 2), 8 * (len(rows) * (8 + 2) + 2))
    assert "quality/psnr" in (run / "metrics.jsonl").read_text()


def test_it_is_evaluated_on_a_file_and_on_a_folder_of_volumes(run, bars, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "suite_for", short_suite)
    table = evaluate.evaluate_photos(bars, run, "latest", 2, 0, tmp_path / "out")
    assert (table.num_images, table.suite) == (2, "volumes-1")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"sheet.png", "table.json"}
    folder = tmp_path / "scans"
    folder.mkdir()
    for i, volume in enumerate(np.load(bars)["images"][:2]):
        np.save(folder / f"{i}.npy", volume.astype(np.float32))
    two = evaluate.evaluate_photos(folder, run, "latest", None, 0, None)
    for one, other in zip(two.rows, table.rows, strict=True):
        assert one.scores["input"].psnr == pytest.approx(other.scores["input"].psnr, abs=1e-6)
    with pytest.raises(InputError, match="suite: got 'everyday'; accepted: standard for a model of volumes"):
        evaluate.evaluate_photos(bars, run, "latest", 1, 0, None, "everyday")
    with pytest.raises(InputError, match=r"folder: got .*nothing.*; accepted: an existing folder of volumes"):
        evaluate.evaluate_photos(tmp_path / "nothing", run, "latest", 1, 0, None)


def test_damage_that_volumes_cannot_have_is_left_out_and_said():
    config, source = inverse_mnist.CONFIG, Source("x", "x", SHAPE, 30)
    settled = task.TASK.settle(config, Facts(SHAPE))
    assert settled.restoration.damage == config.restoration.damage.replace("strokes:0-0.4|", "")
    assert task.TASK.notes(config, source)[-1] == "damage: left out as it is not for volumes: strokes:0-0.4"
    assert task.TASK.settle(config, Facts((28, 28, 1))) == config
    only = dataclasses.replace(config, restoration=dataclasses.replace(config.restoration, damage="strokes:0.1"))
    with pytest.raises(InputError, match=r"damage: got 'strokes:0\.1'; accepted: kinds for volumes: gaussian, rician"):
        task.TASK.settle(only, Facts(SHAPE))
    flat = dataclasses.replace(inverse_volumes.CONFIG.restoration, damage="thick_slices:0.5|boxes:0.1")
    settled = task.TASK.settle(dataclasses.replace(config, restoration=flat), Facts((28, 28, 1)))
    assert settled.restoration.damage == "boxes:0.1"
