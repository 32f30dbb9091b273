"""The names of recipes and presets, for `jaxgen train` and `jaxgen scan`, and the configuration of each."""

import ast
import importlib
import importlib.util
from pathlib import Path
from typing import Any

from jaxgen.cli.flags import refuse_unknown
from jaxgen.errors import InputError
from jaxgen.tasks.table import presets


def recipes() -> dict[str, str]:
    """Returns the names of the recipes with the first lines of their docstrings, without importing them."""
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
    """Returns the names for `jaxgen train`, presets first, with a line about each."""
    found = {name: f"{preset.about} (--dataset of your own)" for name, preset in presets().items()}
    return found | {name: line for name, line in recipes().items() if not name.startswith("scan_")}


def scannable() -> dict[str, str]:
    """Returns the names for `jaxgen scan`, presets first, then scans, with a line about each."""
    known = recipes()
    found = {name: f"short for {scan_recipe(name)}" for name in presets()}
    return found | {n: known[n] for n in sorted(known, key=lambda n: not n.startswith("scan_"))}


def train_config(name: str) -> Any:
    """Returns the default configuration of `jaxgen train NAME`; data may still change that of a preset."""
    preset = presets().get(name)
    return importlib.import_module(f"experiments.{preset.recipe if preset else name}").CONFIG


def scan_config(name: str) -> Any:
    """Returns the default configuration of `jaxgen scan NAME`."""
    from jaxgen.scans.config import is_scan, scan_of

    config = importlib.import_module(f"experiments.{scan_recipe(name)}").CONFIG
    return config if is_scan(config) else scan_of(config)


def scan_recipe(name: str) -> str:
    """Returns the recipe that `jaxgen scan NAME` runs."""
    preset = presets().get(name)
    return name if preset is None else preset.scan_recipe or preset.recipe


def named(args: list[str], command: str, known: dict[str, str]) -> tuple[str, list[str]]:
    """Returns the name and the flags after it."""
    if not args or args[0].startswith("-"):
        raise InputError(f"{command}: got no name; accepted: {', '.join(known)} (see jaxgen {command} --help)")
    name = args[0].removeprefix("experiments.").removesuffix(".py").replace("-", "_")
    if name not in known:
        refuse_unknown(command, args[0], known)
    return name, args[1:]
