"""A known denoiser in PyTorch, to race against. Needs torch, which jaxgen itself does not."""

import itertools

from torch import Tensor, nn
from torch.nn import functional as F


class DnCNN(nn.Module):
    """Residual denoiser: grey images (b, 1, h, w) to the same less the noise seen in them; 555,137 parameters.

    Batch normalisation is folded into the convolutions, as one would at inference; so it is not for training.

    References:
      Zhang et al., "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising", 2017, section III.
    """

    def __init__(self, num_layers: int = 17, features: int = 64):
        super().__init__()
        channels = [1, *[features] * (num_layers - 1), 1]
        convs = [nn.Conv2d(before, after, 3, padding=1) for before, after in itertools.pairwise(channels)]
        self.convs = nn.ModuleList(convs)

    def forward(self, images: Tensor) -> Tensor:
        """Removes noise."""
        x = images
        for conv in self.convs[:-1]:
            x = F.relu(conv(x), inplace=True)
        return images - self.convs[-1](x)
