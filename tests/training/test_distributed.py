"""A process alone: it joins no one, agrees with itself, and leaves as any program does (two: test_processes.py)."""

import jax
import pytest

from jaxgen.errors import InputError
from jaxgen.training import distributed
from jaxgen.training.config import TrainConfig


def test_without_a_coordinator_and_a_cluster_nothing_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *_, **__: pytest.fail("joined"))
    distributed.start(TrainConfig())


@pytest.mark.parametrize(("coordinator", "method"), [(None, None), ("host:1", "deactivate")])
def test_a_cluster_is_asked_unless_flags_say_who_is_who(
    monkeypatch: pytest.MonkeyPatch, coordinator: str | None, method: str | None
) -> None:
    calls = []
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setattr(jax.distributed, "initialize", lambda *args, **kwargs: calls.append((args, kwargs)))
    monkeypatch.setattr(distributed, "_say_so_when_lost", lambda: None)
    who = (None, None) if coordinator is None else (4, 3)
    distributed.start(TrainConfig(coordinator=coordinator, num_processes=who[0], process_id=who[1]))
    ((args, kwargs),) = calls
    assert args == (coordinator, *who)
    assert kwargs["cluster_detection_method"] == method
    assert kwargs["heartbeat_timeout_seconds"] < 60  # a lost process is noticed within a minute


@pytest.mark.parametrize(
    ("coordinator", "environment", "expected"),
    [
        ("localhost:1", {}, [1]),  # all processes are on this machine
        ("127.0.0.1:1", {"CUDA_VISIBLE_DEVICES": "4,5,6,7"}, [1]),  # the second of those four
        ("[::1]:1", {}, [1]),
        ("localhost:1", {"CUDA_VISIBLE_DEVICES": "3"}, [0]),  # the only one that it sees
        ("localhost:1", {"JAX_LOCAL_DEVICE_IDS": "2,3"}, None),  # JAX reads it
        ("host:1", {}, None),  # one process for each machine, with all of its GPUs
        ("host:1", {"CUDA_VISIBLE_DEVICES": "3"}, [0]),
        (None, {"SLURM_LOCALID": "1"}, None),  # JAX takes the GPU of this number
        (None, {"SLURM_LOCALID": "1", "CUDA_VISIBLE_DEVICES": "1"}, [0]),  # bound to it by SLURM
        (None, {"SLURM_LOCALID": "0", "JAX_LOCAL_DEVICE_IDS": "0,1,2,3"}, None),
    ],
)
def test_each_process_has_gpus_of_its_own(
    monkeypatch: pytest.MonkeyPatch, coordinator: str | None, environment: dict[str, str], expected: list[int] | None
) -> None:
    calls: list[dict[str, object]] = []
    for name in ("JAX_LOCAL_DEVICE_IDS", "CUDA_VISIBLE_DEVICES", "SLURM_LOCALID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"SLURM_NTASKS": "4", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *_, **kwargs: calls.append(kwargs))
    monkeypatch.setattr(distributed, "_say_so_when_lost", lambda: None)
    who = (None, None) if coordinator is None else (2, 1)
    distributed.start(TrainConfig(coordinator=coordinator, num_processes=who[0], process_id=who[1]))
    assert [call["local_device_ids"] for call in calls] == [expected]


def test_a_coordinator_out_of_reach_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("DEADLINE_EXCEEDED: no answer\nmore")

    monkeypatch.setattr(jax.distributed, "initialize", refuse)
    with pytest.raises(InputError, match=r"coordinator: got 'host:1'; .*\(DEADLINE_EXCEEDED: no answer\)$"):
        distributed.start(TrainConfig(coordinator="host:1", num_processes=2, process_id=1))


def test_a_process_alone_decides() -> None:
    assert distributed.is_main()
    assert distributed.highest(3) == 3
    assert distributed.decided_by_main(lambda: "runs/x") == "runs/x"
    distributed.require_same("data", "a")
    distributed.wait_for_all("here")


def test_it_leaves_with_a_line_and_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        distributed.leave("error: so", 3)
    assert (end.value.code, capsys.readouterr().err) == (3, "error: so\n")
