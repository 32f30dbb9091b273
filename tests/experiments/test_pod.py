"""The cost model of a pod: closed forms, and the table in TPU_SETUP.md is what it gives."""

import re
import sys
from pathlib import Path

import pytest

from experiments.benchmarks import pod

pytestmark = pytest.mark.slow

SETUP = (Path(__file__).parents[2] / "TPU_SETUP.md").read_text()


def test_all_reduce_of_a_ring():
    assert pod.all_reduce_seconds(100.0, 1, 10.0, 1.0) == 0.0
    assert pod.all_reduce_seconds(100.0, 2, 10.0, 0.0) == 10.0  # each sends half of it twice
    assert pod.all_reduce_seconds(100.0, 4, 10.0, 0.5) == 15.0 + 3.0
    assert pod.all_reduce_seconds(100.0, 10**6, 10.0, 0.0) == pytest.approx(20.0, rel=1e-5)


def test_speed_of_many_chips():
    chip = pod.Chip(1.0, 100.0)
    assert pod.images_per_second(1, 64, 0.5, [1e9], chip, 1.0) == 128.0
    # two all-reduces of 50 and 100 bytes over 2 chips: 0.5 + 1.0 s beside a step of 0.5 s
    assert pod.images_per_second(2, 64, 0.5, [50.0, 100.0], chip, 0.0) == 2 * 64 / 2.0


def test_a_measured_step_takes_the_place_of_the_assumed_one():
    rows = pod.estimate(pod.PodConfig(case="gan_mnist_mlp", batch_per_chip=10, step_seconds=0.01, price=3.6))
    assert rows[0] == ("1", "1,000", "1.000", "1.00")  # 3.6 dollars an hour, 1,000 images a second


def test_the_table_in_the_document_is_the_one_that_is_printed():
    found = re.findall(r"^\| (\d+) \| ([\d,]+) \| ([\d.]+) \| ([\d,]+) \| ([\d.]+) \|$", SETUP, re.M)
    columns = [pod.estimate(pod.PodConfig(chip)) for chip in ("v5e", "v6e")]
    assert found == [(a[0], a[1], a[2], b[1], b[2]) for a, b in zip(*columns, strict=True)]


@pytest.mark.parametrize("flag", [["--share", "0"], ["--chip", "v1"], ["--price", "-1"]])
def test_bad_flags_end_in_one_line_and_exit_code_2(flag, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pod", *flag])
    with pytest.raises(SystemExit) as end:
        pod.main()
    assert end.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
