"""The table of damages: functions from a key, images and a level for each image to damaged images and masks."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxgen.degradations import blur, marks, masks, noise, resampling
from jaxgen.degradations.camera import camera
from jaxgen.degradations.jpeg import jpeg, shifted_jpeg
from jaxgen.types import Grid, Images, Levels, Masks, Observation, PRNGKey, per_image

KERNEL_SIZE = 31
"""Width of the blur kernels in pixels; enough for all highest levels, and for a Gaussian to three deviations."""


class Kind(NamedTuple):
    """One kind of damage; level 0 is exactly the identity."""

    apply: Callable[[PRNGKey, Images, Levels], Observation]
    """apply(key, images, levels) damages images (b, *spatial, c) in [-1, 1]; masks are 0 where it removes a pixel."""
    highest: float
    """The highest level that makes sense."""
    unit: str
    """The meaning of the level."""
    ranks: tuple[int, ...] = (2, 3)
    """Accepted numbers of spatial axes: 2 for images, 3 for volumes."""
    repair: str = ""
    """The one of `jaxgen.repairs.REPAIRS` that undoes it; "" for damage that a network undoes without being told."""
    missing: bool = False
    """Whether it removes pixels."""


def unmasked(images: Images) -> Observation:
    """Returns an observation of images whose pixels are all known."""
    return Observation(images, jnp.ones((*images.shape[:-1], 1), jnp.float32))


def _without_mask(fn: Callable[[PRNGKey, Images, Levels], Images]) -> Callable[[PRNGKey, Images, Levels], Observation]:
    """Returns a damage whose pixels all count as known; at level 0 an image stays bitwise identical."""

    def apply(key: PRNGKey, images: Images, level: Levels) -> Observation:
        return unmasked(jnp.where(per_image(level, images) > 0.0, fn(key, images, level), images))

    return apply


def _missing(
    mask_fn: Callable[[PRNGKey, Grid, Levels], Masks],
) -> Callable[[PRNGKey, Images, Levels], Observation]:
    """Returns a damage that removes the pixels where the mask is 0."""

    def apply(key: PRNGKey, images: Images, level: Levels) -> Observation:
        mask = mask_fn(key, images.shape[:-1], level)
        return Observation(masks.apply_mask(images, mask), mask)

    return apply


def _gaussian_blur(key: PRNGKey, images: Images, level: Levels) -> Images:
    """Blurs with standard deviation `level` along a random axis, and 1/4 to 1 of it, at random, across the axis."""
    key_angle, key_ratio = jax.random.split(key)
    narrow = level * jax.random.uniform(key_ratio, level.shape, jnp.float32, minval=0.25, maxval=1.0)
    if images.ndim != 4:
        axis = jax.random.normal(key_angle, (len(images), images.ndim - 2), jnp.float32)
        axis = axis / jnp.linalg.norm(axis, axis=1, keepdims=True)
        return blur.blur(images, blur.gaussian_kernels_along(level, narrow, axis, KERNEL_SIZE))
    return blur.blur(images, blur.gaussian_kernels(level, narrow, _angles(key_angle, level), KERNEL_SIZE))


def _motion_blur(key: PRNGKey, images: Images, level: Levels) -> Images:
    """Blurs as by a motion of length `level` in a random direction."""
    return blur.blur(images, blur.motion_kernels(level, _angles(key, level), KERNEL_SIZE))


def _angles(key: PRNGKey, level: Levels) -> Levels:
    return jax.random.uniform(key, level.shape, jnp.float32, maxval=jnp.pi)


def _rounded(_: PRNGKey, images: Images, step: Levels) -> Images:
    """Rounds to multiples of `step` / 255 between black and white; derivatives are those of the identity."""
    step = per_image(jnp.maximum(step, 1e-3), images) / 127.5
    rounded = jnp.minimum(jnp.round((jnp.clip(images, -1.0, 1.0) + 1.0) / step) * step - 1.0, 1.0)
    return images + lax.stop_gradient(rounded - images)


def _jpeg_quality(level: Levels) -> Levels:
    return 100.0 - 100.0 * level


PHOTONS = "1 / photons of a white pixel"
KINDS: dict[str, Kind] = {
    "gaussian": Kind(_without_mask(noise.gaussian_noise), 1.0, "standard deviation", repair="noise"),
    "rician": Kind(_without_mask(noise.rician_noise), 1.0, "standard deviation", repair="noise"),
    "correlated": Kind(_without_mask(noise.correlated_gaussian_noise), 1.0, "standard deviation", repair="noise"),
    "grain": Kind(_without_mask(noise.grain), 1.0, "standard deviation", repair="noise"),
    "poisson": Kind(_without_mask(noise.poisson_noise), 1.0, PHOTONS, repair="noise"),
    "camera": Kind(_without_mask(camera), 1.0, PHOTONS, (2,), "noise"),
    "speckle": Kind(_without_mask(noise.speckle_noise), 1.0, "relative standard deviation", repair="noise"),
    "salt_and_pepper": Kind(_without_mask(noise.salt_and_pepper), 1.0, "share of the pixels", repair="salt_and_pepper"),
    "random_impulse": Kind(_without_mask(noise.random_impulse), 1.0, "share of the pixels", repair="noise"),
    "gaussian_blur": Kind(_without_mask(_gaussian_blur), 5.0, "standard deviation in pixels", repair="blur"),
    "motion_blur": Kind(_without_mask(_motion_blur), 30.0, "length in pixels", (2,), "blur"),
    "defocus_blur": Kind(
        _without_mask(lambda _, images, level: blur.blur(images, blur.defocus_kernels(level, KERNEL_SIZE))),
        15.0,
        "radius in pixels",
        (2,),
        "blur",
    ),
    "jpeg": Kind(
        _without_mask(lambda _, images, level: jpeg(images, _jpeg_quality(level))),
        1.0,
        "1 - quality / 100",
        (2,),
        "jpeg",
    ),
    "shifted_jpeg": Kind(
        _without_mask(lambda key, images, level: shifted_jpeg(key, images, _jpeg_quality(level))),
        1.0,
        "1 - quality / 100",
        (2,),
        "jpeg",
    ),
    "rounding": Kind(_without_mask(_rounded), 64.0, "distance between values, in 1/255"),
    "grey": Kind(_without_mask(lambda _, images, level: resampling.grey(images, level)), 1.0, "share of the colour"),
    "scratches": Kind(_without_mask(masks.scratches), 0.2, "share of the image", (2,), "scratches"),
    "film_lines": Kind(_without_mask(marks.film_lines), 0.2, "share of the image", (2,), "scratches"),
    "dust": Kind(_without_mask(marks.dust), 0.2, "share of the image", (2,), "dust"),
    "downsample": Kind(
        _without_mask(lambda _, images, level: resampling.lower_resolution(images, 1.0 / (1.0 - level))),
        0.875,
        "1 - 1 / factor",
    ),
    "thick_slices": Kind(
        _without_mask(lambda key, images, level: resampling.thick_slices(key, images, 1.0 / (1.0 - level))),
        0.875,
        "1 - 1 / thickness in voxels",
        (3,),
    ),
    "missing_slices": Kind(_missing(masks.missing_slices), 1.0, "share of the slices", (3,), missing=True),
    "pixels": Kind(_missing(masks.random_pixels), 1.0, "share of the pixels", missing=True),
    "boxes": Kind(_missing(masks.random_boxes), 1.0, "share of the image", missing=True),
    "strokes": Kind(_missing(masks.brush_strokes), 1.0, "share of the image", (2,), missing=True),
    "centre_hole": Kind(
        _missing(lambda _, shape, level: masks.centre_hole(shape, level)), 256.0, "width in pixels", missing=True
    ),
    "hole": Kind(_missing(masks.random_hole), 256.0, "width in pixels", missing=True),
}
"""The kinds by name. `downsample` reduces the size by 1 / (1 - level): 0.5 halves it, and 0 is the identity; so does
`thick_slices` along one axis, which it draws, as `missing_slices` does."""
