"""The table of commands, their help, and `main`. To add a command, write a function and an entry in `COMMANDS`."""

import importlib.metadata
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxgen.cli import commands_for_gans, commands_for_models, commands_for_runs, names, recipes
from jaxgen.cli.completion import SHELLS, completion
from jaxgen.cli.exits import exit_cleanly, nothing_to_save
from jaxgen.cli.flags import about, call, refuse_unknown, value_of
from jaxgen.cli.help import ASK, table
from jaxgen.errors import InputError

PROG = "jaxgen"


class Command(NamedTuple):
    """A command.

    Attributes:
      run: a function whose arguments are the flags; of a command in `NAMES`, it takes the list of arguments.
      examples: lines shown by --help.
    """

    run: Callable[..., None]
    examples: str


class Names(NamedTuple):
    """The names that may follow a command.

    Attributes:
      about: returns them, each with a line of help.
      config: returns the configuration of one, whose fields are its flags.
    """

    about: Callable[[], dict[str, str]]
    config: Callable[[str], Any]


NAMES = {
    "train": Names(names.trainable, names.train_config),
    "scan": Names(names.scannable, names.scan_config),
}
"""Commands whose first argument is a name."""

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
        commands_for_gans.sample,
        "jaxgen sample digits --label 7\n"
        "jaxgen sample gan_mnist --num 64 --out samples.png\n"
        "jaxgen sample runs/cgan_mnist/TIMESTAMP --label 7 --num 16 --out sevens.npz\n"
        "jaxgen sample cgan_mnist --label 3 --label 1 --grid 4x2\n"
        "jaxgen sample gan_mnist --num 50000 --out images/\n"
        "jaxgen sample gan_mnist --seeds 1-50 --truncation 0.7\n"
        "jaxgen sample runs/gan_volumes/TIMESTAMP --num 8 --out bodies.glb",
    ),
    "restore": Command(
        commands_for_models.restore,
        "jaxgen restore PHOTO FOLDER --out restored\n"
        "jaxgen restore PHOTO --mask MASK --compare\n"
        "jaxgen restore PHOTO --model runs/inverse/TIMESTAMP --strength 0.5 --force",
    ),
    "upscale": Command(
        commands_for_models.upscale,
        "jaxgen upscale PHOTO FOLDER --scale 4 --out upscaled\n"
        "jaxgen upscale PHOTO --scale 2.5 --kind bicubic --compare\n"
        "jaxgen upscale PHOTO --model runs/super_resolution/TIMESTAMP --strength 0.7 --force",
    ),
    "project": Command(
        commands_for_gans.project,
        "jaxgen project digits SEVEN.png --out seven.png\n"
        "jaxgen project runs/cgan_mnist/TIMESTAMP FOLDER --label 7 --steps 500",
    ),
    "evaluate": Command(
        commands_for_gans.evaluate,
        "jaxgen evaluate gan_mnist --checkpoint best\n"
        "jaxgen evaluate --samples FOLDER --reference FOLDER\n"
        "jaxgen evaluate --samples FILE.npz --reference cifar10",
    ),
    "evaluate-restoration": Command(
        commands_for_models.evaluate_restoration,
        "jaxgen evaluate-restoration PHOTOS --num 12\n"
        "jaxgen evaluate-restoration PHOTOS --suite everyday --out everyday\n"
        "jaxgen evaluate-restoration PHOTOS --suite super-resolution --model runs/super_resolution/TIMESTAMP\n"
        "jaxgen evaluate-restoration PHOTOS --model runs/inverse/TIMESTAMP --out measured",
    ),
    "audit": Command(
        commands_for_runs.audit,
        "jaxgen audit gan_mnist\njaxgen audit runs/gan_mnist/TIMESTAMP --num 50000",
    ),
    "export": Command(
        commands_for_models.export,
        "jaxgen export latest --out model\njaxgen export photos --out restorer --format onnx",
    ),
    "web": Command(
        commands_for_models.web,
        "jaxgen web latest photos --out page --serve\njaxgen web MODEL --out page --ort onnxruntime-web.tgz",
    ),
    "runs": Command(
        commands_for_runs.runs,
        "jaxgen runs\njaxgen runs /elsewhere/runs\njaxgen runs compare gan_mnist runs/gan_mnist/A",
    ),
    "doctor": Command(commands_for_models.doctor, "jaxgen doctor\njaxgen doctor --out /mnt/bucket/runs"),
}
"""Commands by name, in the order of --help."""


def main(args: list[str] | None = None) -> None:
    """Runs `jaxgen` or `python -m jaxgen`.

    Args:
      args: what follows the program's name; by default from sys.argv.
    """
    with exit_cleanly():
        args = sys.argv[1:] if args is None else args
        if not args or args[0] in (*ASK, "help"):
            _print_program_help()
        elif args[0] == "--version":
            print(importlib.metadata.version("jaxgen"))
        elif args[0].partition("=")[0] == "--print-completion":
            shell = args[0].partition("=")[2] or next(iter(args[1:2]), "")
            print(completion(shell, PROG, _words()), end="")
        elif args[0] in COMMANDS:
            _run(args[0], args[1:])
        elif args[0].startswith("-"):
            raise InputError(f"{args[0]}: no such option; accepted: a command (see {PROG} --help)")
        else:
            refuse_unknown("command", args[0], COMMANDS)


def _run(name: str, args: list[str]) -> None:
    """Runs a command, or prints its help."""
    command, prog = COMMANDS[name], f"{PROG} {name}"
    if name == "evaluate" and value_of(args, "--dataset") is not None:
        raise InputError(f"--dataset: is now --reference (see {prog} --help)")
    if name == "upscale" and value_of(args, "--mask") is not None:
        raise InputError(
            "--mask: is for restore, which fills in; accepted: none, as upscale enlarges whole photographs"
        )
    if name not in NAMES:
        call(command.run, args, prog, _lines("examples", command.examples.splitlines()))
    elif not args or args[0] in ASK:
        _print_help(f"{prog} NAME [flags]", about(command.run), "names", NAMES[name].about(), command.examples)
        print(f"\n{prog} NAME --help: the flags that matter first\n{prog} NAME --help-all: all flags")
    else:
        with nothing_to_save(lambda: None):  # a recipe is imported before it runs
            command.run(args)


def _print_program_help() -> None:
    """Prints the help of the program; with tyro it takes twice as long."""
    rows = {name: about(command.run) for name, command in COMMANDS.items()}
    examples = [COMMANDS[name].examples.splitlines()[0] for name in ("train", "sample", "restore", "runs")]
    _print_help(f"{PROG} COMMAND ...", "Generate and restore images in JAX.", "commands", rows, "\n".join(examples))
    print(
        f"\n{PROG} COMMAND --help: flags and examples of a command\n{PROG} --version\n"
        f"{PROG} --print-completion {'|'.join(SHELLS)}: completion script (takes seconds; save it to a file)\n"
        f'  eval "$({PROG} --print-completion bash)"'
    )


def _print_help(usage: str, what: str, heading: str, rows: dict[str, str], examples: str) -> None:
    """Prints a table of commands or names, with examples."""
    listed = table(f"{heading}:", list(rows.items()))
    print(f"usage: {usage}\n\n{what}\n\n{listed}\n\n{_lines('examples', examples.splitlines())}")


def _lines(heading: str, lines: list[str]) -> str:
    """Returns indented lines below a heading."""
    return "\n  ".join([f"{heading}:", *lines])


def _words() -> dict[str, Any]:
    """Returns all commands and names with their flags, for `completion`; imports the recipes, and with them JAX."""
    words: dict[str, Any] = {name: command.run for name, command in COMMANDS.items()}
    for command, listed in NAMES.items():
        words[command] = {name: type(listed.config(name)) for name in listed.about()}
    return words | {"--version": _nothing, "--print-completion": dict.fromkeys(SHELLS, _nothing)}


def _nothing() -> None:
    """Stands for what has no flags."""
