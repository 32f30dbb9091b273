"""`jaxgen.networks.initial_fill` in PyTorch, NCHW: the initial fill from which the inverse network starts."""

import torch
from torch import Tensor
from torch.nn import functional as F

from jaxgen.networks.initial_fill import COARSE_WEIGHT, ISOLATED_SHARE, MOMENTUM, SMOOTHING

BLUR, HALVING = (0.25, 0.5, 0.25), (0.125, 0.375, 0.375, 0.125)


def suspected_impulses(images: Tensor) -> Tensor:
    """Returns 1 where a pixel may be salt, -1 where it may be pepper, else 0, (b, 1, h, w)."""
    ends = [at_end.all(dim=1, keepdim=True).to(images.dtype) for at_end in (images >= 1.0, images <= -1.0)]
    white, black = (_double(_separable(_separable(end, HALVING, 2), BLUR)) for end in ends)
    return ends[0] * (white < 3.0 * black + ISOLATED_SHARE) - ends[1] * (black < 3.0 * white + ISOLATED_SHARE)


def fill(images: Tensor, known: Tensor, levels: int) -> Tensor:
    """Returns the images with unknown pixels filled in from those around them, on `levels` grids, and smoothed."""
    x = torch.where(known > 0.5, images, _mean(images * known, known, levels))
    velocity = torch.zeros_like(x)
    for _ in range(SMOOTHING):
        velocity = MOMENTUM * velocity - _laplacian(_laplacian(x)) * (1.0 - known) / 32.0
        x = x + velocity
    return x


def _mean(values: Tensor, weights: Tensor, levels: int) -> Tensor:
    near, trusted = _separable(values, BLUR), _separable(weights, BLUR)
    if levels > 1:
        near = near + COARSE_WEIGHT * _double(
            _mean(_separable(values, HALVING, 2), _separable(weights, HALVING, 2), levels - 1)
        )
    return near / (trusted + COARSE_WEIGHT)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _separable(x: Tensor, weights: tuple[float, ...], stride: int = 1) -> Tensor:
    """Convolves each channel with the outer product of `weights`, with repeated edges."""
    line = torch.tensor(weights, dtype=x.dtype, device=x.device)
    return _each_channel(x, torch.outer(line, line), stride)


def _laplacian(x: Tensor) -> Tensor:
    cross = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]], dtype=x.dtype, device=x.device)
    return _each_channel(x, cross)


def _each_channel(x: Tensor, kernel: Tensor, stride: int = 1) -> Tensor:
    kernels = kernel.expand(x.shape[1], 1, -1, -1)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernels, stride=stride, groups=x.shape[1])
