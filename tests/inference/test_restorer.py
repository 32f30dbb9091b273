"""The restorer that the package carries: whole, small, of known origin, and of use."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config import InputError
from jaxgen.evaluation.features import MNIST_WEIGHTS
from jaxgen.inference import restorer
from jaxgen.inference.restorer import SHIPPED, SHIPPED_SHA256, load_restorer, photo_model
from jaxgen.training.weights import load_notes

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_all_weights_of_the_package_take_four_megabytes_at_most():
    assert SHIPPED.stat().st_size + MNIST_WEIGHTS.stat().st_size <= 4_000_000


def test_where_they_come_from_is_recorded():
    assert hashlib.sha256(SHIPPED.read_bytes()).hexdigest() == SHIPPED_SHA256
    notes = load_notes(SHIPPED)
    assert {"command", "data", "hardware", "result", "restoration", "shape"} <= set(notes)
    assert notes["command"].startswith("python -m experiments.inverse_photos")


def test_damaged_weights_are_refused(monkeypatch, tmp_path):
    data = bytearray(SHIPPED.read_bytes())
    data[-1] ^= 1
    (tmp_path / "x.safetensors").write_bytes(data)
    monkeypatch.setattr(restorer, "SHIPPED", tmp_path / "x.safetensors")
    with pytest.raises(InputError, match=r"damaged .*; accepted: "):
        load_restorer()


@pytest.mark.parametrize("grey", [True, False])
def test_it_removes_noise_from_a_picture_that_it_has_not_seen(grey):
    """Discs on a slope: half of the error goes, at least, in grey and in colour."""
    y, x = np.mgrid[:64, :64] / 64
    discs = sum((0.4 * ((x - a) ** 2 + (y - b) ** 2 < r)) for a, b, r in ((0.3, 0.3, 0.04), (0.7, 0.6, 0.06)))
    tints = np.array([1.0, 1.0, 1.0] if grey else [1.0, 0.6, 0.3])
    clean = 2 * (0.3 + 0.3 * x + discs)[..., None] * tints - 1
    noise = np.random.default_rng(0).normal(0, 2 * 25 / 255, (64, 64, 1 if grey else 3))
    model = photo_model(load_restorer())
    noisy = jnp.asarray(clean + noise, jnp.float32)[None]
    restored = np.asarray(jax.jit(model.apply)(noisy, jnp.zeros((1, 64, 64, 1))))[0]
    assert np.mean((restored - clean) ** 2) < 0.25 * np.mean((np.asarray(noisy[0]) - clean) ** 2)
