"""Baselines against noise of a known level: classical methods without learning, of images and of volumes.

Each takes one image [h, w, c] or volume [d, h, w, c], floats around [0, 1], and returns one of the same type in [0, 1].
"""

import numpy as np
from jaxtyping import Float
from scipy import signal, stats
from skimage import restoration

from jaxgen.errors import require
from jaxgen.tasks.restoration.evaluation.baselines import Grid, require_image

PATCHES = {2: (5, 11), 3: (3, 5)}
"""Size of the patches of `nl_means`, and the distance within which they are searched, by the number of axes."""
SIGNALS = np.linspace(0.0, 12.0, 1201)
"""Signals over the deviation of the noise, up to where Rician noise shifts the mean by less than half a percent."""


def nl_means(image: Grid, sigma: float) -> Grid:
    """Removes Gaussian noise of a known level: each pixel becomes a mean of pixels with similar patches.

    Patches of images have 5 x 5 pixels and lie within 11 pixels; the cut-off is 0.6 sigma. These values were the best
    on photographs at noise of 15/255 to 50/255. Patches of volumes have 3 x 3 x 3 voxels and lie within 5 voxels.

    Args:
      image: [*s, c], around [0, 1].
      sigma: standard deviation of the noise, above 0, in the units of the image.

    Returns:
      [*s, c].

    Raises:
      InputError: the image is not like this, or the level is 0 or less.

    References:
      Buades, Coll, Morel, "A Non-Local Algorithm for Image Denoising", 2005. Coupe et al., "An Optimized Blockwise
      Nonlocal Means Denoising Filter for 3-D Magnetic Resonance Images", 2008, for the patches of volumes.
    """
    require_image(image, noisy=True)
    require(sigma > 0, "sigma", sigma, "above 0")
    size, distance = PATCHES[image.ndim - 1]
    # Without channel_axis the channels would be a further dimension to search in.
    denoised = restoration.denoise_nl_means(image, size, distance, 0.6 * sigma, sigma=sigma, channel_axis=-1)
    return denoised.clip(0, 1).astype(image.dtype).reshape(image.shape)  # scikit-image drops an axis of length 1


def adaptive_wiener(image: Grid, sigma: float, size: int = 3) -> Grid:
    """Removes Gaussian noise of a known level: m + max(v - sigma^2, 0) / max(v, sigma^2) (x - m).

    Args:
      image: [*s, c], around [0, 1].
      sigma: standard deviation of the noise, above 0, in the units of the image.
      size: odd width of the window around each pixel that has the mean m and the variance v.

    Returns:
      [*s, c].

    Raises:
      InputError: the image is not like this, or the level is 0 or less.

    References:
      Lee, "Digital Image Enhancement and Noise Filtering by Use of Local Statistics", 1980.
    """
    require_image(image, noisy=True)
    require(sigma > 0, "sigma", sigma, "above 0")
    filtered = signal.wiener(image.astype(np.float64), (*(size,) * (image.ndim - 1), 1), sigma**2)
    return filtered.clip(0, 1).astype(image.dtype)


def without_rician_bias(means: Float[np.ndarray, "*s c"], sigma: float) -> Grid:
    """Returns the signals whose means under Rician noise these are; what is below the mean of no signal becomes 0.

    Args:
      means: denoised magnitudes [*s, c] in [0, 1].
      sigma: standard deviation of the noise in each of both parts, above 0.

    Returns:
      [*s, c].

    References:
      Koay, Basser, "Analytically Exact Correction Scheme for Signal Extraction from Noisy Magnitude MR Signals", 2006.
    """
    require_image(means)
    require(sigma > 0, "sigma", sigma, "above 0")
    expected, ratio = stats.rice.mean(SIGNALS), means / sigma
    beyond = ratio - (expected[-1] - SIGNALS[-1])
    signals = np.where(ratio > expected[-1], beyond, np.interp(ratio, expected, SIGNALS))
    return (sigma * signals).clip(0, 1).astype(means.dtype)
