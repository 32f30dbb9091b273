"""Restorers by name."""

from flax import linen as nn

from jaxgen.errors import require
from jaxgen.networks.inverse import DenseInverseNetwork, InverseNetwork
from jaxgen.networks.recurrent import RecurrentRestorer
from jaxgen.tasks.restoration.config import RestorationConfig


def make_restorer(config: RestorationConfig, shape: tuple[int, int, int]) -> nn.Module:
    """The network of `config.architecture`, trained on images or crops (h, w, c).

    Raises:
      InputError: the architecture does not take this shape or this structure.
    """
    h, w, c = shape
    require(1 <= c <= 4, "channels", c, "1 to 4")
    match config.architecture:
        case "inverse":
            network = InverseNetwork(tuple(config.widths), config.blocks, config.depth)
        case "dense":
            require(h * w <= 64 * 64, "image_size", (h, w), "at most 64 x 64 for architecture dense; inverse takes any")
            network = DenseInverseNetwork(shape)
        case "recurrent":
            network = RecurrentRestorer(tuple(config.widths), config.blocks, config.iterations)
    return network.clone(dtype=config.dtype, keeps_known=config.keep_known)
