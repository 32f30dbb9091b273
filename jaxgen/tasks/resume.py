"""What may change when a run goes on, and what a change means for its schedule."""

import dataclasses
from pathlib import Path
from typing import Any

from jaxgen.checkpoints.folder import latest_step
from jaxgen.errors import InputError, require
from jaxgen.runs.outputs import Counts
from jaxgen.runs.reading import read_run


def require_checkpoint(directory: Path) -> None:
    """Raises `InputError` if a run was stopped before its first checkpoint."""
    if latest_step(directory / "checkpoints") is None:
        again = read_run(directory).get("command") or "its command"
        accepted = f"a run with a checkpoint; start anew: {again}"
        raise InputError(f"resume: got {directory}, stopped before its first checkpoint; accepted: {accepted}")


def require_same_data(earlier: Any, config: Any) -> None:
    """Raises `InputError` if a run would go on with other images, or from other weights, than it began with.

    Args:
      earlier: the configuration of the run; both have `data` and `train`.
      config: the configuration to go on with.
    """
    for field in (f.name for f in dataclasses.fields(config.data) if f.name != "data_dir"):
        _require_same(field, getattr(earlier.data, field), getattr(config.data, field))
    _require_same("initial_weights", earlier.train.initial_weights, config.train.initial_weights)
    for group, field in getattr(config, "counted", ()):
        before, now = (getattr(getattr(c, group), field) for c in (earlier, config))
        require(before == now, field, now, f"{before}, with which the run began and its privacy is counted")


def _require_same(field: str, before: Any, now: Any) -> None:
    if before != now:
        hint = "to train on other images, start a new run with --initial-weights RUN in place of --resume RUN"
        raise InputError(f"{field}: got {now!r} with --resume; accepted: {before!r}, with which the run began; {hint}")


def schedule_line(earlier: Any, config: Any, start: Counts) -> str:
    """Returns a line about the schedule of a run that goes on, if it differs from what was planned; else "".

    Args:
      earlier: the configuration that the run had; both have `hparams` and `train`.
      config: the configuration to go on with.
      start: how far the run is.

    Raises:
      InputError: the schedule is over, and a number that counts at its start alone was changed.
    """
    length = getattr(config.hparams, "schedule_images", None)
    if length is None:
        planned = [(c.train.steps, c.train.batch_size) for c in (earlier, config)]
        whole = start.images_at(config.train.steps)
        return f"schedule: planned anew over {whole:,} images" if planned[0] != planned[1] else ""
    if start.images < length:
        return ""
    restart = "--hparams.schedule-images None plans it anew over the whole run"
    for name in (f.name for f in dataclasses.fields(config.hparams) if hasattr(config.hparams, f"{f.name}_final")):
        before, now = getattr(earlier.hparams, name), getattr(config.hparams, name)
        if before != now:
            accepted = f"{before}, since the schedule of {length:,.0f} images is over; {restart}"
            raise InputError(f"hparams.{name}: got {now}; accepted: {accepted}")
    return f"schedule: over after {length:,.0f} images, its numbers stay at their final values; {restart}"
