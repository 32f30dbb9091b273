"""The initial fill of missing pixels, against SciPy's filters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxgen.networks import initial_fill
from jaxgen.networks.initial_fill import COARSE_WEIGHT, MOMENTUM, SMOOTHING, reach

fill = jax.jit(initial_fill.fill, static_argnums=2)
suspected_impulses = jax.jit(initial_fill.suspected_impulses)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1.0, 1.0, shape).astype(np.float32)


def filtered(x: np.ndarray, weights: list[float], origin: int = 0) -> np.ndarray:
    """(h, w, c) convolved along both axes, edges repeated."""
    for axis in (0, 1):
        x = ndimage.correlate1d(x, weights, axis=axis, mode="nearest", origin=origin)
    return x


def doubled(x: np.ndarray) -> np.ndarray:
    """Linear interpolation at half-pixel centres, edges repeated."""
    for axis in (0, 1):
        n = x.shape[axis]
        at = np.clip((np.arange(2 * n) + 0.5) / 2 - 0.5, 0, n - 1)
        low = np.floor(at).astype(int)
        share = (at - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        x = (1 - share) * x.take(low, axis) + share * x.take(np.minimum(low + 1, n - 1), axis)
    return x


def mean(values: np.ndarray, weights: np.ndarray, levels: int) -> np.ndarray:
    coarser = 0.0
    if levels > 1:
        # four taps, of which the second lies on the first pixel of a pair
        halved = [filtered(x, [0.125, 0.375, 0.375, 0.125], -1)[::2, ::2] for x in (values, weights)]
        coarser = doubled(mean(*halved, levels - 1))
    blurred = [filtered(x, [0.25, 0.5, 0.25]) for x in (values, weights)]
    return (blurred[0] + COARSE_WEIGHT * coarser) / (blurred[1] + COARSE_WEIGHT)


def smooth(x: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Descent with momentum, channel by channel, by SciPy's Laplacian."""
    velocity = np.zeros_like(x)
    for _ in range(SMOOTHING):
        for c in range(x.shape[-1]):
            slope = ndimage.laplace(ndimage.laplace(x[..., c], mode="nearest"), mode="nearest")
            velocity[..., c] = MOMENTUM * velocity[..., c] - slope * (known[..., 0] == 0) / 32
        x = x + velocity
    return x


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_unknown_pixels_are_a_smooth_surface_through_the_known_ones(levels: int, share: float) -> None:
    images = noise(2, 12, 8, 3)
    known = (noise(2, 12, 8, 1, seed=1) > 2 * share - 1).astype(np.float32)
    filled = np.asarray(fill(jnp.asarray(images), jnp.asarray(known), levels))
    for image, mask, result in zip(images, known, filled, strict=True):
        start = np.where(mask > 0, image, mean((image * mask).astype(np.float64), mask.astype(np.float64), levels))
        np.testing.assert_allclose(result, smooth(start, mask), atol=1e-5)


def test_known_pixels_stay_and_nothing_known_is_the_middle_grey() -> None:
    images = jnp.asarray(noise(1, 8, 8, 2))
    np.testing.assert_array_equal(fill(images, jnp.ones((1, 8, 8, 1)), 3), images)
    np.testing.assert_array_equal(fill(images, jnp.zeros((1, 8, 8, 1)), 3), 0.0)


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_a_filled_pixel_takes_nothing_from_beyond_the_reach(levels: int) -> None:
    known = jnp.zeros((1, 8, 128, 1)).at[0, :, ::9].set(1.0)
    images = jnp.asarray(noise(1, 8, 128, 1))
    slopes = jax.jit(jax.jacobian(lambda x: fill(x, known, levels)[0, 0, :, 0]))(images)[:, 0, :, :, 0]
    to, source = np.nonzero(np.abs(np.asarray(slopes)).sum(axis=1))
    assert reach(levels) / 2 <= np.abs(to - source).max() <= reach(levels)


def test_salt_and_pepper_are_suspected_and_what_is_really_black_is_not() -> None:
    images = np.full((1, 32, 32, 2), 0.1, np.float32)
    images[0, :, 16:] = -1.0  # the right half is black
    images[0, 5, 5], images[0, 9, 9], images[0, 20, 6] = 1.0, -1.5, (1.0, 0.5)  # the last is at an end in one channel
    images[0, 10, 26] = 1.0  # salt on black
    found = np.asarray(suspected_impulses(jnp.asarray(images)))[0, :, :, 0]
    assert (found[5, 5], found[9, 9], found[20, 6], found[10, 26]) == (1, -1, 0, 1)
    assert not found[:, 16:][np.arange(32) > 18].any()
    assert np.abs(found).sum() == 3


def test_nearly_all_of_heavy_salt_and_pepper_is_suspected() -> None:
    draws = np.random.default_rng(0).random((1, 64, 64, 1))
    images = np.where(draws < 0.35, -1.0, np.where(draws < 0.7, 1.0, 0.2)).astype(np.float32)
    found = np.asarray(suspected_impulses(jnp.asarray(images)))
    assert (found == np.where(np.abs(images) == 1.0, images, 0.0)).mean() > 0.99
