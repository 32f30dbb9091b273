"""The surface of a volume as the page makes it, in Node.js, against scikit-image and the divergence theorem."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import marching_cubes

from tests.web.node import run_script

SCRIPT = """
import { stlBytes, surfaceOf } from "./surface.mjs";
import { readFileSync, writeFileSync } from "node:fs";
const { sizes } = JSON.parse(process.argv[2]);
const data = new Float32Array(new Uint8Array(readFileSync("volume")).buffer);
const surface = surfaceOf({ data, sizes });
writeFileSync("points", new Uint8Array(surface.points.buffer));
writeFileSync("faces", new Uint8Array(surface.faces.buffer));
writeFileSync("stl", stlBytes(surface));
"""


def surface(folder: Path, volume: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    (folder / "volume").write_bytes(volume.astype(np.float32).tobytes())
    run_script(folder, "surface", SCRIPT, sizes=volume.shape)
    points, faces = ((folder / name).read_bytes() for name in ("points", "faces"))
    return np.frombuffer(points, np.float32).reshape(-1, 3), np.frombuffer(faces, np.uint32).reshape(-1, 3)


def inside(points: np.ndarray, faces: np.ndarray) -> float:
    """The volume inside by the divergence theorem; positive if faces are counter-clockwise from outside."""
    a, b, c = np.moveaxis(points[faces].astype(np.float64), 1, 0)
    return float(np.sum(a * np.cross(b, c)) / 6)


def assert_closed(faces: np.ndarray) -> None:
    """Each edge is passed once in each direction."""
    edges = np.concatenate([faces[:, [i, (i + 1) % 3]] for i in range(3)])
    found, counts = np.unique(edges, axis=0, return_counts=True)
    assert set(counts) == {1}
    assert {tuple(edge) for edge in found} == {tuple(edge[::-1]) for edge in found}


def ball(sizes: tuple[int, ...], radius: float) -> np.ndarray:
    grid = np.indices(sizes, np.float32)
    middle = (np.float32(sizes) - 1).reshape(3, 1, 1, 1) / 2
    return np.clip(0.5 + (radius - np.linalg.norm(grid - middle, axis=0)) / 4, 0, 1)


def test_a_ball_has_the_points_of_scikit_image_and_the_volume_of_a_ball(tmp_path: Path) -> None:
    volume = ball((21, 23, 25), 8.0)
    points, faces = surface(tmp_path, volume)
    expected, _, _, _ = marching_cubes(np.where(np.abs(volume - 0.5) < 1e-3, np.float32(0.499), volume), 0.5)
    order = [np.lexsort(np.round(p, 3).T) for p in (points, expected[:, ::-1])]
    np.testing.assert_allclose(points[order[0]], expected[:, ::-1][order[1]], atol=2e-3)
    assert_closed(faces)
    assert inside(points, faces) == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.01)


@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_any_volume_has_a_closed_surface_even_where_it_meets_the_border(tmp_path: Path, smooth: float) -> None:
    noise = np.random.default_rng(0).random((12, 9, 14))
    volume = noise if smooth == 0 else 0.5 + 4 * (ndimage.gaussian_filter(noise, smooth) - 0.5)
    volume = np.clip(volume, 0, 1)
    points, faces = surface(tmp_path, volume)
    edges = np.concatenate([faces[:, [i, (i + 1) % 3]] for i in range(3)])
    there, back = (sorted(map(tuple, pairs)) for pairs in (edges, edges[:, ::-1]))
    assert there == back  # closed; where bodies touch, edges may belong to both
    padded = np.pad(volume, 1).astype(np.float32)
    expected, corners, _, _ = marching_cubes(padded, 0.5)
    found, other = inside(points, faces), abs(inside(expected, corners))
    assert found == pytest.approx(other, rel=0.06 if smooth else 0.2)  # ambiguous cubes may be joined or apart


def test_an_empty_volume_has_none_and_a_file_holds_the_triangles(tmp_path: Path) -> None:
    points, faces = surface(tmp_path, np.zeros((3, 4, 5)))
    assert len(points) == len(faces) == 0
    assert len((tmp_path / "stl").read_bytes()) == 84
    points, faces = surface(tmp_path, ball((7, 7, 7), 2.2))
    data = (tmp_path / "stl").read_bytes()
    kind = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    triangles = np.frombuffer(data, kind, offset=84)
    assert int.from_bytes(data[80:84], "little") == len(triangles) == len(faces)
    np.testing.assert_array_equal(triangles["corners"], points[faces])
    assert (np.sum(triangles["normal"] * (triangles["corners"].mean(axis=1) - 3), axis=1) > 0).all()  # outwards
