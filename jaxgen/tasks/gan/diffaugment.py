"""DiffAugment: augmentations of what the discriminator sees, real and fake alike, twice differentiable.

Each takes (key, images in [-1, 1]) and draws its own values per image. Translation and cutout move or blank pixels;
both are linear in the image, colour is affine, so gradient penalties pass through all three.
References: Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", 2020, section 4 and its
published ranges.
"""

import jax
import jax.numpy as jnp

from jaxgen.types import Images, PRNGKey, PRNGKeys


def translation(key: PRNGKey, images: Images) -> Images:
    """Moves each image by up to an eighth of its size in both directions; what comes in is zero (mid grey).

    Args:
      key: of the shifts.
      images: (b, h, w, c).

    Returns:
      (b, h, w, c).
    """
    b, h, w, _ = images.shape
    key_y, key_x = jax.random.split(key)
    shift_y = jax.random.randint(key_y, (b, 1), -(h // 8), h // 8 + 1)
    shift_x = jax.random.randint(key_x, (b, 1), -(w // 8), w // 8 + 1)
    rows, columns = jnp.arange(h)[None] - shift_y, jnp.arange(w)[None] - shift_x  # where each pixel comes from
    # one-hot matrices rather than a gather: their transposes are matrix products too, fast on every backend
    take_rows = jax.nn.one_hot(rows, h, dtype=images.dtype)  # b h h; a row from outside is all zeros
    take_columns = jax.nn.one_hot(columns, w, dtype=images.dtype)
    return jnp.einsum("byh,bhwc,bxw->byxc", take_rows, images, take_columns)


def cutout(key: PRNGKey, images: Images) -> Images:
    """Sets a square of half the image's size to zero (mid grey), its centre anywhere in the image.

    Args:
      key: of the centres.
      images: (b, h, w, c).

    Returns:
      (b, h, w, c).
    """
    b, h, w, _ = images.shape
    key_y, key_x = jax.random.split(key)
    centre_y = jax.random.randint(key_y, (b, 1), 0, h)
    centre_x = jax.random.randint(key_x, (b, 1), 0, w)
    inside_y = _within(jnp.arange(h)[None] - centre_y, h // 2)
    inside_x = _within(jnp.arange(w)[None] - centre_x, w // 2)
    hole = (inside_y[:, :, None] & inside_x[:, None, :])[..., None]
    return jnp.where(hole, jnp.zeros((), images.dtype), images)


def _within(offset: jax.Array, size: int) -> jax.Array:
    """Whether an offset from the centre lies in a window of `size` pixels."""
    return (offset >= -(size // 2)) & (offset < size - size // 2)


def color(key: PRNGKey, images: Images) -> Images:
    """Random brightness (+U[-0.5, 0.5]), saturation (times U[0, 2] about the grey) and contrast (times U[0.5, 1.5]).

    Args:
      key: of the three draws.
      images: (b, h, w, c).

    Returns:
      (b, h, w, c), not clipped.
    """
    keys = jax.random.split(key, 3)
    brightness, saturation, contrast = (
        jax.random.uniform(k, (images.shape[0], 1, 1, 1), images.dtype, low, high)
        for k, low, high in zip(keys, (-0.5, 0.0, 0.5), (0.5, 2.0, 1.5), strict=True)
    )
    x = images + brightness
    grey = jnp.mean(x, axis=3, keepdims=True)
    x = grey + saturation * (x - grey)
    mean = jnp.mean(x, axis=(1, 2, 3), keepdims=True)
    return mean + contrast * (x - mean)


AUGMENTATIONS = {"translation": translation, "cutout": cutout, "color": color}


def augment(key: PRNGKey, images: Images, names: tuple[str, ...]) -> Images:
    """Applies the named augmentations in turn, each with its own key.

    Args:
      key: of all draws.
      images: (b, h, w, c) in [-1, 1].
      names: members of `AUGMENTATIONS`.

    Returns:
      (b, h, w, c).
    """
    for i, name in enumerate(names):
        images = AUGMENTATIONS[name](jax.random.fold_in(key, i), images)
    return images


def augment_each(keys: PRNGKeys, images: Images, names: tuple[str, ...]) -> Images:
    """The same with a key for each image (b,), so that a part of a batch is augmented as it is within the whole."""
    return jax.vmap(lambda key, image: augment(key, image[None], names)[0])(keys, images)
