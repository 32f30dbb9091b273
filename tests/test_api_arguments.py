"""Arguments of the Python API: classes by name, and one line for each that is not accepted."""

import inspect

import jax.numpy as jnp
import numpy as np
import pytest

import jaxgen
from jaxgen.api import using
from jaxgen.api.arguments import as_class_numbers, as_missing
from jaxgen.data.sources import array_source
from jaxgen.errors import InputError
from jaxgen.tasks.gan import evaluate

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 28, 28, 1), np.uint8)
NAMES = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen", "ibis", "jay")
SEEDS = "accepted: a whole number, 0 to 4294967295"


@pytest.fixture(scope="module")
def models():
    digits = jaxgen.load("digits")
    named = digits._replace(facts=digits.facts._replace(class_names=NAMES))
    return {"digits": digits, "named": named, "restorer": jaxgen.load("photos-grey"), "images": IMAGES}


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        ("dog", NAMES, [3]),
        (["dog", "ant"], NAMES, [3, 0]),
        (np.array([3, 0]), NAMES, [3, 0]),
        (77, ("3", "77"), [1]),
        (jnp.array([77, 3]), ("3", "77"), [1, 0]),
    ],
)
def test_classes_are_asked_for_by_name_or_number(models, monkeypatch, labels, names, expected):
    assert as_class_numbers(labels, names) == expected
    monkeypatch.setattr(using, "find_latents", lambda gan, images, labels, steps, seed: labels)
    gan = models["digits"]._replace(facts=models["digits"].facts._replace(class_names=names))
    found = inspect.unwrap(jaxgen.project)(gan, IMAGES[:2], labels)
    assert found == (expected if len(expected) == 2 else expected * 2)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("train_gan", {"resume": "runs/x"}, "resume: got 'runs/x'; accepted: a model"),
        ("train_gan", {"resume": IMAGES}, "resume: got 'ndarray of shape .*accepted: a model"),
        (
            "train_gan",
            {"initial_weights": IMAGES},
            "initial_weights: got 'ndarray of .*accepted: a trained model",
        ),
        ("train_gan", {"initial_weights": "x", "resume": "digits"}, "initial_weights: got 'x'; accepted: None"),
        ("train_gan", {"image_size": "8"}, "image_size: got '8'; accepted: a whole number, 1 or more"),
        ("train_restorer", {"image_size": 0}, "image_size: got 0; accepted: a whole number, 1 or more"),
        ("train_gan", {"log": 3}, "log: got 3; accepted: a function"),
        ("train_gan", {"steps": 1.5}, "steps: got 1.5; accepted: a whole number, 1 or more"),
        ("train_gan", {"batch_size": True}, "batch_size: got True; accepted: a whole number, 1 or more"),
        ("train_gan", {"minutes": "1"}, "minutes: got '1'; accepted: a number above 0, or None"),
        ("train_gan", {"out": IMAGES}, "out: got 'ndarray of shape .*accepted: the path"),
        (
            "evaluate",
            {"labels": [0, 1] * 24},
            "labels: got 'list'; accepted: None for a GAN.* without classes",
        ),
        ("project", {"images": "seven.png"}, "images: got 'seven.png'; accepted: arrays .*paths of files"),
        ("sample", {"model": "digits", "seed": -1}, f"seed: got -1; {SEEDS}"),
        ("sample", {"model": "digits", "labels": 1.5}, "labels: got '1.5'; accepted: 0, 1, 2"),
        ("sample", {"model": "nowhere"}, "model: got 'nowhere'; accepted: a run folder.*, its file of weights, digits"),
        ("project", {"model": "images"}, "model: got 'ndarray of shape .*digits"),
        ("project", {"steps": "5"}, "steps: got '5'; accepted: a whole number, 1 or more"),
        ("project", {"seed": "a"}, f"seed: got 'a'; {SEEDS}"),
        ("project", {"seed": -1}, f"seed: got -1; {SEEDS}"),
        ("project", {"labels": 1.5}, "labels: got '1.5'; accepted: ant, bee.* or 0 to 9"),
        ("project", {"labels": "cow"}, "labels: got 'cow'; accepted: ant, bee"),
        ("project", {"labels": [[0], [0, 1]]}, "labels: got .*accepted: ant, bee"),
        ("project", {"labels": []}, "labels: got 'list'; accepted: one class or more"),
        ("project", {"labels": ["ant", "bee"]}, "labels: got '2 classes'; accepted: one class, or one for each of 12"),
        ("evaluate", {"images": "named", "num": "5"}, "num: got '5'; accepted: a whole number, 6 or more"),
        ("evaluate", {"images": "named", "num": 5}, "num: got 5; accepted: a whole number, 6 or more"),
        ("evaluate", {"seed": "x"}, f"seed: got 'x'; {SEEDS}"),
        ("evaluate", {"images": "restorer"}, "images: got 'photos-grey', of task restoration; accepted: .*digits"),
        ("restore", {"model": "images"}, "model: got 'ndarray of shape .*photos, photos-grey"),
        ("restore", {"strength": "1"}, "strength: got '1'; accepted: a number, 0 to 1"),
        ("restore", {"mask": np.full((28, 28), np.nan)}, "mask: got 'values that are .*finite"),
        ("restore", {"mask": np.full((28, 28), "a")}, "mask: got .*accepted: bool"),
        ("load", {"folder": "digits", "checkpoint": "best"}, "checkpoint: got 'best'; accepted: latest, as digits"),
        ("load", {"folder": "digits", "checkpoint": "foo"}, "checkpoint: got 'foo'; accepted: latest, as digits"),
        (
            "load",
            {"folder": "nope"},
            "folder: got 'nope'; accepted: a bundle .*, a run .*, its file of weights, digits",
        ),
    ],
)
def test_one_line_names_the_argument_and_what_is_accepted(models, name, arguments, message):
    usual = {
        "train_gan": {"images": IMAGES, "steps": 1},
        "train_restorer": {"images": IMAGES, "steps": 1},
        "project": {"model": "named", "images": IMAGES},
        "evaluate": {"images": IMAGES, "reference": IMAGES},
        "restore": {"image": IMAGES[0]},
    }
    given = {**usual.get(name, {}), **arguments}
    if name != "load":
        given = {key: models.get(value, value) if isinstance(value, str) else value for key, value in given.items()}
    function = inspect.unwrap(getattr(jaxgen, name))  # without the checks that only the tests have
    with pytest.raises(InputError, match=rf"\A{message}") as caught:
        function(**given)
    assert "\n" not in str(caught.value)


def test_masks_may_have_the_axis_of_channels():
    mask = np.eye(4)
    np.testing.assert_array_equal(as_missing(mask[..., None]), mask == 1)
    assert as_missing(np.zeros((4, 4, 2))).shape == (4, 4, 2)  # refused by its shape


def test_images_without_classes_are_compared_with_as_many_of_each_class(models, monkeypatch):
    monkeypatch.setattr(evaluate, "render_all", lambda predict, state, inputs: np.argmax(inputs["condition"], axis=1))
    generated = evaluate.generated_by(models["named"], array_source(IMAGES), 30, 0)
    batches = list(generated.batches(12))
    assert not generated.labelled
    assert [labels for _, labels in batches] == [None] * 3
    np.testing.assert_array_equal(np.bincount(np.concatenate([drawn for drawn, _ in batches])), [3] * 10)
