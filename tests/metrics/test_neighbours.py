"""Nearest neighbours and all that is made of them, against the definitions written out with every distance."""

import numpy as np
import pytest

from jaxgen.errors import InputError
from jaxgen.metrics.neighbours import (
    empty_nearest,
    memorisation,
    nearest,
    precision_recall_density_coverage,
    two_sample_accuracy,
    update_nearest,
)

NOISE = np.random.default_rng(0)


def all_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(x[:, None].astype(np.float64) - y[None].astype(np.float64)).sum(-1))


def by_definition(real: np.ndarray, fake: np.ndarray, k: int) -> dict[str, float]:
    """As the authors' package computes them: the own row counts as the first of k + 1 neighbours."""
    real_radii = np.sort(all_distances(real, real), axis=1)[:, k]
    fake_radii = np.sort(all_distances(fake, fake), axis=1)[:, k]
    distances = all_distances(real, fake)
    in_real_ball = distances < real_radii[:, None]
    return {
        "precision": float(in_real_ball.any(0).mean()),
        "recall": float((distances < fake_radii[None]).any(1).mean()),
        "density": float(in_real_ball.sum(0).mean() / k),
        "coverage": float((distances.min(1) < real_radii).mean()),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("num", "others", "k"), [(1, 1, 1), (1, 9, 9), (30, 7, 3), (300, 50, 5)])
def test_nearest_against_all_distances(num: int, others: int, k: int, dtype: type) -> None:
    queries, reference = (NOISE.standard_normal((n, 4)).astype(dtype) for n in (num, others))
    distances, index = nearest(queries, reference, k, block_size=13)
    expected = all_distances(queries, reference)
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :k], rtol=1e-12)
    np.testing.assert_array_equal(index, np.argsort(expected, axis=1)[:, :k])


@pytest.mark.parametrize("k", [1, 4])
def test_a_row_is_not_its_own_neighbour_if_so_asked(k: int) -> None:
    rows = NOISE.standard_normal((41, 3))
    expected = all_distances(rows, rows) + np.diag(np.full(41, np.inf))
    for block_size in (1, 10, 41, 1000):
        distances, index = nearest(rows, rows, k, leave_out_self=True, block_size=block_size)
        np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :k], rtol=1e-12)
        np.testing.assert_array_equal(index, np.argsort(expected, axis=1)[:, :k])


def test_copies_are_at_zero_exactly_also_far_from_the_origin() -> None:
    rows = (NOISE.standard_normal((50, 64)) + 1000).astype(np.float32)
    distances, index = nearest(rows, np.concatenate([rows[::-1], rows]), k=3)
    assert (distances[:, :2] == 0).all()
    assert (distances[:, 2] > 1).all()
    np.testing.assert_array_equal(index[:, :2], np.stack([49 - np.arange(50), 50 + np.arange(50)], axis=1))
    assert (nearest(np.concatenate([rows, rows]), np.concatenate([rows, rows]), leave_out_self=True)[0] == 0).all()


@pytest.mark.parametrize("block_size", [1, 7, 20, 100])
def test_a_streamed_reference_gives_the_same_as_the_whole(block_size: int) -> None:
    queries, reference = NOISE.standard_normal((15, 3)), NOISE.standard_normal((100, 3))
    reference[60:80] = reference[:20]  # equal rows: the first is kept
    best = empty_nearest(15)
    for offset in range(0, 100, block_size):
        best = update_nearest(best, queries, reference[offset : offset + block_size], offset)
    expected = all_distances(queries, reference)
    np.testing.assert_allclose(best.distance, expected.min(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(best.index, expected.argmin(axis=1))


def test_nothing_is_nearest_before_the_first_block() -> None:
    best = empty_nearest(2)
    assert best.distance.tolist() == [np.inf, np.inf]
    assert best.index.tolist() == [-1, -1]


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.5, 0.0), (1.0, 1.5), (3.0, 0.5), (1.0, 50.0)])
def test_precision_recall_density_coverage_by_definition(k: int, scale: float, shift: float) -> None:
    real, fake = NOISE.standard_normal((80, 3)), scale * NOISE.standard_normal((57, 3)) + shift
    for block_size in (1, 32, 1000):
        actual = precision_recall_density_coverage(real, fake, k, block_size=block_size)
        assert actual == pytest.approx(by_definition(real, fake, k), rel=1e-12)


def test_points_on_a_grid_where_every_distance_is_a_tie() -> None:
    # integers, so that squared distances are exact and balls have other points on their edges
    real, fake = (NOISE.integers(0, 5, (90, 2)).astype(np.float32) for _ in range(2))
    for k in (1, 3, 10):
        assert precision_recall_density_coverage(real, fake, k) == pytest.approx(by_definition(real, fake, k))


def test_copies_of_the_real_images() -> None:
    real = NOISE.standard_normal((60, 8)).astype(np.float32)
    # in each ball are its centre and k - 1 neighbours, and the k-th is on the edge
    expected = {"precision": 1.0, "recall": 1.0, "density": 1.0, "coverage": 1.0}
    assert precision_recall_density_coverage(real, real[::-1], k=4) == pytest.approx(expected)


def test_equal_images_have_empty_balls() -> None:
    real = np.full((8, 3), 0.1, np.float32)
    zeros = {"precision": 0.0, "recall": 0.0, "density": 0.0, "coverage": 0.0}
    assert precision_recall_density_coverage(real, real) == zeros
    assert precision_recall_density_coverage(real, real + 1) == zeros
    # one point inside of the real cloud: all generated images are precise, and their empty balls recall nothing
    cloud = NOISE.standard_normal((50, 3))
    actual = precision_recall_density_coverage(cloud, np.zeros((8, 3)))
    assert (actual["precision"], actual["recall"]) == (1.0, 0.0)


def test_too_few_images_are_refused_with_k_and_their_number() -> None:
    five, six = NOISE.standard_normal((5, 2)), NOISE.standard_normal((6, 2))
    assert set(precision_recall_density_coverage(six, six)) == {"precision", "recall", "density", "coverage"}
    for pair in ((five, six), (six, five)):
        with pytest.raises(InputError, match="k: got 5 with 5 images; accepted: 6 images or more for k = 5"):
            precision_recall_density_coverage(*pair)
    with pytest.raises(InputError, match="k: got 7 with 6 images"):
        nearest(five, six, 7)
    with pytest.raises(InputError, match="k: got 1 with 1 images; accepted: 2 images"):
        nearest(five[:1], five[:1], leave_out_self=True)
    with pytest.raises(InputError, match="k: got 0"):
        nearest(five, six, 0)


def test_features_that_do_not_fit_are_refused() -> None:
    rows, wrong = np.zeros((9, 2)), np.full((9, 2), np.nan)
    with pytest.raises(InputError, match="got 2 and 3 features"):
        nearest(rows, np.zeros((9, 3)))
    with pytest.raises(InputError, match="got 2 and 3 features"):
        precision_recall_density_coverage(rows, np.zeros((9, 3)))
    with pytest.raises(InputError, match=r"fake: got nan at \[0, 0\]"):
        precision_recall_density_coverage(rows, wrong)
    with pytest.raises(InputError, match=r"reference: got nan at \[0, 0\]"):
        update_nearest(empty_nearest(9), rows, wrong, 0)


def test_memorisation_against_all_pairs() -> None:
    for fake, held_out in (NOISE.integers(1, 9, (2, 40)) / 4, NOISE.random((2, 31)), [np.ones(1), np.full(3, 2.0)]):
        pairs = (fake[:, None] < held_out) + 0.5 * (fake[:, None] == held_out)
        expected = {"auc": pairs.mean(), "ratio": np.median(fake) / np.median(held_out)}
        assert memorisation(fake, held_out) == pytest.approx(expected, rel=1e-12)


def test_copies_are_all_nearer() -> None:
    assert memorisation(np.zeros(10, np.float32), NOISE.random(7) + 0.1) == {"auc": 1.0, "ratio": 0.0}


def test_new_images_are_as_near_as_held_out_ones() -> None:
    training, fresh, held_out = np.random.default_rng(1).standard_normal((3, 2000, 4))
    told = memorisation(nearest(fresh, training)[0][:, 0], nearest(held_out, training)[0][:, 0])
    # standard deviation of the Mann-Whitney statistic: sqrt((n + m + 1) / (12 n m)) = 0.009
    assert told["auc"] == pytest.approx(0.5, abs=0.03)
    assert told["ratio"] == pytest.approx(1.0, abs=0.05)


def test_equal_distances_and_those_of_a_data_set_with_duplicates() -> None:
    assert memorisation(np.full(3, 2.0), np.full(5, 2.0)) == {"auc": 0.5, "ratio": 1.0}
    assert memorisation(np.zeros(3), np.zeros(5)) == {"auc": 0.5, "ratio": 1.0}
    assert memorisation(np.ones(3), np.zeros(5)) == {"auc": 0.0, "ratio": np.inf}


@pytest.mark.parametrize("wrong", [[], [np.nan], [np.inf], [1.0, -0.5]])
def test_what_is_no_distance_is_refused(wrong: list[float]) -> None:
    with pytest.raises(InputError, match="fake: got "):
        memorisation(np.array(wrong), np.ones(2))
    with pytest.raises(InputError, match="held_out: got "):
        memorisation(np.ones(2), np.array(wrong))


def test_two_sample_accuracy_by_definition() -> None:
    noise = np.random.default_rng(1)
    real, fake = noise.normal(size=(60, 3)), noise.normal(0.7, 1, (60, 3))
    both = np.concatenate([real, fake])
    distances = all_distances(both, both)
    np.fill_diagonal(distances, np.inf)
    expected = np.mean((distances.argmin(1) < 60) == (np.arange(120) < 60))
    assert two_sample_accuracy(real, fake, block_size=7) == pytest.approx(expected)
    assert 0.5 < expected < 0.9


def test_two_samples_of_one_distribution_are_not_told_apart_and_others_are() -> None:
    noise = np.random.default_rng(2)
    real = noise.normal(size=(400, 4))
    assert two_sample_accuracy(real, noise.normal(size=(900, 4))) == pytest.approx(0.5, abs=0.06)
    assert two_sample_accuracy(real, np.tile(real[:1] + 0.01, (900, 1))) > 0.99  # one shape for all
    assert two_sample_accuracy(real, real) == 0.0  # each image's nearest is its copy
    with pytest.raises(InputError, match="images: got 1; accepted: 2 or more"):
        two_sample_accuracy(real, real[:1])
