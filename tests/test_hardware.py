"""The number of cores: those of the process, or fewer where a container has a quota; read from files of both kinds."""

import os
from pathlib import Path

import pytest

from jaxgen import hardware
from jaxgen.hardware import num_cores

V1 = "2:cpu,cpuacct:/pod/box\n1:cpuset:/"


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/", {"cpu.max": "300000 100000"}, 3),
        ("0::/", {"cpu.max": "max 100000"}, 8),
        ("0::/", {"cpu.max": "150000 100000"}, 1),  # one core and a half: a second device would wait
        ("0::/", {"cpu.max": "5000 100000"}, 1),
        ("0::/", {"cpu.max": "3200000 100000"}, 8),  # more than there are
        ("0::/pod/box", {"pod/box/cpu.max": "600000 100000", "pod/cpu.max": "400000 100000"}, 4),  # the parent's counts
        ("0::/unseen", {"cpu.max": "200000 100000"}, 2),  # a container that sees its group as the topmost
        (V1, {"cpu,cpuacct/pod/box/cpu.cfs_quota_us": "250000", "cpu,cpuacct/pod/box/cpu.cfs_period_us": "50000"}, 5),
        (V1, {"cpu,cpuacct/cpu.cfs_quota_us": "200000", "cpu,cpuacct/cpu.cfs_period_us": "100000"}, 2),
        (V1, {"cpu,cpuacct/pod/box/cpu.cfs_quota_us": "-1", "cpu,cpuacct/pod/box/cpu.cfs_period_us": "100000"}, 8),
        (V1 + "\n0::/", {"cpu,cpuacct/cpu.cfs_quota_us": "100000"}, 8),  # no period
        ("0::/", {"cpu.max": "nonsense"}, 8),
        ("0::/", {}, 8),
    ],
)
def test_the_quota_of_a_container_counts(tmp_path: Path, groups: str, files: dict[str, str], expected: int) -> None:
    named = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    assert num_cores(write(tmp_path, {"proc/self/cgroup": groups, **named})) == expected


def test_without_control_groups_the_cores_of_the_process_count(tmp_path: Path) -> None:
    assert num_cores(tmp_path) == 8
    assert hardware.describe_hardware()["cpu_cores"] == num_cores()
