"""`jaxgen.networks.filling` in PyTorch, NCHW, where no mask is told: the first guess that the twin network starts from."""

import torch
import torch.nn.functional as F
from torch import Tensor

from jaxgen.networks.filling import TRUST


def suspects(images: Tensor) -> Tensor:
    """1 where all channels are at the ends of [-1, 1] or beyond, (b, 1, h, w)."""
    return (images.abs() >= 1.0).all(dim=1, keepdim=True).to(images.dtype)


def fill(images: Tensor, known: Tensor, levels: int) -> Tensor:
    """Pixels that are not known, from those around them, on `levels` grids."""
    return torch.where(known > 0.5, images, _guess(images * known, known, levels))


def _guess(values: Tensor, weights: Tensor, levels: int) -> Tensor:
    blur = [0.25, 0.5, 0.25]
    near, trusted = _convolve(values, blur, 1), _convolve(weights, blur, 1)
    if levels > 1:
        halving = [0.125, 0.375, 0.375, 0.125]
        coarser = _guess(_convolve(values, halving, 2), _convolve(weights, halving, 2), levels - 1)
        near = near + TRUST * F.interpolate(coarser, scale_factor=2.0, mode="bilinear", align_corners=False)
    return near / (trusted + TRUST)


def _convolve(x: Tensor, weights: list[float], stride: int) -> Tensor:
    """Each channel alone with the outer product of `weights`, edges repeated."""
    line = torch.tensor(weights, dtype=x.dtype, device=x.device)
    kernel = torch.outer(line, line).expand(x.shape[1], 1, -1, -1)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, stride=stride, groups=x.shape[1])
