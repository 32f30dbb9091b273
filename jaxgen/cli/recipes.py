"""Recipes: `run_recipe`, the `main` of each, and `jaxgen train` and `jaxgen scan`, which find them by name."""

import ast
import dataclasses
import importlib
import importlib.util
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from jaxgen.cli.exits import exit_cleanly
from jaxgen.cli.flags import parse, refuse_unknown, value_of
from jaxgen.errors import InputError

C = TypeVar("C")
PRESETS = {
    "gan": ("gan_mnist", "gan_mnist", "a GAN"),
    "cgan": ("cgan_mnist", "cgan_mnist", "a GAN that is told the class; the subfolders of a folder are its classes"),
    "inverse": ("inverse_mnist", "inverse_photos", "a restorer; of a folder a blind one for colour photographs"),
    "crnn": ("crnn_mnist", "crnn_photos", "a recurrent restorer"),
}
"""Name of a preset to the recipe it starts from, the one it starts from for a folder of pictures, and what it is."""
SCANS = {"gan": "scan_gan_mnist", "inverse": "scan_inverse_mnist"}
FOLDER_SIZE = 64
"""Pixels that a GAN cuts the pictures of a folder to, where nothing else is asked for."""


def run_recipe(
    recipe: str,
    default: Any,
    run: Callable[..., Any],
    description: str | None,
    call: tuple[str, list[str]] | None = None,
) -> None:
    """The `main` of an experiment: flags to a configuration, a run folder, training.

    With `--resume RUN` (or `latest`, also if no value follows) that run's own configuration takes the place of
    `default`, and the other flags change it.

    Args:
      recipe: name of the experiment, a folder in OUT.
      default: configuration dataclass with a field `train: TrainConfig`.
      run: trains, given the run's folder and the configuration.
      description: shown by --help.
      call: what was typed and the flags after it; None takes them from sys.argv.
    """
    with exit_cleanly():
        prog, typed = call or _typed(recipe)
        args = _name_the_latest(typed)
        config = parse(default, args, prog, description)
        _start(recipe, config, run, shlex.join([*prog.split(), *typed]), lambda base: parse(base, args, prog, None))


def _start(recipe: str, config: Any, run: Callable[..., Any], command: str, read: Callable[[Any], Any]) -> None:
    """Finds or names the run's folder, and trains; imports JAX only now, when the flags are known to be good."""
    from jaxgen.runs.folder import Run, find_run, new_run, read_run_config
    from jaxgen.training import distributed, parallel

    parallel.setup_backend()
    distributed.start(config.train)
    resume, out = config.train.resume, config.train.out
    if resume is None:
        new = Path(distributed.decided_by_main(lambda: str(new_run(recipe, out, command).directory)))
        run(Run(recipe, new, command, resumed=False), _without_the_call(config))
        return
    directory = Path(distributed.decided_by_main(lambda: str(find_run(resume, recipe, out))))
    config = read(read_run_config(directory, type(config)))
    run(Run(recipe, directory, command, resumed=True), _without_the_call(config))


def train(args: list[str]) -> None:
    """Trains a GAN or a restorer: a recipe by its name, or a preset and your own data."""
    name, rest = _named(args, "train", trainable())
    if name in PRESETS:
        _run_preset(name, rest)
    else:
        _run_module(name, f"jaxgen train {name}", rest)


def scan(args: list[str]) -> None:
    """Trains many at once over hyperparameters and seeds, as one compiled program."""
    name, rest = _named(args, "scan", scannable())
    _run_module(SCANS.get(name, name), f"jaxgen scan {name}", rest)


def recipes() -> dict[str, str]:
    """Names of the recipes and the first line of what each says of itself, read without importing them."""
    spec = importlib.util.find_spec("experiments")
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    found = {}
    for path in sorted(path for folder in folders for path in Path(folder).glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf8"))
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        if any(isinstance(function, ast.Name) and function.id == "run_recipe" for function in calls):
            found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def trainable() -> dict[str, str]:
    """What `jaxgen train` knows, with a line about each: presets, then recipes."""
    presets = {name: f"{about} (--dataset of your own)" for name, (_, _, about) in PRESETS.items()}
    return presets | {name: line for name, line in recipes().items() if not name.startswith("scan_")}


def scannable() -> dict[str, str]:
    """What `jaxgen scan` knows, with a line about each: short names, then recipes."""
    presets = {name: f"short for {recipe}" for name, recipe in SCANS.items()}
    return presets | {name: line for name, line in recipes().items() if name.startswith("scan_")}


def _named(args: list[str], command: str, known: dict[str, str]) -> tuple[str, list[str]]:
    """The recipe's name and the flags after it."""
    if not args or args[0].startswith("-"):
        raise InputError(f"{command}: got no name; accepted: {', '.join(known)} (see jaxgen {command} --help)")
    name = args[0].removeprefix("experiments.").removesuffix(".py").replace("-", "_")
    if name not in known:
        refuse_unknown(command, args[0], known)
    return name, args[1:]


def _run_module(name: str, prog: str, args: list[str]) -> None:
    """Calls the `main` of a recipe's file as if it had been typed."""
    module = importlib.import_module(f"experiments.{name}")
    before = sys.argv
    sys.argv = [prog, *args]
    try:
        module.main()
    finally:
        sys.argv = before


def _run_preset(name: str, args: list[str]) -> None:
    """A preset: a recipe's configuration, fitted to the data that the flags name."""
    plain, folder, line = PRESETS[name]
    from_folder = (value_of(args, "--dataset") or "").startswith("folder:")
    module = importlib.import_module(f"experiments.{folder if from_folder else plain}")
    from jaxgen.tasks.gan.config import GanRecipe
    from jaxgen.tasks.gan.task import run_gan
    from jaxgen.tasks.restoration.task import run_restoration

    is_gan = isinstance(module.CONFIG, GanRecipe)
    fit, run = (_fit_gan, run_gan) if is_gan else (_fit_restorer, run_restoration)
    description = f"{line[0].upper()}{line[1:]}, on any images.\n\nStarts from {module.__name__}."
    run_recipe(name, fit(module.CONFIG, args, from_folder), run, description, (f"jaxgen train {name}", args))


def _fit_gan(config: Any, args: list[str], from_folder: bool) -> Any:
    """Pictures of a folder are cut to one size; for other sizes than 28 and 32 px only the residual pair is made."""
    size = value_of(args, "--image-size") or (str(FOLDER_SIZE) if from_folder else None)
    if size is None or not size.isdecimal() or int(size) < 1:
        return config
    gan = config.gan if size in ("28", "32") else dataclasses.replace(config.gan, architecture="resnet")
    return dataclasses.replace(config, data=dataclasses.replace(config.data, image_size=int(size)), gan=gan)


def _fit_restorer(config: Any, args: list[str], from_folder: bool) -> Any:
    """Who asks for one size of whole images wants no crops."""
    if value_of(args, "--image-size") is None or not from_folder:
        return config
    return dataclasses.replace(config, data=dataclasses.replace(config.data, crop_size=None))


def _typed(recipe: str) -> tuple[str, list[str]]:
    """How this recipe was called, and the flags."""
    prog = sys.argv[0] if sys.argv[0].startswith("jaxgen ") else f"python -m experiments.{recipe}"
    return prog, sys.argv[1:]


def _name_the_latest(args: list[str]) -> list[str]:
    """`--resume` without a value means `--resume latest`."""
    named = []
    for i, arg in enumerate(args):
        named.append(arg)
        if arg == "--resume" and (i + 1 == len(args) or args[i + 1].startswith("--")):
            named.append("latest")
    return named


def _without_the_call(config: C) -> C:
    """The configuration without what holds for one call alone: where to go on, and which process this is."""
    fields = ("resume", "coordinator", "num_processes", "process_id")
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **dict.fromkeys(fields)))
