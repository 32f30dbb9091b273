"""Benchmarks of what surrounds a train step: arithmetic of their figures, and documents that can be read again."""

import dataclasses
import json
import sys

import jax
import numpy as np
import pytest

from experiments.benchmarks import cases, checkpoint, common, evaluation, input_pipeline, restore, train_step
from jaxgen.doctor import rates
from jaxgen.evaluation import classifier_score
from jaxgen.evaluation.features import FeatureNetwork
from jaxgen.training import parallel

pytestmark = pytest.mark.slow


@pytest.fixture
def small(monkeypatch):
    """Tiny networks and matrices, a step a dispatch."""
    monkeypatch.setattr(rates, "MATRIX", {"cpu": 16})
    monkeypatch.setitem(parallel.STEPS_PER_DISPATCH, "cpu", 1)
    tiny = dataclasses.replace(cases.RECIPES["gan_mnist_mlp"].gan, base_channels=1, latent_dim=4)
    monkeypatch.setitem(cases.RECIPES, "gan_mnist", dataclasses.replace(cases.RECIPES["gan_mnist_mlp"], gan=tiny))
    tiny_restorers = {c: dataclasses.replace(r, widths=(4,), blocks=1, depth=1) for c, r in restore.INVERSE.items()}
    monkeypatch.setattr(restore, "INVERSE", tiny_restorers)
    monkeypatch.setattr(restore, "CROP", 8)


def document_of(benchmark, config, out):
    """What a benchmark wrote."""
    benchmark.run(dataclasses.replace(config, out=str(out)))
    document = json.loads(out.read_text())
    assert document["hardware"]["versions"]["jax"] == jax.__version__
    assert document["hardware"]["devices"]
    return document


def test_input_pipeline(small, tmp_path, capsys):
    config = input_pipeline.InputPipelineConfig(repeats=2, steps=2, train_steps=2, batch_size=4, num_images=8)
    document = document_of(input_pipeline, config, tmp_path / "result.json")
    rows = {row["label"]: row for row in document["rows"]}
    assert len(rows) == 5 + 3
    for row in rows.values():
        assert row["images_per_second"] > 0
        if row["feeds"]:
            step = rows[row["feeds"]]["images_per_second"]
            assert row["ratio"] == pytest.approx(row["images_per_second"] / step)
    ratio = rows[input_pipeline.FED]["images_per_second"] / rows[input_pipeline.GAN]["images_per_second"]
    assert document["fed_over_unfed"] == pytest.approx(ratio)
    assert "× step" in capsys.readouterr().out


def test_sources_of_the_input_pipeline_give_what_they_say(small, tmp_path):
    sources = input_pipeline.make_sources(6, tmp_path)
    for name, (_, source) in sources.items():
        images = source.take(np.arange(2))
        assert images.dtype == np.uint8
        assert images.shape == (2, *source.shape), name
        assert source.shape == ((28, 28, 1) if name.startswith("28") else (8, 8, 3))


def test_checkpoint(small, tmp_path, capsys):
    config = checkpoint.CheckpointConfig(repeats=2, steps=3, batch_size=4, folder=str(tmp_path))
    document = document_of(checkpoint, config, tmp_path / "result.json")
    plain, saving = (row["seconds_per_step"] for row in document["rows"])
    assert document["seconds_per_save"] == pytest.approx(3 * (saving - plain))
    assert document["share"] == pytest.approx(document["seconds_per_save"] / (1000 * plain))
    assert document["blocked_seconds"] > 0
    # Adam keeps two numbers for each parameter, and the generator has an average
    generator, discriminator = 4 * 32 + 32 + 32 * 784 + 784, 785 * 32 + 33
    assert document["megabytes"] == pytest.approx(4e-6 * (4 * generator + 3 * discriminator), rel=0.01)
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    assert "restoring takes" in capsys.readouterr().out


def test_cost_of_a_save():
    # 10 steps of 0.1 s; beside a save they take 1.5 s: half a second, of the hundred that 1,000 steps take
    figures = checkpoint.cost(plain=0.1, saving=0.15, steps=10, every=1000)
    assert figures == {"seconds_per_save": pytest.approx(0.5), "share": pytest.approx(0.005)}


@pytest.fixture
def quick_judging(monkeypatch):
    """A feature network of one product, and a classifier that hardly learns."""
    weights = jax.random.normal(jax.random.key(0), (784, 8))
    apply = jax.jit(lambda images: (images.reshape(-1, 784).astype("float32") @ weights, None))
    monkeypatch.setattr(evaluation, "mnist_features", lambda: FeatureNetwork("product", "0", 8, None, apply, 50))
    monkeypatch.setattr(classifier_score, "STEPS", classifier_score.STEPS_AT_ONCE)
    monkeypatch.setattr(evaluation, "kernel_distance", lambda fake, real, seed: None)  # many subsets, tested elsewhere


def test_evaluation(small, quick_judging, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(evaluation, "evaluate_noise", lambda network, config: 2.0)  # its parts are measured here
    config = evaluation.EvaluationConfig(repeats=1, num=120, train=200)
    document = document_of(evaluation, config, tmp_path / "result.json")
    rows = {row["label"]: row for row in document["rows"]}
    assert rows["all measures"]["images_per_second"] == 60.0
    features, nearest = rows[evaluation.FEATURES], rows[evaluation.NEAREST]
    assert features["images_per_second"] == pytest.approx(120 / features["seconds"])
    # three calls of 50 images, the last one filled up
    assert features["gflops_per_second"] == pytest.approx(3 * 2 * 50 * 784 * 8 / features["seconds"] / 1e9)
    assert nearest["images_per_second"] == pytest.approx(200 / nearest["seconds"])
    assert rows["Fréchet distance"]["share_of_matmul"] is None
    assert "÷ matmul" in capsys.readouterr().out


def test_scan_is_compared_with_single_dispatches_on_as_many_devices():
    timings = {
        train_step.row_label(devices, k): common.Timing(seconds, 0.0, 0.0, 0.0)
        for devices, k, seconds in [(2, 10, 0.5), (2, 1, 0.4), (1, 10, 0.8), (1, 5, 0.9)]
    }
    ratios = [train_step.against_one_a_dispatch(label, timings) for label in timings]
    assert ratios == [0.8, None, None, None]
    assert train_step.against_one_a_dispatch("PyTorch eager", timings) is None


@pytest.mark.parametrize("name", ["gan_64", "gan_128"])
def test_larger_gans_get_pictures_of_their_size(name):
    shape = cases.SHAPES[name]
    assert cases.images_of(name, 2).shape == (2, *shape)
    assert cases.recipe_of(name, 2, "bfloat16").gan.dtype == "bfloat16"


@pytest.mark.parametrize("benchmark", [input_pipeline, checkpoint, evaluation])
def test_bad_flags_end_in_one_line_and_exit_code_2(benchmark, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark", "--repeats", "0"])
    with pytest.raises(SystemExit) as end:
        benchmark.main()
    assert end.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
