"""Arrays of images from files and from memory: one reader, one rule, and classes that are those that occur."""

import numpy as np
import pytest

from jaxgen.data.array_files import open_arrays
from jaxgen.data.arrays import check_classes, check_images, match_classes
from jaxgen.data.config import DataConfig
from jaxgen.data.sources import array_source, open_source
from jaxgen.errors import InputError
from jaxgen.evaluation.generated import generated_from_file

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 5, 6, 3), np.uint8)
LABELS = np.array([77, 3, 3, 77, 3, 77, 3])


def by_every_way(tmp_path, **arrays):
    """The images that a training from a file, one from Python, and an evaluation get."""
    np.savez(tmp_path / "x.npz", **arrays)
    trained = open_source(DataConfig(f"npz:{tmp_path / 'x.npz'}")).images
    judged = np.concatenate([images for images, _ in generated_from_file(tmp_path / "x.npz").batches(3)])
    return trained, judged, array_source(next(iter(arrays.values()))).images


@pytest.mark.parametrize("name", ["images", "x", "arr_0", "x_train", "train_images"])
def test_the_names_of_other_programs(tmp_path, name):
    for found in by_every_way(tmp_path, **{name: IMAGES}):
        np.testing.assert_array_equal(found, IMAGES)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (IMAGES / 255, IMAGES),
        ((IMAGES / 255).astype(">f4"), IMAGES),
        (IMAGES[..., 0] > 127, np.where(IMAGES[..., :1] > 127, 255, 0)),
        (IMAGES[..., 1], IMAGES[..., 1:2]),
        (np.asfortranarray(IMAGES), IMAGES),
    ],
)
def test_types_and_orders(tmp_path, given, expected):
    for found in by_every_way(tmp_path, images=given):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.uint8


def test_a_single_array(tmp_path):
    np.save(tmp_path / "x.npy", IMAGES / 255)
    np.testing.assert_array_equal(open_source(DataConfig(f"npz:{tmp_path / 'x.npy'}")).images, IMAGES)
    file = open_arrays(tmp_path / "x.npy", "samples")
    assert (file.num, file.shape, file.classes) == (7, (5, 6, 3), None)
    assert [len(images) for images in file.batches(3)] == [3, 3, 1]
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-1])
    with pytest.raises(InputError, match=r"images in .*x\.npy.*accepted"):
        open_arrays(tmp_path / "x.npy", "samples")


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (IMAGES * 1.0, "float64 from 0 to 255"),
        (IMAGES / 127.5 - 1, "float64 from -1 to 1"),
        (np.where(IMAGES == IMAGES[3, 2, 2, 1], np.nan, 0.5), "not a number"),
        (IMAGES.astype(np.int32), "int32"),
        (IMAGES[..., :2], r"\(7, 5, 6, 2\)"),
        (IMAGES[None], r"\(1, 7, 5, 6, 3\)"),
        *((np.zeros((128, 128, c), np.uint8), "which is one image") for c in (1, 3, 4)),
    ],
)
def test_one_line_refuses_them_everywhere(tmp_path, images, found):
    said = []
    np.savez(tmp_path / "x.npz", images=images)
    for read in (
        lambda: array_source(images),
        lambda: open_source(DataConfig(f"npz:{tmp_path / 'x.npz'}")),
        lambda: list(generated_from_file(tmp_path / "x.npz").batches(100)),
    ):
        with pytest.raises(InputError, match=f"got .*{found}.*accepted") as caught:
            read()
        said.append(str(caught.value).replace(f" in {tmp_path / 'x.npz'}", ""))
    assert len(set(said)) == 1


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        (LABELS, None, ("3", "77")),
        (LABELS, ["cat", "dog"], ("cat", "dog")),
        (LABELS, [f"class {i}" for i in range(100)], ("class 3", "class 77")),
        (np.where(LABELS == 3, "ant", "bee"), None, ("ant", "bee")),
        (np.where(LABELS == 3, "ant", "bee").astype(object), None, ("ant", "bee")),
        (LABELS == 77, None, ("0", "1")),
        (LABELS[:, None].astype(np.uint8), None, ("3", "77")),
    ],
)
def test_classes_are_those_that_occur(labels, names, expected):
    numbers, found = check_classes(labels, 7, names)
    assert found == expected
    assert numbers.dtype == np.int32
    np.testing.assert_array_equal(numbers, [1, 0, 0, 1, 0, 1, 0])


@pytest.mark.parametrize("named", [("images", "labels"), ("x", "y"), ("arr_0", "arr_1"), ("x_train", "y_train")])
def test_classes_in_files(tmp_path, named):
    np.savez(tmp_path / "x.npz", **dict(zip(named, (IMAGES, LABELS), strict=True)), label_names=np.array(["a", "b"]))
    classes = open_arrays(tmp_path / "x.npz", "dataset").classes
    np.testing.assert_array_equal(classes.numbers, [1, 0, 0, 1, 0, 1, 0])
    source = open_source(DataConfig(f"npz:{tmp_path / 'x.npz'}"))
    assert (source.class_names, source.num_classes) == (("a", "b"), 2)
    np.savez(tmp_path / "x.npz", images=IMAGES, labels=np.where(LABELS == 3, "b", "a"))
    assert open_source(DataConfig(f"npz:{tmp_path / 'x.npz'}")).class_names == ("a", "b")


def test_classes_are_found_by_name_before_number():
    assert match_classes(["77", "3"], ("3", "77")).tolist() == [1, 0]
    assert match_classes(["1", "2"], ("1", "2", "3")).tolist() == [0, 1]
    with pytest.raises(InputError, match="labels: got '0'; accepted: 1, 2, 3"):  # its place would be another's name
        match_classes(["0", "1"], ("1", "2", "3"))
    assert match_classes(["dog", "cat"], ("cat", "dog")).tolist() == [1, 0]
    assert match_classes(["1"], ("cat", "dog")).tolist() == [1]
    for wrong in ("2", "-1", "cow"):
        with pytest.raises(InputError, match=f"labels: got '{wrong}'; accepted: cat, dog, or 0 to 1"):
            match_classes([wrong], ("cat", "dog"))


def test_floats_are_converted_in_parts():
    many = np.linspace(0, 1, 600 * 4 * 5).reshape(600, 4, 5)
    np.testing.assert_array_equal(check_images(many)[..., 0], np.rint(many * 255))
