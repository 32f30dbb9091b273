"""Generate and restore images in JAX."""

import importlib
from typing import Any

_HOMES = {
    "Algorithm": "jaxgen.training.step",
    "DataConfig": "jaxgen.data.config",
    "GanConfig": "jaxgen.tasks.gan.config",
    "GanHparams": "jaxgen.tasks.gan.config",
    "InputError": "jaxgen.errors",
    "TrainConfig": "jaxgen.training.config",
    "TrainState": "jaxgen.training.step",
    "evaluate": "jaxgen.api",
    "load": "jaxgen.bundles.model",
    "make_gan": "jaxgen.tasks.gan.algorithm",
    "open_source": "jaxgen.data.sources",
    "project": "jaxgen.tasks.gan.project",
    "restore": "jaxgen.api",
    "sample": "jaxgen.api",
    "train_gan": "jaxgen.api",
    "train_restorer": "jaxgen.api",
}
"""Modules of the public names. A name is imported at its first use, so that exported models need no Flax."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
