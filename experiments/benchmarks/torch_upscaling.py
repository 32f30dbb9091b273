"""VDSR in PyTorch, to compare the speed of enlargement with; it needs torch, which jaxgen itself does not need."""

import itertools
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from experiments.benchmarks.common import pictures
from experiments.benchmarks.torch_restoration import LAYOUTS, Maker, inference


class VDSR(nn.Module):
    """The network that corrects the luma of enlarged images, (b, 1, h, w), with 665,921 parameters.

    References:
      Kim et al., "Accurate Image Super-Resolution Using Very Deep Convolutional Networks", 2016, section 3.1.
    """

    def __init__(self, num_layers: int = 20, features: int = 64):
        super().__init__()
        channels = [1, *[features] * (num_layers - 1), 1]
        convs = [nn.Conv2d(before, after, 3, padding=1) for before, after in itertools.pairwise(channels)]
        self.convs = nn.ModuleList(convs)

    def forward(self, images: Tensor) -> Tensor:
        """Returns the sharpened images."""
        x = images
        for conv in self.convs[:-1]:
            x = F.relu(conv(x), inplace=True)
        return images + self.convs[-1](x)


def vdsr_candidates(size: int, device: str) -> list[Maker]:
    """Returns candidates that apply VDSR to one grey image of `size` x `size`, in both layouts."""
    images = pictures(1, size, 1)
    return [
        (label := f"PyTorch VDSR, luma{way}", partial(inference, label, VDSR, images, channels_last, device, False))
        for way, channels_last in LAYOUTS.items()
    ]
