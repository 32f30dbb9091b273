"""Adjoints by the dot product: <A x, y> = <x, A^T y>, and that the maps are linear at all."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.degradations.blur import blur
from jaxgen.degradations.linear import adjoint
from jaxgen.degradations.masks import apply_mask
from jaxgen.degradations.resampling import downsample_area, downsample_bicubic, grey, lower_resolution, upsample_bicubic

SHAPE = (3, 12, 18, 3)
LEVELS = jnp.array([0.2, 0.5, 1.0])
KERNELS = jnp.asarray(np.random.default_rng(1).uniform(0, 0.1, (3, 7, 7)), jnp.float32)
MASKS = jnp.asarray(np.random.default_rng(2).integers(0, 2, (*SHAPE[:3], 1)), jnp.float32)
FACTORS = jnp.array([1.4, 2.0, 3.0])
MAPS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "blur": lambda x: blur(x, KERNELS),
    "mask": lambda x: apply_mask(x, MASKS),
    "area": lambda x: downsample_area(x, 3),
    "bicubic": lambda x: downsample_bicubic(x, 2),
    "enlarge": lambda x: upsample_bicubic(x, 2),
    "resolution": lambda x: lower_resolution(x, FACTORS),
    "grey": lambda x: grey(x, LEVELS),
}


def dots(a: Any, b: Any) -> np.ndarray:
    """Inner products image by image, so that an adjoint that mixes images fails."""
    return (np.asarray(a, np.float64) * np.asarray(b, np.float64)).sum((1, 2, 3))


@pytest.mark.parametrize("name", sorted(MAPS))
def test_adjoint_and_linearity(name: str) -> None:
    fn, generator = jax.jit(MAPS[name]), np.random.default_rng(0)
    x, other = (generator.standard_normal(SHAPE, np.float32) for _ in range(2))
    image, other_image = np.asarray(fn(jnp.asarray(x))), np.asarray(fn(jnp.asarray(other)))
    y = generator.standard_normal(image.shape, np.float32)
    back = jax.jit(adjoint(MAPS[name], jnp.asarray(x)))(jnp.asarray(y))
    assert back.shape == SHAPE
    scale = np.linalg.norm(x) * np.linalg.norm(y)
    np.testing.assert_allclose(dots(image, y), dots(x, back), rtol=1e-4, atol=1e-6 * scale)
    np.testing.assert_allclose(fn(jnp.asarray(2 * x - 3 * other)), 2 * image - 3 * other_image, atol=2e-5)
    assert np.abs(image).max() > 0.1
