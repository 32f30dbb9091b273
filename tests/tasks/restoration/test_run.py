"""A whole run of a restorer on a few images: what it leaves behind, and what can be done with it."""

import dataclasses
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments import inverse_photos, inverse_photos_grey, inverse_photos_marks
from jaxgen.data.base import Source
from jaxgen.data.config import DataConfig
from jaxgen.errors import InputError
from jaxgen.networks.inverse import ESTIMATOR
from jaxgen.runs.folder import Run
from jaxgen.tasks.held_out import open_all
from jaxgen.tasks.load import load, pretrained_file
from jaxgen.tasks.restoration import task
from jaxgen.tasks.restoration.algorithm import make_restoration
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationHparams, RestorationRecipe
from jaxgen.tasks.restoration.evaluation.sheets import error_map, restoration_sheet
from jaxgen.tasks.restoration.pixels import require_any_size
from jaxgen.tasks.restoration.restorers import make_restorer
from jaxgen.tasks.restoration.task import images_to_evaluate
from jaxgen.tasks.train import train_run
from jaxgen.training.config import TrainConfig
from jaxgen.types import Observation
from jaxgen.weights import load_params


def recipe(dataset, **data):
    return RestorationRecipe(
        data=DataConfig(dataset=dataset, **data),
        restoration=RestorationConfig(
            widths=(4, 8), depth=1, schedule="noise:2,damage:2", damage="salt_and_pepper:0.5"
        ),
        hparams=RestorationHparams(),
        train=TrainConfig(
            steps=4, batch_size=4, steps_per_dispatch=2, log_every=1, sample_every=2, checkpoint_every=2, devices=2
        ),
    )


def train(config, directory):
    """The last state of a run, evaluated under one damage in place of the suite, which is tested elsewhere."""
    suite = task.suite_for((16, 16, 3), photos=True)
    short = suite._replace(cases=suite.cases[:1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "suite_for", lambda shape, photos: short)
        return train_run(Run("test", directory, "python", resumed=False), config).state


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for i, size in enumerate([(24, 40, 3), (33, 21, 3), (20, 20, 3), (16, 30, 3)]):
        Image.fromarray(rng.integers(0, 256, size, np.uint8)).save(root / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    directory = tmp_path_factory.mktemp("run") / "x"
    train(recipe(f"folder:{folder}", crop_size=16, flip=True), directory)
    return directory


def test_what_a_run_leaves(run):
    left = {path.name for path in run.iterdir()}
    assert {"restorer.safetensors", "sheet.png", "table.json", "report.html", "metrics.jsonl", "samples"} <= left
    (row,) = json.loads((run / "table.json").read_text())["rows"]
    assert set(row["scores"]) == {"input", "non-local means", "restored"}
    page = (run / "report.html").read_text()
    assert "jaxgen restore PHOTO --model" in page
    assert f"{row['scores']['restored']['psnr']:.2f} dB" in page
    with Image.open(run / "sheet.png") as sheet:
        assert sheet.size[0] > 4 * 4 * 16


def test_quality_is_measured_and_phases_are_recorded(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["schedule/noise"] for row in rows if "schedule/noise" in row] == [1.0, 0.0]
    qualities = [row for row in rows if "quality/psnr" in row]
    assert [row["step"] for row in qualities] == [2, 4]


def test_its_weights_are_those_of_its_last_checkpoint_in_half_precision(run):
    import jax

    trained, exported = load(run), load(run / "restorer.safetensors")
    assert exported.facts.shape == trained.facts.shape == (16, 16, 3)
    assert exported.config.restoration == trained.config.restoration
    averaged = [jax.tree.leaves(model.state.ema_params) for model in (trained, exported)]
    for a, b in zip(*averaged, strict=True):
        np.testing.assert_array_equal(np.asarray(a).astype(np.float16), np.asarray(b).astype(np.float16))
    network = make_restorer(trained.config.restoration, (16, 16, 3))
    assert trained.algorithm.sizes[:2] == (network.halo, network.multiple)


@pytest.mark.slow
def test_another_run_may_start_from_its_weights(run, folder, tmp_path):
    """At a learning rate of nothing the weights come out as they went in, all but the half precision of the file."""
    config = recipe(f"folder:{folder}", crop_size=16)
    still = dataclasses.replace(config.hparams, lr=0.0, lr_final=0.0)
    started = dataclasses.replace(config.train, initial_weights=str(run / "restorer.safetensors"))
    config = dataclasses.replace(config, train=started, hparams=still)
    state = train(config, tmp_path / "x")
    before = load(run / "restorer.safetensors").state.ema_params["restorer"]
    for params in (state.params, state.ema_params):
        chex.assert_trees_all_close(params["restorer"], before, rtol=1e-6)
    assert int(state.step) == 4


@pytest.mark.slow
def test_weights_of_another_network_are_refused_and_named(run, folder, tmp_path):
    config = recipe(f"folder:{folder}", crop_size=16)
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, initial_weights="photos"))
    with pytest.raises(InputError, match=r"initial_weights: got 'photos'; accepted: weights of which some fit this"):
        train_run(Run("test", tmp_path / "x", "python", resumed=False), config)
    nowhere = dataclasses.replace(config, train=dataclasses.replace(config.train, initial_weights="nowhere"))
    with pytest.raises(InputError, match=r"initial_weights: got .nowhere.; accepted: a run .*, photos, photos-grey"):
        train_run(Run("test", tmp_path / "x", "python", resumed=False), nowhere)


@pytest.mark.parametrize(
    ("name", "recipe"),
    [("photos", inverse_photos), ("photos-grey", inverse_photos_grey), ("photos-marks", inverse_photos_marks)],
)
def test_pretrained_weights_fit_the_experiment_that_they_come_from(name, recipe):
    """That for colour estimates the levels of all pictures, so that the others come without an estimator."""
    shape = (64, 64, recipe.CONFIG.data.channels)
    network = make_restorer(recipe.CONFIG.restoration, shape)
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), Observation(jnp.zeros((1, *shape))))["params"])
    kept = {part: tree for part, tree in shapes.items() if name == "photos" or part != ESTIMATOR}
    chex.assert_trees_all_equal_shapes(load_params(pretrained_file(name)), kept)


@pytest.mark.parametrize("name", ["nowhere", "other.safetensors"])
def test_other_models_are_refused_in_one_line(name, tmp_path):
    (tmp_path / "other.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"accepted: ") as error:
        load(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_network_of_one_size_does_not_take_photos(run):
    dense = RestorationConfig(architecture="dense")
    fixed = load(run)._replace(algorithm=make_restoration(dense, (28, 28, 1), 4))
    with pytest.raises(InputError, match=r"any size"):
        require_any_size(fixed)


def numbered(num):
    images = np.arange(num, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 1), np.uint8)
    return Source("n", "n", (8, 8, 1), num, images=images)


def test_one_in_twenty_is_held_out_to_choose_a_checkpoint_and_another_to_evaluate_on(tmp_path):
    np.savez(tmp_path / "n.npz", images=numbered(100).images)
    sets = [set(source.images[:, 0, 0, 0].tolist()) for source in open_all(recipe(f"npz:{tmp_path / 'n.npz'}"))]
    assert [len(s) for s in sets] == [91, 5, 4]
    assert set.union(*sets) == set(range(100))


def test_the_test_split_chooses_no_checkpoint(monkeypatch):
    """A TFDS data set with a split `test`: images 0 to 99 are trained on, 200 to 239 are the test set."""
    splits = {"train": numbered(100), "test": dataclasses.replace(numbered(40), images=numbered(40).images + 200)}
    opened = {name: dataclasses.replace(source, uses_tensorflow=True) for name, source in splits.items()}
    monkeypatch.setattr("jaxgen.tasks.held_out.open_source", lambda config: opened[config.split])
    config = recipe("mnist")
    data = open_all(config)
    sets = [set(source.images[:, 0, 0, 0].tolist()) for source in data]
    assert [len(s) for s in sets] == [95, 40, 5]
    assert sets[1] == set(range(200, 240))
    assert sets[0] | sets[2] == set(range(100))
    algorithm = make_restoration(config.restoration, (8, 8, 3), 4)
    seen = task.hold_out(config, data.validation).clean
    (measure,) = task._measures(config, algorithm, data)
    assert measure.protocol == "PSNR of 5 validation images under the damage of the run"
    assert set(seen[:, 0, 0, 0].tolist()) == sets[2]


def test_validation_may_be_named_and_one_image_is_too_few(tmp_path):
    for name, num in (("a", 1), ("b", 3)):
        np.savez(tmp_path / f"{name}.npz", images=numbered(num).images)
    config = recipe(f"npz:{tmp_path / 'a.npz'}")
    with pytest.raises(InputError, match=r"two images or more"):
        open_all(config)
    train, held_out, validation = open_all(dataclasses.replace(config, validation=f"npz:{tmp_path / 'b.npz'}"))
    assert (train.num_images, held_out.num_images) == (1, 3)
    assert validation is held_out  # too few images to hold any more out


def test_crops_are_evaluated_by_their_middle_and_in_the_end_by_more_of_it(folder, monkeypatch):
    _, held_out, _ = open_all(recipe(f"folder:{folder}", crop_size=16))
    image = held_out.read(0)
    top, left = (image.shape[0] - 16 + 1) // 2, (image.shape[1] - 16 + 1) // 2
    np.testing.assert_array_equal(held_out.take(np.arange(1))[0], image[top : top + 16, left : left + 16])
    np.testing.assert_array_equal(images_to_evaluate(held_out, 1)[0], image)  # it is smaller than what is cut
    monkeypatch.setattr("jaxgen.tasks.restoration.task.MIDDLE", 18)
    y, x = (image.shape[0] - 18) // 2, (image.shape[1] - 18) // 2
    np.testing.assert_array_equal(images_to_evaluate(held_out, 1)[0], image[y : y + 18, x : x + 18])


@pytest.mark.slow
def test_a_run_on_images_of_8_pixels_ends_with_a_table_of_psnr_and_a_report(tmp_path):
    """Neither the window of SSIM nor most holes of the suite fit into these."""
    np.savez(tmp_path / "n.npz", images=numbered(8).images)
    config = recipe(f"npz:{tmp_path / 'n.npz'}")
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=2, devices=1))
    train_run(Run("test", tmp_path / "x", "python", resumed=False), config)
    rows = json.loads((tmp_path / "x" / "table.json").read_text())["rows"]
    assert all(set(score) == {"psnr"} for row in rows for score in row["scores"].values())
    assert f"{rows[0]['scores']['restored']['psnr']:.2f} dB" in (tmp_path / "x" / "report.html").read_text()


def test_sheet_has_a_row_of_four_for_each_image():
    clean = np.full((3, 5, 5, 1), 100, np.uint8)
    sheet = restoration_sheet(clean + 1, clean + 30, clean, 2)
    assert sheet.shape == (2 * 7 + 2, 4 * 7 + 2, 1)
    assert [int(sheet[3, 3 + 7 * i, 0]) for i in range(4)] == [101, 130, 100, 120]


def test_error_map_is_four_times_the_distance_either_way_and_clipped():
    restored, clean = np.array([10, 20, 200], np.uint8), np.array([20, 10, 10], np.uint8)
    assert error_map(restored, clean).tolist() == [40, 40, 255]
