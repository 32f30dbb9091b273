"""Resampling and grey against Pillow and scikit-image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from skimage.transform import downscale_local_mean

from jaxgen.degradations.resampling import grey, lower_resolution
from jaxgen.errors import InputError

IMAGES = np.random.default_rng(0).uniform(-1, 1, (2, 12, 18, 3)).astype(np.float32)


def resized(images: np.ndarray, h: int, w: int) -> np.ndarray:
    """Pillow's bicubic resize of each channel, in float32."""
    parts = [
        [np.asarray(Image.fromarray(image[..., c]).resize((w, h), Image.Resampling.BICUBIC)) for c in range(3)]
        for image in images
    ]
    return np.stack([np.stack(part, -1) for part in parts])


def test_lower_resolution_is_local_means_enlarged_by_pillow_with_a_factor_an_image() -> None:
    images = np.concatenate([IMAGES, IMAGES[:1]])
    found = jax.jit(lower_resolution)(jnp.asarray(images), jnp.array([1.0, 3.0, 2.0]))
    np.testing.assert_array_equal(found[0], images[0])
    for i, factor in ((1, 3), (2, 2)):
        small = downscale_local_mean(images[i : i + 1], (1, factor, factor, 1)).astype(np.float32)
        np.testing.assert_allclose(found[i : i + 1], resized(small, 12, 18), atol=2e-5)


@pytest.mark.parametrize("factor", [1.3, 2.5, 3.7])
def test_lower_resolution_by_any_factor_keeps_ramps_and_loses_detail(factor: float) -> None:
    ramp = np.arange(40.0)[:, None] + 0.5 * np.arange(32.0)
    noise = np.random.default_rng(2).standard_normal((40, 32))
    images = jnp.asarray(np.stack([ramp, noise])[..., None], jnp.float32)
    found = np.asarray(jax.jit(lower_resolution)(images, jnp.array([factor, factor], jnp.float32)))[:, 8:-12, 8:-12, 0]
    # the mean of steps of height 1 is off that of a line by 1 / (8 factor) at most; half a pixel is a third or more
    assert np.abs(found[0] - ramp[8:-12, 8:-12]).max() < 0.25 / factor
    assert abs((found[0] - ramp[8:-12, 8:-12]).mean()) < 0.02
    # a mean of factor x factor pixels, and interpolation does not add to it
    assert 0.3 / factor < found[1].std() < 1.3 / factor


def test_grey_is_pillows_luma() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (1, 16, 16, 3), np.uint8)
    expected = np.asarray(Image.fromarray(pixels[0]).convert("L"), np.float32)
    images = jnp.asarray(np.repeat(pixels / 127.5 - 1, 3, 0), jnp.float32)
    found = (np.asarray(jax.jit(grey)(images, jnp.array([1.0, 0.0, 0.25]))) + 1) * 127.5
    for c in range(3):
        np.testing.assert_allclose(found[0, ..., c], expected, atol=0.51)  # Pillow rounds
    np.testing.assert_allclose(found[1], pixels[0], atol=1e-4)
    np.testing.assert_allclose(found[2], 0.75 * pixels[0] + 0.25 * found[0], atol=1e-3)


def test_grey_leaves_one_channel_and_refuses_two() -> None:
    one = jnp.asarray(IMAGES[..., :1])
    np.testing.assert_array_equal(grey(one, jnp.ones(2)), one)
    with pytest.raises(InputError, match="channels: got 2; accepted: 1 or 3"):
        grey(jnp.asarray(IMAGES[..., :2]), jnp.ones(2))
