"""A conditional run from training to samples and figures: what a user does, on small labelled folders."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgen.data.config import DataConfig
from jaxgen.errors import InputError
from jaxgen.evaluation import classifier_score
from jaxgen.evaluation import samples as evaluation_of_samples
from jaxgen.evaluation.samples import describe, evaluate_samples, open_splits
from jaxgen.runs.folder import new_run
from jaxgen.runs.reading import read_metrics
from jaxgen.tasks.gan.config import GanConfig, GanRecipe
from jaxgen.tasks.gan.evaluate import evaluate_run
from jaxgen.tasks.gan.sample import class_names, draw, parse_labels, sample_run
from jaxgen.tasks.load import load
from jaxgen.tasks.train import train_run
from jaxgen.training.config import TrainConfig

NAMES = ("bright", "dark", "grey")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Nine 8x8 pictures in each of three subfolders."""
    root = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(0)
    for name, level in zip(NAMES, (220, 10, 120), strict=True):
        (root / name).mkdir()
        for i in range(9):
            Image.fromarray((level + noise.integers(0, 30, (8, 8))).astype(np.uint8)).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    config = GanRecipe(
        data=DataConfig(f"folder:{folder}"),
        gan=GanConfig(architecture="mlp", base_channels=1, latent_dim=4, conditioning="concat"),
        train=TrainConfig(
            steps=8, batch_size=4, log_every=4, sample_every=4, checkpoint_every=4, steps_per_dispatch=4, devices=1
        ),
    )
    run = new_run("small", str(tmp_path_factory.mktemp("runs")), "python -m experiments.cgan_mnist")
    train_run(run, config)
    return run.directory


@pytest.fixture(scope="module")
def labelled_npz(tmp_path_factory):
    """Training images with classes, and a split `test`, as a TFDS data set has them."""
    noise = np.random.default_rng(1)
    return {
        split: (noise.integers(0, 256, (num, 8, 8, 1)).astype(np.uint8), (np.arange(num) % 3).astype(np.int32))
        for split, num in (("train", 64), ("test", 31))
    }


def test_the_run_shows_each_class(run):
    height, width = 3, 10
    # letters are 6 x 11 pixels and stand 2 from either side: the longest name, or "brig > dark", or a line of letters
    longest = max(map(len, NAMES))
    assert Image.open(run / "samples.png").size == (8 * (2 + width * 10) + 6 * longest + 4, 8 * (2 + height * 10))
    assert Image.open(run / "same_noise.png").size == (8 * (2 + 3 * 10), 8 * (2 + 10 * 10) + 11 + 4)
    assert Image.open(run / "class_interpolation.png").size == (8 * (2 + 10 * 10) + 6 * 11 + 4, 8 * (2 + 3 * 10))
    # over time the names are upright, as a letter of 6 pixels in a column of 10 has no place for more
    assert Image.open(run / "samples" / "00000008.png").size == (8 * (2 + 3 * 10), 8 * (2 + 6 * 10 + 6 * longest + 4))
    page = (run / "report.html").read_text()
    assert page.count("<img") >= 6
    assert "Same noise, every class" in page


def test_labels_by_name_and_number(run):
    gan = load(run)
    assert class_names(gan) == NAMES
    assert parse_labels(["dark"], NAMES) == parse_labels(["1"], NAMES) == [1]
    assert parse_labels(["2, bright,dark"], NAMES) == [2, 0, 1]
    assert parse_labels(["1"], ("1", "0")) == [0]  # a name comes before a number
    with pytest.raises(InputError, match=r"label: got 'blue'; accepted: bright \(0\), dark \(1\), grey \(2\)"):
        parse_labels(["dark,blue"], NAMES)
    with pytest.raises(InputError, match="label: got '1'; accepted: none, since this run was trained without classes"):
        parse_labels(["1"], ())


@pytest.mark.parametrize(
    ("label", "num", "expected"), [("2", 4, [2] * 4), ("1,0,2", None, [1, 0, 2]), ("0,2", 5, [0, 2, 0, 2, 0])]
)
def test_sample_draws_the_classes_asked_for(run, tmp_path, label, num, expected):
    sample_run(load(run), num, 0, tmp_path / "x.npz", [label])
    arrays = np.load(tmp_path / "x.npz")
    np.testing.assert_array_equal(arrays["labels"], expected)
    assert arrays["images"].shape == (len(expected), 8, 8, 1)
    one = load(run)
    # the condition that the labels stand for is what is rendered
    latents = one.algorithm.draw_inputs(jax.random.key(0), len(expected))["latents"]
    by_hand = jax.jit(one.algorithm.predict)(
        one.state, {"latents": latents, "condition": jnp.eye(3)[jnp.asarray(expected)]}, jax.random.key(0)
    ).images
    np.testing.assert_allclose(arrays["images"] / 127.5 - 1, by_hand, atol=1.01 / 127.5)


def test_one_label_makes_as_many_as_none(run, tmp_path):
    assert "64 images" in sample_run(load(run), None, 0, tmp_path / "x.png", ["grey"])
    assert "64 images" in sample_run(load(run), None, 0, tmp_path / "x.png")


def test_checkpoints_by_name_and_step(run):
    assert load(run).facts.step == load(run, "8").facts.step == 8
    best = min((row["quality/frechet_27"], row["step"]) for row in read_metrics(run) if "quality/frechet_27" in row)
    assert load(run, "best").facts.step == best[1]
    for other in ("first", "5"):
        with pytest.raises(InputError, match="checkpoint"):
            load(run, other)


@pytest.mark.slow
def test_without_held_out_images_a_run_is_evaluated_on_its_training_images(run):
    result = evaluate_run(load(run), run, 40)
    assert result.protocol.reference.startswith("27 images of folder:")
    name = f"{result.protocol.name}-seed0"
    record = json.loads((run / "evaluation" / f"{name}-step8.json").read_text())
    assert record["step"] == 8
    assert record["protocol"]["num_generated"] == 40
    assert record["figures"]["frechet"]["value"] == result.figures["frechet"].value
    row = read_metrics(run)[-1]
    assert row["step"] == 8
    assert row[f"evaluation/{name}/frechet"] == pytest.approx(result.figures["frechet"].value)
    assert result.protocol.name in (run / "report.html").read_text()
    assert "training images" in json.loads((run / "run.json").read_text())["best_checkpoint_by"]
    text = describe(result)
    assert result.protocol.name in text
    assert "no held-out split" in text
    weights = run / "generator.safetensors"
    alone = evaluate_run(load(weights), weights, 40)
    record = json.loads((run / "generator-evaluation" / f"{name}.json").read_text())
    assert record["images"] == "generator.safetensors"
    assert record["figures"]["frechet"]["value"] == alone.figures["frechet"].value
    assert read_metrics(run)[-1] == row  # the run is left as it is


def test_samples_against_a_data_set_with_a_test_split(labelled_npz, tmp_path, monkeypatch, run):
    splits = {
        name: dataclasses.replace(
            open_splits(DataConfig(f"npz:{save(tmp_path / f'{name}.npz', *arrays)}"))[0], name=name
        )
        for name, arrays in labelled_npz.items()
    }
    monkeypatch.setattr(evaluation_of_samples, "open_splits", lambda config: (splits["train"], splits["test"]))
    monkeypatch.setattr(classifier_score, "STEPS", 20)
    gan = load(run)
    samples = draw(gan, 33, 0)
    path = save(tmp_path / "mine.npz", samples["images"], samples["labels"])
    result = evaluate_samples(path, DataConfig(), 1000)
    assert result.protocol.num_generated == 33
    assert {"frechet_multiple", "memorisation_auc", "classifier_accuracy_score"} <= set(result.figures)
    folder = tmp_path / "mine-evaluation"
    assert Image.open(folder / f"{result.protocol.name}-seed0-closest.png").size == (
        8 * (2 + 10 * 10),
        8 * (2 + 2 * 10),
    )


def save(path, images, labels):
    np.savez(path, images=images, labels=labels)
    return path


def test_splits_of_sources_without_a_test_split(folder):
    train, held_out = open_splits(DataConfig(f"folder:{folder}"))
    assert (train.num_images, held_out) == (27, None)
    assert open_splits(DataConfig("digits"))[1] is None
