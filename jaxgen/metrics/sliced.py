"""Sliced Wasserstein distance: a distance of two sets of images that needs no trained network."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.types import Images, PRNGKey


def sliced_wasserstein(a: Images, b: Images, key: PRNGKey, num_projections: int = 512) -> Float[Array, ""]:
    """Mean over random directions of the squared 2-Wasserstein distance of the projected images.

    In one dimension the optimal coupling sorts both sets: mean_i (sort(a u)_i - sort(b u)_i)^2 for unit vectors u.

    Args:
      a: (b, h, w, c), flattened.
      b: (b, h, w, c), as many.
      key: of the directions; the same key makes values comparable.
      num_projections: directions averaged over.

    Returns:
      A scalar, at least 0, in squared units of the images.

    References:
      Rabin et al., "Wasserstein Barycenter and its Application to Texture Mixing", 2011, equation 5.
    """
    flat_a, flat_b = a.reshape(a.shape[0], -1), b.reshape(b.shape[0], -1)
    directions = jax.random.normal(key, (flat_a.shape[1], num_projections), flat_a.dtype)
    directions = directions / jnp.linalg.norm(directions, axis=0, keepdims=True)
    return jnp.mean(jnp.square(jnp.sort(flat_a @ directions, axis=0) - jnp.sort(flat_b @ directions, axis=0)))
