"""Each thing that would be slow is said, once, and a machine without any is left in peace."""

import sys

import pytest

from jaxgen import cli
from jaxgen.data.config import DataConfig
from jaxgen.doctor.advice import advise
from jaxgen.doctor.facts import Machine
from jaxgen.errors import InputError
from jaxgen.training.config import TrainConfig

RATES = {
    "matmul float32": 4e14,
    "matmul bfloat16": 4.5e14,
    "convolution": 2e14,
    "convolution and gradients": 1.5e14,
    "dispatch": 5e4,
    "to the device": 2e10,
    "images by NumPy": 5e5,
    "images by tf.data": 1e5,
    "disk": 1e9,
}
GOOD = Machine("gpu", "", 16, 1, 1, 1, "gpu", 0, "/cache", True, "runs", 100.0, 50.0, 0.0, RATES)


def with_rates(**changes):
    return GOOD._replace(rates=RATES | {name.replace("_", " "): value for name, value in changes.items()})


def test_nothing_is_said_where_nothing_is_wrong():
    assert advise(GOOD) == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (GOOD._replace(backend="cpu", devices=16), ["has a GPU", "pip install -e '.[gpu]'"]),
        (GOOD._replace(backend="cpu", devices=16, accelerator="tpu"), ["has a TPU", "'.[tpu]'"]),
        (GOOD._replace(backend="cpu", devices=16, platforms="cpu"), ["JAX_PLATFORMS is 'cpu'", "unset"]),
        (GOOD._replace(backend="cpu", devices=16, accelerator=None), ["no accelerator", "TPU_SETUP.md"]),
        (GOOD._replace(started_processes=4), ["4 processes", "alone"]),
        (GOOD._replace(tensorflow_devices=1), ["TensorFlow holds", "tensorflow-cpu"]),
        (GOOD._replace(cache=None, cache_kept=False), ["no folder", "JAX_COMPILATION_CACHE_DIR"]),
        (GOOD._replace(cache_kept=False), ["/cache", "not kept"]),
        (GOOD._replace(memory_gib=2.0), ["2.0 GiB of memory"]),
        (GOOD._replace(disk_gib=0.5), ["runs: 0.5 GiB free"]),
        (GOOD._replace(busy_cores=1.5), ["1.5 cores busy"]),
        (with_rates(disk=2e7), ["runs: writes 20 MB/s"]),
        (with_rates(disk=None), ["runs: cannot be written", "--out"]),
        (with_rates(matmul_bfloat16=1e14), ["0.25 times", "keep --dtype float32"]),
        (with_rates(matmul_float32=1e14), ["0.22 times", "try --dtype bfloat16"]),
        (with_rates(convolution_and_gradients=2e13), ["convolutions run at 0.05 times"]),
        (GOOD._replace(rates=RATES | {"images by tf.data": 9000.0}), ["tf.data delivers 9,000 images"]),
    ],
)
def test_one_cause_one_line(facts, words):
    (line,) = advise(facts)
    assert all(word in line for word in words), line


def test_one_host_device_for_many_cores():
    lines = advise(GOOD._replace(backend="cpu", cores=2, devices=1, accelerator=None))
    assert any("one host device for 2 cores" in line for line in lines)
    assert not any("host device" in line for line in advise(GOOD._replace(cores=8)))  # nobody trains on those cores


def test_nothing_is_said_of_what_is_not_known():
    unknown = GOOD._replace(memory_gib=None, busy_cores=None, tensorflow_devices=None)
    assert advise(unknown) == []


def test_buckets_are_refused_and_not_taken_for_folders(monkeypatch, capsys):
    monkeypatch.setattr("jaxgen.training.parallel.setup_backend", lambda: None)
    monkeypatch.setattr(sys, "argv", ["jaxgen", "doctor", "--out", "gs://bucket/runs"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "gs://bucket/runs" in error
    for make in (
        lambda: TrainConfig(out="gs://bucket/runs"),
        lambda: TrainConfig(resume="gs://bucket/runs/x"),
        lambda: DataConfig(data_dir="gs://bucket/tfds"),
    ):
        with pytest.raises(InputError, match="mounted"):
            make()
