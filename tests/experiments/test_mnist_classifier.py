"""The script that made the pretrained features, on a few images: what it writes is what it says."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import mnist_classifier
from experiments.mnist_classifier import TASK, ClassifierRecipe
from jaxgen.data.base import Source
from jaxgen.networks.classifier import Classifier
from jaxgen.runs.folder import new_run
from jaxgen.tasks.train import train_run
from jaxgen.training.config import TrainConfig
from jaxgen.weights import load_params, sha256_of


def make_source(num, seed):
    noise = np.random.default_rng(seed)
    labels = noise.integers(0, 2, num).astype(np.int32)
    images = noise.integers(0, 100, (num, 12, 12, 1)) + 120 * labels[:, None, None, None]
    return Source("toy", "toy", (12, 12, 1), num, labels, ("dark", "bright"), images.astype(np.uint8))


@pytest.mark.slow
def test_weights_and_their_record(tmp_path, monkeypatch, capsys):
    sources = {"train": make_source(64, 0), "test": make_source(33, 1)}
    monkeypatch.setattr(mnist_classifier, "open_source", lambda config: sources[config.split])
    monkeypatch.setattr(mnist_classifier, "NUM_MEASURED", 64)
    settings = TrainConfig(steps=30, batch_size=8, checkpoint_every=30, steps_per_dispatch=10, devices=1)
    run = new_run("classifier", str(tmp_path), "python -m experiments.mnist_classifier")
    train_run(run, ClassifierRecipe(train=settings), TASK)
    record = json.loads((run.directory / "classifier.json").read_text())
    path = run.directory / "classifier.safetensors"
    assert record["sha256"] == sha256_of(path)
    test = sources["test"]
    logits = Classifier(2).apply({"params": load_params(path)}, jnp.asarray(test.images, jnp.float32) / 127.5 - 1)[1]
    assert record["test_accuracy"] == np.mean(np.argmax(logits, -1) == test.labels) > 0.9
    assert str(record["test_accuracy"]) in capsys.readouterr().out
