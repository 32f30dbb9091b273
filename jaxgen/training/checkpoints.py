"""Checkpoints: asynchronous saves, a checksum of every array, a fallback when one is damaged; never pickle.

One run writes to a folder (`open_checkpoints`, `save`, `wait`, `close`); anyone reads it by its path, also
while the run goes on (`restore`, `read_meta`, `latest_step`, `best_step`). Orbax writes and commits. Beside
the arrays each step holds a JSON record: the caller's `meta`, the score, and of each array dtype, shape and
checksum.
"""

import contextlib
import dataclasses
import errno
import functools
import hashlib
import json
import logging
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec
from orbax.checkpoint import checkpoint_managers as policies

from jaxgen.config import InputError, require

T = TypeVar("T")
Step = int | Literal["best"] | None


class Checkpoints(NamedTuple):
    """The folder that one run writes to; made by `open_checkpoints`."""

    manager: ocp.CheckpointManager
    best_metric: str | None


Source = Checkpoints | str | os.PathLike


class _Damage(Exception):
    """A checkpoint that cannot be used; the message says why."""


@dataclasses.dataclass(frozen=True)
class _KeepBest(policies.PreservationPolicy):
    """Keeps the n steps of lowest score, by the records. Orbax's BestN stops on a damaged metrics file."""

    folder: epath.Path
    n: int

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        del context
        scores = _scores(self.folder) | {c.step: c.metrics["score"] for c in checkpoints if c.metrics}
        best = [step for step in _by_score(scores) if step in [c.step for c in checkpoints]][: self.n]
        return [c.step in best for c in checkpoints]


def open_checkpoints(
    directory: str | os.PathLike, *, keep_latest: int = 2, keep_best: int = 1, best_metric: str | None = None
) -> Checkpoints:
    """Opens a folder for writing, one writer at a time; clears what a crash in mid-save left there.

    Args:
      directory: made if it is not there.
      keep_latest: how many of the newest checkpoints stay, 1 or more (2: one to fall back to).
      keep_best: how many of the best checkpoints stay besides, where `best_metric` is given.
      best_metric: name in `save`'s metrics, lower is better; missing and non-finite values never count.

    Raises:
      InputError: a count is out of range, or the folder cannot be made.
    """
    require(keep_latest >= 1, "keep_latest", keep_latest, "1 or more")
    require(keep_best >= 0, "keep_best", keep_best, "0 or more")
    _keep_orbax_quiet()
    folder = _folder(directory)
    keep = policies.AnyPreservationPolicy([policies.LatestN(keep_latest), _KeepBest(folder, keep_best)])
    # Folders made in the background would let a save that fails early hang for minutes.
    waiting = ocp.AsyncOptions(create_directories_asynchronously=False)
    try:
        options = ocp.CheckpointManagerOptions(
            preservation_policy=keep, async_options=waiting, cleanup_tmp_directories=True
        )
        return Checkpoints(ocp.CheckpointManager(folder, options=options), best_metric)
    except OSError as error:
        raise InputError(f"{folder}: cannot hold checkpoints ({_one_line(error)})") from error


def save(
    checkpoints: Checkpoints,
    step: int,
    state: Any,
    meta: Mapping[str, Any],
    metrics: Mapping[str, Any] | None = None,
) -> None:
    """Starts to save, on every process; the arrays may be donated as soon as it returns.

    Saving the same arrays at the same step again does nothing. A damaged one in the way is moved aside.

    Args:
      checkpoints: from `open_checkpoints`.
      step: steps done so far, above every step in the folder.
      state: pytree of jax arrays.
      meta: JSON values: configuration, data position, whatever is no array.
      metrics: numbers by name; only `best_metric` is read.

    Raises:
      InputError: this save or the pending one could not be written (older checkpoints are intact), the folder
        holds later steps, a leaf is no array, or `meta` is no JSON.
    """
    wait(checkpoints)
    leaves, _ = _named_leaves(state)
    for name, leaf in leaves.items():
        kinds = (jnp.integer, jnp.floating, jnp.bool_)
        real = isinstance(leaf, jax.Array) and any(jnp.issubdtype(leaf.dtype, kind) for kind in kinds)
        require(real, f"state: {name}", leaf, "jax arrays of real numbers")
    arrays = {name: leaf for name, leaf in leaves.items() if leaf.size}  # Orbax refuses arrays of no elements
    require(bool(arrays), "state", state, "at least one array")
    score = _score(metrics or {}, checkpoints.best_metric)
    record = _new_record(leaves, meta, score)
    if _make_way(checkpoints, step, record, leaves):
        items = ocp.args.Composite(state=ocp.args.StandardSave(arrays), meta=ocp.args.JsonSave(record))
        scores = None if score is None else {"score": score}
        with _one_clear_error(checkpoints, step):
            checkpoints.manager.save(step, args=items, metrics=scores, force=True)


def wait(checkpoints: Checkpoints) -> None:
    """Blocks until the pending save is committed.

    Raises:
      InputError: it could not be written; older checkpoints are intact.
    """
    with _one_clear_error(checkpoints, checkpoints.manager.latest_step()):
        checkpoints.manager.wait_until_finished()


def close(checkpoints: Checkpoints) -> None:
    """Like `wait`, and releases the threads even if that fails.

    Raises:
      InputError: the pending save could not be written; older checkpoints are intact.
    """
    try:
        wait(checkpoints)
    finally:
        checkpoints.manager.close()


def restore(source: Source, target_state: Any, step: Step = None) -> tuple[Any, dict[str, Any]]:
    """Reads (state, meta) of the newest checkpoint that is whole; names each damaged one in a warning.

    From a path nothing in the folder changes, and a step that a running run deletes meanwhile is passed over.
    From `Checkpoints`, the run that will write, damaged ones are moved aside, to `STEP.damaged`.

    Args:
      source: a folder, or what `open_checkpoints` gave.
      target_state: pytree of arrays or `jax.ShapeDtypeStruct`: structure, shapes, dtypes, shardings to give.
        A leaf without sharding, or that is not committed to devices, comes back uncommitted.
      step: one step, without fallback; "best" for that of the lowest metric; None for the newest.

    Raises:
      InputError: no checkpoint, none usable, or of another architecture (names the first leaf that differs).
    """
    target, treedef = _named_leaves(target_state)
    leaves, meta = _first_usable(source, step, lambda path: _read(path, target), set_aside=True)
    return jax.tree.unflatten(treedef, leaves), meta


def read_meta(source: Source, step: Step = None) -> tuple[int, dict[str, Any]]:
    """Reads (step, meta) alone, as `restore` does, and changes nothing; for the configuration in it.

    Raises:
      InputError: no checkpoint, or none whose record is readable.
    """
    return _first_usable(source, step, lambda path: (int(path.name), _read_record(path)["meta"]))


def latest_step(source: Source) -> int | None:
    """Newest committed step, damaged or not; None in an empty folder."""
    return max(_steps(_folder(source)), default=None)


def best_step(source: Source) -> int | None:
    """Committed step of the lowest metric, the newest of equals; None where none has one."""
    return next(iter(_by_score(_scores(_folder(source)))), None)


def _first_usable(source: Source, step: Step, read: Callable[[epath.Path], T], set_aside: bool = False) -> T:
    """What `read` gives for the first whole candidate; lists anew each time, as a run adds and deletes."""
    writer = source if isinstance(source, Checkpoints) else None
    if writer:
        wait(writer)
    folder, tried, damaged = _folder(source), set(), {}
    while remaining := [s for s in _candidates(folder, step) if s not in tried]:
        found = remaining[0]
        tried.add(found)
        try:
            result = read(folder / str(found))
        except _Damage as damage:
            time.sleep(0 if writer else 0.1)  # a run that is deleting this step takes a moment
            if (folder / str(found)).exists():
                damaged[found] = str(damage)
            continue
        for bad, why in damaged.items():
            _warn(f"{folder}: checkpoint {bad} is damaged ({why}); step {found} is used instead")
            if writer and set_aside:
                _set_aside(writer, bad)
        return result
    if damaged:
        reasons = "; ".join(f"step {bad}: {why}" for bad, why in damaged.items())
        raise InputError(f"{folder}: no usable checkpoint ({reasons})")
    wanted = {None: "", "best": " with a metric"}.get(step, f" of step {step}")
    raise InputError(f"{folder}: no checkpoint{wanted}; steps there: {_steps(folder) or 'none'}")


def _candidates(folder: epath.Path, step: Step) -> list[int]:
    """Committed steps to try, in order of preference."""
    if step == "best":
        return _by_score(_scores(folder))
    return [s for s in reversed(_steps(folder)) if step in (None, s)]


def _by_score(scores: Mapping[int, float]) -> list[int]:
    """Steps, the lowest score first and the newest of equals."""
    return sorted(scores, key=lambda step: (scores[step], -step))


def _read(path: epath.Path, target: Mapping[str, Any]) -> tuple[list[jax.Array], dict[str, Any]]:
    """Leaves in the order of `target`, and meta."""
    record = _read_record(path)
    _require_same_leaves(path, record["leaves"], target)
    wanted = {n: jax.ShapeDtypeStruct(t.shape, t.dtype, sharding=_sharding(t)) for n, t in target.items()}
    arrays = _read_arrays(path / "state", {name: leaf for name, leaf in wanted.items() if leaf.size})
    for name, leaf in wanted.items():
        if not leaf.size:
            arrays[name] = jax.device_put(jnp.zeros(leaf.shape, leaf.dtype), leaf.sharding)
    for name, found in zip(wanted, checksums([arrays[name] for name in wanted]), strict=True):
        if found != record["leaves"][name][2]:
            raise _Damage(f"the checksum of {name} differs")
    return [_placed(arrays[name], leaf) for name, leaf in target.items()], record["meta"]


def _read_arrays(path: epath.Path, wanted: dict[str, jax.ShapeDtypeStruct]) -> dict[str, jax.Array]:
    try:
        with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as reader:
            return reader.restore(path, args=ocp.args.StandardRestore(wanted))
    except (MemoryError, jax.errors.JaxRuntimeError):
        raise  # the device is full: the files are not to blame
    except Exception as error:  # Orbax raises a bare Exception for a truncated file
        raise _Damage(_one_line(error)) from None


def _sharding(target: Any) -> jax.sharding.Sharding:
    first = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return getattr(target, "sharding", None) or first


def _placed(leaf: jax.Array, target: Any) -> jax.Array:
    """Orbax commits arrays to devices; an uncommitted one goes wherever the others of a jitted call are."""
    placed = target.committed if isinstance(target, jax.Array) else getattr(target, "sharding", None)
    return leaf if placed else jnp.array(np.asarray(leaf))


def _require_same_leaves(path: epath.Path, found: Mapping[str, Any], target: Mapping[str, Any]) -> None:
    expected = {name: _spec(leaf) for name, leaf in target.items()}
    for name in [*expected, *found]:
        spec = found[name][:2] if name in found else None
        if spec != expected.get(name):
            said = [f"{s[0]}{s[1]}" if s else "nothing" for s in (spec, expected.get(name))]
            raise InputError(f"{path}: {name}: found {said[0]}, expected {said[1]}; another architecture?")


def _spec(leaf: Any) -> list[Any]:
    """Dtype and shape as JSON values."""
    return [str(leaf.dtype), list(leaf.shape)]


def _new_record(leaves: Mapping[str, Any], meta: Mapping[str, Any], score: float | None) -> dict[str, Any]:
    """The record of one checkpoint; the digest tells a damaged one."""
    sums = checksums(list(leaves.values()))
    described = {n: [*_spec(leaf), s] for (n, leaf), s in zip(leaves.items(), sums, strict=True)}
    try:
        record = json.loads(json.dumps({"meta": dict(meta), "score": score, "leaves": described}))
    except (TypeError, ValueError) as error:
        raise InputError(f"meta: {error}; accepted: JSON values") from error
    return record | {"digest": _digest(record)}


def _score(metrics: Mapping[str, Any], name: str | None) -> float | None:
    """The metric of that name, if it is there and finite."""
    score = float(metrics[name]) if metrics.get(name) is not None else math.nan
    return score if math.isfinite(score) else None


def _read_record(path: epath.Path) -> dict[str, Any]:
    """Raises `_Damage` unless the record is there and whole."""
    try:
        record = json.loads((path / "meta" / "metadata").read_text())
        digest = record.pop("digest")
        if digest != _digest(record):
            raise ValueError("its digest differs")
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise _Damage(f"record: {_one_line(error)}") from error
    return record


def _digest(record: Mapping[str, Any]) -> str:
    """SHA-256 of a record in its canonical JSON."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _scores(folder: epath.Path) -> dict[int, float]:
    """Score by step, of those that have one."""
    scores = {}
    for step in _steps(folder):
        with contextlib.suppress(_Damage):
            scores[step] = _read_record(folder / str(step))["score"]
    return {step: score for step, score in scores.items() if score is not None}


def _make_way(checkpoints: Checkpoints, step: int, record: dict[str, Any], target: dict[str, Any]) -> bool:
    """Moves damaged checkpoints from `step` on aside; False if these very arrays are saved there already."""
    folder, later = _folder(checkpoints), [s for s in _steps(_folder(checkpoints)) if s >= step]
    for other in later:
        try:
            with contextlib.suppress(InputError):  # another architecture: whole, as far as anyone can tell
                _read(folder / str(other), target)
            there = _read_record(folder / str(other))
        except _Damage as damage:
            _warn(f"{folder}: checkpoint {other} is damaged ({damage}); it is moved aside for a new one")
            _set_aside(checkpoints, other)
            continue
        if later == [step] and there["leaves"] == record["leaves"]:
            return False
        raise InputError(
            f"{folder}: holds step {other}; accepted: steps after it, or another folder (got step {step})"
        )
    return True


def _set_aside(checkpoints: Checkpoints, step: int) -> None:
    """Renames a damaged checkpoint: its number is free again, it counts no more, and nothing is lost."""
    path = _folder(checkpoints) / str(step)
    if jax.process_index() == 0 and path.exists():
        aside = path.parent / f"{step}.damaged"
        if aside.exists():
            aside.rmtree()
        path.rename(aside)
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(f"checkpoint {step} set aside")
    checkpoints.manager.reload()


@contextlib.contextmanager
def _one_clear_error(checkpoints: Checkpoints, step: int | None) -> Iterator[None]:
    """Turns whatever Orbax raises into one `InputError`, and makes the manager fit for the next save."""
    try:
        yield
    except Exception as error:
        folder = _folder(checkpoints)
        for unfinished in folder.glob(f"{step}.orbax-checkpoint-tmp*"):  # frees the disk
            shutil.rmtree(unfinished, ignore_errors=True)
        checkpoints.manager.reload()
        reason = _one_line(error)
        if _is_full_disk(error):
            reason = f"disk full, {shutil.disk_usage(folder).free:,} bytes free"
        raise InputError(
            f"{folder}: checkpoint {step} could not be written ({reason}); older checkpoints are intact"
        ) from error


def _is_full_disk(error: BaseException | None) -> bool:
    """Looks through the causes too; tensorstore reports a full disk in words alone."""
    words = ("no space left", "file too large", "quota exceeded")
    return error is not None and (
        getattr(error, "errno", None) in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
        or any(word in str(error).lower() for word in words)
        or _is_full_disk(error.__cause__ or error.__context__)
    )


def _named_leaves(tree: Any) -> tuple[dict[str, Any], Any]:
    """Leaves by path (params/generator/kernel), in the order of the tree, and its structure."""
    paths, treedef = jax.tree_util.tree_flatten_with_path(tree)
    leaves = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in paths}
    require(len(leaves) == len(paths), "state", list(leaves), "leaves whose paths differ")
    return leaves, treedef


def _folder(source: Source) -> epath.Path:
    path = source.manager.directory if isinstance(source, Checkpoints) else source
    return epath.Path(path) if "://" in str(path) else epath.Path(os.path.abspath(path))


def _steps(folder: epath.Path) -> list[int]:
    """Committed steps, ascending; from the disk, as another process may write there."""
    _keep_orbax_quiet()
    try:
        paths = [path for path in folder.iterdir() if path.name.isdigit()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    steps = []
    for path in paths:
        with contextlib.suppress(OSError, ValueError):  # deleted since the folder was listed
            steps += [int(path.name)] if ocp.utils.is_checkpoint_finalized(path) else []
    return sorted(steps)


def _keep_orbax_quiet() -> None:
    """Drops Orbax's notes on its own working, and the traces of errors that are raised here as one line."""
    logging.getLogger("absl").addFilter(_is_worth_printing)  # adds a function once only
    logging.getLogger("asyncio").addFilter(_is_worth_printing)
    if getattr(sys.unraisablehook, "func", None) is not _print_unraisable:
        sys.unraisablehook = functools.partial(_print_unraisable, sys.unraisablehook)


def _is_worth_printing(record: logging.LogRecord) -> bool:
    if record.name == "asyncio":
        return "/orbax/" not in record.getMessage()
    raised_too = record.filename in ("async_checkpointer.py", "checkpoint_manager.py", "future.py")
    return "/orbax/" not in record.pathname or (record.levelno >= logging.ERROR and not raised_too)


def _print_unraisable(print_it: Callable[[Any], None], event: Any) -> None:
    """Passes over what failed reads and writes of Orbax leave: coroutines, calls to a closed loop."""
    code = getattr(event.object, "cr_code", None)
    closed_loop = event.object is None and str(event.exc_value) == "Event loop is closed"
    if not closed_loop and "/orbax/" not in getattr(code, "co_filename", ""):
        print_it(event)


def _warn(line: str) -> None:
    logging.getLogger("jaxgen").warning(line)


def _one_line(error: Exception) -> str:
    """Type and message of an error, cut to fit one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}"


def checksums(leaves: Sequence[jax.Array]) -> list[int]:
    """One 32-bit number per array, computed where it lives from its bits and their positions.

    Integer arithmetic, so exact and the same for every sharding; a change of any one word changes it.

    Args:
      leaves: arrays of any shape: integers, bool, floats of 8 bits or more.
    """
    # One call per array: XLA compiles each shape once, and a state holds most shapes several times.
    return [int(value) for value in jax.device_get([_jitted_sum(_everywhere(leaf))(leaf) for leaf in leaves])]


def _everywhere(leaf: jax.Array) -> NamedSharding | None:
    """Sharding of the sums: on all devices, so that each process can read them."""
    mesh = leaf.sharding.mesh if isinstance(leaf.sharding, NamedSharding) else None
    return NamedSharding(mesh, PartitionSpec()) if mesh else None


@functools.cache
def _jitted_sum(sharding: NamedSharding | None) -> Callable[[jax.Array], jax.Array]:
    return jax.jit(_word_sum, out_shardings=sharding)


def _word_sum(leaf: jax.Array) -> jax.Array:
    """Sum mod 2^32 of mix(word + odd * position); mix is the finalizer of MurmurHash3, a bijection.

    A sum with odd weights alone misses x and -x changing places: such weights differ by an even number.
    """
    words = _words(leaf)
    position = jnp.zeros((1,) * words.ndim, jnp.uint32)
    for axis, size in enumerate(words.shape):  # a reshape to one axis would gather a sharded array
        along = [size if a == axis else 1 for a in range(words.ndim)]
        position = position * jnp.uint32(size) + jax.lax.broadcasted_iota(jnp.uint32, along, axis)
    words = words + position * jnp.uint32(0x9E3779B9) + jnp.uint32(1)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        words = (words ^ (words >> jnp.uint32(shift))) * jnp.uint32(factor)
    return jnp.sum(words ^ (words >> jnp.uint32(16)), dtype=jnp.uint32)


def _words(leaf: jax.Array) -> jax.Array:
    """The bits of an array as uint32; numbers of 64 bits give one more axis."""
    if leaf.dtype.itemsize == 8:
        return jax.lax.bitcast_convert_type(leaf, jnp.uint32)
    if jnp.issubdtype(leaf.dtype, jnp.floating):
        leaf = jax.lax.bitcast_convert_type(leaf, f"uint{8 * leaf.dtype.itemsize}")
    return leaf.astype(jnp.uint32)
