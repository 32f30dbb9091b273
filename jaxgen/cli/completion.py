"""Completion scripts for shells: they know commands, recipes and flags, and start no Python when a key is pressed."""

from collections.abc import Callable
from typing import Any, Literal

import tyro
from tyro.conf import OmitArgPrefixes, Positional

from jaxgen.cli.recipes import PRESETS, SCANS, recipes
from jaxgen.config import DataConfig, TrainConfig, require

SHELLS = ("bash", "zsh", "tcsh")


def print_completion(shell: str, prog: str, commands: dict[str, Callable[..., Any]]) -> None:
    """Prints the script for a shell.

    Of `train` and `scan` the names and the flags that all recipes share are completed.

    Args:
      shell: one of `SHELLS`.
      prog: the program's name.
      commands: functions by name, whose signatures are the flags.

    Raises:
      InputError: a shell for which there is none.
    """
    require(shell in SHELLS, "print_completion", shell, ", ".join(SHELLS))
    known = recipes()
    trained = tuple(PRESETS) + tuple(name for name in known if not name.startswith("scan_"))
    scanned = tuple(SCANS) + tuple(name for name in known if name.startswith("scan_"))
    named = {"train": _takes_a_name(trained), "scan": _takes_a_name(scanned)}
    functions = {name: named.get(name, command) for name, command in commands.items()}
    args = ["--tyro-print-completion", shell]
    try:
        tyro.extras.subcommand_cli_from_dict(functions, prog=prog, args=args)
    except SystemExit as end:
        if end.code:
            raise


def _takes_a_name(names: tuple[str, ...]) -> Callable[..., None]:
    """A function with the flags that all recipes share, for tyro to look at."""

    def shared(name: Any, data: Any = None, train: Any = None) -> None:
        """A recipe."""

    shared.__annotations__ = {
        "name": Positional[Literal[names]],
        "data": OmitArgPrefixes[DataConfig],
        "train": OmitArgPrefixes[TrainConfig],
        "return": None,
    }
    shared.__defaults__ = (DataConfig(), TrainConfig())
    return shared
