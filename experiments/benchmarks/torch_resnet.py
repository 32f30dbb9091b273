"""The networks of `jaxgen.networks.resnet` in PyTorch. They need torch, which jaxgen itself does not need."""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jaxgen.networks.layers import LEAK, stage_sizes
from jaxgen.networks.resnet import stage_channels


def downsample(x: Tensor) -> Tensor:
    """Computes `jaxgen.networks.layers.downsample`: a blur [1, 3, 3, 1] / 8 with repeated edges, every second pixel."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype, device=x.device) / 8.0
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, stride=2, groups=x.shape[1])


class ResidualBlock(nn.Module):
    """`jaxgen.networks.resnet.ResidualBlock`: x + conv(act(conv(act(x))))."""

    def __init__(self, features: int):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(features, features, 3, padding=1) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        """Applies the block."""
        return x + self.convs[1](F.leaky_relu(self.convs[0](F.leaky_relu(x, LEAK)), LEAK))


def _blocks(widths: tuple[int, ...]) -> nn.ModuleList:
    return nn.ModuleList([ResidualBlock(width) for width in widths])


def _changes(widths: tuple[int, ...]) -> list[nn.Conv2d]:
    """Returns 1 x 1 convolutions from each width to the next."""
    return [nn.Conv2d(a, b, 1, bias=False) for a, b in itertools.pairwise(widths)]


class ResnetGenerator(nn.Module):
    """`jaxgen.networks.resnet.Generator`: latents (b, z) to images (b, c, h, w)."""

    def __init__(self, latent_dim: int, base: int, shape: tuple[int, int, int]):
        super().__init__()
        sizes = stage_sizes(shape[0])
        widths = stage_channels(base, len(sizes))
        self.grid = nn.Parameter(torch.randn(widths[0], sizes[0], sizes[0]))
        self.dense, self.blocks = nn.Linear(latent_dim, widths[0]), _blocks(widths)
        self.convs = nn.ModuleList([*_changes(widths), nn.Conv2d(widths[-1], shape[2], 3, padding=1)])

    def forward(self, latents: Tensor) -> Tensor:
        """Draws one image per latent."""
        x = self.grid * self.dense(latents)[:, :, None, None]
        for stage, block in enumerate(self.blocks):
            if stage:
                x = F.interpolate(self.convs[stage - 1](x), scale_factor=2, mode="bilinear", align_corners=False)
            x = block(x)
        return torch.tanh(self.convs[-1](F.leaky_relu(x, LEAK)).float())


class ResnetDiscriminator(nn.Module):
    """`jaxgen.networks.resnet.Discriminator`: images (b, c, h, w) to logits (b,)."""

    def __init__(self, base: int, shape: tuple[int, int, int]):
        super().__init__()
        sizes = stage_sizes(shape[0])
        widths = stage_channels(base, len(sizes))[::-1]
        self.convs = nn.ModuleList([nn.Conv2d(shape[2], widths[0], 3, padding=1), *_changes(widths)])
        self.window, self.blocks = nn.Parameter(torch.randn(sizes[0] ** 2, widths[-1])), _blocks(widths)
        self.dense = nn.Linear(widths[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        """Scores images."""
        x = self.convs[0](images)
        for stage, block in enumerate(self.blocks):
            if stage:
                x = self.convs[stage](downsample(x))
            x = block(x)
        features = torch.einsum("bcs,sc->bc", F.leaky_relu(x, LEAK).flatten(2).float(), self.window)
        return self.dense(features)[:, 0].float()


def named_layers(net: nn.Module) -> Iterator[tuple[tuple[str, ...], nn.Module]]:
    """Yields the layers of either network with the path of their parameters in jaxgen."""
    yield ("Dense_0",), net.dense
    for i, conv in enumerate(net.convs):
        yield (f"Conv_{i}",), conv
    for i, block in enumerate(net.blocks):
        for j, conv in enumerate(block.convs):
            yield (f"ResidualBlock_{i}", f"Conv_{j}"), conv
