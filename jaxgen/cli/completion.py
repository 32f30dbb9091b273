"""Completion scripts for shells: those of tyro, which also complete files for positional arguments."""

import contextlib
import functools
import io
import operator
from typing import Annotated, Any

import tyro

from jaxgen.errors import require

SHELLS = ("bash", "zsh", "fish")
_PRINT = "    for completion in completions:"
_OR_FILES = """    if not [*words, ''][current_index].startswith('-'):
        completions = [found for found in completions if found[0] != '-'] or ['__TYRO_COMPLETE_FILES__']
"""
"""Is added to the short Python program, without imports of packages, that each script runs at the Tab key."""


def completion(shell: str, prog: str, commands: dict[str, Any]) -> str:
    """Returns the script for a shell.

    Args:
      shell: one of `SHELLS`.
      prog: the program's name.
      commands: by name, a function or class whose arguments are the flags, or a dictionary of what may follow.

    Raises:
      InputError: there is none for this shell.
    """
    require(shell in SHELLS, "print-completion", shell, ", ".join(SHELLS))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        tyro.cli(_one_of(commands), prog=prog, args=["--tyro-write-completion", shell, "-"])
    script = printed.getvalue().replace(_PRINT, _OR_FILES + _PRINT)
    if shell == "bash":  # readline completes files itself, with a slash after a folder
        script = script.replace('COMPREPLY=($(compgen -f -- "$cur"))', "COMPREPLY=()")
        return f"{script}complete -o default -F _tyro_{prog} {prog}\n"
    if shell == "zsh":  # tyro prints the body of a function for autoload
        load = "(( $+functions[compdef] )) || { autoload -U compinit && compinit; }"
        return f"{load}\n_{prog}() {{\n{script}}}\ncompdef _{prog} {prog}\n"
    # fish: the program exceeds the maximum length of an argument, and needs the current word
    return script.replace(
        '($python_cmd -c "$pycode" $words $current)',
        '(echo "$pycode" | $python_cmd - $words (commandline -ct) $current)',
    )


def _one_of(commands: dict[str, Any]) -> Any:
    """Returns the type that tyro parses as one of these commands."""
    options = []
    for name, flags in commands.items():
        constructor = _one_of(flags) if isinstance(flags, dict) else flags
        options.append(Annotated[Any, tyro.conf.subcommand(name, constructor=constructor)])
    return functools.reduce(operator.or_, options)
