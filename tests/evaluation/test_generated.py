"""Images from files: read in batches, checked for type, shape, range and NaN."""

import tracemalloc

import numpy as np
import pytest

from jaxgen.data.base import Source
from jaxgen.errors import InputError
from jaxgen.evaluation.generated import draw_labels, generated_from_file


def write(path, compressed=False, **arrays):
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return path


def whole(generated, at_once):
    images, labels = zip(*generated.batches(at_once), strict=True)
    return np.concatenate(images), None if labels[0] is None else np.concatenate(labels)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("at_once", [1, 7, 10, 100])
def test_batches_are_the_array(tmp_path, compressed, at_once):
    images = np.random.default_rng(0).integers(0, 256, (10, 4, 5, 3)).astype(np.uint8)
    labels = np.arange(10) % 4
    generated = generated_from_file(
        write(tmp_path / "x.npz", compressed, images=images, labels=labels, more=np.zeros(3))
    )
    assert (generated.num, generated.shape, generated.labelled) == (10, (4, 5, 3), True)
    for _ in range(2):  # more than once
        found, asked = whole(generated, at_once)
        np.testing.assert_array_equal(found, images)
        np.testing.assert_array_equal(asked, labels)
    few, asked = whole(generated_from_file(tmp_path / "x.npz", 3, seed=1), at_once)
    rows = np.sort(np.random.default_rng((1, 0, 4)).choice(10, 3, replace=False))
    np.testing.assert_array_equal(few, images[rows])
    np.testing.assert_array_equal(asked, labels[rows])


def test_a_damaged_archive(tmp_path):
    path = write(
        tmp_path / "x.npz", compressed=True, images=np.random.default_rng(0).integers(0, 256, (50, 9, 9), np.uint8)
    )
    data = bytearray(path.read_bytes())
    data[1000:1100] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"images in .*x.npz: cannot be read .*; accepted: .*npz archive"):
        whole(generated_from_file(path), 100)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_floats_in_0_to_1_become_8_bits(tmp_path, dtype):
    levels = np.arange(256).reshape(1, 16, 16)
    generated = generated_from_file(write(tmp_path / "x.npz", images=(levels / 255).astype(dtype)))
    assert generated.shape == (16, 16, 1)
    np.testing.assert_array_equal(whole(generated, 5)[0][0, :, :, 0], levels[0])


def with_one(value):
    images = np.zeros((6, 2, 2, 1), np.float32)
    images[4, 1, 0, 0] = value
    return images


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": with_one(np.nan)}, "images in .*x.npz: got float32 .*not a number"),
        ({"images": with_one(np.inf)}, "infinite"),
        ({"images": with_one(-1.0)}, r"float32 from -1 to 0; accepted: uint8, bool or floats in \[0, 1\]"),
        ({"images": with_one(255.0)}, "float32 from 0 to 255"),
        ({"images": np.zeros((6, 2, 2), np.int64)}, "images in .* got int64"),
        ({"images": np.zeros((6, 2), np.uint8)}, r"of shape \(6, 2\)"),
        ({"images": np.zeros((0, 2, 2), np.uint8)}, "not empty"),
        ({"images": np.zeros((6, 2, 2, 5), np.uint8)}, r"\(6, 2, 2, 5\)"),
        ({"images": np.zeros((6, 2, 2), np.uint8), "labels": np.zeros(5, int)}, r"got int64 of shape \(5,\)"),
        ({"images": np.zeros((6, 2, 2), np.uint8), "labels": np.zeros(6)}, "labels in .*: got float64"),
        ({"pictures": np.zeros(3)}, "has the arrays pictures; accepted: .*images, x, arr_0"),
        ({"images": np.array([None])}, "got object"),
    ],
)
def test_what_is_refused(tmp_path, arrays, message):
    path = write(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError, match=message):
        whole(generated_from_file(path), 4)


def test_no_archive(tmp_path):
    (tmp_path / "x.npz").write_text("no")
    with pytest.raises(InputError, match=r"x.npz: cannot be read .*; accepted: .*npz archive"):
        generated_from_file(tmp_path / "x.npz")
    with pytest.raises(InputError, match=r"samples: got .*nowhere.npz'; accepted: an existing file"):
        generated_from_file(tmp_path / "nowhere.npz")


def test_a_large_file_is_never_held_as_a_whole(tmp_path):
    path = write(tmp_path / "x.npz", compressed=True, images=np.zeros((3000, 64, 64, 3), np.uint8))  # 37 MB
    tracemalloc.start()
    count = sum(len(images) for images, _ in generated_from_file(path).batches(100))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 3000
    assert peak < 8e6


def test_labels_as_frequent_as_in_the_source():
    source = Source("x", "x", (1, 1, 1), 100, np.repeat(np.int32([0, 2]), [80, 20]), tuple("abc"))
    labels = draw_labels(source, 5000, 0)
    np.testing.assert_allclose(np.bincount(labels, minlength=3) / 5000, [0.8, 0.0, 0.2], atol=0.02)
    np.testing.assert_array_equal(labels, draw_labels(source, 5000, 0))
