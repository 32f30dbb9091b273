"""Similarity of restored images to clean ones: peak signal-to-noise ratio and structural similarity."""

import numpy as np
from jaxtyping import Float, Float64, UInt8
from scipy.ndimage import gaussian_filter

from jaxgen.errors import InputError
from jaxgen.metrics.checks import require_images

WINDOW = 11
"""Pixels across the Gaussian window of the structural similarity; its standard deviation is 1.5."""

Restored = Float[np.ndarray, "n *s c"] | UInt8[np.ndarray, "n *s c"]
Clean = Float[np.ndarray, "m *t k"] | UInt8[np.ndarray, "m *t k"]


def psnr(restored: Restored, clean: Clean) -> Float64[np.ndarray, " n"]:
    """Returns the peak signal-to-noise ratio of each image in dB: 10 log10(peak^2 / mean((restored - clean)^2)).

    The dtype determines the range: the peak is 255 for uint8 and 1 for floats. The mean is over all pixels, borders
    included, and channels. Published values are of images rounded to 8 bits: pass uint8 to compare with them.

    Args:
      restored: [n, *spatial, c], uint8, or float in [0, 1]; two or three spatial axes, c 1 to 4.
      clean: of the same shape and kind.

    Returns:
      [n], infinite where the images are equal.

    Raises:
      InputError: other arrays, shapes that differ, or uint8 against floats.
    """
    a, b = _on_unit_range(restored, clean)
    with np.errstate(divide="ignore"):
        return -10.0 * np.log10(((a - b) ** 2).mean(axis=tuple(range(1, a.ndim))))


def ssim(restored: Restored, clean: Clean) -> Float64[np.ndarray, " n"]:
    """Returns the structural similarity of each image, the mean over all windows inside the image and over channels.

    (2 m_x m_y + C1) (2 s_xy + C2) / ((m_x^2 + m_y^2 + C1) (s_x^2 + s_y^2 + C2)) with means, variances and covariance
    weighted by a Gaussian of 11 x 11 (x 11) pixels, sigma 1.5; C1 = (0.01 peak)^2 and C2 = (0.03 peak)^2. It is the
    original form, with population variances and without downscaling. For range and dtypes see `psnr`.

    Args:
      restored: [n, *spatial, c], uint8, or float in [0, 1]; two or three spatial axes of 11 or more, c 1 to 4.
      clean: of the same shape and kind.

    Returns:
      [n], at most 1; equal images have 1.

    Raises:
      InputError: see `psnr`; or images smaller than the window.

    References:
      Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004, equation 13.
    """
    a, b = _on_unit_range(restored, clean)
    if min(a.shape[1:-1]) < WINDOW:
        axes = "h and w" if a.ndim == 4 else "d, h and w"
        raise InputError(f"restored: got images of shape {list(a.shape)}; accepted: {axes} {WINDOW} or more")
    return np.array([_similarity(x, y) for x, y in zip(a, b, strict=True)])


def _similarity(x: Float64[np.ndarray, "*s c"], y: Float64[np.ndarray, "*s c"]) -> float:
    """Returns the structural similarity of one image with values in [0, 1]."""
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    var_x, var_y = _window_mean(x * x) - mean_x**2, _window_mean(y * y) - mean_y**2
    covariance = _window_mean(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    value = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float((value / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean())


def _window_mean(x: Float64[np.ndarray, "*s c"]) -> Float64[np.ndarray, "*p c"]:
    """Returns the weighted mean in the window at each position where it fits."""
    radius, num = WINDOW // 2, x.ndim - 1
    return gaussian_filter(x, sigma=1.5, radius=radius, axes=tuple(range(num)))[(slice(radius, -radius),) * num]


def _on_unit_range(
    restored: Restored, clean: Clean
) -> tuple[Float64[np.ndarray, "n *s c"], Float64[np.ndarray, "n *s c"]]:
    """Returns both images in [0, 1]; raises `InputError` unless they can be compared."""
    for field, images in (("restored", restored), ("clean", clean)):
        require_images(images, field, volumes=True)
    integer = restored.dtype == np.uint8
    if restored.shape != clean.shape or integer != (clean.dtype == np.uint8):
        found = " and ".join(f"{images.dtype} of shape {list(images.shape)}" for images in (restored, clean))
        raise InputError(f"restored, clean: got {found}; accepted: equal shapes, both uint8 or both float")
    peak = 255.0 if integer else 1.0
    return restored.astype(np.float64) / peak, clean.astype(np.float64) / peak
