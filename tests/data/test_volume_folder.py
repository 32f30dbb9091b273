"""Folders of files of volumes, of several kinds and sizes."""

import logging

import numpy as np
import pytest
import tifffile

from jaxgen.data.config import DataConfig
from jaxgen.data.notes import size_notes
from jaxgen.data.sources import open_source
from jaxgen.errors import InputError


def noise(*shape: int, seed: int = 0, high: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, shape).astype(np.uint8)


def opened(folder, size=4, **kw):
    return open_source(DataConfig(dataset=f"folder:{folder}", volume_size=size, **kw))


def means(array, size):
    sides = array.shape
    blocks = array.reshape(*(part for side in sides for part in (size, side // size)))
    return blocks.mean((1, 3, 5))[..., None]


def test_files_of_several_kinds_and_sizes(tmp_path):
    np.save(tmp_path / "a.npy", noise(8, 8, 8))
    np.savez(tmp_path / "b.npz", scan=noise(4, 6, 5, seed=1))
    tifffile.imwrite(tmp_path / "c.tif", noise(12, 12, 12, seed=2))
    (tmp_path / "notes.txt").write_text("not a volume")
    source = opened(tmp_path)
    assert (source.shape, source.num_images, source.labels, source.skipped) == ((4, 4, 4, 1), 3, None, 0)
    expected = [means(noise(8, 8, 8), 4), noise(4, 6, 5, seed=1)[:, 1:5, :4, None], means(noise(12, 12, 12, seed=2), 4)]
    np.testing.assert_allclose(source.images, np.rint(expected), atol=1)
    assert size_notes(source) == ("1 of 3 volumes are cut to their central cube, resized to 4 x 4 x 4 px",)
    assert f"3 files of volumes of the folder {tmp_path}, window: 0 becomes black and 255 white" in source.origin


def test_scans_are_turned_to_the_axes_of_the_body(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    array = noise(4, 4, 4)
    for name, affine in (("a", np.diag([1.0, 1, 1, 1])), ("b", np.diag([-1.0, 1, -1, 1]))):
        nibabel.Nifti1Image(array, affine).to_filename(tmp_path / f"{name}.nii.gz")
    first, second = opened(tmp_path).images[..., 0]
    np.testing.assert_array_equal(first, array.T)
    np.testing.assert_array_equal(second, array.T[::-1, :, ::-1])


def test_one_time_is_named_or_given(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    array = noise(4, 4, 4, 2)
    nibabel.Nifti1Image(array, np.eye(4)).to_filename(tmp_path / "a.nii")
    with pytest.raises(InputError, match=r"none of its 1 could be read; .*2 times; accepted: .* by --time N$"):
        opened(tmp_path)
    np.testing.assert_array_equal(opened(tmp_path, time=1).images[0, ..., 0], array[..., 1].T)


def test_numbers_without_a_range_share_a_window(tmp_path):
    low, high = (np.arange(64).reshape(4, 4, 4).astype(np.int16) + first for first in (-100, 300))
    np.save(tmp_path / "a.npy", low)
    np.save(tmp_path / "b.npy", high)
    source = opened(tmp_path)
    expected = [np.rint((x + 100.0) / 463 * 255) for x in (low, high)]
    np.testing.assert_array_equal(source.images[..., 0], expected)
    assert "-100 becomes black and 363 white" in source.origin
    assert "--window LOW HIGH states another" in source.origin
    stated = opened(tmp_path, window=(-80.0, 320.0))
    np.testing.assert_array_equal(
        stated.images[..., 0], [np.rint(np.clip((x + 80.0) / 400, 0, 1) * 255) for x in (low, high)]
    )


def test_a_stated_window_cuts_before_means_are_taken(tmp_path):
    scan = np.zeros((8, 8, 8), np.int16)
    scan[::2] = 3000  # metal, in half of each block
    np.save(tmp_path / "a.npy", scan)
    assert opened(tmp_path, window=(0.0, 100.0)).images.ravel().tolist() == [128] * 64


def test_subfolders_are_classes_and_a_damaged_file_is_skipped(tmp_path, caplog):
    for i in range(10):
        path = tmp_path / ("left" if i % 2 else "right") / f"{i}.npy"
        path.parent.mkdir(exist_ok=True)
        np.save(path, noise(4, 4, 4, seed=i))
    (tmp_path / "left" / "bad.npy").write_bytes(b"nothing")
    with caplog.at_level(logging.WARNING):
        source = opened(tmp_path)
    assert (source.class_names, source.num_images, source.skipped) == (("left", "right"), 10, 1)
    assert source.labels.tolist() == [0] * 5 + [1] * 5
    assert "bad.npy: cannot be read" in caplog.text
    (tmp_path / "left" / "worse.npy").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"2 of the 12 volumes of .* cannot be read \(more than 10%\)"):
        opened(tmp_path)


def test_what_is_refused(tmp_path):
    with pytest.raises(InputError, match="a folder that holds volumes"):
        opened(tmp_path)
    np.save(tmp_path / "a.npy", noise(4, 4, 4))
    with pytest.raises(InputError, match="; volumes need a --volume-size"):
        open_source(DataConfig(f"folder:{tmp_path}"))
    with pytest.raises(InputError, match="channels: got 3; accepted: 1 or None for volumes"):
        opened(tmp_path, channels=3)
    with pytest.raises(InputError, match="volume_size: got 2000; accepted: a size at which 1 volumes fit into"):
        opened(tmp_path, 2000)


@pytest.mark.parametrize("values", [{"window": (0.0, 1.0)}, {"time": 0}])
def test_what_is_for_files_of_volumes_alone(values):
    ((field, _),) = values.items()
    with pytest.raises(InputError, match=f"{field}: got .*; accepted: None unless a folder: of volumes is read"):
        DataConfig("mnist", **values)
