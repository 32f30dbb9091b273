"""Saves and restores checkpoints: asynchronously, with a checksum of every array, and never by pickle.

One run writes to a folder (`open_checkpoints`, `save`, `wait`, `close`). Others may read it by its path while the run
goes on (`restore`, `read_meta`, `latest_step`). Orbax writes and commits the arrays. Each step also holds
a JSON record with the caller's `meta`, the score, and dtype, shape and checksum of each array. If the newest
checkpoint is damaged, an older one is restored.
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

from jaxgen.checkpoints.reading import (
    DamagedCheckpoint,
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
from jaxgen.errors import InputError, require
from jaxgen.training import distributed

T = TypeVar("T")

Step = int | Literal["best"] | None


class Checkpoints(NamedTuple):
    """A folder of checkpoints that is open for writing; made by `open_checkpoints`."""

    manager: ocp.CheckpointManager
    best_metric: str | None


CheckpointFolder = Checkpoints | str | os.PathLike
"""A folder of checkpoints, open for writing or by its path."""


@dataclasses.dataclass(frozen=True)
class _KeepBest(policies.PreservationPolicy):
    """A policy that keeps the n steps of lowest score. Unlike Orbax's BestN it does not fail on damaged metrics."""

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
    """Opens a folder for writing, by one process at a time, and removes what a crash during a save left there.

    Args:
      directory: the folder; made if it is missing.
      keep_latest: how many of the newest checkpoints to keep, 1 or more; with 2 there is one to fall back to.
      keep_best: how many of the best checkpoints to keep besides, if `best_metric` is given.
      best_metric: a name in `save`'s metrics; lower is better, missing and non-finite values do not count.

    Raises:
      InputError: a count is too low, or the folder cannot be made.
    """
    require(keep_latest >= 1, "keep_latest", keep_latest, "1 or more")
    require(keep_best >= 0, "keep_best", keep_best, "0 or more")
    keep_orbax_quiet()
    folder = _folder(directory)
    keep = policies.AnyPreservationPolicy([policies.LatestN(keep_latest), _KeepBest(folder, keep_best)])
    # If folders were made in the background, a save that fails early would hang for minutes.
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
    """Starts to save a checkpoint; all processes call it, and the arrays may be donated as soon as it returns.

    Saving the same arrays at the same step again does nothing. A damaged checkpoint of that step is moved aside.

    Args:
      checkpoints: what `open_checkpoints` returned.
      step: the number of steps done so far, above every step in the folder.
      state: a pytree of jax arrays.
      meta: JSON values such as the configuration and the data position.
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
    """Waits until the pending save is committed.

    Raises:
      OSError: the save could not be written; older checkpoints are intact.
    """
    with _one_clear_error(checkpoints, checkpoints.manager.latest_step()):
        checkpoints.manager.wait_until_finished()


def close(checkpoints: Checkpoints) -> None:
    """Waits for the pending save and closes the folder, even if the save fails.

    Raises:
      OSError: the pending save could not be written; older checkpoints are intact.
    """
    try:
        wait(checkpoints)
    finally:
        checkpoints.manager.close()


def restore(checkpoints: CheckpointFolder, target_state: Any, step: Step = None) -> tuple[Any, dict[str, Any]]:
    """Returns (state, meta) of the newest checkpoint that is whole; warns of each damaged one.

    By its path, a folder is not changed, and a step that a running run deletes meanwhile is skipped. In a folder that
    is open for writing, damaged checkpoints are renamed to `STEP.damaged`.

    Args:
      checkpoints: the path of a folder, or what `open_checkpoints` returned.
      target_state: a pytree of arrays or `jax.ShapeDtypeStruct` with the structure, shapes, dtypes and shardings to
        return. A leaf without a sharding, or not committed to devices, comes back uncommitted.
      step: a step, without fallback; "best" for that of the lowest metric; None for the newest.

    Raises:
      InputError: there is no usable checkpoint, or it is of another architecture (names the first leaf that differs).
    """
    target, treedef = named_leaves(target_state)
    leaves, meta = _first_usable(checkpoints, step, lambda path: read_state(path, target), set_aside=True)
    return jax.tree.unflatten(treedef, leaves), meta


def read_meta(checkpoints: CheckpointFolder, step: Step = None) -> tuple[int, dict[str, Any]]:
    """Returns (step, meta) of the checkpoint that `restore` would read, without its arrays; changes nothing.

    Raises:
      InputError: there is no checkpoint with a readable record.
    """
    return _first_usable(checkpoints, step, lambda path: (int(path.name), read_record(path)["meta"]))


def latest_step(checkpoints: CheckpointFolder) -> int | None:
    """Returns the newest committed step, damaged or not; None in an empty folder."""
    return max(committed_steps(_folder(checkpoints)), default=None)


def _first_usable(
    checkpoints: CheckpointFolder, step: Step, read: Callable[[epath.Path], T], set_aside: bool = False
) -> T:
    """Returns what `read` returns for the first whole candidate; a run may add and delete some meanwhile."""
    writer = checkpoints if isinstance(checkpoints, Checkpoints) else None
    if writer:
        wait(writer)
    folder, tried, damaged = _folder(checkpoints), set(), {}
    while remaining := [s for s in _candidates(folder, step) if s not in tried]:
        found = remaining[0]
        tried.add(found)
        try:
            result = read(folder / str(found))
        except DamagedCheckpoint as error:
            time.sleep(0 if writer else 0.1)  # a run may be deleting this step
            if (folder / str(found)).exists():
                damaged[found] = str(error)
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
    """Returns the committed steps to try, in order of preference."""
    if step == "best":
        return by_score(scores_by_step(folder))
    return [s for s in reversed(committed_steps(folder)) if step in (None, s)]


def _make_way(checkpoints: Checkpoints, step: int, record: dict[str, Any], target: dict[str, Any]) -> bool:
    """Moves damaged checkpoints from `step` on aside; returns False if the same arrays are saved there already."""
    folder, later = _folder(checkpoints), [s for s in committed_steps(_folder(checkpoints)) if s >= step]
    for other in later:
        try:
            with contextlib.suppress(InputError):  # of another architecture, but not damaged
                read_state(folder / str(other), target)
            there = read_record(folder / str(other))
        except DamagedCheckpoint as error:
            _warn(f"{folder}: checkpoint {other} is damaged ({error}); it is moved aside for a new one")
            _set_aside(checkpoints, other)
            continue
        if later == [step] and there["leaves"] == record["leaves"]:
            return False
        raise InputError(f"{folder}: holds step {other}; accepted: steps after it, or another folder (got step {step})")
    return True


def _set_aside(checkpoints: Checkpoints, step: int) -> None:
    """Renames a damaged checkpoint, so that its step can be saved again and nothing is lost."""
    path = _folder(checkpoints) / str(step)
    distributed.wait_for_all(f"checkpoint {step} seen")  # or another process could find it gone before it has read it
    if distributed.is_main() and path.exists():
        aside = path.parent / f"{step}.damaged"
        if aside.exists():
            aside.rmtree()
        path.rename(aside)
    distributed.wait_for_all(f"checkpoint {step} set aside")
    checkpoints.manager.reload()


@contextlib.contextmanager
def _one_clear_error(checkpoints: Checkpoints, step: int | None) -> Iterator[None]:
    """Raises any error of Orbax as one `OSError`, and prepares the manager for the next save."""
    try:
        yield
    except Exception as error:
        folder = _folder(checkpoints)
        if jax.process_count() > 1 and not (is_full_disk(error) or isinstance(error, OSError)):
            raise distributed.LostProcessError(one_line(error)) from error  # no process can finish a save alone
        for unfinished in folder.glob(f"{step}.orbax-checkpoint-tmp*"):  # to free the disk
            shutil.rmtree(unfinished, ignore_errors=True)
        checkpoints.manager.reload()
        code, reason = getattr(error, "errno", None) or errno.EIO, one_line(error)
        if is_full_disk(error):
            code, reason = errno.ENOSPC, f"disk full, {shutil.disk_usage(folder).free:,} bytes free"
        raise OSError(
            code, f"checkpoint {step} could not be written ({reason}); older checkpoints are intact", str(folder)
        ) from error


def _folder(checkpoints: CheckpointFolder) -> epath.Path:
    """Returns the absolute path of a folder; an address such as gs://bucket/folder is returned unchanged."""
    path = checkpoints.manager.directory if isinstance(checkpoints, Checkpoints) else checkpoints
    return epath.Path(path) if "://" in str(path) else epath.Path(os.path.abspath(path))


def _warn(line: str) -> None:
    """Logs a warning of one line."""
    logging.getLogger("jaxgen").warning(line)
