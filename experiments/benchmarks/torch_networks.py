"""The GAN networks of jaxgen in PyTorch (those of `resnet` are in `torch_resnet.py`), and a copy of its parameters.

This is the only file to change with an architecture. It needs torch, which jaxgen itself does not need.
"""

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.benchmarks.torch_resnet import ResnetDiscriminator, ResnetGenerator, named_layers
from jaxgen.errors import require
from jaxgen.tasks.gan.config import GanConfig

LEAK, HIDDEN = 0.2, 256
Shape = tuple[int, int, int]


class Layer(NamedTuple):
    """A 3x3 convolution; if rearranged, pixels become channels before it, or channels become pixels after it."""

    channels: int
    features: int
    rearranged: bool = False


def generator_layers(base: int, c: int) -> tuple[Layer, ...]:
    """Returns the convolutions of the DCGAN generator; after each rearranged one, channels become pixels."""
    half, last = (Layer(base, base), Layer(base, 2 * base, True)), Layer(base // 2, c)
    return (Layer(2 * base, 2 * base), Layer(2 * base, 4 * base, True), *half, last)


def discriminator_layers(base: int, c: int) -> tuple[Layer, ...]:
    """Returns the convolutions of the DCGAN discriminator; before each rearranged one, pixels become channels."""
    half = (Layer(4 * c, base, True), Layer(base, base))
    return (*half, Layer(4 * base, 2 * base, True), Layer(2 * base, 2 * base))


def make_convs(layers: tuple[Layer, ...]) -> nn.ModuleList:
    """Returns the convolutions of `layers`; all keep the size."""
    return nn.ModuleList([nn.Conv2d(layer.channels, layer.features, 3, padding=1) for layer in layers])


class DcganGenerator(nn.Module):
    """`jaxgen.networks.dcgan.Generator`: latents (b, z) to images (b, c, h, w)."""

    def __init__(self, latent_dim: int, base: int, shape: Shape):
        super().__init__()
        h, w, c = shape
        self.layers = generator_layers(base, c)
        self.grid = (2 * base, h // 4, w // 4)
        self.hidden, self.dense = nn.Linear(latent_dim, HIDDEN), nn.Linear(HIDDEN, math.prod(self.grid))
        self.convs = make_convs(self.layers)

    def forward(self, latents: Tensor) -> Tensor:
        """Draws one image per latent."""
        x = F.leaky_relu(self.dense(F.leaky_relu(self.hidden(latents), LEAK)), LEAK).view(-1, *self.grid)
        for layer, conv in zip(self.layers[:-1], self.convs[:-1], strict=True):
            x = conv(x)
            x = F.leaky_relu(F.pixel_shuffle(x, 2) if layer.rearranged else x, LEAK)
        return torch.tanh(self.convs[-1](x).float())


class DcganDiscriminator(nn.Module):
    """`jaxgen.networks.dcgan.Discriminator`: images (b, c, h, w) to logits (b,)."""

    def __init__(self, base: int, shape: Shape):
        super().__init__()
        h, w, c = shape
        self.layers = discriminator_layers(base, c)
        self.convs = make_convs(self.layers)
        self.hidden = nn.Linear(self.layers[-1].features * (h // 4) * (w // 4), HIDDEN)
        self.dense = nn.Linear(HIDDEN, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Scores images."""
        x = images
        for layer, conv in zip(self.layers, self.convs, strict=True):
            x = F.leaky_relu(conv(F.pixel_unshuffle(x, 2) if layer.rearranged else x), LEAK)
        return self.dense(F.leaky_relu(self.hidden(x.flatten(1)), LEAK))[:, 0].float()


class MlpGenerator(nn.Module):
    """`jaxgen.networks.mlp.Generator`: latents (b, z) to images (b, c, h, w)."""

    def __init__(self, latent_dim: int, base: int, shape: Shape):
        super().__init__()
        h, w, c = shape
        self.image = (c, h, w)
        self.first, self.last = nn.Linear(latent_dim, 32 * base), nn.Linear(32 * base, math.prod(shape))

    def forward(self, latents: Tensor) -> Tensor:
        """Draws one image per latent."""
        x = self.last(F.relu(self.first(latents))).float()
        return (2.0 * torch.sigmoid(x) - 1.0).view(-1, *self.image)


class MlpDiscriminator(nn.Module):
    """`jaxgen.networks.mlp.Discriminator`: images (b, c, h, w) to logits (b,)."""

    def __init__(self, base: int, shape: Shape):
        super().__init__()
        self.first, self.last = nn.Linear(math.prod(shape), 32 * base), nn.Linear(32 * base, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Scores images."""
        return self.last(F.relu(self.first(images.flatten(1))))[:, 0].float()


class DnCNN(nn.Module):
    """A residual denoiser for grey images (b, 1, h, w), with 555,137 parameters.

    Batch normalisation is folded into the convolutions, so the network is for inference only.

    References:
      Zhang et al., "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising", 2017, section III.
    """

    join = staticmethod(torch.sub)
    """How the last layer's result is put together with the images."""

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
        return self.join(images, self.convs[-1](x))


def make_pair(config: GanConfig, shape: Shape) -> tuple[nn.Module, nn.Module]:
    """Returns the generator and the discriminator of `config`.

    Raises:
      InputError: the architecture has no counterpart here.
    """
    require(config.conditioning == "none", "conditioning", config.conditioning, "none")
    base = config.base_channels
    if config.architecture == "resnet":
        return ResnetGenerator(config.latent_dim, base, shape), ResnetDiscriminator(base, shape)
    if config.architecture == "mlp":
        return MlpGenerator(config.latent_dim, base, shape), MlpDiscriminator(base, shape)
    return DcganGenerator(config.latent_dim, base, shape), DcganDiscriminator(base, shape)


def load(config: GanConfig, shape: Shape, pair: tuple[nn.Module, nn.Module], params: dict[str, Any]) -> None:
    """Copies jaxgen's parameters (`TrainState.params`) into the PyTorch pair.

    In jaxgen, channels are the last axis, and the positions in a 2x2 block come before the channel; in PyTorch both are
    the other way round. So kernels are transposed, and channels next to a rearrangement are permuted.
    """
    h, w, c = shape
    if config.architecture == "resnet":
        return load_resnet(pair, params)
    g = {name: {k: np.asarray(v) for k, v in leaf.items()} for name, leaf in params["generator"].items()}
    d = {name: {k: np.asarray(v) for k, v in leaf.items()} for name, leaf in params["discriminator"].items()}
    generator, discriminator = pair
    if config.architecture == "mlp":
        pixels = channels_first(h, w, c)
        set_layer(generator.first, g["Dense_0"]["kernel"], g["Dense_0"]["bias"])
        set_layer(generator.last, g["Dense_1"]["kernel"][:, pixels], g["Dense_1"]["bias"][pixels])
        set_layer(discriminator.first, d["Dense_0"]["kernel"][pixels], d["Dense_0"]["bias"])
        set_layer(discriminator.last, d["Dense_1"]["kernel"], d["Dense_1"]["bias"])
        return
    grid = channels_first(h // 4, w // 4, generator.grid[0])
    set_layer(generator.hidden, g["Dense_0"]["kernel"], g["Dense_0"]["bias"])
    set_layer(generator.dense, g["Dense_1"]["kernel"][:, grid], g["Dense_1"]["bias"][grid])
    for i, (layer, conv) in enumerate(zip(generator.layers, generator.convs, strict=True)):
        order = channels_first(2, 2, layer.features // 4) if layer.rearranged else slice(None)
        set_layer(conv, g[f"Conv_{i}"]["kernel"][..., order], g[f"Conv_{i}"]["bias"][order])
    for i, (layer, conv) in enumerate(zip(discriminator.layers, discriminator.convs, strict=True)):
        order = channels_first(2, 2, layer.channels // 4) if layer.rearranged else slice(None)
        set_layer(conv, d[f"Conv_{i}"]["kernel"][:, :, order], d[f"Conv_{i}"]["bias"])
    grid = channels_first(h // 4, w // 4, discriminator.layers[-1].features)
    set_layer(discriminator.hidden, d["Dense_0"]["kernel"][grid], d["Dense_0"]["bias"])
    set_layer(discriminator.dense, d["Dense_1"]["kernel"], d["Dense_1"]["bias"])


def load_resnet(pair: tuple[nn.Module, nn.Module], params: dict[str, Any]) -> None:
    """Copies parameters into a resnet pair; see `load`. Only the start grid is rearranged, to channels first."""
    for net, name in zip(pair, ("generator", "discriminator"), strict=True):
        for path, layer in named_layers(net):
            leaf = params[name]
            for part in path:
                leaf = leaf[part]
            set_layer(layer, np.asarray(leaf["kernel"]), np.asarray(leaf["bias"]) if "bias" in leaf else None)
    with torch.no_grad():
        pair[0].grid.copy_(torch.tensor(np.asarray(params["generator"]["grid"]).transpose(2, 0, 1)))
        pair[1].window.copy_(torch.tensor(np.asarray(params["discriminator"]["window"])))


def channels_first(h: int, w: int, c: int) -> np.ndarray:
    """Returns where each element of a flattened (c, h, w) array is in the flattened (h, w, c) array."""
    return np.arange(h * w * c).reshape(h, w, c).transpose(2, 0, 1).reshape(-1)


def set_layer(layer: nn.Module, kernel: np.ndarray, bias: np.ndarray | None) -> None:
    """Puts a kernel (*k, in, out) into a layer whose weight is (out, in, *k)."""
    weight = np.moveaxis(kernel, (-1, -2), (0, 1))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        if bias is not None:
            layer.bias.copy_(torch.tensor(bias))
