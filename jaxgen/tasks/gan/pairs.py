"""Pairs of a generator and a discriminator by name."""

from flax import linen as nn

from jaxgen.errors import require
from jaxgen.networks import dcgan, mlp, resnet
from jaxgen.tasks.gan.config import GanConfig


def make_gan_pair(config: GanConfig, shape: tuple[int, int, int]) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator of `config.architecture` for images (h, w, c).

    Raises:
      InputError: the architecture does not take this shape.
    """
    h, w, c = shape
    require(1 <= c <= 4, "channels", c, "1 to 4")
    base = config.base_channels
    match config.architecture:
        case "mlp":
            pair = mlp.Generator(shape, 32 * base), mlp.Discriminator(32 * base)
        case "dcgan":
            require(
                h == w and h in (28, 32), "image_size", (h, w), "28 or 32 for architecture dcgan; resnet takes more"
            )
            pair = dcgan.Generator(shape, base), dcgan.Discriminator(base)
        case "resnet":
            accepted = "a square of 8 to 256 px, a multiple of 4, for architecture resnet"
            require(h == w and 8 <= h <= 256 and h % 4 == 0, "image_size", (h, w), accepted)
            pair = resnet.Generator(shape, base), resnet.Discriminator(base)
    generator, discriminator = pair
    return generator.clone(dtype=config.dtype), discriminator.clone(
        dtype=config.dtype, conditioning=config.conditioning
    )
