"""Generate and restore images in JAX."""

import importlib
from typing import Any

_HOMES = {
    "Algorithm": "jaxgen.algorithms.base",
    "DataConfig": "jaxgen.config",
    "GanConfig": "jaxgen.config",
    "GanHparams": "jaxgen.config",
    "InputError": "jaxgen.config",
    "TrainConfig": "jaxgen.config",
    "TrainState": "jaxgen.algorithms.base",
    "load": "jaxgen.bundles.model",
    "make_gan": "jaxgen.algorithms.gan",
    "open_source": "jaxgen.data.sources",
}
"""Public names and where they live. A name is imported when it is first asked for: an exported model needs no Flax."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
