"""Volumes from files, from memory and from digits: what is read, how it is reduced, and one line for what is wrong."""

import numpy as np
import pytest

from jaxgen.data.config import DataConfig
from jaxgen.data.pipeline import batches
from jaxgen.data.sources import array_source, open_source
from jaxgen.data.volumes import extrude, reduce_volumes
from jaxgen.errors import InputError
from jaxgen.evaluation.samples import open_splits

NOISE = np.random.default_rng(0).integers(0, 256, (3, 4, 8, 4), np.uint8)
LABELS = np.array([[1], [0], [1]], np.uint8)


@pytest.fixture
def medmnist(tmp_path):
    """A file with the names of MedMNIST; the three splits hold different volumes."""
    arrays = {}
    for i, split in enumerate(("train", "val", "test")):
        arrays |= {f"{split}_images": NOISE[: 3 - i] ^ np.uint8(i), f"{split}_labels": LABELS[: 3 - i]}
    np.savez_compressed(tmp_path / "shapes.npz", **arrays)
    return f"npz:{tmp_path / 'shapes.npz'}"


def by_loops(volumes, size):
    """The rounded mean of each block, one block after another."""
    blocks = [side // size for side in volumes.shape[1:4]]
    found = np.zeros((len(volumes), size, size, size, volumes.shape[-1]), np.uint8)
    for i in np.ndindex(*found.shape):
        places = tuple(slice(j * block, (j + 1) * block) for j, block in zip(i[1:4], blocks, strict=True))
        found[i] = round(float(volumes[(i[0], *places, i[4])].mean()))
    return found


def test_a_file_with_splits_is_read_split_by_split_and_reduced_by_means_of_blocks(medmnist):
    for i, split in enumerate(("train", "val", "test")):
        source = open_source(DataConfig(medmnist, split=split, volume_size=2))
        np.testing.assert_array_equal(source.images, by_loops((NOISE[: 3 - i] ^ np.uint8(i))[..., None], 2))
        assert [source.class_names[label] for label in source.labels] == [str(n) for n in LABELS[: 3 - i, 0]]
        assert (source.shape, source.num_images, source.cropped) == ((2, 2, 2, 1), 3 - i, 0)
    train, held_out = open_splits(DataConfig(medmnist, volume_size=2))
    assert (train.num_images, held_out.num_images) == (3, 1)


def test_images_of_a_file_with_splits_have_a_test_split_too(tmp_path):
    np.savez(tmp_path / "x.npz", x_train=NOISE[:, 0, :, :, None], x_test=NOISE[:2, 1, :, :, None])
    train, held_out = open_splits(DataConfig(f"npz:{tmp_path / 'x.npz'}"))
    np.testing.assert_array_equal(train.images[..., 0], NOISE[:, 0])
    np.testing.assert_array_equal(held_out.images[..., 0], NOISE[:2, 1])
    np.savez(tmp_path / "x.npz", x_train=NOISE[:, 0, :, :, None])
    assert open_splits(DataConfig(f"npz:{tmp_path / 'x.npz'}"))[1] is None


def test_types_and_channels_of_volumes():
    config = DataConfig("arrays", volume_size=4)
    cubes = NOISE[:, :, :4]
    np.testing.assert_array_equal(array_source(cubes / 255, None, config).images[..., 0], cubes)
    np.testing.assert_array_equal(array_source(cubes > 99, None, config).images[..., 0], np.where(cubes > 99, 255, 0))
    colour = np.stack([cubes, cubes // 2, cubes // 4], -1)
    np.testing.assert_array_equal(array_source(colour, None, config).images, colour)
    np.testing.assert_array_equal(reduce_volumes(colour, 4, 1)[..., 0], np.rint(colour.mean(-1)))
    np.testing.assert_array_equal(reduce_volumes(cubes[..., None], 4, 3), np.stack([cubes] * 3, -1))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (DataConfig("volumes_of_digits"), "volume_size: got None; accepted: 32 or a divisor"),
        (DataConfig("volumes_of_digits", volume_size=24), "volume_size: got 24; accepted: 32 or a divisor"),
        (DataConfig("digits", volume_size=32), "volume_size: got 32; accepted: None, as digits holds images"),
    ],
)
def test_images_for_volumes_and_the_other_way_round_are_refused(config, said):
    with pytest.raises(InputError, match=said):
        open_source(config)


def test_files_that_do_not_fit_are_refused_in_one_line(medmnist, tmp_path):
    def error(**config):
        with pytest.raises(InputError) as caught:
            open_source(DataConfig(**config))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "volume_size" in error(dataset=medmnist)
    assert "volume_size: got 3; accepted: a divisor of each side of 4 x 8 x 4" in error(dataset=medmnist, volume_size=3)
    assert error(dataset=medmnist, volume_size=2, split="dev").startswith("split: got 'dev'; accepted: train")
    path = tmp_path / "x.npz"
    np.savez(path, images=NOISE[0])
    assert "(n, d, h, w)" in error(dataset=f"npz:{path}", volume_size=4)
    np.savez(path, images=NOISE % 2)
    assert "no value above 1" in error(dataset=f"npz:{path}", volume_size=4)
    np.savez(path, images=NOISE[:, :1])  # a single slice
    assert "volume_size: got 2" in error(dataset=f"npz:{path}", volume_size=2)
    np.savez(path, images=np.where(NOISE == NOISE[0, 0, 0, 0], np.nan, 0.5))
    assert "not a number" in error(dataset=f"npz:{path}", volume_size=2)
    for other in ({"image_size": 8}, {"crop_size": 8}):
        with pytest.raises(InputError, match="volume_size: got 4"):
            DataConfig(medmnist, volume_size=4, **other)


def test_mirrored_volumes_are_mirrored_left_to_right():
    source = array_source(NOISE[:, :, :4], None, DataConfig("arrays", volume_size=4))
    given = {volume.tobytes() for volume in source.images}
    mirrored = {np.ascontiguousarray(volume[:, :, ::-1]).tobytes() for volume in source.images}
    stream = batches(source, batch_size=6, seed=0, flip=True)
    found = {volume.tobytes() for _ in range(4) for volume in next(stream)["images"]}
    assert found <= given | mirrored
    assert found & given
    assert found & mirrored


def test_digits_are_extruded_into_slabs():
    digit = np.random.default_rng(1).random((1, 28, 28), np.float32)
    flat = extrude(digit, 0.0)[0]
    # even sizes: the slab of 8 covers 8 whole slices, and columns lie between 2 and 30
    np.testing.assert_array_equal(flat.any((1, 2)), [12 <= z < 20 for z in range(32)])
    np.testing.assert_allclose(flat[12:20, 2:30, 2:30], np.broadcast_to(digit, (8, 28, 28)), atol=1e-6)
    np.testing.assert_allclose(extrude(digit, np.pi)[0], flat[::-1, :, ::-1], atol=1e-5)
    np.testing.assert_allclose(extrude(digit, np.pi / 2)[0], flat.transpose(2, 1, 0)[:, :, ::-1], atol=1e-5)


@pytest.mark.slow
def test_volumes_of_digits_are_the_digits_seen_through_their_slab():
    source = open_source(DataConfig("volumes_of_digits", volume_size=16))
    assert source.images.shape == (5000, 16, 16, 16, 1)
    assert source.class_names == tuple("0123456789")
    flat = open_source(DataConfig("digits", image_size=28))
    np.testing.assert_array_equal(source.labels, flat.labels)
    # at each height there is the ink of two rows, times the thickness 8, in blocks of 8 voxels, whatever the angle
    rows = source.images.sum((1, 3, 4), dtype=np.float64)
    ink = np.pad(flat.images.sum((2, 3), dtype=np.float64), ((0, 0), (2, 2))).reshape(5000, 16, 2).sum(2)
    assert np.abs(rows - ink).mean() / ink.mean() < 0.03
    widths = (source.images[:, :, :, :, 0].max((1, 2)) > 60).sum(1)
    assert len(set(widths[flat.labels == 0])) > 3  # turned in several directions


@pytest.mark.parametrize(
    ("shape", "size", "said"),
    [
        ((12, 28, 28), 32, r"x\.npz: got uint8 of shape \(12, 28, 28\); accepted: .*\(n, d, h, w\)"),
        ((12, 8, 8, 8), None, r"x\.npz: got uint8 of shape \(12, 8, 8, 8\); .*volumes need a volume_size"),
    ],
)
def test_archives_of_images_for_a_recipe_of_volumes_and_the_other_way_round(shape, size, said, tmp_path):
    np.savez(tmp_path / "x.npz", images=np.full(shape, 9, np.uint8))
    with pytest.raises(InputError, match=said):
        open_source(DataConfig(f"npz:{tmp_path / 'x.npz'}", volume_size=size))
