"""What a GAN of volumes draws, in each kind of file; on a run made without training."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxgen.errors import InputError
from jaxgen.tasks.gan.config import GanConfig, GanRecipe
from jaxgen.tasks.gan.sample import sample_run
from jaxgen.tasks.gan.sample_volumes import volume_kind, write_drawn
from jaxgen.tasks.load import load
from jaxgen.volumes.pictures import montage
from tests.bundle_runs import write_gan
from tests.command_line import call

SHAPE = (6, 8, 8, 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = GanRecipe(gan=GanConfig(architecture="mlp", base_channels=1, latent_dim=4))
    return write_gan(tmp_path_factory.mktemp("runs") / "small", config, SHAPE, ())


@pytest.fixture(scope="module")
def gan(run):
    return load(run)


@pytest.fixture(scope="module")
def arrays(gan, tmp_path_factory):
    """Three volumes as the archive has them."""
    path = tmp_path_factory.mktemp("arrays") / "x.npz"
    assert sample_run(gan, 3, 0, path).endswith("3 volumes from step 5")
    images = np.load(path)["images"]
    assert images.shape == (3, *SHAPE)
    assert images.dtype == np.uint8
    assert np.ptp(images) > 20
    return images


def test_arrays_and_stacks(gan, arrays, tmp_path):
    for name in ("x.npy", "x.tif"):
        sample_run(gan, 3, 0, tmp_path / name)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), arrays[..., 0])
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "x.tif"), arrays[..., 0])


def test_nifti_has_each_volume_as_a_time_or_in_a_file_of_its_own(run, gan, arrays, tmp_path, monkeypatch):
    nibabel = pytest.importorskip("nibabel")
    assert call(monkeypatch, "sample", run, "--num", "3", "--out", tmp_path / "x.nii.gz") == 0
    np.testing.assert_array_equal(nibabel.load(tmp_path / "x.nii.gz").get_fdata(), arrays[..., 0].T)
    sample_run(gan, 3, 0, f"{tmp_path}/folder/")
    names = [f"0000{i}.nii.gz" for i in range(3)]
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == names
    for name, volume in zip(names, arrays[..., 0], strict=True):
        image = nibabel.load(tmp_path / "folder" / name)
        np.testing.assert_array_equal(image.get_fdata(), volume.T)
        assert image.get_data_dtype() == np.uint8
    with pytest.raises(InputError, match=r"holds 00002\.nii\.gz; accepted: a folder without other numbered"):
        sample_run(gan, 2, 0, f"{tmp_path}/folder/")


@pytest.mark.parametrize("suffix", ["glb", "stl", "ply"])
def test_meshes(gan, tmp_path, suffix):
    trimesh = pytest.importorskip("trimesh")
    sample_run(gan, 3, 0, tmp_path / f"x.{suffix}")
    mesh = trimesh.load(tmp_path / f"x.{suffix}", force="mesh")
    assert mesh.volume > 0
    assert mesh.is_watertight


def test_pictures(gan, arrays, tmp_path):
    sample_run(gan, 3, 0, tmp_path / "x.png", grid="1x3")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "x.png"))[::8, ::8], montage(arrays, 3)[..., 0])
    sample_run(gan, 1, 0, tmp_path / "x.gif")
    assert Image.open(tmp_path / "x.gif").n_frames == 36


def test_kinds_of_files():
    assert volume_kind("a/b.NII.GZ", SHAPE) == ".nii.gz"
    for out in ("x.jpg", "x.gz", "x.obj"):
        with pytest.raises(
            InputError, match=r"out: got .*; accepted: a file name that ends in \.png, \.gif, \.nii\.gz"
        ):
            volume_kind(out, SHAPE)
    assert volume_kind("x.npz", (8, 8, 8, 3)) == ".npz"
    with pytest.raises(InputError, match=r"a name that ends in \.npz for 3 channels"):
        volume_kind("x.glb", (8, 8, 8, 3))


@pytest.mark.parametrize("suffix", [".stl", ".glb", ".ply"])
def test_meshes_of_empty_volumes_are_refused_in_one_line(tmp_path, suffix):
    with pytest.raises(InputError, match=rf"a{suffix}: is empty, its largest value is 0; accepted: [^\n]*$"):
        write_drawn(np.zeros((2, 4, 4, 4, 1), np.uint8), tmp_path / f"a{suffix}", None)
    assert not list(tmp_path.iterdir())
