"""Generate and restore images in JAX."""

from jaxgen.algorithms.base import Algorithm, TrainState
from jaxgen.algorithms.gan import make_gan
from jaxgen.config import DataConfig, GanConfig, GanHparams, InputError, TrainConfig
from jaxgen.data.sources import open_source

__all__ = [
    "Algorithm",
    "DataConfig",
    "GanConfig",
    "GanHparams",
    "InputError",
    "TrainConfig",
    "TrainState",
    "make_gan",
    "open_source",
]
