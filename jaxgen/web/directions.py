"""Directions in latent space along which images change most; the sliders of the page move along them."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

AT_ONCE = 32
"""Images or volumes that are generated in one call."""
Generate = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(latents float32 (b, latent_dim), conditions float32 (b, num_labels)) -> images (b, h, w, c)"""


def principal_directions(
    generate: Generate, latent_dim: int, num_labels: int = 0, count: int = 6, num: int = 1024, seed: int = 0
) -> Float[np.ndarray, "n z"]:
    """Returns orthonormal directions, ordered by how much the images change along them.

    A linear map, images = latents @ gains, is fitted to the generator after the mean of each class is subtracted. With
    the singular value decomposition gains = u s v, the columns of u are the directions: among all sets of so many
    directions the fitted images vary most along these. Images become lighter in the positive direction.

    Args:
      generate: the generator.
      latent_dim: numbers in a latent.
      num_labels: number of classes, all with equally many images; 0 for none.
      count: number of directions; at most `latent_dim` are returned.
      num: number of images to fit to.
      seed: seed of their latents.
    """
    latents = np.random.default_rng(seed).standard_normal((num, latent_dim)).astype(np.float32)
    labels = np.arange(num) % max(num_labels, 1)
    conditions = np.eye(max(num_labels, 1), dtype=np.float32)[labels][:, :num_labels]
    parts = [generate(latents[i : i + AT_ONCE], conditions[i : i + AT_ONCE]) for i in range(0, num, AT_ONCE)]
    images = np.concatenate([np.asarray(part, np.float32).reshape(len(part), -1) for part in parts])
    for label in range(max(num_labels, 1)):
        for values in (latents, images):
            values[labels == label] -= values[labels == label].mean(axis=0)
    gains = np.linalg.lstsq(latents, images, rcond=None)[0]
    directions = np.linalg.svd(gains, full_matrices=False)[0].T[:count]
    lighter = (directions @ gains).sum(axis=1) >= 0
    return np.where(lighter[:, None], directions, -directions)


def random_directions(latent_dim: int, count: int = 6, seed: int = 0) -> Float[np.ndarray, "n z"]:
    """Draws orthonormal directions at random, for a generator that cannot be run."""
    matrix = np.random.default_rng(seed).standard_normal((latent_dim, latent_dim))
    return np.linalg.qr(matrix)[0].T[:count]
