"""Canaries: which images are left out, the record of the coins, and what is refused."""

import dataclasses

import numpy as np
import pytest

from jaxgen.data.base import Source
from jaxgen.data.canaries import FILE, flip_coins, read_canaries, record_canaries, require_source_of
from jaxgen.data.config import DataConfig
from jaxgen.data.sources import array_source
from jaxgen.errors import InputError


def numbered(num: int = 300) -> Source:
    """Images whose pixels are their numbers, with their last digits as labels."""
    images = np.zeros((num, 4, 4, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.divmod(np.arange(num), 256)
    return array_source(images, np.arange(num) % 10)


def numbers(source: Source) -> np.ndarray:
    pixels = source.take(np.arange(source.num_images)).astype(np.int64)
    return pixels[:, 0, 0, 0] * 256 + pixels[:, 0, 1, 0]


def in_files(source: Source) -> Source:
    """The same images, read one by one."""
    images = source.images
    return dataclasses.replace(source, images=None, read=lambda i: images[i])


@pytest.mark.parametrize("form", [lambda source: source, in_files])
def test_just_the_canaries_whose_coins_say_so_are_left_out(form):
    source = flip_coins(form(numbered()), 100, seed=3)
    canaries = source.canaries
    assert len(np.unique(canaries.index)) == 100
    out = canaries.index[~canaries.included]
    assert 30 <= len(out) <= 70
    np.testing.assert_array_equal(numbers(source), np.setdiff1d(np.arange(300), out))
    np.testing.assert_array_equal(source.labels, numbers(source) % 10)


def test_coins_are_fair_and_depend_on_the_seed_alone():
    drawn = [flip_coins(numbered(), 200, seed).canaries for seed in range(50)]
    heads = sum(int(canaries.included.sum()) for canaries in drawn)
    assert abs(heads - 5000) < 4 * 50  # the standard deviation of 10,000 fair coins is 50
    again = flip_coins(in_files(numbered()), 200, 7).canaries
    np.testing.assert_array_equal(again.index, drawn[7].index)
    np.testing.assert_array_equal(again.included, drawn[7].included)
    assert not np.array_equal(drawn[7].index, drawn[8].index)


def test_without_canaries_the_source_is_the_same():
    source = numbered()
    assert flip_coins(source, 0, 0) is source


def test_the_record_is_read_back_and_kept_by_a_resume(tmp_path):
    source = flip_coins(numbered(), 40, 1)
    assert read_canaries(tmp_path) is None
    record_canaries(tmp_path, numbered())
    assert not (tmp_path / FILE).exists()
    record_canaries(tmp_path, source)
    found = read_canaries(tmp_path)
    np.testing.assert_array_equal(found.index, source.canaries.index)
    np.testing.assert_array_equal(found.included, source.canaries.included)
    record_canaries(tmp_path, source)
    require_source_of(found, numbered())
    with pytest.raises(InputError, match=r"canaries: got .*private.canaries.npz"):
        record_canaries(tmp_path, flip_coins(numbered(), 40, 2))


@pytest.mark.parametrize("changed", [numbered(301), array_source(numbered().images[::-1]), numbered(20)])
def test_other_images_than_those_of_the_training_are_noticed(changed):
    with pytest.raises(InputError, match=r"dataset: .*same order"):
        require_source_of(flip_coins(numbered(), 40, 1).canaries, changed)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive"])
def test_a_damaged_record_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "private").mkdir()
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(InputError, match=r"canaries.npz: holds no canaries"):
        read_canaries(tmp_path)


@pytest.mark.parametrize("num", [-1, 1, 19])
def test_too_few_canaries_are_refused(num):
    with pytest.raises(InputError, match=f"canaries: got {num}; accepted: 0, or 20 or more"):
        DataConfig(canaries=num)


def test_more_canaries_than_images_are_refused():
    with pytest.raises(InputError, match=r"canaries: got 301; accepted: at most 300"):
        flip_coins(numbered(), 301, 0)
