"""The checkpoint score compares with training images alone and is lower for generated images that are like them."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from jaxgen.data.base import Source
from jaxgen.data.pipeline import plan
from jaxgen.evaluation import checkpoint_score
from jaxgen.evaluation.checkpoint_score import make_checkpoint_score
from jaxgen.evaluation.features import extract, random_features
from jaxgen.evaluation.generated import choose_rows

SHAPE = (8, 8, 1)


def make_images(num, seed, brightest=256):
    return np.random.default_rng(seed).integers(0, brightest, (num, *SHAPE)).astype(np.uint8)


@pytest.fixture(scope="module")
def source():
    images = make_images(700, 0)
    return Source("toy", "toy", SHAPE, len(images), images=images)


def test_small_sources_are_scored_with_fewer_images(source):
    score = make_checkpoint_score(source, 0)
    assert (score.name, score.num_generated) == ("quality/frechet_700", 700)
    assert "700 generated images against 700 training images" in score.protocol
    assert "untrained" in score.protocol


def test_the_distance_is_that_of_all_training_images(source):
    generated = make_images(700, 1, 200)
    ((a, _),), ((b, _),) = (list(extract(random_features(SHAPE), [x])) for x in (generated, source.images))
    a, b = a.astype(np.float64), b.astype(np.float64)
    root = sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)
    assert make_checkpoint_score(source, 0).distance(generated) == pytest.approx(expected, rel=1e-3)


def test_better_fakes_are_nearer(source):
    score = make_checkpoint_score(source, 0)
    near, far = score.distance(make_images(700, 1)), score.distance(make_images(700, 1, 128))
    assert 0 < near < 0.1 * far


def test_of_a_large_source_a_part_is_used():
    images = make_images(12_000, 0)
    score = make_checkpoint_score(Source("toy", "toy", SHAPE, len(images), images=images), 0)
    assert (score.name, score.num_generated) == ("quality/frechet_2k", 2000)
    assert "2000 generated images against 10000 training images" in score.protocol


@pytest.mark.parametrize("seed", [0, 7])
def test_images_to_compare_with_are_drawn_in_an_order_of_no_epoch(seed):
    """Each image holds its number, so that the order can be read."""
    num, part = 2000, 300
    images = np.arange(num, dtype=np.uint16).view(np.uint8).reshape(num, 1, 2, 1)
    source = Source("toy", "toy", (1, 2, 1), num, images=images)
    drawn = np.concatenate(list(checkpoint_score._random_batches(source, 0, part, seed)))
    order = np.ascontiguousarray(drawn).reshape(part, 2).view(np.uint16)[:, 0]
    assert len(set(order.tolist())) == part
    chosen = np.flatnonzero(choose_rows(num, part, seed))
    for epoch in range(4):
        index, _ = plan(seed, num, epoch * num, num)
        assert (index[:part] == order).mean() < 0.1
        for piece in (index[:part], index[-part:]):  # of 300 of 2,000, 45 are shared by chance
            assert len(np.intersect1d(chosen, piece)) < 100
            assert len(np.intersect1d(order, piece)) < 100


def test_the_distance_is_told_as_a_multiple_of_that_of_other_training_images():
    """Of 5,000 images 2,000 are set aside: more of the same kind are about once the real distance away, others not."""
    images = make_images(5000, 0)
    score = make_checkpoint_score(Source("toy", "toy", SHAPE, len(images), images=images), 0)
    assert "2000 generated images against 3000 training images" in score.protocol
    made = make_images(2000, 1), 255 * make_images(2000, 1, 2)
    times = [float(score.describe(score.distance(images)).split()[0]) for images in made]
    assert times[0] == pytest.approx(1.0, abs=0.5)
    assert times[1] > 10
    assert "times the real distance, 2000 images against 3000 training images" in score.describe(1.0)
