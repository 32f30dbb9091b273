"""Completion scripts for shells: they know commands, recipes and flags, and start no Python when a key is pressed."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from jaxgen.data.config import DataConfig
from jaxgen.errors import require
from jaxgen.tasks.gan.config import GanConfig, GanHparams
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationHparams
from jaxgen.training.config import TrainConfig

SHELLS = ("bash", "zsh", "fish")
GROUPS = {
    "": (DataConfig, GanConfig, RestorationConfig, TrainConfig),
    "hparams.": (GanHparams, RestorationHparams),
}
"""Prefix of flags to the settings that recipes have."""
RESTORER_FLAGS = ["validation", "initial-weights"]
"""Those of the recipe itself, whose module needs JAX."""
SCAN_FLAGS = ["seeds", "random", "halving", "population", "extract"]


def completion(shell: str, prog: str, commands: dict[str, Callable[..., Any]], names: dict[str, list[str]]) -> str:
    """The script for a shell.

    Args:
      shell: one of `SHELLS`.
      prog: the program's name.
      commands: functions by name, whose signatures are the flags.
      names: of commands that take a recipe's name, those names; their flags are those of all recipes.

    Raises:
      InputError: a shell for which there is none.
    """
    require(shell in SHELLS, "print-completion", shell, ", ".join(SHELLS))
    flags = {name: _flags(command) for name, command in commands.items()}
    flags |= {name: recipe_flags() + (SCAN_FLAGS if name == "scan" else []) for name in names}
    if shell == "fish":
        return _fish(prog, flags, names)
    load = "autoload -U +X compinit bashcompinit && compinit && bashcompinit\n" if shell == "zsh" else ""
    return load + _bash(prog, flags, names)


def recipe_flags() -> list[str]:
    """Flags that recipes have, without the dashes."""
    named = [
        f"{prefix}{f.name}" for prefix, kinds in GROUPS.items() for kind in kinds for f in dataclasses.fields(kind)
    ]
    return [name.replace("_", "-") for name in dict.fromkeys(named)] + RESTORER_FLAGS


def _flags(command: Callable[..., Any]) -> list[str]:
    """Flags of a function, without the dashes; positional arguments are files and left to the shell."""
    parameters = inspect.signature(command).parameters.values()
    plain = [
        p.name
        for p in parameters
        if "Positional" not in str(p.annotation) and not hasattr(p.annotation, "__metadata__")
    ]
    return [name.replace("_", "-") for name in plain]


def _bash(prog: str, flags: dict[str, list[str]], names: dict[str, list[str]]) -> str:
    cases = []
    for command, known in flags.items():
        dashed = " ".join(f"--{flag}" for flag in ["help", *known])
        first = f'[ "$COMP_CWORD" -eq 2 ] && words="{" ".join(names[command])} --help"; ' if command in names else ""
        cases.append(f'      {command}) words="{dashed}"; {first};;'.replace("; ;;", " ;;"))
    listed = "\n".join(cases)
    return f"""_{prog}_completion() {{
  local words="" current="${{COMP_WORDS[COMP_CWORD]}}"
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="{" ".join(flags)} --help --version --print-completion"
  else
    case "${{COMP_WORDS[1]}}" in
{listed}
    esac
    case "$current" in -*) ;; *) [ "$COMP_CWORD" -eq 2 ] && case "$words" in -*) words="" ;; esac || words="" ;; esac
  fi
  COMPREPLY=( $(compgen -W "$words" -- "$current") )
}}
complete -o default -F _{prog}_completion {prog}
"""


def _fish(prog: str, flags: dict[str, list[str]], names: dict[str, list[str]]) -> str:
    lines = [f"complete -c {prog} -n __fish_use_subcommand -f -a '{' '.join(flags)}'"]
    lines += [
        f"complete -c {prog} -n __fish_use_subcommand -l {flag}" for flag in ("help", "version", "print-completion")
    ]
    for command, known in flags.items():
        seen = f"complete -c {prog} -n '__fish_seen_subcommand_from {command}'"
        lines += [f"{seen} -f -a '{' '.join(names[command])}'"] if command in names else []
        lines += [f"{seen} -l {flag}" for flag in known]
    return "\n".join(lines) + "\n"
