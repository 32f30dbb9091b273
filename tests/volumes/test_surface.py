"""Surfaces against the sphere and the box, and their files as trimesh reads them."""

from collections import Counter

import numpy as np
import pytest

from jaxgen.errors import InputError
from jaxgen.volumes.kinds import affine_of
from jaxgen.volumes.surface import beside, glb_bytes, ply_bytes, stl_bytes, surface_of, volume_inside

WRITERS = {"stl": stl_bytes, "ply": ply_bytes, "glb": glb_bytes}
MIRRORED = np.array([[-1.0, 0.1, 0, 5], [0, 0, 2, 1], [0, 3, 0, 2], [0, 0, 0, 1]])


def sphere(radius=12.3, size=32, spacing=(1.0, 1.0, 1.0)):
    """Soft values of a sphere of a radius in millimetres: the share of a voxel that is inside, nearly."""
    places = [(np.arange(size) - (size - 1) / 2) * step for step in spacing]
    distance = np.sqrt(sum(axis**2 for axis in np.meshgrid(*places, indexing="ij")))
    return np.clip(radius - distance + 0.5, 0, 1).astype(np.float32)


def area(surface):
    a, b, c = np.moveaxis(surface.vertices[surface.faces], 1, 0)
    return np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2


def is_closed(surface):
    """Each edge belongs to two faces, which pass it in opposite directions."""
    edges = Counter(tuple(face[[i, (i + 1) % 3]].tolist()) for face in surface.faces for i in range(3))
    return all(num == 1 and edges[end, start] == 1 for (start, end), num in edges.items())


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 0.8, 0.9)])
def test_a_sphere_has_its_area_and_volume_and_is_closed(spacing):
    surface = surface_of(sphere(spacing=spacing), affine_of(spacing))
    assert volume_inside(surface) == pytest.approx(4 / 3 * np.pi * 12.3**3, rel=0.02)
    assert area(surface) == pytest.approx(4 * np.pi * 12.3**2, rel=0.02)
    assert is_closed(surface)


def test_hard_values_would_be_blocky():
    """What soft values are good for: the area of rounded ones is too large."""
    surface = surface_of(np.rint(sphere()), np.eye(4))
    assert area(surface) > 1.05 * 4 * np.pi * 12.3**2


def test_a_full_volume_is_closed_at_its_ends():
    surface = surface_of(np.ones((4, 5, 6), np.float32), np.eye(4))
    assert is_closed(surface)
    np.testing.assert_allclose(surface.vertices.min(0), -0.5)
    np.testing.assert_allclose(surface.vertices.max(0), [5.5, 4.5, 3.5])  # x along w


def test_the_affine_places_the_surface_and_keeps_the_outside_out():
    shares = np.zeros((4, 5, 6), np.float32)
    shares[1, 2, 3] = 1
    surface = surface_of(shares, MIRRORED)
    np.testing.assert_allclose(surface.vertices.mean(0), MIRRORED[:3] @ [3, 2, 1, 1], atol=1e-6)
    assert volume_inside(surface) == pytest.approx(6 * volume_inside(surface_of(shares, np.eye(4))))


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("affine", [np.eye(4), MIRRORED], ids=["plain", "mirrored"])
def test_other_programs_read_a_closed_mesh(tmp_path, kind, affine):
    trimesh = pytest.importorskip("trimesh")
    surface = surface_of(sphere(8.0, 20), affine)
    (tmp_path / f"a.{kind}").write_bytes(WRITERS[kind](surface))
    mesh = trimesh.load(tmp_path / f"a.{kind}", force="mesh")
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    inside = 4 / 3 * np.pi * 8.0**3 * abs(np.linalg.det(affine[:3, :3]))
    assert mesh.volume == pytest.approx(inside, rel=0.02)  # positive: seen from outside
    assert len(mesh.faces) == len(surface.faces)


def test_values_of_exactly_the_level(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    shares = np.random.default_rng(0).choice(np.array([0, 0.5, 1], np.float32), (8, 8, 8))
    (tmp_path / "a.stl").write_bytes(stl_bytes(surface_of(shares, np.eye(4))))
    assert trimesh.load(tmp_path / "a.stl").is_watertight


@pytest.mark.parametrize(("upwards", "expected"), [("z", [0, 2, -1]), ("-y", [0, -1, -2])])
def test_glb_stands_upright(tmp_path, upwards, expected):
    """glTF has y upwards; the corner at (0, 1, 2) is turned there."""
    trimesh = pytest.importorskip("trimesh")
    shares = np.zeros((4, 4, 4), np.float32)
    shares[2, 1, 0] = 1
    (tmp_path / "a.glb").write_bytes(glb_bytes(surface_of(shares, np.eye(4)), upwards))
    mesh = trimesh.load(tmp_path / "a.glb", force="mesh")
    np.testing.assert_allclose(mesh.vertices.mean(0), expected, atol=1e-5)


def test_bodies_beside_each_other_do_not_touch():
    one = surface_of(sphere(5.0, 12), np.eye(4))
    joined = beside([one] * 5)
    assert is_closed(joined)
    assert volume_inside(joined) == pytest.approx(5 * volume_inside(one))
    extents = np.ptp(joined.vertices, axis=0) / np.ptp(one.vertices, axis=0)
    np.testing.assert_allclose(extents, [3.5, 2.25, 1])  # three in a row, two rows, a quarter between


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_an_empty_volume_is_refused(value):
    with pytest.raises(
        InputError, match=f"^scan: is empty, its largest value is {value:g}; accepted: values above 0.5$"
    ):
        surface_of(np.full((3, 3, 3), value, np.float32), np.eye(4), "scan")
