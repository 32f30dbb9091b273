"""VDSR in PyTorch, to compare the speed of enlargement with; it needs torch, which jaxgen itself does not need."""

from functools import partial

import torch

from experiments.benchmarks.common import pictures
from experiments.benchmarks.torch_networks import DnCNN
from experiments.benchmarks.torch_restoration import LAYOUTS, Maker, inference


class VDSR(DnCNN):
    """The network that corrects the luma of enlarged images, (b, 1, h, w), with 665,921 parameters.

    References:
      Kim et al., "Accurate Image Super-Resolution Using Very Deep Convolutional Networks", 2016, section 3.1.
    """

    join = staticmethod(torch.add)

    def __init__(self) -> None:
        super().__init__(num_layers=20)


def vdsr_candidates(size: int, device: str) -> list[Maker]:
    """Returns candidates that apply VDSR to one grey image of `size` x `size`, in both layouts."""
    images = pictures(1, size, 1)
    return [
        (label := f"PyTorch VDSR, luma{way}", partial(inference, label, VDSR, images, channels_last, device, False))
        for way, channels_last in LAYOUTS.items()
    ]
