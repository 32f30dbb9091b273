"""Volumes that are written and read again, by other programs and by jaxgen."""

import logging
import sys

import numpy as np
import pytest
import tifffile

from jaxgen.errors import InputError
from jaxgen.volumes.kinds import Volume, affine_of, spacing
from jaxgen.volumes.reading import read_volume
from jaxgen.volumes.writing import ENCODERS, write_volume, write_volumes

SUFFIXES = [".npy", ".npz", ".tif", ".tiff", ".nii", ".nii.gz"]


def needed(suffix):
    if suffix.startswith(".nii"):
        pytest.importorskip("nibabel")


def volume(kind="int16", distances=(3.0, 1.0, 2.0), seed=0) -> Volume:
    values = np.random.default_rng(seed).integers(0, 2 if kind == "bool" else 100, (3, 4, 5, 1))
    return Volume(values.astype(np.float32), affine_of(distances), np.dtype(kind))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_values_and_type_survive(tmp_path, suffix, kind):
    needed(suffix)
    write_volume(tmp_path / f"a{suffix}", volume(kind))
    found = read_volume(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(found.values, volume(kind).values)
    assert found.dtype == kind
    if suffix in (".npz", ".nii", ".nii.gz") or (suffix[:4] == ".tif" and kind in ("uint8", "uint16", "float32")):
        assert spacing(found.affine) == (3.0, 1.0, 2.0)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_masks(tmp_path, suffix):
    needed(suffix)
    write_volume(tmp_path / f"a{suffix}", volume("bool"))
    np.testing.assert_array_equal(read_volume(tmp_path / f"a{suffix}").values > 0, volume("bool").values > 0)


def test_a_scan_is_written_as_it_was(tmp_path):
    """The bytes of an unchanged scan: header, its codes of space, and numbers with their factor."""
    nibabel = pytest.importorskip("nibabel")
    affine = np.array([[-2.0, 0.1, 0, 90], [0, 0, 1.5, -126], [0.1, 3.0, 0, -72], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(5, 4, 3), affine)
    image.header["descrip"], image.header["cal_max"] = b"a scan", 7
    image.set_qform(affine, 1)
    image.header.set_slope_inter(0.5, -10)
    image.to_filename(tmp_path / "a.nii")
    write_volume(tmp_path / "b.nii", read_volume(tmp_path / "a.nii"))
    assert (tmp_path / "b.nii").read_bytes() == (tmp_path / "a.nii").read_bytes()


def test_new_values_of_a_scan_are_rounded_and_cut_to_its_type(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.diag([2.0, 2, 2, 1]))
    image.header.set_slope_inter(0.5, -10)
    image.to_filename(tmp_path / "a.nii.gz")
    scan = read_volume(tmp_path / "a.nii.gz")
    values = np.linspace(-20, 130, 8, dtype=np.float32).reshape(2, 2, 2, 1)
    write_volume(tmp_path / "b.nii.gz", scan._replace(values=values))
    stored = np.clip(np.rint((values[..., 0].T + 10) / 0.5), 0, 255)
    np.testing.assert_array_equal(nibabel.load(tmp_path / "b.nii.gz").get_fdata(), stored * 0.5 - 10)


def test_nifti_2_stays_that(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    nibabel.Nifti2Image(np.zeros((2, 2, 2), np.int16), np.eye(4)).to_filename(tmp_path / "a.nii")
    write_volume(tmp_path / "b.nii", read_volume(tmp_path / "a.nii"))
    assert isinstance(nibabel.load(tmp_path / "b.nii"), nibabel.Nifti2Image)


def test_several_volumes_in_one_file(tmp_path):
    nibabel, several = pytest.importorskip("nibabel"), [volume(seed=0), volume(seed=1)]
    expected = np.stack([one.values[..., 0] for one in several])
    for suffix in SUFFIXES:
        write_volumes(tmp_path / f"a{suffix}", several)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), expected)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npz")["volumes"], expected)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), expected)
    np.testing.assert_array_equal(nibabel.load(tmp_path / "a.nii.gz").get_fdata(), expected.T)
    for suffix in (".nii.gz", ".nii"):
        np.testing.assert_array_equal(read_volume(tmp_path / f"a{suffix}", 1).values, several[1].values)


@pytest.mark.parametrize("suffix", [".stl", ".glb", ".ply"])
def test_an_empty_mesh_is_refused_and_leaves_no_file(tmp_path, suffix):
    path, empty = tmp_path / f"a{suffix}", Volume(np.zeros((3, 3, 3, 1), np.float32))
    with pytest.raises(
        InputError, match=rf"^.*a{suffix}: is empty, its largest value is 0; accepted: values above 0.5$"
    ):
        write_volume(path, empty)
    assert not path.exists()


def test_of_several_bodies_the_empty_ones_are_left_out(tmp_path, caplog):
    trimesh = pytest.importorskip("trimesh")
    full, empty = (Volume(np.full((4, 4, 4, 1), share, np.float32)) for share in (1.0, 0.0))
    with caplog.at_level(logging.WARNING):
        write_volumes(tmp_path / "a.stl", [full, empty, full])
    assert "of 3 volumes 1 are empty and left out" in caplog.text
    assert trimesh.load(tmp_path / "a.stl").body_count == 2


def test_what_cannot_be_written(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"out: got .*a\.obj'; accepted: a name that ends in \.nii\.gz"):
        write_volume(tmp_path / "a.obj", volume())
    coloured = Volume(np.zeros((3, 3, 3, 3), np.float32))
    for suffix in ENCODERS:
        with pytest.raises(InputError, match="of 3 channels'; accepted: one channel"):
            write_volume(tmp_path / f"a{suffix}", coloured)
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(InputError, match=r"needs the package nibabel: pip install 'jaxgen\[volumes\]'"):
        write_volume(tmp_path / "a.nii", volume())
