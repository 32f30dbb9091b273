"""A cache of compiled programs on disk, so that a process need not compile what an earlier one compiled."""

import os
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache


def keep_compiled() -> None:
    """Turns on JAX's compilation cache in the user's cache folder.

    It has no effect if the process already has a cache, e.g. by JAX_COMPILATION_CACHE_DIR.
    """
    if jax.config.jax_compilation_cache_dir is None:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(base / "jaxgen" / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
        compilation_cache.reset_cache()  # at the first compilation JAX decides for good whether there is a cache
