"""Low-resolution photographs for the training of super-resolution, damaged twice in a row, as real ones are."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxgen.degradations.blur import blur
from jaxgen.degradations.jpeg import jpeg, shifted_jpeg
from jaxgen.degradations.kernels import no_blur, random_kernels, random_supports, sinc_kernels
from jaxgen.degradations.resampling import luma
from jaxgen.degradations.resizing import CUBIC, resize, resize_matrices
from jaxgen.errors import require
from jaxgen.images import require_rank
from jaxgen.types import Images, Levels, PRNGKey, per_image


class Ranges(NamedTuple):
    """Where the draws of one order lie: numbers, or an array (b,) of them for each image."""

    sigma: Any
    """Smallest and largest standard deviation of the blur in pixels."""
    cutoff: Any
    """Lowest cut-off of low-pass kernels in radians for each pixel."""
    blurred: Any
    """Probability of a blur."""
    factor: Any
    """Smallest and largest factor of the change of size."""
    resized: Any
    """Probabilities of a larger and of a smaller size; otherwise it is kept."""
    gaussian: Any
    """Range of the standard deviation of Gaussian noise, of 255."""
    poisson: Any
    """Range of the scale of Poisson noise, whose variance is scale^2 u / 256 for intensities u in [0, 1]."""
    quality: Any
    """Range of the quality of JPEG."""
    ringing: Any
    """Probability of a low-pass filter in the end (only in the second order)."""


FIRST = Ranges((0.2, 3.0), np.pi / 5, 1.0, (0.15, 1.5), (0.2, 0.7), (1.0, 30.0), (0.05, 3.0), (30.0, 95.0), 0.0)
"""The first order of Real-ESRGAN."""
SECOND = Ranges((0.2, 1.5), np.pi / 5, 0.8, (0.3, 1.2), (0.3, 0.4), (1.0, 25.0), (0.05, 2.5), (30.0, 95.0), 0.8)
"""The second order of Real-ESRGAN."""
LIGHT = Ranges((0.2, 1.2), np.pi / 2, 0.8, (0.6, 1.2), (0.3, 0.4), (0.0, 8.0), (0.0, 0.8), (60.0, 95.0), 0.0)
"""The one order, first or second, of a light version, whose damage is that of ordinary photographs."""
LIGHT_SHARE = 0.5
"""Probability of a light version, among images that are not plain."""
LIGHT_SECOND = 0.75
"""Probability that the one order of a light version is the second, whose noise and JPEG are not reduced any more."""
PLAIN_SHARE = 1 / 8
"""Probability of an image that is reduced by bicubic interpolation, and not damaged at all."""
GAUSSIAN_SHARE = 0.5
"""Probability of Gaussian noise; otherwise it is that of Poisson."""
GREY_SHARE = 0.4
"""Probability of one noise for all channels."""
ALIASED_SHARE = 0.5
"""Probability, without a light version, that bilinear and bicubic reductions do nothing against aliasing."""
RINGING_CUTOFF = np.pi / 3
"""Lowest cut-off of the low-pass filter in the end."""
NO_JPEG = 101.0
"""A quality that stands for no compression."""


class Order(NamedTuple):
    """The draws of one order, for each image."""

    kernels: Float[Array, "b k k"]
    factor: Levels
    method: Int[Array, "b"]
    smooth: Bool[Array, "b"]
    gaussian: Levels
    """Standard deviation of the noise, for intensities in [0, 1]."""
    poisson: Levels
    """Variance of the noise of a white pixel."""
    grey: Bool[Array, "b"]
    quality: Levels


class Draws(NamedTuple):
    """All that is drawn for each image but the noise itself and the places of JPEG's blocks."""

    first: Order
    second: Order
    ringing: Float[Array, "b k k"]
    """Kernels of the low-pass filter at the final size."""
    method: Int[Array, "b"]
    """Method of the change to the final size."""
    jpeg_last: Bool[Array, "b"]
    """Whether JPEG comes after the change to the final size and the filter, or before both."""


def second_order(key: PRNGKey, images: Images, scale: int, margin: int) -> Float[Array, "b *p c"]:
    """Returns low-resolution images degraded as Real-ESRGAN and BSRGAN do it, or less, or not at all.

    An image is blurred, changes its size, and gets noise and JPEG, all of it twice. Half of the images get a light
    version: one order with narrower ranges, see `LIGHT`. One in eight is only reduced by bicubic interpolation.
    The pixels stay where they are: the centre of a low-resolution pixel i is at scale (i + 1/2) - 1/2.

    An image is never stored larger than the clean one, so in the first order a larger size means the same size.

    Args:
      key: random key.
      images: (b, h, w, c) in [-1, 1], c 3 or 1.
      scale: 1 or more; the sizes are multiples of it.
      margin: low-resolution pixels cut off at each edge, near which the damage differs.

    Returns:
      (b, h / scale - 2 margin, w / scale - 2 margin, c) of 8-bit values in [-1, 1].

    Raises:
      InputError: volumes, sizes that are not multiples of `scale`, or a margin that leaves no pixel.

    References:
      Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", 2021; Zhang et
      al., "Designing a Practical Degradation Model for Deep Blind Image Super-Resolution", 2021.
    """
    key_draws, key_apply = jax.random.split(key)
    return degrade_by(key_apply, images, draw(key_draws, len(images)), scale, margin)


def draw(key: PRNGKey, num: int) -> Draws:
    """Draws how each of `num` images is damaged."""
    key_version, key_first, key_second, key_ringing, key_last = jax.random.split(key, 5)
    plain, light, second = jax.random.uniform(key_version, (3, num), jnp.float32)
    plain, light, second = plain < PLAIN_SHARE, light < LIGHT_SHARE, second < LIGHT_SECOND
    key_method, key_jpeg = jax.random.split(key_last)
    ranges = _chosen(light, LIGHT, SECOND)
    on = ~plain & (~light | second)
    method = jax.random.randint(key_method, (num,), 0, 3, jnp.int32)
    return Draws(
        _where(~plain & ~(light & second), _draw_order(key_first, _chosen(light, LIGHT, FIRST), light), no_order(num)),
        _where(on, _draw_order(key_second, ranges, light), no_order(num)),
        _where(on, _draw_ringing(key_ringing, ranges.ringing), no_blur(num)),
        jnp.where(plain | light, CUBIC, method),
        jax.random.bernoulli(key_jpeg, 0.5, (num,)),
    )


def _chosen(light: Bool[Array, "b"], yes: Ranges, no: Ranges) -> Ranges:
    """Returns ranges for each image."""
    return jax.tree.map(lambda a, b: jnp.where(light, jnp.float32(a), jnp.float32(b)), yes, no)


def _where(condition: Bool[Array, "b"], yes: Any, no: Any) -> Any:
    """Returns the leaves of one of two trees for each image."""
    return jax.tree.map(lambda a, b: jnp.where(per_image(condition, a), a, b), yes, no)


def no_order(num: int) -> Order:
    """Returns an order that does nothing."""
    zeros, yes = jnp.zeros(num, jnp.float32), jnp.ones(num, bool)
    return Order(no_blur(num), zeros + 1.0, jnp.full(num, CUBIC, jnp.int32), yes, zeros, zeros, yes, zeros + NO_JPEG)


def _draw_order(key: PRNGKey, ranges: Ranges, light: Bool[Array, "b"]) -> Order:
    """Draws one order for each image; a light version has no aliasing."""
    num = len(light)
    key_kernels, key_method, key_shares = jax.random.split(key, 3)
    shares = jax.random.uniform(key_shares, (8, num), jnp.float32)
    blurred, direction, factor, aliased, gaussian, strength, grey, quality = shares
    up, down = ranges.resized
    larger = _between((jnp.ones(num, jnp.float32), ranges.factor[1]), factor)
    smaller = _between((ranges.factor[0], jnp.ones(num, jnp.float32)), factor)
    kernels = random_kernels(key_kernels, *ranges.sigma, ranges.cutoff)
    shot = jnp.square(_between(ranges.poisson, strength)) / 256.0
    return Order(
        _where(blurred < ranges.blurred, kernels, no_blur(num)),
        jnp.where(direction < up, larger, jnp.where(direction < up + down, smaller, 1.0)),
        jax.random.randint(key_method, (num,), 0, 3, jnp.int32),
        light | (aliased >= ALIASED_SHARE),
        jnp.where(gaussian < GAUSSIAN_SHARE, _between(ranges.gaussian, strength) / 255.0, 0.0),
        jnp.where(gaussian < GAUSSIAN_SHARE, 0.0, shot),
        grey < GREY_SHARE,
        _between(ranges.quality, quality),
    )


def _between(bounds: tuple[Levels, Levels], share: Levels) -> Levels:
    return bounds[0] + (bounds[1] - bounds[0]) * share


def _draw_ringing(key: PRNGKey, probability: Levels) -> Float[Array, "b k k"]:
    """Draws the low-pass filters of the end, some of which do nothing."""
    num = len(probability)
    key_shares, key_support = jax.random.split(key)
    used, rate = jax.random.uniform(key_shares, (2, num), jnp.float32)
    kernels = sinc_kernels(RINGING_CUTOFF + (np.pi - RINGING_CUTOFF) * rate, random_supports(key_support, num))
    return _where(used < probability, kernels, no_blur(num))


def degrade_by(key: PRNGKey, images: Images, draws: Draws, scale: int, margin: int) -> Float[Array, "b *p c"]:
    """Damages images as `draws` says; see `second_order` for the other arguments, the result and errors."""
    require_rank("images", images, (2,))
    size = images.shape[1:3]
    low = tuple(n // scale for n in size)
    require(all(n % scale == 0 for n in size), "images", f"of {size[0]} x {size[1]} pixels", f"multiples of {scale}")
    require(0 <= 2 * margin < min(low), "margin", margin, f"0 to {(min(low) - 1) // 2}, for {low[0]} x {low[1]} pixels")
    key_first, key_second, key_before, key_after = jax.random.split(key, 4)
    sizes = tuple(jnp.full(len(images), n, jnp.float32) for n in size)
    x, sizes = _blur_resize_noise(key_first, images, draws.first, sizes, size, size)
    x = _where(draws.first.quality <= 100.0, jpeg(x, draws.first.quality), x)
    canvas = tuple(int(np.ceil(n * SECOND.factor[1])) for n in low)
    x, sizes = _blur_resize_noise(key_second, x, draws.second, sizes, low, canvas)
    quality = draws.second.quality
    x = _where((quality <= 100.0) & ~draws.jpeg_last, shifted_jpeg(key_before, x, quality), x)
    final = tuple(jnp.full(len(images), n, jnp.float32) for n in low)
    x = blur(_resized(x, sizes, final, low, draws.method, draws.second.smooth), draws.ringing)
    x = _where((quality <= 100.0) & draws.jpeg_last, shifted_jpeg(key_after, x, quality), x)
    x = x[:, margin : low[0] - margin, margin : low[1] - margin]
    return jnp.round(jnp.clip(x, -1.0, 1.0) * 127.5 + 127.5) / 127.5 - 1.0


def _blur_resize_noise(
    key: PRNGKey, images: Images, order: Order, old: tuple[Levels, ...], base: tuple[int, ...], canvas: tuple[int, ...]
) -> tuple[Array, tuple[Levels, ...]]:
    """Returns images in `canvas`, of about the factor times the sizes `base`, and their sizes."""
    new = tuple(jnp.clip(jnp.round(n * order.factor), 1.0, m) for n, m in zip(base, canvas, strict=True))
    x = _resized(blur(images, order.kernels), old, new, canvas, order.method, order.smooth)
    return _noisy(key, x, order), new


def _resized(
    images: Images,
    old: tuple[Levels, ...],
    new: tuple[Levels, ...],
    canvas: tuple[int, ...],
    method: Int[Array, "b"],
    smooth: Bool[Array, "b"],
) -> Float[Array, "b *p c"]:
    axes = zip(old, new, images.shape[1:3], canvas, strict=True)
    return resize(images, *(resize_matrices(a, b, (m, n), method, smooth) for a, b, m, n in axes))


def _noisy(key: PRNGKey, images: Images, order: Order) -> Images:
    """Adds noise and clips; that of Poisson is a normal number of its variance, drawn faster than counts are."""
    grey = per_image(order.grey, images)
    noise = jax.random.normal(key, images.shape, images.dtype)
    light = images if images.shape[-1] == 1 else jnp.where(grey, luma(images), images)
    intensity = jnp.maximum((light + 1.0) / 2.0, 0.0)
    sigma = jnp.sqrt(jnp.square(per_image(order.gaussian, images)) + per_image(order.poisson, images) * intensity)
    return jnp.clip(images + 2.0 * sigma * jnp.where(grey, noise[..., :1], noise), -1.0, 1.0)
