"""The GAN of the package: whole, of known origin, of use at once, and what it is not for."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest

import jaxgen
from experiments import cgan_mnist_long
from jaxgen.errors import InputError
from jaxgen.evaluation.features import mnist_features
from jaxgen.export.model import open_model
from jaxgen.tasks.gan.task import TASK
from jaxgen.tasks.load import load, pretrained_file, pretrained_for
from jaxgen.weights import load_notes


def test_where_it_comes_from_is_recorded():
    file = pretrained_file("digits")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == TASK.pretrained["digits"]
    assert file.stat().st_size <= 2_000_000
    notes = load_notes(file)
    assert {"command", "data", "hardware", "result", "licence", "shape", "class_names"} <= set(notes)
    assert json.loads(notes["dataset"])["dataset"] == "mnist"
    digits = load("digits")
    assert digits.config.gan == dataclasses.replace(cgan_mnist_long.CONFIG.gan, architecture="dcgan")
    assert digits.facts[:2] == ((28, 28, 1), tuple("0123456789"))


def test_it_draws_the_digits_asked_for():
    labels = np.repeat(np.arange(10), 20)
    images = jaxgen.sample("digits", len(labels), labels)
    _, logits = mnist_features().apply(images)
    assert np.mean(np.argmax(logits, axis=-1) == labels) > 0.94
    assert images.shape == (200, 28, 28, 1)


def test_each_command_knows_the_weights_that_it_can_use():
    assert pretrained_for("sample") == pretrained_for("project") == pretrained_for("evaluate") == ("digits",)
    assert pretrained_for("restore") == ("photos", "photos-grey", "photos-marks")
    with pytest.raises(
        InputError, match="model: got 'digits', of task gan; accepted: a run of task restoration, photos"
    ):
        jaxgen.restore(np.zeros((8, 8), np.uint8), model="digits")


def test_it_is_exported_with_its_origin():
    about = open_model("digits").about
    assert (about["name"], about["kind"], about["licence"]) == ("digits", "gan", "Apache-2.0")
    assert about["labels"] == list("0123456789")
    assert "MNIST" in about["data"]
