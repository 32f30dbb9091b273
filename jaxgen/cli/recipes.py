"""Recipes: `run_recipe`, which each recipe's `main` calls, and `jaxgen train` and `jaxgen scan`."""

import dataclasses
import importlib
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jaxgen.cli.exits import UNSAVED, exit_cleanly, nothing_to_save
from jaxgen.cli.flags import name_the_latest, parse, require_own_folder, value_of
from jaxgen.cli.names import named, scan_config, scan_recipe, scannable, trainable
from jaxgen.tasks.table import presets, task_of

if TYPE_CHECKING:
    from jaxgen.tasks.base import Task

C = TypeVar("C")


def run_recipe(
    recipe: str,
    default: Any,
    description: str | None,
    task: "Task | None" = None,
    call: tuple[str, list[str]] | None = None,
) -> None:
    """Runs a recipe: parses the flags, makes a run folder and trains.

    With `--resume RUN` (a folder, or `latest`, also without a value), the flags change the configuration of that run
    instead of `default`.

    Args:
      recipe: its name, also that of the folder in OUT.
      default: configuration of a run or of a scan.
      description: shown by --help.
      task: by default the one of the table that the configuration belongs to.
      call: program and flags; by default from sys.argv.
    """
    chosen: list[Path] = []
    with exit_cleanly(), nothing_to_save(lambda: next(iter(chosen), None)):
        prog, typed = call or _typed(recipe)
        args = name_the_latest(typed)
        config = parse(default, args, prog, description)
        require_own_folder(config.train.resume, value_of(args, "--out"))
        command = shlex.join([*prog.split(), *typed])
        _start(recipe, config, task, command, lambda base: parse(base, args, prog, None), chosen)


def _start(
    recipe: str, config: Any, task: "Task | None", command: str, read: Callable[[Any], Any], chosen: list[Path]
) -> None:
    """Finds or chooses the run folder, adds it to `chosen`, and trains; imports JAX only here, after the flags."""
    from jaxgen.checkpoints.folder import latest_step
    from jaxgen.runs.folder import Run, find_run, new_run, read_run_config
    from jaxgen.runs.reading import read_run
    from jaxgen.scans.config import is_scan
    from jaxgen.scans.scan import run_or_extract
    from jaxgen.tasks.train import train_run
    from jaxgen.training import distributed, parallel

    parallel.setup_backend()
    distributed.start(config.train)
    resume, out = config.train.resume, config.train.out
    if resume is None:
        directory = Path(distributed.decided_by_main(lambda: str(new_run(recipe, out, command).directory)))
    else:
        directory = Path(distributed.decided_by_main(lambda: str(find_run(resume, recipe, out))))
        config = read(read_run_config(directory, type(config)))
        began_as = read_run(directory).get("recipe", recipe)
        if began_as != recipe:
            print(f"resume: {directory} is a run of {began_as}, whose settings are used, not those of {recipe}")
    run = run_or_extract if is_scan(config) else train_run
    chosen.append(directory)
    try:
        run(Run(recipe, directory, command, resumed=resume is not None), _without_the_call(config), task)
    except KeyboardInterrupt:  # while data is read or pictures are drawn; the loop itself ends in order
        step = latest_step(directory / "checkpoints")
        print(f"interrupted: saved step {step}; continue with --resume {directory}" if step else UNSAVED, flush=True)


def train(args: list[str]) -> None:
    """Trains a model: a recipe by its name, or a preset on your own data."""
    name, rest = named(args, "train", trainable())
    if name in presets():
        _run_preset(name, rest)
    else:
        _run_module(name, f"jaxgen train {name}", rest)


def scan(args: list[str]) -> None:
    """Trains many models at once, over hyperparameters and seeds, as one compiled program."""
    name, rest = named(args, "scan", scannable())
    recipe = scan_recipe(name)
    if recipe.startswith("scan_"):
        _run_module(recipe, f"jaxgen scan {name}", rest)
        return
    description = f"Many runs of {recipe} at once, over hyperparameters and seeds."
    run_recipe(f"scan_{recipe}", scan_config(name), description, call=(f"jaxgen scan {name}", rest))


def _run_module(name: str, prog: str, args: list[str]) -> None:
    """Runs the `main` of a recipe with these arguments."""
    module = importlib.import_module(f"experiments.{name}")
    before = sys.argv
    sys.argv = [prog, *args]
    try:
        module.main()
    finally:
        sys.argv = before


def _run_preset(name: str, args: list[str]) -> None:
    """Runs a preset: the configuration of a recipe, adapted to the data given by the flags."""
    preset, dataset, size = presets()[name], value_of(args, "--dataset") or "", value_of(args, "--image-size") or ""
    recipe = preset.folder_recipe if preset.folder_recipe and dataset.startswith("folder:") else preset.recipe
    module = importlib.import_module(f"experiments.{recipe}")
    config = module.CONFIG
    if (dataset or size) and not value_of(args, "--volume-size"):  # without them the help needs no JAX
        task = task_of((f.name for f in dataclasses.fields(config)), "train", name)
        config = task.adapt(config, dataset, int(size) if size.isdecimal() and int(size) >= 1 else None)
    description = f"{preset.about[0].upper()}{preset.about[1:]}, on any images.\n\nStarts from {module.__name__}."
    run_recipe(name, config, description, call=(f"jaxgen train {name}", args))


def _typed(recipe: str) -> tuple[str, list[str]]:
    """Returns the program and the flags from sys.argv."""
    prog = sys.argv[0] if sys.argv[0].startswith("jaxgen ") else f"python -m experiments.{recipe}"
    return prog, sys.argv[1:]


def _without_the_call(config: C) -> C:
    """Returns the configuration without the settings of one call: which run to resume, and which process this is."""
    fields = ("resume", "coordinator", "num_processes", "process_id")
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **dict.fromkeys(fields)))
