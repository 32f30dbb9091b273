"""JPEG compression and decompression as a differentiable function."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxgen.degradations.resampling import LUMA
from jaxgen.errors import require
from jaxgen.images import require_rank
from jaxgen.types import Images, Levels, PRNGKey

LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Quantisation steps of the luma at quality 50, by vertical and horizontal frequency."""
CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
"""Quantisation steps of the chroma, the two colour differences, at quality 50."""
RED, GREEN, BLUE = LUMA


def jpeg(images: Images, quality: Levels) -> Images:
    """Returns images as if libjpeg had saved them as JPEG at its default settings and read them again.

    Values are rounded to 8 bits. Three channels are converted to YCbCr, and the chroma is averaged over 2 x 2 pixels;
    one channel is luma alone. The cosine transform of 8 x 8 blocks is rounded to multiples of the quantisation steps
    and inverted, and the chroma is interpolated back with the weights 3/4 and 1/4. Sizes that are not multiples of a
    block are padded with the edge.

    Derivatives treat all rounding as the identity, so that the values are exactly those of JPEG, which a smooth
    approximation of rounding would change. There is no derivative with respect to the quality.

    Args:
      images: (b, h, w, c) in [-1, 1], c 1 or 3; clipped to it.
      quality: (b,) in [1, 100], clipped to it and rounded to whole numbers, as libjpeg takes them.

    Returns:
      (b, h, w, c) of 8-bit values in [-1, 1].

    Raises:
      InputError: another number of channels, or volumes.

    References:
      ITU-T T.81, "Digital Compression and Coding of Continuous-Tone Still Images", 1992, A.3.3 and tables K.1 and K.2;
      the tables are scaled as by the Independent JPEG Group. Bengio et al., "Estimating or Propagating Gradients
      Through Stochastic Neurons", 2013 (derivatives past the rounding).
    """
    require_rank("images", images, (2,))
    _, h, w, c = images.shape
    require(c in (1, 3), "channels", c, "1 or 3")
    edge = 8 if c == 1 else 16
    levels = _eight_bits(images * 127.5 + 127.5)
    levels = jnp.pad(levels, ((0, 0), (0, -h % edge), (0, -w % edge), (0, 0)), mode="edge")
    scale = _scale(quality)
    if c == 1:
        result = _quantised(levels[..., 0], LUMA_TABLE, scale)[..., None]
    else:
        result = _colour(levels, scale)
    return (result[:, :h, :w] - 127.5) / 127.5


def shifted_jpeg(key: PRNGKey, images: Images, quality: Levels) -> Images:
    """Returns the same as `jpeg` on blocks that begin at a random pixel of each image, as those of a cropped JPEG do.

    Args:
      key: random key of the places.
      images: see `jpeg`.
      quality: see `jpeg`.
    """
    _, h, w, _ = images.shape
    room = 15  # blocks of the chroma are 16 pixels wide
    shift = jax.random.randint(key, (len(images), 2), 0, room + 1, jnp.int32)
    wide = jnp.pad(images, ((0, 0), (room, room), (room, room), (0, 0)), mode="edge")

    def cut(image: Array, at: Array, height: int, width: int) -> Array:
        return lax.dynamic_slice(image, (at[0], at[1], 0), (height, width, image.shape[-1]))

    moved = jax.vmap(lambda image, at: cut(image, room - at, h + room, w + room))(wide, shift)
    return jax.vmap(lambda image, at: cut(image, at, h, w))(jpeg(moved, quality), shift)


def _eight_bits(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Returns x clipped and rounded to whole numbers from 0 to 255."""
    return _rounded(jnp.clip(x, 0.0, 255.0))


def _rounded(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Returns the nearest whole numbers, with the derivative of the identity."""
    return x + lax.stop_gradient(jnp.round(x) - x)


def _scale(quality: Float[Array, "b"]) -> Float[Array, "b"]:
    """Returns the percentage by which the tables are multiplied, as libjpeg computes it from a whole quality."""
    quality = jnp.round(jnp.clip(quality, 1.0, 100.0))
    # the share that is added is above the error of a quotient in float32 (4 becomes 3.9999998 when it is computed as a
    # product with the reciprocal) and below 1 / 49, the distance of any other quotient to the next whole number
    return jnp.floor(jnp.where(quality < 50.0, 5000.0 / quality + 0.005, 200.0 - 2.0 * quality))


def _colour(levels: Float[Array, "b h w 3"], scale: Float[Array, "b"]) -> Float[Array, "b h w 3"]:
    """Compresses and decompresses colour images in [0, 255] whose sizes are multiples of 16."""
    red, green, blue = levels[..., 0], levels[..., 1], levels[..., 2]
    y = RED * red + GREEN * green + BLUE * blue
    by, ry = (128.0 + (colour - y) / (2.0 - 2.0 * weight) for colour, weight in ((blue, BLUE), (red, RED)))
    y = _quantised(_eight_bits(y), LUMA_TABLE, scale)
    by, ry = (_quantised(_halved(_eight_bits(x)), CHROMA_TABLE, scale) for x in (by, ry))
    red, blue = (y + (2.0 - 2.0 * weight) * (_enlarged(x) - 128.0) for x, weight in ((ry, RED), (by, BLUE)))
    green = (y - RED * red - BLUE * blue) / GREEN
    return _eight_bits(jnp.stack([red, green, blue], axis=3))


def _halved(x: Float[Array, "b h w"]) -> Array:
    """Returns rounded means of 2 x 2 pixels; as in libjpeg, a half is rounded down and up alternately along a row."""
    b, h, w = x.shape
    means = jnp.mean(x.reshape(b, h // 2, 2, w // 2, 2), axis=(2, 4))
    down = jnp.arange(w // 2) % 2 == 0
    return _rounded(means + jnp.where(down, -0.1, 0.1)[None, None])


def _enlarged(x: Float[Array, "b h w"]) -> Array:
    """Doubles the size by linear interpolation between pixel centres, edges repeated."""
    for axis in (1, 2):
        size = x.shape[axis]
        before = jnp.concatenate([_cut(x, 0, 1, axis), _cut(x, 0, size - 1, axis)], axis)
        after = jnp.concatenate([_cut(x, 1, size, axis), _cut(x, size - 1, size, axis)], axis)
        both = jnp.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1)
        x = both.reshape(*x.shape[:axis], 2 * size, *x.shape[axis + 1 :])
    return x


def _cut(x: Array, start: int, stop: int, axis: int) -> Array:
    return lax.slice_in_dim(x, start, stop, axis=axis)


def _quantised(
    x: Float[Array, "b h w"], table: tuple[tuple[int, ...], ...], scale: Float[Array, "b"]
) -> Float[Array, "b h w"]:
    """Rounds the cosine transform of an 8-bit plane to multiples of the scaled table; returns the plane."""
    b, h, w = x.shape
    steps = jnp.floor((jnp.array(table, jnp.float32)[None] * scale[:, None, None] + 50.0) / 100.0)
    steps = jnp.clip(steps, 1.0, 255.0)[:, None, :, None, :]
    transform = jnp.asarray(_cosines())
    blocks = _both_axes((x - 128.0).reshape(b, h // 8, 8, w // 8, 8), transform)
    blocks = _rounded(blocks / steps) * steps
    return _eight_bits(_both_axes(blocks, transform.T).reshape(b, h, w) + 128.0)


def _both_axes(blocks: Float[Array, "b m 8 n 8"], matrix: Float[Array, "8 8"]) -> Float[Array, "b m 8 n 8"]:
    return jnp.einsum("ui,vj,bminj->bmunv", matrix, matrix, blocks, precision=lax.Precision.HIGHEST)


def _cosines() -> Float[np.ndarray, "8 8"]:
    """Returns the matrix of the orthonormal cosine transform, frequency by position."""
    position, frequency = np.arange(8)[None], np.arange(8)[:, None]
    matrix = np.cos((2 * position + 1) * frequency * np.pi / 16) / 2
    matrix[0] /= np.sqrt(2)
    return matrix.astype(np.float32)
