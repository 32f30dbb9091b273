"""Files of volumes as other programs write them, and what is refused."""

import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxgen.errors import InputError
from jaxgen.volumes.kinds import spacing
from jaxgen.volumes.reading import read_volume

AFFINE = np.array([[-2.0, 0, 0, 90], [0, 0, 1.5, -126], [0, 3.0, 0, -72], [0, 0, 0, 1]])


def noise(*shape: int, kind: str = "int16") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 100, shape).astype(kind)


def save_nifti(path, array, affine=AFFINE, **changes):
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(array, affine)
    for field, value in changes.items():
        image.header[field] = value
    image.to_filename(path)
    return path


def refused(path, **kw) -> str:
    with pytest.raises(InputError) as caught:
        read_volume(path, **kw)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "NII.GZ"])
def test_nifti_keeps_affine_type_and_header(tmp_path, suffix):
    array = noise(5, 4, 3)  # x y z
    path = save_nifti(tmp_path / "a.nii", array, descrip=b"a scan", sform_code=4)
    if suffix != "nii":
        import gzip

        packed = tmp_path / f"b.{suffix}"
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path = packed
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.values, array.transpose(2, 1, 0)[..., None])
    np.testing.assert_array_equal(volume.affine, AFFINE)
    assert spacing(volume.affine) == (1.5, 3.0, 2.0)  # d, h, w
    assert (volume.dtype, bytes(volume.header["descrip"]).rstrip(b"\0")) == (np.int16, b"a scan")


def test_nifti_with_a_factor(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(noise(5, 4, 3), AFFINE)
    image.header.set_slope_inter(0.5, -10)
    image.to_filename(tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    np.testing.assert_array_equal(volume.values[..., 0], noise(5, 4, 3).T * 0.5 - 10)
    assert (volume.slope, volume.intercept, volume.dtype) == (0.5, -10.0, np.int16)


def test_one_time_of_several(tmp_path):
    array = noise(5, 4, 3, 2)
    path = save_nifti(tmp_path / "a.nii.gz", array)
    assert "has 4 axes, 2 times; accepted: one volume, or one of the times by --time N" in refused(path)
    assert "time: got 2; accepted: 0 to 1" in refused(path, time=2)
    np.testing.assert_array_equal(read_volume(path, time=1).values[..., 0], array[..., 1].T)
    alone = save_nifti(tmp_path / "b.nii", array[..., :1])
    np.testing.assert_array_equal(read_volume(alone).values[..., 0], array[..., 0].T)


def test_the_pages_of_a_tiff_file_are_slices(tmp_path):
    array = noise(4, 5, 6, kind="uint16")
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack")
    volume = read_volume(tmp_path / "a.tif")
    np.testing.assert_array_equal(volume.values[..., 0], array)
    assert (volume.dtype, volume.affine.tolist()) == (np.uint16, np.eye(4).tolist())
    pages = [Image.fromarray(page.astype(np.uint8)) for page in array]
    pages[0].save(tmp_path / "b.tiff", save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(read_volume(tmp_path / "b.tiff").values[..., 0], array)


def test_the_spacing_of_imagej(tmp_path):
    array, options = noise(2, 4, 5, 6, kind="uint8"), {"imagej": True, "resolution": (2.0, 4.0)}
    tifffile.imwrite(tmp_path / "a.tif", array, metadata={"axes": "TZYX", "spacing": 3.0, "unit": "um"}, **options)
    volume = read_volume(tmp_path / "a.tif", time=1)
    np.testing.assert_array_equal(volume.values[..., 0], array[1])
    np.testing.assert_allclose(spacing(volume.affine), (3e-3, 0.25e-3, 0.5e-3))
    assert "--time N" in refused(tmp_path / "a.tif")


def test_arrays_of_numpy(tmp_path):
    array = noise(4, 5, 6, kind="float64")
    np.save(tmp_path / "a.npy", array[..., None])
    np.savez(tmp_path / "b.npz", scan=array, affine=AFFINE)
    for name in ("a.npy", "b.npz"):
        np.testing.assert_array_equal(read_volume(tmp_path / name).values[..., 0], array)
    np.testing.assert_array_equal(read_volume(tmp_path / "b.npz").affine, AFFINE)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (noise(5, 6), r"is a picture of shape \(5, 6\)"),
        (noise(9, 9, 3, kind="uint8"), r"has 3 colours, of shape \(9, 9, 3\)"),
        (noise(5, 5, 5, 3), r"has 3 colours, of shape"),
        (noise(1, 5, 6), "has one slice"),
        (noise(2, 5, 6, 7), r"is of shape \(2, 5, 6, 7\)"),
        (np.full((2, 3, 4), np.nan), "infinite or not a number"),
        (np.full((2, 3, 4), 1e300), "infinite or not a number"),
        (np.zeros((2, 3, 4), complex), "of type complex128"),
        (np.zeros((2, 0, 4)), "is empty"),
    ],
)
def test_arrays_that_are_no_volume(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=message):
        read_volume(tmp_path / "a.npy")
    refused(tmp_path / "a.npy")


def test_files_that_are_no_volume(tmp_path):
    tifffile.imwrite(tmp_path / "colours.tif", noise(3, 9, 9, 3, kind="uint8"), photometric="rgb")
    assert "has colours" in refused(tmp_path / "colours.tif")
    tifffile.imwrite(tmp_path / "page.tif", noise(9, 9))
    assert "is a picture of shape (9, 9)" in refused(tmp_path / "page.tif")
    with tifffile.TiffWriter(tmp_path / "sizes.tif") as file:
        file.write(noise(9, 9))
        file.write(noise(5, 5))
    assert "pages of several sizes" in refused(tmp_path / "sizes.tif")
    np.savez(tmp_path / "two.npz", a=noise(2, 3, 4), b=noise(2, 3, 4))
    assert "has the arrays a, b; accepted: one, and its affine" in refused(tmp_path / "two.npz")
    np.savez(tmp_path / "affine.npz", a=noise(2, 3, 4), affine=np.eye(3))
    assert "affine of shape (3, 3)" in refused(tmp_path / "affine.npz")
    np.savez(tmp_path / "flat.npz", a=noise(2, 3, 4), affine=np.diag([1.0, 0, 1, 1]))
    assert "affine that cannot be inverted" in refused(tmp_path / "flat.npz")
    (tmp_path / "damaged.npy").write_bytes(b"\x93NUMPY")
    assert "cannot be read" in refused(tmp_path / "damaged.npy")
    np.save(tmp_path / "objects.npy", np.array([{}, {}], object), allow_pickle=True)
    assert "cannot be read" in refused(tmp_path / "objects.npy")
    assert "accepted: an existing file" in refused(tmp_path / "none.npy")
    assert "accepted: a file that ends in .nii.gz, .nii" in refused(tmp_path / "a.mha")


def test_damaged_and_coloured_nifti(tmp_path):
    path = save_nifti(tmp_path / "a.nii.gz", noise(5, 4, 3))
    path.write_bytes(path.read_bytes()[:-40])
    assert "cannot be read" in refused(path)
    colours = np.zeros((5, 4, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    assert "has colours" in refused(save_nifti(tmp_path / "b.nii", colours))


def test_a_missing_package_is_named_with_the_command(tmp_path, monkeypatch):
    (tmp_path / "a.nii").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "nibabel", None)
    assert refused(tmp_path / "a.nii").endswith("needs the package nibabel: pip install 'jaxgen[volumes]'")
