"""Generate and restore images in JAX."""

import importlib
from typing import Any

_HOMES = {
    "Algorithm": "jaxgen.training.step",
    "DataConfig": "jaxgen.data.config",
    "GanConfig": "jaxgen.tasks.gan.config",
    "GanHparams": "jaxgen.tasks.gan.config",
    "InputError": "jaxgen.errors",
    "Model": "jaxgen.bundles.model",
    "NonFiniteError": "jaxgen.errors",
    "Projection": "jaxgen.tasks.gan.project",
    "RestorationConfig": "jaxgen.tasks.restoration.config",
    "RestorationHparams": "jaxgen.tasks.restoration.config",
    "Source": "jaxgen.data.base",
    "TrainConfig": "jaxgen.training.config",
    "TrainState": "jaxgen.training.step",
    "Trained": "jaxgen.tasks.base",
    "evaluate": "jaxgen.api.using",
    "load": "jaxgen.loading",
    "make_gan": "jaxgen.tasks.gan.algorithm",
    "open_source": "jaxgen.data.sources",
    "project": "jaxgen.api.using",
    "restore": "jaxgen.api.using",
    "sample": "jaxgen.api.using",
    "train_gan": "jaxgen.api.training",
    "train_restorer": "jaxgen.api.training",
    "upscale": "jaxgen.api.using",
}
"""Modules of the public names. A name is imported at its first use, so that exported models need no Flax."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("jaxgen")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
