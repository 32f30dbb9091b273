"""What the doctor finds out about a machine."""

from pathlib import Path

import jax
import pytest

from jaxgen.doctor import facts, rates, report


def test_the_nearest_folder_that_exists(tmp_path):
    assert facts.nearest_existing_folder(tmp_path / "a" / "b") == tmp_path
    assert facts.nearest_existing_folder(tmp_path) == tmp_path
    (tmp_path / "file").write_text("")
    assert facts.nearest_existing_folder(tmp_path / "file" / "runs") == tmp_path
    assert facts.nearest_existing_folder(Path("nothing-here")) == Path.cwd()


@pytest.mark.parametrize(
    ("environment", "number"),
    [
        ({}, 1),
        ({"SLURM_STEP_NUM_TASKS": "8"}, 8),
        ({"SLURM_NTASKS": "8"}, 1),  # in the batch script, outside of srun, there is one
        ({"TPU_WORKER_HOSTNAMES": "a,b,c,d"}, 4),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, 1),
        ({"TPU_WORKER_HOSTNAMES": "", "SLURM_STEP_NUM_TASKS": "?"}, 1),
    ],
)
def test_processes_that_were_started(environment, number):
    assert facts.started_processes(environment) == number


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        (None, None),
        ("nvidia0", "gpu"),
        ("nvidiactl", None),
        ("accel0", "tpu"),
        ("vfio/0", "tpu"),
        ("vfio/vfio", None),
    ],
)
def test_accelerators_are_seen_by_their_device_files(file, kind, tmp_path):
    if file:
        path = tmp_path / "dev" / file
        path.parent.mkdir(parents=True)
        path.write_text("")
    assert facts.find_accelerator(tmp_path) == kind


def test_the_whole_examination_ends_in_a_report(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rates, "MATRIX", {"cpu": 16})
    monkeypatch.setattr(rates, "CONVOLUTION", {"cpu": (1, 4, 2)})
    for name in ("DISK_BYTES", "LINK_BYTES", "REDUCED_BYTES"):
        monkeypatch.setattr(facts, name, 1000)
    report.diagnose(tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    lines = capsys.readouterr().out.splitlines()
    head, tail = lines[: lines.index("what would be slow:")], lines[lines.index("what would be slow:") + 1 :]
    assert f"jax {jax.__version__}" in head[0]
    assert "devices: cpu: 8 x cpu" in head
    assert "processes: 1 of 1, 8 devices of its own; jax.distributed not in use" in head
    units = {line.split("  ")[1]: line.split()[-1] for line in head if line.startswith("  ")}
    assert len(units) == 10
    assert "not measured" not in "\n".join(head)
    assert any(line.startswith("  - no accelerator") for line in tail)
    assert all(line.startswith("  - ") for line in tail)


def test_a_folder_that_cannot_be_written_to_is_a_finding(tmp_path, monkeypatch):
    def refuse(folder, num_bytes):
        def write():
            raise PermissionError(13, "Permission denied")

        return rates.Work(write, 1.0)

    quick = rates.Work(lambda: None, 1.0)
    for name in ("matmul", "convolution", "all_reduce", "dispatch", "upload"):
        monkeypatch.setattr(rates, name, lambda *args, **kwargs: quick)
    monkeypatch.setattr(rates, "data_rate", lambda *args, **kwargs: 1.0)
    monkeypatch.setattr(rates, "disk_write", refuse)
    assert facts.measure(jax.devices(), tmp_path)["disk"] is None


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("matmul bfloat16", 197e12, "197,000 GFLOP/s"),
        ("convolution and gradients", 1.26e9, "1 GFLOP/s"),
        ("images by tf.data", 12345.6, "12,346 images/s of 28 x 28"),
        ("dispatch", 50_000.0, "20 µs a call"),
        ("disk", 123.4e6, "123 MB/s"),
        ("disk", None, "not measured"),
    ],
)
def test_units(name, value, text):
    assert report.in_units(name, value) == text


@pytest.mark.parametrize(
    ("backend", "flags", "words"),
    [
        ("cpu", "", "yes"),
        ("gpu", "", "not promised; XLA_FLAGS=--xla_gpu_deterministic_ops=true"),
        ("gpu", "--xla_gpu_deterministic_ops=false --x=true", "not promised"),
        ("gpu", "--x=1 --xla_gpu_deterministic_ops=true", "expected"),
        ("gpu", "--xla_gpu_deterministic_ops --x=1", "expected"),
        ("tpu", "", "expected"),
    ],
)
def test_whether_the_same_bits_come_again(backend, flags, words):
    assert report.repeatability(backend, flags).startswith(words)
