"""Baselines: classical methods of restoration without learning, to compare a network with.

Each takes one image [h, w, c], float in [0, 1], and returns an image of the same type in [0, 1]. A mask is True where
a pixel is known, [h, w, 1] for all channels at once or [h, w, c]. Known pixels are kept; the values of unknown ones are
not read. Methods of which `*s` is said take volumes [d, h, w, c] as well. Those against noise and blur are in
`jaxgen.tasks.restoration.evaluation.denoising` and `deconvolution`.
"""

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.tri import LinearTriInterpolator, Triangulation
from PIL import Image
from scipy import ndimage
from scipy.interpolate import NearestNDInterpolator
from skimage import restoration

from jaxgen.errors import InputError, require

Picture = Float[np.ndarray, "h w c"]
Grid = Float[np.ndarray, "*s c"]
Mask = Bool[np.ndarray, "*i k"]


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
    require_image(image)
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


def normalised_mean(image: Grid, mask: Mask) -> Grid:
    """Fills unknown pixels with a Gaussian-weighted mean of the known ones: sum_i g_i m_i x_i / sum_i g_i m_i.

    Each pixel takes the narrowest Gaussian (g = 1 at its centre) of a growing series that covers enough known pixels,
    sum_i g_i m_i >= 0.8. If none does, it takes the mean of all known pixels.

    Args:
      image: [*s, c] in [0, 1].
      mask: True where known, [*s, 1] or [*s, c]; at least one pixel of each channel is known.

    Returns:
      [*s, c].

    Raises:
      InputError: the image is not like this, or a channel has no known pixel.

    References:
      Knutsson, Westin, "Normalized and Differential Convolution", 1993.
    """
    mask = _require_known(image, mask)
    known, weight = np.where(mask, image, 0.0).astype(np.float64), mask.astype(np.float64)
    filled, left = known.copy(), ~mask
    sigma = 0.5
    while left.any() and sigma < max(image.shape[:-1]):
        around = _blur(weight, sigma)
        enough = left & (around * (2 * np.pi * sigma**2) ** ((image.ndim - 1) / 2) >= 0.8)
        filled[enough] = _blur(known, sigma)[enough] / around[enough]
        left, sigma = left & ~enough, 1.1 * sigma
    axes = tuple(range(image.ndim - 1))
    filled = np.where(left, known.sum(axis=axes) / weight.sum(axis=axes), filled)
    return _keep_known(image, mask, filled)


def delaunay(image: Picture, mask: Mask) -> Picture:
    """Fills unknown pixels by linear interpolation on the Delaunay triangles of the known ones, outside by the nearest.

    Args, Returns and Raises: see `normalised_mean`; images alone.

    References:
      Amidror, "Scattered Data Interpolation Methods for Electronic Imaging Systems: A Survey", 2002.
    """
    mask = _require_known(image, mask)
    planes = [_interpolate(image[..., c], mask[..., c]) for c in range(image.shape[-1])]
    return _keep_known(image, mask, np.stack(planes, axis=-1))


def biharmonic(image: Grid, mask: Mask) -> Grid:
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
    require_image(image)
    require(factor >= 1, "factor", factor, "1 or more")
    size = (image.shape[1] * factor, image.shape[0] * factor)
    planes = np.moveaxis(image.astype(np.float32), -1, 0)
    larger = [Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC) for plane in planes]
    return np.stack(larger, axis=-1).clip(0, 1).astype(image.dtype)


def linear_slices(volume: Grid, mask: Mask) -> Grid:
    """Fills missing slices by linear interpolation between the nearest known ones, beyond the last by the last.

    Args:
      volume: [*s, c] in [0, 1].
      mask: [*s, 1], True where known; what is missing are whole slices across one axis, and not all of them.

    Returns:
      [*s, c].

    Raises:
      InputError: see `normalised_mean`; or a part of a slice is missing.
    """
    mask = _require_known(volume, mask)
    axes = range(volume.ndim - 1)
    known = [mask.any(axis=tuple(i for i in range(volume.ndim) if i != axis)) for axis in axes]
    axis = int(np.argmin([line.mean() for line in known]))
    missing = float(1 - mask.mean())
    whole = abs(missing - float(1 - known[axis].mean())) < 1e-9
    require(whole, "mask", f"{missing:.1%} missing", "whole slices missing across one axis")
    places = np.flatnonzero(known[axis])
    return _keep_known(volume, mask, _between_slices(volume.take(places, axis), places, len(known[axis]), axis))


def linear_thick_slices(volume: Grid, thickness: int) -> Grid:
    """Puts linear interpolation in the place of the bicubic one of slices that are `thickness` voxels thick along d.

    The bicubic interpolation leaves the mean of each slice in its middle voxel; see `lower_resolution`.

    Args:
      volume: [*s, c], around [0, 1].
      thickness: an odd number, 1 or more.

    Returns:
      [*s, c].

    Raises:
      InputError: the volume is not like this, or the thickness is even or below 1.
    """
    require_image(volume, noisy=True)
    require(thickness >= 1 and thickness % 2 == 1, "thickness", thickness, "an odd number, 1 or more")
    places = np.arange(thickness // 2, len(volume), thickness)
    return _between_slices(volume[places], places, len(volume), 0).clip(0, 1).astype(volume.dtype)


def _between_slices(slices: np.ndarray, places: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Returns `size` slices across an axis, linear between those at `places`, of which the outer ones are repeated."""
    matrix = np.stack([np.interp(np.arange(size), places, row) for row in np.eye(len(places))], axis=1)
    return np.moveaxis(np.tensordot(matrix, slices, axes=(1, axis)), 0, axis)


def _blur(x: Float[np.ndarray, "*s c"], sigma: float) -> Float[np.ndarray, "*s c"]:
    """Returns the Gaussian-weighted sum around each pixel; beyond the border are zeros."""
    return ndimage.gaussian_filter(x, sigma, mode="constant", axes=tuple(range(x.ndim - 1)))


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


def _keep_known(image: Grid, mask: Bool[np.ndarray, "*s c"], filled: Grid) -> Grid:
    """Returns the image with its unknown pixels taken from `filled`."""
    return np.where(mask, image, filled.clip(0, 1).astype(image.dtype))


def require_image(image: Grid, noisy: bool = False, ranks: tuple[int, ...] = (2, 3)) -> None:
    """Raises `InputError` unless the image is of finite floats [*s, c] and, if not noisy, in [0, 1]."""
    shaped = image.ndim - 1 in ranks and image.size > 0 and np.issubdtype(image.dtype, np.floating)
    if not (shaped and np.isfinite(image).all()):
        shapes = " or ".join("[h, w, c]" if rank == 2 else "[d, h, w, c]" for rank in ranks)
        raise InputError(f"image: got {image.dtype} {list(image.shape)}; accepted: finite floats {shapes}, not empty")
    low, high = float(image.min()), float(image.max())
    require(noisy or (low >= 0 and high <= 1), "image", (low, high), "values in 0 to 1")


def _require_known(image: Grid, mask: Mask) -> Bool[np.ndarray, "*s c"]:
    """Returns the mask for every channel; raises `InputError` if image or mask is wrong."""
    require_image(image)
    if mask.dtype != bool or mask.shape not in (image.shape, (*image.shape[:-1], 1)):
        accepted = f"bool {[*image.shape[:-1], 1]} or {list(image.shape)}"
        raise InputError(f"mask: got {mask.dtype} {list(mask.shape)}; accepted: {accepted}")
    known = mask.any(axis=tuple(range(image.ndim - 1)))
    require(bool(known.all()), "mask", known.tolist(), "a known pixel in every channel")
    return np.broadcast_to(mask, image.shape)
