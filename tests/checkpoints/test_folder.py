"""Checkpoints come back exactly, damaged ones are named and passed over, a failed save costs nothing older."""

import logging
import os
import resource
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxgen.checkpoints import folder as ckpt
from jaxgen.checkpoints.checksums import checksums
from jaxgen.errors import InputError

Log = pytest.LogCaptureFixture


@flax.struct.dataclass
class State:
    step: Any
    params: Any
    opt_state: Any
    extras: Any


def make_state(seed: int, width: int = 60) -> State:
    noise = np.random.default_rng(seed).standard_normal((width, 50)).astype(np.float32)
    params = {"generator": {"kernel": jnp.asarray(noise), "bias": jnp.full(50, seed, jnp.bfloat16)}}
    opt_state = optax.chain(optax.clip(1.0), optax.adam(1e-3)).init(params)
    extras = {"mask": jnp.array([True, False]), "none": {}, "empty": jnp.zeros((0, 3))}
    return State(jnp.int32(seed), params, {"generator": opt_state}, extras)


def assert_same(found: Any, expected: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def write(folder: Path, steps: Iterable[int], make: Any = make_state, **options: Any) -> None:
    run = ckpt.open_checkpoints(folder, **options)
    for step in steps:
        ckpt.save(run, step, make(step), {"step": step})
    ckpt.close(run)


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in folder.rglob("*")}


def steps_in(folder: Path) -> list[int]:
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit())


def warnings_in(caplog: Log) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "jaxgen" and r.levelno == logging.WARNING]


def array_file(step: Path) -> Path:
    return max((p for p in step.glob("state/**/d/*") if p.is_file()), key=lambda p: p.stat().st_size)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for i in range(len(content) // 2, min(len(content) // 2 + 4, len(content))):
        content[i] ^= 0xFF
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def sharded(axis_type: AxisType = AxisType.Auto, *, num: int = 4) -> NamedSharding:
    mesh = jax.make_mesh((num,), ("data",), axis_types=(axis_type,), devices=jax.devices()[:num])
    return NamedSharding(mesh, PartitionSpec("data"))


def numpy_checksum(array: np.ndarray) -> int:
    integer = array.dtype.kind in "biu"
    words = array.astype(np.int64) % 2**32 if integer else array.view(f"u{array.dtype.itemsize}")
    total = 0
    for position, word in enumerate(words.ravel().tolist()):
        h = (word + position * 0x9E3779B9 + 1) % 2**32
        h = (h ^ (h >> 16)) * 0x85EBCA6B % 2**32
        h = (h ^ (h >> 13)) * 0xC2B2AE35 % 2**32
        total += h ^ (h >> 16)
    return total % 2**32


@pytest.mark.parametrize("dtype", "float32 bfloat16 float16 int32 int8 uint8 uint32 bool".split())
@pytest.mark.parametrize("shape", [(), (7,), (3, 4, 5)])
def test_checksum_is_that_of_numpy(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.asarray(np.random.default_rng(0).normal(0, 50, shape)).astype(jnp.dtype(dtype))
    assert checksums([jnp.asarray(array)]) == [numpy_checksum(array)]


def test_checksum_sees_every_word_and_every_swap() -> None:
    array = np.array([1.5, -1.5, 0.0, -0.0, 2.0, np.nan], np.float32)
    changed = [array.copy() for _ in range(21)]
    for i in range(6):
        changed[i].view(np.uint32)[i] ^= 1 << (5 * i)
    swaps = [(i, j) for i in range(6) for j in range(i)]  # also x with -x, which a weighted sum would miss
    for (i, j), other in zip(swaps, changed[6:], strict=True):
        other[[i, j]] = other[[j, i]]
    assert len(set(checksums([jnp.asarray(a) for a in [array, *changed]]))) == 22


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
def test_checksum_does_not_depend_on_sharding(axis_type: AxisType) -> None:
    array = np.random.default_rng(0).standard_normal((8, 12)).astype(np.float32)
    split = sharded(axis_type)
    whole = NamedSharding(split.mesh, PartitionSpec())
    places = [split, whole, NamedSharding(split.mesh, PartitionSpec(None, "data")), jax.devices()[2]]
    assert checksums([jax.device_put(array, p) for p in places]) == [numpy_checksum(array)] * 4


def test_state_and_meta_come_back_exactly(tmp_path: Path) -> None:
    state, meta = make_state(3), {"config": {"lr": 0.1}, "position": [1, 2], "name": "é", "none": None}
    run = ckpt.open_checkpoints(tmp_path / "run")
    ckpt.save(run, 3, state, meta)
    found, found_meta = ckpt.restore(run, jax.tree.map(jnp.zeros_like, state))
    assert_same(found, state)
    assert found_meta == meta
    assert type(found.opt_state["generator"][1][0]) is type(state.opt_state["generator"][1][0])
    assert ckpt.read_meta(tmp_path / "run") == (3, meta)
    ckpt.close(run)


@pytest.mark.parametrize(("before", "after"), [(4, 1), (1, 4), (4, 2)])
def test_resumes_on_another_device_count(tmp_path: Path, before: int, after: int) -> None:
    state = {"w": jnp.arange(24.0).reshape(8, 3), "b": jnp.arange(4)}
    write(tmp_path, [1], lambda _: jax.device_put(state, sharded(num=before)))
    there = sharded(num=after)
    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=there), state)
    found, _ = ckpt.restore(tmp_path, target)
    assert_same(found, state)
    assert all(x.sharding == there for x in found.values())


@pytest.mark.parametrize("abstract", [True, False])
def test_uncommitted_target_gives_arrays_that_go_anywhere(tmp_path: Path, abstract: bool) -> None:
    state = {"w": jnp.arange(8.0)}
    write(tmp_path, [1], lambda _: jax.device_put(state, jax.devices()[1]))
    found, _ = ckpt.restore(tmp_path, jax.eval_shape(lambda: state) if abstract else state)
    total = jax.jit(jnp.add)(found["w"], jax.device_put(jnp.ones(8), sharded()))  # committed to one: an error
    np.testing.assert_array_equal(np.asarray(total), np.arange(8.0) + 1)


@pytest.mark.parametrize("split", [False, True])
def test_arrays_may_be_donated_as_soon_as_save_returns(tmp_path: Path, split: bool) -> None:
    overwrite = jax.jit(lambda s: jax.tree.map(lambda x: x * 0 - 1, s), donate_argnums=0)
    run = ckpt.open_checkpoints(tmp_path, keep_latest=5)
    values = [np.full((8, 20_000), i, np.float32) for i in range(5)]
    for step in range(5):
        state = {f"w{i}": jnp.asarray(v + 10 * step) for i, v in enumerate(values)}
        state = jax.device_put(state, sharded()) if split else state
        ckpt.save(run, step, state, {})
        for _ in range(3):
            state = overwrite(state)
    ckpt.close(run)
    for step in range(5):
        expected = {f"w{i}": v + 10 * step for i, v in enumerate(values)}
        assert_same(ckpt.restore(tmp_path, state, step=step)[0], expected)


DAMAGED = {
    "arrays truncated": lambda step: truncate(array_file(step)),
    "arrays flipped": lambda step: flip(array_file(step)),
    "arrays deleted": lambda step: array_file(step).unlink(),
    "arrays of another step": lambda step: (
        shutil.rmtree(step / "state") or shutil.copytree(step.parent / "1" / "state", step / "state")
    ),
    "state folder deleted": lambda step: shutil.rmtree(step / "state"),
    "manifest flipped": lambda step: flip(step / "state" / "manifest.ocdbt"),
    "record truncated": lambda step: truncate(step / "meta" / "metadata"),
    "record flipped": lambda step: flip(step / "meta" / "metadata"),
    "record no object": lambda step: (step / "meta" / "metadata").write_text("[1]"),
    "record deleted": lambda step: shutil.rmtree(step / "meta"),
}


@pytest.mark.parametrize("damage", list(DAMAGED))
def test_damaged_checkpoint_is_named_and_the_one_before_used(tmp_path: Path, caplog: Log, damage: str) -> None:
    write(tmp_path, [1, 2])
    DAMAGED[damage](tmp_path / "2")
    found, meta = ckpt.restore(tmp_path, make_state(0))
    assert_same(found, make_state(1))
    assert meta == {"step": 1}
    (line,) = warnings_in(caplog)
    assert "checkpoint 2 is damaged" in line
    assert "step 1 is used instead" in line
    assert "\n" not in line


@pytest.mark.parametrize("harm", [truncate, flip, os.remove])
def test_no_damaged_file_gives_a_wrong_state(tmp_path: Path, harm: Any) -> None:
    write(tmp_path / "whole", [1, 2])
    states = {1: make_state(1), 2: make_state(2)}
    files = [p.relative_to(tmp_path / "whole") for p in (tmp_path / "whole" / "2").rglob("*") if p.is_file()]
    used = set()
    for i, name in enumerate(files):
        folder = shutil.copytree(tmp_path / "whole", tmp_path / str(i))
        harm(folder / name)
        found, meta = ckpt.restore(folder, make_state(0))
        assert_same(found, states[meta["step"]])
        used.add(meta["step"])
    assert 1 in used


def test_all_damaged_or_none_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no checkpoint"):
        ckpt.restore(tmp_path / "absent", make_state(0))
    assert not (tmp_path / "absent").exists()
    write(tmp_path / "run", [1, 2])
    for step in ("1", "2"):
        flip(tmp_path / "run" / step / "meta" / "metadata")
    with pytest.raises(InputError, match=r"run: no usable checkpoint \(step 2: .*step 1: ") as raised:
        ckpt.restore(tmp_path / "run", make_state(0))
    assert "\n" not in str(raised.value)


def test_a_step_asked_for_has_no_fallback(tmp_path: Path) -> None:
    write(tmp_path, [1, 2])
    flip(array_file(tmp_path / "2"))
    for step, message in ((2, "step 2: "), (7, r"no checkpoint of step 7; steps there: \[1, 2\]")):
        with pytest.raises(InputError, match=message):
            ckpt.restore(tmp_path, make_state(0), step=step)
    assert_same(ckpt.restore(tmp_path, make_state(0), step=1)[0], make_state(1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: make_state(0, width=61), r"kernel: found float32\[60, 50\], expected float32\[61, 50\]"),
        (lambda t: t.replace(step=np.float32(0)), r"step: found int32\[\], expected float32\[\]"),
        (lambda t: t.replace(extras=t.extras | {"new": jnp.ones(2)}), r"extras/new: found nothing, expected"),
        (lambda t: t.replace(extras={}), r"extras/\w+: found .*, expected nothing"),
    ],
)
def test_another_architecture_is_an_input_error(tmp_path: Path, change: Any, message: str) -> None:
    write(tmp_path, [1, 2])
    with pytest.raises(InputError, match=message):
        ckpt.restore(tmp_path, change(make_state(0)))


@pytest.mark.parametrize("by_path", [False, True])
def test_run_saves_again_where_damaged_checkpoints_lie(tmp_path: Path, caplog: Log, by_path: bool) -> None:
    write(tmp_path, [1, 2, 3], keep_latest=3)
    flip(array_file(tmp_path / "2"))
    truncate(tmp_path / "3" / "meta" / "metadata")
    run = ckpt.open_checkpoints(tmp_path)
    assert_same(ckpt.restore(tmp_path if by_path else run, make_state(0))[0], make_state(1))
    ckpt.save(run, 2, make_state(7), {"step": 2})
    ckpt.close(run)
    assert any("checkpoint 2 is damaged" in line for line in warnings_in(caplog))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2", "2.damaged", "3.damaged"]
    assert_same(ckpt.restore(tmp_path, make_state(0))[0], make_state(7))


def save_scores(folder: Path, scores: dict[int, Any], keep_latest: int = 1) -> None:
    run = ckpt.open_checkpoints(folder, keep_latest=keep_latest, best_metric="fid")
    for step, score in scores.items():
        ckpt.save(run, step, {"w": jnp.full(2, step)}, {}, None if score == "none" else {"fid": score})
    ckpt.close(run)


def test_keeps_the_latest_and_the_best_across_a_restart(tmp_path: Path) -> None:
    save_scores(tmp_path, {1: 9.0, 2: jnp.float32(3), 3: float("nan"), 4: "none", 5: 4.0})
    assert steps_in(tmp_path) == [2, 5]
    save_scores(tmp_path, {6: float("-inf"), 7: None, 8: 5.0})
    assert steps_in(tmp_path) == [2, 8]
    assert (ckpt.latest_step(tmp_path), ckpt.read_meta(tmp_path, "best")[0]) == (8, 2)
    flip(tmp_path / "2" / "meta" / "metadata")
    save_scores(tmp_path, {9: 6.0})
    assert steps_in(tmp_path) == [8, 9]


def test_restores_the_best(tmp_path: Path, caplog: Log) -> None:
    save_scores(tmp_path, {1: 2.0, 2: 1.0, 3: 5.0}, keep_latest=3)
    assert int(ckpt.restore(tmp_path, {"w": jnp.zeros(2, int)}, step="best")[0]["w"][0]) == 2
    flip(tmp_path / "2" / "state" / "manifest.ocdbt")
    assert int(ckpt.restore(tmp_path, {"w": jnp.zeros(2, int)}, step="best")[0]["w"][0]) == 1
    assert "checkpoint 2 is damaged" in warnings_in(caplog)[0]
    write(tmp_path / "none", [1])
    with pytest.raises(InputError, match="no checkpoint with a metric"):
        ckpt.restore(tmp_path / "none", make_state(0), step="best")


def test_whole_checkpoints_are_never_overwritten(tmp_path: Path) -> None:
    write(tmp_path, [1, 2])
    before = contents(tmp_path)
    run = ckpt.open_checkpoints(tmp_path)
    ckpt.save(run, 2, make_state(2), {"step": 2})  # the same once more, as at the end of a run
    for step, state in ((2, make_state(5)), (1, make_state(1)), (0, make_state(0)), (0, {"w": jnp.ones(1)})):
        with pytest.raises(InputError, match=f"holds step.*got step {step}"):
            ckpt.save(run, step, state, {})
    ckpt.close(run)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("message", ["lr: got 0.1", "state: key", "state: z", "at least one array", "meta: "])
def test_what_cannot_be_saved_is_refused(tmp_path: Path, message: str) -> None:
    unfit = {"state: key": {"key": jax.random.key(0)}, "state: z": {"z": jnp.ones(2, jnp.complex64)}}
    unfit |= {"lr: got 0.1": {"lr": 0.1}, "at least one array": {}}
    run = ckpt.open_checkpoints(tmp_path)
    with pytest.raises(InputError, match=message):
        ckpt.save(run, 1, unfit.get(message, {"w": jnp.ones(2)}), {"x": object()})
    ckpt.save(run, 1, {"w": jnp.ones(2)}, {})
    ckpt.close(run)
    assert ckpt.latest_step(tmp_path) == 1


def test_a_reader_changes_nothing_and_a_writer_clears_what_a_crash_left(tmp_path: Path) -> None:
    write(tmp_path, [1, 2])
    shutil.copytree(tmp_path / "2" / "state", tmp_path / "3.orbax-checkpoint-tmp" / "state")
    flip(array_file(tmp_path / "2"))
    before = contents(tmp_path)
    assert_same(ckpt.restore(tmp_path, make_state(0))[0], make_state(1))
    assert (ckpt.latest_step(tmp_path), ckpt.read_meta(tmp_path)[0]) == (2, 2)
    assert contents(tmp_path) == before
    write(tmp_path, [3])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["2", "3"]


def test_reading_while_the_run_writes_and_deletes(tmp_path: Path) -> None:
    write(tmp_path, [1])
    trainer = threading.Thread(target=write, args=(tmp_path, range(2, 12)), kwargs={"keep_latest": 1})
    trainer.start()
    seen = set()
    while trainer.is_alive():
        found, meta = ckpt.restore(tmp_path, make_state(0))
        assert_same(found, make_state(meta["step"]))
        seen.add(meta["step"])
    assert len(seen) > 1
    assert steps_in(tmp_path) == [11]


def test_a_step_that_vanishes_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Log) -> None:
    def vanish_first(reader: Any, path: Any, **kwargs: Any) -> Any:
        if path.parent.name == "2":
            shutil.rmtree(path.parent)
        return restore(reader, path, **kwargs)

    write(tmp_path, [1, 2])
    restore = ocp.Checkpointer.restore
    monkeypatch.setattr(ocp.Checkpointer, "restore", vanish_first)
    assert_same(ckpt.restore(tmp_path, make_state(0))[0], make_state(1))
    assert steps_in(tmp_path) == [1]
    assert warnings_in(caplog) == []


def test_full_disk_is_one_clear_error_and_older_checkpoints_stay(tmp_path: Path) -> None:
    states = [make_state(seed, width=2000) for seed in range(5)]
    run = ckpt.open_checkpoints(tmp_path, keep_latest=1)
    ckpt.save(run, 1, states[1], {})
    ckpt.wait(run)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # a write beyond fails, as on a full disk
    try:
        ckpt.save(run, 2, states[2], {})
        with pytest.raises(OSError, match=r"checkpoint 2 could not be written \(disk full, [\d,]+ bytes free"):
            ckpt.save(run, 3, states[3], {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_same(ckpt.restore(tmp_path, states[0])[0], states[1])
    ckpt.save(run, 2, states[4], {})
    ckpt.close(run)
    assert_same(ckpt.restore(tmp_path, states[0])[0], states[4])


def test_orbax_prints_nothing_but_errors(tmp_path: Path, caplog: Log) -> None:
    with caplog.at_level(logging.INFO):
        write(tmp_path, [1, 2, 3])
        ckpt.restore(tmp_path, make_state(0))
    assert [r for r in caplog.records if "/orbax/" in r.pathname] == []
    for level, path, kept in (
        (30, "/orbax/x.py", False),
        (40, "/orbax/x.py", True),
        (30, "/other/x.py", True),
    ):
        record = logging.LogRecord("absl", level, path, 1, "text", None, None)
        assert bool(logging.getLogger("absl").filter(record)) is kept
