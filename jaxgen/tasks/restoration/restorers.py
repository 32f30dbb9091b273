"""The table of restorer architectures, with the image sizes that each takes."""

import math
from collections.abc import Callable
from typing import NamedTuple

from flax import linen as nn

from jaxgen.degradations.compose import has_missing, parse_mixture
from jaxgen.errors import require
from jaxgen.networks.inverse import IMPULSES, DenseInverseNetwork, InverseNetwork
from jaxgen.networks.recurrent import RecurrentRestorer
from jaxgen.tasks.base import require_grid
from jaxgen.tasks.restoration.config import RestorationConfig
from jaxgen.types import Grid


class Restorer(NamedTuple):
    """An architecture.

    Attributes:
      make: (config, shape) -> the network, which maps an `Observation` to restored images and has `estimates` too.
      fits: (spatial sizes) -> whether the network takes images or crops of these sizes.
      accepted: the sizes that it takes, in words for an error.
    """

    make: Callable[[RestorationConfig, Grid], nn.Module]
    fits: Callable[[tuple[int, ...]], bool] = lambda sizes: True
    accepted: str = "any"


def _fills(config: RestorationConfig) -> bool:
    """Returns whether a network sees missing pixels or impulses; one that is told what to repair may see none."""
    return not config.repairs or IMPULSES in config.repairs or has_missing(parse_mixture(config.damage))


RESTORERS = {
    "inverse": Restorer(
        lambda config, _: InverseNetwork(
            tuple(config.widths), config.blocks, config.depth, tuple(config.repairs), _fills(config)
        )
    ),
    "dense": Restorer(
        lambda _, shape: DenseInverseNetwork(shape),
        lambda sizes: math.prod(sizes) <= 64 * 64,
        "at most 64 x 64 for architecture dense; inverse takes any",
    ),
    "recurrent": Restorer(lambda config, _: RecurrentRestorer(tuple(config.widths), config.blocks, config.iterations)),
}
"""Architectures by name."""


def make_restorer(config: RestorationConfig, shape: Grid) -> nn.Module:
    """Returns the network of `config.architecture`, to be trained on images or crops (*spatial, c).

    Raises:
      InputError: the architecture does not take this shape or this structure.
    """
    *sizes, _ = require_grid(shape)
    restorer = RESTORERS[config.architecture]
    told = not config.repairs or config.architecture == "inverse"
    require(told, "repairs", config.repairs, "none for this architecture; inverse takes them")
    require(restorer.fits(tuple(sizes)), "image_size", tuple(sizes), restorer.accepted)
    return restorer.make(config, shape).clone(dtype=config.dtype, keeps_known=config.keep_known)
