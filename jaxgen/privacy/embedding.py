"""One noisy mean of random features of all images: whatever is computed from it costs no more privacy.

The features of an image are cosines and sines of random projections of square windows of it, of several sizes, and a
constant: all together of norm 1. Their inner products approximate a mean of Gaussian kernels, one for each window. The
sum over the images of a class, for all classes, changes by a norm of 1 at most with an image more or less.

References:
  Rahimi, Recht, "Random Features for Large-Scale Kernel Machines", 2007; Harder, Adamczewski, Park, "DP-MERF:
  Differentially Private Mean Embeddings with RandomFeatures for Practical Privacy-preserving Data Generation", 2021;
  Balle, Wang, "Improving the Gaussian Mechanism for Differential Privacy", 2018.
"""

import math
import secrets
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen.data.base import Source
from jaxgen.errors import require
from jaxgen.images import to_float
from jaxgen.privacy.noise import WORDS, add_noise, keys_of
from jaxgen.types import Grid, Images

SHARES = (1.0, 0.5, 0.25)
"""Sizes of the windows, as shares of the image's sides."""
BANDWIDTHS = (0.3, 1.0)
"""Smallest and largest bandwidth of the kernels, as root mean squared differences of pixels in [-1, 1]. Public: one
chosen by the images would cost privacy."""
CONSTANT = math.sqrt(0.1)
"""The constant feature; its sums are the noisy numbers of images of the classes."""
UNITS = 2.0**16
"""A feature is rounded towards 0 to a whole number of so many parts: sums of those are exact, in any order."""
AT_ONCE = 500
"""Images whose features are in memory at a time; their sums are below 2^24, so that float32 holds them exactly."""
MOST_ENTRIES = 2**28
"""Largest number of entries of the projections."""


class Projections(NamedTuple):
    """Random projections of windows: `weights` (p, d) from the p values of an image, all windows but their own 0."""

    weights: Float[np.ndarray, "p d"]

    @property
    def width(self) -> int:
        """Returns the number of features of an image."""
        return 2 * self.weights.shape[1] + 1


def draw_projections(shape: Grid, num: int, seed: int = 0) -> Projections:
    """Returns random projections of images of this shape; they do not depend on any image.

    Args:
      shape: (*spatial, c) of the images.
      num: number d of projections; each gives two features.
      seed: seed of the projections, which is public.

    Raises:
      InputError: the images are too large.
    """
    entries = math.prod(shape) * num
    require(entries <= MOST_ENTRIES, "shape", shape, f"up to {MOST_ENTRIES // num:,} values for {num:,} projections")
    generator = np.random.default_rng(seed)
    weights = np.zeros((num, *shape), np.float32)
    for i in range(num):
        sides = [max(1, round(side * SHARES[i % len(SHARES)])) for side in shape[:-1]]
        corner = [generator.integers(0, whole - side + 1) for whole, side in zip(shape, sides, strict=False)]
        window = (i, *(slice(at, at + side) for at, side in zip(corner, sides, strict=True)))
        size = weights[window].shape
        bandwidth = math.exp(generator.uniform(*np.log(BANDWIDTHS)))
        weights[window] = generator.standard_normal(size) / (bandwidth * math.sqrt(math.prod(size)))
    return Projections(weights.reshape(num, -1).T)


def features(projections: Projections, images: Images) -> Float[Array, "b f"]:
    """Returns the features of images in [-1, 1]: rows of norm 1."""
    angles = images.reshape(len(images), -1) @ projections.weights
    scale = math.sqrt((1 - CONSTANT**2) / angles.shape[1])
    constant = jnp.full((len(images), 1), CONSTANT, jnp.float32)
    return jnp.concatenate([scale * jnp.cos(angles), scale * jnp.sin(angles), constant], -1)


def sums_of_features(
    projections: Projections, source: Source, num_classes: int, flip: bool = False
) -> Float[np.ndarray, "n f"]:
    """Returns the sums of the features of the images of each class; an image adds a vector of norm 1 at most.

    Args:
      projections: see `features`.
      source: the images.
      num_classes: number n of classes; 1 sums over all images, whatever their labels.
      flip: whether the features of an image are the mean of its own and of those of its mirror image.
    """

    @jax.jit
    def add(images: Array, labels: Array) -> Array:
        x = to_float(images)
        found = features(projections, x)
        found = (found + features(projections, x[..., ::-1, :])) / 2 if flip else found
        return jax.nn.one_hot(labels, num_classes, dtype=jnp.float32).T @ jnp.trunc(found * UNITS)

    total = np.zeros((num_classes, projections.width))
    with jax.default_matmul_precision("highest"):
        for start in range(0, source.num_images, AT_ONCE):
            index = np.arange(start, min(start + AT_ONCE, source.num_images))
            labels = np.zeros(len(index), np.int32) if num_classes == 1 else source.labels[index]
            total += np.asarray(add(source.take(index), labels))
    return total / UNITS


def noisy_embedding(
    projections: Projections, source: Source, num_classes: int, noise: float, flip: bool = False
) -> Float[np.ndarray, "n f"]:
    """Returns the sums of `sums_of_features` plus normal noise from secret random bits, over the number of images.

    Args:
      projections: see `sums_of_features`, also for the others.
      source: the images; their number is public.
      num_classes: number of classes.
      noise: standard deviation of the noise of each sum.
      flip: see `sums_of_features`.
    """
    total = sums_of_features(projections, source, num_classes, flip)
    keys = keys_of(jnp.asarray(np.frombuffer(secrets.token_bytes(4 * WORDS), np.uint32)), {})
    drawn = add_noise(keys, jnp.zeros(total.shape, jnp.float32), jnp.float32(1.0))
    return ((total + noise * np.asarray(drawn, np.float64)) / source.num_images).astype(np.float32)


class Release(NamedTuple):
    """What is computed from the images, once: noisy sums of features of so many classes; see `noisy_embedding`."""

    projections: Projections
    num_classes: int
    noise: float


def embedding_batches(
    release: Release,
    source: Source,
    *,
    batch_size: int,
    seed: int = 0,
    start: int = 0,
    flip: bool = False,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[dict[str, np.ndarray]]:
    """Returns endless batches, of which the first holds the noisy embedding; no other reads an image.

    Each process draws the noise of its own part of the embedding, so that it is added once.

    Args:
      release: what is computed.
      source: the images.
      batch_size: number of images that a step generates.
      seed: not used.
      start: images generated before; above 0 no image is read at all.
      flip: see `sums_of_features`.
      process_index: number of this process, from 0.
      process_count: number of processes.

    Returns:
      Iterator of `place`, int32 [b], the number of each row in the whole batch; `embedding`, float32 [b, m], the noisy
      embedding row by row and padded by zeros in the first batch, and zeros in the others.

    Raises:
      InputError: the source cuts random pieces.
    """
    del seed
    require(not source.crops, "crop_size", source.shape[0], "None for a private training, which counts whole images")
    mine = np.arange(batch_size).reshape(process_count, -1)[process_index].astype(np.int32)
    empty = {"place": mine, "embedding": np.zeros((len(mine), row_length(release, batch_size)), np.float32)}
    return _batches(release, source, empty, start == 0, batch_size, flip)


def row_length(release: Release, batch_size: int) -> int:
    """Returns the number of entries of the embedding in each row of a batch."""
    return -(-release.num_classes * release.projections.width // batch_size)


def _batches(
    release: Release, source: Source, empty: dict[str, np.ndarray], first: bool, batch_size: int, flip: bool
) -> Iterator[dict[str, np.ndarray]]:
    if first:
        flat = noisy_embedding(release.projections, source, release.num_classes, release.noise, flip).ravel()
        rows = np.zeros((batch_size, empty["embedding"].shape[1]), np.float32)
        rows.ravel()[: len(flat)] = flat
        yield {**empty, "embedding": rows[empty["place"]]}
    while True:
        yield empty
