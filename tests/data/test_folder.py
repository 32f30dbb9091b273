"""Folders of image files: every kind of file that users have, written by Pillow here."""

import logging

import numpy as np
import pytest
from PIL import Image

from jaxgen.data import base
from jaxgen.data.config import DataConfig
from jaxgen.data.notes import size_notes
from jaxgen.data.pipeline import batches
from jaxgen.data.sources import open_source
from jaxgen.errors import InputError


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def save(path, array, **kw) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **kw)
    return array


def opened(folder, **kw):
    return open_source(DataConfig(dataset=f"folder:{folder}", **kw))


def only(folder, **kw) -> np.ndarray:
    source = opened(folder, **kw)
    assert source.num_images == 1
    return source.images[0]


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tiff", "webp", "PNG"])
def test_lossless_formats_keep_every_pixel(tmp_path, suffix):
    image = save(tmp_path / f"a.{suffix}", noise(6, 7, 3), **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(only(tmp_path), image)


def test_jpeg_equals_pillow(tmp_path):
    save(tmp_path / "a.jpg", noise(16, 16, 3))
    np.testing.assert_array_equal(only(tmp_path), np.asarray(Image.open(tmp_path / "a.jpg")))


def test_files_are_sorted_hidden_and_foreign_ones_ignored(tmp_path):
    images = {name: save(tmp_path / name, noise(4, 4, 3, seed=i)) for i, name in enumerate(["b.png", "a.png"])}
    save(tmp_path / ".hidden.png", noise(4, 4, 3))
    save(tmp_path / ".cache" / "c.png", noise(4, 4, 3))
    (tmp_path / "notes.txt").write_text("not an image")
    source = opened(tmp_path)
    np.testing.assert_array_equal(source.images, [images["a.png"], images["b.png"]])
    assert (source.num_images, source.shape, source.skipped, source.labels) == (2, (4, 4, 3), 0, None)
    assert str(tmp_path) in source.origin
    assert not source.uses_tensorflow


def test_cropped_pictures_are_counted(tmp_path):
    for i, size in enumerate([(8, 8), (8, 12), (10, 8), (16, 16)]):
        save(tmp_path / f"{i}.png", noise(*size, 3))
    source = opened(tmp_path, image_size=4)
    assert source.cropped == 2
    assert size_notes(source) == ("2 of 4 images are cut to their central square, resized to 4 x 4 px",)


def test_first_level_folders_are_classes(tmp_path):
    for i, name in enumerate(["dog/x/1.png", "cat/2.png", "dog/3.png"]):
        save(tmp_path / name, np.full((2, 2), i, np.uint8))
    source = opened(tmp_path)
    assert source.class_names == ("cat", "dog")
    np.testing.assert_array_equal(source.labels, [0, 1, 1])
    np.testing.assert_array_equal(source.images[:, 0, 0, 0], [1, 2, 0])


@pytest.mark.parametrize("names", [["cat/1.png", "2.png", "dog/3.png"], ["cat/1.png", "cat/2.png"]])
def test_no_labels_without_two_full_classes(tmp_path, names):
    for name in names:
        save(tmp_path / name, noise(2, 2))
    source = opened(tmp_path)
    assert source.labels is None
    assert source.class_names is None


@pytest.mark.parametrize(("stored", "channels", "expected"), [("LL", None, 1), ("L3", None, 3), ("33", 1, 1)])
def test_channels(tmp_path, stored, channels, expected):
    for i, kind in enumerate(stored):
        save(tmp_path / f"{i}.png", noise(3, 3) if kind == "L" else noise(3, 3, 3))
    source = opened(tmp_path, channels=channels)
    assert source.images.shape == (2, 3, 3, expected)
    assert source.shape == (3, 3, expected)


def test_a_missing_folder_and_an_empty_one_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"dataset.*gone.*existing folder"):
        opened(tmp_path / "gone")
    with pytest.raises(InputError, match=r"dataset.*holds images"):
        opened(tmp_path)


def test_differing_sizes_need_an_image_size(tmp_path):
    save(tmp_path / "a.png", noise(4, 4, 3))
    save(tmp_path / "b.png", noise(5, 6, 3))
    with pytest.raises(InputError, match=r"image_size.*4x4 and 5x6 \(b\.png\).*--image-size"):
        opened(tmp_path)
    assert opened(tmp_path, image_size=8).images.shape == (2, 8, 8, 3)


@pytest.mark.parametrize("damage", ["garbage", "truncated", "empty"])
def test_a_damaged_file_is_named_skipped_and_counted(tmp_path, caplog, damage):
    for i in range(10):
        save(tmp_path / f"{i}.png", np.full((32, 32), i, np.uint8))
    save(tmp_path / "bad.png", noise(32, 32))
    data = (tmp_path / "bad.png").read_bytes()
    (tmp_path / "bad.png").write_bytes(
        {"garbage": b"no image", "truncated": data[: len(data) // 2], "empty": b""}[damage]
    )
    with caplog.at_level(logging.WARNING, "jaxgen"):
        source = opened(tmp_path)
    assert (source.num_images, source.skipped) == (10, 1)
    assert "bad.png: skipped" in caplog.text
    np.testing.assert_array_equal(source.images[:, 0, 0, 0], range(10))


def test_many_damaged_files_are_refused(tmp_path):
    for i in range(8):
        save(tmp_path / f"{i}.png", noise(4, 4))
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"1 of the 9 images .*x\.png"):
        opened(tmp_path)


def test_only_damaged_files_are_refused(tmp_path):
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(InputError, match="none of its 1 could be read"):
        opened(tmp_path)


def test_a_decompression_bomb_is_skipped(tmp_path, caplog, monkeypatch):
    for i in range(10):
        save(tmp_path / f"{i}.png", noise(2, 2))
    save(tmp_path / "bomb.png", noise(40, 40))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with caplog.at_level(logging.WARNING, "jaxgen"):
        assert opened(tmp_path).skipped == 1
    assert "bomb.png: skipped, DecompressionBombError" in caplog.text


def test_one_pixel_is_resized_up(tmp_path):
    save(tmp_path / "a.png", np.full((1, 1, 3), 9, np.uint8))
    np.testing.assert_array_equal(only(tmp_path, image_size=4), np.full((4, 4, 3), 9))


def test_cmyk_becomes_rgb(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(only(tmp_path), np.broadcast_to([255, 0, 0], (8, 8, 3)))


def test_palette_becomes_rgb_and_its_transparency_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    image.save(tmp_path / "a.png", transparency=1)
    np.testing.assert_array_equal(only(tmp_path), [[[10, 20, 30], [255, 255, 255]]])


def test_transparent_grey_stays_grey(tmp_path):
    Image.fromarray(np.array([[0, 100]], np.uint8)).save(tmp_path / "a.png", transparency=100)
    np.testing.assert_array_equal(only(tmp_path), [[[0], [255]]])


def test_alpha_goes_over_white(tmp_path):
    save(tmp_path / "a.png", np.array([[[0, 0, 0, 51], [7, 8, 9, 255], [7, 8, 9, 0]]], np.uint8))
    np.testing.assert_array_equal(only(tmp_path), [[[204] * 3, [7, 8, 9], [255] * 3]])


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path, suffix):
    save(tmp_path / f"a.{suffix}", np.array([[0, 257, 51400, 65535]], np.uint16))
    np.testing.assert_array_equal(only(tmp_path)[0, :, 0], [0, 1, 200, 255])


def test_32_bit_grey_is_scaled_too(tmp_path):
    save(tmp_path / "a.tif", np.array([[0, 51400, 65535]], np.int32))
    np.testing.assert_array_equal(only(tmp_path)[0, :, 0], [0, 200, 255])


def test_one_bit_is_black_and_white(tmp_path):
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(tmp_path / "a.png")
    np.testing.assert_array_equal(only(tmp_path), [[[0], [255]]])


def test_exif_orientation_is_applied(tmp_path):
    image, exif = noise(3, 5, 3), Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to view
    save(tmp_path / "a.png", image, exif=exif)
    np.testing.assert_array_equal(only(tmp_path), np.rot90(image, -1))


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0, (1 + 3) * 8 * 8])
def test_a_large_folder_is_read_from_disk_with_equal_images(tmp_path, monkeypatch, limit):
    """The second limit fits the grey files as stored, but not as RGB, which the colour file makes of all."""
    save(tmp_path / "a.png", noise(9, 12))
    save(tmp_path / "b.png", noise(10, 8, 3))
    held = opened(tmp_path, image_size=8)
    monkeypatch.setattr(base, "MEMORY_LIMIT", limit)
    source = opened(tmp_path, image_size=8)
    assert source.images is None
    np.testing.assert_array_equal([source.read(0), source.read(1)], held.images)
    batch = next(batches(source, batch_size=4, seed=0))
    assert {image.tobytes() for image in batch["images"]} == {image.tobytes() for image in held.images}
