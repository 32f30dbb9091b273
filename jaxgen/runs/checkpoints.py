"""Checkpoints: asynchronous saves, a checksum of every array, a fallback when one is damaged; never pickle.

One run writes to a folder (`open_checkpoints`, `save`, `wait`, `close`); anyone reads it by its path, also
while the run goes on (`restore`, `read_meta`, `latest_step`, `best_step`). Orbax writes and commits. Beside
the arrays each step holds a JSON record: the caller's `meta`, the score, and of each array dtype, shape and
checksum.
"""

import contextlib
import dataclasses
import errno
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import checkpoint_managers as policies

from jaxgen.errors import InputError, require
from jaxgen.runs.checkpoint_files import (
    Damage,
    by_score,
    committed_steps,
    is_full_disk,
    keep_orbax_quiet,
    named_leaves,
    new_record,
    one_line,
    read_record,
    read_state,
    score_of,
    scores_by_step,
)
from jaxgen.training import distributed

T = TypeVar("T")

Step = int | Literal["best"] | None


class Checkpoints(NamedTuple):
    """The folder that one run writes to; made by `open_checkpoints`."""

    manager: ocp.CheckpointManager
    best_metric: str | None


Source = Checkpoints | str | os.PathLike


@dataclasses.dataclass(frozen=True)
class _KeepBest(policies.PreservationPolicy):
    """Keeps the n steps of lowest score, by the records. Orbax's BestN stops on a damaged metrics file."""

    folder: epath.Path
    n: int

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        del context
        scores = scores_by_step(self.folder) | {c.step: c.metrics["score"] for c in checkpoints if c.metrics}
        best = [step for step in by_score(scores) if step in [c.step for c in checkpoints]][: self.n]
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
    keep_orbax_quiet()
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
        raise InputError(f"{folder}: cannot hold checkpoints ({one_line(error)})") from error


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
      OSError: this save or the pending one could not be written; older checkpoints are intact.
      InputError: the folder holds later steps, a leaf is no array, or `meta` is no JSON.
    """
    wait(checkpoints)
    leaves, _ = named_leaves(state)
    for name, leaf in leaves.items():
        kinds = (jnp.integer, jnp.floating, jnp.bool_)
        real = isinstance(leaf, jax.Array) and any(jnp.issubdtype(leaf.dtype, kind) for kind in kinds)
        require(real, f"state: {name}", leaf, "jax arrays of real numbers")
    arrays = {name: leaf for name, leaf in leaves.items() if leaf.size}  # Orbax refuses arrays of no elements
    require(bool(arrays), "state", state, "at least one array")
    score = score_of(metrics or {}, checkpoints.best_metric)
    record = new_record(leaves, meta, score)
    if _make_way(checkpoints, step, record, leaves):
        items = ocp.args.Composite(state=ocp.args.StandardSave(arrays), meta=ocp.args.JsonSave(record))
        scores = None if score is None else {"score": score}
        with _one_clear_error(checkpoints, step):
            checkpoints.manager.save(step, args=items, metrics=scores, force=True)


def wait(checkpoints: Checkpoints) -> None:
    """Blocks until the pending save is committed.

    Raises:
      OSError: it could not be written; older checkpoints are intact.
    """
    with _one_clear_error(checkpoints, checkpoints.manager.latest_step()):
        checkpoints.manager.wait_until_finished()


def close(checkpoints: Checkpoints) -> None:
    """Like `wait`, and releases the threads even if that fails.

    Raises:
      OSError: the pending save could not be written; older checkpoints are intact.
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
    target, treedef = named_leaves(target_state)
    leaves, meta = _first_usable(source, step, lambda path: read_state(path, target), set_aside=True)
    return jax.tree.unflatten(treedef, leaves), meta


def read_meta(source: Source, step: Step = None) -> tuple[int, dict[str, Any]]:
    """Reads (step, meta) alone, as `restore` does, and changes nothing; for the configuration in it.

    Raises:
      InputError: no checkpoint, or none whose record is readable.
    """
    return _first_usable(source, step, lambda path: (int(path.name), read_record(path)["meta"]))


def latest_step(source: Source) -> int | None:
    """Newest committed step, damaged or not; None in an empty folder."""
    return max(committed_steps(_folder(source)), default=None)


def best_step(source: Source) -> int | None:
    """Committed step of the lowest metric, the newest of equals; None where none has one."""
    return next(iter(by_score(scores_by_step(_folder(source)))), None)


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
        except Damage as damage:
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
    raise InputError(f"{folder}: no checkpoint{wanted}; steps there: {committed_steps(folder) or 'none'}")


def _candidates(folder: epath.Path, step: Step) -> list[int]:
    """Committed steps to try, in order of preference."""
    if step == "best":
        return by_score(scores_by_step(folder))
    return [s for s in reversed(committed_steps(folder)) if step in (None, s)]


def _make_way(checkpoints: Checkpoints, step: int, record: dict[str, Any], target: dict[str, Any]) -> bool:
    """Moves damaged checkpoints from `step` on aside; False if these very arrays are saved there already."""
    folder, later = _folder(checkpoints), [s for s in committed_steps(_folder(checkpoints)) if s >= step]
    for other in later:
        try:
            with contextlib.suppress(InputError):  # another architecture: whole, as far as anyone can tell
                read_state(folder / str(other), target)
            there = read_record(folder / str(other))
        except Damage as damage:
            _warn(f"{folder}: checkpoint {other} is damaged ({damage}); it is moved aside for a new one")
            _set_aside(checkpoints, other)
            continue
        if later == [step] and there["leaves"] == record["leaves"]:
            return False
        raise InputError(f"{folder}: holds step {other}; accepted: steps after it, or another folder (got step {step})")
    return True


def _set_aside(checkpoints: Checkpoints, step: int) -> None:
    """Renames a damaged checkpoint: its number is free again, it counts no more, and nothing is lost."""
    path = _folder(checkpoints) / str(step)
    distributed.wait_for_all(f"checkpoint {step} seen")  # else another process might find it gone already
    if distributed.is_main() and path.exists():
        aside = path.parent / f"{step}.damaged"
        if aside.exists():
            aside.rmtree()
        path.rename(aside)
    distributed.wait_for_all(f"checkpoint {step} set aside")
    checkpoints.manager.reload()


@contextlib.contextmanager
def _one_clear_error(checkpoints: Checkpoints, step: int | None) -> Iterator[None]:
    """Turns whatever Orbax raises into one `OSError`, and makes the manager fit for the next save."""
    try:
        yield
    except Exception as error:
        folder = _folder(checkpoints)
        if jax.process_count() > 1 and not (is_full_disk(error) or isinstance(error, OSError)):
            raise distributed.LostProcessError(one_line(error)) from error  # none of them finishes a save alone
        for unfinished in folder.glob(f"{step}.orbax-checkpoint-tmp*"):  # frees the disk
            shutil.rmtree(unfinished, ignore_errors=True)
        checkpoints.manager.reload()
        code, reason = getattr(error, "errno", None) or errno.EIO, one_line(error)
        if is_full_disk(error):
            code, reason = errno.ENOSPC, f"disk full, {shutil.disk_usage(folder).free:,} bytes free"
        raise OSError(
            code, f"checkpoint {step} could not be written ({reason}); older checkpoints are intact", str(folder)
        ) from error


def _folder(source: Source) -> epath.Path:
    path = source.manager.directory if isinstance(source, Checkpoints) else source
    return epath.Path(path) if "://" in str(path) else epath.Path(os.path.abspath(path))


def _warn(line: str) -> None:
    logging.getLogger("jaxgen").warning(line)
