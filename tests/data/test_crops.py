"""Pieces of images of different sizes: each pixel says which image it is of, its row and its column."""

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxgen.data import base
from jaxgen.data.base import Source, crop, subset
from jaxgen.data.config import DataConfig
from jaxgen.data.pipeline import batches, places, plan
from jaxgen.data.sources import open_source
from jaxgen.errors import InputError

SIZES = [(9, 20), (8, 8), (14, 8), (11, 12), (30, 9), (8, 17), (12, 12)]
CROP = 8


def marked(number: int, height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([np.full_like(rows, number), rows, columns], axis=-1).astype(np.uint8)


IMAGES = [marked(i, *size) for i, size in enumerate(SIZES)]
SOURCE = Source(
    name="test",
    origin="made for a test",
    shape=(CROP, CROP, 3),
    num_images=len(IMAGES),
    labels=10 * np.arange(len(IMAGES), dtype=np.int32),
    class_names=tuple(map(str, range(61))),
    read=IMAGES.__getitem__,
    crops=True,
)


def stream(source: Source = SOURCE, **options) -> Iterator[dict[str, np.ndarray]]:
    return batches(source, **({"batch_size": 4, "seed": 3} | options))


def take(count: int, source: Source = SOURCE, **options) -> np.ndarray:
    return np.concatenate([batch["images"] for batch in itertools.islice(stream(source, **options), count)])


def corners(pieces: np.ndarray) -> np.ndarray:
    """Image, row and column of the first pixel of each piece, (n, 3); fails if one is not a piece as it was."""
    found = pieces[:, 0, 0].astype(int)
    for piece, (i, top, left) in zip(pieces, found, strict=True):
        np.testing.assert_array_equal(piece, IMAGES[i][top : top + CROP, left : left + CROP])
    return found


def test_pieces_lie_in_the_images_of_the_plan() -> None:
    found = corners(take(20))
    np.testing.assert_array_equal(found[:, 0], plan(3, len(IMAGES), 0, 80)[0])
    batch = next(stream())
    np.testing.assert_array_equal(batch["labels"], 10 * found[:4, 0])
    assert (batch["images"].dtype, batch["labels"].dtype) == (np.uint8, np.int32)


def test_without_labels_there_are_images_alone() -> None:
    source = Source("test", "made for a test", (CROP, CROP, 3), len(IMAGES), read=IMAGES.__getitem__, crops=True)
    assert set(next(stream(source))) == {"images"}


def test_every_place_is_drawn_and_all_as_often() -> None:
    found = corners(take(350, batch_size=20))
    for i, (height, width) in enumerate(SIZES):
        rows, columns = found[found[:, 0] == i, 1:].T
        for starts, edge in ((rows, height), (columns, width)):
            num = edge - CROP + 1
            counts = np.bincount(starts, minlength=num)
            assert len(counts) == num
            np.testing.assert_allclose(counts, 1000 / num, atol=5 * (1000 / num) ** 0.5)
    wide = found[found[:, 0] == 3, 1:]
    assert len({tuple(place) for place in wide}) == 4 * 5  # rows and columns are drawn apart


def test_places_change_from_epoch_to_epoch_and_from_image_to_image() -> None:
    num = 500
    drawn = places(0, num, 0, 3 * num).reshape(3, num, 3)
    assert drawn.min() >= 0.0
    assert drawn.max() < 1.0
    assert len(np.unique(drawn)) == drawn.size
    np.testing.assert_allclose(drawn.mean((0, 1)), 0.5, atol=5 * (1 / 12 / (3 * num)) ** 0.5)
    assert not np.isin(places(1, num, 0, num), drawn).any()
    order, _ = plan(0, num, 0, num)
    correlation = np.corrcoef(np.column_stack([*drawn, order]).T)
    np.testing.assert_allclose(correlation - np.eye(10), 0.0, atol=5 / num**0.5)


@given(seed=st.integers(0, 5), num_images=st.integers(1, 9), start=st.integers(0, 40), count=st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_places_are_one_stream_from_any_start(seed: int, num_images: int, start: int, count: int) -> None:
    np.testing.assert_array_equal(
        places(seed, num_images, start, count), places(seed, num_images, 0, start + count)[start:]
    )


@pytest.mark.parametrize("start", [1, 2, 7])
def test_resuming_is_skipping_images(start: int) -> None:
    np.testing.assert_array_equal(take(3, flip=True, start=start), take(5, flip=True)[start : start + 12])


@pytest.mark.parametrize("process_count", [2, 4])
def test_processes_share_the_same_global_batch(process_count: int) -> None:
    whole = itertools.islice(stream(batch_size=8, flip=True), 4)
    shards = [
        stream(batch_size=8, flip=True, process_index=i, process_count=process_count) for i in range(process_count)
    ]
    for batch, *parts in zip(whole, *shards):  # noqa: B905 - the shards are endless
        for name in ("images", "labels"):
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), batch[name])
            assert {len(part[name]) for part in parts} == {8 // process_count}


def pose(piece: np.ndarray) -> int:
    """Which of the eight ways a piece was turned and mirrored; fails if it is none of them."""
    for mirrored, quarters in itertools.product((0, 1), range(4)):
        upright = np.rot90(piece[:, ::-1] if mirrored else piece, -quarters).astype(int)
        if (np.diff(upright[..., 1], axis=0) == 1).all() and (np.diff(upright[..., 2], axis=1) == 1).all():
            corners(upright[None])
            return 4 * mirrored + quarters
    raise AssertionError("a piece is not as it was")


def test_flip_turns_by_quarters_and_mirrors_one_apart_from_the_other() -> None:
    turned = [pose(piece) for piece in take(200, batch_size=8, flip=True)]
    np.testing.assert_allclose(np.bincount(turned, minlength=8), 200, atol=5 * 200**0.5)
    assert {pose(piece) for piece in take(40)} == {0}


def test_flip_changes_neither_images_nor_places() -> None:
    turned, upright = take(20, flip=True), take(20)
    for a, b in zip(turned, upright, strict=True):
        np.testing.assert_array_equal(np.sort(a.reshape(-1, 3), axis=0), np.sort(b.reshape(-1, 3), axis=0))


def test_images_stay_as_they_are() -> None:
    take(10, flip=True)
    for i, size in enumerate(SIZES):
        np.testing.assert_array_equal(IMAGES[i], marked(i, *size))


@pytest.mark.parametrize(("share", "corner"), [(0.0, 0), (0.24, 0), (0.25, 1), (0.5, 2), (0.99, 3), (1 - 2**-53, 3)])
def test_a_share_of_the_places_that_there_are(share: float, corner: int) -> None:
    image = marked(0, 11, 8)
    np.testing.assert_array_equal(crop(image, 8, share, 0.9), image[corner : corner + 8])
    np.testing.assert_array_equal(
        crop(image.swapaxes(0, 1), 8, 0.9, share), image.swapaxes(0, 1)[:, corner : corner + 8]
    )


def test_a_subset_is_the_source_of_these_images_in_this_order() -> None:
    part = subset(SOURCE, np.array([5, 0, 3]))
    assert (part.num_images, part.crops, part.shape, part.class_names) == (3, True, SOURCE.shape, SOURCE.class_names)
    np.testing.assert_array_equal(part.labels, [50, 0, 30])
    for i, number in enumerate((5, 0, 3)):
        np.testing.assert_array_equal(part.read(i), IMAGES[number])
    assert set(corners(take(6, part))[:, 0]) == {5, 0, 3}
    assert SOURCE.num_images == len(IMAGES)


def test_a_subset_of_images_in_memory() -> None:
    held = np.stack([marked(i, 8, 8) for i in range(5)])
    part = subset(Source("test", "made for a test", (8, 8, 3), 5, images=held), np.array([4, 1]))
    np.testing.assert_array_equal(part.images, held[[4, 1]])
    np.testing.assert_array_equal(part.take(np.array([1, 0, 1])), held[[1, 4, 1]])
    assert (part.read, part.labels, part.crops) == (None, None, False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The marked images in two classes, one of them stored as grey; ten more that are alike."""
    for i, image in enumerate([*IMAGES, *[marked(i, 10, 10) for i in range(7, 17)]]):
        path = tmp_path / ("ab"[i % 2]) / f"{i:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image[..., 1] if i == 2 else image).save(path)
    return tmp_path


def opened(folder: Path, **options) -> Source:
    return open_source(DataConfig(dataset=f"folder:{folder}", **options))


def test_a_folder_of_various_sizes_grey_and_colour(folder: Path) -> None:
    source = opened(folder, crop_size=CROP)
    assert (source.num_images, source.shape, source.crops, source.skipped) == (17, (CROP, CROP, 3), True, 0)
    assert source.images is None
    order = [*range(0, 17, 2), *range(1, 17, 2)]
    for position, number in enumerate(order[:4]):
        expected = IMAGES[number] if number != 2 else IMAGES[2][..., 1:2].repeat(3, axis=-1)
        np.testing.assert_array_equal(source.read(position), expected)
    np.testing.assert_array_equal(source.labels, [0] * 9 + [1] * 8)
    assert next(stream(source))["images"].shape == (4, CROP, CROP, 3)


@pytest.mark.parametrize("channels", [None, 1, 3])
def test_images_in_memory_and_on_disk_give_equal_batches(
    folder: Path, channels: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = opened(folder, crop_size=CROP, channels=channels)
    monkeypatch.setattr(base, "MEMORY_LIMIT", 9 * 20 * 3)  # the first image and no more
    on_disk = opened(folder, crop_size=CROP, channels=channels)
    assert held.shape == on_disk.shape == (CROP, CROP, channels or 3)
    (folder / "a" / "00.png").unlink()
    with pytest.raises(FileNotFoundError):
        on_disk.read(0)
    Image.fromarray(IMAGES[0]).save(folder / "a" / "00.png")
    np.testing.assert_array_equal(take(9, held, flip=True), take(9, on_disk, flip=True))


def test_images_smaller_than_a_crop_are_named_skipped_and_counted(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Image.fromarray(marked(99, 7, 40)).save(folder / "a" / "small.png")
    with caplog.at_level(logging.WARNING, "jaxgen"):
        source = opened(folder, crop_size=CROP)
    assert (source.num_images, source.skipped) == (17, 1)
    assert "small.png: skipped, 7x40 is smaller than a crop" in caplog.text
    assert all(min(source.read(i).shape[:2]) >= CROP for i in range(17))


def test_a_folder_of_mostly_small_images_is_refused_for_what_it_is(folder: Path) -> None:
    with pytest.raises(InputError, match=r"5 of the 17 images .*smaller than crop_size 10 counts as damaged") as caught:
        opened(folder, crop_size=10)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"none of its 17 .*smaller than crop_size 64"):
        opened(folder, crop_size=64)


@pytest.mark.parametrize("dataset", ["digits", "npz:images.npz", "mnist", "cifar10"])
def test_other_data_is_not_cut_into_pieces(dataset: str) -> None:
    with pytest.raises(InputError, match=rf"^crop_size: got 8; accepted: None for {dataset}; a folder:PATH"):
        open_source(DataConfig(dataset=dataset, crop_size=8))
