"""Reads checkpoints from the disk: their steps, JSON records and arrays; finds damaged ones."""

import contextlib
import errno
import functools
import hashlib
import json
import logging
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from jaxgen.checkpoints.checksums import checksums
from jaxgen.errors import InputError, require


class DamagedCheckpoint(Exception):
    """A checkpoint cannot be used; the message says why."""


COUNTS = {"images": "step", "members/state/images": "members/state/step"}
"""Leaves that version 0.1.0 did not write, with those from which they follow."""


def by_score(scores: Mapping[int, float]) -> list[int]:
    """Returns the steps by score, the lowest first; of equal scores the newest step comes first."""
    return sorted(scores, key=lambda step: (scores[step], -step))


def read_state(path: epath.Path, target: Mapping[str, Any]) -> tuple[list[jax.Array], dict[str, Any]]:
    """Reads a checkpoint; returns its leaves in the order of `target`, and its meta.

    Raises:
      DamagedCheckpoint: it cannot be read, or a checksum differs.
      InputError: its leaves have other names, shapes or dtypes.
    """
    record = read_record(path)
    older = {n: step for n, step in COUNTS.items() if n in target and step in target and n not in record["leaves"]}
    stored = {name: leaf for name, leaf in target.items() if name not in older}
    _require_same_leaves(path, record["leaves"], stored)
    wanted = {n: jax.ShapeDtypeStruct(t.shape, t.dtype, sharding=_sharding(t)) for n, t in stored.items()}
    arrays = _read_arrays(path / "state", {name: leaf for name, leaf in wanted.items() if leaf.size})
    for name, leaf in wanted.items():
        if not leaf.size:
            arrays[name] = jax.device_put(jnp.zeros(leaf.shape, leaf.dtype), leaf.sharding)
    for name, found in zip(wanted, checksums([arrays[name] for name in wanted]), strict=True):
        if found != record["leaves"][name][2]:
            raise DamagedCheckpoint(f"the checksum of {name} differs")
    arrays |= {name: arrays[step] * _images_per_step(record["meta"]) for name, step in older.items()}
    return [_placed(arrays[name], leaf) for name, leaf in target.items()], record["meta"]


def _images_per_step(meta: Mapping[str, Any]) -> int:
    """Returns the images that a step read in a run of version 0.1.0, whose states did not count them."""
    config = meta.get("config", {})
    return config.get("train", {}).get("batch_size", 1) * config.get("gan", {}).get("discriminator_updates", 1)


def _read_arrays(path: epath.Path, wanted: dict[str, jax.ShapeDtypeStruct]) -> dict[str, jax.Array]:
    """Reads arrays by name; raises `DamagedCheckpoint` if that fails."""
    try:
        with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as reader:
            return reader.restore(path, args=ocp.args.StandardRestore(wanted))
    except (MemoryError, jax.errors.JaxRuntimeError):
        raise  # memory is full, the files may be whole
    except Exception as error:  # Orbax raises a bare Exception for a truncated file
        raise DamagedCheckpoint(one_line(error)) from None


def _sharding(target: Any) -> jax.sharding.Sharding:
    """Returns the sharding to read a leaf with: its own, else the first device."""
    first = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return getattr(target, "sharding", None) or first


def _placed(leaf: jax.Array, target: Any) -> jax.Array:
    """Returns the leaf uncommitted if its target is: Orbax commits arrays, which jit then moves nowhere else."""
    placed = target.committed if isinstance(target, jax.Array) else getattr(target, "sharding", None)
    return leaf if placed else jnp.array(np.asarray(leaf))


def _require_same_leaves(path: epath.Path, found: Mapping[str, Any], target: Mapping[str, Any]) -> None:
    """Raises `InputError` with the first leaf whose name, dtype or shape differs."""
    expected = {name: _spec(leaf) for name, leaf in target.items()}
    for name in [*expected, *found]:
        spec = found[name][:2] if name in found else None
        if spec != expected.get(name):
            said = [f"{s[0]}{s[1]}" if s else "nothing" for s in (spec, expected.get(name))]
            raise InputError(f"{path}: {name}: found {said[0]}, expected {said[1]}; another architecture?")


def _spec(leaf: Any) -> list[Any]:
    """Returns dtype and shape as JSON values."""
    return [str(leaf.dtype), list(leaf.shape)]


def new_record(leaves: Mapping[str, Any], meta: Mapping[str, Any], score: float | None) -> dict[str, Any]:
    """Returns the JSON record of a checkpoint: meta, score, its leaves with checksums, and a digest of all that."""
    sums = checksums(list(leaves.values()))
    described = {n: [*_spec(leaf), s] for (n, leaf), s in zip(leaves.items(), sums, strict=True)}
    try:
        record = json.loads(json.dumps({"meta": dict(meta), "score": score, "leaves": described}))
    except (TypeError, ValueError) as error:
        raise InputError(f"meta: {error}; accepted: JSON values") from error
    return record | {"digest": _digest(record)}


def score_of(metrics: Mapping[str, Any], name: str | None) -> float | None:
    """Returns the metric of that name if it is there and finite."""
    score = float(metrics[name]) if metrics.get(name) is not None else math.nan
    return score if math.isfinite(score) else None


def read_record(path: epath.Path) -> dict[str, Any]:
    """Reads the record of a checkpoint.

    Raises:
      DamagedCheckpoint: the record is missing or damaged.
    """
    try:
        record = json.loads((path / "meta" / "metadata").read_text())
        digest = record.pop("digest")
        if digest != _digest(record):
            raise ValueError("its digest differs")
        _require_form(record)
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise DamagedCheckpoint(f"record: {one_line(error)}") from error
    return record


def _require_form(record: Mapping[str, Any]) -> None:
    """Raises `ValueError`, `TypeError` or the like unless the record has the form that `new_record` gives it."""
    score = record["score"]
    leaves = [[type(value) for value in leaf] for leaf in record["leaves"].values()]
    if not all(leaf == [str, list, int] for leaf in leaves) or type(record["meta"]) is not dict:
        raise ValueError("it is of another form")
    if score is not None and type(score) not in (int, float):
        raise ValueError("its score is no number")


def _digest(record: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of a record as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def scores_by_step(folder: epath.Path) -> dict[int, float]:
    """Returns the score of each step that has one."""
    scores = {}
    for step in committed_steps(folder):
        with contextlib.suppress(DamagedCheckpoint):
            scores[step] = read_record(folder / str(step))["score"]
    return {step: score for step, score in scores.items() if score is not None}


def is_full_disk(error: BaseException | None) -> bool:
    """Returns whether an error or one of its causes is a full disk, which tensorstore reports only in words."""
    words = ("no space left", "file too large", "quota exceeded")
    return error is not None and (
        getattr(error, "errno", None) in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
        or any(word in str(error).lower() for word in words)
        or is_full_disk(error.__cause__ or error.__context__)
    )


def named_leaves(tree: Any) -> tuple[dict[str, Any], Any]:
    """Returns the leaves of a tree by path (params/generator/kernel), in its order, and its structure."""
    paths, treedef = jax.tree_util.tree_flatten_with_path(tree)
    leaves = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in paths}
    require(len(leaves) == len(paths), "state", list(leaves), "leaves whose paths differ")
    return leaves, treedef


def committed_steps(folder: epath.Path) -> list[int]:
    """Lists the committed steps in ascending order; reads the disk anew, as another process may write there."""
    keep_orbax_quiet()
    try:
        paths = [path for path in folder.iterdir() if path.name.isdigit()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    steps = []
    for path in paths:
        with contextlib.suppress(OSError, ValueError):  # deleted since the folder was listed
            steps += [int(path.name)] if ocp.utils.is_checkpoint_finalized(path) else []
    return sorted(steps)


def keep_orbax_quiet() -> None:
    """Silences Orbax's log of its own work, and its tracebacks of errors that are raised here as one line."""
    logging.getLogger("absl").addFilter(_is_worth_printing)  # adding it again does nothing
    logging.getLogger("asyncio").addFilter(_is_worth_printing)
    if getattr(sys.unraisablehook, "func", None) is not _print_unraisable:
        sys.unraisablehook = functools.partial(_print_unraisable, sys.unraisablehook)


def _is_worth_printing(record: logging.LogRecord) -> bool:
    """Returns False for a log record of Orbax, unless it is an error that is raised nowhere."""
    if record.name == "asyncio":
        return "/orbax/" not in record.getMessage()
    raised_too = record.filename in ("async_checkpointer.py", "checkpoint_manager.py", "future.py")
    return "/orbax/" not in record.pathname or (record.levelno >= logging.ERROR and not raised_too)


def _print_unraisable(print_it: Callable[[Any], None], event: Any) -> None:
    """Prints an exception that nothing can catch, unless it is left over from a failed read or write of Orbax."""
    code = getattr(event.object, "cr_code", None)
    closed_loop = event.object is None and str(event.exc_value) == "Event loop is closed"
    if not closed_loop and "/orbax/" not in getattr(code, "co_filename", ""):
        print_it(event)


def one_line(error: Exception) -> str:
    """Returns type and message of an error, cut to one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}"
