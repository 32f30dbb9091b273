"""The table of sources: npz and digits without TensorFlow, and one clear line for whatever is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import jaxgen
from jaxgen.data.config import DataConfig
from jaxgen.data.sources import open_source
from jaxgen.errors import InputError


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.fixture
def archive(tmp_path):
    def save(**arrays):
        path = tmp_path / "data.npz"
        np.savez(path, **arrays)
        return f"npz:{path}"

    return save


@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 4, 5, 1), (3, 4, 5, 3)])
def test_npz_keeps_images_and_labels(archive, shape):
    images, labels = noise(*shape), np.array([2, 0, 1])
    source = open_source(DataConfig(dataset=archive(images=images, labels=labels)))
    expected = images.reshape(3, 4, 5, -1)
    np.testing.assert_array_equal(source.images, expected)
    np.testing.assert_array_equal(source.labels, labels)
    assert source.labels.dtype == np.int32
    assert (source.shape, source.num_images, source.uses_tensorflow) == (expected.shape[1:], 3, False)


def test_npz_is_cut_to_size(archive):
    images = noise(2, 6, 4, 1)
    source = open_source(DataConfig(dataset=archive(images=images), image_size=4, channels=3))
    np.testing.assert_array_equal(source.images, np.repeat(images[:, 1:5], 3, axis=-1))
    assert source.labels is None


IMAGES = np.zeros((2, 3, 5), np.uint8)
LABELLED = {"images": IMAGES, "labels": np.array([3, 7])}


@pytest.mark.parametrize(
    ("arrays", "found"),
    [
        ({"pictures": IMAGES}, "pictures"),
        ({"images": IMAGES.astype(np.int64)}, "int64"),
        ({"images": IMAGES[0]}, r"\(3, 5\)"),
        ({"images": np.zeros((2, 3, 3, 4), np.uint8)}, r"\(2, 3, 3, 4\)"),
        ({"images": np.zeros((2, 3, 3, 3, 1), np.uint8)}, r"\(2, 3, 3, 3, 1\)"),
        ({"images": IMAGES[:0]}, r"\(0, 3, 5\)"),
        ({"images": np.array([{}], object)}, "object"),
        ({"images": IMAGES, "labels": np.array([0.0, 1.0])}, "float64"),
        ({"images": IMAGES, "labels": np.array([0])}, r"int64 of shape \(1,\)"),
        ({"images": IMAGES, "labels": np.array([0, -1])}, "-1"),
        ({"images": IMAGES, "labels": np.array([{}, {}], object)}, "Object arrays"),
        ({**LABELLED, "label_names": np.array(["a"])}, r"<U1 of shape \(1,\) for the classes 3, 7"),
        ({**LABELLED, "label_names": np.array(["a", "a"])}, r"shape \(2,\) for the classes"),
        ({**LABELLED, "label_names": np.arange(2)}, "int64 .* for the classes"),
        ({"images": IMAGES, "labels": np.array(["a", "b"]), "label_names": np.array(["a", "b"])}, "label_names"),
    ],
)
def test_npz_that_does_not_fit_is_refused(archive, arrays, found):
    with pytest.raises(InputError, match=rf"data\.npz.*{found}.*accepted") as caught:
        open_source(DataConfig(dataset=archive(**arrays)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_damaged_npz_is_refused(tmp_path, content):
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"data\.npz.*accepted"):
        open_source(DataConfig(dataset=f"npz:{path}"))


def test_npz_with_flipped_bytes_or_cut_short_is_refused(tmp_path):
    path = tmp_path / "data.npz"
    np.savez_compressed(path, images=noise(20, 8, 8))
    good = path.read_bytes()
    middle = len(good) // 2
    for bad in (
        good[:middle],
        good[:middle] + bytes(255 - b for b in good[middle : middle + 8]) + good[middle + 8 :],
    ):
        path.write_bytes(bad)
        with pytest.raises(InputError, match=r"data\.npz.*cannot be read"):
            open_source(DataConfig(dataset=f"npz:{path}"))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"dataset.*existing file"):
        open_source(DataConfig(dataset=f"npz:{tmp_path / 'none.npz'}"))


def test_digits_are_5000_of_ten_classes():
    source = open_source(DataConfig(dataset="digits", image_size=32))
    assert source.images.shape == (5000, 32, 32, 1)
    assert source.class_names == tuple("0123456789")
    np.testing.assert_array_equal(np.bincount(source.labels), [500] * 10)
    # A one has little ink and a zero none in its middle: labels belong to their images.
    ink = source.images.mean((1, 2, 3))
    assert ink[source.labels == 1].mean() < min(ink[source.labels == k].mean() for k in range(10) if k != 1)
    middle = source.images[:, 14:18, 14:18].mean((1, 2, 3))
    assert middle[source.labels == 0].mean() < min(middle[source.labels == k].mean() for k in range(1, 10))


@pytest.mark.parametrize("name", ["digits", "mnist", "mnist:3.0.1", "emnist/letters", "kmnist", "volumes_of_digits"])
def test_digits_are_never_flipped(name):
    with pytest.raises(InputError, match=r"flip: got True.*never flip"):
        open_source(DataConfig(dataset=name, flip=True))


def test_flip_is_accepted_elsewhere(archive):
    assert open_source(DataConfig(dataset=archive(images=IMAGES), flip=True)).num_images == 2


@pytest.mark.parametrize("name", ["digits", "volumes_of_digits", "folder:a"])
def test_other_splits_are_refused_where_there_is_one(name):
    with pytest.raises(InputError, match=r"split: got 'test'.*train"):
        open_source(DataConfig(dataset=name, split="test"))


ITERATE = """
import sys
from jaxgen.data.config import DataConfig
from jaxgen.data.pipeline import batches
from jaxgen.data.sources import open_source
for name in sys.argv[1:]:
    batch = next(batches(open_source(DataConfig(dataset=name)), batch_size=4, seed=0))
    assert batch["images"].shape[0] == 4
    assert "tensorflow" not in sys.modules
"""


@pytest.mark.slow
def test_npz_and_digits_never_import_tensorflow(archive, tmp_path):
    fake = tmp_path / "path" / "tensorflow"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text("raise ImportError('tensorflow was imported')")
    root = Path(jaxgen.__file__).parents[1]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(fake.parent), str(root)])}
    command = [sys.executable, "-c", ITERATE, archive(images=noise(5, 4, 6)), "digits"]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    poisoned = subprocess.run([sys.executable, "-c", "import tensorflow"], env=env, capture_output=True, text=True)
    assert "tensorflow was imported" in poisoned.stderr
