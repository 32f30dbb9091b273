"""A classifier that sees generated images alone: what it learns from good ones and from useless ones."""

import numpy as np
import pytest

from jaxgen.evaluation import classifier_score
from jaxgen.evaluation.classifier_score import make_classify, score_figures, train_on


def bars(num, seed):
    """Class 0 has a bright bar across, class 1 one that stands."""
    noise = np.random.default_rng(seed)
    labels = noise.integers(0, 2, num).astype(np.int32)
    images = noise.integers(0, 60, (num, 12, 12, 1)).astype(np.uint8)
    for image, label, place in zip(images, labels, noise.integers(2, 10, num), strict=True):
        image[(place, slice(None)) if label == 0 else (slice(None), place)] = 255
    return images, labels


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(classifier_score, "STEPS", 60)
    monkeypatch.setattr(classifier_score, "BATCH_SIZE", 16)
    monkeypatch.setattr(classifier_score, "AT_ONCE", 250)  # 8 devices do not divide it, as 16 do not divide 1000
    hparams = {"lr": 3e-3, "ema_half_life": 200.0}
    monkeypatch.setattr(classifier_score, "HPARAMS", hparams)


def hits(state, images, labels):
    """Of any number of images: no multiple of what is looked at in one call."""
    classify = make_classify((12, 12, 1), 2)
    logits = np.concatenate([classify(state, images[i : i + 250]) for i in range(0, len(images), 250)])
    return np.argmax(logits, 1) == labels


@pytest.mark.parametrize(("obeyed", "low", "high"), [(True, 0.95, 1.0), (False, 0.0, 0.05)])
def test_score_is_high_only_if_fakes_are_what_was_asked_for(obeyed, low, high):
    images, labels = bars(203, 0)
    state = train_on(images, labels if obeyed else 1 - labels, 2, seed=0)
    right = hits(state, *bars(601, 1))
    assert right.shape == (601,)
    assert low <= right.mean() <= high


def test_same_seed_same_classifier():
    images, labels = bars(50, 0)
    first, second = (hits(train_on(images, labels, 2, seed=3), *bars(100, 1)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_area_under_the_curve_is_the_share_of_pairs_in_order():
    noise = np.random.default_rng(0)
    labels = noise.integers(0, 2, 60).astype(np.int32)
    logits = (noise.integers(-4, 5, (60, 2)) + np.stack([-labels, labels], 1)).astype(np.float32)  # with ties
    figures = score_figures("real_", logits, labels, 0)
    score = logits[:, 1] - logits[:, 0]
    pairs = np.sign(score[labels == 1][:, None] - score[labels == 0])
    expected = np.mean((pairs + 1) / 2)
    assert figures["real_classifier_auc"].value == pytest.approx(expected)
    assert figures["real_classifier_auc"].low < expected < figures["real_classifier_auc"].high
    assert figures["real_classifier_accuracy_score"].value == np.mean((score > 0) == labels)  # a tie is class 0


@pytest.mark.parametrize(("logits", "labels"), [(np.eye(3), [0, 1, 2]), (np.eye(2)[[0, 0, 1]], [0, 0, 0])])
def test_more_classes_and_a_single_one_have_no_curve(logits, labels):
    assert set(score_figures("", logits, np.array(labels, np.int32), 0)) == {"classifier_accuracy_score"}


@pytest.mark.slow
def test_a_classifier_of_volumes(monkeypatch):
    """It is the same one, of volumes that are resampled to 32 voxels a side."""
    monkeypatch.setattr(classifier_score, "STEPS", 20)
    labels = np.arange(40, dtype=np.int32) % 2
    volumes = np.random.default_rng(0).integers(0, 99, (40, 8, 8, 8, 1)).astype(np.uint8)
    volumes[labels == 1, 2:6, 2:6] += 150
    state = train_on(volumes, labels, 2, 0)
    logits = make_classify((8, 8, 8, 1), 2)(state, volumes)
    assert np.mean(np.argmax(logits, 1) == labels) > 0.9
