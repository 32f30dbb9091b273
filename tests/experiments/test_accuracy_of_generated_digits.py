"""The accuracy of a network that saw generated digits alone: real ones stand in for these here."""

import json

import numpy as np
import pytest

from experiments import accuracy_of_generated_digits as study
from jaxgen.data.base import subset
from jaxgen.data.config import DataConfig
from jaxgen.data.sources import open_source
from jaxgen.errors import InputError

DIGITS = open_source(DataConfig("digits"))


@pytest.mark.slow
def test_real_digits_teach_it_digits_and_wrong_classes_do_not():
    order = np.random.default_rng(0).permutation(DIGITS.num_images)
    seen, labels, test = DIGITS.take(order[:2600]), DIGITS.labels[order[:2600]], subset(DIGITS, np.sort(order[4000:]))
    right = study.measure(seen, labels, test, epochs=3, seed=0)
    assert len(right) == 3
    assert right[-1][1] > 0.8  # chance is 0.1
    shuffled = np.random.default_rng(1).permutation(labels)
    assert study.measure(seen, shuffled, test, epochs=1, seed=0)[-1][1] < 0.3


def test_the_accuracy_is_the_share_of_right_classes(monkeypatch):
    monkeypatch.setattr(study, "_classify", lambda params, images: images[:, 0, 0, 0])
    images = np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1)
    assert study.accuracy({}, images, np.array([0, 1, 2, 3, 9, 9, 9, 9])) == 0.5


@pytest.mark.slow
def test_generated_digits_choose_the_epoch(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(study, "open_source", lambda config: DIGITS)
    monkeypatch.setattr(study, "measure", lambda *args: [(0.5, 0.9), (0.7, 0.8), (0.6, 0.95)])
    out = tmp_path / "accuracy.json"
    study.run(study.AccuracyConfig(num=1200, out=str(out)))
    assert json.loads(out.read_text())["accuracy"] == 0.8
    assert "digits: 80.00% of 5,000 real digits" in capsys.readouterr().out


def test_too_few_digits_are_refused():
    with pytest.raises(InputError, match="num: got 100; accepted: 1200 or more"):
        study.AccuracyConfig(num=100)
