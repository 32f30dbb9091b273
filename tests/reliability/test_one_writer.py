"""Two processes on one run's folder: the second is refused, and a killed one leaves nothing in the way."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jaxgen.errors import InputError
from jaxgen.runs.folder import Run
from jaxgen.runs.locks import one_writer, sole_writer
from jaxgen.training import distributed

HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / ".lock")], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_is_refused_until_the_first_is_killed(tmp_path: Path, holder: subprocess.Popen) -> None:
    with pytest.raises(InputError, match=r"^out: got '.*'; accepted: a run that no other process trains") as refused:
        with sole_writer(tmp_path):
            pass
    assert "\n" not in str(refused.value)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with sole_writer(tmp_path):
        pass


def test_a_return_and_an_error_free_the_folder(tmp_path: Path) -> None:
    with sole_writer(tmp_path):
        with pytest.raises(InputError, match="another process does"), sole_writer(tmp_path):
            pass
        with pytest.raises(InputError), sole_writer(tmp_path):  # who is refused takes the lock from nobody
            pass
    with pytest.raises(ZeroDivisionError), sole_writer(tmp_path):
        raise ZeroDivisionError
    with sole_writer(tmp_path):
        pass


def test_a_resumed_run_is_not_read_before_its_lock_is_held(tmp_path: Path, holder: subprocess.Popen) -> None:
    called = []
    train = one_writer(lambda run: called.append(run.resumed))
    with pytest.raises(InputError, match="no other process"):
        train(Run("r", tmp_path, "", resumed=True))
    train(Run("r", tmp_path, "", resumed=False))  # its folder is to be made, and locked then
    assert called == [False]


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_all_goes_on(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with sole_writer(tmp_path), sole_writer(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_left_to_who_writes_to_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with sole_writer(tmp_path / "file"):
        pass


def test_only_the_main_process_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "decided_by_main", lambda decide: "")  # as on the others
    with sole_writer(tmp_path), sole_writer(tmp_path):
        assert not list(tmp_path.iterdir())
    monkeypatch.setattr(distributed, "decided_by_main", lambda decide: "another process does")
    with pytest.raises(InputError, match="another process does"), sole_writer(tmp_path):
        pass
