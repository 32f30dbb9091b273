"""Pictures of volumes: slices, and the surface from one side or turning."""

import math

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from jaxgen.errors import require
from jaxgen.images import BACKGROUND, make_grid, to_uint8
from jaxgen.volumes.surface import LEVEL

Bytes = UInt8[np.ndarray, "n d h w c"]
PIXELS = 128
"""Side of a picture of a surface."""
FRAMED = 1.4
"""Side of what a picture shows, as a multiple of the longest side; what turns rarely fills the corners."""
TILT = 20.0
"""Degrees from which a surface is seen from above."""
LIGHT = np.array([-0.7, -0.5, -0.5]) / np.linalg.norm([-0.7, -0.5, -0.5])
"""Direction to the light in depth, rows and columns of a picture: from the front, from above and from the left."""


def orthogonal_slices(volumes: np.ndarray) -> UInt8[np.ndarray, "n 3 s s c"]:
    """Returns the middle slice of each volume across d, h and w; in a square of the longest side, filled with black.

    Args:
      volumes: (n, d, h, w, c), uint8 or floats in [-1, 1].
    """
    x = _bytes(volumes)
    _, d, h, w, _ = x.shape
    return np.stack([_square(y, max(d, h, w)) for y in (x[:, d // 2], x[:, :, h // 2], x[:, :, :, w // 2])], axis=1)


def montage(volumes: np.ndarray, columns: int | None = None) -> UInt8[np.ndarray, "H W 1"]:
    """Returns a picture of volumes: for each its three middle slices and its surface, from the front.

    Args:
      volumes: (n, d, h, w, 1), uint8 or floats in [-1, 1].
      columns: volumes in a row; None makes the picture about square.
    """
    x = _bytes(volumes)
    columns = columns or max(1, round(math.sqrt(len(x)) / 2))
    slices = orthogonal_slices(x)
    views = np.stack([_fitted(surface_view(volume), slices.shape[2]) for volume in x])[:, None]
    cells = np.concatenate([slices, views[..., None]], axis=1)
    return make_grid(cells.reshape(-1, *cells.shape[2:]), 4 * columns)


def turning(volumes: np.ndarray, frames: int = 36, columns: int | None = None) -> UInt8[np.ndarray, "t H W 1"]:
    """Returns the frames of a picture in which the surfaces of volumes turn once, for `save_gif`.

    Args:
      volumes: (n, d, h, w, 1), uint8 or floats in [-1, 1].
      frames: number of frames of a turn, 2 or more.
      columns: volumes in a row.
    """
    x = _bytes(volumes)
    angles = 360.0 * np.arange(frames) / frames
    views = (np.stack([surface_view(volume, angle) for volume in x]) for angle in angles)
    return np.stack([make_grid(view[..., None], columns) for view in views])


def surface_view(volume: np.ndarray, angle: float = 0.0) -> UInt8[np.ndarray, "s s"]:
    """Returns a shaded picture of the surface at the middle grey, seen from a little above, over light grey.

    At angle 0 one looks along d, with h downwards and w to the right, as at a slice. Each pixel is a ray, which is
    followed to where it meets the surface; the light falls on the slope of the smoothed volume there.

    Args:
      volume: (d, h, w, 1), uint8 or floats in [-1, 1].
      angle: degrees by which the volume is turned about h.
    """
    shares = np.pad(_bytes(volume[None])[0, ..., 0].astype(np.float32) / 255.0, 1)
    matrix, offset, shape = _eye(shares.shape, angle)
    rays = ndimage.affine_transform(shares, matrix, offset, shape, order=1)
    hit = (rays > LEVEL).any(axis=0)
    rows, columns = np.nonzero(hit)
    first = (rays[:, rows, columns] > LEVEL).argmax(axis=0)
    after, before = rays[first, rows, columns], rays[np.maximum(first - 1, 0), rows, columns]
    depth = first - (after - LEVEL) / np.maximum(after - before, 1e-6)
    places = matrix @ np.stack([depth, rows, columns]) + offset[:, None]
    smooth = ndimage.gaussian_filter(shares, 1.0)
    slopes = np.stack([ndimage.map_coordinates(ndimage.sobel(smooth, axis), places, order=1) for axis in range(3)])
    normals = -slopes / np.maximum(np.linalg.norm(slopes, axis=0), 1e-6)
    to_light = matrix / np.linalg.norm(matrix, axis=0) @ LIGHT
    picture = np.full(hit.shape, BACKGROUND, np.uint8)
    light, near = np.clip(to_light @ normals, 0.0, 1.0), 1.0 - depth / len(rays)
    picture[rows, columns] = np.clip(255.0 * (0.12 + 0.58 * light + 0.22 * near), 0, 255)
    return picture


def _eye(
    shape: tuple[int, ...], angle: float
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"], tuple[int, int, int]]:
    """Returns how the voxels of depth from the eye, row and column of a picture are found: matrix, offset and shape.

    Args:
      shape: (d, h, w) of the volume.
      angle: degrees by which it is turned about h; it is then tilted by `TILT`.
    """
    turn, tilt = np.deg2rad(angle), np.deg2rad(TILT)
    about_h = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    about_w = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    pixel = FRAMED * max(shape) / PIXELS
    matrix = about_h @ about_w @ np.diag([1.0, pixel, pixel])
    eye = (math.ceil(np.linalg.norm(shape)), PIXELS, PIXELS)
    return matrix, (np.array(shape) - 1) / 2 - matrix @ ((np.array(eye) - 1) / 2), eye


def _bytes(volumes: np.ndarray) -> Bytes:
    """Returns volumes as uint8."""
    x = np.asarray(volumes)
    require(x.ndim == 5 and min(x.shape) > 0, "volumes", x.shape, "(n, d, h, w, c), none of them 0")
    return x if x.dtype == np.uint8 else to_uint8(x)


def _square(pictures: UInt8[np.ndarray, "n h w c"], side: int) -> UInt8[np.ndarray, "n s s c"]:
    """Returns pictures in the middle of black squares."""
    missing = [side - size for size in pictures.shape[1:3]]
    return np.pad(pictures, [(0, 0), *((m // 2, m - m // 2) for m in missing), (0, 0)])


def _fitted(picture: UInt8[np.ndarray, "s s"], side: int) -> UInt8[np.ndarray, "t t"]:
    """Returns a picture at another size."""
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BOX))
