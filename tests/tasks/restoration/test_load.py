"""The restorers that the package carries: whole, small, of known origin, and of use."""

import hashlib
import tomllib
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import jaxgen
from jaxgen.errors import InputError
from jaxgen.evaluation.features import MNIST_WEIGHTS
from jaxgen.tasks import table
from jaxgen.tasks.load import pretrained_file
from jaxgen.tasks.restoration import pixels, task
from jaxgen.tasks.restoration.pixels import adapt, photo_models
from jaxgen.weights import load_notes

PRETRAINED = task.TASK.pretrained


def test_the_weights_of_the_package_are_small():
    files = {name: pretrained_file(name).stat().st_size for name in table.pretrained()}
    assert sum(files[name] for name in PRETRAINED) <= 6_000_000
    assert sum(files.values()) + MNIST_WEIGHTS.stat().st_size <= 11_000_000


def test_the_wheel_holds_them():
    root = Path(jaxgen.__file__).parent
    patterns = tomllib.loads((root.parent / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "jaxgen"
    ]
    inside = {path for pattern in patterns for path in root.glob(pattern)}
    assert {MNIST_WEIGHTS, *map(pretrained_file, table.pretrained())} <= inside


@pytest.mark.parametrize("name", PRETRAINED)
def test_where_they_come_from_is_recorded(name):
    assert hashlib.sha256(pretrained_file(name).read_bytes()).hexdigest() == PRETRAINED[name]
    notes = load_notes(pretrained_file(name))
    assert {"command", "data", "hardware", "result", "restoration", "shape"} <= set(notes)
    assert f"python -m experiments.inverse_{name.replace('-', '_')} " in notes["command"]


def test_damaged_weights_are_refused(monkeypatch):
    monkeypatch.setattr(pixels, "_pretrained", pixels._pretrained.__wrapped__)  # another test may have loaded it
    changed = {**PRETRAINED, "photos-grey": "0" * 64}
    monkeypatch.setattr(task, "TASK", task.TASK._replace(pretrained=changed))
    with pytest.raises(InputError, match=r"photos-grey.safetensors: damaged .*; accepted: 0000"):
        photo_models()


def test_there_is_one_for_grey_photos_and_one_for_colour():
    models = photo_models()
    assert {n: (model.facts.shape[-1], model.facts.name) for n, model in models.main.items()} == {
        1: (1, "photos-grey"),
        3: (3, "photos"),
    }
    assert {model.facts.name for model in models.marks.values()} == {"photos-marks"}
    assert {model.facts.name for model in photo_models("photos").main.values()} == {"photos"}


@pytest.mark.parametrize("grey", [True, False])
def test_it_removes_noise_from_a_picture_that_it_has_not_seen(grey):
    """Discs on a slope: half of the error goes, at least, in grey and in colour."""
    y, x = np.mgrid[:64, :64] / 64
    discs = sum((0.4 * ((x - a) ** 2 + (y - b) ** 2 < r)) for a, b, r in ((0.3, 0.3, 0.04), (0.7, 0.6, 0.06)))
    tints = np.array([1.0] if grey else [1.0, 0.6, 0.3])
    clean = 2 * (0.3 + 0.3 * x + discs)[..., None] * tints - 1
    noise = np.random.default_rng(0).normal(0, 2 * 25 / 255, (64, 64, len(tints)))
    model = photo_models().main[1 if grey else 3]
    noisy = jnp.asarray(clean + noise, jnp.float32)[None]
    told = np.array([25 / 255, 0, 0], np.float32)
    restored = np.asarray(adapt(model, len(tints), 1.0, False, told)(noisy, jnp.ones((1, 64, 64, 1))))[0]
    assert np.mean((restored - clean) ** 2) < 0.25 * np.mean((np.asarray(noisy[0]) - clean) ** 2)
