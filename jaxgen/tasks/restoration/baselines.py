"""Baselines: classical methods of restoration without learning, to compare a network with.

Each takes one image [h, w, c], float in [0, 1], and returns an image of the same type in [0, 1]; methods for noisy
images take values outside of the range too. A mask is True where a pixel is known, [h, w, 1] for all channels at once
or [h, w, c]. Known pixels are kept; the values of unknown ones are not read.
"""

import numpy as np
from jaxtyping import Bool, Complex, Float
from matplotlib.tri import LinearTriInterpolator, Triangulation
from PIL import Image
from scipy import ndimage
from scipy.interpolate import NearestNDInterpolator
from skimage import restoration

from jaxgen.errors import InputError, require

Picture = Float[np.ndarray, "h w c"]
Mask = Bool[np.ndarray, "i j k"]
Kernel = Float[np.ndarray, "k l"]


def adaptive_median(image: Picture, max_size: int = 19) -> Picture:
    """Removes salt and pepper: a pixel of 0 or 1 becomes the median of a window that grows until it is neither.

    Args:
      image: [h, w, c] in [0, 1].
      max_size: width of the largest window in pixels, odd, 3 or more; its median is taken whatever it is.

    Returns:
      [h, w, c]; pixels strictly between 0 and 1 unchanged.

    Raises:
      InputError: the image is not like this, or the size is even or below 3.

    References:
      Hwang, Haddad, "Adaptive Median Filters: New Algorithms and Results", 1995. There a pixel is noise if it is the
      minimum or maximum of its window; here, if it is 0 or 1.
    """
    _require_image(image)
    require(max_size >= 3 and max_size % 2 == 1, "max_size", max_size, "an odd number, 3 or more")
    restored = image.copy()
    rows, columns, channels = np.nonzero((image == 0) | (image == 1))
    for size in range(3, max_size + 1, 2):
        radius = size // 2
        padded = np.pad(image, ((radius, radius), (radius, radius), (0, 0)), mode="symmetric")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(0, 1))
        medians = np.median(windows[rows, columns, channels].reshape(-1, size * size), axis=1)
        restored[rows, columns, channels] = medians
        noisy = (medians == 0) | (medians == 1)
        rows, columns, channels = rows[noisy], columns[noisy], channels[noisy]
    return restored


def median5(image: Picture) -> Picture:
    """Returns the median of the 5 x 5 pixels around each pixel; the image is mirrored at its border.

    Args:
      image: [h, w, c] in [0, 1].

    Returns:
      [h, w, c].

    Raises:
      InputError: the image is not like this.
    """
    _require_image(image)
    return ndimage.median_filter(image, size=(5, 5, 1), mode="reflect")


def normalised_mean(image: Picture, mask: Mask) -> Picture:
    """Fills unknown pixels with a Gaussian-weighted mean of the known ones: sum_i g_i m_i x_i / sum_i g_i m_i.

    Each pixel takes the narrowest Gaussian (g = 1 at its centre) of a growing series that covers enough known pixels,
    sum_i g_i m_i >= 0.8. If none does, it takes the mean of all known pixels.

    Args:
      image: [h, w, c] in [0, 1].
      mask: True where known, [h, w, 1] or [h, w, c]; at least one pixel of each channel is known.

    Returns:
      [h, w, c].

    Raises:
      InputError: the image is not like this, or a channel has no known pixel.

    References:
      Knutsson, Westin, "Normalized and Differential Convolution", 1993.
    """
    mask = _require_known(image, mask)
    known, weight = np.where(mask, image, 0.0).astype(np.float64), mask.astype(np.float64)
    filled, left = known.copy(), ~mask
    sigma = 0.5
    while left.any() and sigma < max(image.shape[:2]):
        around = _blur(weight, sigma)
        enough = left & (around * (2 * np.pi * sigma**2) >= 0.8)
        filled[enough] = _blur(known, sigma)[enough] / around[enough]
        left, sigma = left & ~enough, 1.1 * sigma
    filled = np.where(left, known.sum(axis=(0, 1)) / weight.sum(axis=(0, 1)), filled)
    return _keep_known(image, mask, filled)


def delaunay(image: Picture, mask: Mask) -> Picture:
    """Fills unknown pixels by linear interpolation on the Delaunay triangles of the known ones, outside by the nearest.

    Args, Returns and Raises: see `normalised_mean`.

    References:
      Amidror, "Scattered Data Interpolation Methods for Electronic Imaging Systems: A Survey", 2002.
    """
    mask = _require_known(image, mask)
    planes = [_interpolate(image[..., c], mask[..., c]) for c in range(image.shape[-1])]
    return _keep_known(image, mask, np.stack(planes, axis=-1))


def biharmonic(image: Picture, mask: Mask) -> Picture:
    """Fills unknown pixels with the solution of Laplacian^2 x = 0, a smooth surface through the known pixels.

    This is the strongest method for missing pixels here, and slow: it solves a linear system, which takes up to a
    minute for 512 x 512 pixels of which most are unknown.

    Args, Returns and Raises: see `normalised_mean`.

    References:
      Damelin, Hoang, "On Surface Completion and Image Inpainting by Biharmonic Functions: Numerical Aspects", 2018.
    """
    mask = _require_known(image, mask)
    planes = [restoration.inpaint_biharmonic(image[..., c], ~mask[..., c]) for c in range(image.shape[-1])]
    return _keep_known(image, mask, np.stack(planes, axis=-1))


def richardson_lucy(image: Picture, kernel: Kernel, num_iter: int) -> Picture:
    """Removes a circular blur by the iteration x <- x * K^T(y / K x), which starts from a flat x; for little noise.

    Args:
      image: y, [h, w, c], around [0, 1], blurred by a convolution that wraps around at the border.
      kernel: [k, l], both odd and no larger than the image; at least 0 and of sum 1.
      num_iter: number of iterations, 1 or more; more give a sharper and noisier image.

    Returns:
      [h, w, c].

    Raises:
      InputError: image or kernel is not like this, or there are no iterations.

    References:
      Richardson, "Bayesian-Based Iterative Method of Image Restoration", 1972. Lucy, "An Iterative Technique for the
      Rectification of Observed Distributions", 1974, equation 15.
    """
    _require_blurred(image, kernel)
    require(num_iter >= 1, "num_iter", num_iter, "1 or more")
    transfer = _transfer(kernel, image.shape[:2])
    observed = np.maximum(image.astype(np.float64), 0.0)  # the iteration needs values of 0 or more
    restored = np.full(image.shape, 0.5)
    for _ in range(num_iter):
        ratio = observed / np.maximum(_convolve(restored, transfer), 1e-12)
        restored = restored * _convolve(ratio, transfer.conj())
    return restored.clip(0, 1).astype(image.dtype)


def wiener(image: Picture, kernel: Kernel, balance: float) -> Picture:
    """Removes a circular blur with noise: in frequencies, X = conj(K) Y / (|K|^2 + balance |L|^2), L the Laplacian.

    Args:
      image: y, [h, w, c]; see `richardson_lucy`.
      kernel: [k, l], likewise.
      balance: above 0; a larger one gives a smoother image, for more noise.

    Returns:
      [h, w, c].

    Raises:
      InputError: image or kernel is not like this, or the balance is 0 or less.

    References:
      Hunt, "The Application of Constrained Least Squares Estimation to Image Restoration by Digital Computer", 1973.
    """
    _require_blurred(image, kernel)
    require(balance > 0, "balance", balance, "above 0")
    planes = [restoration.wiener(image[..., c], kernel, balance, clip=False) for c in range(image.shape[-1])]
    return np.stack(planes, axis=-1).clip(0, 1).astype(image.dtype)


def bicubic(image: Picture, factor: int) -> Float[np.ndarray, "H W c"]:
    """Enlarges the image by cubic convolution (a = -1/2); pixels are aligned by their areas.

    Args:
      image: [h, w, c] in [0, 1].
      factor: factor of both sides, 1 or more.

    Returns:
      [factor h, factor w, c].

    Raises:
      InputError: the image is not like this, or the factor is below 1.

    References:
      Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981, equation 15.
    """
    _require_image(image)
    require(factor >= 1, "factor", factor, "1 or more")
    size = (image.shape[1] * factor, image.shape[0] * factor)
    planes = np.moveaxis(image.astype(np.float32), -1, 0)
    larger = [Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC) for plane in planes]
    return np.stack(larger, axis=-1).clip(0, 1).astype(image.dtype)


def nl_means(image: Picture, sigma: float) -> Picture:
    """Removes Gaussian noise of a known level: each pixel becomes a mean of pixels with similar patches.

    Patches have 5 x 5 pixels and lie within 11 pixels; the cut-off is 0.6 sigma. These values were the best on
    photographs at noise of 15/255 to 50/255.

    Args:
      image: [h, w, c], around [0, 1].
      sigma: standard deviation of the noise, above 0, in the units of the image.

    Returns:
      [h, w, c].

    Raises:
      InputError: the image is not like this, or the level is 0 or less.

    References:
      Buades, Coll, Morel, "A Non-Local Algorithm for Image Denoising", 2005.
    """
    _require_image(image, noisy=True)
    require(sigma > 0, "sigma", sigma, "above 0")
    # Without channel_axis the channels would be a third dimension to search in.
    denoised = restoration.denoise_nl_means(image, 5, 11, 0.6 * sigma, sigma=sigma, channel_axis=-1)
    return denoised.clip(0, 1).astype(image.dtype).reshape(image.shape)  # scikit-image drops an axis of length 1


def _blur(x: Float[np.ndarray, "h w c"], sigma: float) -> Float[np.ndarray, "h w c"]:
    """Returns the Gaussian-weighted sum around each pixel; beyond the border are zeros."""
    return ndimage.gaussian_filter(x, sigma, mode="constant", axes=(0, 1))


def _interpolate(plane: Float[np.ndarray, "h w"], mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Returns the plane with unknown pixels interpolated on triangles of known ones, or else the nearest."""
    points, unknown, values = np.argwhere(mask), np.argwhere(~mask), plane[mask].astype(np.float64)
    filled = np.full(len(unknown), np.nan)
    if np.linalg.matrix_rank(points - points[0]) == 2:  # points on a line have no triangle
        # SciPy's search for triangles takes minutes if many points lie on common circles, as on a grid
        linear = LinearTriInterpolator(Triangulation(*points.T.astype(np.float64)), values)
        filled = linear(*unknown.T.astype(np.float64)).filled(np.nan)
    outside = np.isnan(filled)
    filled[outside] = NearestNDInterpolator(points, values)(unknown[outside])
    whole = plane.astype(np.float64)
    whole[~mask] = filled
    return whole


def _keep_known(image: Picture, mask: Bool[np.ndarray, "h w c"], filled: Picture) -> Picture:
    """Returns the image with its unknown pixels taken from `filled`."""
    return np.where(mask, image, filled.clip(0, 1).astype(image.dtype))


def _transfer(kernel: Kernel, size: tuple[int, int]) -> Complex[np.ndarray, "h f 1"]:
    """Returns the Fourier transform of a kernel, its centre at the origin."""
    padded = np.zeros(size)
    padded[: kernel.shape[0], : kernel.shape[1]] = kernel
    centred = np.roll(padded, (-(kernel.shape[0] // 2), -(kernel.shape[1] // 2)), axis=(0, 1))
    return np.fft.rfft2(centred)[..., None]


def _convolve(x: Float[np.ndarray, "h w c"], transfer: Complex[np.ndarray, "h f 1"]) -> Float[np.ndarray, "h w c"]:
    """Returns the circular convolution of an image with a transformed kernel."""
    return np.fft.irfft2(np.fft.rfft2(x, axes=(0, 1)) * transfer, s=x.shape[:2], axes=(0, 1))


def _require_image(image: Picture, noisy: bool = False) -> None:
    """Raises `InputError` unless the image is of finite floats [h, w, c] and, if not noisy, in [0, 1]."""
    shaped = image.ndim == 3 and image.size > 0 and np.issubdtype(image.dtype, np.floating)
    if not (shaped and np.isfinite(image).all()):
        raise InputError(f"image: got {image.dtype} {list(image.shape)}; accepted: finite floats [h, w, c], not empty")
    low, high = float(image.min()), float(image.max())
    require(noisy or (low >= 0 and high <= 1), "image", (low, high), "values in 0 to 1")


def _require_known(image: Picture, mask: Mask) -> Bool[np.ndarray, "h w c"]:
    """Returns the mask for every channel; raises `InputError` if image or mask is wrong."""
    _require_image(image)
    if mask.dtype != bool or mask.shape not in (image.shape, (*image.shape[:2], 1)):
        accepted = f"bool {[*image.shape[:2], 1]} or {list(image.shape)}"
        raise InputError(f"mask: got {mask.dtype} {list(mask.shape)}; accepted: {accepted}")
    known = mask.any(axis=(0, 1))
    require(bool(known.all()), "mask", known.tolist(), "a known pixel in every channel")
    return np.broadcast_to(mask, image.shape)


def _require_blurred(image: Picture, kernel: Kernel) -> None:
    """Raises `InputError` unless image and kernel are those of a circular blur."""
    _require_image(image, noisy=True)
    odd = kernel.ndim == 2 and all(n % 2 == 1 and n <= m for n, m in zip(kernel.shape, image.shape[:2], strict=True))
    if not (odd and (kernel >= 0).all() and abs(float(kernel.sum()) - 1) < 1e-3):
        found = f"shape {list(kernel.shape)}, sum {float(kernel.sum()):g}, least {float(kernel.min()):g}"
        raise InputError(f"kernel: got {found}; accepted: odd sides, no larger than the image, at least 0, sum 1")
