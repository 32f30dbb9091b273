"""Folders of runs: a new one, and those of earlier runs."""

import datetime
import itertools
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from jaxgen.config_json import load_config
from jaxgen.errors import require

C = TypeVar("C")


class Run(NamedTuple):
    """A run: its folder, the command that started it, and whether it shows progress."""

    recipe: str
    directory: Path
    command: str
    resumed: bool
    show: bool = True


def new_run(recipe: str, out: str, command: str) -> Run:
    """Returns a run in a new folder OUT/RECIPE/TIMESTAMP, which is made when training starts."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    names = itertools.chain([stamp], (f"{stamp}-{i}" for i in itertools.count(2)))
    free = (folder for name in names if not (folder := Path(out) / recipe / name).exists())
    return Run(recipe, next(free), command, resumed=False)


def find_run(resume: str, recipe: str, out: str) -> Path:
    """Returns the run folder that `--resume` names: a path, or for "latest" the newest run of the recipe.

    Raises:
      InputError: there is no such run.
    """
    if resume == "latest":
        found = sorted(path.parent for path in (Path(out) / recipe).glob("*/config.json"))
        require(len(found) > 0, "resume", resume, f"a run folder; there is none in {Path(out) / recipe}")
        return found[-1]
    require((Path(resume) / "config.json").is_file(), "resume", resume, "a run folder with a config.json, or latest")
    return Path(resume)


def read_run_config(directory: Path, cls: type[C]) -> C:
    """Returns the configuration of a run.

    Raises:
      InputError: it is missing, or of another type.
    """
    return load_config(cls, directory / "config.json", as_named_now)


def as_named_now(values: Any) -> Any:
    """Returns a recorded configuration in the form of this version.

    Version 0.1.0 wrote `initial_weights` beside `train`, and the length of the run in place of `schedule_images` None.
    """
    if not (isinstance(values, dict) and all(isinstance(values.get(name), dict) for name in ("train", "hparams"))):
        return values
    now = {**values, "train": {**values["train"]}, "hparams": {**values["hparams"]}}
    if "initial_weights" in now:
        now["train"].setdefault("initial_weights", now.pop("initial_weights"))
    whole = now["train"].get("steps", 0) * now["train"].get("batch_size", 0)
    if now["hparams"].get("schedule_images") == whole:
        now["hparams"]["schedule_images"] = None
    return now
