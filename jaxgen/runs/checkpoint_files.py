"""What a checkpoint on disk holds: committed steps, the JSON record, the arrays, any damage."""

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

from jaxgen.errors import InputError, require
from jaxgen.runs.checksums import checksums


class Damage(Exception):
    """A checkpoint that cannot be used; the message says why."""


def by_score(scores: Mapping[int, float]) -> list[int]:
    """Steps, the lowest score first and the newest of equals."""
    return sorted(scores, key=lambda step: (scores[step], -step))


def read_state(path: epath.Path, target: Mapping[str, Any]) -> tuple[list[jax.Array], dict[str, Any]]:
    """Leaves in the order of `target`, and meta."""
    record = read_record(path)
    _require_same_leaves(path, record["leaves"], target)
    wanted = {n: jax.ShapeDtypeStruct(t.shape, t.dtype, sharding=_sharding(t)) for n, t in target.items()}
    arrays = _read_arrays(path / "state", {name: leaf for name, leaf in wanted.items() if leaf.size})
    for name, leaf in wanted.items():
        if not leaf.size:
            arrays[name] = jax.device_put(jnp.zeros(leaf.shape, leaf.dtype), leaf.sharding)
    for name, found in zip(wanted, checksums([arrays[name] for name in wanted]), strict=True):
        if found != record["leaves"][name][2]:
            raise Damage(f"the checksum of {name} differs")
    return [_placed(arrays[name], leaf) for name, leaf in target.items()], record["meta"]


def _read_arrays(path: epath.Path, wanted: dict[str, jax.ShapeDtypeStruct]) -> dict[str, jax.Array]:
    try:
        with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as reader:
            return reader.restore(path, args=ocp.args.StandardRestore(wanted))
    except (MemoryError, jax.errors.JaxRuntimeError):
        raise  # the device is full: the files are not to blame
    except Exception as error:  # Orbax raises a bare Exception for a truncated file
        raise Damage(one_line(error)) from None


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


def new_record(leaves: Mapping[str, Any], meta: Mapping[str, Any], score: float | None) -> dict[str, Any]:
    """The record of one checkpoint; the digest tells a damaged one."""
    sums = checksums(list(leaves.values()))
    described = {n: [*_spec(leaf), s] for (n, leaf), s in zip(leaves.items(), sums, strict=True)}
    try:
        record = json.loads(json.dumps({"meta": dict(meta), "score": score, "leaves": described}))
    except (TypeError, ValueError) as error:
        raise InputError(f"meta: {error}; accepted: JSON values") from error
    return record | {"digest": _digest(record)}


def score_of(metrics: Mapping[str, Any], name: str | None) -> float | None:
    """The metric of that name, if it is there and finite."""
    score = float(metrics[name]) if metrics.get(name) is not None else math.nan
    return score if math.isfinite(score) else None


def read_record(path: epath.Path) -> dict[str, Any]:
    """Raises `Damage` unless the record is there and whole."""
    try:
        record = json.loads((path / "meta" / "metadata").read_text())
        digest = record.pop("digest")
        if digest != _digest(record):
            raise ValueError("its digest differs")
        _require_form(record)
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise Damage(f"record: {one_line(error)}") from error
    return record


def _require_form(record: Mapping[str, Any]) -> None:
    """Raises `ValueError`, or what comes of taking it for one, unless this is a record of `new_record`."""
    score = record["score"]
    leaves = [[type(value) for value in leaf] for leaf in record["leaves"].values()]
    if not all(leaf == [str, list, int] for leaf in leaves) or type(record["meta"]) is not dict:
        raise ValueError("it is of another form")
    if score is not None and type(score) not in (int, float):
        raise ValueError("its score is no number")


def _digest(record: Mapping[str, Any]) -> str:
    """SHA-256 of a record in its canonical JSON."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def scores_by_step(folder: epath.Path) -> dict[int, float]:
    """Score by step, of those that have one."""
    scores = {}
    for step in committed_steps(folder):
        with contextlib.suppress(Damage):
            scores[step] = read_record(folder / str(step))["score"]
    return {step: score for step, score in scores.items() if score is not None}


def is_full_disk(error: BaseException | None) -> bool:
    """Looks through the causes too; tensorstore reports a full disk in words alone."""
    words = ("no space left", "file too large", "quota exceeded")
    return error is not None and (
        getattr(error, "errno", None) in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
        or any(word in str(error).lower() for word in words)
        or is_full_disk(error.__cause__ or error.__context__)
    )


def named_leaves(tree: Any) -> tuple[dict[str, Any], Any]:
    """Leaves by path (params/generator/kernel), in the order of the tree, and its structure."""
    paths, treedef = jax.tree_util.tree_flatten_with_path(tree)
    leaves = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in paths}
    require(len(leaves) == len(paths), "state", list(leaves), "leaves whose paths differ")
    return leaves, treedef


def committed_steps(folder: epath.Path) -> list[int]:
    """Committed steps, ascending; from the disk, as another process may write there."""
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


def one_line(error: Exception) -> str:
    """Type and message of an error, cut to fit one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}"
