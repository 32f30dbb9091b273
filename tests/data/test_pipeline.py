"""The plan against NumPy, and both ways to carry it out against the plan."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.data.base import Source
from jaxgen.data.pipeline import batches, plan
from jaxgen.errors import InputError

NUM_IMAGES = 7
IMAGES = np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, 4, 5, 3), np.uint8)
LABELS = np.arange(NUM_IMAGES, dtype=np.int32) * 3


def make_source(kind: str = "numpy", labels: np.ndarray | None = LABELS) -> Source:
    held = kind != "read"
    return Source(
        name="test",
        origin="made for a test",
        shape=(4, 5, 3),
        num_images=NUM_IMAGES,
        labels=labels,
        images=IMAGES if held else None,
        read=None if held else lambda index: IMAGES[index],
        uses_tensorflow=kind == "tensorflow",
    )


def take(count: int, source: Source, **kw) -> list[dict[str, np.ndarray]]:
    iterator = batches(source, **({"batch_size": 4, "seed": 3} | kw))
    return list(itertools.islice(iterator, count))


@given(seed=st.integers(0, 2**40), num_images=st.integers(1, 9), epoch=st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_an_epoch_is_the_permutation_of_seed_and_epoch(seed, num_images, epoch):
    index, _ = plan(seed, num_images, epoch * num_images, num_images)
    np.testing.assert_array_equal(index, np.random.default_rng((seed, epoch)).permutation(num_images))


@given(seed=st.integers(0, 5), num_images=st.integers(1, 9), start=st.integers(0, 40), count=st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_the_plan_is_one_stream_from_any_start(seed, num_images, start, count):
    index, flip = plan(seed, num_images, start, count)
    all_index, all_flip = plan(seed, num_images, 0, start + count)
    np.testing.assert_array_equal(index, all_index[start:])
    np.testing.assert_array_equal(flip, all_flip[start:])


def test_each_epoch_holds_every_image_once_and_the_order_changes():
    index = plan(0, 100, 0, 500)[0].reshape(5, 100)
    np.testing.assert_array_equal(np.sort(index), np.tile(np.arange(100), (5, 1)))
    assert len({epoch.tobytes() for epoch in index}) == 5
    assert not np.array_equal(index[0], plan(1, 100, 0, 100)[0])


def test_half_is_mirrored_anew_in_each_epoch_and_apart_from_the_order():
    index, flip = (x.reshape(4, 2500) for x in plan(0, 2500, 0, 10_000))
    np.testing.assert_allclose(flip.mean(1), 0.5, atol=5 * 0.5 / 50)
    by_image = np.stack([flip[i][np.argsort(index[i])] for i in range(4)]).astype(float)
    same_generator = np.random.default_rng((0, 0)).random(2500) < 0.5
    assert not np.array_equal(flip[0], same_generator)
    correlation = np.corrcoef(np.concatenate([by_image, index]))
    np.testing.assert_allclose(correlation - np.eye(8), 0, atol=5 / 50)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("kind", ["numpy", "tensorflow", "read"])
def test_batches_carry_out_the_plan(kind, flip):
    """Batches of 4 out of 7 images: epochs begin in the middle of a batch."""
    index, mirrored = plan(3, NUM_IMAGES, 0, 24)
    expected = np.stack([IMAGES[i][:, ::-1] if m and flip else IMAGES[i] for i, m in zip(index, mirrored, strict=True)])
    got = take(6, make_source(kind), flip=flip)
    np.testing.assert_array_equal(np.concatenate([b["images"] for b in got]), expected)
    np.testing.assert_array_equal(np.concatenate([b["labels"] for b in got]), LABELS[index])
    assert [(b["images"].dtype, b["labels"].dtype) for b in got] == [(np.uint8, np.int32)] * 6


@pytest.mark.parametrize("kind", ["numpy", "tensorflow", "read"])
def test_a_batch_may_be_larger_than_the_data_set(kind):
    got = take(1, make_source(kind, labels=None), batch_size=16)
    assert set(got[0]) == {"images"}
    np.testing.assert_array_equal(got[0]["images"], IMAGES[plan(3, NUM_IMAGES, 0, 16)[0]])


@pytest.mark.parametrize("kind", ["numpy", "tensorflow", "read"])
def test_the_position_is_the_number_of_images(kind):
    """Batches of 4 go on after 10 images, which is within a batch."""
    whole, resumed = take(5, make_source(kind), flip=True), take(2, make_source(kind), flip=True, start=10)
    whole, resumed = (np.concatenate([batch["images"] for batch in part]) for part in (whole, resumed))
    np.testing.assert_array_equal(resumed, whole[10:18])


@pytest.mark.parametrize("kind", ["numpy", "tensorflow"])
@pytest.mark.parametrize("process_count", [2, 4])
def test_processes_share_the_same_global_batch(kind, process_count):
    whole = take(4, make_source(), batch_size=8, flip=True)
    shards = [
        take(4, make_source(kind), batch_size=8, flip=True, process_index=i, process_count=process_count)
        for i in range(process_count)
    ]
    for step in range(4):
        for name in ("images", "labels"):
            parts = [shard[step][name] for shard in shards]
            assert {len(part) for part in parts} == {8 // process_count}
            np.testing.assert_array_equal(np.concatenate(parts), whole[step][name])


def test_mirroring_leaves_the_source_alone():
    before = IMAGES.copy()
    take(5, make_source(), flip=True)
    np.testing.assert_array_equal(IMAGES, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size: got 0"),
        (
            {"batch_size": 6, "process_count": 4},
            r"batch_size: got 6.*multiple of the number of processes \(4\)",
        ),
        ({"seed": -1}, "seed: got -1"),
        ({"start": -1}, "start: got -1"),
    ],
)
def test_numbers_out_of_range_are_refused_at_the_call(options, message):
    with pytest.raises(InputError, match=message):
        batches(make_source(), **({"batch_size": 4, "seed": 0} | options))


def test_what_read_raises_arrives_as_it_is():
    def read(index: int) -> np.ndarray:
        raise InputError(f"image {index} is gone")

    source = Source(name="test", origin="made for a test", shape=(4, 5, 3), num_images=1, read=read)
    with pytest.raises(InputError, match=r"^image 0 is gone$"):
        next(batches(source, batch_size=2, seed=0))


@pytest.mark.parametrize("flip", [False, True])
def test_volumes_read_one_by_one_are_those_from_memory(flip: bool):
    volumes = np.random.default_rng(0).integers(0, 256, (6, 2, 4, 5, 1)).astype(np.uint8)
    held = Source("test", "made for a test", volumes.shape[1:], 6, images=volumes)
    read = Source("test", "made for a test", volumes.shape[1:], 6, read=lambda index: volumes[index])
    for first, second in zip(take(3, held, flip=flip), take(3, read, flip=flip), strict=True):
        np.testing.assert_array_equal(first["images"], second["images"])
