"""Poisson batches: how many images, which, how independent, and that nothing of them can be repeated."""

from itertools import islice

import numpy as np
import pytest
from scipy import stats

from jaxgen.data.sources import array_source
from jaxgen.errors import InputError
from jaxgen.privacy import sampling
from jaxgen.privacy.clipping import AT_ONCE, num_parts
from jaxgen.privacy.sampling import capacity, poisson_batches, slots

NUM, MEAN, STEPS = 60, 12, 2000
SOURCE = array_source(
    np.arange(NUM, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8), np.arange(NUM) % 3
)
"""Images that say which they are."""


def drawn(batch: dict[str, np.ndarray]) -> np.ndarray:
    return batch["images"][batch["mask"] == 1][:, 0, 0, 0]


@pytest.fixture(scope="module")
def chosen() -> np.ndarray:
    """Which images each step drew, (steps, images)."""
    rows = np.zeros((STEPS, NUM), bool)
    for row, batch in zip(rows, poisson_batches(SOURCE, batch_size=MEAN, seed=0), strict=False):
        row[drawn(batch)] = True
    return rows


def test_sizes_are_binomial_and_vary(chosen: np.ndarray) -> None:
    """Batches of a fixed size, or of a shuffled epoch, have no variance."""
    sizes, q = chosen.sum(1), MEAN / NUM
    assert sizes.mean() == pytest.approx(MEAN, abs=5 * np.sqrt(MEAN * (1 - q) / STEPS))
    assert sizes.var() / (MEAN * (1 - q)) == pytest.approx(1.0, abs=5 * np.sqrt(2 / STEPS))


def test_images_are_drawn_independently_of_each_other_and_of_earlier_steps(chosen: np.ndarray) -> None:
    q, centred = MEAN / NUM, chosen - MEAN / NUM
    limit = 5.5 * q * (1 - q) / np.sqrt(STEPS)  # of so many standard deviations, with thousands of pairs
    assert np.abs(chosen.mean(0) - q).max() <= 5 * np.sqrt(q * (1 - q) / STEPS)
    together = centred.T @ centred / STEPS
    assert np.abs(together - np.diag(np.diag(together))).max() <= limit
    assert np.abs((centred[1:] * centred[:-1]).mean(0)).max() <= limit


def test_batches_have_one_shape_and_padding_holds_nothing() -> None:
    for batch in islice(poisson_batches(SOURCE, batch_size=MEAN), 20):
        size = capacity(NUM, MEAN, MEAN / NUM)
        assert {name: x.shape for name, x in batch.items()} == {
            "images": (size, 2, 2, 1), "labels": (size,), "mask": (size,), "secret": (size, 10),
        }  # fmt: skip
        used = batch["mask"] == 1
        assert set(np.unique(batch["mask"])) <= {0.0, 1.0}
        np.testing.assert_array_equal(batch["labels"][used], drawn(batch) % 3)
        assert not batch["images"][~used].any()


def test_nothing_repeats_with_the_same_seed_and_position() -> None:
    first, again = (list(islice(poisson_batches(SOURCE, batch_size=MEAN, seed=7, start=5), 3)) for _ in range(2))
    secrets = np.concatenate([batch["secret"] for batch in first + again])
    assert len(np.unique(secrets, axis=0)) == len(secrets)
    assert any(not np.array_equal(a["images"], b["images"]) for a, b in zip(first, again, strict=True))


def test_processes_draw_from_disjoint_parts_of_all_images() -> None:
    seen = [set(), set(), set()]
    for index, own in enumerate(seen):
        for batch in islice(poisson_batches(SOURCE, batch_size=MEAN, process_index=index, process_count=3), 100):
            own.update(drawn(batch).tolist())
    assert set.union(*seen) == set(range(NUM))
    assert sum(map(len, seen)) == NUM


def test_a_batch_that_does_not_fit_is_nearly_impossible_and_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    for num, mean in ((60_000, 1024), (60_000, 64), (5_000, 512)):
        size = capacity(num, mean, mean / num)
        assert stats.binom.sf(size, num, mean / num) <= 1e-15
        assert size <= mean + 12 * np.sqrt(mean) + 128
    monkeypatch.setattr(sampling, "capacity", lambda *args: 3)
    with pytest.raises(RuntimeError, match="more than 3"):
        list(islice(poisson_batches(SOURCE, batch_size=30), 5))


def test_images_fill_one_part_of_a_clipped_sum_after_another() -> None:
    size = 5 * AT_ONCE
    part = slots(size) % num_parts(size)  # part i has the places i, i + n, ...
    np.testing.assert_array_equal(part, np.repeat(np.arange(5), AT_ONCE))


def test_a_mean_above_the_number_of_images_is_refused() -> None:
    with pytest.raises(InputError, match="batch_size: got 61; accepted: 1 to 60"):
        poisson_batches(SOURCE, batch_size=61)
