"""Classical restoration without learning: the floors that a table prints beside a network.

Each takes one image [h, w, c], float in [0, 1], and returns one of that type in [0, 1]; where noise is to be expected,
the image that is given may leave the range. A mask is True where a pixel is known, for all channels [h, w, 1] or for
each [h, w, c]; known pixels are kept as they are, and what the unknown ones hold does not matter.
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
    """Removes salt and pepper: a pixel of exactly 0 or 1 becomes the median of a window that grows until it is neither.

    Args:
      image: [h, w, c] in [0, 1].
      max_size: pixels across the largest window, odd, 3 or more; its median stands, whatever it is.

    Returns:
      [h, w, c]; pixels strictly between 0 and 1 unchanged.

    Raises:
      InputError: not such an image, or a size that is even or below 3.

    References:
      Hwang, Haddad, "Adaptive Median Filters: New Algorithms and Results", 1995 (there a pixel at the extremes of its
      window counts as noise; here one at the ends of the range).
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
    """The median of 5 x 5 pixels around each, the image mirrored at its border.

    Args:
      image: [h, w, c] in [0, 1].

    Returns:
      [h, w, c].

    Raises:
      InputError: not such an image.
    """
    _require_image(image)
    return ndimage.median_filter(image, size=(5, 5, 1), mode="reflect")


def normalised_mean(image: Picture, mask: Mask) -> Picture:
    """Fills unknown pixels with a Gaussian-weighted mean of the known ones: sum_i g_i m_i x_i / sum_i g_i m_i.

    Each pixel has the narrowest Gaussian (g = 1 at its centre) of a rising series under which enough is known,
    sum_i g_i m_i >= 0.8; a pixel that none gives enough has the mean of all that is known.

    Args:
      image: [h, w, c] in [0, 1].
      mask: True where known, [h, w, 1] or [h, w, c]; at least one pixel of each channel.

    Returns:
      [h, w, c].

    Raises:
      InputError: not such an image, or a channel of which nothing is known.

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
    """Fills unknown pixels linearly on the Delaunay triangles of the known ones, and with the nearest outside of these.

    Args, Returns and Raises: as `normalised_mean`.

    References:
      Amidror, "Scattered Data Interpolation Methods for Electronic Imaging Systems: A Survey", 2002.
    """
    mask = _require_known(image, mask)
    planes = [_interpolate(image[..., c], mask[..., c]) for c in range(image.shape[-1])]
    return _keep_known(image, mask, np.stack(planes, axis=-1))


def biharmonic(image: Picture, mask: Mask) -> Picture:
    """Fills unknown pixels with the smoothest surface through the known ones, that is of Laplacian^2 x = 0.

    The strongest here, and slow: a linear system; up to a minute for 512 x 512 pixels most of which are unknown.

    Args, Returns and Raises: as `normalised_mean`.

    References:
      Damelin, Hoang, "On Surface Completion and Image Inpainting by Biharmonic Functions: Numerical Aspects", 2018.
    """
    mask = _require_known(image, mask)
    planes = [restoration.inpaint_biharmonic(image[..., c], ~mask[..., c]) for c in range(image.shape[-1])]
    return _keep_known(image, mask, np.stack(planes, axis=-1))


def richardson_lucy(image: Picture, kernel: Kernel, num_iter: int) -> Picture:
    """Undoes a circular blur by the iteration x <- x * K^T(y / K x), from a flat x; for little noise.

    Args:
      image: y, [h, w, c], around [0, 1], blurred by a convolution that wraps around at the border.
      kernel: [k, l], odd and no larger than the image, at least 0 and of sum 1; its centre stays in place.
      num_iter: iterations, 1 or more; more are sharper and noisier.

    Returns:
      [h, w, c].

    Raises:
      InputError: not such an image or kernel, or no iterations.

    References:
      Richardson, "Bayesian-Based Iterative Method of Image Restoration", 1972. Lucy, "An Iterative Technique for the
      Rectification of Observed Distributions", 1974, equation 15.
    """
    _require_blurred(image, kernel)
    require(num_iter >= 1, "num_iter", num_iter, "1 or more")
    transfer = _transfer(kernel, image.shape[:2])
    observed = np.maximum(image.astype(np.float64), 0.0)  # the iteration is of intensities; noise may go below
    restored = np.full(image.shape, 0.5)
    for _ in range(num_iter):
        ratio = observed / np.maximum(_convolve(restored, transfer), 1e-12)
        restored = restored * _convolve(ratio, transfer.conj())
    return restored.clip(0, 1).astype(image.dtype)


def wiener(image: Picture, kernel: Kernel, balance: float) -> Picture:
    """Undoes a circular blur with noise: in frequencies, X = conj(K) Y / (|K|^2 + balance |L|^2), L the Laplacian.

    Args:
      image: y, [h, w, c], as `richardson_lucy`.
      kernel: [k, l], likewise.
      balance: above 0; larger is smoother, for more noise.

    Returns:
      [h, w, c].

    Raises:
      InputError: not such an image or kernel, or a balance of 0 or less.

    References:
      Hunt, "The Application of Constrained Least Squares Estimation to Image Restoration by Digital Computer", 1973.
    """
    _require_blurred(image, kernel)
    require(balance > 0, "balance", balance, "above 0")
    planes = [restoration.wiener(image[..., c], kernel, balance, clip=False) for c in range(image.shape[-1])]
    return np.stack(planes, axis=-1).clip(0, 1).astype(image.dtype)


def bicubic(image: Picture, factor: int) -> Float[np.ndarray, "H W c"]:
    """Enlarges by cubic convolution (a = -1/2), pixels aligned by their areas.

    Args:
      image: [h, w, c] in [0, 1].
      factor: 1 or more.

    Returns:
      [factor h, factor w, c].

    Raises:
      InputError: not such an image, or a factor below 1.

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
    """Removes Gaussian noise of a known level: each pixel becomes a mean of those whose surroundings look alike.

    Patches of 5 x 5 within 11 pixels, and a cut-off of 0.6 sigma: the best on photographs at 15 to 50 / 255.

    Args:
      image: [h, w, c], around [0, 1].
      sigma: standard deviation of the noise, above 0, in the units of the image.

    Returns:
      [h, w, c].

    Raises:
      InputError: not such an image, or a level of 0 or less.

    References:
      Buades, Coll, Morel, "A Non-Local Algorithm for Image Denoising", 2005.
    """
    _require_image(image, noisy=True)
    require(sigma > 0, "sigma", sigma, "above 0")
    # Without channel_axis the channels would be a third dimension to search in.
    denoised = restoration.denoise_nl_means(image, 5, 11, 0.6 * sigma, sigma=sigma, channel_axis=-1)
    return denoised.clip(0, 1).astype(image.dtype).reshape(image.shape)  # scikit-image drops an axis of length 1


def _blur(x: Float[np.ndarray, "h w c"], sigma: float) -> Float[np.ndarray, "h w c"]:
    """Gaussian-weighted sum, with nothing beyond the border."""
    return ndimage.gaussian_filter(x, sigma, mode="constant", axes=(0, 1))


def _interpolate(plane: Float[np.ndarray, "h w"], mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Linear on triangles of known pixels, else the nearest."""
    points, unknown, values = np.argwhere(mask), np.argwhere(~mask), plane[mask].astype(np.float64)
    filled = np.full(len(unknown), np.nan)
    if np.linalg.matrix_rank(points - points[0]) == 2:  # points on a line span no triangle
        # SciPy's search for the triangle takes minutes where many points lie on circles, as those of a grid do
        linear = LinearTriInterpolator(Triangulation(*points.T.astype(np.float64)), values)
        filled = linear(*unknown.T.astype(np.float64)).filled(np.nan)
    outside = np.isnan(filled)
    filled[outside] = NearestNDInterpolator(points, values)(unknown[outside])
    whole = plane.astype(np.float64)
    whole[~mask] = filled
    return whole


def _keep_known(image: Picture, mask: Bool[np.ndarray, "h w c"], filled: Picture) -> Picture:
    """The image where it is known, elsewhere what was filled in."""
    return np.where(mask, image, filled.clip(0, 1).astype(image.dtype))


def _transfer(kernel: Kernel, size: tuple[int, int]) -> Complex[np.ndarray, "h f 1"]:
    """Fourier transform of a kernel whose centre is at the origin."""
    padded = np.zeros(size)
    padded[: kernel.shape[0], : kernel.shape[1]] = kernel
    centred = np.roll(padded, (-(kernel.shape[0] // 2), -(kernel.shape[1] // 2)), axis=(0, 1))
    return np.fft.rfft2(centred)[..., None]


def _convolve(x: Float[np.ndarray, "h w c"], transfer: Complex[np.ndarray, "h f 1"]) -> Float[np.ndarray, "h w c"]:
    """Circular convolution."""
    return np.fft.irfft2(np.fft.rfft2(x, axes=(0, 1)) * transfer, s=x.shape[:2], axes=(0, 1))


def _require_image(image: Picture, noisy: bool = False) -> None:
    """Refuses all but finite floats [h, w, c] and, unless noisy, values outside of [0, 1]."""
    shaped = image.ndim == 3 and image.size > 0 and np.issubdtype(image.dtype, np.floating)
    if not (shaped and np.isfinite(image).all()):
        raise InputError(f"image: got {image.dtype} {list(image.shape)}; accepted: finite floats [h, w, c], not empty")
    low, high = float(image.min()), float(image.max())
    require(noisy or (low >= 0 and high <= 1), "image", (low, high), "values in 0 to 1")


def _require_known(image: Picture, mask: Mask) -> Bool[np.ndarray, "h w c"]:
    """The mask for every channel, after a look at both."""
    _require_image(image)
    if mask.dtype != bool or mask.shape not in (image.shape, (*image.shape[:2], 1)):
        accepted = f"bool {[*image.shape[:2], 1]} or {list(image.shape)}"
        raise InputError(f"mask: got {mask.dtype} {list(mask.shape)}; accepted: {accepted}")
    known = mask.any(axis=(0, 1))
    require(bool(known.all()), "mask", known.tolist(), "a known pixel in every channel")
    return np.broadcast_to(mask, image.shape)


def _require_blurred(image: Picture, kernel: Kernel) -> None:
    """Refuses an image or a kernel that a circular blur does not have."""
    _require_image(image, noisy=True)
    odd = kernel.ndim == 2 and all(n % 2 == 1 and n <= m for n, m in zip(kernel.shape, image.shape[:2], strict=True))
    if not (odd and (kernel >= 0).all() and abs(float(kernel.sum()) - 1) < 1e-3):
        found = f"shape {list(kernel.shape)}, sum {float(kernel.sum()):g}, least {float(kernel.min()):g}"
        raise InputError(f"kernel: got {found}; accepted: odd sides, no larger than the image, at least 0, sum 1")
