"""Chunks made by a thread: order, look-ahead, errors, endings; and host arrays to global ones."""

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import jaxgen
from jaxgen.data.transfer import chunks, put_global


def counting(limit: int | None = None):
    """Batches whose values tell their number."""
    numbers = itertools.count() if limit is None else range(limit)
    return ({"images": np.full((2, 3), i), "labels": np.array([i, -i])} for i in numbers)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "jaxgen-transfer"]


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


@pytest.fixture(autouse=True)
def _no_thread_stays():
    yield
    assert wait_until(lambda: not threads())


def test_chunks_stack_as_many_batches_as_asked_for():
    got = list(chunks(counting(), [2, 1, 3], put=lambda chunk: chunk))
    for chunk, numbers in zip(got, ([0, 1], [2], [3, 4, 5]), strict=True):
        np.testing.assert_array_equal(
            chunk["images"], np.broadcast_to(np.reshape(numbers, (-1, 1, 1)), (len(numbers), 2, 3))
        )
        np.testing.assert_array_equal(chunk["labels"], [[i, -i] for i in numbers])


def test_put_runs_in_the_thread_and_its_result_is_delivered():
    got = list(chunks(counting(), [1, 1], put=lambda chunk: threading.current_thread().name))
    assert got == ["jaxgen-transfer"] * 2


@pytest.mark.parametrize("depth", [1, 3])
def test_no_more_than_depth_chunks_are_ahead(depth):
    made = []
    iterator = chunks(counting(), itertools.repeat(1), made.append, depth)
    for consumed in (1, 2):
        next(iterator)
        assert wait_until(lambda consumed=consumed: len(made) == consumed + depth)
        time.sleep(0.05)
        assert len(made) == consumed + depth
    iterator.close()


def test_it_ends_with_the_batches_and_drops_what_is_incomplete():
    got = list(chunks(counting(5), itertools.repeat(2), put=lambda chunk: chunk["labels"][:, 0].tolist()))
    assert got == [[0, 1], [2, 3]]


def test_an_error_of_the_source_comes_in_its_turn():
    def broken():
        yield from counting(2)
        raise OSError("disk gone")

    iterator = chunks(broken(), itertools.repeat(1), put=lambda chunk: chunk["labels"][0, 0])
    assert [next(iterator), next(iterator)] == [0, 1]
    with pytest.raises(OSError, match="disk gone"):
        next(iterator)


def test_an_error_of_put_comes_in_its_turn():
    def put(chunk):
        if chunk["labels"][0, 0] == 1:
            raise MemoryError("device full")
        return chunk

    iterator = chunks(counting(), itertools.repeat(1), put)
    next(iterator)
    with pytest.raises(MemoryError, match="device full"):
        next(iterator)


def test_close_ends_the_thread():
    iterator = chunks(counting(), itertools.repeat(1), put=lambda chunk: chunk)
    next(iterator)
    assert len(threads()) == 1
    start = time.monotonic()
    iterator.close()
    assert not threads()
    assert time.monotonic() - start < 1.0


def test_leaving_the_loop_ends_the_thread():
    for _ in chunks(counting(), itertools.repeat(1), put=lambda chunk: chunk):
        assert len(threads()) == 1
        break
    assert wait_until(lambda: not threads())


def test_an_open_iterator_does_not_hold_up_the_exit():
    program = (
        "import itertools, numpy as np\n"
        "from jaxgen.data.transfer import chunks\n"
        "endless = ({'images': np.zeros(3)} for _ in itertools.count())\n"
        "iterator = chunks(endless, itertools.repeat(1), lambda chunk: chunk)\n"
        "next(iterator); print('end')\n"
    )
    env = os.environ | {"PYTHONPATH": str(Path(jaxgen.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


@pytest.mark.parametrize("process_count", [1, 2])
def test_put_global_keeps_values_and_places_them(process_count, monkeypatch):
    """One process owns all four devices here, so its part is the whole batch in both ways."""
    monkeypatch.setattr("jaxgen.data.transfer.jax.process_count", lambda: process_count)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec(None, "data"))
    tree = {
        "images": np.arange(3 * 8 * 2, dtype=np.uint8).reshape(3, 8, 2),
        "labels": np.arange(24).reshape(3, 8),
    }
    tree["labels"] = tree["labels"].astype(np.int32)
    placed = put_global(tree, sharding)
    for name, array in tree.items():
        np.testing.assert_array_equal(placed[name], array)
        assert placed[name].sharding == sharding
        assert {shard.data.shape[:2] for shard in placed[name].addressable_shards} == {(3, 2)}
