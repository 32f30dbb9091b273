"""DiffAugment: differentiable augmentations of the discriminator's input, of real and generated images alike.

Each takes a key and images in [-1, 1], and draws its values for each image. Translation, cutout and flips are linear in
the image, colour is affine, so the gradient penalties can be differentiated through all of them. Flips, which
the publication does not have, are for volumes and images without a top or a left.

References:
  Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", 2020, section 4; the ranges are those of
  the published code, which rounds shares of a size to the nearest whole number of pixels, a half up.
"""

import jax
import jax.numpy as jnp
from jax import lax

from jaxgen.types import Images, PRNGKey, PRNGKeys, per_image


def translation(key: PRNGKey, images: Images) -> Images:
    """Returns images moved by up to an eighth of their size (rounded) along every axis; uncovered pixels are 0 (grey).

    Args:
      key: key of the shifts.
      images: (b, *spatial, c).

    Returns:
      (b, *spatial, c).
    """
    b, *sizes, _ = images.shape
    takes = []
    for key_axis, size in zip(jax.random.split(key, len(sizes)), sizes, strict=True):
        most = (size + 4) // 8
        shift = jax.random.randint(key_axis, (b, 1), -most, most + 1, jnp.int32)
        places = jnp.arange(size)[None] - shift  # where each pixel comes from
        # one-hot matrices in place of a gather: the gradient is a matrix product too, which is fast on every backend
        takes.append(jax.nn.one_hot(places, size, dtype=images.dtype))  # b size size; places outside give zeros
    old, new = "hwd"[: len(sizes)], "yxz"[: len(sizes)]
    matrices = ",".join(f"b{i}{o}" for i, o in zip(new, old, strict=True))
    # in full precision: pixels are moved, not rounded
    return jnp.einsum(f"{matrices},b{old}c->b{new}c", *takes, images, precision=lax.Precision.HIGHEST)


def cutout(key: PRNGKey, images: Images) -> Images:
    """Returns images with a square (cube) of half their size set to 0 (mid grey); its centre is anywhere in the image.

    Half of an odd size is rounded up. The centre of a square of an even size is a corner of pixels, the outer ones
    included, and that of an odd one is a pixel.

    Args:
      key: key of the centres.
      images: (b, *spatial, c).

    Returns:
      (b, *spatial, c).
    """
    b, *sizes, _ = images.shape
    hole = jnp.ones((b, *(1,) * (images.ndim - 1)), bool)
    for axis, (key_axis, size) in enumerate(zip(jax.random.split(key, len(sizes)), sizes, strict=True), 1):
        width = (size + 1) // 2
        centre = jax.random.randint(key_axis, (b, 1), 0, size + 1 - width % 2, jnp.int32)
        inside = _within(jnp.arange(size)[None] - centre, width)
        hole &= jnp.expand_dims(inside, [i for i in range(1, images.ndim) if i != axis])
    return jnp.where(hole, jnp.zeros((), images.dtype), images)


def _within(offset: jax.Array, size: int) -> jax.Array:
    """Returns whether an offset from the centre lies in a window of `size` pixels."""
    return (offset >= -(size // 2)) & (offset < size - size // 2)


def color(key: PRNGKey, images: Images) -> Images:
    """Returns images of random brightness (+ U[-0.5, 0.5]), saturation (x U[0, 2]) and contrast (x U[0.5, 1.5]).

    Args:
      key: key of the three draws.
      images: (b, *spatial, c).

    Returns:
      (b, *spatial, c), not clipped.
    """
    keys = jax.random.split(key, 3)
    brightness, saturation, contrast = (
        per_image(jax.random.uniform(k, images.shape[:1], images.dtype, low, high), images)
        for k, low, high in zip(keys, (-0.5, 0.0, 0.5), (0.5, 2.0, 1.5), strict=True)
    )
    x = images + brightness
    grey = jnp.mean(x, axis=-1, keepdims=True)
    x = grey + saturation * (x - grey)
    mean = jnp.mean(x, axis=tuple(range(1, x.ndim)), keepdims=True)
    return mean + contrast * (x - mean)


def flips(key: PRNGKey, images: Images) -> Images:
    """Returns images of which half are mirrored along each spatial axis, drawn for each image and axis.

    Args:
      key: key of the draws.
      images: (b, *spatial, c).

    Returns:
      (b, *spatial, c).
    """
    for axis, key_axis in enumerate(jax.random.split(key, images.ndim - 2), 1):
        mirrored = jax.random.bernoulli(key_axis, 0.5, images.shape[:1])
        images = jnp.where(per_image(mirrored, images), jnp.flip(images, axis), images)
    return images


AUGMENTATIONS = {"translation": translation, "cutout": cutout, "color": color, "flips": flips}


def augment(key: PRNGKey, images: Images, names: tuple[str, ...]) -> Images:
    """Returns the images after the named augmentations, in this order, each with its own key.

    Args:
      key: key of all draws.
      images: (b, *spatial, c) in [-1, 1].
      names: members of `AUGMENTATIONS`.

    Returns:
      (b, *spatial, c).
    """
    for i, name in enumerate(names):
        images = AUGMENTATIONS[name](jax.random.fold_in(key, i), images)
    return images


def augment_each(keys: PRNGKeys, images: Images, names: tuple[str, ...]) -> Images:
    """Returns the same with a key for each image (b,): its augmentation does not depend on the rest of the batch."""
    return jax.vmap(lambda key, image: augment(key, image[None], names)[0])(keys, images)
