"""The training of networks that enlarge: the pairs it learns from, that it learns, and what it refuses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import data
from skimage.transform import downscale_local_mean

from jaxgen.errors import InputError
from jaxgen.tasks.super_resolution.algorithm import examples_of, make_super_resolution, static_part
from jaxgen.tasks.super_resolution.config import SuperResolutionConfig, SuperResolutionHparams
from jaxgen.types import Observation

SMALL = SuperResolutionConfig(scale=(2, 3), width=8, blocks=1)
HPARAMS = SuperResolutionHparams(schedule_images=200.0, ema_half_life=4.0)


def crops(num, size):
    """Parts of a photograph, uint8 (num, size, size, 3)."""
    image, rng = data.astronaut(), np.random.default_rng(0)
    corners = rng.integers(0, 512 - size, (num, 2))
    return np.stack([image[y : y + size, x : x + size] for y, x in corners])


def test_the_loss_falls_for_every_factor():
    algorithm = make_super_resolution(SMALL, (36, 36, 3), 4)
    state, step = jax.jit(algorithm.init)(jax.random.key(0), vars(HPARAMS)), jax.jit(algorithm.step)
    batch, losses = {"images": crops(4, 36)}, []
    for _ in range(30):
        state, metrics = step(state, batch, jax.random.key(1))
        losses.append([float(metrics["loss/x2"]), float(metrics["loss/x3"])])
    assert (np.array(losses[-1]) < 0.6 * np.array(losses[0])).all()
    assert int(state.images) == 120


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_small_images_show_the_clean_ones_and_have_whole_levels(scale):
    """They lie over each other: the mean over each square of pixels of the clean image is close to its small pixel."""
    config = dataclasses.replace(SMALL, scale=(scale,))
    part = static_part(config, (120, 120, 3), 4)
    images = jnp.asarray(crops(4, 120) / 127.5 - 1.0, jnp.float32)
    ((small, clean),) = examples_of(part, jax.random.key(0), images)
    assert clean.shape == (4, *(scale * size for size in small.shape[1:3]), 3)
    levels = (np.asarray(small) + 1.0) * 127.5
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)
    means = np.stack([downscale_local_mean(np.asarray(x), (scale, scale, 1)) for x in clean])
    errors = [np.abs(np.roll(means, shift, axis=(1, 2)) - small).mean() for shift in ((0, 0), (1, 0), (0, 1))]
    assert errors[0] < 0.4 * min(errors[1:])


def test_clean_images_are_pixels_of_the_crop_and_all_small_ones_have_one_size():
    images = jnp.asarray(crops(2, 60) / 127.5 - 1.0, jnp.float32)
    part = static_part(SMALL, (60, 60, 3), 2)
    pairs = examples_of(part, jax.random.key(0), images)
    assert {small.shape for small, _ in pairs} == {(2, 16, 16, 3)}  # 60 / 3, without 2 pixels on each side
    for scale, (_, clean) in zip((2, 3), pairs, strict=True):
        cut = 2 * scale
        np.testing.assert_array_equal(clean, images[:, cut : cut + 16 * scale, cut : cut + 16 * scale])


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_each_factor_says_its_sizes(scale):
    config = dataclasses.replace(SMALL, scale=(2, 3, 4, 8))
    algorithm = make_super_resolution(config, (96, 96, 3), 1, scale)
    state = jax.jit(algorithm.init)(jax.random.key(0), vars(HPARAMS))
    small = Observation(jnp.zeros((2, 5, 9, 3)))
    images = jax.eval_shape(algorithm.predict, state, small, jax.random.key(0)).images
    assert images.shape == (2, 5 * scale, 9 * scale, 3)
    assert algorithm.sizes.scale == scale


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"scale": (5,)}, r"scale: got \(5,\); accepted: one or more of 2, 3, 4, 8, each once"),
        ({"scale": (2, 2)}, r"scale: got \(2, 2\); accepted: one or more of"),
        ({"scale": ()}, r"scale: got \(\); accepted: one or more of"),
        ({"width": 0}, r"width: got 0; accepted: 1 or more"),
    ],
)
def test_wrong_settings_are_refused(fields, words):
    with pytest.raises(InputError, match=words):
        SuperResolutionConfig(**fields)


@pytest.mark.parametrize(
    ("shape", "scale", "words"),
    [
        ((48, 48, 1), None, r"channels: got 1; accepted: 3"),
        ((35, 48, 3), None, r"crop_size: got 35; accepted: 36 or more for factor 3"),
        ((48, 48, 3), 4, r"scale: got 4; accepted: one of 2, 3"),
    ],
)
def test_wrong_images_are_refused(shape, scale, words):
    with pytest.raises(InputError, match=words):
        make_super_resolution(SMALL, shape, 1, scale)
