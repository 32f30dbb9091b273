"""The surface of a volume by marching cubes, and the bytes of its files: STL, PLY and GLB."""

import json
import struct
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxgen.errors import InputError
from jaxgen.volumes.kinds import Affine

LEVEL = 0.5
"""Share at which the surface lies. Soft values place it between voxels; rounded ones would make it blocky."""
NEAR = 1e-3
"""Distance from the level, in shares, within which a value is moved below it."""
BESIDE = 1.25
"""Distance of the middles of bodies beside each other, as a multiple of the size of the largest."""


class Surface(NamedTuple):
    """A closed surface of triangles, seen counter-clockwise from outside.

    Attributes:
      vertices: (v, 3), x, y and z in millimetres.
      faces: (f, 3), numbers of vertices.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]


def surface_of(shares: Float[np.ndarray, "d h w"], affine: Affine, name: str = "volume") -> Surface:
    """Returns the surface of a volume where its values pass `LEVEL`; it is closed where the volume ends, too.

    Args:
      shares: soft values in [0, 1], 1 inside.
      affine: as in `Volume`; it places the surface, with the spacing.
      name: what the volume is called in errors.

    Raises:
      InputError: no voxel is above the level.

    References:
      Lewiner et al., "Efficient implementation of marching cubes' cases with topological guarantees", 2003.
    """
    from skimage.measure import marching_cubes

    if not shares.max() > LEVEL:
        raise InputError(f"{name}: is empty, its largest value is {shares.max():.3g}; accepted: values above {LEVEL}")
    # a value of exactly the level would give triangles without area
    padded = np.pad(np.where(np.abs(shares - LEVEL) < NEAR, LEVEL - NEAR, shares), 1).astype(np.float32)
    vertices, faces, _, _ = marching_cubes(padded, LEVEL)
    placed = (vertices.astype(np.float64) - 1.0)[:, ::-1] @ affine[:3, :3].T + affine[:3, 3]
    surface = Surface(placed, faces)
    return surface if volume_inside(surface) > 0 else surface._replace(faces=faces[:, ::-1])


def volume_inside(surface: Surface) -> float:
    """Returns the volume inside of a closed surface by the divergence theorem, negative if it is inside out."""
    a, b, c = np.moveaxis(surface.vertices[surface.faces] - surface.vertices.mean(0), 1, 0)
    return float(np.sum(a * np.cross(b, c)) / 6.0)


def beside(surfaces: list[Surface]) -> Surface:
    """Returns surfaces as one, the bodies in rows beside each other along x and y."""
    if len(surfaces) == 1:
        return surfaces[0]
    step = BESIDE * max(float(np.ptp(surface.vertices, axis=0).max()) for surface in surfaces)
    columns, vertices, faces, first = int(np.ceil(np.sqrt(len(surfaces)))), [], [], 0
    for i, surface in enumerate(surfaces):
        middle = (surface.vertices.min(0) + surface.vertices.max(0)) / 2
        row, column = divmod(i, columns)
        vertices.append(surface.vertices - middle + step * np.array([column, row, 0.0]))
        faces.append(surface.faces + first)
        first += len(surface.vertices)
    return Surface(np.concatenate(vertices), np.concatenate(faces))


def stl_bytes(surface: Surface) -> bytes:
    """Returns a binary STL file."""
    corners = surface.vertices[surface.faces]
    kind = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    triangles = np.zeros(len(corners), kind)
    triangles["normal"], triangles["corners"] = _unit(_crosses(surface)), corners
    return bytes(80) + struct.pack("<I", len(triangles)) + triangles.tobytes()


def ply_bytes(surface: Surface) -> bytes:
    """Returns a binary PLY file."""
    faces = np.zeros(len(surface.faces), np.dtype([("num", "u1"), ("corners", "<i4", 3)]))
    faces["num"], faces["corners"] = 3, surface.faces
    header = "\n".join(
        [
            "ply\nformat binary_little_endian 1.0",
            f"element vertex {len(surface.vertices)}",
            *(f"property float {axis}" for axis in "xyz"),
            f"element face {len(faces)}",
            "property list uchar int vertex_indices\nend_header\n",
        ]
    )
    return header.encode() + surface.vertices.astype("<f4").tobytes() + faces.tobytes()


def glb_bytes(surface: Surface, upwards: str = "-y") -> bytes:
    """Returns a binary glTF file with smooth normals.

    Args:
      surface: the surface; the millimetres are kept as they are.
      upwards: axis that the file turns upwards, to y: "z", or "-y" for rows of slices, which run downwards.
    """
    positions = surface.vertices.astype("<f4")
    parts = [positions, _normals(surface).astype("<f4"), surface.faces.astype("<u4")]
    starts = np.cumsum([0, *(part.nbytes for part in parts)]).tolist()
    limits = {"min": positions.min(0).tolist(), "max": positions.max(0).tolist()}
    turned = [-np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)] if upwards == "z" else [1.0, 0.0, 0.0, 0.0]
    views = [
        {"buffer": 0, "byteOffset": start, "byteLength": part.nbytes, "target": 34963 if i == 2 else 34962}
        for i, (start, part) in enumerate(zip(starts, parts, strict=False))
    ]
    vectors = {"componentType": 5126, "count": len(positions), "type": "VEC3"}
    document = {
        "asset": {"version": "2.0", "generator": "jaxgen"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "rotation": turned}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "NORMAL": 1}, "indices": 2, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.8}}],
        "buffers": [{"byteLength": starts[-1]}],
        "bufferViews": views,
        "accessors": [
            {"bufferView": 0, **vectors, **limits},
            {"bufferView": 1, **vectors},
            {"bufferView": 2, "componentType": 5125, "count": surface.faces.size, "type": "SCALAR"},
        ],
    }
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    data = b"".join(part.tobytes() for part in parts)  # of 4 bytes each, so that the end needs no filling
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _crosses(surface: Surface) -> Float[np.ndarray, "f 3"]:
    """Returns a vector for each face, outwards and twice as long as its area is large."""
    a, b, c = np.moveaxis(surface.vertices[surface.faces], 1, 0)
    return np.cross(b - a, c - a)


def _unit(vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)


def _normals(surface: Surface) -> Float[np.ndarray, "v 3"]:
    """Returns the mean direction of the faces around each vertex, weighted by their areas."""
    crosses, corners = np.repeat(_crosses(surface), 3, axis=0), surface.faces.ravel()
    num = len(surface.vertices)
    return _unit(np.stack([np.bincount(corners, crosses[:, axis], num) for axis in range(3)], axis=1))
