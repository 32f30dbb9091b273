"""Networks by name."""

import math

from flax import linen as nn

from jaxgen.config import GanConfig, RestorationConfig, require
from jaxgen.networks import dcgan, mlp, resnet
from jaxgen.networks.inverse import DenseInverseNetwork, InverseNetwork
from jaxgen.networks.recurrent import RecurrentRestorer
from jaxgen.types import Grid


def make_gan_pair(config: GanConfig, shape: Grid) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator of `config.architecture` for images (h, w, c) or volumes (d, h, w, c).

    Raises:
      InputError: the architecture does not take this shape.
    """
    *sizes, _ = _require_grid(shape)
    cubic = len(set(sizes)) == 1
    base = config.base_channels
    match config.architecture:
        case "mlp":
            pair = mlp.Generator(shape, 32 * base), mlp.Discriminator(32 * base)
        case "dcgan":
            accepted = "28 or 32 for architecture dcgan; resnet takes more"
            require(cubic and sizes[0] in (28, 32), "image_size", tuple(sizes), accepted)
            pair = dcgan.Generator(shape, base), dcgan.Discriminator(base)
        case "resnet":
            accepted = "a square of 8 to 256 px, a multiple of 4, for architecture resnet"
            fits = cubic and 8 <= sizes[0] <= 256 and sizes[0] % 4 == 0
            require(fits, "image_size", tuple(sizes), accepted)
            pair = resnet.Generator(shape, base), resnet.Discriminator(base)
    generator, discriminator = pair
    return generator.clone(dtype=config.dtype), discriminator.clone(
        dtype=config.dtype, conditioning=config.conditioning
    )


def make_restorer(config: RestorationConfig, shape: Grid) -> nn.Module:
    """The network of `config.architecture`, trained on images or crops (h, w, c), or volumes (d, h, w, c).

    Raises:
      InputError: the architecture does not take this shape or this structure.
    """
    *sizes, _ = _require_grid(shape)
    match config.architecture:
        case "inverse":
            network = InverseNetwork(tuple(config.widths), config.blocks, config.depth)
        case "dense":
            accepted = "at most 64 x 64 for architecture dense; inverse takes any"
            require(math.prod(sizes) <= 64 * 64, "image_size", tuple(sizes), accepted)
            network = DenseInverseNetwork(shape)
        case "recurrent":
            network = RecurrentRestorer(tuple(config.widths), config.blocks, config.iterations)
    return network.clone(dtype=config.dtype, keeps_known=config.keep_known)


def _require_grid(shape: Grid) -> Grid:
    """The shape, if networks take it: two or three spatial axes, and one to four channels."""
    require(len(shape) in (3, 4), "shape", shape, "(h, w, c) of images or (d, h, w, c) of volumes")
    require(1 <= shape[-1] <= 4, "channels", shape[-1], "1 to 4")
    return shape
