"""Bicubic resizing against a dense sum over the mirrored image, and against Pillow away from the borders."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from skimage import data

from jaxgen.errors import InputError
from jaxgen.tasks.super_resolution.bicubic import keys_kernel, resize_bicubic, resize_bicubic_array

LEVELS = 1e-3
"""Largest difference, for values of 0 to 255."""
FACTORS = (2, 3, 4, 2.5)
SIZES = {
    **{f"down {f}": ((47, 61), (round(47 / f), round(61 / f))) for f in FACTORS},
    **{f"up {f}": ((23, 17), (round(23 * f), round(17 * f))) for f in FACTORS},
    "down multiple": ((48, 60), (12, 15)),
    "one way each": ((30, 21), (13, 40)),
    "same": ((9, 14), (9, 14)),
    "a few pixels": ((3, 2), (1, 7)),
    "one pixel": ((1, 5), (4, 1)),
}


def kernel(x):
    """Keys' kernel written out for each interval, equation 15 of 1981 with a = -1/2."""
    x, a = abs(x), -0.5
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def dense(x, new, axis):
    """MATLAB's imresize along one axis: a weighted mean over the image and its mirror images to both sides."""
    old = x.shape[axis]
    pad = 4 * old + 10 * max(1, old // new)
    mirrored = np.pad(np.moveaxis(x, axis, 0), [(pad, pad), *[(0, 0)] * (x.ndim - 1)], mode="symmetric")
    rows = []
    for i in range(new):
        centre = (i + 0.5) * old / new - 0.5
        weights = np.array([kernel((centre - j) * min(1, new / old)) for j in range(-pad, old + pad)])
        rows.append(np.tensordot(weights / weights.sum(), mirrored, 1))
    return np.moveaxis(np.array(rows), 0, axis)


def photo(sizes):
    """Part of a photograph, float (h, w, 3) of 0 to 255."""
    return data.astronaut()[100 : 100 + sizes[0], 180 : 180 + sizes[1]].astype(np.float64)


@pytest.mark.parametrize(("old", "new"), SIZES.values(), ids=SIZES)
def test_both_forms_are_the_dense_sum(old, new):
    image = photo(old)
    expected = dense(dense(image, new[0], 0), new[1], 1)
    assert expected.shape == (*new, 3)
    np.testing.assert_allclose(resize_bicubic_array(image.astype(np.uint8), new), expected, rtol=0, atol=LEVELS)
    np.testing.assert_allclose(resize_bicubic_array(image, new), expected, rtol=0, atol=1e-10)
    batch = jnp.asarray(image[None], jnp.float32)
    found = jax.jit(lambda x: resize_bicubic(x, new))(batch)
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=LEVELS)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("larger", [True, False])
def test_away_from_the_borders_it_is_that_of_pillow(factor, larger):
    image = photo((100, 80))
    new = tuple(int(size * factor) if larger else int(size / factor) for size in image.shape[:2])
    planes = [Image.fromarray(image[..., c].astype(np.float32)) for c in range(3)]
    bicubic = Image.Resampling.BICUBIC
    expected = np.stack([np.asarray(plane.resize(new[::-1], bicubic)) for plane in planes], axis=-1)
    cut = 3 * int(np.ceil(factor)) if larger else 3
    inner = (slice(cut, -cut),) * 2
    np.testing.assert_allclose(resize_bicubic_array(image, new)[inner], expected[inner], rtol=0, atol=LEVELS)


def test_volumes_are_resized_along_every_axis():
    volume = np.random.default_rng(0).uniform(0, 255, (6, 5, 4, 2))
    expected = volume
    for axis, new in enumerate((3, 7, 2)):
        expected = dense(expected, new, axis)
    found = resize_bicubic(jnp.asarray(volume[None], jnp.float32), (3, 7, 2))
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=LEVELS)


def test_kernel_is_that_of_keys():
    x = np.linspace(-2.5, 2.5, 101)
    np.testing.assert_allclose(keys_kernel(x), [kernel(each) for each in x], atol=1e-12)


def test_a_size_of_nothing_is_refused():
    with pytest.raises(InputError, match=r"new: got 0; accepted: 1 or more"):
        resize_bicubic_array(np.zeros((4, 4, 1)), (0, 4))
