"""The table of pairs of generator and discriminator, with the image sizes that each makes."""

from collections.abc import Callable
from typing import NamedTuple

from flax import linen as nn

from jaxgen.errors import require
from jaxgen.networks import dcgan, mlp, resnet
from jaxgen.tasks.base import require_grid
from jaxgen.tasks.gan.config import GanConfig
from jaxgen.types import Grid


class Pair(NamedTuple):
    """An architecture of generator and discriminator.

    Attributes:
      make: (shape, base channels) -> generator and discriminator.
      fits: (spatial sizes) -> whether the generator makes images of these sizes.
      accepted: the sizes that it makes, in words for an error.
    """

    make: Callable[[Grid, int], tuple[nn.Module, nn.Module]]
    fits: Callable[[tuple[int, ...]], bool]
    accepted: str


PAIRS = {
    "dcgan": Pair(
        lambda shape, base: (dcgan.Generator(shape, base), dcgan.Discriminator(base)),
        lambda sizes: set(sizes) in ({28}, {32}),
        "28 or 32 for architecture dcgan; resnet takes more",
    ),
    "resnet": Pair(
        lambda shape, base: (resnet.Generator(shape, base), resnet.Discriminator(base)),
        lambda sizes: len(set(sizes)) == 1 and 8 <= sizes[0] <= 256 and sizes[0] % 4 == 0,
        "a square of 8 to 256 px, a multiple of 4, for architecture resnet",
    ),
    "mlp": Pair(
        lambda shape, base: (mlp.Generator(shape, 32 * base), mlp.Discriminator(32 * base)),
        lambda sizes: True,
        "any",
    ),
}
"""Pairs by name, in the order in which `architecture_for` tries them."""


def architecture_for(shape: Grid) -> str:
    """Returns the name of the first architecture that makes images (*spatial, c)."""
    return next(name for name, pair in PAIRS.items() if pair.fits(shape[:-1]))


def make_gan_pair(config: GanConfig, shape: Grid) -> tuple[nn.Module, nn.Module]:
    """Returns generator and discriminator of `config.architecture` for images (*spatial, c).

    Raises:
      InputError: the architecture does not make images of this shape.
    """
    *sizes, _ = require_grid(shape)
    pair = PAIRS[config.architecture]
    require(pair.fits(tuple(sizes)), "image_size", tuple(sizes), pair.accepted)
    generator, discriminator = pair.make(shape, config.base_channels)
    return generator.clone(dtype=config.dtype), discriminator.clone(
        dtype=config.dtype, conditioning=config.conditioning
    )
