"""Feature networks: the pretrained weights, filled batches, untrained features."""

import hashlib
import itertools
import json
import struct

import jax
import numpy as np
import pytest

from jaxgen.data.config import DataConfig
from jaxgen.data.sources import open_source
from jaxgen.errors import InputError
from jaxgen.evaluation import features
from jaxgen.evaluation.features import choose_network, extract, mnist_features, random_features
from jaxgen.weights import load_params, save_params


@pytest.fixture(scope="module")
def digits():
    return open_source(DataConfig("digits"))


def everything(network, images, sizes):
    """Features and classes of images cut into batches of these sizes."""
    starts = np.cumsum([0, *sizes])
    parts = list(extract(network, [images[a:b] for a, b in itertools.pairwise(starts)]))
    return np.concatenate([f for f, _ in parts]), [labels for _, labels in parts]


def test_pretrained_weights_are_small_and_those_that_were_published():
    data = features.MNIST_WEIGHTS.read_bytes()
    assert len(data) < 1_000_000
    assert hashlib.sha256(data).hexdigest() == features.MNIST_SHA256
    header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
    assert header["__metadata__"] == {"made_by": "experiments.mnist_classifier"}


def test_the_classifier_knows_the_bundled_digits(digits):
    """They are among the images that it was trained on; the figure for the test set is in the README."""
    found, labels = everything(mnist_features(), digits.images[::5], [600, 400])
    assert found.shape == (1000, 64)
    assert np.mean(np.concatenate(labels) == digits.labels[::5]) > 0.99
    upside_down = everything(mnist_features(), digits.images[::5, ::-1], [1000])[1][0]
    assert np.mean(upside_down == digits.labels[::5]) < 0.8


def test_other_weights_are_refused(monkeypatch, tmp_path):
    damaged = tmp_path / "w.safetensors"
    data = bytearray(features.MNIST_WEIGHTS.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    monkeypatch.setattr(features, "MNIST_WEIGHTS", damaged)
    mnist_features.cache_clear()
    with pytest.raises(InputError, match=r"damaged .*; accepted: "):
        mnist_features()
    mnist_features.cache_clear()


@pytest.mark.parametrize("sizes", [[30], [1] * 30, [7, 0, 23], [29, 1]])
def test_batches_of_any_size_give_the_same(digits, sizes):
    network = mnist_features()._replace(at_once=8)
    expected = np.asarray(mnist_features().apply(digits.images[:30])[0])
    found, labels = everything(network, digits.images, sizes)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert sum(len(part) for part in labels) == 30


@pytest.mark.parametrize("shape", [(28, 28, 3), (9, 6, 1), (64, 64, 4)])
def test_other_images_get_untrained_features_that_say_so(shape):
    network = choose_network(shape)
    assert "untrained" in network.name
    assert network.class_names is None
    images = np.random.default_rng(0).integers(0, 256, (5, *shape)).astype(np.uint8)
    ((found, labels),) = extract(network, [images])
    assert labels is None
    assert found.shape == (5, network.num_features)
    assert np.isfinite(found).all()
    assert (found.std(axis=0) > 0).mean() > 0.9
    ((again, _),) = extract(random_features(shape), [images])
    np.testing.assert_array_equal(found, again)


def test_choice_of_network(tmp_path):
    assert choose_network((28, 28, 1)).name == "mnist-classifier"
    with pytest.raises(InputError, match="weights: got"):
        choose_network((28, 28, 1), tmp_path / "nowhere.safetensors")


def test_parameters_round_trip_in_half_precision(tmp_path):
    params = {"a": {"kernel": jax.random.normal(jax.random.key(0), (3, 4)).T}, "b": np.float32([1.0, 65504.0])}
    save_params(tmp_path / "x.safetensors", params, {"note": "x"})
    back = load_params(tmp_path / "x.safetensors")
    assert jax.tree.map(lambda a: (a.shape, str(a.dtype)), back) == {
        "a": {"kernel": ((4, 3), "float32")},
        "b": ((2,), "float32"),
    }
    np.testing.assert_allclose(back["a"]["kernel"], params["a"]["kernel"], rtol=1e-3)
    np.testing.assert_array_equal(back["b"], params["b"])
