"""Arrays as users give them, converted to the integers that the rest of the package takes."""

from typing import Any

import numpy as np

from jaxgen.errors import require


def to_integers(array: np.ndarray, field: str, dtype: Any) -> np.ndarray:
    """Returns floats in [0, 1] scaled to the whole range of an integer type."""
    real = np.issubdtype(array.dtype, np.floating)
    accepted = "uint8, uint16 or floats in [0, 1]"
    require(real, field, str(array.dtype), accepted)
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    require(low >= 0 and high <= 1, field, f"floats from {low:g} to {high:g}", accepted)
    return np.rint(array.astype(np.float64) * np.iinfo(dtype).max).astype(dtype)
