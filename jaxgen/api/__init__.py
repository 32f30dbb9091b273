"""The Python interface: functions from arrays to arrays, which train by the same loop as the command line."""

from jaxgen.api.training import train_gan, train_restorer
from jaxgen.api.using import evaluate, project, restore, sample, upscale

__all__ = ["evaluate", "project", "restore", "sample", "train_gan", "train_restorer", "upscale"]
