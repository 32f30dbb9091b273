"""Metrics of the shape of volumes: how much of them is occupied, and whether that is one body."""

import numpy as np
from jaxtyping import Float, Float64, UInt8
from scipy import ndimage

from jaxgen.metrics.checks import require_features

MIDDLE = 127.5
"""Grey level above which a voxel belongs to a body."""


def occupancies(volumes: UInt8[np.ndarray, "n *s c"]) -> Float64[np.ndarray, " n"]:
    """Returns the share of each volume that is occupied, a grey voxel in part: the mean of its values, white being 1.

    Not the share of voxels above the middle grey: in volumes reduced from masks many surface voxels are exactly there.
    """
    return volumes.reshape(len(volumes), -1).mean(axis=1) / 255


def largest_components(volumes: UInt8[np.ndarray, "n *s c"]) -> Float64[np.ndarray, " n"]:
    """Returns the share of each volume's voxels above the middle grey that are in its largest body.

    The voxels of a body touch by their faces. The share is 1 for a single body, and 0 if no voxel is above the middle.
    """
    return np.array([_largest_share(volume) for volume in _bright(volumes)])


def histogram_distance(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " m"]) -> float:
    """Returns the area between the distribution functions of two sets of numbers, the 1-Wasserstein distance.

    It is the mean distance by which the numbers of one set are moved to become the other, and in their unit.

    Raises:
      InputError: no numbers, or one that is not finite.

    References:
      Vallender, "Calculation of the Wasserstein Distance Between Probability Distributions on the Line", 1973.
    """
    for field, values in (("first", first), ("second", second)):
        require_features(values[:, None], field)
    places = np.sort(np.concatenate([first, second]))
    shares = [np.searchsorted(np.sort(x), places[:-1], "right") / len(x) for x in (first, second)]
    return float(np.sum(np.abs(shares[0] - shares[1]) * np.diff(places)))


def _bright(volumes: UInt8[np.ndarray, "n *s c"]) -> np.ndarray:
    return volumes[..., 0] > MIDDLE if volumes.shape[-1] == 1 else volumes.mean(axis=-1) > MIDDLE


def _largest_share(occupied: np.ndarray) -> float:
    names, num = ndimage.label(occupied)
    return float(np.bincount(names.ravel())[1:].max() / occupied.sum()) if num else 0.0
