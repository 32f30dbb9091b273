"""The table of pairs of generator and discriminator, with the image sizes that each makes."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

from flax import linen as nn

from jaxgen.errors import require
from jaxgen.networks import dcgan, mlp, resnet
from jaxgen.tasks.base import require_grid
from jaxgen.tasks.gan.config import GanConfig
from jaxgen.types import Grid

LARGEST = 256
"""Longest side in pixels of the networks of convolutions."""


class Pair(NamedTuple):
    """An architecture of generator and discriminator.

    Attributes:
      make: (shape, base channels) -> generator and discriminator.
      fits: (spatial sizes) -> whether the generator makes images of these sizes.
      accepted: the sizes of which it makes any combination, in words for an error.
    """

    make: Callable[[Grid, int], tuple[nn.Module, nn.Module]]
    fits: Callable[[tuple[int, ...]], bool]
    accepted: str


PAIRS = {
    "dcgan": Pair(
        lambda shape, base: (dcgan.Generator(shape, base), dcgan.Discriminator(base)),
        lambda sizes: set(sizes) <= {28, 32},
        "28 or 32 px",
    ),
    "resnet": Pair(
        lambda shape, base: (resnet.Generator(shape, base), resnet.Discriminator(base)),
        lambda sizes: all(8 <= size <= LARGEST and size % 4 == 0 for size in sizes),
        f"multiples of 4 from 8 to {LARGEST} px",
    ),
    "mlp": Pair(
        lambda shape, base: (mlp.Generator(shape, 32 * base), mlp.Discriminator(32 * base)),
        lambda sizes: True,
        "any",
    ),
}
"""Pairs by name, in the order in which `architecture_for` tries them."""


def architecture_for(shape: Grid) -> str:
    """Returns the name of the first architecture that makes images (*spatial, c).

    Raises:
      InputError: a side is beyond `LARGEST`; only mlp takes it, which would need far more memory than is any use.
    """
    *sizes, _ = require_grid(shape)
    accepted = f"sides of at most {LARGEST} px, to which --image-size cuts and resizes; or --architecture mlp"
    require(max(sizes) <= LARGEST, "image_size", tuple(sizes), accepted)
    return next(name for name, pair in PAIRS.items() if pair.fits(tuple(sizes)))


def settle(config: GanConfig, shape: Grid) -> GanConfig:
    """Returns the configuration with the architecture for images (*spatial, c) in place of "auto"."""
    if config.architecture != "auto":
        return config
    return dataclasses.replace(config, architecture=architecture_for(shape))


def make_gan_pair(config: GanConfig, shape: Grid) -> tuple[nn.Module, nn.Module]:
    """Returns generator and discriminator of `config.architecture` for images (*spatial, c).

    Raises:
      InputError: the architecture does not make images of this shape; names those that do.
    """
    *sizes, _ = require_grid(shape)
    name = settle(config, shape).architecture
    pair, able = PAIRS[name], [other for other, pair in PAIRS.items() if pair.fits(tuple(sizes))]
    accepted = f"{pair.accepted} for architecture {name}; this size is for {' or '.join(able)}"
    require(name in able, "image_size", tuple(sizes), accepted)
    generator, discriminator = pair.make(shape, config.base_channels)
    return generator.clone(dtype=config.dtype), discriminator.clone(
        dtype=config.dtype, conditioning=config.conditioning
    )
