"""Compiled programs are kept on disk, so that a process starts without compiling what an earlier one compiled."""

import os
from pathlib import Path

import jax


def keep_compiled() -> None:
    """Turns on JAX's compilation cache, in the user's cache folder (JAX_COMPILATION_CACHE_DIR where it is set).

    Without effect where the process has a cache already.
    """
    if jax.config.jax_compilation_cache_dir is None:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(base / "jaxgen" / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
