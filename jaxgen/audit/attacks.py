"""Attacks that tell images that were trained on from others: each gives a score, which is higher for the former."""

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, UInt8

from jaxgen.errors import require
from jaxgen.images import to_float
from jaxgen.metrics.neighbours import empty_nearest, nearest, update_nearest
from jaxgen.types import Batch, Images, PRNGKey

SIDE = 32
"""Pixels along each axis at which images are compared; larger ones are reduced by the means of blocks."""
AT_ONCE = 50
"""Images that a network sees at once."""


def in_batches(score: Callable[[Batch], jax.Array], batch: Batch, at_once: int = AT_ONCE) -> Float[np.ndarray, " m"]:
    """Returns a score for each image (m,), computed batch by batch.

    Args:
      score: arrays (b, ...) by name -> (b,).
      batch: arrays (m, ...) by name; the last batch is filled up with the first images, so that all have one shape.
      at_once: images in a batch.
    """
    num, compiled = len(batch["images"]), jax.jit(score)
    at_once = min(at_once, num)
    filled = np.arange(num + -num % at_once) % num
    parts = [filled[i : i + at_once] for i in range(0, len(filled), at_once)]
    found = [np.asarray(compiled({name: jnp.asarray(x[part]) for name, x in batch.items()})) for part in parts]
    return np.concatenate(found)[:num].astype(np.float64)


def nearest_fakes(candidates: UInt8[np.ndarray, "m *s c"], fakes: Iterable[np.ndarray]) -> Float[np.ndarray, " m"]:
    """Returns how much nearer each candidate is to a generated image than to another candidate.

    Root mean squared distances of pixels in [0, 1]. The distance to the nearest other candidate stands for how
    crowded the place of an image is among real ones, without a model that was not trained on it; it does not depend on
    which of the candidates were trained on.

    Args:
      candidates: the images that may have been trained on, m >= 2.
      fakes: batches of generated images, uint8 (b, *s, c).

    Returns:
      d(x, other candidates) - d(x, fakes), (m,).

    References:
      Chen et al., "GAN-Leaks: A Taxonomy of Membership Inference Attacks against Generative Models", 2020, sections 4.2
      (full black box) and 5 (calibration).
    """
    own = _pixels(candidates)
    closest, offset = empty_nearest(len(own)), 0
    for batch in fakes:
        closest = update_nearest(closest, own, _pixels(batch), offset)
        offset += len(batch)
    crowded = nearest(own, own, leave_out_self=True)[0][:, 0]
    return (crowded - closest.distance) / np.sqrt(own.shape[1])


def calibrated(
    own: Float[np.ndarray, " m"], shadows: Float[np.ndarray, "k m"], trained_on: Bool[np.ndarray, "k m"]
) -> Float[np.ndarray, " m"]:
    """Returns by how much each score is above the one that a model gives which was not trained on the image.

    Some images look like training images to any model. What a model gives that was not trained on an image is estimated
    from shadow models, each brought to mean 0 and deviation 1, less the mean gain of the images that it was trained on.

    Args:
      own: [m], scores by the model that is attacked.
      shadows: [k, m], scores by k shadow models.
      trained_on: [k, m], which images each shadow model was trained on.

    Raises:
      InputError: the shadow models were trained on all of these images, or on none.

    References:
      Watson et al., "On the Importance of Difficulty Calibration in Membership Inference Attacks", 2022.
      Carlini et al., "Membership Inference Attacks From First Principles", 2022, section VI (a variance for all).
    """
    both = bool(trained_on.any()) and not bool(trained_on.all())
    require(both, "shadows", f"{len(shadows)} trained on the same images", "some trained on each image, and some not")
    usual = _standard(shadows)
    gain = usual[trained_on].mean() - usual[~trained_on].mean()
    return _standard(own) - np.mean(usual - gain * trained_on, 0)


def _standard(scores: Float[np.ndarray, "*k m"]) -> Float[np.ndarray, "*k m"]:
    """Returns scores of mean 0 and deviation 1 along the last axis; equal ones become 0."""
    centred = scores - scores.mean(-1, keepdims=True)
    return centred / np.maximum(centred.std(-1, keepdims=True), np.finfo(np.float64).tiny)


def _pixels(images: UInt8[np.ndarray, "b *s c"]) -> Float[np.ndarray, "b d"]:
    """Returns the values in [0, 1] as rows, of images reduced to between `SIDE` and twice that along each long axis."""
    x = images.astype(np.float32) / np.float32(255)
    for axis in range(1, x.ndim - 1):
        block, size = max(1, x.shape[axis] // SIDE), x.shape[axis]
        x = np.take(x, np.arange(size - size % block), axis)
        x = x.reshape(*x.shape[:axis], size // block, block, *x.shape[axis + 1 :]).mean(axis + 1)
    return x.reshape(len(x), -1)


def quality_in_draws(
    restored: Callable[[PRNGKey, Images], tuple[tuple[jax.Array, jax.Array], ...]], seed: int, draws: int
) -> Callable[[Batch], jax.Array]:
    """Returns a score: the mean PSNR in dB of restored images over draws of damage, the same for each place in a batch.

    Args:
      restored: (key, images in [-1, 1]) -> pairs of restored and clean images (b, ...).
      seed: seed of the draws.
      draws: number of draws.
    """

    def score(batch: Batch) -> jax.Array:
        clean = to_float(batch["images"])

        def quality(key: PRNGKey) -> jax.Array:
            return jnp.mean(jnp.stack([_decibels(*pair) for pair in restored(key, clean)]), 0)

        return jnp.mean(lax.map(quality, jax.random.split(jax.random.key(seed), draws)), 0)

    return score


def _decibels(restored: jax.Array, clean: jax.Array) -> jax.Array:
    """Returns the PSNR of each image (b,), of values in [-1, 1] that are not clipped."""
    error = jnp.mean(jnp.square(restored - clean), tuple(range(1, clean.ndim)))
    return -10.0 * jnp.log10(error / 4.0 + 1e-12)
