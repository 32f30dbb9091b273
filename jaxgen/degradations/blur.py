"""Blur: Gaussian, motion and defocus kernels, one for each image, and the convolution with them."""

import chex
import jax.numpy as jnp
from jax import lax
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Float
from scipy.fft import next_fast_len

from jaxgen.types import Images, per_image

SMALLEST_SIGMA = 1e-3
"""A width in pixels so small that the Gaussian is zero, in float32, one pixel away from its centre."""
ROUNDING = 1e-6
"""A bound of the rounding error of rotated coordinates."""


def gaussian_kernels(
    sigma_x: Float[Array, "b"], sigma_y: Float[Array, "b"], angle: Float[Array, "b"], size: int
) -> Float[Array, "b k k"]:
    """Returns Gaussians sampled at pixel centres, exp(-u^2 / (2 sigma_x^2) - v^2 / (2 sigma_y^2)), of sum 1.

    Args:
      sigma_x: (b,) standard deviation in pixels along u, 0 or more; with both 0 the kernel is exactly a delta.
      sigma_y: (b,) standard deviation in pixels along v, at right angles to u.
      angle: (b,) in radians from the x axis (columns, to the right) to u, towards y (rows, down).
      size: k, odd.

    Returns:
      (b, k, k).
    """
    u, v = rotated_grid(angle, size)
    u = u / jnp.maximum(sigma_x, SMALLEST_SIGMA)[:, None, None]
    v = v / jnp.maximum(sigma_y, SMALLEST_SIGMA)[:, None, None]
    return normalised(jnp.exp(-0.5 * (u * u + v * v)))


def gaussian_kernels_along(
    along: Float[Array, "b"], across: Float[Array, "b"], axis: Float[Array, "b n"], size: int
) -> Float[Array, "b *k"]:
    """Returns Gaussians of n dimensions with one width along an axis and another across it, of sum 1.

    Args:
      along: (b,) standard deviation in pixels along the axis, 0 or more.
      across: (b,) standard deviation in pixels in all directions at right angles to it.
      axis: (b, n) unit vectors, in the order of the spatial axes.
      size: k, odd.

    Returns:
      (b, k, ..., k), n times k.
    """
    n = axis.shape[1]
    line = jnp.arange(size, dtype=jnp.float32) - (size - 1) / 2.0
    places = jnp.stack(jnp.meshgrid(*(line,) * n, indexing="ij"))
    squares = jnp.sum(jnp.square(places), axis=0)[None]
    u = jnp.einsum("bn,n...->b...", axis, places, precision=lax.Precision.HIGHEST)
    along, across = (per_image(jnp.maximum(sigma, SMALLEST_SIGMA), u) for sigma in (along, across))
    v_squared = jnp.maximum(squares - u * u, 0.0)
    return normalised(jnp.exp(-0.5 * (jnp.square(u / along) + v_squared / jnp.square(across))))


def motion_kernels(length: Float[Array, "b"], angle: Float[Array, "b"], size: int) -> Float[Array, "b k k"]:
    """Returns the line segments of a uniform motion: clip(1 - distance to the segment, 0, 1), of sum 1.

    Args:
      length: (b,) in pixels, 0 to size - 1; 0 is exactly a delta. A horizontal line covers length + 1 pixels.
      angle: (b,) in radians from the x axis (columns, to the right) towards y (rows, down).
      size: k, odd.

    Returns:
      (b, k, k).
    """
    u, v = rotated_grid(angle, size)
    beyond = jnp.maximum(jnp.abs(u) - length[:, None, None] / 2.0, 0.0)
    squared = beyond * beyond + v * v
    distance = jnp.sqrt(jnp.where(squared > 0.0, squared, 1e-12))  # a root with a derivative everywhere
    # the bound makes neighbours at distance 1 exactly 0 in spite of rounding errors
    return normalised(jnp.clip(1.0 - ROUNDING - distance, 0.0, 1.0))


def defocus_kernels(radius: Float[Array, "b"], size: int) -> Float[Array, "b k k"]:
    """Returns disks with a soft edge of one pixel: clip(radius + 1/2 - distance to the centre, 0, 1), of sum 1.

    Args:
      radius: (b,) in pixels, 0 to size / 2; up to 1/2 it is exactly a delta.
      size: k, odd.

    Returns:
      (b, k, k).
    """
    u, v = rotated_grid(jnp.zeros_like(radius), size)
    distance = jnp.sqrt(u * u + v * v)
    return normalised(jnp.clip(radius[:, None, None] + 0.5 - distance, 0.0, 1.0))


def rotated_grid(angle: Float[Array, "b"], size: int) -> tuple[Float[Array, "b k k"], Float[Array, "b k k"]]:
    """Returns the coordinates of a kernel's pixels relative to its centre, in axes rotated by `angle`."""
    line = jnp.arange(size, dtype=jnp.float32) - (size - 1) / 2.0
    x, y = line[None, None, :], line[None, :, None]
    cos, sin = jnp.cos(angle)[:, None, None], jnp.sin(angle)[:, None, None]
    return cos * x + sin * y, cos * y - sin * x


def normalised(kernels: Float[Array, "b *k"]) -> Float[Array, "b *k"]:
    """Returns kernels divided by their sums."""
    return kernels / jnp.sum(kernels, axis=tuple(range(1, kernels.ndim)), keepdims=True)


def blur(images: Images, kernels: Float[Array, "b *k"]) -> Images:
    """Convolves all channels of each image with its kernel (a true convolution: the kernel is mirrored).

    Beyond its edges an image is mirrored, with the edge pixel repeated (d c b a | a b c d | d c b a). The convolution
    uses Fourier transforms, since a depthwise convolution is about 70 times slower on a CPU; its error is about 1e-6,
    also for a delta. XLA does not partition these transforms: if a batch is spread over devices, each device transforms
    the whole batch.

    Args:
      images: (b, *spatial, c).
      kernels: (b, k, k), k odd; for volumes (b, k, k, k).

    Returns:
      (b, *spatial, c).
    """
    chex.assert_rank(kernels, images.ndim - 1)
    sizes, border = images.shape[1:-1], kernels.shape[1] - 1
    half, axes = border // 2, tuple(range(-len(sizes), 0))
    full = tuple(next_fast_len(size + border, True) for size in sizes)
    padded = jnp.pad(images, ((0, 0), *((half, half),) * len(sizes), (0, 0)), mode="symmetric")
    planes = _in_order(jnp.moveaxis(padded, -1, 1))
    spectrum = jnp.fft.rfftn(planes, full, axes) * jnp.fft.rfftn(_in_order(kernels), full, axes)[:, None]
    inside = (slice(border, border + size) for size in sizes)
    return jnp.moveaxis(jnp.fft.irfftn(_in_order(spectrum), full, axes)[(slice(None), slice(None), *inside)], 1, -1)


def _in_order(x: Array) -> Array:
    """Returns x with its axes in order in memory; XLA may choose another order, which its FFT on a CPU refuses."""
    return with_layout_constraint(x, Layout(tuple(range(x.ndim))))
