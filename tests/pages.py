"""The commands and the code of a page of docs/, run as a reader would, in their order, but in small; for tests."""

import contextlib
import importlib
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jaxgen.cli.commands import main

DOCS = Path(__file__).parents[1] / "docs"
SKIPPED = {
    "jaxgen web ": "needs onnxruntime-web from npm; tests/web makes pages with a stand-in",
    "srun ": "needs SLURM; tests/training/test_processes.py starts two processes",
    "python -m experiments.gan_mnist --coordinator ": "needs two processes; see tests/training/test_processes.py",
    "python -m experiments.pretraining_study": "minutes; tests/experiments/test_studies.py runs a small one",
    "python -m experiments.recurrence_study": "minutes; tests/experiments/test_studies.py runs a small one",
    "python -m experiments.benchmarks.train_step": "minutes; tests/experiments/test_benchmarks.py runs a small one",
    "python -m experiments.benchmarks.accelerator": "minutes; tests/experiments/test_accelerator.py runs a tiny one",
    "python -m jaxgen evaluate-restoration PHOTOS --suite everyday": "tests/tasks/restoration/test_everyday.py",
    "python -m jaxgen evaluate RUN --inception-weights ": "needs public weights; see tests/networks/test_inception.py",
}
"""Beginnings of commands that are not run, each with the reason."""

COMMON = "--batch-size 4 --steps-per-dispatch 1"
ALONE = f"{COMMON} --devices 1 --steps 2"
GAN = "--architecture mlp --base-channels 1 --latent-dim 4"
RESTORER = "--widths 2 --blocks 1 --depth 1 --iterations 1 --schedule noise:1,damage:1"
DIGITS, VOLUMES = "--dataset npz:digits.npz", "--volume-size 16"
SMALL = {
    "gan": f"{ALONE} {GAN}",
    "cgan": f"{ALONE} {GAN}",
    "gan_mnist": f"{ALONE} {GAN} {DIGITS}",
    "gan_mnist_mlp": f"{ALONE} {GAN} {DIGITS}",
    "cgan_mnist": f"{ALONE} {GAN} {DIGITS}",
    "gan_volumes": f"{ALONE} {GAN} {VOLUMES} --dataset npz:bodies.npz",
    "private_gan": f"{ALONE} {GAN} --conditioning none",
    "dp_cgan_mnist": f"{ALONE} {GAN} {DIGITS}",
    "dp_embedding_mnist": f"--batch-size 20 --steps-per-dispatch 1 --devices 1 --steps 2 {GAN} {DIGITS}",
    "inverse": f"{ALONE} {RESTORER}",
    "inverse_mnist": f"{ALONE} {RESTORER} {DIGITS}",
    "inverse_photos": f"{ALONE} {RESTORER}",
    "inverse_volumes": f"{ALONE} {RESTORER} {VOLUMES} --dataset npz:bodies.npz --damage gaussian:0-0.3",
    "crnn_mnist": f"{ALONE} {RESTORER} {DIGITS}",
    "crnn_photos": f"{ALONE} {RESTORER}",
    "crnn_volumes": f"{ALONE} {RESTORER} {VOLUMES} --dataset npz:bodies.npz --damage gaussian:0-0.3",
    "super_resolution": f"{ALONE} --width 2 --blocks 1 --crop-size 48",
    "scan gan": f"{COMMON} {GAN} --population map",
    "scan gan_mnist": f"{COMMON} --steps 8 {GAN} {DIGITS} --population map",
    "scan inverse": f"{COMMON} {RESTORER} --population map",
    "scan_gan_mnist": f"{COMMON} --steps 8 {GAN} {DIGITS} --population map",
    "scan_inverse_mnist": f"{COMMON} --steps 2 {RESTORER} {DIGITS} --population map",
    "evaluate": "--num 8",
    "audit": "--num 8",
    "project": "--steps 2",
    "evaluate_restoration": "--num 1",
}
"""Flags that make a command small, by the recipe or the command; those that the page gives are left as they are."""
SMALLER = {
    "--num 1000": "--num 8",
    "--num 50000": "--num 8",
    "--seeds 1-50": "--seeds 1-5",
    "--seeds 3": "--seeds 1",
    "--steps 500": "--steps 2",
    "--steps 800": "--steps 8",
    "--steps 300": "--steps 2",
    "--steps 20000": "--steps 4",
    "--random 16": "--random 6",
    "--devices 8": "--devices 4",
    "--shard 4": "--shard 4 --devices 4",
    "--parallel pmap": "--parallel pmap --devices 4",
    "--batch-size 1024": "--batch-size 4",
    "--volume-size 32": "--volume-size 16",
    "--canaries 1000": "--canaries 20",
    "--canaries 30000": "--canaries 20",
    "--seeds 8": "--seeds 2",
    "--initial-weights RUN": "--initial-weights runs/gan_mnist/*",
    '"digits", steps=500': '"digits", steps=2, config={"architecture": "mlp", "base_channels": 1, "latent_dim": 4}',
    '"digits", sevens)': '"digits", sevens, steps=2)',
    "--dataset digits": "--dataset folder:pictures --image-size 8 --channels 1",
    "--dataset fashion_mnist": "--dataset npz:digits.npz",
}
PLACEHOLDERS = {
    "RUN": "latest",
    "PHOTO": "photo.png",
    "MASK": "mask.png",
    "PICTURE": "one.png two.png",
    "PICTURES": "pictures",
    "GENERATED": "pictures",
    "REAL": "pictures",
    "PHOTOS": "clean",
    "FOLDER": "small",
    "SCANS": "volumes",
    "BODIES": "bodies",
    "IMAGES": "digits",
    "LATENTS": "latents",
    "TIMESTAMP": "*",
}
"""What a reader writes for the words in capitals."""


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yields the language and the content of each block of shell or Python in a page."""
    yield from re.findall(r"^```(sh|py|python)\n(.*?)^```$", text, re.M | re.S)


def commands(block: str) -> list[str]:
    """Returns the commands in a block of shell, without the comments."""
    lines = [re.split(r"(?:^|\s)#", line)[0].strip() for line in block.splitlines()]
    return [line for line in lines if line]


def _newest(pattern: str) -> str:
    """Returns the last of the files that a pattern names."""
    return max(map(str, Path().glob(pattern)))


def _smaller(text: str) -> str:
    """Returns a text with small numbers."""
    for large, small in SMALLER.items():
        text = text.replace(large, small)
    return text


def _filled_in(command: str) -> list[str]:
    """Returns the words of a command, with small numbers, and real names for the words in capitals."""
    command = re.sub(r"\b([A-Z]{3,})\b…?", lambda found: PLACEHOLDERS[found[1]], _smaller(command))
    return [_newest(word) if "*" in word else word for word in shlex.split(command)]


def _made_small(words: list[str], name: str) -> list[str]:
    """Returns the words with the flags of `SMALL` that they do not have; none for what goes on with another run."""
    if {"--extract", "--resume"} & set(words):
        return words
    flags = re.findall(r"--\S+ \S+", SMALL.get(name, ""))
    return words + [part for flag in flags if flag.split()[0] not in words for part in flag.split()]


@contextlib.contextmanager
def in_folder(folder: Path) -> Iterator[None]:
    """Types commands in a folder; afterwards this process is as it was before."""
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        patch.setattr("jaxgen.training.parallel.setup_backend", lambda: None)
        patch.setattr(sys, "argv", [])
        yield
    for number, handler in before:
        signal.signal(number, handler)


def type_in(command: str) -> None:
    """Runs a command in this process, within `in_folder`; it must end well."""
    words = _filled_in(command.removeprefix("python -m "))
    program, args = words[0], words[1:]
    if program == "jaxgen":
        name = args[1] if args[0] == "train" else " ".join(args[:2]) if args[0] == "scan" else args[0]
        run = main
    else:
        name, run = program.removeprefix("experiments."), importlib.import_module(program).main
    sys.argv = [program, *_made_small(args, name.replace("-", "_"))]
    try:
        run()
    except SystemExit as end:
        if end.code:
            pytest.fail(f"{command}: {shlex.join(sys.argv)}")


def follow(page: str, **known: object) -> dict:
    """Runs all commands and code of a page, within `in_folder`; returns the names of its Python.

    Args:
      page: path within docs/.
      known: names that the Python of the page starts from.
    """
    names = dict(known)
    for language, block in blocks((DOCS / page).read_text(encoding="utf8")):
        if language == "sh":
            for command in commands(block):
                if not command.startswith(tuple(SKIPPED)):
                    type_in(command)
        else:
            code = _smaller(block)
            exec(re.sub(r"[\w/]+/TIMESTAMP", lambda found: _newest(found[0].replace("TIMESTAMP", "*")), code), names)
    return names
