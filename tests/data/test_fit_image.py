"""Cutting to size against closed forms and Pillow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxgen.data.base import decode, fit_image


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def test_without_a_size_nothing_is_cut():
    image = noise(5, 9, 3)
    np.testing.assert_array_equal(fit_image(image), image)


@pytest.mark.parametrize(("shape", "rows", "columns"), [((4, 8, 1), (0, 4), (2, 6)), ((7, 4, 3), (1, 5), (0, 4))])
def test_crop_is_the_centre(shape, rows, columns):
    image = noise(*shape)
    np.testing.assert_array_equal(fit_image(image, 4), image[slice(*rows), slice(*columns)])


def test_resize_is_lanczos_of_the_centre():
    image = noise(20, 30, 3)
    expected = Image.fromarray(image[:, 5:25]).resize((8, 8), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(fit_image(image, 8), np.asarray(expected))


def test_downscaling_is_antialiased():
    stripes = np.zeros((64, 64, 1), np.uint8)
    stripes[:, ::2] = 255
    np.testing.assert_allclose(fit_image(stripes, 8)[1:-1, 1:-1], 127.5, atol=3)


def test_one_pixel_is_spread():
    np.testing.assert_array_equal(fit_image(np.full((1, 1, 3), 77, np.uint8), 5), np.full((5, 5, 3), 77))


def test_luma_of_the_primaries():
    primaries = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    expected = np.rint(255 * np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    np.testing.assert_array_equal(fit_image(primaries, None, 1)[0, :, 0], expected)


def test_grey_is_repeated():
    image = noise(3, 3, 1)
    np.testing.assert_array_equal(fit_image(image, None, 3), np.concatenate([image] * 3, -1))


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_composited_over_white(channels):
    image = noise(6, 6, channels)
    colour, alpha = image[..., :-1].astype(float), image[..., -1:] / 255
    expected = np.rint(colour * alpha + 255 * (1 - alpha))
    np.testing.assert_array_equal(fit_image(image), expected)


@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    stored=st.integers(1, 4),
    size=st.none() | st.integers(1, 12),
    channels=st.sampled_from([None, 1, 3]),
)
@settings(max_examples=60, deadline=None)
def test_shape_and_white_stay(height, width, stored, size, channels):
    result = fit_image(np.full((height, width, stored), 255, np.uint8), size, channels)
    kept = 1 if stored <= 2 else 3
    assert result.shape == (size or height, size or width, channels or kept)
    assert result.min() == 255


def test_float_pixels_are_refused():
    with pytest.raises(ValueError, match="float"):
        decode(Image.fromarray(np.zeros((2, 2), np.float32)))
