"""The size of volumes: the central cube, resized by means over the new voxels or by linear interpolation."""

import numpy as np
from jaxtyping import Float

from jaxgen.volumes.kinds import Volume, spacing


def upright(volume: Volume) -> Volume:
    """Returns a volume whose axes w, h and d go to the right, to the front and up, as near as its affine allows.

    Axes are exchanged and mirrored, nothing is interpolated; the affine follows.
    """
    axes = _nearest_axes(volume.affine)
    values, affine = volume.values[..., 0].T, volume.affine[:, [*axes, 3]].copy()
    values = values.transpose(axes)
    for axis in range(3):
        if affine[axis, axis] < 0:
            values = np.flip(values, axis)
            affine[:3, 3] += affine[:3, axis] * (values.shape[axis] - 1)
            affine[:, axis] *= -1
    return volume._replace(values=np.ascontiguousarray(values.T)[..., None], affine=affine)


def fit_volume(volume: Volume, size: int | None) -> Float[np.ndarray, "d h w c"]:
    """Cuts a volume to its central cube, of equal sides in millimetres, and resizes that.

    Args:
      volume: a volume of any size and spacing.
      size: voxels of the result along each axis; None keeps the volume as it is.

    Returns:
      (size, size, size, c): where the new voxels are larger, the mean over each of them, which is a block mean for
      whole factors; where they are smaller, linear interpolation.
    """
    x = volume.values
    if size is None or x.shape[:3] == (size,) * 3:
        return x
    for axis, (start, length) in enumerate(_central(x.shape[:3], spacing(volume.affine))):
        x = _resized(x.take(range(start, start + length), axis), size, axis)
    return x


def resize(values: Float[np.ndarray, "d h w c"], sizes: tuple[int, ...]) -> Float[np.ndarray, "e i x c"]:
    """Returns values on as many voxels as asked for along each axis, in the same space; see `fit_volume`."""
    for axis, size in enumerate(sizes):
        values = values if values.shape[axis] == size else _resized(values, size, axis)
    return values


def cubic_sizes(volume: Volume) -> tuple[int, ...]:
    """Returns the sizes (d, h, w) that a volume has on cubic voxels, which are as large as the shortest side of its."""
    distances = spacing(volume.affine)
    return tuple(
        round(n * distance / min(distances)) for n, distance in zip(volume.values.shape, distances, strict=False)
    )


def is_cut(volume: Volume) -> bool:
    """Returns whether `fit_volume` to a size leaves out voxels at the sides."""
    shape = volume.values.shape[:3]
    return any(length < side for (_, length), side in zip(_central(shape, spacing(volume.affine)), shape, strict=True))


def _central(shape: tuple[int, ...], distances: tuple[float, ...]) -> list[tuple[int, int]]:
    """Returns the first voxel and the number of voxels of the central cube along each axis."""
    edge = min(side * distance for side, distance in zip(shape, distances, strict=True))
    lengths = [max(1, min(side, round(edge / distance))) for side, distance in zip(shape, distances, strict=True)]
    return [((side - length) // 2, length) for side, length in zip(shape, lengths, strict=True)]


def _resized(x: np.ndarray, size: int, axis: int) -> np.ndarray:
    return np.moveaxis(np.tensordot(_weights(x.shape[axis], size), x, (1, axis)), 0, axis)


def _weights(length: int, size: int) -> Float[np.ndarray, "size length"]:
    """Returns the matrix that resizes an axis: shares of overlap to fewer voxels, linear weights to more."""
    if size <= length:
        edges = np.arange(size + 1) * (length / size)
        cells = np.arange(length)
        overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
        return (np.maximum(overlap, 0.0) * (size / length)).astype(np.float32)
    centres = (np.arange(size) + 0.5) * (length / size) - 0.5
    return np.stack([np.interp(centres, np.arange(length), row) for row in np.eye(length)], axis=1).astype(np.float32)


def _nearest_axes(affine: Float[np.ndarray, "4 4"]) -> list[int]:
    """Returns which voxel axis goes along each axis of the world; the clearest pairs are matched first."""
    strength = np.abs(affine[:3, :3]) / np.linalg.norm(affine[:3, :3], axis=0)
    axes = [0, 0, 0]
    for _ in range(3):
        world, voxel = np.unravel_index(int(strength.argmax()), (3, 3))
        axes[world] = int(voxel)
        strength[world], strength[:, voxel] = -1.0, -1.0
    return axes
