"""Numbers of a scan from text: lists, ranges, combinations, random settings."""

import numpy as np
import pytest

from jaxgen.errors import InputError
from jaxgen.scans.space import Range, as_texts, draw, grid, parse_numbers, parse_space, texts_of, varied
from jaxgen.tasks.gan.config import GanHparams


def test_values_and_ranges():
    assert parse_numbers("lr", "1e-4,2e-4") == (0.0001, 0.0002)
    assert parse_numbers("lr", "1e-4..1e-2") == Range(0.0001, 0.01)
    assert parse_numbers("schedule_images", "None") == (None,)


@pytest.mark.parametrize("text", ["", "fast", "1,,2", "1,1.0", "0..1", "2..1", "1..", "1..2..3", "1..inf"])
def test_bad_texts_are_refused_in_one_line(text):
    with pytest.raises(InputError, match=r"hparams\.lr: got .*; accepted: ") as error:
        parse_numbers("lr", text)
    assert "\n" not in str(error.value)


def test_texts_of_numbers_mean_these_numbers():
    hparams = GanHparams(lr=1.23456789e-3)
    assert grid(parse_space(as_texts(hparams))) == [vars(hparams)]
    assert grid(parse_space(texts_of(GanHparams)())) == [vars(GanHparams())]
    assert texts_of(GanHparams) is texts_of(GanHparams)


def test_a_grid_is_every_combination():
    space = {"a": (1.0, 2.0), "b": (5.0,), "c": (None, 3.0)}
    assert grid(space) == [
        {"a": 1.0, "b": 5.0, "c": None},
        {"a": 1.0, "b": 5.0, "c": 3.0},
        {"a": 2.0, "b": 5.0, "c": None},
        {"a": 2.0, "b": 5.0, "c": 3.0},
    ]
    assert varied(space) == ["a", "c"]
    with pytest.raises(InputError, match=r"hparams\.a: got '1\.\.2'; accepted: .*--random"):
        grid({"a": Range(1.0, 2.0)})


def test_random_settings_are_even_in_each_decade_and_by_number():
    space = {"a": Range(1e-4, 1e-1), "b": (1.0, 2.0, 3.0), "c": (7.0,)}
    drawn = [draw(space, 0, i) for i in range(600)]
    decades = np.floor(np.log10([setting["a"] for setting in drawn])).astype(int)
    assert set(decades) == {-4, -3, -2}
    # 600 draws in three equal parts: a standard deviation is 11.5
    assert all(abs(np.sum(decades == d) - 200) < 50 for d in (-4, -3, -2))
    assert all(abs(sum(s["b"] == b for s in drawn) - 200) < 50 for b in (1.0, 2.0, 3.0))
    assert {s["c"] for s in drawn} == {7.0}
    assert draw(space, 0, 5) == drawn[5]
    assert draw(space, 1, 5) != drawn[5]
    assert len({s["a"] for s in drawn}) == 600
