"""The record of a volume, and the kinds of files that hold one."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from jaxgen.errors import InputError

Affine = Float[np.ndarray, "4 4"]
VOLUME_SUFFIXES = (".nii.gz", ".nii", ".tif", ".tiff", ".npy", ".npz")
"""Suffixes of the files of one volume that are read and written."""
MESH_SUFFIXES = (".stl", ".glb", ".ply")
"""Suffixes of the files of a surface, which are written alone."""


class Volume(NamedTuple):
    """A volume with all that is needed to write it again.

    Attributes:
      values: (d, h, w, c), in the unit of the file. Of NIfTI, whose first index runs fastest, w is the first axis.
      affine: takes (w, h, d, 1) in voxels to millimetres, as NIfTI has it; without a file the identity.
      dtype: type of the numbers in the file.
      slope: factor by which the numbers of a NIfTI file are multiplied.
      intercept: what is added to them then.
      header: header of a NIfTI file, or None.
      numbers: (d, h, w), the very numbers to write; None for those of `values`.
    """

    values: Float32[np.ndarray, "d h w c"]
    affine: Affine = np.eye(4)
    dtype: np.dtype = np.dtype(np.float32)
    slope: float = 1.0
    intercept: float = 0.0
    header: Any = None
    numbers: np.ndarray | None = None


def spacing(affine: Affine) -> tuple[float, float, float]:
    """Returns the distance of neighbouring voxels along d, h and w in millimetres."""
    w, h, d = np.linalg.norm(affine[:3, :3], axis=0).tolist()
    return d, h, w


def affine_of(distances: Iterable[float]) -> Affine:
    """Returns the affine of a volume with these distances along d, h and w, not turned and with its origin at 0."""
    d, h, w = distances
    return np.diag([w, h, d, 1.0])


def suffix_of(path: str | Path, suffixes: Iterable[str] = (*VOLUME_SUFFIXES, *MESH_SUFFIXES)) -> str | None:
    """Returns which of some suffixes a path ends in, in upper or lower case; None for any other path."""
    name = Path(path).name.lower()
    return next((suffix for suffix in suffixes if name.endswith(suffix) and name != suffix), None)


def needing(package: str, what: str) -> InputError:
    """Returns the error for a package that is missing: what needs it, and the command that installs it."""
    return InputError(f"{what}: needs the package {package}: pip install 'jaxgen[volumes]'")
