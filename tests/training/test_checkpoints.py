"""Checkpoints come back exactly, damaged ones are named and passed over, and a failed save costs nothing older."""

import errno
import logging
import os
import resource
import shutil
import threading
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxgen.config import InputError
from jaxgen.training import checkpoints as ckpt


@flax.struct.dataclass
class State:
    step: Any
    params: Any
    opt_state: Any
    extras: Any


def make_state(seed: int, width: int = 60) -> State:
    noise = np.random.default_rng(seed).standard_normal((width, 50)).astype(np.float32)
    params = {
        "generator": {"kernel": jnp.asarray(noise), "bias": jnp.zeros(50, jnp.bfloat16) + jnp.bfloat16(seed)}
    }
    opt_state = optax.chain(optax.clip(1.0), optax.adam(1e-3)).init(params)
    extras = {"mask": jnp.array([True, False]), "none": {}, "empty": jnp.zeros((0, 3))}
    return State(jnp.int32(seed), params, {"generator": opt_state}, extras)


def assert_same(found: Any, expected: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def write(folder: Path, steps: list[int], **options: Any) -> None:
    run = ckpt.open_checkpoints(folder, **options)
    for step in steps:
        ckpt.save(run, step, make_state(step), {"step": step})
    ckpt.close(run)


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in folder.rglob("*")}


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
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


# --- checksum


def numpy_checksum(array: np.ndarray) -> int:
    unsigned = np.dtype(f"u{array.dtype.itemsize}")
    if array.dtype.kind in "biu":
        words = array.astype(np.int64).ravel() & 0xFFFFFFFF
    elif array.dtype.kind == "c":
        words = np.stack([array.real, array.imag]).view(np.uint32).ravel()
    else:
        words = np.ascontiguousarray(array).view(unsigned).ravel()
    total = 0
    for position, word in enumerate(words.tolist()):
        h = (word + position * 0x9E3779B9 + 1) % 2**32
        h = (h ^ (h >> 16)) * 0x85EBCA6B % 2**32
        h = (h ^ (h >> 13)) * 0xC2B2AE35 % 2**32
        total += h ^ (h >> 16)
    return total % 2**32


@pytest.mark.parametrize(
    "dtype", ["float32", "bfloat16", "float16", "int32", "int8", "uint8", "uint32", "bool", "complex64"]
)
@pytest.mark.parametrize("shape", [(), (7,), (3, 4, 5)])
def test_checksum_is_that_of_numpy(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.asarray(np.random.default_rng(0).normal(0, 50, shape)).astype(jnp.dtype(dtype))
    assert ckpt.checksums([jnp.asarray(array)]) == [numpy_checksum(array)]


def test_checksum_sees_every_word_and_every_swap() -> None:
    array = np.array([1.5, -1.5, 0.0, -0.0, 2.0, np.nan], np.float32)
    changed = [array.copy() for _ in range(21)]
    for i in range(6):
        changed[i].view(np.uint32)[i] ^= 1 << (5 * i)
    swaps = [(i, j) for i in range(6) for j in range(i)]  # also x with -x, which a weighted sum would miss
    for (i, j), other in zip(swaps, changed[6:], strict=True):
        other[[i, j]] = other[[j, i]]
    assert len(set(ckpt.checksums([jnp.asarray(a) for a in [array, *changed]]))) == 22


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
def test_checksum_does_not_depend_on_sharding(axis_type: AxisType) -> None:
    array = np.random.default_rng(0).standard_normal((8, 12)).astype(np.float32)
    split = sharded(axis_type)
    whole = NamedSharding(split.mesh, PartitionSpec())
    places = [split, whole, NamedSharding(split.mesh, PartitionSpec(None, "data")), jax.devices()[2]]
    assert ckpt.checksums([jax.device_put(array, p) for p in places]) == [numpy_checksum(array)] * 4


# --- round trip


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
    run = ckpt.open_checkpoints(tmp_path)
    ckpt.save(run, 1, jax.device_put(state, sharded(num=before)), {})
    ckpt.close(run)
    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharded(num=after)), state)
    found, _ = ckpt.restore(tmp_path, target)
    assert_same(found, state)
    assert all(x.sharding == sharded(num=after) for x in found.values())


@pytest.mark.parametrize("abstract", [True, False])
def test_uncommitted_target_gives_arrays_that_go_anywhere(tmp_path: Path, abstract: bool) -> None:
    state = {"w": jnp.arange(8.0)}
    run = ckpt.open_checkpoints(tmp_path)
    ckpt.save(run, 1, jax.device_put(state, jax.devices()[1]), {})
    ckpt.close(run)
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
        found, _ = ckpt.restore(tmp_path, state, step=step)
        assert_same(found, {f"w{i}": v + 10 * step for i, v in enumerate(values)})


# --- damage


DAMAGED = {
    "arrays truncated": lambda step: truncate(array_file(step)),
    "arrays flipped": lambda step: flip(array_file(step)),
    "arrays deleted": lambda step: array_file(step).unlink(),
    "arrays of another step": lambda step: (
        shutil.rmtree(step / "state"),
        shutil.copytree(step.parent / "1" / "state", step / "state"),
    ),
    "state folder deleted": lambda step: shutil.rmtree(step / "state"),
    "manifest flipped": lambda step: flip(step / "state" / "manifest.ocdbt"),
    "record truncated": lambda step: truncate(step / "meta" / "metadata"),
    "record flipped": lambda step: flip(step / "meta" / "metadata"),
    "record altered": lambda step: (step / "meta" / "metadata").write_text('{"digest": "0", "meta": {}}'),
    "record no object": lambda step: (step / "meta" / "metadata").write_text("[1]"),
    "record deleted": lambda step: shutil.rmtree(step / "meta"),
}


@pytest.mark.parametrize("damage", list(DAMAGED))
def test_damaged_checkpoint_is_named_and_the_one_before_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
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
        folder = tmp_path / str(i)
        shutil.copytree(tmp_path / "whole", folder)
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
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"run: no usable checkpoint \(step 2: .*step 1: ") as raised:
        ckpt.restore(tmp_path / "run", make_state(0))
    assert "\n" not in str(raised.value)
    assert contents(tmp_path) == before


def test_a_step_asked_for_has_no_fallback(tmp_path: Path) -> None:
    write(tmp_path, [1, 2])
    flip(array_file(tmp_path / "2"))
    with pytest.raises(InputError, match="step 2: "):
        ckpt.restore(tmp_path, make_state(0), step=2)
    with pytest.raises(InputError, match=r"no checkpoint of step 7; steps there: \[1, 2\]"):
        ckpt.restore(tmp_path, make_state(0), step=7)
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


# --- saving after a fallback, keeping, refusing


@pytest.mark.parametrize("by_path", [False, True])
def test_run_saves_again_where_damaged_checkpoints_lie(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, by_path: bool
) -> None:
    write(tmp_path, [1, 2, 3], keep_latest=3)
    flip(array_file(tmp_path / "2"))
    truncate(tmp_path / "3" / "meta" / "metadata")
    run = ckpt.open_checkpoints(tmp_path)
    found, _ = ckpt.restore(tmp_path if by_path else run, make_state(0))
    assert_same(found, make_state(1))
    ckpt.save(run, 2, make_state(7), {"step": 2})
    ckpt.close(run)
    assert any("checkpoint 2 is damaged" in line for line in warnings_in(caplog))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2", "2.damaged", "3.damaged"]
    assert_same(ckpt.restore(tmp_path, make_state(0))[0], make_state(7))


def save_scores(run: ckpt.Checkpoints, scores: dict[int, Any]) -> None:
    for step, score in scores.items():
        ckpt.save(run, step, {"w": jnp.ones(2)}, {}, None if score == "none" else {"fid": score})
    ckpt.close(run)


def test_keeps_the_latest_and_the_best_across_a_restart(tmp_path: Path) -> None:
    first = ckpt.open_checkpoints(tmp_path, keep_latest=1, keep_best=1, best_metric="fid")
    save_scores(first, {1: 9.0, 2: jnp.float32(3), 3: float("nan"), 4: "none", 5: 4.0})
    assert ckpt._steps(ckpt._folder(tmp_path)) == [2, 5]
    second = ckpt.open_checkpoints(tmp_path, keep_latest=1, keep_best=1, best_metric="fid")
    save_scores(second, {6: float("-inf"), 7: None, 8: 5.0})
    assert ckpt._steps(ckpt._folder(tmp_path)) == [2, 8]
    assert (ckpt.latest_step(tmp_path), ckpt.best_step(tmp_path)) == (8, 2)
    flip(tmp_path / "2" / "meta" / "metadata")
    third = ckpt.open_checkpoints(tmp_path, keep_latest=1, keep_best=1, best_metric="fid")
    save_scores(third, {9: 6.0})
    assert ckpt._steps(ckpt._folder(tmp_path)) == [8, 9]


def test_restores_the_best(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = ckpt.open_checkpoints(tmp_path, keep_latest=3, best_metric="fid")
    for step, fid in {1: 2.0, 2: 1.0, 3: 5.0}.items():
        ckpt.save(run, step, make_state(step), {}, {"fid": fid})
    ckpt.close(run)
    assert_same(ckpt.restore(tmp_path, make_state(0), step="best")[0], make_state(2))
    flip(array_file(tmp_path / "2"))
    assert_same(ckpt.restore(tmp_path, make_state(0), step="best")[0], make_state(1))
    assert "checkpoint 2 is damaged" in warnings_in(caplog)[0]
    write(tmp_path / "none", [1])
    assert ckpt.best_step(tmp_path / "none") is None
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


@pytest.mark.parametrize(
    ("state", "meta", "message"),
    [
        ({"w": jnp.ones(2)}, {"x": object()}, "meta: "),
        ({"w": jnp.ones(2), "lr": 0.1}, {}, "state: lr: got 0.1"),
        ({"key": jax.random.key(0)}, {}, "state: key"),
        ({}, {}, "at least one array"),
    ],
)
def test_what_cannot_be_saved_is_refused(tmp_path: Path, state: Any, meta: Any, message: str) -> None:
    run = ckpt.open_checkpoints(tmp_path)
    with pytest.raises(InputError, match=message):
        ckpt.save(run, 1, state, meta)
    ckpt.save(run, 1, {"w": jnp.ones(2)}, {})
    ckpt.close(run)
    assert ckpt.latest_step(tmp_path) == 1
