"""Blur: Gaussian, motion and defocus kernels, one an image, and the convolution with them."""

import jax.numpy as jnp
from jaxtyping import Array, Float
from scipy.fft import next_fast_len

from jaxgen.types import Images

SMALLEST_SIGMA = 1e-3
"""In pixels: at this width a Gaussian is already zero, in float32, one pixel away from its centre."""

ROUNDING = 1e-6


def gaussian_kernels(
    sigma_x: Float[Array, "b"], sigma_y: Float[Array, "b"], angle: Float[Array, "b"], size: int
) -> Float[Array, "b k k"]:
    """Gaussians sampled at pixel centres, exp(-u^2 / (2 sigma_x^2) - v^2 / (2 sigma_y^2)), sum 1.

    Args:
      sigma_x: (b,) standard deviation in pixels along u, 0 or more; with both 0 the kernel is exactly a delta.
      sigma_y: (b,) the same along v.
      angle: (b,) in radians from the x axis (columns, to the right) to u, towards y (rows, down).
      size: k, odd.

    Returns:
      (b, k, k).
    """
    u, v = _rotated_grid(angle, size)
    u = u / jnp.maximum(sigma_x, SMALLEST_SIGMA)[:, None, None]
    v = v / jnp.maximum(sigma_y, SMALLEST_SIGMA)[:, None, None]
    return _normalised(jnp.exp(-0.5 * (u * u + v * v)))


def motion_kernels(length: Float[Array, "b"], angle: Float[Array, "b"], size: int) -> Float[Array, "b k k"]:
    """Line segments of a uniform motion: clip(1 - distance to the segment, 0, 1), sum 1.

    Args:
      length: (b,) in pixels, 0 to size - 1; 0 is exactly a delta. A level line covers length + 1 pixels.
      angle: (b,) in radians from the x axis (columns, to the right) towards y (rows, down).
      size: k, odd.

    Returns:
      (b, k, k).
    """
    u, v = _rotated_grid(angle, size)
    beyond = jnp.maximum(jnp.abs(u) - length[:, None, None] / 2.0, 0.0)
    squared = beyond * beyond + v * v
    distance = jnp.sqrt(jnp.where(squared > 0.0, squared, 1e-12))  # a root that has a derivative everywhere
    # less a little, so that a neighbour at distance 1 gets nothing from the rounding of its turned coordinates
    return _normalised(jnp.clip(1.0 - ROUNDING - distance, 0.0, 1.0))


def defocus_kernels(radius: Float[Array, "b"], size: int) -> Float[Array, "b k k"]:
    """Disks with a soft edge of one pixel: clip(radius + 1/2 - distance to the centre, 0, 1), sum 1.

    Args:
      radius: (b,) in pixels, 0 to size / 2; up to 1/2 it is exactly a delta.
      size: k, odd.

    Returns:
      (b, k, k).
    """
    u, v = _rotated_grid(jnp.zeros_like(radius), size)
    distance = jnp.sqrt(u * u + v * v)
    return _normalised(jnp.clip(radius[:, None, None] + 0.5 - distance, 0.0, 1.0))


def _rotated_grid(angle: Float[Array, "b"], size: int) -> tuple[Float[Array, "b k k"], Float[Array, "b k k"]]:
    """Coordinates of a kernel's pixels about its centre, in axes turned by `angle`."""
    line = jnp.arange(size, dtype=jnp.float32) - (size - 1) / 2.0
    x, y = line[None, None, :], line[None, :, None]
    cos, sin = jnp.cos(angle)[:, None, None], jnp.sin(angle)[:, None, None]
    return cos * x + sin * y, cos * y - sin * x


def _normalised(kernels: Float[Array, "b k k"]) -> Float[Array, "b k k"]:
    return kernels / jnp.sum(kernels, axis=(1, 2), keepdims=True)


def blur(images: Images, kernels: Float[Array, "b k k"]) -> Images:
    """Convolves each image with its kernel (a true convolution: the kernel is mirrored), all channels alike.

    Beyond its edges an image is mirrored, the edge pixel repeated (d c b a | a b c d | d c b a). By Fourier transforms,
    since a depthwise convolution is some 70 times slower on a CPU; exact to about 1e-6, also for a delta. XLA does not
    partition these transforms: of a batch spread over devices each device transforms all.

    Args:
      images: (b, h, w, c).
      kernels: (b, k, k), k odd.

    Returns:
      (b, h, w, c).
    """
    _, h, w, _ = images.shape
    border = kernels.shape[1] - 1
    half = border // 2
    size = (next_fast_len(h + border, True), next_fast_len(w + border, True))
    padded = jnp.pad(images, ((0, 0), (half, half), (half, half), (0, 0)), mode="symmetric").transpose(0, 3, 1, 2)
    spectrum = jnp.fft.rfft2(padded, size) * jnp.fft.rfft2(kernels, size)[:, None]
    return jnp.fft.irfft2(spectrum, size)[:, :, border : border + h, border : border + w].transpose(0, 2, 3, 1)
