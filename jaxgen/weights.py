"""Files of weights: parameters in 16 or 8 bits, with notes on their origin, as safetensors (never pickle)."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from jaxgen.errors import InputError, require

LARGE = 2**14
"""Values from which an array of a file of 8 bits has 8 bits."""
SCALE = "|scale"
"""Ends the name of the array of scales that belongs to an array of 8 bits."""


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 hash of a file's bytes, in hexadecimal.

    Raises:
      InputError: there is no such file.
    """
    require(path.is_file(), "weights", str(path), "an existing file")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def require_published(path: Path, sha256: str) -> None:
    """Raises `InputError` if a weights file in the installed package is not the one that was published."""
    found = sha256_of(path)
    if found != sha256:
        raise InputError(f"{path}: damaged (sha256 {found}); accepted: {sha256}; install jaxgen anew")


def save_params(path: Path, params: Any, notes: Mapping[str, str], bits: int = 16) -> None:
    """Writes parameters as safetensors, with notes.

    Args:
      path: file to write.
      params: a pytree of float arrays.
      notes: texts by name.
      bits: 16 for half precision; 8 for whole numbers from -127 to 127 with one scale for each output channel, in all
        arrays of `LARGE` values or more. The first and last layers of a network are smaller, and matter most.
    """
    flat = flatten_dict(params, sep="/")
    arrays = {name: np.ascontiguousarray(a, np.float16) for name, a in flat.items()}
    for name, a in flat.items() if bits == 8 else ():
        if a.ndim > 1 and a.size >= LARGE:
            scale = np.asarray(np.abs(a).max(axis=tuple(range(a.ndim - 1))) / 127.0, np.float32)
            scaled = np.asarray(a, np.float32) / np.where(scale == 0.0, np.float32(1.0), scale)
            arrays[name], arrays[name + SCALE] = np.clip(np.rint(scaled), -127, 127).astype(np.int8), scale
    save_file(arrays, path, dict(notes))


def load_params(path: Path) -> Any:
    """Reads the parameters that `save_params` wrote, as float32.

    Raises:
      InputError: there is no such file, or it is not a safetensors file.
    """
    with _opened(path) as file:
        flat = {name: np.asarray(file.get_tensor(name), np.float32) for name in file.keys()}
    scales = {name.removesuffix(SCALE): flat.pop(name) for name in list(flat) if name.endswith(SCALE)}
    return unflatten_dict({name: jnp.asarray(a * scales.get(name, 1)) for name, a in flat.items()}, sep="/")


def load_notes(path: Path) -> dict[str, str]:
    """Reads the notes that `save_params` wrote.

    Raises:
      InputError: see `load_params`.
    """
    with _opened(path) as file:
        return file.metadata() or {}


def _opened(path: Path) -> Any:
    require(path.is_file(), "weights", str(path), "an existing file")
    try:
        return safe_open(path, "numpy")
    except SafetensorError as error:
        raise InputError(f"{path}: cannot be read ({error}); accepted: a .safetensors file of weights") from None
