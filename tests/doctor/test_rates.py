"""Rates: operations by the formula, the fastest of the runs, and nothing left behind on the disk."""

import os
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from jaxgen.doctor import rates


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(rates, "MATRIX", {"cpu": 8})
    monkeypatch.setattr(rates, "CONVOLUTION", {"cpu": (2, 4, 3)})


def ticking(monkeypatch, times):
    """A clock that shows these times in turn."""
    clock = iter(times)
    monkeypatch.setattr(rates, "time", SimpleNamespace(perf_counter=lambda: next(clock)))


def test_the_fastest_run_counts_and_the_first_does_not(monkeypatch):
    ticking(monkeypatch, [0.0, 3.0, 10.0, 12.0, 20.0, 24.0])
    runs = []
    assert rates.rate(rates.Work(lambda: runs.append(1), 8.0), repeats=3) == 4.0
    assert len(runs) == 4


def test_operations_are_those_of_the_formula(small):
    devices = jax.devices()[:2]
    works = {
        "matmul": rates.matmul(devices, "bfloat16"),
        "convolution": rates.convolution(devices, "float32", gradients=False),
        "gradients": rates.convolution(devices, "float32", gradients=True),
    }
    for work in works.values():
        work.run()
    # a multiplication and an addition each: 8^3 on each device; 4 images of 4 x 4 pixels, 3 x 3 x 3 to 3 channels
    forward = 2 * 4 * 4 * 4 * (3 * 3 * 3) * 3
    assert [work.amount for work in works.values()] == [2 * 2 * 8**3, forward, 3 * forward]


def test_the_other_rates_count_what_they_move(tmp_path):
    reduced, uploaded, called = rates.all_reduce(jax.devices(), 64), rates.upload(10), rates.dispatch()
    for work in (reduced, uploaded, called):
        work.run()
    assert (reduced.amount, uploaded.amount, called.amount) == (64.0, 10.0, 1.0)


def test_all_reduce_is_a_collective():
    """The compiled program really sends, and does not add up what one device holds."""
    rows, whole = rates._shardings(jax.devices())
    x = rates._ones((8, 16), "float32", rows)
    program = jax.jit(lambda x: x.sum(0), out_shardings=whole).lower(x).compile()
    assert "all-reduce" in program.as_text()


@pytest.mark.parametrize("by_tensorflow", [False, True])
def test_data_rate_counts_the_images_of_the_timed_chunks(by_tensorflow, monkeypatch):
    delivered = []
    put = jax.device_put
    monkeypatch.setattr(rates.jax, "device_put", lambda tree, device: delivered.append(tree) or put(tree, device))
    ticking(monkeypatch, [1.0, 3.0])
    source = rates.noise_source(20, (4, 4, 1), by_tensorflow)
    assert rates.data_rate(source, batch_size=5, steps=3, num_chunks=4) == 4 * 3 * 5 / 2.0
    assert {tree["images"].shape for tree in delivered} == {(3, 5, 4, 4, 1)}
    assert len(delivered) == 6


def test_noise_fills_its_range():
    images = rates.noise_source(50, (8, 8, 3), False).images
    assert images.shape == (50, 8, 8, 3)
    assert len(np.unique(images)) == 256


def test_disk_is_forced_and_left_as_it_was(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(rates.os, "fsync", lambda file: sizes.append(os.fstat(file).st_size))
    work = rates.disk_write(tmp_path, 1000)
    work.run()
    assert sizes == [work.amount] == [1000]
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError, match="No such file"):
        rates.disk_write(tmp_path / "missing", 10).run()
