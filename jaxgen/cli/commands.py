"""The table of commands, help about them all, and `main`. To add one: a function, and an entry in `COMMANDS`."""

import importlib.metadata
import sys
from collections.abc import Callable
from typing import NamedTuple

from jaxgen.cli import recipes, using
from jaxgen.cli.completion import SHELLS, completion
from jaxgen.cli.exits import exit_cleanly
from jaxgen.cli.flags import about, call, refuse_unknown
from jaxgen.errors import InputError
from jaxgen.runs import listing

PROG = "jaxgen"


class Command(NamedTuple):
    """A command.

    Attributes:
      run: what it does; its docstring's first line is its help, its signature its flags.
      examples: lines to copy, shown by --help.

    Of a command in `NAMES`, `run` takes all arguments as they were typed.
    """

    run: Callable[..., None]
    examples: str


NAMES = {"train": recipes.trainable, "scan": recipes.scannable}
"""Commands whose first argument is a name, and what names there are, each with a line about it."""


COMMANDS = {
    "train": Command(
        recipes.train,
        "jaxgen train gan_mnist --steps 100\n"
        "jaxgen train gan --dataset folder:PICTURES --image-size 64\n"
        "jaxgen train inverse --dataset folder:PHOTOS --minutes 30\n"
        "jaxgen train gan_mnist --resume",
    ),
    "scan": Command(
        recipes.scan,
        "jaxgen scan gan --hparams.lr 5e-4,1e-3,2e-3 --seeds 3\n"
        "jaxgen scan inverse --random 8 --hparams.lr 1e-3..1e-2 --halving\n"
        "jaxgen scan gan --extract 5",
    ),
    "sample": Command(
        using.sample,
        "jaxgen sample gan_mnist --num 64 --out samples.png\n"
        "jaxgen sample runs/cgan_mnist/TIMESTAMP --label 7 --num 16 --out sevens.npz",
    ),
    "restore": Command(
        using.restore,
        "jaxgen restore PHOTO FOLDER --out restored\n"
        "jaxgen restore PHOTO --mask MASK --compare\n"
        "jaxgen restore PHOTO --model runs/inverse/TIMESTAMP --strength 0.5 --force",
    ),
    "evaluate": Command(
        using.evaluate,
        "jaxgen evaluate gan_mnist --checkpoint best\njaxgen evaluate --samples FILE.npz --dataset cifar10",
    ),
    "evaluate-restoration": Command(
        using.evaluate_restoration,
        "jaxgen evaluate-restoration PHOTOS --num 12\n"
        "jaxgen evaluate-restoration PHOTOS --model runs/inverse/TIMESTAMP --out measured",
    ),
    "export": Command(
        using.export,
        "jaxgen export latest --out model\njaxgen export photos --out restorer --format onnx",
    ),
    "web": Command(
        using.web,
        "jaxgen web latest photos --out page --serve\njaxgen web MODEL --out page --ort onnxruntime-web.tgz",
    ),
    "runs": Command(
        listing.runs,
        "jaxgen runs\njaxgen runs /elsewhere/runs\njaxgen runs compare runs/gan_mnist/A runs/gan_mnist/B",
    ),
    "doctor": Command(using.doctor, "jaxgen doctor\njaxgen doctor --out /mnt/bucket/runs"),
}
"""Name to command, in the order of --help."""


def main(args: list[str] | None = None) -> None:
    """Entry of `jaxgen` and `python -m jaxgen`.

    Args:
      args: what follows the program's name; None takes sys.argv.
    """
    with exit_cleanly():
        args = sys.argv[1:] if args is None else args
        if not args or args[0] in ("-h", "--help", "help"):
            print(_help())
        elif args[0] == "--version":
            print(importlib.metadata.version("jaxgen"))
        elif args[0].partition("=")[0] == "--print-completion":
            shell = args[0].partition("=")[2] or next(iter(args[1:2]), "")
            functions = {name: command.run for name, command in COMMANDS.items()}
            print(completion(shell, PROG, functions, {name: list(known()) for name, known in NAMES.items()}), end="")
        elif args[0] in COMMANDS:
            _run(args[0], args[1:])
        elif args[0].startswith("-"):
            raise InputError(f"{args[0]}: no such option; accepted: a command (see {PROG} --help)")
        else:
            refuse_unknown("command", args[0], COMMANDS)


def _run(name: str, args: list[str]) -> None:
    """Runs one command, or shows its help."""
    command = COMMANDS[name]
    examples = "examples:\n" + "\n".join(f"  {line}" for line in command.examples.splitlines())
    if name not in NAMES:
        call(command.run, args, f"{PROG} {name}", examples)
    elif not args or args[0] in ("-h", "--help"):
        print(f"usage: {PROG} {name} NAME [flags]\n\n{about(command.run)}\n\n{examples}\n\n{_listing(name)}")
    else:
        command.run(args)


def _listing(name: str) -> str:
    """Recipes and presets, a line each."""
    known = NAMES[name]()
    rows = [f"  {recipe:18}{line}" for recipe, line in known.items()]
    return "\n".join(["names, presets first:", *rows, "", f"{PROG} {name} NAME --help: all flags"])


def _help() -> str:
    """All commands in a screen."""
    rows = [f"  {name:22}{about(command.run)}" for name, command in COMMANDS.items()]
    examples = [f"  {COMMANDS[name].examples.splitlines()[0]}" for name in ("train", "sample", "restore", "runs")]
    return "\n".join(
        [
            f"usage: {PROG} COMMAND ...",
            "",
            "Generate and restore images in JAX.",
            "",
            "commands:",
            *rows,
            "",
            "examples:",
            *examples,
            "",
            f"{PROG} COMMAND --help: its flags and examples; --version;",
            f"--print-completion {'|'.join(SHELLS)}: a completion script, e.g. in ~/.bashrc:",
            f'  eval "$({PROG} --print-completion bash)"',
        ]
    )
