"""A classifier that sees generated images alone: what it learns from good ones and from useless ones."""

import numpy as np
import pytest

from jaxgen.evaluation import classifier_score
from jaxgen.evaluation.classifier_score import make_is_correct, train_on_generated


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
    hparams = {"lr": 3e-3, "ema_half_life": 200.0, "schedule_images": 960.0}
    monkeypatch.setattr(classifier_score, "HPARAMS", hparams)


def hits(state, images, labels):
    """Of any number of images: no multiple of what is looked at in one call."""
    know = make_is_correct((12, 12, 1), 2)
    return np.concatenate([know(state, images[i : i + 250], labels[i : i + 250]) for i in range(0, len(images), 250)])


@pytest.mark.parametrize(("obeyed", "low", "high"), [(True, 0.95, 1.0), (False, 0.0, 0.05)])
def test_score_is_high_only_if_fakes_are_what_was_asked_for(obeyed, low, high):
    images, labels = bars(203, 0)
    state = train_on_generated(images, labels if obeyed else 1 - labels, 2, seed=0)
    right = hits(state, *bars(601, 1))
    assert right.shape == (601,)
    assert low <= right.mean() <= high


def test_same_seed_same_classifier():
    images, labels = bars(50, 0)
    first, second = (hits(train_on_generated(images, labels, 2, seed=3), *bars(100, 1)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
