"""The noisy mean embedding: features of norm 1, sums that an image changes by 1 at most, noise, one reading."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.data.base import Source
from jaxgen.data.sources import array_source
from jaxgen.errors import InputError
from jaxgen.privacy.embedding import (
    Release,
    draw_projections,
    embedding_batches,
    features,
    noisy_embedding,
    sums_of_features,
)

SHAPE, NUM, CLASSES = (4, 4, 1), 12, 3
PIXELS = np.random.default_rng(0).integers(0, 256, (NUM, *SHAPE)).astype(np.uint8)
LABELS = np.arange(NUM) % CLASSES
SOURCE = array_source(PIXELS, LABELS)
PROJECTIONS = draw_projections(SHAPE, 60)


def by_numpy(pixels: np.ndarray) -> np.ndarray:
    """Rahimi and Recht, 2007: cosines and sines of projections; and a constant, whose square is a tenth."""
    angles = (pixels / 127.5 - 1).reshape(len(pixels), -1) @ PROJECTIONS.weights.astype(np.float64)
    waves = np.concatenate([np.cos(angles), np.sin(angles)], 1)
    return np.concatenate([np.sqrt(0.9 / 60) * waves, np.full((len(pixels), 1), np.sqrt(0.1))], 1)


def test_features_are_the_formula_and_have_norm_1() -> None:
    found = np.asarray(features(PROJECTIONS, jnp.float32(PIXELS / 127.5 - 1)))
    np.testing.assert_allclose(found, by_numpy(PIXELS), atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)


def test_projections_see_windows_of_three_sizes_of_images_and_volumes() -> None:
    sizes = (PROJECTIONS.weights != 0).sum(0)
    assert set(sizes) == {16, 4, 1}
    assert set((draw_projections((4, 8, 4, 2), 6).weights != 0).sum(0)) == {4 * 8 * 4 * 2, 2 * 4 * 2 * 2, 2 * 2}
    with pytest.raises(InputError, match="shape"):
        draw_projections((512, 512, 3), 4000)


@pytest.mark.parametrize("flip", [False, True])
def test_an_image_changes_its_own_class_alone_and_by_at_most_1(flip: bool) -> None:
    """Sums of all neighbouring sets; the other classes stay the same to the last bit, in whatever order images come."""
    whole = sums_of_features(PROJECTIONS, SOURCE, CLASSES, flip)
    for i in (0, 5, 11):
        left = np.delete(np.arange(NUM), i)[::-1]
        change = whole - sums_of_features(PROJECTIONS, array_source(PIXELS[left], LABELS[left]), CLASSES, flip)
        assert np.linalg.norm(change) <= 1.0
        assert np.linalg.norm(change) > (0.4 if flip else 0.99)
        assert not np.delete(change, LABELS[i], 0).any()


def test_sums_are_those_of_the_formula() -> None:
    expected = [by_numpy(PIXELS[LABELS == c]).sum(0) for c in range(CLASSES)]
    np.testing.assert_allclose(sums_of_features(PROJECTIONS, SOURCE, CLASSES), expected, atol=NUM * 2e-5)
    mirrored = (by_numpy(PIXELS) + by_numpy(PIXELS[:, :, ::-1])).sum(0, keepdims=True) / 2
    np.testing.assert_allclose(sums_of_features(PROJECTIONS, SOURCE, 1, flip=True), mirrored, atol=NUM * 2e-5)


def test_noise_is_that_of_the_sum_over_the_public_number_and_new_each_time() -> None:
    exact = sums_of_features(PROJECTIONS, SOURCE, CLASSES) / NUM
    drawn = [noisy_embedding(PROJECTIONS, SOURCE, CLASSES, 3.0) - exact for _ in range(10)]
    assert np.std(drawn) == pytest.approx(3.0 / NUM, rel=5 / np.sqrt(2 * np.size(drawn)))
    assert not any(np.array_equal(a, b) for a, b in itertools.combinations(drawn, 2))


class Once:
    """Reads images, and fails if one is read again."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def __call__(self, i: int) -> np.ndarray:
        assert i not in self.seen
        self.seen.add(i)
        return PIXELS[i]


def test_only_the_first_batch_reads_images_and_each_once() -> None:
    once = Once()
    source = Source("s", "s", SHAPE, NUM, LABELS.astype(np.int32), ("a", "b", "c"), read=once)
    release = Release(PROJECTIONS, CLASSES, 1e-9)
    batches = embedding_batches(release, source, batch_size=10)
    first, *others = itertools.islice(batches, 4)
    assert once.seen == set(range(NUM))
    flat = sums_of_features(PROJECTIONS, SOURCE, CLASSES).ravel() / NUM
    np.testing.assert_allclose(first["embedding"].ravel()[: flat.size], flat, atol=1e-6)
    assert all(not batch["embedding"].any() for batch in others)
    assert all(batch["embedding"].shape == first["embedding"].shape for batch in others)
    later = embedding_batches(release, source, batch_size=10, start=10)  # of a run that goes on
    assert not next(later)["embedding"].any()


def test_processes_bring_the_rows_of_one_batch() -> None:
    release = Release(PROJECTIONS, CLASSES, 1e-9)
    whole = next(embedding_batches(release, SOURCE, batch_size=10))
    parts = [next(embedding_batches(release, SOURCE, batch_size=10, process_index=i, process_count=2)) for i in (0, 1)]
    for name in ("place", "embedding"):
        np.testing.assert_allclose(np.concatenate([part[name] for part in parts]), whole[name], atol=1e-6)


def test_random_pieces_are_refused() -> None:
    crops = Source("s", "s", SHAPE, NUM, read=lambda i: PIXELS[i], crops=True)
    with pytest.raises(InputError, match="crop_size"):
        embedding_batches(Release(PROJECTIONS, 1, 1.0), crops, batch_size=2)
