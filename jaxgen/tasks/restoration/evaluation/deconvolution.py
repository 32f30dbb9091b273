"""Baselines against a known circular blur: classical methods without learning, of images."""

import numpy as np
from jaxtyping import Complex, Float
from skimage import restoration

from jaxgen.errors import InputError, require
from jaxgen.tasks.restoration.evaluation.baselines import Picture, require_image

Kernel = Float[np.ndarray, "k l"]


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


def _transfer(kernel: Kernel, size: tuple[int, int]) -> Complex[np.ndarray, "h f 1"]:
    """Returns the Fourier transform of a kernel, its centre at the origin."""
    padded = np.zeros(size)
    padded[: kernel.shape[0], : kernel.shape[1]] = kernel
    centred = np.roll(padded, (-(kernel.shape[0] // 2), -(kernel.shape[1] // 2)), axis=(0, 1))
    return np.fft.rfft2(centred)[..., None]


def _convolve(x: Float[np.ndarray, "h w c"], transfer: Complex[np.ndarray, "h f 1"]) -> Float[np.ndarray, "h w c"]:
    """Returns the circular convolution of an image with a transformed kernel."""
    return np.fft.irfft2(np.fft.rfft2(x, axes=(0, 1)) * transfer, s=x.shape[:2], axes=(0, 1))


def _require_blurred(image: Picture, kernel: Kernel) -> None:
    """Raises `InputError` unless image and kernel are those of a circular blur."""
    require_image(image, noisy=True)
    odd = kernel.ndim == 2 and all(n % 2 == 1 and n <= m for n, m in zip(kernel.shape, image.shape[:2], strict=True))
    if not (odd and (kernel >= 0).all() and abs(float(kernel.sum()) - 1) < 1e-3):
        found = f"shape {list(kernel.shape)}, sum {float(kernel.sum()):g}, least {float(kernel.min()):g}"
        raise InputError(f"kernel: got {found}; accepted: odd sides, no larger than the image, at least 0, sum 1")
